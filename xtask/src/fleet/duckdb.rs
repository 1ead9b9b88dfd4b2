//! DuckDB's library, as its makers hand it out by npm: to compile it would take hours.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    arch::Arch,
    debian,
    process::{on_path, run},
    workspace::Workspace,
};

/// Names a folder with another one.
pub const FOLDER: &str = "DUCKDB_LIB_DIR";
/// The version of the package.
const VERSION: &str = "1.5.6-r.1";
const LIBRARY: &str = "libduckdb.so";

/// The folder with the library, which is fetched if it is not there.
pub fn folder(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER) {
        let folder = PathBuf::from(folder);
        ensure!(folder.join(LIBRARY).exists(), "{FOLDER} names {}, where there is no {LIBRARY}", folder.display());
        return Ok(folder);
    }
    let package = format!("@duckdb/node-bindings-linux-{}", npm_name(Arch::host()?));
    let prefix = workspace.target.join("fleet").join(format!("duckdb-{VERSION}"));
    let folder = prefix.join("node_modules").join(&package);
    if !folder.join(LIBRARY).exists() {
        println!("duckdb: fetching {package} {VERSION} (24 MB)");
        fetch(&prefix, &format!("{package}@{VERSION}"))
            .with_context(|| format!("cannot fetch DuckDB; have {FOLDER} name a folder with {LIBRARY}"))?;
        ensure!(folder.join(LIBRARY).exists(), "{package} has no {LIBRARY}");
    }
    Ok(folder)
}

fn fetch(prefix: &Path, package: &str) -> Result<()> {
    if on_path("npm").is_none() {
        debian::install(&["npm"]).context("npm fetches DuckDB")?;
    }
    fs::create_dir_all(prefix).with_context(|| format!("cannot create {}", prefix.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    run(npm.arg(prefix).arg(package))
}

/// As Node calls an architecture.
fn npm_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "x64",
        Arch::Arm => "arm64",
    }
}
