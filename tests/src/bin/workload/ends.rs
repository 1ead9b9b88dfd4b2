//! Acts that end by a signal: `process` announces itself, and ends at the step `end`.

use std::{
    io::{Read, Write, pipe},
    os::fd::{FromRawFd as _, OwnedFd},
    ptr,
};

use nix::{
    libc,
    sys::{
        prctl, ptrace,
        signal::{self, SigHandler, SigSet, Signal},
    },
    unistd::{self, Pid},
};

use crate::talk::{announce, await_step, exit, fork, fork_on_a_terminal, host_pid, next_step, rest, say, wait_for};

/// Ends as `how` says.
pub fn end(how: &str) {
    announce("process");
    await_step("end");
    match how {
        "by-abort" => std::process::abort(),
        "by-raise" => signal::raise(Signal::SIGUSR1).expect("raise"),
        // SAFETY: it is not; the handler of Rust's runtime gives it back to the kernel.
        "by-fault" => drop(unsafe { ptr::read_volatile(ptr::without_provenance::<u8>(16)) }),
        "by-pipe" => write_to_nobody(),
        "by-timer" => run_out(),
        "by-file-size" => write_too_much(),
        "by-seccomp" => call_what_is_forbidden(),
        "by-strict-mode" => call_in_strict_mode(),
        "by-memory" => use_memory(),
        _ => panic!("nobody ends {how}"),
    }
    rest()
}

/// The default action, which Rust's runtime takes away from SIGPIPE.
fn default(of: Signal) {
    // SAFETY: no handler is installed.
    unsafe { signal::signal(of, SigHandler::SigDfl) }.expect("signal");
}

fn write_to_nobody() {
    default(Signal::SIGPIPE);
    let (reader, mut writer) = pipe().expect("pipe");
    drop(reader);
    panic!("it wrote: {:?}", writer.write(b"."));
}

fn run_out() {
    let soon = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
    // SAFETY: it is read, and nothing is written.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) }, 0, "setitimer");
}

fn write_too_much() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it is read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0, "setrlimit");
    // SAFETY: the name ends with a zero byte.
    let file = unsafe { libc::memfd_create(c"file".as_ptr(), 0) };
    assert!(file >= 0, "memfd_create");
    // SAFETY: it is open, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    panic!("it wrote: {:?}", unistd::write(file, b"."));
}

/// A filter that forbids whatever comes.
fn call_what_is_forbidden() {
    const KILL_PROCESS: u32 = 0x8000_0000;
    const SET_MODE_FILTER: libc::c_ulong = 2;
    let mut always = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: KILL_PROCESS }];
    let program = libc::sock_fprog { len: 1, filter: always.as_mut_ptr() };
    prctl::set_no_new_privs().expect("PR_SET_NO_NEW_PRIVS");
    // SAFETY: the program lives until the call returns.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, SET_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "PR_SET_SECCOMP");
}

fn call_in_strict_mode() {
    const SET_MODE_STRICT: libc::c_ulong = 1;
    // SAFETY: nothing is passed; what the process calls next ends it.
    unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, SET_MODE_STRICT);
        libc::getppid();
    }
}

fn use_memory() {
    let mut all = Vec::new();
    for _ in 0..256 {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    panic!("{} MiB were there", all.len());
}

/// `process` handles SIGTERM, and then raises it without a handler; it says so before that.
pub fn raise_again() {
    extern "C" fn on_sigterm(_: libc::c_int) {
        default(Signal::SIGTERM);
        let _ = signal::raise(Signal::SIGTERM);
    }
    // SAFETY: the handler makes two system calls.
    unsafe { signal::signal(Signal::SIGTERM, SigHandler::Handler(on_sigterm)) }.expect("signal");
    announce("process");
    rest()
}

/// `process` blocks SIGTERM until the step `unblock`.
pub fn blocked_until() {
    let sigterm = SigSet::from(Signal::SIGTERM);
    sigterm.thread_block().expect("sigprocmask");
    announce("process");
    await_step("unblock");
    sigterm.thread_unblock().expect("sigprocmask");
    rest()
}

/// `process` has a process group of its own, with so many `member`s.
pub fn group(members: usize) {
    unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("setpgid");
    for _ in 0..members {
        fork(|| {
            announce("member");
            rest()
        });
    }
    announce("process");
    rest()
}

/// `process` exits at the step `end`; its two `child`ren have asked for SIGKILL then.
pub fn death_of_a_parent() {
    for _ in 0..2 {
        fork(|| {
            prctl::set_pdeathsig(Signal::SIGKILL).expect("PR_SET_PDEATHSIG");
            announce("child");
            rest()
        });
    }
    announce("process");
    await_step("end");
    exit()
}

/// `process` is held by `tracer`, which exits at the step `end` and takes it along.
pub fn death_of_a_tracer() {
    announce("process");
    let process = Pid::from_raw(host_pid());
    fork(|| {
        ptrace::seize(process, ptrace::Options::PTRACE_O_EXITKILL).expect("PTRACE_SEIZE");
        announce("tracer");
        await_step("end");
        exit()
    });
    rest()
}

/// `process` is in the foreground of a terminal, below the `leader` of its session, which is killed at the step `end`.
pub fn below_a_leader() {
    prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
    let (mut is_ready, mut ready) = pipe().expect("pipe");
    // To close the terminal would be another hang-up.
    let Some((leader, _terminal)) = fork_on_a_terminal() else {
        let process = fork(|| rest());
        ready.write_all(&process.as_raw().to_ne_bytes()).expect("the parent lives");
        rest()
    };
    let mut process = [0; 4];
    is_ready.read_exact(&mut process).expect("the leader lives");
    let process = i32::from_ne_bytes(process);
    say("process", process);
    say("leader", leader.as_raw());
    await_step("end");
    signal::kill(leader, Signal::SIGKILL).expect("it lives");
    wait_for(leader);
    wait_for(Pid::from_raw(process));
    exit()
}

/// `process` leads a session on a terminal of its own. At the step `interrupt` Ctrl-C is pressed
/// there, at the step `close` the terminal is closed.
pub fn on_a_terminal() {
    let (mut is_ready, mut ready) = pipe().expect("pipe");
    let Some((process, terminal)) = fork_on_a_terminal() else {
        ready.write_all(b".").expect("the parent lives");
        rest()
    };
    is_ready.read_exact(&mut [0]).expect("the child lives");
    say("process", process.as_raw());
    match next_step().as_deref() {
        Some("interrupt") => {
            unistd::write(&terminal, b"\x03").expect("write");
        }
        Some("close") => drop(terminal),
        None => {
            let _ = signal::kill(process, Signal::SIGKILL);
        }
        Some(other) => panic!("no step is called {other}"),
    }
    wait_for(process);
    exit()
}
