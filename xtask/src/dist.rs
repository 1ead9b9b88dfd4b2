//! `cargo xtask dist`: what is handed out, in `target/dist/`: programs, Debian packages, container images, lists of what
//! is inside (SBOM), and the sums of all of it.
//!
//! Reproducible: two builds of one commit by the same compilers are equal, byte for byte, in whatever folder they are
//! made. So no file has a time but that of the commit, and no path of this machine is in the programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    arch::Arch,
    process::{read, run},
    setup,
    workspace::Workspace,
};

mod binary;
mod check;
mod deb;
mod image;
mod pages;
mod sbom;
mod sums;
#[cfg(test)]
mod tests;

/// What `dist` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Only for that architecture [default: for each].
    #[arg(long)]
    arch: Option<Arch>,
    /// Then install, load, boot and run all of it, and build it again in another folder, which must give the same (as
    /// root).
    #[arg(long)]
    check: bool,
}

/// The version of everything.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where and as of when something is made.
#[derive(Debug)]
pub struct Plan {
    /// Of which sources.
    pub workspace: Workspace,
    /// What is handed out.
    pub folder: PathBuf,
    /// What is needed on the way.
    pub scratch: PathBuf,
    /// The time of the commit, in seconds since 1970.
    pub epoch: u64,
}

impl Plan {
    /// For these sources.
    pub fn new(workspace: Workspace) -> Result<Self> {
        let (folder, scratch) = (workspace.target.join("dist"), workspace.target.join("dist-build"));
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => read(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(&workspace.root))
                .context("the time of the commit; outside a repository, set SOURCE_DATE_EPOCH")?,
        };
        let epoch =
            epoch.parse().with_context(|| format!("SOURCE_DATE_EPOCH is {epoch:?}, not a number of seconds"))?;
        Ok(Self { workspace, folder, scratch, epoch })
    }

    /// The time as JSON has it.
    pub fn time(&self) -> Result<String> {
        read(Command::new("date").args(["--utc", "--date", &format!("@{}", self.epoch), "+%Y-%m-%dT%H:%M:%SZ"]))
    }

    /// An archive of what is in a folder: in order of the names, of root, as of the commit.
    pub fn tar(&self, folder: &Path, archive: &Path) -> Result<()> {
        run(Command::new("tar")
            .args(["--create", "--format=ustar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", self.epoch), "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(folder)
            .args(names(folder)?))
    }
}

/// The sub-command.
pub fn dist(options: &Options) -> Result<ExitCode> {
    let Options { arch, check } = options;
    let archs = arch.map_or_else(|| Arch::ALL.to_vec(), |arch| vec![arch]);
    let plan = Plan::new(Workspace::find()?)?;
    make(&plan, &archs)?;
    println!("\n{}", sums::table(&plan.folder)?);
    if *check {
        check::check(&plan, &archs)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes all files for these architectures; what was there before is gone.
pub fn make(plan: &Plan, archs: &[Arch]) -> Result<()> {
    setup::toolchain(&plan.workspace, None)?;
    empty(&plan.folder)?;
    // Its pages are made by a program that runs here.
    let pages = pages::make(plan, &binary::build(plan, Arch::host()?)?.program)?;
    for &arch in archs {
        let built = binary::build(plan, arch)?;
        let program = plan.folder.join(format!("tracer-{VERSION}-linux-{}", arch.name()));
        fs::copy(&built.program, &program).with_context(|| format!("cannot write {}", program.display()))?;
        deb::make(plan, arch, &program, &pages)?;
        image::make(plan, arch, &program)?;
        sbom::make(plan, &built, &program)?;
    }
    sums::make(&plan.folder)
}

/// Creates a folder that has nothing in it.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Writes a file below a folder, with the folders that it is in.
fn write(folder: &Path, path: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
    let file = folder.join(path);
    let above = file.parent().context("it is below a folder")?;
    fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
    fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
