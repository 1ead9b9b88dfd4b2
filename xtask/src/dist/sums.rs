//! SHA-256 sums of what is handed out, as a file that `sha256sum --check` reads and as a table.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{names, write};
use crate::process::read;

const FILE: &str = "SHA256SUMS";

/// Writes the file.
pub fn make(folder: &Path) -> Result<()> {
    let lines = read(Command::new("sha256sum").args(names(folder)?).current_dir(folder))?;
    write(folder, FILE, lines + "\n")?;
    Ok(())
}

/// The sum of one file.
pub fn sum(file: &Path) -> Result<String> {
    let said = read(Command::new("sha256sum").arg("--").arg(file))?;
    // Names with some characters are escaped, which a backslash before the line says.
    Ok(said.split_whitespace().next().context("sha256sum said nothing")?.trim_start_matches('\\').to_owned())
}

/// Each file with its size and sum.
pub fn table(folder: &Path) -> Result<String> {
    let mut table = String::new();
    for name in names(folder)? {
        let file = folder.join(&name);
        let size = file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len();
        table += &row(&name, size, &sum(&file)?);
    }
    Ok(table)
}

fn row(name: &str, size: u64, sum: &str) -> String {
    format!("{name:<36} {:>9} {sum}\n", shown(size))
}

/// In MiB, or in KiB where that says more.
fn shown(size: u64) -> String {
    let kib = size as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.1} KiB") } else { format!("{:.2} MiB", kib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_units_that_say_something() {
        assert_eq!(shown(512), "0.5 KiB");
        assert_eq!(shown(12 << 20), "12.00 MiB");
    }
}
