//! Acts in which a process is more than its main thread.

use std::{
    io::{Read, Write, pipe},
    os::unix::process::CommandExt,
    process::Command,
    thread,
};

use nix::{
    libc,
    sys::{
        ptrace,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, gettid},
};

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

/// The same, but `tracer` holds the third thread when it exits, until the step `let-go`: the exec waits for its end
/// (`de_thread()`), and the main thread has ended by then.
pub fn exec_while_held() {
    let (mut is_ready, mut ready) = pipe().expect("pipe");
    let process = fork(|| {
        thread::spawn(move || {
            ready.write_all(&gettid().as_raw().to_ne_bytes()).expect("the parent lives");
            rest()
        });
        thread::spawn(|| {
            await_step("exec");
            let program = std::env::current_exe().expect("/proc is mounted");
            panic!("exec: {}", Command::new(program).arg("after-exec").exec());
        });
        rest()
    });
    let mut thread = [0; 4];
    is_ready.read_exact(&mut thread).expect("the child lives");
    let thread = Pid::from_raw(i32::from_ne_bytes(thread));
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACEEXIT).expect("PTRACE_SEIZE");
    say("process", process.as_raw());
    // The stop at its exit, then its exit.
    wait_for_thread(thread);
    say("held", 0);
    await_step("let-go");
    ptrace::cont(thread, None).expect("PTRACE_CONT");
    wait_for_thread(thread);
    wait_for(process);
    say("reaped", 0);
    rest()
}

fn wait_for_thread(thread: Pid) {
    waitpid(thread, Some(WaitPidFlag::__WALL)).expect("waitpid");
}

/// What [`exec_by_thread`] and [`exec_while_held`] become.
pub fn after_exec() {
    announce("execed");
    rest()
}
