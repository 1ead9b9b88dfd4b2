//! What each program costs per run, with the optional hooks of each tier that works here, while process families come
//! and go. For `cargo xtask bench hooks`.
//!
//! A family is a child that has a child and leaves it at once: two forks, two exits, an adoption, two reaps. Other
//! activity on the machine runs the programs too, so the figures per family are meaningful only on a quiet machine. On
//! an emulated processor a nanosecond is not a nanosecond, but the costs of programs can still be compared.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};
use clap::Parser;
use nix::{
    libc,
    sys::{prctl::set_child_subreaper, wait::wait},
    unistd::{ForkResult, fork},
};
use tracer::source::{
    hooks::Hooks,
    live::Live,
    load::{LoadError, LoadOptions, kernel_release},
};
use tracer_tests::run_times::{RunTime, names, of_process};

/// Families between two looks into the ring buffer.
const BATCH: u32 = 100;

#[derive(Parser)]
struct Options {
    /// How often each tier is measured, one after another
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Families in each measurement
    #[arg(long, default_value_t = 500)]
    families: u32,
}

/// One measurement, by the names of the programs.
type Sample = BTreeMap<String, RunTime>;

fn main() -> Result<()> {
    let Options { rounds, families } = Options::parse();
    set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")?;
    let _on = enable_stats(Stats::RunTime).context("the kernel does not count what programs cost (since 5.8)")?;
    println!("hooks of Linux {}: {rounds} rounds of {families} families, medians", kernel_release());
    println!("{:<12} {:<20} {:>15} {:>10} {:>13}", "tier", "program", "runs a family", "ns a run", "ns a family");
    let mut tiers = [Hooks::Tracepoint, Hooks::Kprobe, Hooks::Fentry].map(|hooks| (hooks, Vec::new()));
    let mut impossible = Vec::new();
    for round in 1..=rounds {
        for (hooks, samples) in &mut tiers {
            // A booted kernel that prints nothing for long is given up.
            eprintln!("round {round} of {rounds}, {}", hooks.id());
            match measure(*hooks, families)? {
                Ok(sample) => samples.push(sample),
                Err(why) => impossible.push((*hooks, why)),
            }
        }
    }
    let mut floor = None;
    for (hooks, samples) in &tiers {
        if let Some((_, why)) = impossible.iter().find(|(not, _)| not == hooks) {
            println!("{:<12} not possible here: {why}", hooks.id());
            continue;
        }
        let whole = report(*hooks, samples, f64::from(families));
        let floor = *floor.get_or_insert(whole);
        println!("{:<12} {:<20} {:>40.0}, {:.2} of tracepoint", hooks.id(), "all", whole, whole / floor);
    }
    Ok(())
}

fn measure(hooks: Hooks, families: u32) -> Result<Result<Sample, LoadError>> {
    let mut live = match Live::attach(&LoadOptions { hooks, ..LoadOptions::default() }) {
        Ok(live) => live,
        Err(why) => return Ok(Err(why)),
    };
    let me = std::process::id();
    let before = of_process(me)?;
    for family in 0..families {
        come_and_go()?;
        if family % BATCH == 0 {
            let soon = Instant::now() + Duration::from_secs(1);
            while !live.drain(soon, |_, _| Ok::<(), Infallible>(()))?.is_all {}
        }
    }
    let after = of_process(me)?;
    let since = |id: &u32| after[id].since(before.get(id).copied().unwrap_or_default());
    Ok(Ok(names(after.keys().copied()).into_iter().map(|(id, name)| (name, since(&id))).collect()))
}

/// One family, from its first birth to its last reap.
fn come_and_go() -> Result<()> {
    // SAFETY: there are no other threads, and the child does nothing but these calls.
    if let ForkResult::Child = unsafe { fork() }.context("fork")? {
        // SAFETY: as above; _exit(2) has no preconditions.
        unsafe {
            let _born = fork();
            libc::_exit(0)
        }
    }
    wait().context("wait")?;
    wait().context("wait")?;
    Ok(())
}

/// A line for each program that ran with the families; the sum, a family.
fn report(hooks: Hooks, samples: &[Sample], families: f64) -> f64 {
    let median_of = |of: &dyn Fn(&Sample) -> f64| median(samples.iter().map(of).collect());
    for name in samples.first().into_iter().flat_map(|sample| sample.keys()) {
        let of = |sample: &Sample| sample.get(name).copied().unwrap_or_default();
        let runs = median_of(&|sample| of(sample).runs as f64 / families);
        if runs < 0.1 {
            continue;
        }
        let ns_a_run = median_of(&|sample| of(sample).ns as f64 / of(sample).runs as f64);
        let ns = median_of(&|sample| of(sample).ns as f64 / families);
        println!("{:<12} {name:<20} {runs:>15.2} {ns_a_run:>10.0} {ns:>13.0}", hooks.id());
    }
    median_of(&|sample| sample.values().map(|run_time| run_time.ns as f64).sum::<f64>() / families)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
