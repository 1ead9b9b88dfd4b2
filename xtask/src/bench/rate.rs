//! `cargo xtask bench rate`: what watching costs as events become many.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    bench::{
        figures::Figures,
        live::progress,
        plot::{Plot, Point},
        report,
    },
    process::read,
    workspace::Workspace,
};

/// What `bench rate` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each rate is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=120))]
    seconds: u32,
    /// How many processes there are.
    #[arg(long, default_value_t = 100)]
    processes: u32,
    /// How many events there are a second.
    #[arg(long, value_delimiter = ',', default_value = "0,100,1000,10000,100000,400000")]
    rates: Vec<u32>,
    /// Draw the cost against the rate into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    pub no_build: bool,
}

/// The sub-command, as root and with everything built.
pub fn rate(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let Options { rounds, seconds, processes, rates, plot, no_build: _ } = options;
    report::machine();
    println!("{processes} processes, {rounds} rounds of {seconds} s; every signal goes through the rules");
    report::heading();
    let mut points = Vec::new();
    for &rate in rates {
        let (mut events, mut shares) = (Vec::new(), Vec::new());
        for round in 1..=*rounds {
            progress(&format!("{rate} events/s: round {round} of {rounds}"));
            let mut bench = Command::new(workspace.target.join("release/top_bench"));
            bench.arg(workspace.tracer()).args([*processes, rate, *seconds].map(|number| number.to_string()));
            let said: Value = serde_json::from_str(&read(bench.arg("watch"))?).context("what top_bench says")?;
            let number = |name: &str| said["watch"][name].as_f64().with_context(|| format!("top_bench says no {name}"));
            events.push(number("events")?);
            shares.push(number("cpu")? * 100.0);
        }
        progress("");
        let seen = Figures::of(events).context("no round")?.median;
        report::figure(&format!("{seen:.0} events/s: % of one processor"), shares.iter().copied(), None);
        let Figures { median, min, max } = Figures::of(shares).context("no round")?;
        // The axis has no place for none.
        points.extend((rate > 0).then_some(Point { x: seen, y: median, least: min, most: max }));
    }
    if let Some(file) = plot {
        Plot { title: "Cost of watching", x: "events a second", y: "% of one processor", points }.write(file)?;
    }
    Ok(ExitCode::SUCCESS)
}
