//! Acts with parents, children and those who adopt them.

use nix::{
    libc,
    sys::{
        prctl, ptrace,
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use crate::talk::{announce, exit, fork, next_step, rest, say, wait_for};

/// A parent that treats its children's ends as `kind` says; at each step `child` it gets one
/// that exits at once, at each step `wait` or `waitid` it reaps one by that call.
pub fn parent(kind: &str) {
    let on_sigchld = match kind {
        "never-waits" => SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty()),
        "ignores-sigchld" => SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty()),
        "no-cld-wait" => SigAction::new(SigHandler::SigDfl, SaFlags::SA_NOCLDWAIT, SigSet::empty()),
        _ => panic!("no parent is called {kind}"),
    };
    // SAFETY: no handler is installed.
    unsafe { signal::sigaction(Signal::SIGCHLD, &on_sigchld) }.expect("sigaction");
    announce("parent");
    serve_children();
}

/// See [`parent`].
pub fn serve_children() {
    while let Some(step) = next_step() {
        match step.as_str() {
            "child" => say("child", fork(|| {}).as_raw()),
            "wait" => {
                let reaped = waitpid(None, None).expect("waitpid");
                say("reaped", reaped.pid().map_or(0, Pid::as_raw));
            }
            "waitid" => {
                let reaped = waitid(Id::All, WaitPidFlag::WEXITED).expect("waitid");
                say("reaped", reaped.pid().map_or(0, Pid::as_raw));
            }
            _ => panic!("no step is called {step}"),
        }
    }
}

/// A parent that has a zombie, and cannot wait for it: its vfork(2) does not return, because the
/// child neither execs nor exits.
pub fn vfork() {
    announce("parent");
    say("child", fork(|| {}).as_raw());
    // Not vfork(2) itself, which would have the child use the parent's stack.
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2).
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if child == 0 {
        announce("vforked");
    }
    rest()
}

/// The double fork of a daemon: `middle` and its child `daemon` wait to be killed, `middle` is
/// reaped.
pub fn daemon() {
    let middle = fork(|| {
        fork(|| {
            announce("daemon");
            rest()
        });
        announce("middle");
        rest()
    });
    wait_for(middle);
    say("reaped", 0);
    rest()
}

/// A chain `outer` (subreaper) -> `inner` (subreaper) -> `middle` -> `leaf`. `inner` waits for
/// `middle`, `outer` waits for `inner`, and nobody for anybody else.
pub fn subreapers() {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
    let inner = fork(|| {
        prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
        let middle = fork(|| {
            fork(|| {
                announce("leaf");
                rest()
            });
            announce("middle");
            rest()
        });
        announce("inner");
        wait_for(middle);
        rest()
    });
    announce("outer");
    wait_for(inner);
    rest()
}

/// `creator` makes `sibling` with CLONE_PARENT, so that both are children of `parent`, which
/// never waits for the second.
pub fn clone_parent() {
    announce("parent");
    let creator = fork(|| {
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: without CLONE_VM and with a null stack this is fork(2).
        let sibling = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        announce(if sibling == 0 { "sibling" } else { "creator" });
        rest()
    });
    wait_for(creator);
    say("reaped", 0);
    rest()
}

/// `child` is held by `tracer`, which never waits; its parent waits for it.
pub fn traced() {
    announce("parent");
    let child = fork(|| {
        announce("child");
        rest()
    });
    fork(|| {
        ptrace::seize(child, ptrace::Options::empty()).expect("PTRACE_SEIZE");
        announce("tracer");
        rest()
    });
    wait_for(child);
    rest()
}

/// Runs a command, adopts what is orphaned below it, and reaps at once; ends with the command.
#[expect(clippy::zombie_processes, reason = "it is reaped with all the others")]
pub fn nursery() {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
    let mut command = std::env::args_os().skip(2);
    let program = command.next().expect("a command");
    let child = std::process::Command::new(program).args(command).spawn().expect("it starts");
    loop {
        match waitpid(None, None).expect("waitpid") {
            WaitStatus::Exited(pid, code) if pid.as_raw() as u32 == child.id() => std::process::exit(code),
            _ => {}
        }
    }
}

/// At the step `leave` it ends, and leaves behind `orphan`, which rests, and `debtor`, which rests and
/// has a zombie.
pub fn leaver() {
    fork(|| {
        announce("orphan");
        rest()
    });
    fork(|| {
        say("zombie", fork(|| {}).as_raw());
        announce("debtor");
        rest()
    });
    announce("leaver");
    crate::talk::await_step("leave");
}

/// At the step `go`, that many children one after another, each reaped.
pub fn storm(forks: u32) {
    announce("storm");
    if next_step().is_none() {
        exit()
    }
    for _ in 0..forks {
        wait_for(fork(|| {}));
    }
    say("over", 0);
    rest()
}
