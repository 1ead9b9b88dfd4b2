//! Findings for other programs: reports for build servers and code hosts.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{ident::file_name, sink::gate::Gate, trace::file};

mod github;
mod junit;
mod sarif;

/// Where to report the findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A JUnit XML file.
    Junit(PathBuf),
    /// A SARIF 2.1.0 file.
    Sarif(PathBuf),
    /// Workflow commands of GitHub Actions, on standard output.
    Github,
}

/// Writes a report; the findings are in that trace. Replaces a file of that name; what is for standard output goes to
/// `out`.
///
/// # Errors
/// If it cannot be written.
pub fn write(report: &Report, gate: &Gate, trace: &Path, out: &mut Vec<u8>) -> Result<()> {
    match report {
        Report::Junit(path) => into(path, |out| junit::write(out, gate)),
        Report::Sarif(path) => into(path, |out| sarif::write(out, gate, trace)),
        Report::Github => Ok(github::write(out, gate)?),
    }
}

fn into(path: &Path, write: impl FnOnce(&mut BufWriter<std::fs::File>) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(file::create(path, true)?);
    let written = write(&mut out).and_then(|()| out.flush());
    written.with_context(|| format!("cannot write the report {}", file_name(path)))
}
