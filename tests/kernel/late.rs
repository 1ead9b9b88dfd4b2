//! Scenario 28: `tracer` starts after everything has happened.

use std::{cell::RefCell, rc::Rc};

use rustix::process::Signal;
use tracer_tests::{
    Run, Stage,
    machine::{self, await_that},
    stage::{Own, kill},
};

use crate::{Test, leaks::over, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("zombie", zombie),
        live("orphaned_zombie", orphaned_zombie),
        live("held_by_a_tracer", held_by_a_tracer),
        live("dead_main_thread", dead_main_thread),
        live("stopped", stopped),
        live("stopped_and_continued", stopped_and_continued),
        live("namespaces", namespaces),
    ]
}

fn before(act: &[&str]) -> (Stage, Rc<RefCell<Own>>) {
    let own = Rc::default();
    (Stage::act(act, &own), own)
}

fn late(own: &Rc<RefCell<Own>>) -> Run {
    let run = Run::start();
    run.adopt(own);
    run
}

fn zombie() {
    let (mut stage, own) = before(&["parent", "never-waits"]);
    stage.step("child");
    let (parent, child) = (stage.pid("parent"), stage.pid("child"));
    let mut run = late(&own);

    let found = run.expect_finding("unreaped-child").about(child).parent(parent);
    let found = found.blame("parent alive and never waits").once();
    // Its age is known, or is at least the time since tracing began.
    assert!(found.age_ns > Some(0) || found.age_is_lower_bound == Some(true), "{found:?}");
    run.finish();
}

fn orphaned_zombie() {
    let (mut stage, own) = before(&["orphanage"]);
    let [init, shell, leaf] = ["init", "shell", "leaf"].map(|name| stage.pid(name));
    kill(shell, Signal::KILL);
    kill(leaf, Signal::KILL);
    let mut run = late(&own);

    // Nothing distinguishes an adopted child from the parent's own any more.
    for child in [shell, leaf] {
        run.expect_finding("unreaped-child").about(child).parent(init).once();
    }
    run.finish();
}

fn held_by_a_tracer() {
    let (mut stage, own) = before(&["traced"]);
    let [child, tracer] = ["child", "tracer"].map(|name| stage.pid(name));
    kill(child, Signal::KILL);
    let mut run = late(&own);
    run.expect_finding("unreaped-child").about(child).parent(tracer).blame("held by a tracer").once();
    run.finish();
}

fn dead_main_thread() {
    let (mut stage, own) = before(&["dead-leader"]);
    let process = stage.pid("process");
    let mut run = late(&own);
    run.expect_finding("zombie-leader").about(process).once();
    run.finish();
}

fn await_stop_of(pid: i32) {
    let is_stopped = || machine::stat(pid).is_some_and(|stat| stat.state == 'T');
    await_that(&format!("process {pid} is stopped"), is_stopped);
}

fn stopped() {
    let (mut stage, own) = before(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    kill(parent, Signal::STOP);
    await_stop_of(parent);
    let mut run = Run::options().args(&["--stopped-after", "500ms"]).start();
    run.adopt(&own);
    let found = run.expect_finding("stopped-job").about(parent).signal("SIGSTOP").once();
    assert_eq!(found.sender, None, "{found:?}");
    kill(parent, Signal::CONT);
    over(&mut run, "stopped-job", parent);
    run.finish();
}

fn stopped_and_continued() {
    let (mut stage, own) = before(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    kill(parent, Signal::STOP);
    await_stop_of(parent);
    kill(parent, Signal::CONT);
    let mut run = Run::options().args(&["--stopped-after", "1ms"]).start();
    run.adopt(&own);
    run.settle();
    run.finish();
}

/// Events in a namespace that existed before are reported as in any other.
fn namespaces() {
    let (mut namespace, own) = before(&["init", "plain"]);
    let init = namespace.pid("init");
    let mut stage = Stage::act(&["inside", &init.to_string()], &own);
    stage.step("fork");
    let [inside, leaf] = ["inside", "leaf"].map(|name| stage.pid(name));
    let mut run = late(&own);

    stage.step("kill SIGTERM 1");
    stage.hears("killed");
    let found = run.expect_finding("init-ignored-signal").about(init).at_level(1, 1);
    found.reason("no-handler").sender(inside).once();
    kill(inside, Signal::KILL);
    run.expect_finding("orphan-adopted").about(leaf).adopter(init, "namespace-init").dead_parent(inside).once();
    stage.hears("reaped");
    kill(init, Signal::KILL);
    run.expect_finding("namespace-killed").about(init).killed(1).once();
    run.finish();
}
