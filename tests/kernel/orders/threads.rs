//! Where the process is not the same as its main thread.

use rustix::process::Signal;
use tracer::{source::hooks::Hooks, world::State};
use tracer_tests::{Stream, stage::kill, stream::is_since};

use super::stage;

/// Order 4: the child stays with the process, and no hook shows that.
pub fn child_of_a_thread(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["forking-thread"]);
    let [_, child] = stream.meet(&mut stage, ["process", "child"]);
    stream.begin();
    stage.step("end-thread");
    stream.expect(
        &[&["EXIT(process') thread only children to process"]],
        // In each tier: `reparent_leader()` leaves a child alone that stays in its thread group.
        &["ADOPTED(child) process->process as thread, verified"],
    );
    kill(child, Signal::KILL);
    stream.expect(
        &[&[
            "GEN(9->child) by test: delivered",
            "EXIT(child, 9)",
            "NOTIFY(child, 17->process)",
            "GEN(17->process) by child: ignored-by-default",
            "REAP(child) by process via wait4",
            "FREE(child)",
        ]],
        &["REAPED(child) by process, exact via wait4"],
    );
}

/// Order 5: the last thread's exit is that of the process.
pub fn leader_first(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["leader-first", "waited-for"]);
    stream.meet(&mut stage, ["parent", "process"]);
    stream.begin();
    stage.step("end-leader");
    stream.expect(&[&["EXIT(process, 1280) leader only"]], &[]);
    assert!(matches!(stream.process("process").map(|it| it.state), Some(State::LeaderDead { live: 1, .. })));

    stage.step("end-thread");
    // Since 6.1 `synchronize_group_exit()` makes the last thread's status that of the process;
    // before, it is the leader's, whichever way that went.
    let (exit, status) = if is_since(6, 1) { ("EXIT(process')", 0) } else { ("EXIT(process', 1280)", 5) };
    stage.hears(&format!("code-{status}"));
    stream.expect(
        &[&[
            exit,
            "NOTIFY(process, 17->parent)",
            "GEN(17->parent) by process': ignored-by-default",
            "REAP(process) by parent via wait4",
            "FREE(process)",
        ]],
        &["REAPED(process) by parent, exact via wait4"],
    );
}

/// Order 5 below a parent that ignores SIGCHLD: the last thread reaps the leader, inside the
/// `release_task()` of its own, so that only `cgroup_release()` tells.
pub fn leader_first_and_ignored(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["leader-first", "ignored"]);
    stream.meet(&mut stage, ["parent", "process"]);
    stream.begin();
    stage.step("end-leader");
    stream.expect(&[&["EXIT(process, 1280) leader only"]], &[]);
    stage.step("end-thread");
    stream.expect(
        &[&[end_of_the_thread(), "NOTIFY(process, 17->parent)", "REAP(process) by process'", "FREE(process)"]],
        &["REAPED(process) by nobody, exact"],
    );
}

/// Order 5 below a parent that ignores SIGCHLD, with a tracer of the leader: the tracer is notified of the leader's
/// end, then of the end of the process, and is the only one who waits.
pub fn leader_first_and_held(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["leader-first-held", "leader"]);
    let [.., tracer] = stream.meet(&mut stage, ["parent", "process", "tracer"]);
    stream.begin();
    stage.step("end-leader");
    stream.expect(
        &[&[
            "EXIT(process, 1280) leader only",
            "NOTIFY(process, 17->tracer tracing)",
            "GEN(17->tracer) by process: ignored-by-default",
        ]],
        &[],
    );
    stage.step("end-thread");
    stream.expect(
        &[&[
            end_of_the_thread(),
            "NOTIFY(process, 17->tracer tracing)",
            "GEN(17->tracer) by process': ignored-by-default",
        ]],
        &[],
    );
    let process = stream.process("process").expect("it is a zombie");
    assert!(process.is_zombie(), "{:?}", process.state);
    assert_eq!(process.tracer.map(|tracer| tracer.key.tgid), Some(tracer as u32));
    stage.step("tracer-waits");
    stream.expect(
        &[&["NOTIFY(process, 17->parent)", "REAP(process) by tracer via wait4", "FREE(process)"]],
        &["REAPED(process) by tracer, exact via wait4"],
    );
}

/// Order 5 below a parent that ignores SIGCHLD, where a tracer holds the other thread: it waits for
/// that, and nobody for the process.
pub fn leader_first_and_thread_held(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["leader-first-held", "thread"]);
    stream.meet(&mut stage, ["parent", "process", "tracer"]);
    stream.begin();
    stage.step("end-leader");
    stream.expect(&[&["EXIT(process, 1280) leader only"]], &[]);
    stage.step("end-thread");
    stream.expect(&[&[end_of_the_thread(), "GEN(17->tracer) by process': ignored-by-default"]], &[]);
    assert_eq!(stream.process("process").expect("its thread is a zombie").tracer, None);
    stage.step("tracer-waits");
    stream.expect(
        &[&["NOTIFY(process, 17->parent)", "REAP(process) by tracer via wait4", "FREE(process)"]],
        &["REAPED(process) by nobody, exact"],
    );
}

/// Since 6.1 the status of the process is that of its last thread, before it is the leader's.
fn end_of_the_thread() -> &'static str {
    if is_since(6, 1) { "EXIT(process')" } else { "EXIT(process', 1280)" }
}

/// Order 6: two threads die, the leader among them, and the process lives on under their pid.
pub fn exec_by_another_thread(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["exec-by-thread"]);
    let [pid] = stream.meet(&mut stage, ["process"]);
    stream.begin();
    let before = stream.process("process").map(|process| process.key);
    stage.step("exec");
    assert_eq!(stage.pid("execed"), pid);
    // The kernel wakes the others with a SIGKILL that nobody has sent (`zap_other_threads()`).
    stream.expect(&[&["EXIT(process) leader only", "EXEC(process) by process'"]], &[]);
    let process = stream.process("process").expect("it lives on");
    assert_eq!((Some(process.key), process.state), (before, State::Running));
}
