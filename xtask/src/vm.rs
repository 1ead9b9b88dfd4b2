//! `cargo xtask vm`: the kernel tests inside Debian's kernels, each booted in QEMU.
//!
//! Everything is below `target/vm/` and nothing is installed on the machine. The processor is
//! emulated, so a pass says that tracer is right there, and nothing about its speed.

use std::{
    collections::HashMap,
    env, fs,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    debian,
    process::{cargo, on_path, shown},
    setup,
    workspace::Workspace,
};

mod apt;
mod boot;
mod image;
mod kernels;
mod machine;
mod verdict;

use kernels::Kernel;
use machine::Machine;
use verdict::Verdict;

/// The series that are booted: between each two of them the kernel changed something that
/// tracer relies on.
const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Programs of the machine that tests start, taken along with their libraries where they are
/// installed (`cargo xtask setup --tests` does that); tests that miss one say so.
const PROGRAMS: [&str; 7] = ["unshare", "nsenter", "tini", "dumb-init", "catatonit", "s6-svscan", "s6-supervise"];

/// What `vm` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Series of Debian's kernels [default: all].
    #[arg(value_name = "KERNEL", value_parser = SERIES)]
    kernels: Vec<String>,
    /// Seconds that one kernel may take, from its start to the power-off.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Arguments for the tests: a part of their names, `--exact`, `--skip NAME`.
    #[arg(last = true)]
    tests: Vec<String>,
}

/// The sub-command. Verdicts go to standard output as they come; the last lines are one for
/// each kernel.
pub fn vm(options: Options) -> Result<ExitCode> {
    let Options { kernels, seconds, tests } = options;
    ensure!(env::consts::ARCH == "x86_64", "only x86-64 kernels are booted, and this machine is {}", env::consts::ARCH);
    ensure!(debian::is_debian(), "the kernels are Debian's: this needs apt-get and dpkg");
    let series = if kernels.is_empty() { SERIES.map(str::to_owned).to_vec() } else { kernels };
    let workspace = Workspace::find()?;
    let folder = workspace.target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;

    setup::toolchain(&workspace, None)?;
    let binaries = Binaries::build(&workspace)?;
    let machine = Machine::find(&folder)?;
    let kernels = kernels::fetch(&folder, &series)?;
    let initrd = folder.join("initramfs.cpio");
    fs::write(&initrd, binaries.image(&machine, &tests)?.finish())
        .with_context(|| format!("cannot write {}", initrd.display()))?;

    let mut ends = Vec::new();
    for kernel in &kernels {
        let Kernel { series, version, vmlinuz } = kernel;
        println!("vm: booting {series} ({version})");
        let log = folder.join(format!("{series}.log"));
        let mut verdict = Verdict::new(series);
        let end = boot::boot(&machine, vmlinuz, &initrd, &log, Duration::from_secs(seconds), |line| {
            if let Some(said) = verdict.hear(line) {
                println!("{said}");
            }
        })?;
        let (is_passed, line) = verdict.end(&end);
        ends.push((is_passed, format!("{line} [{version}] {}", log.display())));
    }
    println!();
    for (_, line) in &ends {
        println!("{line}");
    }
    Ok(if ends.iter().all(|(is_passed, _)| *is_passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What runs inside, linked statically.
struct Binaries {
    tracer: PathBuf,
    workload: PathBuf,
    kernel: PathBuf,
}

impl Binaries {
    fn build(workspace: &Workspace) -> Result<Self> {
        let mut command = cargo(workspace);
        // With a target that is named, these flags are not for build scripts and macros.
        let flags = format!("{} -Ctarget-feature=+crt-static", env::var("RUSTFLAGS").unwrap_or_default());
        command
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", flags.trim())
            .args(["build", "--release", "--target", TARGET, "--package", "tracer", "--package", "tracer-tests"])
            .args(["--bin", "tracer", "--bin", "workload", "--test", "kernel"])
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start `{}`", shown(&command)))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", shown(&command), output.status);
        }
        let mut built = HashMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
            if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
                built.insert(name.to_owned(), PathBuf::from(path));
            }
        }
        let mut take = |name| built.remove(name).with_context(|| format!("cargo built no `{name}`"));
        Ok(Self { tracer: take("tracer")?, workload: take("workload")?, kernel: take("kernel")? })
    }

    /// The root file system. The tests look for the workload in the folder above their own.
    fn image(&self, machine: &Machine, tests: &[String]) -> Result<image::Image> {
        let Self { tracer, workload, kernel } = self;
        let mut image = image::Image::default();
        image.add("/init", 0o755, init(tests).as_bytes())?;
        image.add_file("/bin/busybox", &machine.busybox)?;
        image.add_file("/target/release/tracer", tracer)?;
        image.add_file("/target/release/workload", workload)?;
        image.add_file("/target/release/deps/kernel", kernel)?;
        for program in PROGRAMS.into_iter().filter_map(on_path) {
            image.add_program(&program)?;
        }
        Ok(image)
    }
}

/// The first process: prepares what a booted machine has, runs `tracer doctor` and the tests.
fn init(tests: &[String]) -> String {
    let quoted: Vec<_> = tests.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    include_str!("vm/init.sh").replace("@TESTS@", &quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_tests_as_they_are() {
        let script = init(&["a b".to_owned(), "it's".to_owned()]);
        assert!(script.contains(r"'a b' 'it'\''s'"), "{script}");
    }
}
