//! Scenarios 11, 17 and 19: children that nobody waits for, and why.

use rustix::process::Signal;
use tracer::source::hooks::Hooks;
use tracer_tests::{
    Run,
    contract::{Event, Line},
    machine::{Control, Group, Need},
    stage::kill,
    stream::tells_calls,
};

use crate::{Test, in_each_tier, live};

pub fn trials() -> Vec<Test> {
    let mut trials = in_each_tier![how_a_reap_is_known];
    trials.extend([
        live("parent_never_waits", parent_never_waits),
        live("parent_waits", parent_waits),
        live("parent_ignores_sigchld", || no_zombie_under("ignores-sigchld")),
        live("parent_wants_no_zombies", || no_zombie_under("no-cld-wait")),
        live("parent_is_stopped", parent_is_stopped),
        live("parent_is_blocked", parent_is_blocked),
        live("parent_is_frozen", parent_is_frozen).needs(Need::Freezer),
        live("held_by_a_tracer", held_by_a_tracer),
        live("threshold_is_two_seconds", threshold_is_two_seconds),
    ]);
    trials
}

/// The exact moment, thread and call; or an upper bound, and who owed the wait.
fn how_a_reap_is_known(hooks: Hooks) {
    let is_exact = hooks != Hooks::Tracepoint;
    let me = std::process::id().to_string();
    let mut run = Run::options().hooks(hooks).events("reap").args(&["--tree", &me]).start();
    let Some(Line::Start(start)) = run.lines().first() else { panic!("no start line") };
    let hook =
        start.hooks.iter().any(|hook| hook.ends_with(":cgroup_release") || hook.ends_with(":cgroup_task_release"));
    assert_eq!(hook, is_exact, "{:?}", start.hooks);
    let says_so = start.degraded.iter().any(|sentence| sentence.contains("times of reaps are upper bounds"));
    assert_eq!(says_so, !is_exact, "{:?}", start.degraded);

    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    for (step, call) in [("wait", "wait4"), ("waitid", "waitid")] {
        stage.step("child");
        let child = stage.pid("child");
        stage.step(step);
        stage.hears("reaped");
        let Event { by, by_tid, call: told, reaped_at_most, .. } = reap_of(&mut run, child);
        assert_eq!(by.map(|by| by.pid), Some(parent));
        assert_eq!(reaped_at_most, Some(!is_exact));
        assert_eq!(by_tid, is_exact.then_some(parent));
        assert_eq!(told.as_deref(), (is_exact && tells_calls()).then_some(call));
    }

    let mut stage = run.stage(&["parent", "ignores-sigchld"]);
    stage.step("child");
    let child = stage.pid("child");
    let Event { by, by_tid, call, reaped_at_most, .. } = reap_of(&mut run, child);
    assert_eq!((by, call, reaped_at_most), (None, None, Some(!is_exact)));
    assert_eq!(by_tid, None, "nobody had to");
    run.finish();
}

/// Waits for that event.
fn reap_of(run: &mut Run, pid: i32) -> Event {
    let mut found = None;
    run.wait_until("the reap", |line| {
        found = match line {
            Line::Event(event) if event.kind == "reap" => Some(&**event),
            _ => None,
        }
        .filter(|event| event.process.as_ref().is_some_and(|process| process.pid == pid))
        .cloned();
        found.is_some()
    });
    found.expect("it was waited for")
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

fn parent_is_frozen() {
    let mut run = Run::options().unreaped_after("1s").start();
    let group = Group::new(Control::Freeze).expect("it was there before");
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    group.takes(parent);
    let _frozen = group.freeze();
    let found = run.expect_finding("unreaped-child").about(child).parent(parent).blame("parent frozen").once();
    assert!(found.message.contains("frozen"), "{}", found.message);
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
