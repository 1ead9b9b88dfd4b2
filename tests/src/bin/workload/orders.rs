//! Acts that stage the orders of events around an end: one step at a time, each taken by the only
//! process that waits for it.

use std::{
    io::{Read, Write, pipe},
    os::unix::process::CommandExt as _,
    process::Command,
    sync::mpsc,
    thread,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl, ptrace,
        signal::{self, SigHandler, SigSet, Signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{Pid, Uid, gettid, setuid},
};

use crate::{
    namespaces::{enter, new_namespace},
    talk::{announce, await_step, exit, fork, rest, say, wait_for},
};

/// Returns when that child has become a zombie, and leaves it one.
fn await_zombie(child: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
    waitid(Id::Pid(child), flags).expect("waitid");
}

fn ignore(signal: Signal) {
    // SAFETY: no handler is installed.
    unsafe { signal::signal(signal, SigHandler::SigIgn) }.expect("signal");
}

/// Ends the calling thread, and not the process.
fn exit_thread(code: i32) -> ! {
    // SAFETY: nothing on this thread's stack is used again.
    unsafe { libc::syscall(libc::SYS_exit, code) };
    unreachable!("exit(2) does not return")
}

/// `subreaper` has a child `middle`, which has the living children `first` and `second` and then
/// `zombie`. At the step `exit` `middle` exits; at the step `wait` `subreaper` reaps both dead. Or
/// it ignores SIGCHLD, by `kind`.
pub fn heirs(kind: &str) {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
    let middle = fork(|| {
        for child in ["first", "second"] {
            fork(|| {
                announce(child);
                rest()
            });
        }
        let zombie = fork(|| announce("zombie"));
        await_zombie(zombie);
        announce("middle");
        await_step("exit");
    });
    if kind == "ignored" {
        ignore(Signal::SIGCHLD);
        announce("subreaper");
        rest()
    }
    announce("subreaper");
    await_zombie(middle);
    await_step("wait");
    wait_for(middle);
    waitpid(None, None).expect("waitpid");
    rest()
}

/// The main thread of `process` exits with 5 at the step `end-leader`, the other one with 0 at the
/// step `end-thread`. Its parent waits for it and says `code-N`; or ignores SIGCHLD, by `kind`.
pub fn leader_first(kind: &str) {
    announce("parent");
    if kind == "ignored" {
        ignore(Signal::SIGCHLD);
    }
    let process = fork(|| end_leader_first(|_| ()));
    match waitpid(process, None) {
        Ok(WaitStatus::Exited(_, code)) => say(&format!("code-{code}"), 0),
        // Who ignores SIGCHLD waits in vain until there are no children left.
        other => assert_eq!(other, Err(Errno::ECHILD)),
    }
    rest()
}

/// The `process` of these acts; its other thread passes its own id on.
fn end_leader_first(other: impl FnOnce(Pid) + Send + 'static) -> ! {
    let (is_ending, ends) = mpsc::channel();
    announce("process");
    thread::spawn(move || {
        other(gettid());
        ends.recv().expect("the main thread says when");
        await_step("end-thread");
        exit_thread(0)
    });
    await_step("end-leader");
    is_ending.send(()).expect("the other thread lives");
    exit_thread(5)
}

/// As [`leader_first`] below a parent that ignores SIGCHLD. `tracer` holds the `leader` or the other
/// `thread`, by `held`, and reaps it at the step `tracer-waits`.
pub fn leader_first_held(held: &str) {
    let (mut told, mut tell) = pipe().expect("pipe");
    let process =
        fork(|| end_leader_first(move |tid| tell.write_all(&tid.as_raw().to_ne_bytes()).expect("the parent lives")));
    let mut tid = [0; 4];
    told.read_exact(&mut tid).expect("the other thread lives");
    let held = if held == "leader" { process } else { Pid::from_raw(i32::from_ne_bytes(tid)) };
    fork(|| {
        ptrace::seize(held, ptrace::Options::empty()).expect("PTRACE_SEIZE");
        announce("tracer");
        await_zombie(held);
        await_step("tracer-waits");
        waitpid(held, Some(WaitPidFlag::__WALL)).expect("waitpid");
        rest()
    });
    // Only now: the tracer does not.
    ignore(Signal::SIGCHLD);
    announce("parent");
    rest()
}

/// `outer` waits for `init`, a namespace's, which has a living child `kid` and one that is a
/// `zombie`, and exits at the step `exit`.
pub fn last_of_a_namespace() {
    announce("outer");
    new_namespace(|| {
        fork(|| {
            announce("kid");
            rest()
        });
        let zombie = fork(|| announce("zombie"));
        await_zombie(zombie);
        announce("init");
        await_step("exit");
    });
    rest()
}

/// `outside` has a child `inside` in the namespace of `pid`, which has a child `leaf`. `inside`
/// exits at the step `exit`; only at the step `wait` `outside` reaps it.
pub fn leftover(pid: i32) {
    enter(pid);
    let inside = fork(|| {
        fork(|| {
            announce("leaf");
            rest()
        });
        announce("inside");
        await_step("exit");
    });
    announce("outside");
    await_zombie(inside);
    await_step("wait");
    wait_for(inside);
    rest()
}

/// `tracer` holds `child`, and reaps it at the step `tracer-waits`; its `parent` does at the step
/// `parent-waits`.
pub fn reaped_twice() {
    announce("parent");
    let child = fork(|| {
        announce("child");
        rest()
    });
    let (mut is_over, mut over) = pipe().expect("pipe");
    fork(|| {
        ptrace::seize(child, ptrace::Options::empty()).expect("PTRACE_SEIZE");
        announce("tracer");
        await_step("tracer-waits");
        wait_for(child);
        over.write_all(b".").expect("the parent lives");
        rest()
    });
    is_over.read_exact(&mut [0]).expect("the tracer lives");
    await_step("parent-waits");
    wait_for(child);
    rest()
}

/// At the step `clone` a `child` of `parent` comes and goes whose end sends no signal. A plain
/// wait does not see it; one with `__WALL` does, at the step `wait`.
pub fn without_a_signal() {
    announce("parent");
    await_step("clone");
    // SAFETY: without CLONE_VM and with a null stack this is fork(2).
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child == 0 {
        exit()
    }
    let child = Pid::from_raw(child as i32);
    await_zombie(child);
    assert_eq!(waitpid(child, None), Err(Errno::ECHILD), "a clone is no child to a plain wait");
    say("child", child.as_raw());
    await_step("wait");
    waitpid(child, Some(WaitPidFlag::__WALL)).expect("waitpid");
    rest()
}

/// `parent`, which ignores SIGCHLD, has a `child` whose end sends no signal; at the step `exec` it
/// execs, and is `execed`.
pub fn before_an_exec() {
    announce("parent");
    ignore(Signal::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is fork(2).
    if unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) } == 0 {
        announce("child");
        rest()
    }
    await_step("exec");
    let program = std::env::current_exe().expect("/proc is mounted");
    panic!("exec: {}", Command::new(program).arg("after-exec").exec());
}

/// `parent` has a `child` that nobody has to wait for, whoever its parent is (`CLONE_AUTOREAP`).
pub fn reaps_itself() {
    const CLONE_AUTOREAP: u64 = 1 << 34;
    announce("parent");
    // SAFETY: all zero is what clone(2) does without being asked for anything.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_AUTOREAP;
    // SAFETY: without CLONE_VM this is fork(2).
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    assert!(child >= 0, "clone3: {}", Errno::last());
    if child == 0 {
        announce("child");
    }
    rest()
}

/// `process` blocks SIGTERM; at the step `ignore` it ignores it, and unblocks it.
pub fn blocked_then_ignored() {
    let sigterm = SigSet::from(Signal::SIGTERM);
    sigterm.thread_block().expect("sigprocmask");
    announce("process");
    await_step("ignore");
    ignore(Signal::SIGTERM);
    sigterm.thread_unblock().expect("sigprocmask");
    say("ignored", 0);
    rest()
}

/// `stranger`, who is nobody, tries to end `process`.
pub fn not_permitted() {
    announce("process");
    let process = Pid::this();
    fork(|| {
        announce("stranger");
        await_step("kill");
        setuid(Uid::from_raw(65534)).expect("setuid");
        assert_eq!(signal::kill(process, Signal::SIGKILL), Err(Errno::EPERM));
        say("refused", 0);
        rest()
    });
    rest()
}
