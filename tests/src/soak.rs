//! The endurance test: an agent that keeps every signal, beside a storm that goes on for as long as it is asked to.
//!
//! Phases of a [`storm`] take turns. Every so often they pause, and what the agent costs ([`usage`]), whether the tree
//! that it shows is the kernel's ([`sameness`](crate::sameness)) and whether it has told what was planted, and nothing
//! false ([`judge`]), becomes a row of a table ([`table`]).

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    agent::Agent,
    fidelity::kernel::Kernel,
    sameness::{Memory, Moment},
    stage::Own,
};

mod engine;
mod judge;
mod plant;
mod storm;
mod table;
mod usage;

use engine::Containers;
use judge::Judge;
use plant::Planted;
use storm::Beside;
use table::{Row, Same, Table};
use usage::Meter;

/// How long to go on, and how often to look.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long all of it lasts.
    pub lasts: Duration,
    /// From one quiet moment to the next.
    pub cycle: Duration,
    /// How many of them at the most.
    pub turns: Option<u64>,
    /// Whether real containers take part.
    pub containers: bool,
}

/// What an agent is told: everything is kept for a moment, and a finding has a trace written, a program run.
const CONFIGURATION: &str = r#"
[findings]
each = true
[thresholds]
unreaped-after = "2s"
[recorder]
before = "5s"
traces = "TRACES"
snapshot-on = ["init-ignored-signal"]
budget = "64MiB"
[reactions]
on-finding = "/bin/true"
"#;

/// Where the agent counts records that were lost.
const LOST: &str = "tracer_events_dropped_total";

/// In one turn of so many, the agent itself is stopped for a while, and misses much. In most it misses nothing: what is
/// read anew after a loss would hide what has gone wrong before.
const STOPPED_EVERY: u64 = 5;
const STOPPED_FOR: Duration = Duration::from_secs(20);

/// How long the tree may take to be the kernel's after a storm. What was lost is known again a second later; an
/// emulated processor, or one that others use, takes longer to find out.
const SAME_WITHIN: Duration = Duration::from_secs(20);
/// How long to wait for others to leave room in the buffer.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// Goes on until it is time, or until it is told to stop; false if something was wrong.
///
/// # Errors
/// If the test itself does not work.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<bool> {
    let Options { lasts, cycle, turns, containers } = *options;
    let mut kernel = Kernel::open()?;
    let mut containers = Containers::find(containers);
    println!("soak: {} s, a quiet moment every {} s, {}", lasts.as_secs(), cycle.as_secs(), containers.who());
    let agent = Agent::start(CONFIGURATION);
    let mut meter = Meter::of(&agent);
    let mut judge = Judge::default();
    let mut table = Table::begin(meter.names());
    let end = Instant::now() + lasts;
    let is_over = || Instant::now() >= end || stop.load(Ordering::Relaxed);
    let mut turn = 0;
    while !is_over() && turns.is_none_or(|turns| turn < turns) {
        turn += 1;
        // By pid, and pids are given to others: whose they are is known for one turn.
        let own = Rc::new(RefCell::new(Own::default()));
        let mut planted = Planted::now(&own, agent.number(LOST));
        let until = Instant::now() + cycle;
        let stopped = (turn % STOPPED_EVERY == 0).then_some(STOPPED_FOR);
        let mut beside = Beside { agent: &agent, judge: &mut judge, containers: &mut containers, stopped };
        storm::blow(&mut beside, &own, &|| Instant::now() < until && !is_over());
        judge.wait_for(&agent, &mut planted);
        let same = same(&agent, &mut kernel, &mut judge)?;
        let wrong = judge.close(&own.borrow(), &planted);
        table.print(Row { usage: meter.read(&agent), same, told: planted.told(), wrong });
    }
    let summary = agent.summary();
    Ok(table.verdict(&summary, stop.load(Ordering::Relaxed)))
}

/// How long it took until the tree was the kernel's, and for how many processes; or how they differ. `None` if others
/// flood the agent with records all the time, so that it is always a moment behind.
fn same(agent: &Agent, kernel: &mut Kernel, judge: &mut Judge) -> Result<Result<Option<Same>, String>> {
    let began = Instant::now();
    let mut quiet = began;
    let mut lost = 0;
    loop {
        let moment = Moment::now(kernel)?;
        let after = began.elapsed();
        let world = Memory::of(agent.child.id())?.until(moment.at)?;
        let mut differences: Vec<_> = moment.differences(world.world()).iter().map(ToString::to_string).collect();
        judge.listen(agent);
        differences.extend(judge.stale(&moment));
        if differences.is_empty() {
            return Ok(Ok(Some(Same { after, processes: moment.still() })));
        }
        let lost_now = agent.number(LOST);
        if lost_now > lost {
            (lost, quiet) = (lost_now, Instant::now());
        }
        if quiet.elapsed() > SAME_WITHIN {
            return Ok(Err(differences.join("\n  ")));
        }
        if began.elapsed() > QUIET_WITHIN {
            return Ok(Ok(None));
        }
        thread::sleep(Duration::from_millis(100));
    }
}
