//! `cargo xtask dist --check`: what was made is installed, loaded and run, here and without leaving anything behind, and
//! made once more elsewhere.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::{Plan, VERSION, binary, deb, names};
use crate::{
    arch::Arch,
    process::{cargo, is_root, on_path, read, run},
    toolchain,
    vm::{self, Job},
};

mod docker;

/// How large a program may be.
const MOST: u64 = 12 << 20;

/// Checks everything that was made for these architectures.
pub fn check(plan: &Plan, archs: &[Arch]) -> Result<()> {
    ensure!(is_root(), "the check installs packages and starts a daemon of docker's: run it as root");
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&plan.folder))?;
    for &arch in archs {
        let program = plan.folder.join(format!("tracer-{VERSION}-linux-{}", arch.name()));
        let size = program.metadata().with_context(|| format!("cannot read {}", program.display()))?.len();
        ensure!(size <= MOST, "{} has {size} bytes, and may have {MOST}", program.display());
        names_no_path(plan, arch)?;
        in_an_empty_root(plan, arch, &program)?;
        package(plan, arch)?;
        booted(plan, arch)?;
        if arch == Arch::host()? {
            for_whoever_called(&program)?;
            docker::check(plan, arch)?;
        }
    }
    again(plan, archs)?;
    println!("check: all is well");
    Ok(())
}

fn names_no_path(plan: &Plan, arch: Arch) -> Result<()> {
    let found = binary::paths_in(plan, &binary::build(plan, arch)?)?;
    ensure!(found.is_empty(), "the program for {} names paths of this machine:\n{}", arch.name(), found.join("\n"));
    println!("check: {}: no path of this machine is in it", arch.name());
    Ok(())
}

/// Starts it where there is no other file: not a library, not a configuration.
fn in_an_empty_root(plan: &Plan, arch: Arch, program: &Path) -> Result<()> {
    let root = TempDir::new_in(&plan.scratch).context("cannot create an empty root")?;
    let root = root.path();
    let place = |from: &Path, name: &str| -> Result<()> {
        fs::copy(from, root.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        run(Command::new("chmod").arg("755").arg(root.join(name)))
    };
    place(program, "tracer")?;
    let mut command = Command::new("chroot");
    command.arg(root);
    if arch != Arch::host()? {
        let emulator = format!("qemu-{}-static", arch.name());
        let Some(emulator) = on_path(&emulator) else {
            println!("check: {}: not started: there is no {emulator} (package qemu-user-static)", arch.name());
            return Ok(());
        };
        place(&emulator, "emulator")?;
        command.arg("/emulator");
    }
    let said = read(command.args(["/tracer", "--version"]))?;
    ensure!(said == format!("tracer {VERSION}"), "in an empty root it says: {said}");
    println!("check: {}: `{said}` in an empty root", arch.name());
    Ok(())
}

/// Installs it below a folder, as dpkg does for the machine, and purges it.
fn package(plan: &Plan, arch: Arch) -> Result<()> {
    let root = TempDir::new_in(&plan.scratch).context("cannot create a root for dpkg")?;
    let root = root.path();
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("cannot create {folder}"))?;
    }
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        fs::write(root.join(file), "").with_context(|| format!("cannot write {file}"))?;
    }
    let dpkg = || {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", root.display())).args(["--force-script-chrootless", "--force-architecture"]);
        command.args(["--log=/dev/null"]);
        command
    };
    read(dpkg().arg("--install").arg(plan.folder.join(deb::file(arch))))?;
    let there = |path: &str| root.join(path).exists();
    for path in deb::PLACES {
        ensure!(there(path), "the package installs no {path}");
    }
    ensure!(!there("etc/systemd/system"), "the package enables its service");
    ensure!(names(&root.join("usr/share/man/man1"))?.len() > 10, "the package has few pages");
    if on_path("systemd-analyze").is_some() {
        let unit = root.join("usr/lib/systemd/system/tracer.service");
        let said = Command::new("systemd-analyze").arg("verify").arg(&unit).output().context("systemd-analyze")?;
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        // It looks for the program and its page on this machine.
        let bad: Vec<_> =
            complaints.lines().filter(|line| line.contains("tracer.service") && !line.contains(": Command ")).collect();
        ensure!(bad.is_empty(), "systemd says of the unit: {}", bad.join("\n"));
    }
    read(dpkg().args(["--purge", "tracer"]))?;
    let left = read(Command::new("find").arg(root).args(["-name", "*tracer*"]))?;
    ensure!(left.is_empty(), "after a purge there is still: {left}");
    println!("check: {}: the package installs and purges", arch.name());
    Ok(())
}

/// Boots a kernel with the package's files, as Debian has it for that architecture. The agent runs as the unit starts
/// it, and tells of a leak.
fn booted(plan: &Plan, arch: Arch) -> Result<()> {
    const SERIES: &str = "6.12";
    let root = TempDir::new_in(&plan.scratch).context("cannot create a root for a machine")?;
    run(Command::new("dpkg-deb").arg("--extract").arg(plan.folder.join(deb::file(arch))).arg(root.path()))?;
    let job = Job::Script("agent", include_str!("check/booted.sh"));
    let code = vm::boot_installed(&plan.workspace, arch, SERIES, root.path(), &job)?;
    ensure!(code == ExitCode::SUCCESS, "{}: the agent of the package does not work on {SERIES}", arch.name());
    println!("check: {}: on {SERIES}, the agent of the package tells of a leak", arch.name());
    Ok(())
}

/// Looks up a user as it must under sudo, where the C library's own way ends a static program.
fn for_whoever_called(program: &Path) -> Result<()> {
    // Not below the target directory, into which they may not even look.
    let folder = TempDir::with_prefix("tracer-called-").context("cannot create a folder for a recording")?;
    let folder = folder.path();
    run(Command::new("chmod").arg("777").arg(folder))?;
    let trace = folder.join("trace.mcap");
    let nobody = read(Command::new("id").args(["-u", "nobody"]))?;
    read(
        Command::new(program)
            .env("SUDO_UID", &nobody)
            .env("SUDO_GID", &nobody)
            .current_dir(folder)
            .args(["record", "-o"])
            .arg(&trace)
            .args(["--", "id", "-un"]),
    )?;
    let owner = read(Command::new("stat").args(["--format", "%u"]).arg(&trace))?;
    ensure!(owner == nobody, "a recording for user {nobody} belongs to {owner}");
    println!("check: a recording for whoever calls sudo is theirs");
    Ok(())
}

/// Makes all of it once more, from a copy of the commit in another folder.
fn again(plan: &Plan, archs: &[Arch]) -> Result<()> {
    let root = &plan.workspace.root;
    let changed = read(Command::new("git").args(["status", "--porcelain"]).current_dir(root))?;
    ensure!(changed.is_empty(), "what is not committed cannot be built again elsewhere:\n{changed}");
    let elsewhere = TempDir::with_prefix("tracer-again-").context("cannot create a folder for another build")?;
    let copy = elsewhere.path().join("other/checkout");
    run(Command::new("git").args(["clone", "--quiet", "--shared"]).arg(root).arg(&copy))?;
    // The same compiler for the eBPF part, which is not to be looked for again.
    fs::create_dir(copy.join("target")).context("cannot create a target directory")?;
    fs::copy(plan.workspace.target.join(toolchain::FILE), copy.join("target").join(toolchain::FILE))
        .context("cannot copy what the set-up has found")?;
    for arch in archs {
        let mut command = cargo(&plan.workspace);
        command.current_dir(&copy).env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR");
        run(command.args(["xtask", "dist", "--arch", arch.name()]))?;
        let other = copy.join("target/dist");
        for name in names(&other)?.iter().filter(|name| *name != "SHA256SUMS") {
            let ours = plan.folder.join(name);
            let same = Command::new("cmp").arg(&ours).arg(other.join(name)).status();
            if !same.context("cannot start `cmp`")?.success() {
                // For whoever looks for the difference.
                let kept = elsewhere.keep();
                bail!(
                    "{name} is another one when it is built again; compare {} with what is below {}",
                    ours.display(),
                    kept.display()
                );
            }
        }
    }
    println!("check: built again in another folder, it is the same, byte for byte");
    Ok(())
}
