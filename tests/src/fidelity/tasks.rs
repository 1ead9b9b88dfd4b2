//! What the driver asks the kernel about a single task of the workload.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::libc;

/// Whether a process, or its zombie, still has its pid.
pub(super) fn is_unreaped(process: &OwnedFd) -> bool {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a system call on numbers; signal 0 only asks.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), 0, no_info, 0) == 0 }
}

/// Whether a task goes on by itself.
pub(super) enum Rest {
    /// It does.
    None,
    /// It does not: stopped, or dead.
    Stopped,
    /// It sleeps. It has been switched away from so often.
    Asleep { switches: u64 },
}

/// See [`Rest`].
pub(super) fn rest_of(tid: u32) -> Rest {
    // One that is gone is told of by its descriptor.
    let Ok(status) = fs::read(format!("/proc/{tid}/status")) else { return Rest::None };
    let status = String::from_utf8_lossy(&status);
    let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim_start();
    match state.as_bytes().first() {
        Some(b'T' | b't' | b'Z') => Rest::Stopped,
        Some(b'S' | b'D') => {
            let switches =
                status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
            Rest::Asleep { switches: switches.sum() }
        }
        _ => Rest::None,
    }
}

/// The numbers of a task in the namespaces from the host's to its own.
pub(super) fn numbers(tid: u32) -> Option<Vec<i32>> {
    let status = fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().map(|number| number.parse().ok()).collect()
}
