//! Scenarios 12, 13 and 23: who adopts, and whether it waits.

use rustix::process::Signal;
use tracer::source::hooks::Hooks;
use tracer_tests::{Run, contract::Line, stage::kill};

use crate::{Test, in_each_tier, live};

pub fn trials() -> Vec<Test> {
    let mut trials = in_each_tier![how_the_adopter_is_known];
    trials.extend([
        live("init_that_never_waits", init_that_never_waits),
        live("chain_of_subreapers", chain_of_subreapers),
        live("daemon", daemon),
        live("border_of_a_namespace", border_of_a_namespace),
        live("clone_parent", clone_parent),
        live("many_alike", many_alike),
    ]);
    trials
}

/// The kernel has reported it, or `tracer` has looked.
fn how_the_adopter_is_known(hooks: Hooks) {
    let mut run = Run::options().hooks(hooks).start();
    let mut stage = run.stage(&["daemon"]);
    let [middle, daemon] = ["middle", "daemon"].map(|name| stage.pid(name));

    kill(middle, Signal::KILL);
    stage.hears("reaped");
    let known = if hooks == Hooks::Tracepoint { "verified" } else { "exact" };
    run.expect_finding("orphan-adopted")
        .about(daemon)
        .adopter(std::process::id() as i32, "subreaper")
        .dead_parent(middle)
        .so_that(known, move |finding| finding.adopter_known.as_deref() == Some(known))
        .once();
    run.finish();
}

fn init_that_never_waits() {
    let mut run = Run::start();
    let mut stage = run.stage(&["orphanage"]);
    let [init, shell, leaf] = ["init", "shell", "leaf"].map(|name| stage.pid(name));

    kill(shell, Signal::KILL);
    run.expect_finding("orphan-adopted")
        .about(leaf)
        .adopter(init, "namespace-init")
        .dead_parent(shell)
        .certain()
        .once();
    let found = run.expect_finding("unreaped-child").about(shell).parent(init);
    found.blame("parent alive and never waits").once();

    kill(leaf, Signal::KILL);
    let found = run.expect_finding("unreaped-child").about(leaf).parent(init);
    found.blame("adopted by an init that never waits").once();
    run.finish();
}

fn chain_of_subreapers() {
    let mut run = Run::start();
    let mut stage = run.stage(&["subreapers"]);
    let [outer, inner, middle, leaf] = ["outer", "inner", "middle", "leaf"].map(|name| stage.pid(name));

    kill(middle, Signal::KILL);
    run.expect_finding("orphan-adopted").about(leaf).adopter(inner, "subreaper").dead_parent(middle).certain().once();
    kill(inner, Signal::KILL);
    run.expect_finding("orphan-adopted").about(leaf).adopter(outer, "subreaper").dead_parent(inner).certain().once();
    kill(leaf, Signal::KILL);
    let found = run.expect_finding("unreaped-child").about(leaf).parent(outer);
    found.blame("adopted by a subreaper that never waits").once();
    run.finish();
}

/// This test is a subreaper, and so the adopter.
fn daemon() {
    let mut run = Run::start();
    let mut stage = run.stage(&["daemon"]);
    let [middle, daemon] = ["middle", "daemon"].map(|name| stage.pid(name));

    kill(middle, Signal::KILL);
    stage.hears("reaped");
    let me = std::process::id() as i32;
    run.expect_finding("orphan-adopted").about(daemon).adopter(me, "subreaper").dead_parent(middle).once();
    run.finish();
}

/// A subreaper outside does not matter to orphans inside.
fn border_of_a_namespace() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "plain"]);
    let init = namespace.pid("init");
    let mut stage = run.stage(&["inside", &init.to_string()]);
    let inside = stage.pid("inside");
    stage.step("fork");
    let leaf = stage.pid("leaf");

    kill(inside, Signal::KILL);
    stage.hears("reaped");
    run.expect_finding("orphan-adopted").about(leaf).adopter(init, "namespace-init").dead_parent(inside).once();
    kill(leaf, Signal::KILL);
    let found = run.expect_finding("unreaped-child").about(leaf).parent(init);
    found.blame("adopted by an init that never waits").once();
    run.finish();
}

/// The creator is not the parent: its end makes no orphan.
fn clone_parent() {
    let mut run = Run::start();
    let mut stage = run.stage(&["clone-parent"]);
    let [parent, creator, sibling] = ["parent", "creator", "sibling"].map(|name| stage.pid(name));

    kill(creator, Signal::KILL);
    stage.hears("reaped");
    kill(sibling, Signal::KILL);
    let found = run.expect_finding("unreaped-child").about(sibling).parent(parent);
    found.blame("parent alive and never waits").once();
    run.finish();
}

/// The first ones are reported one by one, the rest by number.
fn many_alike() {
    let mut run = Run::options().few().start();
    let mut stages: Vec<_> = (0..5).map(|_| run.stage(&["daemon"])).collect();
    for stage in &mut stages {
        let [middle, _] = ["middle", "daemon"].map(|name| stage.pid(name));
        kill(middle, Signal::KILL);
        stage.hears("reaped");
    }
    run.allow("orphan-adopted");
    let finished = run.finish();
    let me = std::process::id() as i32;
    let told = finished.lines.iter().filter_map(|line| match line {
        Line::Finding(finding) if finding.adopter.as_ref().is_some_and(|adopter| adopter.pid == me) => {
            Some((finding.stage.as_str(), finding.times))
        }
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [("new", None), ("new", None), ("new", None), ("repeated", Some(2))]);
}
