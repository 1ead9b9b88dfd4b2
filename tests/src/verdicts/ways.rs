//! How a signal comes about: the calls that send one, and what makes the kernel send one of its
//! own.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    sync::OnceLock,
};

use nix::libc;
use serde::{Deserialize, Serialize};

use super::{case::Way, faults, sys};

/// What somebody is asked to send, with the ids by which he knows the target.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Request {
    /// How.
    pub way: Way,
    /// What.
    pub signal: i32,
    /// To which process.
    pub pid: i32,
    /// To which thread of it.
    pub tid: i32,
    /// To which process group.
    pub group: i32,
}

/// What a process must keep for the ways that outlive a call.
#[derive(Debug, Default)]
pub struct Kept {
    timers: Vec<libc::c_int>,
    files: Vec<OwnedFd>,
}

impl Kept {
    /// Does what is asked; 0 or an error number. By then the signal has been generated.
    pub fn perform(&mut self, request: &Request) -> i32 {
        let Request { way, signal, pid, tid, group } = *request;
        match way {
            Way::Kill => sys::kill(pid, signal),
            Way::KillGroup => sys::kill(-group, signal),
            Way::Tgkill => sys::tgkill(pid, tid, signal),
            Way::Tkill => sys::tkill(tid, signal),
            Way::Sigqueue => sys::sigqueue(pid, signal),
            Way::Tgsigqueue => sys::tgsigqueue(pid, tid, signal),
            Way::Pidfd => match sys::pidfd(pid) {
                Ok(fd) => sys::pidfd_send(&fd, signal),
                Err(error) => error,
            },
            Way::Timer => self.timer(signal, None),
            Way::TimerThread => self.timer(signal, Some(tid)),
            Way::Io => fasync(signal),
            Way::Message => self.message(signal),
            Way::Interval => interval(signal),
            Way::Pipe => broken_pipe(),
            Way::FileSize => file_size(),
            Way::Child => self.child(),
            Way::Fault => faults::fault(signal),
            Way::ParentDeath | Way::Key | Way::Resize | Way::HangUp | Way::NamespaceEnd => {
                panic!("{way} is not the doing of one process")
            }
        }
    }

    /// Lets go of everything: what a timer of ours has pending may vanish with it.
    pub fn clear(&mut self) {
        self.timers.drain(..).for_each(sys::delete_timer);
        self.files.clear();
        // SAFETY: reaps children; a null status is allowed.
        while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
    }

    fn timer(&mut self, signal: i32, tid: Option<i32>) -> i32 {
        match sys::start_timer(signal, tid) {
            Ok(timer) => {
                self.timers.push(timer);
                while !sys::has_expired(timer) {
                    std::hint::spin_loop();
                }
                0
            }
            Err(error) => error,
        }
    }

    /// A message queue that tells us of a message, which we send.
    fn message(&mut self, signal: i32) -> i32 {
        let name = format!("tracer-{}-{signal}\0", std::process::id());
        // SAFETY: a terminated name, null attributes.
        let queue = unsafe {
            libc::syscall(
                libc::SYS_mq_open,
                name.as_ptr(),
                libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK,
                0o600,
                ptr::null::<libc::c_void>(),
            )
        };
        if queue < 0 {
            return nix::errno::Errno::last_raw();
        }
        // SAFETY: the descriptor is new; the name is terminated.
        let queue = unsafe {
            libc::syscall(libc::SYS_mq_unlink, name.as_ptr());
            OwnedFd::from_raw_fd(queue as i32)
        };
        // SAFETY: zero is an empty sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        // SAFETY: a whole sigevent, a message of one byte.
        unsafe {
            libc::syscall(libc::SYS_mq_notify, queue.as_raw_fd(), &raw const event);
            libc::syscall(libc::SYS_mq_timedsend, queue.as_raw_fd(), b"x".as_ptr(), 1, 0, 0);
        }
        self.files.push(queue);
        0
    }

    /// A child that ends, and stays a zombie until all is over.
    fn child(&mut self) -> i32 {
        let child = sys::fork(0);
        if child == 0 {
            sys::exit(0);
        }
        while sys::wait(child, libc::WEXITED | libc::WNOWAIT).is_none() {}
        0
    }
}

/// A pipe that the stage keeps: if it ended with the target, that would be news on it too.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// Opens the pipe for [`Way::Io`], before there are targets.
pub fn open_pipe() {
    PIPE.get_or_init(|| nix::unistd::pipe().expect("pipe"));
}

/// Has the kernel tell us of news on the pipe, and makes some.
fn fasync(signal: i32) -> i32 {
    let (from, to) = PIPE.get().expect("the stage opens it");
    let me = std::process::id() as i32;
    // SAFETY: integers only.
    unsafe {
        libc::fcntl(from.as_raw_fd(), libc::F_SETOWN, me);
        libc::fcntl(from.as_raw_fd(), F_SETSIG, signal);
        libc::fcntl(from.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK);
    }
    nix::unistd::write(to, b"x").expect("a pipe takes a byte");
    // Whoever died of it left the byte to the next.
    while nix::unistd::read(from, &mut [0; 64]).is_ok_and(|read| read > 0) {}
    0
}

/// `F_SETSIG` of fcntl(2).
const F_SETSIG: libc::c_int = 10;

/// The three clocks of setitimer(2), each with a signal of its own.
fn interval(signal: i32) -> i32 {
    let clock = match signal {
        libc::SIGALRM => 0,
        libc::SIGVTALRM => 1,
        _ => 2,
    };
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut timer = libc::itimerval { it_interval: zero, it_value: libc::timeval { tv_sec: 0, tv_usec: 1 } };
    // SAFETY: whole structures.
    unsafe {
        libc::syscall(libc::SYS_setitimer, clock, &raw const timer, ptr::null::<libc::itimerval>());
    }
    // Two of the clocks only run while we do.
    while timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0 {
        // SAFETY: a whole structure.
        unsafe { libc::syscall(libc::SYS_getitimer, clock, &raw mut timer) };
    }
    0
}

fn broken_pipe() -> i32 {
    let (from, to) = nix::unistd::pipe().expect("pipe");
    drop(from);
    let _ = nix::unistd::write(&to, b"x");
    0
}

fn file_size() -> i32 {
    // SAFETY: a terminated name; the descriptor is new.
    let mut file: File = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"size".as_ptr(), 0)) }.into();
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: whole structures.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) };
    let _ = file.write(b"x");
    // SAFETY: as before.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const all) };
    0
}
