//! The system calls with which signals are sent, blocked and taken, as the kernel has them: the C
//! library keeps signals 32 and 33 for itself and refuses to touch them.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use nix::libc::{self, c_int, c_long};
use serde::{Deserialize, Serialize};

/// Bytes of the kernel's signal sets.
const SET_SIZE: usize = 8;

/// The set that holds one signal.
pub fn set_of(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// 0, or the error number.
fn errno(result: c_long) -> i32 {
    if result == -1 { io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) } else { 0 }
}

/// A siginfo as user space passes it in: that of rt_sigqueueinfo(2).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SigInfo {
    /// Signal number.
    pub signo: i32,
    errno: i32,
    /// `si_code`.
    pub code: i32,
    pad: i32,
    /// `si_pid`.
    pub pid: i32,
    uid: u32,
    value: u64,
    rest: [u64; 12],
}

impl SigInfo {
    fn empty() -> Self {
        Self { signo: 0, errno: 0, code: 0, pad: 0, pid: 0, uid: 0, value: 0, rest: [0; 12] }
    }

    fn queued(signal: i32) -> Self {
        // SAFETY: getpid(2) cannot fail.
        let pid = unsafe { libc::getpid() };
        Self { signo: signal, code: libc::SI_QUEUE, pid, ..Self::empty() }
    }
}

const _: () = assert!(size_of::<SigInfo>() == size_of::<libc::siginfo_t>());

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> i32 {
    // SAFETY: integers only.
    errno(unsafe { libc::syscall(libc::SYS_kill, pid, signal) })
}

/// tkill(2).
pub fn tkill(tid: i32, signal: i32) -> i32 {
    // SAFETY: integers only.
    errno(unsafe { libc::syscall(libc::SYS_tkill, tid, signal) })
}

/// tgkill(2).
pub fn tgkill(tgid: i32, tid: i32, signal: i32) -> i32 {
    // SAFETY: integers only.
    errno(unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) })
}

/// rt_sigqueueinfo(2) with `SI_QUEUE`.
pub fn sigqueue(pid: i32, signal: i32) -> i32 {
    let info = SigInfo::queued(signal);
    // SAFETY: `info` is a whole siginfo.
    errno(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &raw const info) })
}

/// rt_tgsigqueueinfo(2) with `SI_QUEUE`.
pub fn tgsigqueue(tgid: i32, tid: i32, signal: i32) -> i32 {
    let info = SigInfo::queued(signal);
    // SAFETY: `info` is a whole siginfo.
    errno(unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, signal, &raw const info) })
}

/// pidfd_open(2).
pub fn pidfd(pid: i32) -> Result<OwnedFd, i32> {
    // SAFETY: integers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match errno(fd) {
        // SAFETY: the descriptor is new, and nobody else's.
        0 => Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) }),
        error => Err(error),
    }
}

/// pidfd_send_signal(2) without a siginfo.
pub fn pidfd_send(fd: &OwnedFd, signal: i32) -> i32 {
    // SAFETY: a null siginfo is allowed.
    errno(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, ptr::null::<SigInfo>(), 0) })
}

/// What to do with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
    /// The handler given to [`actions`].
    Handle,
}

/// The kernel's `struct sigaction`: handler, flags, restorer, mask. 8 bytes each on all 64-bit
/// machines that tracer runs on.
type KernelAction = [u64; 4];

/// A handler as SA_SIGINFO has it.
pub type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// The action that has the kernel call this function. The C library fills in how it returns.
pub fn handler_action(handler: Handler) -> KernelAction {
    // SAFETY: zero is an empty sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    let mut kept: KernelAction = [0; 4];
    // SAFETY: both are whole structures.
    unsafe {
        libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut());
        libc::syscall(libc::SYS_rt_sigaction, libc::SIGUSR1, ptr::null::<KernelAction>(), &raw mut kept, SET_SIZE);
    }
    kept
}

/// rt_sigaction(2); SIGKILL and SIGSTOP stay as they are.
pub fn set_action(signal: i32, action: Action, handler: &KernelAction) {
    let action = match action {
        Action::Default => [0; 4],
        Action::Ignore => [libc::SIG_IGN as u64, 0, 0, 0],
        Action::Handle => *handler,
    };
    // SAFETY: a whole structure; the handler only counts.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, ptr::null::<KernelAction>(), SET_SIZE);
    }
}

/// rt_sigprocmask(2): exactly these are blocked from here on.
pub fn set_mask(mask: u64) {
    // SAFETY: the set has the size that is said.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, ptr::null::<u64>(), SET_SIZE);
    }
}

/// rt_sigtimedwait(2): takes one signal of the set; waits for ever, or not at all. `None` if
/// there is none, or another signal's handler came in between.
pub fn take(set: u64, waits: bool) -> Option<SigInfo> {
    let mut info = SigInfo::empty();
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let timeout = if waits { ptr::null() } else { &raw const at_once };
    // SAFETY: whole structures, a set of the size that is said.
    let taken = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, &raw mut info, timeout, SET_SIZE) };
    (taken > 0).then_some(info)
}

/// signalfd(2), not blocking.
pub fn signalfd(set: u64) -> OwnedFd {
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: a set of the size that is said.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const set, SET_SIZE, flags) };
    assert!(fd >= 0, "signalfd: {}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd as c_int) }
}

/// Takes all signals that are there to be read; how many.
pub fn read_signalfd(fd: &OwnedFd) -> u32 {
    let mut count = 0;
    let mut one = [0; size_of::<libc::signalfd_siginfo>()];
    while nix::unistd::read(fd, &mut one).is_ok_and(|read| read == one.len()) {
        count += 1;
    }
    count
}

/// fork(2), or clone(2) with `CLONE_PARENT` or `CLONE_NEWPID`. 0 in the child.
pub fn fork(flags: c_int) -> i32 {
    // SAFETY: without CLONE_VM and with a null stack this is fork(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0, "clone: {}", io::Error::last_os_error());
    pid as i32
}

/// Ends this process, and nothing else happens in it.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Ends this thread and not the process.
pub fn exit_thread() -> ! {
    // SAFETY: nothing on this thread's stack is used again.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("exit(2) does not return")
}

/// What waitid(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// `CLD_*`.
    pub code: i32,
    /// The exit code, or the signal; of a ptrace stop the event too, from bit 8 on.
    pub status: i32,
}

/// waitid(2) for one process; `None` if there is nothing to tell, or it is not a child.
pub fn wait(pid: i32, options: c_int) -> Option<Waited> {
    // SAFETY: zero is an empty siginfo.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: a whole structure.
    let result = unsafe { libc::waitid(libc::P_PID, pid as u32, &raw mut info, options | libc::__WALL) };
    // SAFETY: waitid(2) fills these fields, or leaves zeros.
    let (who, status) = unsafe { (info.si_pid(), info.si_status()) };
    (result == 0 && who == pid).then_some(Waited { code: info.si_code, status })
}

/// ptrace(2) with two integers.
pub fn ptrace(request: libc::c_uint, pid: i32, data: i32) -> i32 {
    // SAFETY: these requests read and write no memory of ours.
    errno(unsafe { libc::ptrace(request, pid, 0, c_long::from(data)) })
}

/// timer_create(2) and timer_settime(2): one expiry, as soon as can be. For the whole process, or
/// for one thread.
pub fn start_timer(signal: i32, tid: Option<i32>) -> Result<c_int, i32> {
    // SAFETY: zero is an empty sigevent.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_signo = signal;
    event.sigev_notify = libc::SIGEV_SIGNAL;
    if let Some(tid) = tid {
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_notify_thread_id = tid;
    }
    let mut timer: c_int = 0;
    let soon = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 1 },
    };
    // SAFETY: whole structures; the kernel's timer ids are ints.
    let result = unsafe {
        match libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &raw const event, &raw mut timer) {
            0 => libc::syscall(libc::SYS_timer_settime, timer, 0, &raw const soon, ptr::null::<libc::itimerspec>()),
            failed => failed,
        }
    };
    match errno(result) {
        0 => Ok(timer),
        error => Err(error),
    }
}

/// Whether a timer has expired: its signal has been generated then, as `posix_timer_fn()` does
/// both under the lock that timer_gettime(2) takes.
pub fn has_expired(timer: c_int) -> bool {
    // SAFETY: zero is an empty itimerspec.
    let mut left: libc::itimerspec = unsafe { mem::zeroed() };
    // SAFETY: a whole structure.
    unsafe { libc::syscall(libc::SYS_timer_gettime, timer, &raw mut left) };
    left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0
}

/// timer_delete(2). A signal of it that still waits is lost on newer kernels.
pub fn delete_timer(timer: c_int) {
    // SAFETY: integers only.
    unsafe { libc::syscall(libc::SYS_timer_delete, timer) };
}
