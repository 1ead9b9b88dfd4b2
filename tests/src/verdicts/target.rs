//! The process that signals are sent to: it does what it is told, counts what its handlers see,
//! and answers. An answer proves that every signal that could be taken before has been taken.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use nix::libc;
use serde::{Deserialize, Serialize};

use super::{
    case::Way,
    line::Line,
    sys::{self, Action, SigInfo, set_of},
    ways::{Kept, Request},
};

/// What a target is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Begin a case: forget all before it, treat this signal so.
    Prepare {
        /// Which.
        signal: i32,
        /// How.
        action: Action,
        /// Block these, and no others.
        blocked: u64,
    },
    /// Treat this signal so from here on.
    Set(i32, Action),
    /// Block nothing.
    Unblock,
    /// Do what makes a signal come to yourself.
    Act(Request),
    /// Nothing; say how often this signal came.
    Count(i32),
    /// Wait for this signal in sigtimedwait(2), until the other one comes. It takes both.
    Await(i32, i32),
    /// Open a signalfd for this signal.
    Open(i32),
    /// Read what it has.
    Read(i32),
    /// Let no signal be queued, or as many as before.
    Limit(bool),
    /// Start a second thread, which listens from here on; the main thread blocks every signal and
    /// rests, or exits.
    Split {
        /// It exits.
        leader_exits: bool,
    },
    /// Become the leader of a session on this terminal.
    Terminal(String),
    /// Become the leader of a session without one.
    Session,
    /// Have this signal sent when the parent dies.
    OnParentDeath(i32),
    /// Exit.
    Exit,
}

/// What it answers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Its pid on the host.
    pub pid: i32,
    /// Its pid in its own namespace.
    pub own_pid: i32,
    /// 0, or the error number of what it was told to do.
    pub errno: i32,
    /// How often the handler of the signal ran since the case began.
    pub handled: u32,
    /// How often it took the signal itself.
    pub consumed: u32,
    /// A siginfo was `SI_USER` from pid 0.
    pub is_anonymous: bool,
}

/// The exit code of a target whose handler ran for a fault, to which it must not return.
pub const HANDLED: i32 = 100;

static HANDLED_COUNT: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
static IS_ANONYMOUS: [AtomicBool; 65] = [const { AtomicBool::new(false) }; 65];
static IS_FAULTING: AtomicBool = AtomicBool::new(false);

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if IS_FAULTING.load(Ordering::Relaxed) {
        sys::exit(HANDLED);
    }
    HANDLED_COUNT[signal as usize].fetch_add(1, Ordering::SeqCst);
    // SAFETY: SA_SIGINFO passes a whole siginfo; these two fields are there for SI_USER.
    if unsafe { (*info).si_code == libc::SI_USER && (*info).si_pid() == 0 } {
        IS_ANONYMOUS[signal as usize].store(true, Ordering::SeqCst);
    }
}

/// What a thread that listens has at hand.
struct Target {
    line: Line,
    handler: [u64; 4],
    kept: Kept,
    signalfd: Option<OwnedFd>,
    consumed: u32,
    pid: i32,
}

/// Runs a target, in a process group of its own or in that of its parent. It ends when nobody
/// speaks to it any more.
pub fn run(line: Line, has_own_group: bool) -> ! {
    for signal in 1..=64 {
        sys::set_action(signal, Action::Default, &[0; 4]);
    }
    // It dumps no core, and when the stage ends, so does this.
    // SAFETY: prctl(2) with integers; setpgid(2) of ourselves.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if has_own_group {
            libc::setpgid(0, 0);
        }
    }
    let handler = sys::handler_action(handler);
    sys::set_action(libc::SIGUSR1, Action::Default, &handler);
    sys::set_mask(0);
    let link = std::fs::read_link("/proc/self").ok();
    let pid = link.and_then(|link| link.to_str()?.parse().ok()).expect("/proc is the host's");
    let mut target = Target { line, handler, kept: Kept::default(), signalfd: None, consumed: 0, pid };
    target.answer(0, 0);
    target.listen()
}

impl Target {
    fn listen(mut self) -> ! {
        loop {
            let Some(command) = self.line.hear() else { sys::exit(0) };
            if let Command::Split { leader_exits } = command {
                self.split(leader_exits);
            }
            let (signal, errno) = self.obey(&command);
            self.answer(signal, errno);
        }
    }

    /// The signal to tell about, and an error number.
    fn obey(&mut self, command: &Command) -> (i32, i32) {
        match *command {
            Command::Prepare { signal, action, blocked } => {
                self.kept.clear();
                sys::set_mask(blocked);
                sys::set_action(signal, action, &self.handler);
                self.consumed = 0;
                HANDLED_COUNT[signal as usize].store(0, Ordering::SeqCst);
                IS_ANONYMOUS[signal as usize].store(false, Ordering::SeqCst);
                (signal, 0)
            }
            Command::Set(signal, action) => {
                sys::set_action(signal, action, &self.handler);
                (signal, 0)
            }
            Command::Unblock => {
                sys::set_mask(0);
                (0, 0)
            }
            Command::Act(request) => {
                IS_FAULTING.store(request.way == Way::Fault, Ordering::Relaxed);
                let errno = self.kept.perform(&request);
                IS_FAULTING.store(false, Ordering::Relaxed);
                (request.signal, errno)
            }
            Command::Count(signal) => (signal, 0),
            Command::Await(signal, poke) => {
                self.wait_for(signal, poke);
                (signal, 0)
            }
            Command::Open(signal) => {
                self.signalfd = Some(sys::signalfd(set_of(signal)));
                (signal, 0)
            }
            Command::Read(signal) => {
                self.consumed += self.signalfd.as_ref().map_or(0, sys::read_signalfd);
                (signal, 0)
            }
            Command::Limit(is_on) => {
                limit(is_on);
                (0, 0)
            }
            Command::Terminal(ref path) => (0, terminal(path)),
            Command::Session => {
                let _ = nix::unistd::setsid();
                (0, 0)
            }
            Command::OnParentDeath(signal) => {
                // SAFETY: prctl(2) with integers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
                (signal, 0)
            }
            Command::Exit => sys::exit(0),
            Command::Split { .. } => (0, 0),
        }
    }

    fn wait_for(&mut self, signal: i32, poke: i32) {
        let set = set_of(signal) | set_of(poke);
        let mut seen = |info: SigInfo| {
            if info.signo == signal {
                self.consumed += 1;
            }
            info.signo
        };
        while sys::take(set, true).map(&mut seen) != Some(poke) {}
        // The smaller number is taken first, whichever came first.
        while sys::take(set, false).map(&mut seen).is_some() {}
    }

    fn split(self, leader_exits: bool) -> ! {
        sys::set_mask(u64::MAX);
        let Self { line, handler, pid, .. } = self;
        thread::spawn(move || {
            sys::set_mask(0);
            let mut target = Self { line, handler, kept: Kept::default(), signalfd: None, consumed: 0, pid };
            target.answer(0, 0);
            target.listen()
        });
        if leader_exits {
            // What is pending for a dead thread is nobody's: it shall not look blocked.
            sys::set_mask(0);
            sys::exit_thread();
        }
        loop {
            nix::unistd::pause();
        }
    }

    fn answer(&mut self, signal: i32, errno: i32) {
        let answer = Answer {
            pid: self.pid,
            own_pid: std::process::id() as i32,
            errno,
            handled: HANDLED_COUNT[signal as usize].load(Ordering::SeqCst),
            consumed: self.consumed,
            is_anonymous: IS_ANONYMOUS[signal as usize].load(Ordering::SeqCst),
        };
        if !self.line.say(&answer) {
            sys::exit(0);
        }
    }
}

fn limit(is_on: bool) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: whole structures. Only the soft limit is changed, so it can be raised again.
    unsafe {
        libc::getrlimit(libc::RLIMIT_SIGPENDING, &raw mut limit);
        limit.rlim_cur = if is_on { 0 } else { limit.rlim_max };
        libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limit);
    }
}

fn terminal(path: &str) -> i32 {
    let _ = nix::unistd::setsid();
    let Ok(terminal) = File::options().read(true).write(true).open(path) else { return libc::ENXIO };
    // SAFETY: integers only.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    // It stays open: the terminal is ours until it is hung up.
    std::mem::forget(terminal);
    if result == 0 { 0 } else { nix::errno::Errno::last_raw() }
}
