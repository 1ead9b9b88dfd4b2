//! How an act talks to its test, and the few calls that every act needs.
//!
//! Out: one line `NAME PID` for each process that is ready, written at once, so that lines of
//! several processes do not mix. In: one line for each step.

use std::{
    io::Write,
    os::fd::{AsFd, FromRawFd as _, OwnedFd},
    ptr,
};

use nix::{
    libc,
    sys::{prctl, signal::Signal, wait::waitpid},
    unistd::{self, ForkResult, Pid},
};

/// The pid on the host of the process that asks, whatever namespace it lives in: `/proc` is the
/// host's, as no act mounts another.
pub fn host_pid() -> i32 {
    let link = std::fs::read_link("/proc/self").expect("/proc is mounted");
    link.to_str().and_then(|pid| pid.parse().ok()).expect("/proc/self is a pid")
}

/// Tells the test that `name` is ready, and that this is its pid on the host.
pub fn say(name: &str, pid: i32) {
    // One write for a line; a test that has gone away needs no answer.
    let _ = std::io::stdout().write_all(format!("{name} {pid}\n").as_bytes());
}

/// Tells the test that this process is ready.
pub fn announce(name: &str) {
    say(name, host_pid());
}

/// The next step that the test asks for; `None` when it wants no more.
pub fn next_step() -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    // Byte by byte, so that nothing is taken that is meant for another process.
    while unistd::read(std::io::stdin().as_fd(), &mut byte).is_ok_and(|read| read == 1) {
        if byte == *b"\n" {
            return String::from_utf8(line).ok();
        }
        line.extend(byte);
    }
    None
}

/// Waits until the test asks for this step; ends the process if it asks for no more.
pub fn await_step(name: &str) {
    match next_step() {
        Some(step) => assert_eq!(step, name, "the test wants another step"),
        None => exit(),
    }
}

/// Does nothing until it is killed.
pub fn rest() -> ! {
    loop {
        unistd::pause();
    }
}

/// Ends this process, and nothing else happens in it.
pub fn exit() -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(0) }
}

/// Starts a child that runs `body` and exits; says its pid as this process sees it.
pub fn fork(body: impl FnOnce()) -> Pid {
    // SAFETY: where this process has other threads, `body` only makes system calls and allocates,
    // and glibc keeps the allocator usable in a forked child.
    match unsafe { unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            body();
            exit()
        }
    }
}

/// Forks a child that leads a session on a terminal of its own; the child and the other end of the terminal, `None` in
/// the child.
pub fn fork_on_a_terminal() -> Option<(Pid, OwnedFd)> {
    let mut terminal = -1;
    // SAFETY: what is null is not asked for; as for `fork`.
    let child = unsafe { libc::forkpty(&raw mut terminal, ptr::null_mut(), ptr::null(), ptr::null()) };
    assert!(child >= 0, "forkpty");
    // SAFETY: it is open, and nobody else's.
    (child > 0).then(|| (Pid::from_raw(child), unsafe { OwnedFd::from_raw_fd(terminal) }))
}

/// Reaps that child, however long it takes.
pub fn wait_for(child: Pid) {
    waitpid(child, None).expect("waitpid");
}

/// Makes sure that nothing is left if the test is killed.
pub fn die_with_parent() {
    prctl::set_pdeathsig(Signal::SIGKILL).expect("PR_SET_PDEATHSIG");
}
