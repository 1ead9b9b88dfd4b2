//! Stops of containers: who asked for them, what came of that, and who died of it.

use std::process::Command;

use rustix::process::Signal;
use tracer_tests::{Run, Stage, contract::Sender, machine::Need, stage::kill, terminal::Terminal};

use crate::{Test, live, me};

pub fn trials() -> Vec<Test> {
    let unshare = Need::Program("unshare");
    vec![
        live("a_container_that_ends_in_order", a_container_that_ends_in_order).needs(unshare),
        live("the_leader_of_a_session", the_leader_of_a_session).needs(Need::Program("setsid")),
        live("a_key_of_a_terminal", a_key_of_a_terminal).needs(Need::Program("setsid")),
        live("a_terminal_that_hangs_up", a_terminal_that_hangs_up).needs(Need::Program("setsid")),
        live("a_shell_whose_window_is_closed", a_shell_whose_window_is_closed).needs(Need::Program("setsid")),
        live("a_helper_that_ends_in_order", a_helper_that_ends_in_order).needs(unshare),
        live("a_worker_that_is_taken_for_hung", a_worker_that_is_taken_for_hung),
        live("a_signal_that_met_the_entrypoint", a_signal_that_met_the_entrypoint).needs(unshare),
        live("a_shell_that_stands_between", a_shell_that_stands_between).needs(unshare),
        live("a_supervisor_that_gives_up", a_supervisor_that_gives_up),
        live("a_supervisor_in_a_container", a_supervisor_in_a_container).needs(unshare),
        live("two_kills_of_one_script", two_kills_of_one_script).needs(Need::Program("kill")),
        live("two_strangers", two_strangers),
        live("a_program_that_executes_itself_anew", a_program_that_executes_itself_anew).needs(unshare),
        live("a_pid_that_was_somebody_elses", a_pid_that_was_somebody_elses)
            .needs(unshare)
            .needs(Need::File("/proc/sys/kernel/ns_last_pid")),
    ]
}

fn a_container_that_ends_in_order() {
    let mut run = Run::start();
    let script = "trap 'exit 3' TERM; echo ready 0; while :; do sleep 0.1; done";
    let (mut namespace, init) = run.unshare(&["sh", "-c", script]);
    namespace.hears("ready");
    kill(init, Signal::TERM);
    namespace.ends();
    // A shell blocks all signals while it forks: if one comes just then, this is not certain.
    let found = run.expect_finding("stopped-by").about(init).signal("SIGTERM").once();
    assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.pid == me()), "{found:?}");
    assert_eq!(found.what.as_deref(), Some("container"), "{found:?}");
    assert!(found.headline.contains("exited with code 3"), "{}", found.headline);
    run.finish();
}

/// What a daemon does that was started by hand: nobody but its pid is named.
fn the_leader_of_a_session() {
    let mut run = Run::start();
    run.judge_stops();
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", "trap 'exit 3' TERM; echo ready 0; while :; do sleep 0.1; done"]);
    let mut leader = run.program(command);
    leader.hears("ready");
    kill(leader.id(), Signal::TERM);
    leader.ends();
    let found = run.expect_finding("stopped-by").about(leader.id()).signal("SIGTERM").once();
    assert_eq!(found.what.as_deref(), Some("session"), "{found:?}");
    run.finish();
}

/// A program that leads a session of its own at that terminal.
fn at(run: &Run, terminal: &Terminal, program: &str) -> Stage {
    run.shell(&format!("exec setsid --ctty {program} < {}", terminal.path()))
}

const CTRL_C: u8 = 3;

/// It ends at what the terminal sends.
const APP: &str = "sh -c 'trap \"exit 3\" INT HUP; echo ready 0; while :; do sleep 0.1; done'";

fn a_key_of_a_terminal() {
    let mut run = Run::start();
    let terminal = Terminal::open();
    let mut app = at(&run, &terminal, APP);
    app.hears("ready");
    terminal.press(CTRL_C);
    app.ends();
    let found = run.expect_finding("stopped-by").about(app.id()).signal("SIGINT").once();
    let tail = format!(" after SIGINT from its terminal {} (Ctrl-C)", terminal.path());
    assert!(found.headline.ends_with(&tail), "{found:?}");
    assert!(matches!(found.sender, Some(Sender::Kernel { .. })), "{found:?}");
    run.finish();
}

fn a_terminal_that_hangs_up() {
    let mut run = Run::start();
    let terminal = Terminal::open();
    let mut app = at(&run, &terminal, APP);
    app.hears("ready");
    drop(terminal);
    app.ends();
    let found = run.expect_finding("stopped-by").about(app.id()).signal("SIGHUP").once();
    assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.pid == me()), "{found:?}");
    assert!(found.headline.contains("exited with code 3"), "{found:?}");
    run.finish();
}

/// It has a handler for SIGHUP as any interactive shell that ends in order.
fn a_shell_whose_window_is_closed() {
    let mut run = Run::start();
    run.judge_stops();
    let terminal = Terminal::open();
    let mut shell = at(&run, &terminal, "sh -i 2> /dev/null");
    terminal.type_line("trap 'exit 3' HUP; echo ready 0");
    shell.hears("ready");
    drop(terminal);
    shell.ends();
    run.settle();
    run.finish();
}

fn a_helper_that_ends_in_order() {
    let mut run = Run::start();
    run.judge_stops();
    let script =
        "sh -c 'trap \"exit 0\" TERM; echo helper $$; while :; do sleep 0.1; done' & wait; echo over 0; read line";
    let (mut namespace, _) = run.unshare(&["sh", "-c", script]);
    let pid_inside = namespace.pid("helper");
    assert!(pid_inside > 1);
    let helper = run.inside(pid_inside);
    kill(helper, Signal::TERM);
    namespace.hears("over");
    run.finish();
}

/// What a watchdog among servers does (gunicorn's, say).
fn a_worker_that_is_taken_for_hung() {
    let mut run = Run::start();
    run.judge_stops();
    // A shell that starts something blocks all signals for a moment.
    let script = "sh -c 'trap \"exit 1\" ABRT; echo worker $$; while :; do :; done' & read line; kill -ABRT $!; wait; \
                  echo over 0; read line";
    let mut stage = run.shell(script);
    let worker = stage.pid("worker");
    stage.step("abort");
    stage.hears("over");
    let found = run.expect_finding("stopped-by").about(worker).signal("SIGABRT").sender(stage.id()).certain().once();
    assert_eq!(found.what.as_deref(), Some("worker"), "{found:?}");
    run.finish();
}

fn a_signal_that_met_the_entrypoint() {
    let mut run = Run::options().slow_stop_after("1us").start();
    let (mut namespace, init) = run.unshare(&["sh", "-c", "echo ready 0; read line; exec sleep 100"]);
    namespace.hears("ready");
    kill(init, Signal::TERM);
    run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM").once();
    namespace.step("go");
    run.await_exec(init);
    kill(init, Signal::KILL);
    namespace.ends();
    let slow = run.expect_finding("slow-stop").about(init).signal("SIGTERM").certain().once();
    assert!(slow.headline.contains("came while sh ran"), "{}", slow.headline);
    run.finish();
}

fn a_shell_that_stands_between() {
    let mut run = Run::start();
    let script = "sh -c 'sleep 1000 && echo never' & trap 'kill -TERM $!; wait $!; exit 0' TERM; echo ready 0; wait";
    let (mut namespace, init) = run.unshare(&["sh", "-c", script]);
    namespace.hears("ready");
    // A child that has hardly begun is taken for a helper.
    std::thread::sleep(std::time::Duration::from_millis(1_300));
    kill(init, Signal::TERM);
    namespace.ends();
    let found = run.expect_finding("namespace-killed").about(init).once();
    let [left] = &found.named.as_ref().expect("they are named")[..] else { panic!("{found:?}") };
    assert!(left.left_by.is_some() && left.signal.is_none(), "{found:?}");
    assert!(found.message.contains("passed nothing on"), "{}", found.message);
    run.finish();
}

/// A worker that takes SIGTERM and goes on, and says so.
const WORKER: &str = "sh -c 'trap \"echo took 0\" TERM; echo worker $$; while :; do sleep 0.1; done'";

fn impatient() -> Run {
    let mut run = Run::options().slow_stop_after("1us").start();
    run.judge_kills();
    // The sleep of that moment lives on without the worker.
    run.allow("orphan-adopted");
    run
}

fn a_supervisor_that_gives_up() {
    let mut run = impatient();
    let mut stage = run.shell("trap '' TERM; echo worker $$; read line");
    let worker = stage.pid("worker");
    kill(worker, Signal::TERM);
    kill(worker, Signal::KILL);
    stage.ends();
    let slow = run.expect_finding("slow-stop").about(worker).signal("SIGTERM").certain().once();
    assert_eq!(slow.verdict.as_deref(), Some("ignored-by-choice"), "{slow:?}");
    assert!(matches!(&slow.killer, Some(Sender::Process(killer)) if killer.pid == me()), "{slow:?}");
    run.finish();
}

fn a_supervisor_in_a_container() {
    let mut run = impatient();
    // That sleep is adopted by the shell, which reads.
    run.allow("unreaped-child");
    let script = format!("{WORKER} & read line; kill -TERM $!; read line; kill -KILL $!; wait; echo over 0; read line");
    let (mut namespace, init) = run.unshare(&["sh", "-c", &script]);
    let inside = namespace.pid("worker");
    let worker = run.inside(inside);
    namespace.step("ask");
    namespace.hears("took");
    namespace.step("kill");
    namespace.hears("over");
    let slow = run.expect_finding("slow-stop").about(worker).signal("SIGTERM").certain().once();
    assert!(matches!(&slow.sender, Some(Sender::Process(sender)) if sender.pid == init), "{slow:?}");
    run.finish();
}

fn two_kills_of_one_script() {
    let mut run = impatient();
    let mut stage = run.shell(&format!("{WORKER} & read line; env kill -TERM $!; read line; env kill -KILL $!; wait"));
    let worker = stage.pid("worker");
    stage.step("ask");
    stage.hears("took");
    stage.step("kill");
    stage.ends();
    let slow = run.expect_finding("slow-stop").about(worker).signal("SIGTERM").certain().once();
    assert_eq!(slow.verdict.as_deref(), Some("delivered"), "{slow:?}");
    run.finish();
}

fn two_strangers() {
    let mut run = impatient();
    let ask = "sh -c 'kill -TERM $1; :' sh $!";
    let mut stage = run.shell(&format!("{WORKER} & read line; {ask}; wait"));
    let worker = stage.pid("worker");
    stage.step("ask");
    stage.hears("took");
    kill(worker, Signal::KILL);
    stage.ends();
    run.expect_finding("killed-by").about(worker).signal("SIGKILL").certain().once();
    run.finish();
}

/// What a server does that takes its stop signal for a reload.
fn a_program_that_executes_itself_anew() {
    let mut run = Run::options().slow_stop_after("1us").start();
    // While a shell reads, it blocks no signal.
    let server = "trap 'exec sh -c \"$SERVER\"' TERM; echo ready 0; while :; do read line; done";
    let script = format!("export SERVER={}; exec sh -c \"$SERVER\"", quoted(server));
    let (mut namespace, init) = run.unshare(&["sh", "-c", &script]);
    namespace.hears("ready");
    kill(init, Signal::TERM);
    namespace.hears("ready");
    kill(init, Signal::KILL);
    namespace.ends();
    let slow = run.expect_finding("slow-stop").about(init).signal("SIGTERM").once();
    assert!(slow.headline.ends_with("took SIGTERM for a reload"), "{}", slow.headline);
    run.finish();
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What becomes of a pid file that outlives its process.
fn a_pid_that_was_somebody_elses() {
    let mut run = Run::start();
    run.judge_kills();
    // Nobody writes down the pid of what lives for a moment only, and a parent knows whom it means.
    let script = "sh -c 'sleep 0.6; exit 0' & p=$!; wait; echo $((p - 1)) >/proc/sys/kernel/ns_last_pid; \
                  sleep 1000 & echo same $((p == $!)); read line; sh -c 'kill -TERM $1; exit 0' sh $p; \
                  wait; echo over 0; read line";
    let (mut namespace, _) = run.unshare(&["sh", "-c", script]);
    assert_eq!(namespace.pid("same"), 1, "another process got the pid");
    namespace.step("kill");
    namespace.hears("over");
    let found = run.expect_finding("killed-by").signal("SIGTERM").once();
    assert!(found.former.is_some() && found.message.contains("that of"), "{}", found.message);
    run.finish();
}
