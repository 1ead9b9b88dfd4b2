//! Looks for the parts of an eBPF toolchain, way by way, and installs what is missing.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    debian,
    process::{cargo, is_executable, on_path, read, run},
    setup::Way,
    toolchain::Toolchain,
    trial,
    workspace::Workspace,
};

const LINKER_VERSION: &str = "0.13.0";
/// The LLVMs that this bpf-linker can be built with.
const LINKER_LLVMS: std::ops::RangeInclusive<u32> = 21..=23;

const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
const DEBIAN_CLIPPY: &str = "rust-web-clippy";

/// One look at the machine.
pub struct Search<'a> {
    /// Where the linker is put.
    pub workspace: &'a Workspace,
    /// Whether what is missing may be installed.
    pub install: bool,
    /// What was tried in vain.
    pub failed: Vec<Toolchain>,
}

impl Search<'_> {
    /// By rustup.
    pub fn rustup(&mut self) -> Result<Toolchain> {
        on_path("rustup").context("rustup is not on PATH")?;
        let which = |name| {
            // Only looks: a rustup that may install would fetch a whole nightly.
            let mut rustup = Command::new("rustup");
            rustup.env("RUSTUP_AUTO_INSTALL", "0").args(["which", "--toolchain", "nightly", name]);
            read(&mut rustup).map(PathBuf::from)
        };
        let rustc = which("rustc").ok().context("there is no nightly toolchain")?;
        let cargo = which("cargo")?;
        let rustc_version = rustc_version(&rustc)?;
        let llvm = llvm_major(&rustc_version)?;
        let can_link = self.linkers().next().is_some() || llvm_prefix(llvm).is_some();
        if !can_link {
            bail!("there is no bpf-linker, and no LLVM {llvm} to build one for this nightly");
        }
        let sysroot = read(Command::new(&rustc).args(["--print", "sysroot"]))?;
        if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").is_dir() {
            if !self.install {
                bail!("the nightly has no rust-src");
            }
            println!("setup: rustup component add rust-src --toolchain nightly");
            // What hangs is the download, and rustup changes nothing before it is complete.
            let line = ["120", "rustup", "component", "add", "rust-src", "--toolchain", "nightly"];
            run(Command::new("timeout").args(line)).context("the nightly has no rust-src")?;
        }
        self.complete(
            llvm,
            Toolchain {
                way: Way::Rustup.name().to_owned(),
                clippy: which("cargo-clippy").ok().filter(|file| is_executable(file)),
                cargo,
                rustc,
                linker: PathBuf::new(),
                cargo_args: vec!["-Zbuild-std=core".to_owned()],
                env: BTreeMap::new(),
                rustc_version,
                linker_version: String::new(),
            },
        )
    }

    /// By Debian packages.
    pub fn debian(&mut self) -> Result<Toolchain> {
        if !debian::is_debian() {
            bail!("there is no apt-get");
        }
        if self.install {
            debian::install(&DEBIAN_RUST)?;
            if let Err(error) = debian::install(&[DEBIAN_CLIPPY]) {
                println!("setup: no clippy for the eBPF code: {error:#}");
            }
        } else if let [first, ..] = debian::missing(&[&DEBIAN_RUST[..], &[DEBIAN_CLIPPY]].concat())?[..] {
            bail!("package {first} is not installed");
        }
        let rustc = PathBuf::from("/usr/bin/rustc");
        let rustc_version = rustc_version(&rustc)?;
        let llvm = llvm_major(&rustc_version)?;
        self.complete(
            llvm,
            Toolchain {
                way: Way::Debian.name().to_owned(),
                cargo: PathBuf::from("/usr/bin/cargo"),
                rustc,
                linker: PathBuf::new(),
                clippy: Some(PathBuf::from("/usr/bin/cargo-clippy")).filter(|file| is_executable(file)),
                cargo_args: Vec::new(),
                // By the crate's name: aya-ebpf alone may use the one unstable feature that it needs.
                env: BTreeMap::from([("RUSTC_BOOTSTRAP".to_owned(), "aya_ebpf".to_owned())]),
                rustc_version,
                linker_version: String::new(),
            },
        )
    }

    /// Adds the first linker that builds a program with this compiler.
    fn complete(&mut self, llvm: u32, without: Toolchain) -> Result<Toolchain> {
        let mut reason = anyhow!("there is no bpf-linker");
        for linker in self.linkers().collect::<Vec<_>>() {
            match self.with_linker(&without, linker) {
                Ok(toolchain) => return Ok(toolchain),
                Err(error) => reason = error,
            }
        }
        if !self.install {
            return Err(reason);
        }
        if without.way == Way::Debian.name() {
            let packages = [format!("llvm-{llvm}"), format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
            debian::install(&packages.each_ref().map(String::as_str))?;
        }
        let linker = self.build_linker(llvm)?;
        self.with_linker(&without, linker)
    }

    fn with_linker(&mut self, without: &Toolchain, linker: PathBuf) -> Result<Toolchain> {
        let linker_version = version_of(&linker)?;
        let toolchain = Toolchain { linker, linker_version, ..without.clone() };
        let linker = toolchain.linker.display();
        if self.failed.contains(&toolchain) {
            bail!("{linker} does not fit");
        }
        if let Err(error) = trial::build(&toolchain, &self.workspace.target) {
            let error = error.context(format!("{linker} does not fit"));
            println!("setup: by {}, {error:#}", toolchain.way);
            self.failed.push(toolchain);
            return Err(error);
        }
        Ok(toolchain)
    }

    /// The linkers of this machine, a person's own first.
    fn linkers(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let own = self.workspace.target.join("tools/bin/bpf-linker");
        on_path("bpf-linker").into_iter().chain(Some(own).filter(|file| is_executable(file)))
    }

    fn build_linker(&self, llvm: u32) -> Result<PathBuf> {
        let prefix = llvm_prefix(llvm)
            .with_context(|| format!("there is no LLVM {llvm} that bpf-linker {LINKER_VERSION} can use"))?;
        let tools = self.workspace.target.join("tools");
        let feature = format!("llvm-{llvm}");
        println!("setup: cargo install bpf-linker {LINKER_VERSION} with LLVM {llvm} (about a minute)");
        let old_path = env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(prefix.join("bin")).chain(env::split_paths(&old_path));
        run(cargo(self.workspace)
            // cargo's own temporary directory, so that ours holds nothing of it
            .env_remove("CARGO_TARGET_DIR")
            .env("PATH", env::join_paths(path)?)
            .env("LLVM_PREFIX", &prefix)
            // It has LLVM do the work, so what counts is when it is there.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .args(["install", "--quiet", "--locked", "--no-track", "--force", "bpf-linker"])
            .args(["--version", LINKER_VERSION, "--no-default-features", "--features", &feature])
            .arg("--root")
            .arg(&tools))?;
        Ok(tools.join("bin/bpf-linker"))
    }
}

/// Where Debian's LLVM of that version is, if it has what building against it needs.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let usable = LINKER_LLVMS.contains(&llvm) && is_executable(&prefix.join("bin/llvm-config"));
    usable.then_some(prefix)
}

/// What `program --version` says.
pub fn version_of(program: &Path) -> Result<String> {
    read(Command::new(program).arg("--version"))
}

/// What `rustc --version --verbose` says.
pub fn rustc_version(rustc: &Path) -> Result<String> {
    read(Command::new(rustc).args(["--version", "--verbose"]))
}

/// `LLVM version: 22.1.8` is 22.
fn llvm_major(rustc_version: &str) -> Result<u32> {
    rustc_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next()?.parse().ok())
        .context("rustc does not tell the version of its LLVM")
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_version_is_read_from_rustc() {
        let said = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8";
        assert_eq!(llvm_major(said).ok(), Some(22));
        assert!(llvm_major("rustc 1.96.0").is_err());
    }
}
