//! Scenarios 11, 17 and 19: children that nobody waits for, and why.

use rustix::process::Signal;
use tracer_tests::{Run, stage::kill};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("parent_never_waits", parent_never_waits),
        live("parent_waits", parent_waits),
        live("parent_ignores_sigchld", || no_zombie_under("ignores-sigchld")),
        live("parent_wants_no_zombies", || no_zombie_under("no-cld-wait")),
        live("parent_is_stopped", parent_is_stopped),
        live("parent_is_blocked", parent_is_blocked),
        live("held_by_a_tracer", held_by_a_tracer),
        live("threshold_is_two_seconds", threshold_is_two_seconds),
    ]
}

fn parent_never_waits() {
    let mut run = Run::start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    for _ in 0..3 {
        stage.step("child");
        let child = stage.pid("child");
        let found = run.expect_finding("unreaped-child").about(child).parent(parent).certain();
        let found = found.blame("parent alive and never waits").once();
        let age = found.age_ns.expect("the contract says so");
        assert!((300_000_000..3_000_000_000).contains(&age), "reported at an age of {age} ns");
        assert_ne!(found.age_is_lower_bound, Some(true), "its end was seen");
    }
    run.finish();
}

fn parent_waits() {
    let run = Run::start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    for _ in 0..3 {
        stage.step("child");
        stage.step("wait");
        stage.hears("reaped");
    }
    run.finish();
}

fn no_zombie_under(parent: &str) {
    let run = Run::start();
    let mut stage = run.stage(&["parent", parent]);
    for _ in 0..3 {
        stage.step("child");
        stage.hears("child");
    }
    run.finish();
}

fn parent_is_stopped() {
    let mut run = Run::start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    kill(parent, Signal::STOP);
    run.expect_finding("unreaped-child").about(child).parent(parent).blame("parent stopped").once();
    run.finish();
}

fn parent_is_blocked() {
    let mut run = Run::start();
    let mut stage = run.stage(&["vfork"]);
    let (parent, child) = (stage.pid("parent"), stage.pid("child"));
    stage.hears("vforked");
    run.expect_finding("unreaped-child").about(child).parent(parent).blame("parent blocked").once();
    run.finish();
}

fn held_by_a_tracer() {
    let mut run = Run::start();
    let mut stage = run.stage(&["traced"]);
    let [child, tracer] = ["child", "tracer"].map(|name| stage.pid(name));
    kill(child, Signal::KILL);
    run.expect_finding("unreaped-child").about(child).parent(tracer).blame("held by a tracer").once();
    run.finish();
}

/// The default.
fn threshold_is_two_seconds() {
    let mut run = Run::options().unreaped_after("2s").start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    stage.step("child");
    let child = stage.pid("child");
    let found = run.expect_finding("unreaped-child").about(child).once();
    let age = found.age_ns.expect("the contract says so");
    assert!((2_000_000_000..4_000_000_000).contains(&age), "reported at an age of {age} ns");
    run.finish();
}
