//! `cargo xtask bench`: measurements. Nothing here is a test: figures are printed beside their
//! targets, and a person judges them.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::{
    ebpf,
    process::{as_root, is_root, on_path, run, shown},
    setup,
    verifier::{in_kernels, kernel},
    workspace::Workspace,
};

mod figures;
mod live;
mod peers;
mod plot;
mod rate;
mod report;
mod scale;
mod storm;
mod top;
mod trace;
mod tracing;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// What live tracing costs the traced programs: storms of signals and forks, alternately untraced and traced; and what
    /// `perf record` costs them, where there is one.
    Live(Options),
    /// What each program costs per run, with the optional hooks of each tier: here, or in a booted kernel, where the
    /// processor is emulated and only ratios are meaningful.
    Hooks(HooksOptions),
    /// What a recording costs and holds, and what reading it costs.
    Trace(trace::Options),
    /// What live tracing costs, beside perf, bpftrace, libbpf-tools and forkstat: storms of signals, forks and execs,
    /// alternately untraced and with each of them.
    Peers(peers::Options),
    /// What an event costs, and how much memory is needed, as processes become many.
    Scale(scale::Options),
    /// What watching costs as events become many.
    Rate(rate::Options),
    /// What the full screen costs beside many processes and many events, and how long a key waits for its answer.
    Top(top::Options),
}

/// What `bench hooks` is asked for.
#[derive(Debug, Args)]
pub struct HooksOptions {
    /// `host` for the running kernel, and series of Debian's kernels [default: host].
    #[arg(value_name = "KERNEL", value_parser = kernel)]
    kernels: Vec<String>,
}

/// What `bench live` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each variant is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Which storms.
    #[arg(long, value_enum, default_value_t = What::All)]
    what: What,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    no_build: bool,
}

/// Which storms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Signals,
    Forks,
    All,
}

/// The sub-command.
pub fn bench(bench: Bench) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match bench {
        Bench::Hooks(HooksOptions { kernels }) => in_kernels("hook_costs", kernels, 900),
        Bench::Live(options) => {
            prepare(&workspace, options.no_build)?;
            load_generator()?;
            live::live(&workspace, &options)
        }
        Bench::Peers(options) => {
            prepare(&workspace, options.no_build)?;
            load_generator()?;
            peers::peers(&workspace, &options)
        }
        Bench::Trace(options) => {
            prepare(&workspace, options.no_build)?;
            load_generator()?;
            trace::trace(&workspace, &options)
        }
        Bench::Scale(options) => {
            if !options.no_build {
                setup::toolchain(&workspace, None)?;
                ebpf::release(&workspace, &["--bins"])?;
            }
            scale::scale(&workspace, &options)
        }
        Bench::Rate(options) => {
            prepare(&workspace, options.no_build)?;
            rate::rate(&workspace, &options)
        }
        Bench::Top(options) => {
            prepare(&workspace, options.no_build)?;
            top::top(&workspace, &options)
        }
    }
}

/// Builds what is measured, and becomes root.
fn prepare(workspace: &Workspace, no_build: bool) -> Result<()> {
    if !no_build {
        setup::toolchain(workspace, None)?;
        ebpf::release(workspace, &["--bins"])?;
    }
    if !is_root() {
        return Err(again_as_root(workspace)?);
    }
    Ok(())
}

/// The folder for what a measurement leaves.
fn scratch(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// One of that name in it, without what an earlier run has left.
fn empty_scratch(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = scratch(workspace)?.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Checks that stress-ng is there, or installs it.
fn load_generator() -> Result<()> {
    if on_path("stress-ng").is_none() {
        setup::test_packages()?;
        ensure!(on_path("stress-ng").is_some(), "there is no stress-ng on PATH");
    }
    Ok(())
}

/// Becomes the same command as root; returns only why it could not.
fn again_as_root(workspace: &Workspace) -> Result<anyhow::Error> {
    let mut command = as_root("env")?;
    command
        .arg(format!("CARGO_MANIFEST_DIR={}", workspace.root.join("xtask").display()))
        .arg(format!("CARGO_TARGET_DIR={}", workspace.target.display()))
        .arg(env::current_exe().context("the path of this program")?)
        .args(env::args_os().skip(1))
        .arg("--no-build");
    let error = command.exec();
    Ok(anyhow::Error::new(error).context(format!("cannot start `{}`", shown(&command))))
}

/// Processor time that a process has used so far, of all its threads.
fn processor_time(pid: u32) -> Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file).with_context(|| file.clone())?;
    // Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms; the name may hold blanks.
    let fields = stat.rfind(')').and_then(|at| stat.get(at + 2..)).unwrap_or_default();
    let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    ensure!(ticks.len() == 2, "{file} is not as proc_pid_stat(5) says");
    Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
}

/// Asks a process to end, by its pid.
fn terminate(pid: u32) -> Result<()> {
    run(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "kill", &pid.to_string()]).stderr(Stdio::null()))
}
