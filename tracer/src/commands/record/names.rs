//! Files that a recording writes, which must all be different.

use std::{ffi::OsString, io, os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    caller::as_caller,
    cli::{self},
    ident::file_name,
    report::Report,
    sink::trace::rotate::is_numbered,
    trace::file::folder,
};

/// Where a path leads, however it is spelled: device and inode of the folder, and the name in it.
type Place = (u64, u64, OsString);

/// Makes sure that no report replaces the recording, or a part of it, or another report.
///
/// # Errors
/// If one would, or its folder is not there.
pub fn check(options: &cli::Record) -> Result<()> {
    let cli::Record { output, report, rotate, snapshot_on, .. } = options;
    let has_parts = rotate.is_some() || !snapshot_on.is_empty();
    let recording = place(output)?;
    let mut places = Vec::new();
    for path in report.iter().filter_map(path) {
        let place = place(path).with_context(|| format!("the report {} cannot be written", file_name(path)))?;
        let (device, inode, name) = &place;
        let is_beside = (*device, *inode) == (recording.0, recording.1);
        let is_part = has_parts && is_numbered(Path::new(name), Path::new(&recording.2));
        if is_beside && (*name == recording.2 || is_part) {
            bail!(
                "the report {} would replace the recording {}; give it another name",
                file_name(path),
                file_name(output)
            );
        }
        if places.contains(&place) {
            bail!("two reports cannot both be {}; give one of them another name", file_name(path));
        }
        places.push(place);
    }
    Ok(())
}

fn path(report: &Report) -> Option<&Path> {
    match report {
        Report::Junit(path) | Report::Sarif(path) => Some(path),
        Report::Github => None,
    }
}

fn place(path: &Path) -> io::Result<Place> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let folder = as_caller(|| folder(path).metadata())?;
    Ok((folder.dev(), folder.ino(), name.to_owned()))
}
