//! `cargo xtask setup`: finds the eBPF toolchain, or installs it.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::{
    debian,
    process::{is_executable, on_path},
    search::{Search, rustc_version, version_of},
    toolchain::{self, Toolchain},
    workspace::Workspace,
};

const DEBIAN_TESTS: [&str; 25] = [
    "tini",
    "dumb-init",
    "catatonit",
    "s6",
    "stress-ng",
    "procps",
    "util-linux",
    // For the fuzzer.
    "g++",
    // For what reads exports and pages.
    "python3-venv",
    "chromium",
    // Kinds of pid 1 for `tracer audit`.
    "nginx-light",
    "lighttpd",
    "redis-server",
    "memcached",
    "supervisor",
    "cron",
    "openssh-server",
    "socat",
    "busybox-static",
    // A terminal for `tracer top`.
    "tmux",
    // Engines of containers.
    "docker.io",
    "podman",
    "containerd",
    "runc",
    // With promtool.
    "prometheus",
];

/// What `setup` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to take the eBPF toolchain from [default: the first that works].
    #[arg(long, value_enum)]
    way: Option<Way>,
    /// Install the Debian packages that the tests use as well.
    #[arg(long)]
    tests: bool,
}

/// Where an eBPF toolchain can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// A nightly with rust-src, and bpf-linker.
    Rustup,
    /// Debian's packages, which bring a ready `core` for eBPF.
    Debian,
}

impl Way {
    /// As it is typed and saved.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        }
    }
}

/// The sub-command.
pub fn setup(options: &Options) -> Result<ExitCode> {
    let Options { way, tests } = options;
    let workspace = Workspace::find()?;
    toolchain(&workspace, *way)?;
    if *tests {
        test_packages()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs what the tests run beside tracer.
pub fn test_packages() -> Result<()> {
    // Whoever has it from elsewhere keeps that: the packages exclude each other.
    let npm = on_path("npm").is_none().then_some("npm");
    let packages: Vec<_> = DEBIAN_TESTS.into_iter().chain(npm).collect();
    debian::install(&packages).context("packages for the tests")?;
    println!("setup: packages for the tests: {}", packages.join(" "));
    Ok(())
}

/// The toolchain of `way`, or of the first way that works: as found earlier, found now,
/// or installed now, in this order.
pub fn toolchain(workspace: &Workspace, way: Option<Way>) -> Result<Toolchain> {
    let file = workspace.target.join(toolchain::FILE);
    if let Some(known) = known(&file, way) {
        announce(&known);
        return Ok(known);
    }
    let mut ways = way.map_or_else(|| Way::value_variants().to_vec(), |way| vec![way]);
    let mut search = Search { workspace, install: false, failed: Vec::new() };
    let mut reasons = Vec::new();
    for install in [false, true] {
        search.install = install;
        reasons.clear();
        if install {
            // Signed packages of the distribution before a toolchain that moves every night.
            ways.reverse();
        }
        for way in &ways {
            let found = match way {
                Way::Rustup => search.rustup(),
                Way::Debian => search.debian(),
            };
            match found {
                Ok(found) => {
                    save(&found, &file)?;
                    announce(&found);
                    return Ok(found);
                }
                Err(reason) => reasons.push(format!("by {}, {reason:#}", way.name())),
            }
        }
    }
    bail!(
        "the eBPF part cannot be built here: {}; next step: as root (or with sudo) on Debian 12 or newer \
         run `cargo xtask setup` again, or install a rustup nightly with rust-src and a bpf-linker \
         whose LLVM is at least as new as the nightly's",
        reasons.join("; ")
    )
}

/// What an earlier run wrote, when it is still true.
fn known(file: &Path, way: Option<Way>) -> Option<Toolchain> {
    let known = Toolchain::from_json(&fs::read(file).ok()?)?;
    let same = way.is_none_or(|way| way.name() == known.way)
        && is_executable(&known.cargo)
        && known.clippy.as_deref().is_none_or(is_executable)
        && version_of(&known.linker).is_ok_and(|version| version == known.linker_version)
        && rustc_version(&known.rustc).is_ok_and(|version| version == known.rustc_version);
    same.then_some(known)
}

fn save(toolchain: &Toolchain, file: &Path) -> Result<()> {
    // By renaming: a build that runs meanwhile never reads half a file.
    let unfinished = file.with_extension("json.new");
    fs::write(&unfinished, toolchain.to_json())
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn announce(toolchain: &Toolchain) {
    let Toolchain { way, rustc_version, linker, linker_version, .. } = toolchain;
    let rustc = rustc_version.lines().next().unwrap_or_default();
    println!("setup: eBPF toolchain by {way}: {rustc}; {linker_version} ({})", linker.display());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_saved_is_read_again() {
        let toolchain = Toolchain {
            way: Way::Debian.name().to_owned(),
            cargo: "/bin/cargo".into(),
            rustc: "/bin/rustc".into(),
            linker: "/a b/bpf-linker".into(),
            clippy: None,
            cargo_args: vec!["-Zbuild-std=core".to_owned()],
            env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            rustc_version: "rustc 1\nLLVM version: 22".to_owned(),
            linker_version: "bpf-linker 1".to_owned(),
        };
        assert_eq!(Toolchain::from_json(toolchain.to_json().as_bytes()), Some(toolchain));
        assert_eq!(Toolchain::from_json(b""), None);
        assert_eq!(Toolchain::from_json(b"{}"), None);
    }
}
