//! A closer look at a process: which system call it is in, and which signals its threads wait for. The masks of proc(5)
//! do not show that.
//!
//! A process can have a million descriptors, and its memory can be a file system that does not answer. So this look is
//! limited in time and number, and says when it was cut short.

use std::{
    ffi::CString,
    fs,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    libc,
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, fork},
};
use procfs::process::{Process, Syscall};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
};

use crate::source::{procfs::text, reads};

/// What it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closer {
    /// The number of the system call that its main thread is in, if that is known.
    pub call: Option<i64>,
    /// The signals that its threads wait for in sigwait(3) or its like, or read from a signalfd(2); or why that is not
    /// known, in a clause.
    pub awaited: Result<u64, &'static str>,
}

/// How many descriptors and threads of a process are looked at.
const MOST: usize = 4096;
/// How long the whole look may take.
const BUDGET: Duration = Duration::from_secs(2);
/// How long one process may take before the next is looked at beside it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long to wait for a process's memory.
const MEMORY: Duration = Duration::from_millis(200);

const REFUSED: &str = "only root may look at it so closely";
const TOO_MANY: &str = "it has more descriptors or threads than `tracer` looks at";
const TOO_LATE: &str = "looking at descriptors and threads took too long";
const CHANGED: &str = "it changed during the look";
const NO_CHILD: &str = "no child could be started to look at its memory";
const SILENT: &str = "reading its state took too long";

/// Looks at each of these processes, by pid.
pub fn look(pids: Vec<i32>) -> Vec<(i32, Closer)> {
    let until = Instant::now() + BUDGET;
    let mut found: Vec<_> = pids.iter().map(|&pid| (pid, Closer { call: None, awaited: Err(SILENT) })).collect();
    let items = pids.into_iter().map(|pid| (pid, until)).collect();
    reads::each(items, PATIENCE, |&(pid, until)| look_at(pid, until), |at, closer| found[at].1 = closer);
    found
}

fn look_at(pid: i32, until: Instant) -> Closer {
    let Ok(process) = Process::new(pid) else { return Closer { call: None, awaited: Err(REFUSED) } };
    let call = match process.syscall() {
        Ok(Syscall::Blocked { syscall_number, .. }) => Some(syscall_number),
        _ => None,
    };
    let both = threads(&process, until).and_then(|threads| Ok(threads | descriptors(pid, until)?));
    Closer { call, awaited: both }
}

/// What its threads wait for in sigwait(3): such a signal does not count as blocked meanwhile.
fn threads(process: &Process, until: Instant) -> Result<u64, &'static str> {
    let mut mask = 0;
    for (count, task) in process.tasks().map_err(|_| REFUSED)?.enumerate() {
        check(count, until)?;
        let call = task.and_then(|task| task.syscall());
        match call {
            Ok(Syscall::Blocked {
                syscall_number: libc::SYS_rt_sigtimedwait, argument_registers: [set, ..], ..
            }) => {
                mask |= word(process.pid(), set)?;
            }
            Ok(_) => {}
            Err(error) if is_refused(&error) => return Err(REFUSED),
            // It is gone.
            Err(_) => {}
        }
    }
    Ok(mask)
}

/// What it reads from signalfds.
fn descriptors(pid: i32, until: Instant) -> Result<u64, &'static str> {
    let mut mask = 0;
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|_| REFUSED)?;
    for (count, fd) in fds.flatten().enumerate() {
        check(count, until)?;
        if !fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:[signalfd]") {
            continue;
        }
        let info = text(&format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_string_lossy()));
        let sigmask = info.lines().find_map(|line| line.strip_prefix("sigmask:"));
        mask |= sigmask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    }
    Ok(mask)
}

fn check(count: usize, until: Instant) -> Result<(), &'static str> {
    match count {
        MOST.. => Err(TOO_MANY),
        _ if Instant::now() > until => Err(TOO_LATE),
        _ => Ok(()),
    }
}

fn is_refused(error: &procfs::ProcError) -> bool {
    matches!(error, procfs::ProcError::PermissionDenied(_))
}

/// A word of a process's memory. A child process reads it, and is abandoned if it hangs: a reader of memory behind a
/// FUSE file system that does not answer cannot even be killed (`request_wait_answer()`).
fn word(pid: i32, address: u64) -> Result<u64, &'static str> {
    let path = CString::new(format!("/proc/{pid}/mem")).map_err(|_| NO_CHILD)?;
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).map_err(|_| NO_CHILD)?;
    // SAFETY: the child calls nothing but system calls, without allocating, until it ends.
    match unsafe { fork() }.map_err(|_| NO_CHILD)? {
        ForkResult::Child => {
            let mut bytes = [0; 8];
            let read = rustix::fs::open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .and_then(|memory| rustix::io::pread(memory, &mut bytes, address));
            if read == Ok(bytes.len()) {
                let _ = rustix::io::write(&to, &bytes);
            }
            // SAFETY: it ends this child without running anything that its parent would run at an exit.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(to);
            let came = comes(&from);
            let mut bytes = [0; 8];
            let word = match came && rustix::io::read(&from, &mut bytes) == Ok(bytes.len()) {
                true => Ok(u64::from_ne_bytes(bytes)),
                false if came => Err(CHANGED),
                false => Err(SILENT),
            };
            // It may be gone, which is just as well.
            let _ = kill(child, Signal::SIGKILL);
            if came {
                let _ = waitpid(child, None);
            }
            word
        }
    }
}

/// Whether there is something to read in time, or the other end is closed.
fn comes(pipe: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: MEMORY.subsec_nanos().into() };
    matches!(poll(&mut fds, Some(&timeout)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_memory_is_read_by_a_child() {
        let (pid, here) = (std::process::id() as i32, 0x0123_4567_89ab_cdef_u64);
        assert_eq!(word(pid, std::ptr::from_ref(&here).addr() as u64), Ok(here));
        assert_eq!(word(pid, 8), Err(CHANGED), "nothing is mapped there");
    }

    #[test]
    fn who_has_too_much_is_looked_at_in_part() {
        let late = Instant::now().checked_sub(Duration::from_millis(1)).unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        assert_eq!(check(MOST - 1, soon), Ok(()));
        assert_eq!(check(MOST, soon), Err(TOO_MANY));
        assert_eq!(check(0, late), Err(TOO_LATE));
    }

    #[test]
    fn what_this_process_waits_for_is_seen() {
        use nix::sys::{signal::SigSet, signalfd::SignalFd};
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR2);
        let _fd = SignalFd::new(&set).unwrap();
        let pid = std::process::id() as i32;
        let [(_, Closer { awaited, .. })] = look(vec![pid])[..] else { panic!() };
        assert!(awaited.is_ok_and(|mask| crate::signal::Signal(12).is_in(mask)), "{awaited:?}");
    }
}
