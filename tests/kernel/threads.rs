//! Scenarios 14, 18 and 20: a process is not the same as its main thread.

use rustix::process::Signal;
use tracer_tests::{
    Run,
    run::{events, findings},
    stage::kill,
};

use crate::{Test, leaks::over, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("child_of_a_thread", child_of_a_thread),
        live("dead_main_thread", dead_main_thread),
        live("exec_by_another_thread", exec_by_another_thread),
        live("an_exec_that_waits_for_a_thread_is_no_end", an_exec_that_waits_for_a_thread_is_no_end),
    ]
}

/// Another thread of the same process adopts, and can wait.
fn child_of_a_thread() {
    let mut run = Run::options().args(&["--thread-adoptions"]).start();
    let mut stage = run.stage(&["forking-thread"]);
    let [process, child] = ["process", "child"].map(|name| stage.pid(name));

    stage.step("end-thread");
    stage.hears("thread-ended");
    run.expect_finding("orphan-adopted").about(child).adopter(process, "thread").dead_parent(process).once();
    kill(child, Signal::KILL);
    stage.hears("reaped");
    run.finish();
}

/// It looks defunct, but is not.
fn dead_main_thread() {
    let mut run = Run::start();
    let mut stage = run.stage(&["dead-leader"]);
    let process = stage.pid("process");

    run.expect_finding("zombie-leader").about(process).once();
    kill(process, Signal::KILL);
    stage.hears("reaped");
    run.finish();
}

/// The main thread dies during the exec, and the process lives on under the same pid.
fn exec_by_another_thread() {
    let mut run = Run::options().events("fork").start();
    let mut stage = run.stage(&["exec-by-thread"]);
    let process = stage.pid("process");

    stage.step("exec");
    assert_eq!(stage.pid("execed"), process);
    run.settle();
    let start = |kind| {
        let mut events = events(run.lines(), kind).filter_map(|event| event.process.as_ref());
        events.find(|p| p.pid == process).unwrap_or_else(|| panic!("{process} has no {kind}")).start_boot_ns
    };
    assert_eq!(start("fork"), start("exec"), "a process keeps its identity");

    kill(process, Signal::KILL);
    let finished = run.finish();
    assert_eq!(findings(&finished.lines).filter(|f| f.process.pid == process && f.rule != "killed-by").count(), 0);
}

/// The main thread is gone, each other thread has a SIGKILL, and one of them hangs: the process does not die of that.
fn an_exec_that_waits_for_a_thread_is_no_end() {
    let mut run = Run::options().args(&["--cannot-die-after", "200ms"]).start();
    run.allow("zombie-leader");
    let mut stage = run.stage(&["exec-while-held"]);
    let process = stage.pid("process");
    stage.step("exec");
    stage.hears("held");

    // One that was to end later is told: so the exec would have been.
    let mut ends = run.stage(&["held-at-its-exit"]);
    let [killed, _] = ["process", "tracer"].map(|name| ends.pid(name));
    kill(killed, Signal::KILL);
    run.expect_finding("cannot-die").about(killed).signal("SIGKILL").once();
    ends.step("let-go");
    ends.hears("reaped");
    over(&mut run, "cannot-die", killed);

    stage.step("let-go");
    assert_eq!(stage.pid("execed"), process);
    kill(process, Signal::KILL);
    stage.hears("reaped");
    run.finish();
}
