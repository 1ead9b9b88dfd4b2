//! The differential test: a random process tree, and at points of rest a comparison of the world with the kernel.
//!
//! Processes and threads of the workload are *actors* ([`actor`]) that carry out orders. The orders follow from a seed
//! ([`plan`]), in episodes that begin and end with no actor. The driver has the plan carried out ([`crew`]), many
//! orders at a time, while it follows the kernel with `tracer`'s own code, and compares the resulting world with the
//! kernel ([`session`]). Where they differ, it looks for the smallest part of the episode that reproduces the
//! difference ([`shrink`]).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Result;

pub mod actor;
pub mod arena;
pub mod compare;
pub mod crew;
mod explain;
pub mod follower;
pub mod kernel;
mod ledger;
mod model;
pub mod order;
pub mod plan;
mod report;
pub mod session;
pub mod shrink;
mod tasks;
mod truth;

use follower::Losing;
use plan::{NUMBERS, Step};
use session::{Failure, Limits, Session};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the operations.
    pub seed: u64,
    /// How many are carried out.
    pub ops: u64,
    /// Only these, by their numbers.
    pub only: Vec<u64>,
    /// What is allowed for.
    pub limits: Limits,
    /// Records that are to be lost.
    pub losing: Option<Losing>,
    /// How long to look for a smaller part that fails.
    pub shrink_for: Duration,
}

/// Runs, and says on standard output what came of it; false if there was a difference.
///
/// # Errors
/// If the test itself does not work.
pub fn run(options: &Options) -> Result<bool> {
    let Options { seed, ops, only, limits, losing, shrink_for: _ } = options;
    let mut session = Session::start(*limits, *losing)?;
    let began = Instant::now();
    let only: BTreeSet<u64> = only.iter().copied().collect();
    let episodes: BTreeSet<u64> = only.iter().map(|number| number / NUMBERS).collect();
    let mut next = episodes.into_iter();
    let mut episode = 0;
    let mut said = Instant::now();
    while carried_out(&session) < *ops {
        if !only.is_empty() {
            match next.next() {
                Some(asked) => episode = asked,
                None => break,
            }
        }
        let steps = plan::episode(*seed, episode);
        let failure = session.episode(&steps, |number| only.is_empty() || only.contains(&number))?;
        if let Some(failure) = failure {
            report::table(&session, options, began.elapsed());
            println!(
                "DIFFERENCE in episode {episode}, after {} operations of it:\n{}",
                failure.ops.len(),
                failure.text
            );
            drop(session);
            explain(options, &steps, failure)?;
            return Ok(false);
        }
        episode += 1;
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            println!("{} operations so far, {} points of rest", carried_out(&session), session.totals.rests);
        }
    }
    report::table(&session, options, began.elapsed());
    Ok(true)
}

/// Shows the progress.
const SAY_EVERY: Duration = Duration::from_secs(20);

fn carried_out(session: &Session) -> u64 {
    session.crew().counts.values().map(|count| count.done).sum()
}

/// Tries to fail with less.
fn explain(options: &Options, steps: &[Step], failure: Failure) -> Result<()> {
    let Options { seed, ops, only: _, limits, losing, shrink_for } = options;
    println!("looking for a smaller part of it, for {} s at the most", shrink_for.as_secs());
    // What stays for so long has stayed for longer before.
    let limits = Limits { deadline: limits.deadline / 8, ..*limits };
    let mut session = None;
    let mut last = None;
    let mut said = Instant::now();
    let fails = |part: &[u64]| -> Result<bool> {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            println!("does it show with {} operations?", part.len());
        }
        let part: BTreeSet<u64> = part.iter().copied().collect();
        // Races do not go the same way every time.
        for _ in 0..3 {
            let mut fresh = match session.take() {
                Some(session) => session,
                None => Session::start(limits, *losing)?,
            };
            match fresh.episode(steps, |number| part.contains(&number))? {
                Some(failure) => {
                    last = Some(failure);
                    // Its worlds are wrong now.
                    drop(fresh);
                    return Ok(true);
                }
                None => session = Some(fresh),
            }
        }
        Ok(false)
    };
    let smallest = shrink::shrink(&failure.ops, *shrink_for, fails)?;
    let text = match &last {
        Some(last) => last.text.as_str(),
        None => "it did not show again: a race. The whole episode is the best that there is to try.\n",
    };
    println!("\n{} operations are enough:", smallest.len());
    for step in steps {
        if let Step::Op(op) = step
            && smallest.contains(&op.number)
        {
            println!("  {}  actor {}: {:?}", op.number, op.by, op.act);
        }
    }
    println!("{text}");
    let list: Vec<String> = smallest.iter().map(u64::to_string).collect();
    let losing = losing.map_or(String::new(), |Losing { share, ring_size }| {
        format!(" --simulate-loss {share} --ring-size {ring_size}")
    });
    println!("again: cargo xtask fidelity --seed {seed} --ops {ops}{losing} --only {}", list.join(","));
    Ok(())
}
