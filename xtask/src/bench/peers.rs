//! `cargo xtask bench peers`: what tracer costs the traced programs, beside what others cost them, in the same minutes.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    bench::{
        figures::Figures,
        live::progress,
        processor_time, report, scratch,
        storm::{self, Speed, Storm},
        tracing::Variant,
    },
    debian,
    workspace::Workspace,
};

mod known;
mod watching;

use known::{PACKAGES, Peer};
use watching::Watching;

/// What `bench peers` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of each measurement.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Measure what is in the target directory, without building it first.
    #[arg(long)]
    pub no_build: bool,
}

/// What watches a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Tracer(Variant),
    Peer(Peer),
}

impl Who {
    /// All that say something of it; nobody first.
    fn all(storm: Storm) -> Vec<Self> {
        let variants = [Variant::Untraced, Variant::Watch, Variant::EverySignal];
        let tracers =
            variants.into_iter().filter(|&variant| storm == Storm::Signals || variant != Variant::EverySignal);
        let peers = Peer::ALL.into_iter().filter(|peer| peer.command(storm).is_some());
        tracers.map(Self::Tracer).chain(peers.map(Self::Peer)).collect()
    }

    fn name(self, storm: Storm) -> String {
        match self {
            Self::Tracer(Variant::Untraced) => Variant::Untraced.name().to_owned(),
            Self::Tracer(variant) => format!("tracer {}", variant.name()),
            Self::Peer(peer) => peer.name(storm).to_owned(),
        }
    }
}

/// One measurement.
#[derive(Debug)]
struct Sample {
    speed: Speed,
    /// The watcher's own processor time.
    used: Duration,
    /// What the watcher itself says that it has lost, if it says that as a number.
    lost: u64,
}

/// The sub-command, as root and with everything built.
pub fn peers(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    debian::install(&PACKAGES).context("the peers")?;
    let scratch = scratch(workspace)?;
    report::machine();
    for storm in [Storm::Signals, Storm::Forks, Storm::Execs] {
        rounds(storm, workspace, &scratch, options)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rounds(storm: Storm, workspace: &Workspace, scratch: &Path, options: &Options) -> Result<()> {
    let Options { rounds, seconds, no_build: _ } = *options;
    let mut all: Vec<(Who, Vec<Sample>)> = Who::all(storm).into_iter().map(|who| (who, Vec::new())).collect();
    let mut failed = Vec::new();
    for round in 0..rounds as usize {
        progress(&format!("{}: round {} of {rounds}", storm.unit(), round + 1));
        // Each begins a round in its turn: whatever grows within a round favours nobody.
        for i in 0..all.len() {
            let i = (i + round) % all.len();
            let (who, samples) = &mut all[i];
            match (measure(*who, storm, workspace, scratch, seconds), *who) {
                (Ok(sample), _) => samples.push(sample),
                // A peer that does not work here is told of, and is not measured again.
                (Err(error), Who::Peer(_)) => failed.push((i, format!("{error:#}"))),
                (Err(error), _) => return Err(error),
            }
        }
        for (i, why) in failed.drain(..).rev() {
            let (who, _) = all.remove(i);
            progress("");
            println!("{} does not work here: {why}", who.name(storm));
        }
    }
    progress("");
    table(storm, options, &all);
    Ok(())
}

fn measure(who: Who, storm: Storm, workspace: &Workspace, scratch: &Path, seconds: u32) -> Result<Sample> {
    match who {
        Who::Tracer(variant) => {
            let tracing = variant.start(storm, workspace, scratch, Duration::from_secs(u64::from(seconds) + 60))?;
            let before = tracing.pid().map(processor_time).transpose()?.unwrap_or_default();
            let speed = storm::run(storm, 1, seconds, scratch)?;
            let used = tracing.pid().map(processor_time).transpose()?.unwrap_or_default() - before;
            let lost = tracing.stop()?.map_or(0, |account| account.lost);
            Ok(Sample { speed, used, lost })
        }
        Who::Peer(peer) => {
            let words = peer.command(storm).context("it knows nothing of such a storm")?;
            let watching = Watching::start(&words, scratch)?;
            let speed = storm::run(storm, 1, seconds, scratch)?;
            let (used, _) = watching.stop()?;
            Ok(Sample { speed, used, lost: 0 })
        }
    }
}

fn table(storm: Storm, options: &Options, all: &[(Who, Vec<Sample>)]) {
    let Options { rounds, seconds, no_build: _ } = options;
    let unit = storm.unit();
    println!();
    println!("{unit}: `stress-ng --{} 1`, {rounds} rounds of {seconds} s, medians", storm.stressor());
    println!("ratios are taken within each round; the second by the processor time that stress-ng counts");
    println!(
        "{:<28} {:>10} {:>17} {:>12} {:>13} {:>12} {:>13} {:>14}",
        "",
        format!("{unit}/s"),
        "min–max",
        "of untraced",
        "min–max",
        "by CPU time",
        "min–max",
        "own CPU"
    );
    let Some((_, untraced)) = all.iter().find(|(who, _)| *who == Who::Tracer(Variant::Untraced)) else { return };
    for (who, samples) in all {
        let of = |samples: &[Sample], of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
        let Some(speed) = Figures::of(of(samples, |sample| sample.speed.per_second)) else { continue };
        let ratio = |part: fn(&Sample) -> f64| {
            Figures::of_ratios(of(samples, part), of(untraced, part))
                .map_or_else(Default::default, |Figures { median, min, max }| {
                    (format!("{median:.2}"), format!("{min:.2}–{max:.2}"))
                })
        };
        let (clock, clock_spread) = ratio(|sample| sample.speed.per_second);
        let (cpu, cpu_spread) = ratio(|sample| sample.speed.per_cpu_second);
        let used = Figures::of(of(samples, |sample| sample.used.as_secs_f64() * 1e3)).map_or(0.0, |used| used.median);
        let line = format!(
            "{:<28} {:>10.0} {:>17} {clock:>12} {clock_spread:>13} {cpu:>12} {cpu_spread:>13} {:>11.0} ms",
            who.name(storm),
            speed.median,
            format!("{:.0}–{:.0}", speed.min, speed.max),
            used,
        );
        println!("{line}");
        let lost: u64 = samples.iter().map(|sample| sample.lost).sum();
        if lost > 0 {
            println!("!!! {}: {lost} RECORDS WERE LOST !!!", who.name(storm));
        }
    }
    report::others(all.iter().flat_map(|(_, samples)| samples).map(|sample| sample.speed.others));
}
