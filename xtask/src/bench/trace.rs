//! `cargo xtask bench trace`: what a recording costs and holds, and what reading it costs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    bench::{
        empty_scratch,
        live::progress,
        report::{self, figure},
        storm::{self, Storm},
        tracing::{Account, Tracing},
    },
    process::{on_path, read},
    workspace::Workspace,
};

/// What `bench trace` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each variant is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each recording.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Size of the trace that is read, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    size: u64,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    pub no_build: bool,
}

/// All signals enter the stream, and a storm's are not printed.
const QUIET: [&str; 2] = ["--events=signal", "--lost"];

/// The sub-command, as root and with everything built.
pub fn trace(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let scratch = empty_scratch(workspace, "trace")?;
    let bench = Bench { workspace, options, scratch: &scratch };
    report::machine();
    report::heading();
    let trace = bench.recordings()?;
    bench.reading(&trace)?;
    fs::remove_dir_all(&scratch).context("cannot remove the traces")?;
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    workspace: &'a Workspace,
    options: &'a Options,
    scratch: &'a Path,
}

/// One recording.
struct Recorded {
    account: Account,
    bytes: u64,
    records: u64,
    /// Processor time an event of the same storm without a recorder, in nanoseconds.
    without: f64,
}

impl Bench<'_> {
    /// Records each storm; gives a trace of forks and execs.
    fn recordings(&self) -> Result<PathBuf> {
        let trace = self.scratch.join("small.mcap");
        for (storm, workers) in [(Storm::Execs, 2), (Storm::Forks, 2), (Storm::Signals, 1)] {
            let name = format!("stress-ng --{} {workers}", storm.stressor());
            let mut all = Vec::new();
            for round in 1..=self.options.rounds {
                progress(&format!("{name}: round {round} of {}", self.options.rounds));
                all.push(self.record(storm, workers, &trace)?);
            }
            progress("");
            let most = match storm {
                Storm::Signals => 3.4,
                Storm::Forks => 9.0,
                Storm::Execs => 12.0,
            };
            let bytes = |r: &Recorded| r.bytes as f64 / r.records as f64;
            figure(&format!("{name}: bytes an event"), all.iter().map(bytes), Some(most));
            figure(&format!("{name}: records lost"), all.iter().map(|r| r.account.lost as f64), Some(0.0));
            let cost = |r: &Recorded| (r.account.cpu_ns as f64 / r.account.events as f64 - r.without) / 1e3;
            figure(&format!("{name}: recorder, µs an event"), all.iter().map(cost), Some(0.4));
            if storm == Storm::Signals {
                self.played(&name, &trace, 6.0)?;
            }
            if storm == Storm::Execs {
                fs::rename(&trace, self.scratch.join("execs.mcap"))?;
                self.perf()?;
            }
        }
        Ok(self.scratch.join("execs.mcap"))
    }

    fn record(&self, storm: Storm, workers: u32, trace: &Path) -> Result<Recorded> {
        let Self { workspace, options, scratch } = self;
        let at_most = Duration::from_secs(u64::from(options.seconds) + 60);
        let traced = |arguments: &[&str]| -> Result<Account> {
            let tracing = Tracing::watch(arguments, workspace, at_most)?;
            storm::run(storm, workers, options.seconds, scratch)?;
            tracing.stop()?.context("tracer gives no account")
        };
        let plain = traced(&QUIET)?;
        let _ = fs::remove_file(trace);
        let account = traced(&[&QUIET[..], &["--record", path(trace)?]].concat())?;
        let records = self.inside(&["play", path(trace)?])?[0] as u64;
        let without = plain.cpu_ns as f64 / plain.events as f64;
        Ok(Recorded { account, bytes: fs::metadata(trace)?.len(), records, without })
    }

    /// The same by `perf record`, where there is one.
    fn perf(&self) -> Result<()> {
        if on_path("perf").is_none() {
            println!("there is no perf on PATH (Debian: linux-perf), so that it is not compared");
            return Ok(());
        }
        let Options { seconds, .. } = *self.options;
        progress("perf record of the same");
        let file = self.scratch.join("perf.data");
        let events = ["fork", "exec", "exit", "free"].map(|event| format!("sched:sched_process_{event}"));
        let events = [&events[..], &["signal:signal_generate".to_owned()]].concat().join(",");
        let mut perf = Command::new("perf");
        perf.args(["record", "-a", "-q", "-e", &events, "-o", path(&file)?, "--", "sleep"]);
        // The storm begins a moment after it is asked for.
        let mut perf = perf.arg((seconds + 1).to_string()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        storm::run(Storm::Execs, 2, seconds, self.scratch)?;
        storm::wait(&mut perf, Duration::from_secs(60))?;
        let said = read(Command::new("perf").args(["script", "-F", "event", "-i", path(&file)?]))?;
        let count = said.lines().count().max(1);
        progress("");
        figure("perf record of the same: bytes an event", [fs::metadata(&file)?.len() as f64 / count as f64], None);
        Ok(())
    }

    fn reading(&self, small: &Path) -> Result<()> {
        let Options { rounds, size, .. } = *self.options;
        let large = self.scratch.join("large.mcap");
        progress(&format!("making a trace of {size} MiB"));
        self.inside(&["grow", path(small)?, path(&large)?, &(size << 20).to_string()])?;
        let name = format!("trace of {size} MiB");
        let row = |what: &str, rounds: u32, most: Option<f64>, one: &mut dyn FnMut() -> Result<Vec<f64>>| {
            let mut all = Vec::new();
            for round in 1..=rounds {
                progress(&format!("{name}: {what}: round {round} of {rounds}"));
                all.extend(one()?);
            }
            progress("");
            figure(&format!("{name}: {what}"), all, most);
            anyhow::Ok(())
        };
        row("the world at a moment, ms", 1, Some(200.0), &mut || {
            Ok(self.inside(&["seek", path(&large)?])?.iter().map(|ns| ns / 1e6).collect())
        })?;
        self.played(&name, &large, 3.0)?;
        row("memory of a replay, MiB", rounds, Some(100.0), &mut || Ok(vec![self.peak(&large)? / 1024.0]))?;
        Ok(())
    }

    /// How fast decoder, world and rules are.
    fn played(&self, name: &str, trace: &Path, least: f64) -> Result<()> {
        let play = |round| {
            progress(&format!("{name}: played: round {round} of {}", self.options.rounds));
            let figures = self.inside(&["play", path(trace)?])?;
            let [records, ns, ..] = figures[..] else { bail!("trace_bench play says {figures:?}") };
            Ok(records / ns * 1e3)
        };
        let speeds = (1..=self.options.rounds).map(play).collect::<Result<Vec<_>>>()?;
        progress("");
        report::speed(&format!("{name}: played, million events a second"), speeds, least);
        Ok(())
    }

    /// The first two numbers of the first line, or the first of each, that `trace_bench` prints.
    fn inside(&self, arguments: &[&str]) -> Result<Vec<f64>> {
        let said = read(Command::new(self.workspace.target.join("release/trace_bench")).args(arguments))?;
        let numbers = |line: &str| line.split(' ').map_while(|word| word.parse().ok()).collect::<Vec<f64>>();
        Ok(said.lines().flat_map(numbers).collect())
    }

    /// The most memory that a replay had, in KiB.
    fn peak(&self, file: &Path) -> Result<f64> {
        let mut command = Command::new(self.workspace.tracer());
        command.arg("replay").arg(file).args(["-o", "json"]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().context("cannot start tracer")?;
        let mut peak = 0.0;
        while child.try_wait()?.is_none() {
            // The kernel keeps the peak for as long as the process has memory.
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
            peak = field.and_then(|kib| kib.parse().ok()).unwrap_or(peak);
            thread::sleep(Duration::from_millis(20));
        }
        ensure!(child.wait()?.success(), "the replay failed");
        Ok(peak)
    }
}

/// As an argument.
pub fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
