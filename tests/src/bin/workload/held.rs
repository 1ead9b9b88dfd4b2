//! Acts of processes that cannot go on, and of parents that cannot learn what they wait for.

use std::{
    io::{Read, pipe},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    process::Command,
    thread,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace,
        signal::{self, SigHandler, Signal},
        wait::waitpid,
    },
    unistd::{self, Pid},
};

use crate::talk::{announce, await_step, exit, fork, fork_on_a_terminal, rest, say, wait_for};

/// `tracer` holds `process` when it exits, until the step `let-go`.
pub fn held_at_its_exit() {
    let process = fork(|| {
        announce("process");
        rest()
    });
    ptrace::seize(process, ptrace::Options::PTRACE_O_TRACEEXIT).expect("PTRACE_SEIZE");
    announce("tracer");
    // The stop at its exit, which a SIGKILL leads to.
    wait_for(process);
    await_step("let-go");
    ptrace::cont(process, None).expect("PTRACE_CONT");
    wait_for(process);
    say("reaped", 0);
    rest()
}

/// `process` reads from a terminal, in the background of it or in front, as `group` says.
pub fn background_reader(group: &str) {
    if let Some((leader, terminal)) = fork_on_a_terminal() {
        let mut said = [0; 64];
        let read = unistd::read(&terminal, &mut said).expect("the child says its pid");
        let pid = String::from_utf8_lossy(&said[..read]).trim().parse().expect("a pid");
        say("process", pid);
        wait_for(leader);
        exit()
    }
    let process = fork(|| {
        if group == "background" {
            unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("setpgid");
        }
        // Its standard streams are the terminal; the pid tells the test that the next call reads.
        println!("{}", crate::talk::host_pid());
        let _ = std::io::stdin().read(&mut [0]);
        rest()
    });
    let _ = waitpid(process, None);
    exit()
}

/// `parent` waits for exactly `child`, which exits with code 3 at the step `end`: it ignores SIGCHLD by its own
/// choice, or has a handler; or another thread of it waits for any child at the same time.
pub fn status(how: &str) {
    match how {
        // SAFETY: no handler is installed.
        "ignored" => drop(unsafe { signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("signal")),
        "inherited" => {
            // SAFETY: as above.
            unsafe { signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) }.expect("signal");
            let program = std::env::current_exe().expect("/proc is mounted");
            panic!("exec: {}", Command::new(program).args(["status", "as-it-is"]).exec());
        }
        _ => {}
    }
    let child = fork(|| {
        announce("child");
        await_step("end");
        // SAFETY: _exit(2) has no preconditions.
        unsafe { libc::_exit(3) }
    });
    announce("parent");
    if how == "taken" {
        // Whichever is woken first: until the other one has lost.
        thread::spawn(|| {
            let _ = waitpid(None, None);
        });
    }
    let got = waitpid(child, None);
    say(if got == Err(Errno::ECHILD) { "lost" } else { "got" }, 0);
    rest()
}

/// `parent` reads what `child` writes, to the end of that, before it waits for it. `daemon`, a child of that, has the
/// pipe too, or not, as `holder` says; `child` exits.
pub fn reads_to_the_end(holder: &str) {
    let (mut reader, writer) = pipe().expect("pipe");
    let child = fork(|| {
        fork(|| {
            if holder == "without" {
                // SAFETY: it is open, and not used again.
                unsafe { libc::close(writer.as_raw_fd()) };
            }
            announce("daemon");
            rest()
        });
        announce("child");
        exit()
    });
    drop(writer);
    announce("parent");
    let _ = reader.read(&mut [0]);
    wait_for(child);
    rest()
}
