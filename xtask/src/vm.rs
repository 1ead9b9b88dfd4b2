//! `cargo xtask vm`: Debian's kernels, each booted in QEMU, with the kernel tests or other programs
//! inside.
//!
//! Everything is below `target/vm/` and nothing is installed on the machine. The processor is
//! emulated, so a pass says that tracer is right there, and nothing about its speed.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    arch::Arch,
    cross::Compiler,
    debian,
    process::{cargo, on_path, shown},
    setup,
    workspace::{PACKAGES, Workspace},
};

mod boot;
mod image;
mod job;
mod kernels;
mod machine;
mod verdict;

pub use job::Job;
use kernels::Kernel;
use machine::Machine;
use verdict::Verdict;

/// The series that are booted: between each two of them the kernel changed something that
/// tracer relies on.
pub const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];

/// Programs of the machine that tests start, taken along with their libraries where they are
/// installed (`cargo xtask setup --tests` does that); tests that miss one say so. Of another architecture there are
/// none.
const PROGRAMS: [&str; 9] =
    ["unshare", "nsenter", "nice", "chrt", "tini", "dumb-init", "catatonit", "s6-svscan", "s6-supervise"];

/// What `vm` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Series of Debian's kernels [default: all].
    #[arg(value_name = "KERNEL", value_parser = SERIES)]
    kernels: Vec<String>,
    /// Seconds that one kernel may take, from its start to the power-off.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Boot kernels of that architecture [default: this machine's].
    #[arg(long)]
    arch: Option<Arch>,
    /// Only download what booting needs.
    #[arg(long, conflicts_with = "main")]
    fetch: bool,
    /// Only the main scenarios, as `cargo xtask test` runs them.
    #[arg(long, conflicts_with = "tests")]
    main: bool,
    /// Which tests: parts of their names, a run for each; then `--exact`, `--skip NAME`.
    #[arg(last = true)]
    tests: Vec<String>,
}

/// The sub-command.
pub fn vm(options: Options) -> Result<ExitCode> {
    let Options { kernels, seconds, arch, fetch, main, tests } = options;
    let arch = arch.map_or_else(Arch::host, Ok)?;
    let kernels = if kernels.is_empty() { SERIES.map(str::to_owned).to_vec() } else { kernels };
    if fetch {
        Downloads::get(&Workspace::find()?, arch, &kernels)?;
        return Ok(ExitCode::SUCCESS);
    }
    if main {
        return boot_all(arch, &kernels, main_jobs, seconds);
    }
    boot_all(arch, &kernels, |_| runs(&tests), seconds)
}

/// A run for each part of a name, as the tests take one; the options behind them are for each.
fn runs(arguments: &[String]) -> Vec<Job> {
    let count = arguments.iter().take_while(|word| !word.starts_with('-')).count();
    let (names, options) = arguments.split_at(count);
    if names.is_empty() {
        return vec![Job::Tests(options.to_vec())];
    }
    names.iter().map(|name| Job::Tests([std::slice::from_ref(name), options].concat())).collect()
}

/// The kernel tests about what differs between kernels: dropped signals, the order of events around an end in each
/// tier, signals that are pending or go no further, the kernel's log about memory, and the whole world under random
/// operations. Not tests that wait for a survey of the limits, which are rare there because each takes long.
const MAIN: [&str; 5] = ["signals::", "orders::", "leaks::a_", "kills::for_want_of_memory", "fidelity::a_seed_of_old"];

/// The main scenarios on that kernel, with the exact hooks that `--hooks best` tries first there. The other kind has
/// the same program behind it.
fn main_jobs(series: &str) -> Vec<Job> {
    let other = if ["5.10", "6.1"].contains(&series) { "::fentry" } else { "::kprobe" };
    MAIN.map(|subject| Job::Tests([subject, "--skip", other].map(str::to_owned).to_vec())).to_vec()
}

/// Boots each kernel of this machine's architecture.
pub fn run(series: &[String], jobs: impl Fn(&str) -> Vec<Job>, seconds: u64) -> Result<ExitCode> {
    boot_all(Arch::host()?, series, jobs, seconds)
}

/// Boots each kernel, and runs `tracer doctor` and its jobs inside. What there is to say goes to
/// standard output as it comes; the last lines are one for each kernel.
fn boot_all(arch: Arch, series: &[String], jobs: impl Fn(&str) -> Vec<Job>, seconds: u64) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let downloads = Downloads::get(&workspace, arch, series)?;
    setup::toolchain(&workspace, None)?;
    let binaries = Binaries::build(&workspace, arch)?;
    boot_each(downloads, jobs, seconds, |machine, jobs| binaries.image(machine, jobs))
}

/// Boots a kernel on which a package is installed: what is below that folder is where it belongs, and the job runs.
pub fn boot_installed(workspace: &Workspace, arch: Arch, series: &str, package: &Path, job: &Job) -> Result<ExitCode> {
    const SECONDS: u64 = 600;
    let downloads = Downloads::get(workspace, arch, &[series.to_owned()])?;
    boot_each(
        downloads,
        |_| vec![job.clone()],
        SECONDS,
        |machine, jobs| {
            let mut image = rooted(machine, "/usr/bin/tracer", jobs)?;
            image.add_tree(package)?;
            Ok(image)
        },
    )
}

/// Boots each kernel on what is made for its jobs.
fn boot_each(
    downloads: Downloads,
    jobs: impl Fn(&str) -> Vec<Job>,
    seconds: u64,
    image: impl Fn(&Machine, &[Job]) -> Result<image::Image>,
) -> Result<ExitCode> {
    let Downloads { folder, machine, kernels } = downloads;
    // Several may be at work at a time.
    let initrd = folder.join(format!("initramfs-{}.cpio", process::id()));

    let mut ends = Vec::new();
    for kernel in &kernels {
        let Kernel { series, version, vmlinuz } = kernel;
        let jobs = jobs(series);
        fs::write(&initrd, image(&machine, &jobs)?.finish())
            .with_context(|| format!("cannot write {}", initrd.display()))?;
        println!("vm: booting {series} ({version})");
        let log = folder.join(format!("{series}.log"));
        let mut verdict = Verdict::new(series, &jobs);
        let end = boot::boot(&machine, vmlinuz, &initrd, &log, Duration::from_secs(seconds), |line| {
            if let Some(said) = verdict.hear(line) {
                println!("{said}");
            }
        })?;
        let (is_passed, line) = verdict.end(&end);
        ends.push((is_passed, format!("{line} [{version}] {}", log.display())));
    }
    fs::remove_file(&initrd).with_context(|| format!("cannot remove {}", initrd.display()))?;
    println!();
    for (_, line) in &ends {
        println!("{line}");
    }
    Ok(if ends.iter().all(|(is_passed, _)| *is_passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What booting needs that is not built here, below `folder`.
struct Downloads {
    folder: PathBuf,
    machine: Machine,
    kernels: Vec<Kernel>,
}

impl Downloads {
    /// Downloads what is not there yet.
    fn get(workspace: &Workspace, arch: Arch, series: &[String]) -> Result<Self> {
        ensure!(debian::is_debian(), "the kernels are Debian's: this needs apt-get and dpkg");
        let folder = match arch {
            Arch::X86 => workspace.target.join("vm"),
            Arch::Arm => workspace.target.join("vm").join(arch.name()),
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let kernels = kernels::fetch(&folder, arch, series)?;
        let machine = Machine::find(&folder, arch)?;
        Ok(Self { folder, machine, kernels })
    }
}

/// What is inside: every program of `tracer` and `tracer-tests`, by name, and the kernel tests. They are those that are
/// tested here, too, with the libraries of this machine, so that nothing is compiled twice. Those for another
/// architecture are linked statically.
struct Binaries {
    programs: BTreeMap<String, PathBuf>,
    tests: PathBuf,
}

impl Binaries {
    fn build(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let mut command = if arch == Arch::host()? {
            let mut command = cargo(workspace);
            command.arg("build");
            command
        } else {
            let compiler = Compiler::find(workspace, arch)?;
            let mut command = compiler.cargo(workspace, &workspace.target.join("cross/build"), &[]);
            command.arg("build").args(compiler.target());
            command
        };
        command
            .args(PACKAGES)
            .args(["--bins", "--test", "kernel", "--message-format=json-render-diagnostics"])
            .stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start `{}`", shown(&command)))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", shown(&command), output.status);
        }
        let mut programs = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
            if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
                programs.insert(name.to_owned(), PathBuf::from(path));
            }
        }
        // It is for people.
        programs.remove("xtask");
        let tests = programs.remove("kernel").context("cargo built no kernel tests")?;
        Ok(Self { programs, tests })
    }

    /// The root file system. The tests look for the programs in the folder above their own.
    fn image(&self, machine: &Machine, jobs: &[Job]) -> Result<image::Image> {
        let Self { programs, tests } = self;
        let mut image = rooted(machine, "/target/release/tracer", jobs)?;
        for (name, path) in programs {
            image.add_program(&format!("/target/release/{name}"), path)?;
        }
        image.add_program("/target/release/deps/kernel", tests)?;
        if machine.arch == Arch::host()? {
            for program in PROGRAMS.into_iter().filter_map(on_path) {
                image.add_program(&program.to_string_lossy(), &program)?;
            }
        }
        Ok(image)
    }
}

/// A root file system in which the jobs run: its first process, which starts tracer from there, and a shell.
fn rooted(machine: &Machine, tracer: &str, jobs: &[Job]) -> Result<image::Image> {
    let mut image = image::Image::default();
    let jobs: String = jobs.iter().map(Job::script).collect();
    let script = job::exports(|name| env::var(name).ok()) + &jobs;
    let init = include_str!("vm/init.sh").replace("@TRACER@", tracer).replace("@JOBS@", &script);
    image.add("/init", 0o755, init.as_bytes())?;
    image.add_file("/bin/busybox", &machine.busybox)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::{Job, runs};

    #[test]
    fn each_part_of_a_name_is_a_run() {
        let of = |line: &str| -> Vec<String> {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let arguments = |job| if let Job::Tests(arguments) = job { arguments.join(" ") } else { String::new() };
            runs(&words).into_iter().map(arguments).collect()
        };
        assert_eq!(of(""), [""]);
        assert_eq!(of("kills:: leaks:: --skip slow"), ["kills:: --skip slow", "leaks:: --skip slow"]);
        assert_eq!(of("--list"), ["--list"]);
    }
}
