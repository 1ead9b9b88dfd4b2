//! `cargo xtask bench scale`: what an event costs, and how much memory is needed, as processes become many.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::json;

use crate::{
    bench::{
        empty_scratch,
        figures::Figures,
        live::progress,
        plot::{Plot, Point},
        report,
        trace::path,
    },
    process::{read, run},
    workspace::Workspace,
};

/// What `bench scale` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each figure is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many processes live.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000")]
    processes: Vec<u32>,
    /// How many events of theirs a trace has.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// How many zombies one parent has.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    zombies: u32,
    /// Size of the trace in which moments are looked up, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    size: u64,
    /// How many processes live in it.
    #[arg(long, default_value_t = 50_000)]
    large: u32,
    /// Write the figures into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the cost of an event against the number of processes into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    pub no_build: bool,
}

/// The sub-command, with everything built.
pub fn scale(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let scratch = empty_scratch(workspace, "scale")?;
    let mut bench = Bench { workspace, options, scratch: &scratch, figures: Vec::new() };
    report::machine();
    report::heading();
    bench.churn()?;
    bench.zombies()?;
    bench.moments()?;
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&bench.figures)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    fs::remove_dir_all(&scratch).context("cannot remove the traces")?;
    Ok(ExitCode::SUCCESS)
}

struct Bench<'a> {
    workspace: &'a Workspace,
    options: &'a Options,
    scratch: &'a Path,
    /// What was printed, as JSON.
    figures: Vec<serde_json::Value>,
}

/// What `tracer replay` took for a file.
struct Replayed {
    /// Until the first finding was printed, in seconds; `None` if there was none.
    first: Option<f64>,
    /// Most memory, in MiB.
    peak: f64,
}

impl Bench<'_> {
    /// The same mixture of events among more and more processes.
    fn churn(&mut self) -> Result<()> {
        let Options { rounds, events, .. } = *self.options;
        let mut points = Vec::new();
        for &processes in &self.options.processes {
            progress(&format!("{processes} processes: making a trace"));
            let file = self.scratch.join("churn.mcap");
            self.make(&["churn", &processes.to_string(), &events.to_string(), path(&file)?])?;
            let (mut costs, mut peaks) = (Vec::new(), Vec::new());
            for round in 1..=rounds {
                progress(&format!("{processes} processes: round {round} of {rounds}"));
                let said = read(Command::new(self.maker()).args(["play", path(&file)?]))?;
                let numbers: Vec<f64> = said.split(' ').map_while(|word| word.parse().ok()).collect();
                let [records, ns, _] = numbers[..] else { bail!("scale_bench play says {said:?}") };
                costs.push(ns / records);
                peaks.push(self.replay(&file)?.peak);
            }
            fs::remove_file(&file)?;
            self.figure(&format!("{processes} processes: ns an event"), &costs, None);
            let most = (processes == 100_000).then_some(60.0);
            self.figure(&format!("{processes} processes: memory of a replay, MiB"), &peaks, most);
            let cost = Figures::of(costs).context("no round")?;
            points.push(Point { x: f64::from(processes), y: cost.median, least: cost.min, most: cost.max });
        }
        if let Some(file) = &self.options.plot {
            Plot { title: "Cost of an event", x: "processes", y: "ns an event (one processor)", points }.write(file)?;
        }
        Ok(())
    }

    fn zombies(&mut self) -> Result<()> {
        let Options { rounds, zombies, .. } = *self.options;
        progress(&format!("{zombies} zombies: making a trace"));
        let file = self.scratch.join("zombies.mcap");
        self.make(&["zombies", &zombies.to_string(), path(&file)?])?;
        let (mut firsts, mut peaks) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            progress(&format!("{zombies} zombies: round {round} of {rounds}"));
            let Replayed { first, peak } = self.replay(&file)?;
            firsts.push(first.context("the zombies are not told")?);
            peaks.push(peak);
        }
        self.figure(&format!("{zombies} zombies of one parent: s to the finding"), &firsts, Some(1.0));
        self.figure(&format!("{zombies} zombies of one parent: memory, MiB"), &peaks, Some(300.0));
        fs::remove_file(&file)?;
        Ok(())
    }

    /// The world at nine moments of a large trace of many processes.
    fn moments(&mut self) -> Result<()> {
        let Options { rounds, size, large, .. } = *self.options;
        progress(&format!("{large} processes, {size} MiB: making a trace"));
        let file = self.scratch.join("large.mcap");
        self.make(&["grow", &large.to_string(), &(size << 20).to_string(), path(&file)?])?;
        let bytes = read(Command::new(self.maker()).args(["images", path(&file)?]))?;
        let numbers: Vec<f64> = bytes.split(' ').map_while(|word| word.parse().ok()).collect();
        let [images, all] = numbers[..] else { bail!("scale_bench images says {bytes:?}") };
        let name = format!("{large} processes, {size} MiB");
        self.figure(&format!("{name}: images, % of the file"), &[images / all * 100.0], Some(5.0));
        // The last moment of the recording shows how long it is.
        let mut times = Vec::new();
        for round in 1..=rounds {
            progress(&format!("{name}: round {round} of {rounds}"));
            for tenth in 1..10 {
                let span = read(Command::new(self.maker()).args(["span", path(&file)?]))?;
                let seconds = span.parse::<f64>().context("scale_bench span")? * f64::from(tenth) / 10.0;
                let mut tracer = Command::new(self.workspace.tracer());
                tracer.args(["tree", path(&file)?, "--at", &format!("+{}ms", (seconds * 1e3) as u64)]);
                let began = Instant::now();
                run(tracer.stdin(Stdio::null()).stdout(Stdio::null()))?;
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        self.figure(&format!("{name}: tree --at, ms"), &times, Some(200.0));
        fs::remove_file(&file)?;
        Ok(())
    }

    fn figure(&mut self, name: &str, values: &[f64], most: Option<f64>) {
        progress("");
        report::figure(name, values.iter().copied(), most);
        if let Some(Figures { median, min, max }) = Figures::of(values.iter().copied()) {
            self.figures.push(json!({"name": name, "median": median, "min": min, "max": max, "at_most": most}));
        }
    }

    fn maker(&self) -> PathBuf {
        self.workspace.target.join("release/scale_bench")
    }

    fn make(&self, arguments: &[&str]) -> Result<()> {
        run(Command::new(self.maker()).args(arguments))
    }

    fn replay(&self, file: &Path) -> Result<Replayed> {
        let began = Instant::now();
        let mut command = Command::new(self.workspace.tracer());
        command.arg("replay").arg(file).args(["-o", "json"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start tracer")?;
        let output = child.stdout.take().context("no standard output")?;
        let (send, found) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.contains(r#""type":"finding""#) {
                    // Whoever waits has what it needs after the first.
                    let _ = send.send(began.elapsed());
                }
            }
        });
        let (mut first, mut peak) = (None, 0.0);
        while child.try_wait()?.is_none() {
            // The kernel keeps the peak for as long as the process has memory.
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
            peak = field.and_then(|kib| kib.parse().ok()).unwrap_or(peak);
            match found.recv_timeout(Duration::from_millis(10)) {
                Ok(after) => _ = first.get_or_insert(after.as_secs_f64()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(1)),
            }
        }
        ensure!(child.wait()?.success(), "the replay failed");
        reader.join().map_err(|_| anyhow::anyhow!("the thread that reads has panicked"))?;
        let first = first.or_else(|| found.try_recv().ok().map(|after| after.as_secs_f64()));
        Ok(Replayed { first, peak: peak / 1024.0 })
    }
}
