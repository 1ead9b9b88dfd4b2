//! Where a command writes that makes a file of a recording: a new file, or standard output.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

use crate::{console::stdout::Stdout, ident::file_name, trace::file};

/// Whether that is standard output.
pub fn is_stdout(out: &Path) -> bool {
    out == Path::new("-")
}

/// Opens it, and never overwrites anything.
///
/// # Errors
/// If there is such a file already, or none can be created.
pub fn writer(out: &Path) -> Result<BufWriter<Box<dyn Write>>> {
    let out: Box<dyn Write> =
        if is_stdout(out) { Box::new(Stdout::lock()) } else { Box::new(file::create(out, false)?) };
    Ok(BufWriter::with_capacity(1 << 16, out))
}

/// Prints what was made in memory on standard output.
///
/// # Errors
/// Only from writing.
pub fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// What to say if it cannot be written.
pub fn cannot_write(out: &Path) -> String {
    if is_stdout(out) {
        return "cannot write to standard output".to_owned();
    }
    format!("cannot write {}", file_name(out))
}
