//! What happens to the whole machine under a tracer: its clock is set, its processors go and come. Nobody wants that of
//! the machine that they work on, so it is done in virtual machines only.

use std::{fs, path::PathBuf, time::Duration};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use tracer_tests::{
    Stage,
    agent::Agent,
    contract::Line,
    machine::{Need, await_within, patience},
    recorded::{Recorded, replay_damaged},
    run::findings,
    tally::Tally,
};

use crate::{Test, live, overload::must_be_the_kernels};

pub fn trials() -> Vec<Test> {
    vec![
        live("a_clock_that_is_set", a_clock_that_is_set).needs(Need::VirtualMachine),
        live("processors_that_go_and_come", processors_that_go_and_come)
            .needs(Need::VirtualMachine)
            .needs(Need::File(PROCESSOR)),
    ]
}

const HOUR: i64 = 3_600;

/// The clock of the machine, set right again when this is dropped.
struct Clock {
    /// How far it has been set ahead, in seconds.
    ahead: i64,
}

impl Clock {
    fn set_ahead_by(&mut self, seconds: i64) {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
        let wanted = Timespec { tv_sec: tv_sec - self.ahead + seconds, tv_nsec };
        clock_settime(ClockId::Realtime, wanted).expect("root sets the clock");
        self.ahead = seconds;
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.set_ahead_by(0);
    }
}

/// Ages, durations and the order of events are those of the boot-time clock, whatever the other one says.
fn a_clock_that_is_set() {
    let mut recorded = Recorded::act(&[], &["parent", "never-waits"]);
    let parent = recorded.stage.pid("parent");
    let mut clock = Clock { ahead: 0 };
    let mut zombies = Vec::new();
    // Of more zombies of one parent, not each is told alone.
    for ahead in [0, HOUR, -HOUR] {
        clock.set_ahead_by(ahead);
        recorded.stage.step("child");
        zombies.push(recorded.stage.pid("child"));
    }
    drop(clock);
    // Nothing is in the file before its first part is full, or 0.8 s old.
    let has_begun = || fs::metadata(recorded.file()).is_ok_and(|file| file.len() > 0);
    await_within(patience(Duration::from_secs(30)), "the recording has begun", has_begun);
    let is_told = |lines: &[Line], zombie| {
        findings(lines).any(|finding| finding.rule == "unreaped-child" && finding.process.pid == zombie)
    };
    await_within(patience(Duration::from_secs(30)), "each zombie is found", || {
        let (lines, _) = replay_damaged(&recorded.file(), &["--each"]);
        zombies.iter().all(|&zombie| is_told(&lines, zombie))
    });
    recorded.stage.closes();
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());

    let lines = recorded.replay(&["--each"]);
    let told: Vec<_> = findings(&lines).filter(|finding| finding.rule == "unreaped-child").collect();
    for zombie in zombies {
        let found = told.iter().find(|finding| finding.process.pid == zombie);
        let Some(found) = found else { panic!("nothing is said of {zombie}: {told:#?}") };
        let age = Duration::from_nanos(found.age_ns.expect("its age"));
        assert!(age < Duration::from_secs(HOUR as u64 / 2), "{zombie} is {age:?} old: {found:?}");
        assert_eq!(found.parent.as_ref().map(|parent| parent.pid), Some(parent));
    }
    let Some(Line::Summary(summary)) = lines.last() else { panic!("there is no summary") };
    assert!(summary.duration_ns < HOUR as u64 / 2 * 1_000_000_000, "{summary:?}");
    assert_eq!(summary.lost["total"], 0, "{summary:?}");
}

/// The processor that goes and comes.
const PROCESSOR: &str = "/sys/devices/system/cpu/cpu1/online";

/// On again when this is dropped.
struct Processor(PathBuf);

impl Processor {
    fn is_on(&self, is_on: bool) {
        fs::write(&self.0, if is_on { "1" } else { "0" }).expect("root turns processors on and off");
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.is_on(true);
    }
}

/// It begins without one of the processors, which comes, has a storm of its own, and goes in the middle of it. Nothing
/// that happened there is missing.
fn processors_that_go_and_come() {
    let processor = Processor(PROCESSOR.into());
    processor.is_on(false);
    let agent = Agent::start("[recorder]\nbefore = \"10s\"\n");
    let mut tally = Tally::beside(&agent);
    for _ in 0..3 {
        processor.is_on(true);
        let mut storm = on_processor(1, || Stage::act(&["storm", "1000"], &Default::default()));
        storm.hears("storm");
        storm.step("go");
        // Whoever is bound to a processor that goes runs elsewhere (`cpuset_cpus_allowed_fallback()`).
        processor.is_on(false);
        storm.hears("over");
    }
    must_be_the_kernels(&agent);
    assert!(tally.must_add_up(&agent), "the kernel has skipped programs");
    agent.end();
}

/// What this does is done there, by all that it starts.
fn on_processor<T>(processor: usize, act: impl FnOnce() -> T) -> T {
    let me = Pid::from_raw(0);
    let before = sched_getaffinity(me).expect("the processors of this thread");
    let mut only = CpuSet::new();
    only.set(processor).expect("a number");
    sched_setaffinity(me, &only).expect("it is on");
    let done = act();
    sched_setaffinity(me, &before).expect("they are on");
    done
}
