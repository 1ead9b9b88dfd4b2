//! Signals that are pending, and signals that found no room in the queue.

use tracer_tests::{Run, contract::Finding};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("a_full_queue", a_full_queue),
        live("a_full_queue_again_and_again", a_full_queue_again_and_again),
        live("a_lost_siginfo", a_lost_siginfo),
        live("with_room_all_is_quiet", with_room_all_is_quiet),
    ]
}

fn counts(found: &Finding) -> (Option<u64>, Option<u64>) {
    (found.lost, found.siginfo_lost)
}

fn a_full_queue() {
    let mut run = Run::start();
    let mut stage = run.stage(&["room-for", "0", "1"]);
    let [process, sender] = ["process", "sender"].map(|name| stage.pid(name));
    stage.step("queue");
    stage.hears("again");
    let found =
        run.expect_finding("signal-queue-overflow").about(process).signal("SIGRTMIN+6").sender(sender).certain();
    let found = found.once();
    assert_eq!(counts(&found), (Some(1), Some(0)));
    assert!(found.message.contains("which got EAGAIN"), "{}", found.message);
    run.finish();
}

/// With every signal in the stream; otherwise only one per 10 ms and processor.
fn a_full_queue_again_and_again() {
    let mut run = Run::options().events("signal").start();
    let mut stage = run.stage(&["room-for", "2", "1002"]);
    let process = stage.pid("process");
    stage.pid("sender");
    stage.step("queue");
    stage.hears("again");
    let found = run.expect_finding("signal-queue-overflow").about(process).signal("SIGRTMIN+6").times(4);
    let lost: Vec<_> = found.iter().map(counts).collect();
    assert_eq!(lost, [1, 10, 100, 1000].map(|lost| (Some(lost), Some(0))));
    run.finish();
}

fn a_lost_siginfo() {
    let mut run = Run::start();
    let mut stage = run.stage(&["room-for", "0", "1"]);
    let [process, sender] = ["process", "sender"].map(|name| stage.pid(name));
    stage.step("thread");
    stage.hears("sent");
    let found = run.expect_finding("signal-queue-overflow").about(process).signal("SIGUSR1").sender(sender).once();
    assert_eq!(counts(&found), (Some(0), Some(1)));
    assert!(found.message.contains("lost its sender and its value"), "{}", found.message);
    run.finish();
}

fn with_room_all_is_quiet() {
    let run = Run::start();
    let mut stage = run.stage(&["room-for", "500", "100"]);
    stage.pid("sender");
    for _ in 0..2 {
        stage.step("queue");
        stage.hears("queued");
        stage.step("thread");
        stage.hears("sent");
    }
    // What kill(2) sends below SIGRTMIN has room in any case (`__send_signal_locked()`).
    let mut full = run.stage(&["room-for", "0", "1"]);
    full.pid("sender");
    full.step("process");
    full.hears("sent");
    run.finish();
}
