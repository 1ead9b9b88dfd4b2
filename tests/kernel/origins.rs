//! What led to a signal: who had sent it to whoever passes it on, whose end came before, and one call for many.

use std::process::Command;

use rustix::process::Signal;
use tracer_tests::{
    Run,
    contract::{Finding, Sender},
    machine::Need,
    stage::{await_end_of, kill},
};

use crate::{Test, kills::start, live, me};

pub fn trials() -> Vec<Test> {
    // `bpf_task_pt_regs()`
    let call = Need::Kernel(5, 15);
    let mut tests = vec![
        live("passed_on", passed_on),
        live("by_an_init_that_waits_for_it", by_an_init_that_waits_for_it).needs(Need::Program("tini")),
        live("a_milder_one_before", a_milder_one_before),
        live("of_its_own_accord", of_its_own_accord),
        live("the_end_of_a_child", the_end_of_a_child),
        live("a_pipe_that_nobody_reads", a_pipe_that_nobody_reads),
        live("raised_again_by_an_init", raised_again_by_an_init).needs(Need::Program("unshare")),
        live("raised_again_by_an_init_that_lives_on", raised_again_by_an_init_that_lives_on)
            .needs(Need::Program("unshare")),
    ];
    tests.push(live("its_own_group", its_own_group).needs(call));
    tests.push(live("one_by_one", one_by_one).needs(call));
    tests
}

/// The finding about the one process that was ended by a signal.
fn killed(run: &mut Run, process: i32, signal: &'static str) -> Finding {
    run.expect_finding("killed-by").about(process).signal(signal).certain().once()
}

/// Whom each step met, how what follows came of it, and how certain that is.
fn steps(found: &Finding) -> Vec<(i32, &str, &str)> {
    let steps = found.origin.as_ref().expect("it is a killed-by");
    steps.iter().map(|step| (step.to.pid, &*step.how, &*step.certainty)).collect()
}

fn first_sender(found: &Finding) -> Option<i32> {
    match &found.origin.as_ref()?.first()?.sender {
        Some(Sender::Process(sender)) => Some(sender.pid),
        _ => None,
    }
}

fn passed_on() {
    let mut run = start();
    // The child says that it is ready once it has no trap any more.
    let script = "trap 'kill -TERM $c; wait $c; exit 0' TERM; sh -c 'echo child $$; exec sleep 100' & c=$!; while :; do wait; done";
    let mut stage = run.shell(script);
    let child = stage.pid("child");
    kill(stage.id(), Signal::TERM);
    stage.ends();
    let found = killed(&mut run, child, "SIGTERM");
    assert_eq!(steps(&found), [(stage.id(), "passed-on", "seen")]);
    assert_eq!(first_sender(&found), Some(me()));
    run.finish();
}

/// It takes the signal by sigtimedwait(2), without a handler.
fn by_an_init_that_waits_for_it() {
    let mut run = start();
    let mut command = Command::new("tini");
    command.args(["-s", "--", "sh", "-c", "echo child $$; exec sleep 100"]);
    let mut stage = run.program(command);
    let child = stage.pid("child");
    kill(stage.id(), Signal::USR2);
    stage.ends();
    let found = killed(&mut run, child, "SIGUSR2");
    assert_eq!(steps(&found), [(stage.id(), "passed-on", "seen")]);
    assert_eq!(first_sender(&found), Some(me()));
    run.finish();
}

fn a_milder_one_before() {
    let mut run = start();
    let mut stage = run.shell("trap 'echo told $$' TERM; echo process $$; while :; do sleep 0.1; done");
    let process = stage.pid("process");
    // The sleep of that moment lives on without it.
    run.allow("orphan-adopted");
    kill(process, Signal::TERM);
    stage.hears("told");
    kill(process, Signal::KILL);
    stage.ends();
    let found = killed(&mut run, process, "SIGKILL");
    assert_eq!(steps(&found), [(process, "escalation", "seen")]);
    run.finish();
}

fn of_its_own_accord() {
    let mut run = start();
    let mut stage = run.shell("sleep 100 & echo child $!; read x; kill -TERM $!; wait; exit 0");
    let child = stage.pid("child");
    stage.step("kill");
    stage.ends();
    let found = killed(&mut run, child, "SIGTERM");
    assert_eq!(steps(&found), []);
    run.finish();
}

fn the_end_of_a_child() {
    let mut run = start();
    // As timeout(1) of coreutils does.
    let mut stage = run.shell("exec 2>/dev/null; sh -c 'echo child $$; exec sleep 100'; kill -ABRT $$");
    let child = stage.pid("child");
    kill(child, Signal::ABORT);
    stage.ends();
    killed(&mut run, child, "SIGABRT");
    let found = killed(&mut run, stage.id(), "SIGABRT");
    assert_eq!(steps(&found), [(child, "child-ended", "seen")]);
    assert_eq!((found.how.as_deref(), first_sender(&found)), (Some("itself"), Some(me())));
    run.finish();
}

fn a_pipe_that_nobody_reads() {
    let mut run = start();
    let writer = "trap 'trap - PIPE; kill -PIPE $$' PIPE; echo writer $$ >&3; while :; do echo x; done 2>/dev/null";
    let script = format!("exec 3>&1; sh -c \"{}\" | true; exit 0", writer.replace('$', "\\$"));
    let mut stage = run.shell(&script);
    let writer = stage.pid("writer");
    stage.ends();
    let found = killed(&mut run, writer, "SIGPIPE");
    assert_eq!((found.how.as_deref(), found.raised_again), (Some("broken-pipe"), Some(1)));
    assert!(matches!(&steps(&found)[..], [(_, "ended", "likely")]), "{found:?}");
    run.finish();
}

/// As pid 1 its own raise does nothing; nothing was lost by that.
fn raised_again_by_an_init() {
    let mut run = start();
    let script = "trap 'trap - TERM; kill -TERM $$; exit 3' TERM; echo ready 0; while :; do sleep 0.1; done";
    let (mut namespace, init) = run.unshare(&["sh", "-c", script]);
    namespace.hears("ready");
    run.allow("namespace-killed");
    kill(init, Signal::TERM);
    assert_eq!(namespace.exit_code(), 3);
    run.finish();
}

/// As Node.js does without a listener: it relies on its own raise.
fn raised_again_by_an_init_that_lives_on() {
    let mut run = start();
    let script = "trap 'trap - TERM; kill -TERM $$; echo raised 0' TERM; echo ready 0; while :; do sleep 0.1; done";
    let (mut namespace, init) = run.unshare(&["sh", "-c", script]);
    namespace.hears("ready");
    kill(init, Signal::TERM);
    namespace.hears("raised");
    let found = run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM").reason("no-handler").certain();
    let found = found.once();
    assert!(found.headline.contains("handled SIGTERM and raised it again in vain"), "{found:?}");
    // What is left to clean up is told as well.
    for rule in ["slow-stop", "namespace-killed", "killed-by"] {
        run.allow(rule);
    }
    kill(init, Signal::KILL);
    namespace.ends();
    run.finish();
}

fn its_own_group() {
    let mut run = start();
    let mut command = Command::new("setsid");
    let script = "trap : TERM; sh -c 'sleep 100 & echo child $!; echo script $$; read x; kill 0; sleep 100' </proc/self/fd/0; \
                  exit 0";
    command.args(["-w", "sh", "-c", script]);
    let mut stage = run.program(command);
    let (child, script) = (stage.pid("child"), stage.pid("script"));
    // Its parent ends beside it.
    run.allow("orphan-adopted");
    run.allow("unreaped-child");
    stage.step("kill");
    stage.ends();
    [child, script].into_iter().for_each(await_end_of);
    let found = run.expect_finding("killed-by").signal("SIGTERM").sender(script).certain();
    let found = found.so_that("both", |f| f.count == Some(2)).once();
    let call = found.call.expect("it was one call");
    assert_eq!((&*call.aim, call.sent, call.handled), ("own-group", 3, 1));
    run.finish();
}

fn one_by_one() {
    let mut run = start();
    let script = "sleep 100 & a=$!; sleep 100 & echo child $a; echo child $!; read x; kill -TERM $a $!; wait; exit 0";
    let mut stage = run.shell(script);
    let children = stage.pids("child", 2);
    stage.step("kill");
    stage.ends();
    let found = run.expect_finding("killed-by").signal("SIGTERM").sender(stage.id()).certain();
    let found = found.so_that("both", |f| f.count == Some(2)).once();
    assert!(found.call.is_none(), "{found:?}");
    assert!(found.victims.expect("they are named").iter().all(|victim| children.contains(&victim.pid)));
    run.finish();
}
