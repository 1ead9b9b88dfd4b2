//! Signals that are pending, and signals that found no room in the queue.

use nix::libc;
use tracer_tests::{
    Run,
    contract::{Finding, Sender},
};

use crate::{Test, kills, live, me};

pub fn trials() -> Vec<Test> {
    vec![
        live("a_full_queue", a_full_queue),
        live("a_full_queue_again_and_again", a_full_queue_again_and_again),
        live("a_lost_siginfo", a_lost_siginfo),
        live("with_room_all_is_quiet", with_room_all_is_quiet),
        live("of_two_senders_the_first_in_the_queue", of_two_senders_the_first_in_the_queue),
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

/// How many senders' signals wait, and who is named of them.
enum Waits {
    /// The second one is merged with the first.
    One,
    /// Both, in order (a real-time signal).
    InOrder,
    /// Both, and that of the thread is taken first (`dequeue_signal()`).
    ThreadFirst,
}

fn of_two_senders_the_first_in_the_queue() {
    let mut run = kills::start();
    for (number, name, waits) in [
        (libc::SIGTERM, "SIGTERM", Waits::One),
        (libc::SIGRTMIN() + 6, "SIGRTMIN+6", Waits::InOrder),
        (libc::SIGTERM, "SIGTERM", Waits::ThreadFirst),
    ] {
        let mut stage = run.stage(&["blocks-all"]);
        let process = stage.pid("process");
        let mut other =
            run.shell(&format!("echo sender $$; read line; kill -{number} {process}; echo sent 0; read line"));
        let sender = other.pid("sender");
        let mine = || {
            // SAFETY: it takes numbers; the main thread of a process has its pid.
            let sent = unsafe {
                match waits {
                    Waits::ThreadFirst => libc::syscall(libc::SYS_tgkill, process, process, number),
                    Waits::One | Waits::InOrder => libc::kill(process, number).into(),
                }
            };
            assert_eq!(sent, 0, "kill");
        };
        let mut theirs = || {
            other.step("kill");
            other.hears("sent");
        };
        if matches!(waits, Waits::ThreadFirst) {
            theirs();
            mine();
        } else {
            mine();
            theirs();
        }
        stage.step("unblock");
        stage.ends();
        other.step("end");
        other.ends();
        let found = run.expect_finding("killed-by").about(process).signal(name).once();
        assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.pid == me()), "{sender}: {found:?}");
        // Whether the program has taken the first by itself does not show.
        let is_certain = matches!(waits, Waits::One);
        assert_eq!(found.confidence == "certain", is_certain, "{found:?}");
    }
    run.finish();
}
