//! Scenarios 1 to 3 and 5 to 7: signals that had no effect, and signals that were not meant to have one.

use std::{os::unix::process::CommandExt as _, process::Command};

use rustix::process::Signal;
use tracer_tests::{Run, Stage, machine::Need, stage::kill};

use crate::{Test, live, me};

pub fn trials() -> Vec<Test> {
    vec![
        live("sigterm_from_inside", sigterm_from_inside),
        live("sigkill_and_sigstop_from_inside", sigkill_and_sigstop_from_inside),
        live("from_the_host", from_the_host),
        live("dropped_at_delivery", dropped_at_delivery),
        live("ordinary_signals_are_quiet", ordinary_signals_are_quiet),
        live("nested_namespaces", nested_namespaces),
        live("init_of_the_machine", init_of_the_machine),
        live("whom_an_ignored_signal_is_inherited_from", whom_an_ignored_signal_is_inherited_from),
        live("ignored_by_choice_or_on_purpose", ignored_by_choice_or_on_purpose).needs(Need::Program("unshare")),
        live("unshare_sleep", unshare_sleep).needs(Need::Program("unshare")).needs(Need::Program("nsenter")),
    ]
}

fn enter(run: &Run, namespace_of: i32) -> (Stage, i32) {
    let mut stage = run.stage(&["inside", &namespace_of.to_string()]);
    let inside = stage.pid("inside");
    (stage, inside)
}

fn sigterm_from_inside() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "plain"]);
    let init = namespace.pid("init");
    let (mut stage, sender) = enter(&run, init);

    stage.step("kill SIGTERM 1");
    stage.hears("killed");

    let found = run.expect_finding("init-ignored-signal").about(init).at_level(1, 1).signal("SIGTERM");
    found.reason("no-handler").sender(sender).certain().once();
    run.finish();
}

fn sigkill_and_sigstop_from_inside() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "plain"]);
    let init = namespace.pid("init");
    let (mut stage, sender) = enter(&run, init);

    for signal in ["SIGKILL", "SIGSTOP"] {
        stage.step(&format!("kill {signal} 1"));
        stage.hears("killed");
        let found = run.expect_finding("init-ignored-signal").about(init).signal(signal);
        found.reason("kill-from-inside").sender(sender).certain().once();
    }
    run.finish();
}

fn from_the_host() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "plain"]);
    let init = namespace.pid("init");

    kill(init, Signal::TERM);
    let found = run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM");
    found.reason("no-handler").sender(me()).certain().once();

    // From here SIGKILL works, and causes no finding: the namespace has no other process.
    kill(init, Signal::KILL);
    namespace.hears("ended");
    run.finish();
}

fn dropped_at_delivery() {
    let mut run = Run::start();
    let mut namespace = run.stage(&["init", "blocking"]);
    let init = namespace.pid("init");

    kill(init, Signal::TERM);
    run.settle();
    let early = run.lines().iter().filter(|line| format!("{line:?}").contains("dropped-at-delivery")).count();
    assert_eq!(early, 0, "the signal is blocked, not dropped");

    namespace.step("unblock");
    namespace.hears("unblocked");
    let found = run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM");
    found.reason("dropped-at-delivery").sender(me()).once();
    run.finish();
}

fn ordinary_signals_are_quiet() {
    let run = Run::start();
    let [mut plain, mut handler, mut ignoring] =
        ["plain", "handler", "ignoring"].map(|kind| run.stage(&["init", kind]));
    let [plain, handler, ignoring] = [&mut plain, &mut handler, &mut ignoring].map(|stage| stage.pid("init"));

    // The default action of these is to do nothing, for an init as for anybody.
    for signal in [Signal::CHILD, Signal::WINCH, Signal::CONT, Signal::URG] {
        kill(plain, signal);
    }
    kill(handler, Signal::TERM);
    kill(ignoring, Signal::TERM);
    // Some inits have a child that dies.
    let (mut stage, inside) = enter(&run, ignoring);
    kill(inside, Signal::TERM);
    stage.hears("reaped");
    // Kernel threads ignore what they do not ask for.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
        run.watch_over(2);
        kill(2, Signal::HUP);
    }
    run.finish();
}

fn nested_namespaces() {
    let mut run = Run::start();
    let mut stage = run.stage(&["nested", "3"]);
    let inits = ["init1", "init2", "init3"].map(|name| stage.pid(name));

    for (init, level) in inits.into_iter().zip(1..) {
        kill(init, Signal::TERM);
        let found = run.expect_finding("init-ignored-signal").about(init).at_level(level, 1).signal("SIGTERM");
        found.reason("no-handler").sender(me()).once();
    }
    let [_, init2, init3] = inits;
    let (mut own, sender) = enter(&run, init3);
    own.step("kill SIGKILL 1");
    own.hears("killed");
    let found = run.expect_finding("init-ignored-signal").about(init3).at_level(3, 1).signal("SIGKILL");
    found.reason("kill-from-inside").sender(sender).once();

    // In its parent's namespace the init is pid 2 or so, and SIGTERM from there has no effect either.
    let (mut above, sender) = enter(&run, init2);
    let pid_there = pid_at_level(init3, 2);
    above.step(&format!("kill SIGTERM {pid_there}"));
    above.hears("killed");
    let found = run.expect_finding("init-ignored-signal").about(init3).at_level(3, 1).signal("SIGTERM");
    found.reason("no-handler").sender(sender).once();
    run.finish();
}

/// The pid of a process at that depth of namespaces.
fn pid_at_level(pid: i32, level: usize) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("the kernel has pid namespaces");
    pids.split_whitespace().nth(level).expect("it is that deep").parse().expect("a pid")
}

/// SIGSTOP never affects the init of the machine, so this does no harm.
fn init_of_the_machine() {
    let mut run = Run::start();
    kill(1, Signal::STOP);
    let found = run.expect_finding("init-ignored-signal").about(1).at_level(0, 1).signal("SIGSTOP");
    found.reason("kill-from-inside").sender(me()).once();
    run.finish();
}

/// What anybody would try first.
fn unshare_sleep() {
    let mut run = Run::start();
    let (_namespace, init) = run.unshare(&["sleep", "100"]);
    let inside = |script: &str| {
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &init.to_string(),
            "-p",
            "-m",
            "sh",
            "-c",
            &format!("echo ready 0; read go; {script}; read end"),
        ]);
        command
    };
    for (script, signal, reason) in
        [("kill -TERM 1", "SIGTERM", "no-handler"), ("kill -9 1", "SIGKILL", "kill-from-inside")]
    {
        let mut shell = run.program(inside(script));
        shell.hears("ready");
        let sender = shell.only_child();
        shell.step("go");
        let found = run.expect_finding("init-ignored-signal").about(init).signal(signal);
        found.reason(reason).sender(sender).certain().once();
        // It ends by itself before this loop would kill it: it must leave nothing behind.
        shell.step("end");
        shell.ends();
    }
    kill(init, Signal::TERM);
    let found = run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM");
    found.reason("no-handler").sender(me()).certain().once();
    run.finish();
}

/// A shell in a process group of its own.
fn shell(run: &Run, script: &str) -> Stage {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).process_group(0);
    run.program(shell)
}

fn whom_an_ignored_signal_is_inherited_from() {
    let mut run = Run::start();
    let mut parent = shell(&run, "trap '' TERM; sleep 1000 & echo job $!; read line");
    let job = parent.pid("job");
    let itself = shell(&run, "trap '' TERM; exec sleep 1000");
    let (parent, itself) = (parent.id(), itself.id());
    // Of no other signal it is told where the kernel does not show whom a call named (before Linux 5.15).
    for (target, reason, from) in [(job, "other-process", parent), (itself, "former-program", itself)] {
        run.await_exec(target);
        kill(target, Signal::TERM);
        let found = run.expect_finding("signal-ignored").about(target).signal("SIGTERM").reason(reason).sender(me());
        let found = found.certain().once();
        assert_eq!(found.inherited_from.map(|from| (from.pid, from.comm)), Some((from, "sh".to_owned())));
        assert_eq!(found.is_first, Some(true));
    }
    run.finish();
}

fn ignored_by_choice_or_on_purpose() {
    let mut run = Run::start();
    let mut chosen = shell(&run, "trap '' TERM; echo ready 0; read line");
    chosen.hears("ready");
    kill(chosen.id(), Signal::TERM);
    let mut group =
        shell(&run, "trap '' INT; sleep 1000 & echo job $!; read line; kill -INT 0; echo sent 0; read line");
    let job = group.pid("job");
    run.await_exec(job);
    group.step("");
    group.hears("sent");
    let (_namespace, init) = run.unshare(&["sh", "-c", "trap '' TERM; exec sleep 1000"]);
    run.await_exec(init);
    kill(init, Signal::TERM);
    // When this is told, the others would have been.
    let last = shell(&run, "trap '' TERM; exec sleep 1000");
    run.await_exec(last.id());
    kill(last.id(), Signal::TERM);
    run.expect_finding("signal-ignored").about(last.id()).once();
    run.finish();
}
