//! What `--events` shows: the kernel's own order, and numbers that findings refer to.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use serde_json::json;
use tracer::{
    event_loop::event_loop,
    source::{live::Live, load::LoadOptions},
};
use tracer_tests::{
    Run,
    contract::{Event, Line, Process, Sender},
    run::do_nothing,
};

use crate::{Test, live};

/// How long a wake-up may take on a machine under load.
const WITHIN: Duration = Duration::from_secs(15);

pub fn trials() -> Vec<Test> {
    vec![
        live("life_of_a_child", life_of_a_child),
        live("evidence", evidence),
        live("handler_runs", handler_runs),
        live("the_first_wakes", the_first_wakes),
    ]
}

/// Shows all events of this test's own processes: others may send millions of signals.
fn start() -> Run {
    let me = std::process::id().to_string();
    Run::options().events("fork,exit,reap,signal,deliver").args(&["--tree", &me]).start()
}

/// The events in which that process takes part, in words.
fn story(lines: &[Line], pid: i32) -> Vec<String> {
    lines.iter().filter_map(|line| sentence(line, pid)).collect()
}

fn sentence(line: &Line, pid: i32) -> Option<String> {
    let Line::Event(event) = line else { return None };
    let pid_of = |process: &Option<Process>| process.as_ref().map_or(0, |process| process.pid);
    let Event { kind, process, parent, sender, target, signal, verdict, status, owed_by, by, .. } = &**event;
    let sender = match sender {
        Some(Sender::Process(sender)) => sender.pid,
        _ => 0,
    };
    if pid_of(process) == pid {
        match kind.as_str() {
            "fork" => Some(format!("fork by {}", pid_of(parent))),
            "exit" => Some(format!("exit {} owed by {}", status.as_ref()?, pid_of(owed_by))),
            "reap" => Some(format!("reap by {}", pid_of(by))),
            other => Some(other.to_owned()),
        }
    } else if sender == pid || pid_of(target) == pid {
        let (signal, verdict) = (signal.as_ref()?, verdict.as_ref()?);
        // The sender of a signal delivered now is kept only if somebody waits for the signal.
        let from = if kind == "signal" { format!(" from {sender}") } else { String::new() };
        Some(format!("{kind} {signal}{from} to {} {verdict}", pid_of(target)))
    } else {
        None
    }
}

fn life_of_a_child() {
    let mut run = start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    stage.step("wait");
    stage.hears("reaped");
    // The kernel reports it late: some milliseconds after it happened.
    run.wait_until("the reap of the child", |line| {
        sentence(line, child).is_some_and(|words| words.starts_with("reap"))
    });

    let exit = json!({"code": 0});
    assert_eq!(
        story(run.lines(), child),
        [
            format!("fork by {parent}"),
            format!("exit {exit} owed by {parent}"),
            format!("signal SIGCHLD from {child} to {parent} ignored-by-default"),
            format!("reap by {parent}"),
        ]
    );
    run.finish();
}

/// A handler that ran proves that a signal was accepted, and taken.
fn handler_runs() {
    let mut run = start();
    let mut namespace = run.stage(&["init", "handler"]);
    let init = namespace.pid("init");
    let me = std::process::id() as i32;
    tracer_tests::stage::kill(init, rustix::process::Signal::TERM);
    run.wait_until("the handler", |line| sentence(line, init).is_some_and(|words| words.starts_with("deliver")));
    assert_eq!(
        story(run.lines(), init)[1..],
        [format!("signal SIGTERM from {me} to {init} delivered"), format!("deliver SIGTERM to {init} delivered"),]
    );
    run.finish();
}

/// The numbers behind a finding are those of events, and grow along the stream.
fn evidence() {
    let mut run = start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    stage.step("child");
    let child = stage.pid("child");
    let finding = run.expect_finding("unreaped-child").about(child).once();

    let events = run.lines().iter().filter_map(|line| match line {
        Line::Event(event) => Some(&**event),
        _ => None,
    });
    let mut last = 0;
    let mut behind = Vec::new();
    for event in events {
        assert!(event.seq >= last, "{event:?} comes after {last}");
        last = event.seq;
        if finding.evidence.contains(&event.seq) {
            behind.push((event.kind.as_str(), event.process.as_ref().map_or(0, |process| process.pid)));
        }
    }
    assert_eq!(behind, [("exit", child)], "{finding:?}");
    run.finish();
}

/// Whoever waits for a record is woken by the first one after quiet, each time.
fn the_first_wakes() {
    let mut live = Live::attach(&LoadOptions::default()).expect("it can be attached");
    event_loop().expect("there is an event loop").block_on(async {
        for _ in 0..20 {
            live.drain(Instant::now() + WITHIN, |_, _| Ok::<(), Infallible>(())).unwrap();
            // The wait begins first.
            let comes = tokio::time::timeout(WITHIN, live.record());
            let (came, mut marker) = tokio::join!(biased; comes, async { do_nothing() });
            came.expect("it is woken").expect("it can wait");
            marker.wait().expect("the marker can be waited for");
        }
    });
}
