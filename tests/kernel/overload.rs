//! More than the reader can take, on purpose: storms that leave it no processor, a reader that is stopped, output that
//! nobody reads. It goes on, its memory stays bounded, what it misses is counted, and its tree is the kernel's again.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    num::NonZero,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tracer::source::live;
use tracer_tests::{
    Stage,
    agent::{Agent, status},
    contract::Line,
    fidelity::kernel::Kernel,
    machine::{self, Need, await_that, await_within},
    recorded::replay,
    run::tracer,
    sameness::{Memory, Moment, world_until},
    stage::kill,
    tally::Tally,
};

use crate::{Test, live as test};

pub fn trials() -> Vec<Test> {
    vec![
        test("storms_at_realtime_priority", storms_at_realtime_priority).needs(Need::Program("chrt")),
        test("a_reader_that_is_stopped", a_reader_that_is_stopped),
        test("output_that_nobody_reads", output_that_nobody_reads),
        test("what_is_missing_in_a_tree_is_seen", what_is_missing_in_a_tree_is_seen),
    ]
}

/// The smallest buffer that holds a turn of a quiet machine, and a short past, so that playing it takes no time.
const SMALL: &str = "[probes]\nring-size = \"64KiB\"\n[recorder]\nbefore = \"10s\"\n";
/// Forks of one storm: two seconds on a processor of its own.
const FORKS: u32 = 10_000;
/// How long after the overload the tree is the kernel's again.
const SOON: Duration = Duration::from_secs(1);
/// What a reader may take at the most, in KiB: 64 MiB of the past and 16 MiB of output are kept by design.
const MEMORY: u64 = 256 << 10;

fn forks() -> u32 {
    if machine::is_emulated() { FORKS / 10 } else { FORKS }
}

/// Has one storm on each processor, and waits until they are over. `before` is the beginning of their commands.
fn storm(before: &[&str]) {
    let workload = machine::workload_path();
    let forks = forks().to_string();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let command = || {
        let words: Vec<_> = before.iter().copied().chain([workload.to_str().expect("text"), "storm", &forks]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    let mut storms: Vec<_> = (0..processors).map(|_| Stage::program(command(), &Default::default())).collect();
    storms.iter_mut().for_each(|storm| storm.hears("storm"));
    storms.iter_mut().for_each(|storm| storm.step("go"));
    storms.iter_mut().for_each(|storm| storm.hears("over"));
}

/// What the process has taken at the most, in KiB.
fn peak(pid: Pid) -> u64 {
    status(pid, "VmHWM").split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Moments from now on, until the tree has had its time to be the kernel's again.
fn moments() -> Vec<Moment> {
    let mut kernel = Kernel::open().expect("the iterator loads");
    let began = live::now();
    let mut moments = Vec::new();
    // However long each takes: one at which there was time enough is among them.
    while moments.last().is_none_or(|last: &Moment| last.at < began + machine::patience(SOON).into()) {
        moments.push(Moment::now(&mut kernel).expect("the iterator runs"));
        thread::yield_now();
    }
    moments
}

/// How the tree differs from the kernel's at the last moment, if it does so at each of the last ones.
fn different(moments: &[Moment], differences: impl Fn(&Moment) -> Vec<String>) -> Option<String> {
    let mut found = Vec::new();
    for moment in moments.iter().rev().take(5) {
        found = differences(moment);
        if found.is_empty() {
            assert!(moment.still() > 20, "only {} processes", moment.still());
            return None;
        }
    }
    Some(found.join("\n"))
}

/// Fails unless the tree of an agent is the kernel's a second from now. On a machine on which others keep the buffer
/// full, that second begins anew.
pub fn must_be_the_kernels(agent: &Agent) {
    let mut found = None;
    for _ in 0..5 {
        let lost = agent.number("tracer_events_dropped_total");
        let moments = moments();
        let memory = Memory::of(agent.child.id()).expect("it answers");
        found = different(&moments, |moment| {
            let believed = memory.until(moment.at).expect("it can be played");
            moment.differences(believed.world()).iter().map(ToString::to_string).collect()
        });
        if found.is_none() || agent.number("tracer_events_dropped_total") == lost {
            break;
        }
    }
    assert_eq!(found, None, "a second later, the tree is not the kernel's");
}

/// What is the same after each overload of an agent.
fn must_have_recovered(agent: Agent, mut tally: Tally) {
    must_be_the_kernels(&agent);
    if !tally.must_add_up(&agent) {
        eprintln!("the kernel has skipped programs, so the counts were not compared");
    }
    let dropped = agent.number("tracer_events_dropped_total");
    assert!(dropped > 0, "64 KiB hold all of that?");
    let peak = peak(agent.pid());
    assert!(peak < MEMORY, "it takes {peak} KiB");
    let summary = agent.summary();
    assert!(summary.lost["total"] >= dropped, "{dropped} were lost, and {summary:?}");
}

/// The reader gets the processor only when the kernel takes it away from those that run in real time
/// (`sched_rt_runtime_us`).
fn storms_at_realtime_priority() {
    for policy in ["-f", "-r"] {
        let agent = Agent::start(SMALL);
        let tally = Tally::beside(&agent);
        storm(&["chrt", policy, "10"]);
        must_have_recovered(agent, tally);
    }
}

fn a_reader_that_is_stopped() {
    let agent = Agent::start(SMALL);
    let tally = Tally::beside(&agent);
    let pid = agent.child.id() as i32;
    kill(pid, Signal::STOP);
    await_that("it is stopped", || machine::stat(pid).is_some_and(|stat| stat.state == 'T'));
    storm(&["nice"]);
    kill(pid, Signal::CONT);
    must_have_recovered(agent, tally);
}

/// Each line is written or counted, and the recording has them all.
fn output_that_nobody_reads() {
    const SHOW: &str = "--events=fork,exec,exit,signal,deliver,reap";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.mcap");
    let mut watch = tracer(&["watch", "-o", "json", SHOW, "--record"]);
    let mut watch = watch.arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tracer runs");
    let pid = Pid::from_child(&watch);
    let has_begun = || world_until(&file, live::now()).is_ok_and(|believed| believed.world().was_listed());
    await_within(machine::patience(Duration::from_secs(15)), "it has begun", has_begun);
    let rounds = if machine::is_emulated() { 1 } else { 4 };
    (0..rounds).for_each(|_| storm(&["nice"]));
    let moments = moments();
    let last = moments.last().expect("there is one").at;
    let is_written = || world_until(&file, live::now()).is_ok_and(|believed| believed.world().now() > last);
    await_within(machine::patience(Duration::from_secs(15)), "the recording has come so far", is_written);
    let found = different(&moments, |moment| {
        let believed = world_until(&file, moment.at).expect("it can be played");
        moment.differences(believed.world()).iter().map(ToString::to_string).collect()
    });
    assert_eq!(found, None, "the tree is not the kernel's");
    let peak = peak(pid);
    assert!(peak < MEMORY, "it takes {peak} KiB");

    kill_process(pid, Signal::TERM).expect("it lives");
    let stdout = BufReader::new(watch.stdout.take().expect("it is piped"));
    let lines: Vec<_> = stdout.lines().map(|line| Line::parse(&line.expect("text")).expect("the contract")).collect();
    let code = watch.wait().expect("it ends").code();
    let mut complaints = String::new();
    watch.stderr.take().expect("it is piped").read_to_string(&mut complaints).expect("text");
    assert_eq!(code, Some(0), "{complaints}");
    let gaps: Vec<_> =
        lines.iter().filter_map(|line| if let Line::Unwritten(gap) = line { Some(gap) } else { None }).collect();
    let unwritten: u64 = gaps.iter().filter_map(|gap| gap["lines"].as_u64()).sum();
    if !machine::is_emulated() {
        assert!(unwritten > 0, "there is room for {} lines", lines.len());
    }
    let Some(Line::Summary(summary)) = lines.last() else { panic!("the last line is no summary: {complaints}") };
    assert_eq!(summary.unwritten, unwritten);
    let all = replay(&file, &[SHOW]).len() as u64;
    assert_eq!((lines.len() - gaps.len()) as u64 + unwritten, all, "lines that are neither written nor counted");
}

/// The comparison of these tests finds what there is to find: the tree of a moment is not that of a later one.
fn what_is_missing_in_a_tree_is_seen() {
    let agent = Agent::start("[recorder]\nbefore = \"10s\"\n");
    let mut kernel = Kernel::open().expect("the iterator loads");
    let before = Moment::now(&mut kernel).expect("the iterator runs");
    let mut nested = Stage::act(&["nested", "2"], &Default::default());
    let pid = nested.pid("init2");
    must_be_the_kernels(&agent);
    let after = Moment::now(&mut kernel).expect("the iterator runs");
    let memory = Memory::of(agent.child.id()).expect("it answers");
    let mut seen = [(before.at, &after), (after.at, &before)].into_iter().map(|(at, moment)| {
        let believed = memory.until(at).expect("it can be played");
        let differences = moment.differences(believed.world());
        differences.iter().any(|one| one.field == "existence" && one.keys.iter().any(|key| key.tgid == pid as u32))
    });
    assert_eq!(seen.next(), Some(true), "a process that the tree does not have");
    // It is younger than that moment, so it may be there.
    assert_eq!(seen.next(), Some(false), "a process that came later");
    agent.end();
}
