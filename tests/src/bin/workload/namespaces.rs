//! Acts with pid namespaces and their inits.

use std::{fs::File, str::FromStr};

use nix::{
    libc,
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal, kill},
    },
    unistd::Pid,
};

use crate::talk::{announce, await_step, die_with_parent, exit, fork, next_step, rest, say, wait_for};

/// Starts pid 1 of a new namespace, which runs `body`, and waits for it.
pub fn new_namespace(body: impl FnOnce()) {
    unshare(CloneFlags::CLONE_NEWPID).expect("unshare");
    let init = fork(|| {
        die_with_parent();
        body();
    });
    wait_for(init);
}

/// What is forked from here on lives in the namespace of `pid`.
pub fn enter(pid: i32) {
    let namespace = File::open(format!("/proc/{pid}/ns/pid")).expect("the namespace");
    setns(namespace, CloneFlags::CLONE_NEWPID).expect("setns");
}

/// A namespace with nobody in it but its init, which treats SIGTERM as `kind` says, or ends by a
/// fault at the step `fault`. `outer` waits for it.
pub fn init(kind: &str) {
    announce("outer");
    new_namespace(|| match kind {
        "plain" => {
            announce("init");
            rest()
        }
        "handler" => {
            on_sigterm(SigHandler::Handler(do_nothing));
            announce("init");
            rest()
        }
        "ignoring" => {
            on_sigterm(SigHandler::SigIgn);
            announce("init");
            rest()
        }
        "blocking" => {
            let sigterm = SigSet::from(Signal::SIGTERM);
            sigterm.thread_block().expect("sigprocmask");
            announce("init");
            await_step("unblock");
            sigterm.thread_unblock().expect("sigprocmask");
            announce("unblocked");
            rest()
        }
        "faulting" => {
            announce("init");
            await_step("fault");
            fault()
        }
        _ => panic!("no init is called {kind}"),
    });
    say("ended", 0);
    rest()
}

/// Ends this process by SIGSEGV, without a core file.
fn fault() -> ! {
    prctl::set_dumpable(false).expect("PR_SET_DUMPABLE");
    // Rust's own handler looks for stack overflows.
    // SAFETY: no handler is installed.
    unsafe { signal::signal(Signal::SIGSEGV, SigHandler::SigDfl) }.expect("signal");
    // SAFETY: a mapping of its own that nobody may read; the kernel answers the read with a signal.
    unsafe {
        let page =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        page.cast::<u8>().read_volatile();
    }
    unreachable!("nobody may read that page")
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn on_sigterm(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { signal::sigaction(Signal::SIGTERM, &action) }.expect("sigaction");
}

/// A namespace whose init has children, and exits at the step `exit`.
pub fn family(members: u32) {
    new_namespace(|| {
        for _ in 0..members {
            fork(|| {
                announce("member");
                rest()
            });
        }
        announce("init");
        await_step("exit");
    });
    say("ended", 0);
    rest()
}

/// A namespace with many processes that do nothing.
pub fn crowd(members: u32) {
    new_namespace(|| {
        for _ in 0..members {
            fork(|| rest());
        }
        announce("crowd");
        rest()
    });
}

/// Namespaces in one another, each with an init that has no handler and waits for the next.
pub fn nested(depth: u32) {
    nested_below(1, depth);
}

fn nested_below(level: u32, depth: u32) {
    new_namespace(|| {
        announce(&format!("init{level}"));
        if level < depth {
            nested_below(level + 1, depth);
        }
        rest()
    });
    rest()
}

/// A namespace whose init never waits. Its child `shell` has a child `leaf`; both wait to be
/// killed.
pub fn orphanage() {
    new_namespace(|| {
        fork(|| {
            fork(|| {
                announce("leaf");
                rest()
            });
            announce("shell");
            rest()
        });
        announce("init");
        rest()
    });
}

/// A process that enters the namespace of `pid` from outside, as `docker exec` does, and there
/// follows the steps `kill SIGNAL PID` and `fork`; `end` ends it.
pub fn inside(pid: i32) {
    enter(pid);
    let inside = fork(|| {
        announce("inside");
        while let Some(step) = next_step() {
            match step.split(' ').collect::<Vec<_>>()[..] {
                ["kill", signal, pid] => {
                    let signal = Signal::from_str(signal).expect("a signal");
                    kill(Pid::from_raw(pid.parse().expect("a pid")), signal).expect("kill");
                    announce("killed");
                }
                ["fork"] => {
                    fork(|| {
                        announce("leaf");
                        rest()
                    });
                }
                _ => exit(),
            }
        }
    });
    announce("outside");
    wait_for(inside);
    say("reaped", 0);
    rest()
}
