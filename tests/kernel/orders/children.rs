//! A child ends, and somebody reaps it, or nobody has to.

use tracer::{source::hooks::Hooks, world::Process};
use tracer_tests::Stream;

use super::stage;

/// Order 1. Two moments are distinct: the end, which makes a zombie, and the reap.
pub fn normal_reap(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["parent", "never-waits"]);
    stream.meet(&mut stage, ["parent"]);
    for (step, reap, reaped) in [
        ("wait", "REAP(child) by parent via wait4", "REAPED(child) by parent, exact via wait4"),
        ("waitid", "REAP(child) by parent via waitid", "REAPED(child) by parent, exact via waitid"),
    ] {
        stream.begin();
        stage.step("child");
        stream.meet(&mut stage, ["child"]);
        stream.expect(
            &[&[
                "FORK(child) by parent",
                "EXIT(child)",
                "NOTIFY(child, 17->parent)",
                "GEN(17->parent) by child: ignored-by-default",
            ]],
            &[],
        );
        let death = *stream.process("child").and_then(|child| child.death()).expect("it is a zombie");
        assert_eq!(death.notified.is_some(), stream.is_exact(), "when it became one");
        assert!(death.notified.is_none_or(|notified| notified >= death.at), "{death:?}");

        stage.step(step);
        stage.hears("reaped");
        stream.expect(&[&[reap, "FREE(child)"]], &[reaped]);
    }
}

/// Order 2: its own end is the reap, and the parent is not notified.
pub fn parent_ignores_sigchld(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["parent", "ignores-sigchld"]);
    stream.meet(&mut stage, ["parent"]);
    stream.begin();
    stage.step("child");
    stream.meet(&mut stage, ["child"]);
    stream.expect(
        &[&[
            "FORK(child) by parent",
            "EXIT(child)",
            "NOTIFY(child, 17->parent)",
            "REAP(child) by child",
            "FREE(child)",
        ]],
        &["REAPED(child) by nobody, exact"],
    );
}

/// Order 2, `SA_NOCLDWAIT`: the same, but the signal is sent.
pub fn no_cld_wait(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["parent", "no-cld-wait"]);
    stream.meet(&mut stage, ["parent"]);
    stream.begin();
    stage.step("child");
    stream.meet(&mut stage, ["child"]);
    stream.expect(
        &[&[
            "FORK(child) by parent",
            "EXIT(child)",
            "NOTIFY(child, 17->parent)",
            "GEN(17->parent) by child: ignored-by-default",
            "REAP(child) by child",
            "FREE(child)",
        ]],
        &["REAPED(child) by nobody, exact"],
    );
}

/// Order 3: the new parent is notified of a zombie before it gets it.
pub fn subreaper(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["heirs", "waited-for"]);
    stream.meet(&mut stage, ["subreaper", "middle", "first", "second", "zombie"]);
    stream.begin();
    stage.step("exit");
    stream.expect(
        &[&[
            "EXIT(middle) children to subreaper",
            "ADOPT(first) middle->subreaper",
            "ADOPT(second) middle->subreaper",
            "NOTIFY(zombie, 17->subreaper)",
            "GEN(17->subreaper) by middle: ignored-by-default",
            "ADOPT(zombie) middle->subreaper",
            "NOTIFY(middle, 17->subreaper)",
            "GEN(17->subreaper) by middle: ignored-by-default",
        ]],
        &[
            "ADOPTED(first) middle->subreaper as subreaper, exact",
            "ADOPTED(second) middle->subreaper as subreaper, exact",
            "ADOPTED(zombie) middle->subreaper as subreaper, exact",
        ],
    );
    stage.step("wait");
    stream.expect(
        &[
            &["REAP(middle) by subreaper via wait4", "REAP(zombie) by subreaper via wait4"],
            &["REAP(middle) by subreaper via wait4", "FREE(middle)"],
            &["REAP(zombie) by subreaper via wait4", "FREE(zombie)"],
        ],
        &["REAPED(middle) by subreaper, exact via wait4", "REAPED(zombie) by subreaper, exact via wait4"],
    );
}

/// Order 3 with a subreaper that ignores SIGCHLD: the dying parent itself reaps the zombie that it gives away
/// (`release_task()` at the end of `exit_notify()`).
pub fn subreaper_ignores_sigchld(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["heirs", "ignored"]);
    stream.meet(&mut stage, ["subreaper", "middle", "first", "second", "zombie"]);
    stream.begin();
    stage.step("exit");
    let adopted_alive = [
        "ADOPTED(first) middle->subreaper as subreaper, exact",
        "ADOPTED(second) middle->subreaper as subreaper, exact",
        "REAPED(middle) by nobody, exact",
    ];
    // With tracepoints alone, it is gone before a look can show whose it was.
    let zombie: &[&str] = if stream.is_exact() {
        &["ADOPTED(zombie) middle->subreaper as subreaper, exact", "REAPED(zombie) by nobody, exact"]
    } else {
        &["REAPED(zombie) by nobody, at most"]
    };
    stream.expect(
        &[
            &[
                "EXIT(middle) children to subreaper",
                "ADOPT(first) middle->subreaper",
                "ADOPT(second) middle->subreaper",
                "NOTIFY(zombie, 17->subreaper)",
                "ADOPT(zombie) middle->subreaper",
                "NOTIFY(middle, 17->subreaper)",
                "REAP(middle) by middle",
            ],
            &["NOTIFY(middle, 17->subreaper)", "REAP(zombie) by middle", "FREE(zombie)"],
            &["EXIT(middle) children to subreaper", "FREE(zombie)"],
            &["REAP(middle) by middle", "FREE(middle)"],
        ],
        &[&adopted_alive, zombie].concat(),
    );
}

/// Order 9: two processes are notified of one end, and both wait.
pub fn tracer_then_parent(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["reaped-twice"]);
    let [_, child, tracer] = stream.meet(&mut stage, ["parent", "child", "tracer"]);
    stream.begin();
    tracer_tests::stage::kill(child, rustix::process::Signal::KILL);
    stream.expect(
        &[&[
            "GEN(9->child) by test: delivered",
            "EXIT(child, 9)",
            "NOTIFY(child, 17->tracer tracing)",
            "GEN(17->tracer) by child: ignored-by-default",
        ]],
        &[],
    );
    let tracer_of = |stream: &Stream| stream.process("child").and_then(|child| child.tracer).map(|it| it.key.tgid);
    assert_eq!(tracer_of(&stream), Some(tracer as u32), "who owes the wait");

    stage.step("tracer-waits");
    stream.expect(&[&["NOTIFY(child, 17->parent)", "GEN(17->parent) by tracer: ignored-by-default"]], &[]);
    // Without the exact hook, the next survey shows it.
    stream.wait_until("the world to know that the tracer has waited", |stream| tracer_of(stream).is_none());

    stage.step("parent-waits");
    stream
        .expect(&[&["REAP(child) by parent via wait4", "FREE(child)"]], &["REAPED(child) by parent, exact via wait4"]);
}

/// Order 9, both waiting at once: the parent's wait is the last, although only the exact hook shows the tracer's.
pub fn tracer_and_parent(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["reaped-twice"]);
    let [_, child, _] = stream.meet(&mut stage, ["parent", "child", "tracer"]);
    stream.begin();
    tracer_tests::stage::kill(child, rustix::process::Signal::KILL);
    stage.step("tracer-waits");
    stage.step("parent-waits");
    stream.expect(
        &[&[
            "GEN(9->child) by test: delivered",
            "EXIT(child, 9)",
            "NOTIFY(child, 17->tracer tracing)",
            "GEN(17->tracer) by child: ignored-by-default",
            "NOTIFY(child, 17->parent)",
            "GEN(17->parent) by tracer: ignored-by-default",
            "REAP(child) by parent via wait4",
            "FREE(child)",
        ]],
        &["REAPED(child) by parent, exact via wait4"],
    );
}

/// Order 10, with an exec of the parent: whatever signal was requested, it is notified by SIGCHLD, which it ignores.
pub fn parent_has_execed(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["before-an-exec"]);
    let [_, child] = stream.meet(&mut stage, ["parent", "child"]);
    stage.step("exec");
    stage.hears("execed");
    stream.begin();
    tracer_tests::stage::kill(child, rustix::process::Signal::KILL);
    stream.expect(
        &[&[
            "GEN(9->child) by test: delivered",
            "EXIT(child, 9)",
            "NOTIFY(child, 0->parent)",
            "REAP(child) by child",
            "FREE(child)",
        ]],
        &["REAPED(child) by nobody, exact"],
    );
}

/// A child about which no event ever comes.
pub fn reaps_itself(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["reaps-itself"]);
    let [_, child] = stream.meet(&mut stage, ["parent", "child"]);
    stream.begin();
    tracer_tests::stage::kill(child, rustix::process::Signal::KILL);
    stream.expect(
        &[&[
            "GEN(9->child) by test: delivered",
            "EXIT(child, 9)",
            "NOTIFY(child, 0->parent)",
            "REAP(child) by child",
            "FREE(child)",
        ]],
        &["REAPED(child) by nobody, exact"],
    );
}

/// Order 10: a child whose end notifies nobody, and that an ordinary wait does not see.
pub fn without_a_signal(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["without-a-signal"]);
    stream.meet(&mut stage, ["parent"]);
    stream.begin();
    stage.step("clone");
    stream.meet(&mut stage, ["child"]);
    stream.expect(&[&["FORK(child) by parent", "EXIT(child)", "NOTIFY(child, 0->parent)"]], &[]);
    assert!(stream.process("child").is_some_and(Process::is_zombie), "it is one that nobody hears of");

    stage.step("wait");
    stream
        .expect(&[&["REAP(child) by parent via wait4", "FREE(child)"]], &["REAPED(child) by parent, exact via wait4"]);
}
