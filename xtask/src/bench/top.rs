//! `cargo xtask bench top`: what the full screen costs beside many processes and many events, and how long keys wait.

use std::{
    process::{Command, ExitCode},
    slice,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    bench::{figures::percentile, report},
    process::read,
    workspace::Workspace,
};

/// What `bench top` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often everything is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each measurement, of which a round has four.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=120))]
    seconds: u32,
    /// How many processes there are.
    #[arg(long, default_value_t = 10_000)]
    processes: u32,
    /// How many events there are a second.
    #[arg(long, default_value_t = 50_000)]
    events: u32,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    pub no_build: bool,
}

/// The sub-command, as root and with everything built.
pub fn top(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let Options { rounds, seconds, processes, events, no_build: _ } = *options;
    report::machine();
    println!("{processes} processes, {events} events/s, 160x50 characters, {rounds} rounds of {seconds} s");
    report::heading();
    let mut all = Vec::new();
    for _ in 0..rounds {
        let mut bench = Command::new(workspace.target.join("release/top_bench"));
        bench.arg(workspace.tracer()).args([processes, events, seconds].map(|number| number.to_string()));
        let said = read(&mut bench)?;
        all.push(serde_json::from_str::<Value>(&said).with_context(|| format!("top_bench says {said:?}"))?);
    }
    print(&all);
    Ok(ExitCode::SUCCESS)
}

fn print(all: &[Value]) {
    let figures = |path: &'static str| all.iter().flat_map(move |round| numbers(round, path));
    let percent = |path| figures(path).map(|share| share * 100.0);
    report::figure("watch: events/s", figures("/watch/events"), None);
    report::figure("watch: % of one processor", percent("/watch/cpu"), None);
    report::figure("watch with a recorder: % of one processor", percent("/record/cpu"), None);
    report::figure("watch with a recorder: records lost", figures("/record/lost"), None);
    report::figure("top: signals/s on the screen", figures("/top/signals"), None);
    report::figure("top: the screen's thread, %", percent("/top/screen"), None);
    report::figure("top: the model's thread, %", percent("/top/model"), None);
    report::figure("top: other threads, %", percent("/top/others"), None);
    // top keeps in memory what a recorder writes.
    let drawing = all.iter().filter_map(|round| {
        let number = |path| numbers(round, path).next();
        Some(number("/top/screen")? + number("/top/model")? + number("/top/others")? - number("/record/cpu")?)
    });
    report::figure("top: what it costs more than the recorder, %", drawing.map(|share| share * 100.0), Some(15.0));
    report::figure("top: redraws/s without keys", figures("/top/redraws"), Some(10.0));
    let mut waits: Vec<f64> = figures("/top/keys_ms").collect();
    waits.sort_by(f64::total_cmp);
    for (name, part) in [("half of the keys", 0.5), ("99 of 100 keys", 0.99)] {
        let wait = percentile(&waits, part);
        report::figure(&format!("top: {name} are answered within, ms"), wait, Some(50.0));
    }
    report::figure("top: records lost", figures("/top/lost"), Some(0.0));
}

/// The number at a place, or the numbers of a list.
fn numbers<'a>(round: &'a Value, path: &str) -> impl Iterator<Item = f64> + use<'a> {
    let at = round.pointer(path);
    let list = at.map_or(&[][..], |at| at.as_array().map_or(slice::from_ref(at), Vec::as_slice));
    list.iter().filter_map(Value::as_f64)
}
