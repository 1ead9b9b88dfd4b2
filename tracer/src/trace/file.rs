//! Creating a trace's file: for its owner's eyes only, never through a link, and never over something
//! that is there.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Gid, Mode, OFlags, Uid},
    io::Errno,
};

/// Why there is no file to write into.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something has that name already.
    #[error("{0} is there already; give another name, or remove it first")]
    Exists(PathBuf),
    /// What has that name is no file that could be replaced.
    #[error("{0} is no regular file, so it is not replaced; give another name")]
    NotAFile(PathBuf),
    /// What open(2) says.
    #[error("cannot create {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Creates a file that only its owner can read: whoever called sudo, if that is how this was started.
/// With `overwrite`, a regular file of that name is removed first.
///
/// # Errors
/// If something has that name already, be it a link to nowhere, and what open(2) says.
pub fn create(path: &Path, overwrite: bool) -> Result<File, CreateError> {
    if overwrite && let Ok(there) = path.symlink_metadata() {
        if !there.is_file() {
            return Err(CreateError::NotAFile(path.to_owned()));
        }
        // Should it have become a link meanwhile, then that is what is removed.
        std::fs::remove_file(path).map_err(|error| CreateError::Io(path.to_owned(), error))?;
    }
    let failed = |error: Errno| match error {
        Errno::EXIST => CreateError::Exists(path.to_owned()),
        error => CreateError::Io(path.to_owned(), error.into()),
    };
    // Exclusive creation follows no link, not even one that leads nowhere (open(2)).
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    if let Some((uid, gid)) = caller() {
        rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(file.into())
}

/// Who called sudo, if this is root by sudo.
pub fn caller() -> Option<(Uid, Gid)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |name: &str| std::env::var(name).ok()?.parse().ok();
    Some((Uid::from_raw(id("SUDO_UID")?), Gid::from_raw(id("SUDO_GID")?)))
}
