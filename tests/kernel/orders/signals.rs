//! The fate of a signal to a namespace's init, and of one that is not delivered at once.

use rustix::process::{Pid, Signal, test_kill_process};
use tracer::source::hooks::Hooks;
use tracer_tests::{Stream, stage::kill};

use super::stage;

/// Order 11: dropped when sent, from inside or outside; only SIGKILL from outside has an effect.
pub fn init_without_a_handler(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut namespace = stage(&["init", "plain"]);
    let [_, init] = stream.meet(&mut namespace, ["outer", "init"]);
    let mut stage = stage(&["inside", &init.to_string()]);
    stream.meet(&mut stage, ["outside", "inside"]);
    stream.begin();
    kill(init, Signal::TERM);
    stage.step("kill SIGTERM 1");
    stage.hears("killed");
    stage.step("kill SIGKILL 1");
    stage.hears("killed");
    stage.step("end");
    stage.hears("reaped");
    stream.expect(
        &[&[
            "GEN(15->init, protected) by test: no-handler",
            "GEN(15->init, protected) by inside: no-handler",
            "GEN(9->init, protected) by inside: kill-from-inside",
            "EXIT(inside)",
            "NOTIFY(inside, 17->outside)",
            "GEN(17->outside) by inside: ignored-by-default",
            "REAP(inside) by outside via wait4",
            "FREE(inside)",
        ]],
        &["REAPED(inside) by outside, exact via wait4"],
    );
    kill(init, Signal::KILL);
    stream.expect(
        &[&[
            "GEN(9->init) by test: delivered",
            "EXIT(init, 9)",
            "NOTIFY(init, 17->outer)",
            "GEN(17->outer) by init: ignored-by-default",
            "REAP(init) by outer via wait4",
            "FREE(init)",
        ]],
        &["REAPED(init) by outer, exact via wait4"],
    );
}

/// Order 11, blocked: accepted when sent, and dropped when taken (`get_signal()`).
pub fn init_that_blocks(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["init", "blocking"]);
    let [_, init] = stream.meet(&mut stage, ["outer", "init"]);
    stream.begin();
    kill(init, Signal::TERM);
    stream.expect(&[&["GEN(15->init, protected) by test: queued"]], &[]);
    stage.step("unblock");
    stage.hears("unblocked");
    stream.expect(&[&["DELIV(15) to init: dropped-at-delivery"]], &[]);
    assert!(stream.process("init").is_some_and(|init| !init.is_zombie()), "it lives");
}

/// Order 12: a fault removes an init's protection before the signal is sent (`force_sig_info_to_task()`).
pub fn init_that_faults(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["init", "faulting"]);
    stream.meet(&mut stage, ["outer", "init"]);
    stream.begin();
    stage.step("fault");
    stage.hears("ended");
    stream.expect(
        &[&[
            "GEN(11->init) by init for fault: delivered",
            "DELIV(11) to init",
            "EXIT(init, 11)",
            "NOTIFY(init, 17->outer)",
            "GEN(17->outer) by init: ignored-by-default",
            "REAP(init) by outer via wait4",
            "FREE(init)",
        ]],
        &["REAPED(init) by outer, exact via wait4"],
    );
}

/// Order 13: the queue is flushed silently (`flush_sigqueue_mask()`).
pub fn blocked_then_ignored(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["blocked-then-ignored"]);
    let [process] = stream.meet(&mut stage, ["process"]);
    stream.begin();
    kill(process, Signal::TERM);
    stage.step("ignore");
    stage.hears("ignored");
    stream.expect(&[&["GEN(15->process) by test: queued"]], &[]);
}

/// Order 13: neither a signal that is not permitted nor signal 0 is ever generated.
pub fn never_sent(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["not-permitted"]);
    let [process, _] = stream.meet(&mut stage, ["process", "stranger"]);
    stream.begin();
    stage.step("kill");
    stage.hears("refused");
    test_kill_process(Pid::from_raw(process).expect("no pid is 0")).expect("it is there");
    stream.expect(&[], &[]);
    // The same process does get a signal that is permitted.
    kill(process, Signal::URG);
    stream.expect(&[&["GEN(23->process) by test: ignored-by-default"]], &[]);
}
