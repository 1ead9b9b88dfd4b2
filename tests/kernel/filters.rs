//! Filters narrow what is shown, and nothing else. Each runs beside an unfiltered `tracer`, which shows when everything
//! has come through.

use rustix::process::Signal;
use tracer_tests::{
    Run,
    contract::{Line, Sender},
    run::{events, findings},
    stage::kill,
};

use crate::{Test, live, me};

pub fn trials() -> Vec<Test> {
    vec![
        live("namespace", namespace),
        live("signals_to_a_pid", signals_to_a_pid),
        live("lost_signals", lost_signals),
        live("tree", tree),
        live("the_root_of_a_tree", the_root_of_a_tree),
        live("rule_and_severity", rule_and_severity),
    ]
}

/// The output of a run with these arguments, once `all` has seen everything.
fn lines_of(filtered: Run, mut all: Run) -> Vec<Line> {
    all.allow("init-ignored-signal");
    all.allow("orphan-adopted");
    all.allow("unreaped-child");
    all.finish();
    filtered.end_with(Signal::INT).lines
}

fn namespace() {
    let all = Run::start();
    let [mut here, mut elsewhere] = ["plain", "plain"].map(|kind| all.stage(&["init", kind]));
    let [init, other] = [here.pid("init"), elsewhere.pid("init")];
    let filtered = Run::options().events("fork,exit").args(&["--ns", &init.to_string()]).start();
    let mut stage = all.stage(&["inside", &init.to_string()]);
    let inside = stage.pid("inside");
    kill(init, Signal::TERM);
    kill(other, Signal::TERM);

    let lines = lines_of(filtered, all);
    let about: Vec<_> = findings(&lines).map(|finding| finding.process.pid).collect();
    assert_eq!(about, [init]);
    let born: Vec<_> = events(&lines, "fork").filter_map(|event| Some(event.process.as_ref()?.pid)).collect();
    assert_eq!(born, [inside], "who came from outside is in it too");
}

fn signals_to_a_pid() {
    let all = Run::start();
    let [mut here, mut elsewhere] = ["handler", "handler"].map(|kind| all.stage(&["init", kind]));
    let [init, other] = [here.pid("init"), elsewhere.pid("init")];
    let filter = ["--to-pid", &init.to_string(), "-s", "TERM,WINCH"];
    let filtered = Run::options().events("signal").args(&filter).start();
    for pid in [init, other] {
        for signal in [Signal::TERM, Signal::WINCH, Signal::URG] {
            kill(pid, signal);
        }
    }

    let lines = lines_of(filtered, all);
    let shown: Vec<_> = events(&lines, "signal")
        .map(|event| {
            assert!(matches!(&event.sender, Some(Sender::Process(sender)) if sender.pid == me()), "{event:?}");
            (event.target.as_ref().map_or(0, |target| target.pid), event.signal.clone().unwrap_or_default())
        })
        .collect();
    assert_eq!(shown, [(init, "SIGTERM".to_owned()), (init, "SIGWINCH".to_owned())]);
}

fn lost_signals() {
    let all = Run::start();
    let [mut deaf, mut able] = ["plain", "handler"].map(|kind| all.stage(&["init", kind]));
    let [deaf, able] = [deaf.pid("init"), able.pid("init")];
    let filtered = Run::options().events("signal").args(&["--lost", "--from-pid", &me().to_string()]).start();
    kill(able, Signal::TERM);
    kill(deaf, Signal::TERM);
    kill(deaf, Signal::WINCH);

    let lines = lines_of(filtered, all);
    let shown: Vec<_> = events(&lines, "signal").filter_map(|event| event.verdict.as_deref()).collect();
    assert_eq!(shown, ["no-handler"]);
}

fn tree() {
    let all = Run::start();
    let [mut here, mut elsewhere] = ["never-waits", "never-waits"].map(|kind| all.stage(&["parent", kind]));
    let [parent, _] = [here.pid("parent"), elsewhere.pid("parent")];
    let filter = ["--tree", &parent.to_string()];
    let filtered = Run::options().events("fork").args(&filter).start();
    here.step("child");
    elsewhere.step("child");
    let [child, _] = [here.pid("child"), elsewhere.pid("child")];

    let lines = lines_of(filtered, all);
    let born: Vec<_> = events(&lines, "fork").filter_map(|event| Some(event.process.as_ref()?.pid)).collect();
    assert_eq!(born, [child]);
    let about: Vec<_> = findings(&lines).map(|finding| finding.process.pid).collect();
    assert_eq!(about, [child]);
}

/// Whoever asks for a tree is told who asked its root to end; of others that are nobody's main process nobody is.
fn the_root_of_a_tree() {
    let all = Run::start();
    let app = "trap 'exit 3' TERM; echo ready 0; while :; do sleep 0.1; done";
    let [mut root, mut other] = [app, app].map(|app| all.shell(app));
    root.hears("ready");
    other.hears("ready");
    let pids = [root.id(), other.id()];
    let filtered = Run::options().args(&["--tree", &pids[0].to_string()]).start();
    for pid in pids {
        kill(pid, Signal::TERM);
    }
    root.ends();
    other.ends();

    let everything = all.finish().lines;
    let lines = filtered.end_with(Signal::INT).lines;
    let stopped = |lines: &[Line]| -> Vec<_> {
        let found = findings(lines).filter(|found| found.rule == "stopped-by" && pids.contains(&found.process.pid));
        found.map(|found| (found.process.pid, found.what.clone())).collect()
    };
    assert_eq!(stopped(&everything), []);
    assert_eq!(stopped(&lines), [(pids[0], Some("tree".to_owned()))]);
}

fn rule_and_severity() {
    let all = Run::start();
    let mut stage = all.stage(&["daemon"]);
    let [middle, daemon] = ["middle", "daemon"].map(|name| stage.pid(name));
    let only_rule = Run::options().args(&["--rule", "orphan-adopted"]).start();
    let only_warnings = Run::options().args(&["--min-severity", "warning"]).start();
    kill(middle, Signal::KILL);
    stage.hears("reaped");

    let rules = lines_of(only_rule, all);
    assert!(findings(&rules).all(|finding| finding.rule == "orphan-adopted"));
    assert_eq!(findings(&rules).filter(|finding| finding.process.pid == daemon).count(), 1);
    let warnings = only_warnings.end_with(Signal::INT).lines;
    assert!(findings(&warnings).all(|finding| finding.severity != "info"));
}
