//! Acts in which a process is more than its main thread.

use std::{os::unix::process::CommandExt, process::Command, thread};

use nix::{libc, unistd::Pid};

use crate::talk::{announce, await_step, fork, rest, say, wait_for};

/// A thread of `process` has a child; the thread exits at the step `end-thread`, then the main
/// thread waits for the child.
pub fn forking_thread() {
    announce("process");
    let thread = thread::spawn(|| {
        let child = fork(|| {
            announce("child");
            rest()
        });
        await_step("end-thread");
        child
    });
    let child: Pid = thread.join().expect("the thread does not panic");
    say("thread-ended", 0);
    wait_for(child);
    say("reaped", 0);
    rest()
}

/// The main thread of `process` exits, another lives on.
pub fn dead_leader() {
    let process = fork(|| {
        thread::spawn(|| {
            announce("process");
            rest()
        });
        // SAFETY: ends this thread and not the process; nothing on its stack is used again.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    wait_for(process);
    say("reaped", 0);
    rest()
}

/// At the step `exec`, a thread of `process` that is not its main thread execs; a third one rests.
pub fn exec_by_thread() {
    let process = fork(|| {
        announce("process");
        thread::spawn(|| rest());
        thread::spawn(|| {
            await_step("exec");
            let program = std::env::current_exe().expect("/proc is mounted");
            panic!("exec: {}", Command::new(program).arg("after-exec").exec());
        });
        rest()
    });
    wait_for(process);
    say("reaped", 0);
    rest()
}

/// What [`exec_by_thread`] becomes.
pub fn after_exec() {
    announce("execed");
    rest()
}
