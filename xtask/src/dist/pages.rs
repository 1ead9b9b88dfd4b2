//! Manual pages and what shells complete, made by the program itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Plan, empty, names, write};
use crate::process::{read, run};

/// Shells, and where Debian's look for what they complete.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/tracer"),
    ("fish", "usr/share/fish/vendor_completions.d/tracer.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_tracer"),
];

/// A folder with the files at their places.
pub fn make(plan: &Plan, program: &Path) -> Result<PathBuf> {
    let folder = plan.scratch.join("pages");
    empty(&folder)?;
    let manual = folder.join("usr/share/man/man1");
    fs::create_dir_all(&manual).with_context(|| format!("cannot create {}", manual.display()))?;
    run(Command::new(program).args(["man", "--all"]).arg(&manual))?;
    for page in names(&manual)? {
        compress(&manual.join(page))?;
    }
    for (shell, place) in SHELLS {
        write(&folder, place, read(Command::new(program).args(["completions", shell]))? + "\n")?;
    }
    Ok(folder)
}

/// Packs a file without its name and time.
pub fn compress(file: &Path) -> Result<()> {
    run(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(file))
}
