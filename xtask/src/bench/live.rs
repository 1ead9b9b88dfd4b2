//! `cargo xtask bench live`: the rounds.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;

use crate::{
    bench::{
        Options, What, report, scratch,
        storm::{self, Speed, Storm},
        tracing::{Account, Counting, RunTime, Variant},
    },
    workspace::Workspace,
};

/// One measurement.
#[derive(Debug)]
pub struct Sample {
    /// How fast the storm was.
    pub speed: Speed,
    /// What tracer said of it, where it ran.
    pub account: Option<Account>,
}

/// All measurements of one variant, in the order of the rounds.
#[derive(Debug)]
pub struct Series {
    /// Which.
    pub variant: Variant,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// What its programs cost.
    pub run_times: Vec<RunTime>,
}

/// The sub-command, as root and with everything built.
pub fn live(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let storms: &[Storm] = match options.what {
        What::Signals => &[Storm::Signals],
        What::Forks => &[Storm::Forks],
        What::All => &[Storm::Signals, Storm::Forks],
    };
    report::machine();
    for &storm in storms {
        let series = rounds(storm, workspace, options)?;
        report::storm(storm, options.rounds, options.seconds, &series);
    }
    Ok(ExitCode::SUCCESS)
}

fn rounds(storm: Storm, workspace: &Workspace, options: &Options) -> Result<Vec<Series>> {
    let Options { rounds, seconds, .. } = *options;
    let scratch = scratch(workspace)?;
    let at_most = Duration::from_secs(u64::from(seconds) + 60);
    let mut all: Vec<_> = Variant::of(storm)
        .iter()
        .map(|&variant| Series { variant, samples: Vec::new(), run_times: Vec::new() })
        .collect();
    for round in 0..rounds as usize {
        progress(&format!("{}: round {} of {rounds}", storm.unit(), round + 1));
        // Each begins a round in its turn: whatever grows within a round favours nobody.
        for i in 0..all.len() {
            let i = (i + round) % all.len();
            let Series { variant, samples, .. } = &mut all[i];
            let tracing = variant.start(storm, workspace, &scratch, at_most)?;
            let speed = storm::run(storm, 1, seconds, &scratch)?;
            samples.push(Sample { speed, account: tracing.stop()? });
        }
    }
    progress(&format!("{}: kernel time", storm.unit()));
    for Series { variant, run_times, .. } in &mut all {
        let tracing = variant.start(storm, workspace, &scratch, at_most)?;
        if let Some(pid) = tracing.pid() {
            let counting = Counting::start(pid, workspace)?;
            storm::run(storm, 1, seconds, &scratch)?;
            *run_times = counting.stop()?;
        }
        tracing.stop()?;
    }
    progress("");
    Ok(all)
}

/// One line that is overwritten by the next, for a person who waits.
pub fn progress(line: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
    }
}
