//! Compilers for programs that are linked statically, for this architecture or the other one.
//!
//! For the other one: this cargo, if its toolchain has that target's standard library (`rustup target add`). Else
//! Debian's compiler with the library of Debian's package for that architecture, unpacked below `target/cross`: nothing
//! foreign is installed. The linker is Debian's cross gcc.

use std::{
    fs,
    os::unix,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    apt::{self, Apt},
    arch::Arch,
    debian,
    process::{cargo, on_path, read},
    workspace::Workspace,
};

/// Debian's package of the standard library.
const LIBRARY: &str = "libstd-rust-web-dev";
/// Debian's compiler, for this machine's programs.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", LIBRARY];

/// What compiles for an architecture.
#[derive(Debug)]
pub struct Compiler {
    /// For which.
    pub arch: Arch,
    /// A folder with Debian's compiler and the library for it, unless it is the cargo that runs us.
    sysroot: Option<PathBuf>,
}

impl Compiler {
    /// The one for that architecture; what is missing is installed or unpacked.
    pub fn find(workspace: &Workspace, arch: Arch) -> Result<Self> {
        if arch == Arch::host()? {
            return Ok(Self { arch, sysroot: None });
        }
        if on_path(&linker(arch)).is_none() {
            let gcc = format!("gcc-{}", arch.gnu().replace('_', "-"));
            debian::install(&[&gcc, &format!("libc6-dev-{}-cross", arch.debian())])
                .with_context(|| format!("a linker for {}", arch.name()))?;
        }
        let library = read(Command::new("rustc").args(["--print", "target-libdir", "--target", &arch.target()]));
        if library.is_ok_and(|library| Path::new(&library).is_dir()) {
            return Ok(Self { arch, sysroot: None });
        }
        ensure!(
            debian::is_debian(),
            "this Rust has no standard library for {}: run `rustup target add {}`",
            arch.name(),
            arch.target()
        );
        Ok(Self { arch, sysroot: Some(sysroot(workspace, arch)?) })
    }

    /// cargo for that target with these flags for rustc. Nothing of it is shared with other builds, so that no other
    /// flags have it built anew.
    pub fn cargo(&self, workspace: &Workspace, target_dir: &Path, flags: &[String]) -> Command {
        let mut flags = [&["-Ctarget-feature=+crt-static".to_owned()][..], flags].concat();
        let mut command = match &self.sysroot {
            None => cargo(workspace),
            Some(sysroot) => {
                flags.push(format!("--sysroot={}", sysroot.display()));
                let mut command = Command::new("/usr/bin/cargo");
                // Set by the cargo that runs us, for its own compiler.
                for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "LD_LIBRARY_PATH"] {
                    command.env_remove(name);
                }
                command.current_dir(&workspace.root).env("RUSTC", "/usr/bin/rustc");
                command
            }
        };
        let target = self.arch.target();
        let variable = target.replace('-', "_");
        command
            .env("CARGO_TARGET_DIR", target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), self.linker())
            .env(format!("CC_{variable}"), self.linker());
        command
    }

    /// The `--target` that such a command is for.
    pub fn target(&self) -> [String; 2] {
        ["--target".to_owned(), self.arch.target()]
    }

    /// The rustc that it uses, as a command.
    pub fn rustc(&self) -> Command {
        Command::new(if self.sysroot.is_some() { "/usr/bin/rustc" } else { "rustc" })
    }

    /// The C compiler that it uses.
    pub fn linker(&self) -> String {
        if Arch::host().is_ok_and(|host| host == self.arch) { "cc".to_owned() } else { linker(self.arch) }
    }
}

fn linker(arch: Arch) -> String {
    format!("{}-gcc", arch.gnu())
}

/// A folder that is to Debian's rustc what its own is, with the library of that architecture.
fn sysroot(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    debian::install(&COMPILER)?;
    let version = read(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", LIBRARY]))?;
    let folder = workspace.target.join("cross");
    let sysroot = folder.join(format!("{}-{version}", arch.name()));
    let libraries = sysroot.join("lib/rustlib");
    let link = libraries.join(arch.target());
    if link.exists() {
        return Ok(sysroot);
    }
    let codename = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = codename.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"');
    let suites = [codename, &format!("{codename}-security")];
    let apt = Apt::new(folder.join("apt"), Some(apt::sources(&suites, arch)?), arch)?;
    apt.update()?;
    println!("cross: unpacking {LIBRARY} {version} for {} into {}", arch.debian(), sysroot.display());
    fs::create_dir_all(&libraries).with_context(|| format!("cannot create {}", libraries.display()))?;
    let package = format!("{LIBRARY}:{}={version}", arch.debian());
    apt.unpack(&package, &sysroot).with_context(|| {
        format!("the library must be that of the compiler; if the archive has a newer one: apt-get install {LIBRARY}")
    })?;
    let unpacked = Path::new("../../usr/lib/rustlib").join(arch.target());
    if !libraries.join(&unpacked).is_dir() {
        bail!("there is no standard library in {package}");
    }
    // Last: it says that everything is there.
    unix::fs::symlink(&unpacked, &link).with_context(|| format!("cannot create {}", link.display()))?;
    Ok(sysroot)
}
