//! A process that sends signals on request, from a namespace or with rights of its own.

use std::os::fd::OwnedFd;

use nix::libc;

use super::{
    line::Line,
    sys::{self, Action},
    ways::{Kept, Request},
};

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Sender {
    /// Its pid on the host.
    pub pid: i32,
    line: Line,
    is_reaped: bool,
}

/// What a sender may do.
#[derive(Debug)]
pub enum Rights {
    /// All.
    Root,
    /// Nothing that needs a privilege.
    Nobody,
    /// Send through this descriptor of a process that it cannot name.
    Through(OwnedFd),
}

impl Sender {
    /// Starts one: in the pid namespace that children of this process are born into, or in a new
    /// one with `CLONE_NEWPID`.
    pub fn start(flags: libc::c_int, rights: Rights) -> Self {
        let (line, theirs) = Line::pair();
        let pid = sys::fork(flags);
        if pid == 0 {
            drop(line);
            run(&theirs, &rights);
        }
        drop(theirs);
        let sender = Self { pid, line, is_reaped: false };
        sender.line.hear::<i32>().expect("a sender begins with a word");
        sender
    }

    /// Has it send; 0 or an error number. `None` if it is gone.
    pub fn send(&self, request: &Request) -> Option<i32> {
        if self.line.say(request) { self.line.hear() } else { None }
    }

    /// Reaps it if it has ended by itself.
    pub fn reap(&mut self) {
        self.is_reaped |= sys::wait(self.pid, libc::WEXITED | libc::WNOHANG).is_some();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        sys::kill(self.pid, libc::SIGKILL);
        sys::wait(self.pid, libc::WEXITED);
    }
}

fn run(line: &Line, rights: &Rights) -> ! {
    for signal in 1..=64 {
        sys::set_action(signal, Action::Default, &[0; 4]);
    }
    sys::set_mask(0);
    // SAFETY: prctl(2) and setresuid(2) with integers.
    unsafe {
        if matches!(rights, Rights::Nobody) {
            libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let mut kept = Kept::default();
    line.say(&0);
    while let Some(request) = line.hear::<Request>() {
        let errno = match rights {
            Rights::Through(process) => sys::pidfd_send(process, request.signal),
            Rights::Root | Rights::Nobody => kept.perform(&request),
        };
        if !line.say(&errno) {
            break;
        }
    }
    sys::exit(0)
}

const NOBODY: libc::uid_t = 65_534;
