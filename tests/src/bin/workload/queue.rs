//! Acts about the queue of signals that wait.

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SigSet, Signal},
    unistd::{Pid, gettid},
};

use crate::talk::{announce, await_step, fork, host_pid, next_step, rest, say};

/// A signal that is queued as often as it is sent.
const QUEUED: libc::c_int = 40;

/// `process` blocks what comes, and has room for so many signals. `sender` sends it one as often at the
/// step `queue`, and says `again` if there was no room for the last; or one below SIGRTMIN at the steps
/// `thread` (by tgkill) and `process` (by kill), and says `sent`.
pub fn room_for(most: u64, times: u32) {
    let mut all = SigSet::all();
    all.remove(Signal::SIGTERM);
    all.thread_block().expect("sigprocmask");
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: it is read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limit) }, 0, "setrlimit");
    let (process, thread) = (Pid::from_raw(host_pid()), gettid());
    announce("process");
    fork(|| {
        announce("sender");
        while let Some(step) = next_step() {
            match step.as_str() {
                "queue" => say(queue(process, times), 0),
                "thread" => {
                    // SAFETY: it takes numbers.
                    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process.as_raw(), thread.as_raw(), 10) };
                    assert_eq!(sent, 0, "tgkill");
                    say("sent", 0);
                }
                "process" => {
                    nix::sys::signal::kill(process, Signal::SIGUSR2).expect("kill");
                    say("sent", 0);
                }
                _ => panic!("no step is called {step}"),
            }
        }
    });
    rest()
}

/// `process` blocks what comes until the step `unblock`.
pub fn blocks_all() {
    let all = SigSet::all();
    all.thread_block().expect("sigprocmask");
    announce("process");
    await_step("unblock");
    all.thread_unblock().expect("sigprocmask");
    rest()
}

fn queue(process: Pid, times: u32) -> &'static str {
    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
    let mut last = 0;
    for _ in 0..times {
        // SAFETY: it takes numbers.
        last = unsafe { libc::sigqueue(process.as_raw(), QUEUED, value) };
    }
    match last {
        0 => "queued",
        _ if Errno::last() == Errno::EAGAIN => "again",
        _ => panic!("sigqueue: {}", Errno::last()),
    }
}
