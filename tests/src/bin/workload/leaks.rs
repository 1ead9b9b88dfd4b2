//! Acts that use up limited resources: parents that collect zombies, and holders of terminals.

use std::{thread, time::Duration};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal},
        wait::{Id, WaitPidFlag, waitid, waitpid},
    },
    unistd::{self, ForkResult, Pid},
};
use rustix::pty::{OpenptFlags, openpt};

use crate::talk::{announce, await_step, exit, fork, next_step, rest, say};

/// At each step `child`, a parent tries to create a child that exits at once, so many milliseconds after the last, and
/// reports its pid, or 0 if there is no room for one; at a step `reap` it reaps them all.
pub fn leak(interval: u64) {
    announce("parent");
    while let Some(step) = next_step() {
        match step.as_str() {
            "child" => {
                thread::sleep(Duration::from_millis(interval));
                // SAFETY: the child does nothing but exit.
                match unsafe { unistd::fork() } {
                    Ok(ForkResult::Child) => exit(),
                    Ok(ForkResult::Parent { child }) => say("child", child.as_raw()),
                    Err(Errno::EAGAIN) => say("child", 0),
                    Err(error) => panic!("fork: {error}"),
                }
            }
            "reap" => {
                while waitpid(None, None).is_ok() {}
                say("reaped", 0);
            }
            _ => panic!("no step is called {step}"),
        }
    }
}

const CHILDREN: usize = 8;

/// Children end while their parent blocks SIGCHLD, so that it gets one for all of them. Its handler waits `once` per
/// signal, or for `all` that have ended.
pub fn together(how: &str) {
    let handler = match how {
        "once" => SigHandler::Handler(wait_once),
        "all" => SigHandler::Handler(wait_for_all),
        _ => panic!("no handler is called {how}"),
    };
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handlers call nothing but waitpid(2).
    unsafe { signal::sigaction(Signal::SIGCHLD, &action) }.expect("sigaction");
    let sigchld = SigSet::from(Signal::SIGCHLD);
    signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&sigchld), None).expect("sigprocmask");
    announce("parent");
    await_step("end");
    for _ in 0..CHILDREN {
        let child = fork(|| {});
        waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("waitid");
    }
    signal::sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&sigchld), None).expect("sigprocmask");
    say("unblocked", 0);
    // One more, which is waited for by its pid; later than it can take to see that one of the others was reaped.
    await_step("another");
    thread::sleep(Duration::from_millis(1_500));
    signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&sigchld), None).expect("sigprocmask");
    let child = fork(|| {});
    waitpid(child, None).expect("waitpid");
    say("waited", child.as_raw());
    rest()
}

extern "C" fn wait_once(_: libc::c_int) {
    let _ = waitpid(None, Some(WaitPidFlag::WNOHANG));
}

extern "C" fn wait_for_all(_: libc::c_int) {
    let is_reaped = |status: &nix::sys::wait::WaitStatus| status.pid().is_some_and(|pid| pid != Pid::from_raw(0));
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| is_reaped(&status)) {}
}

/// `process` holds so many pseudo-terminals.
pub fn ptys(count: usize) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let _held: Vec<_> = (0..count).map(|_| openpt(flags).expect("there is room for a pty")).collect();
    announce("process");
    rest()
}
