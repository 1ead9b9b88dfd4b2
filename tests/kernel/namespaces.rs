//! Scenario 24: the end of a namespace and of the processes in it.

use rustix::process::Signal;
use tracer_tests::{Run, stage::kill};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("init_exits", init_exits),
        live("init_is_killed", init_is_killed),
        live("init_is_alone", init_is_alone),
        live("outsider_dies_too", outsider_dies_too),
        live("namespaces_in_a_namespace", namespaces_in_a_namespace),
    ]
}

fn init_exits() {
    let mut run = Run::start();
    let mut stage = run.stage(&["family", "5"]);
    let init = stage.pid("init");
    stage.pids("member", 5);

    stage.step("exit");
    stage.hears("ended");
    let found = run.expect_finding("namespace-killed").about(init).at_level(1, 1).killed(5).certain().once();
    let took = found.took_ns.expect("the contract says so");
    assert!((1..5_000_000_000).contains(&took), "it took {took} ns");
    run.finish();
}

fn init_is_killed() {
    let mut run = Run::start();
    let mut stage = run.stage(&["family", "3"]);
    let init = stage.pid("init");
    stage.pids("member", 3);

    kill(init, Signal::KILL);
    stage.hears("ended");
    run.expect_finding("namespace-killed").about(init).killed(3).once();
    run.finish();
}

/// No other process is harmed.
fn init_is_alone() {
    let run = Run::start();
    let mut stage = run.stage(&["init", "plain"]);
    kill(stage.pid("init"), Signal::KILL);
    stage.hears("ended");
    run.finish();
}

fn outsider_dies_too() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "plain"]);
    let init = namespace.pid("init");
    let mut stage = run.stage(&["inside", &init.to_string()]);
    stage.hears("inside");

    kill(init, Signal::KILL);
    stage.hears("reaped");
    namespace.hears("ended");
    run.expect_finding("namespace-killed").about(init).killed(1).once();
    run.finish();
}

/// One finding about the outermost, not one for each.
fn namespaces_in_a_namespace() {
    let mut run = Run::start();
    let mut stage = run.stage(&["nested", "3"]);
    let [init, _, _] = ["init1", "init2", "init3"].map(|name| stage.pid(name));

    kill(init, Signal::KILL);
    run.expect_finding("namespace-killed").about(init).at_level(1, 1).killed(2).once();
    run.finish();
}
