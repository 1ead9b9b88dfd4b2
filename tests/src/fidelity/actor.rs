//! An actor: a thread that carries out the driver's orders until it ends or is killed.
//!
//! Threads and children are created by clone(2) itself, each on the stack of its slot, and threads have no thread-local
//! storage. So an actor must not allocate, panic or use `errno`: it makes system calls and reports whether they worked.
//! Only the root, the main thread of its program, may do more.

use std::{
    ffi::{CStr, CString, c_void},
    fs,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::OnceLock,
    sync::atomic::Ordering,
};

use nix::libc::{self, c_int};

use super::{
    arena::{self, ActorId, Arena, Descriptors, ROOT, SLOTS},
    order::{Birth, OnChildEnd, Order},
};

/// Names that an actor can take by exec; files of these names lead to the program.
pub const NAMES: [&str; 8] = ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"];

/// The first argument of the program when it is to be an actor.
pub const ACTOR: &str = "actor";

/// Bytes of a stack: a signal frame with every register there is needs a quarter of it.
const STACK: usize = 64 << 10;

/// Seconds without a sign of the driver after which an actor gives up.
const PATIENCE: libc::time_t = 20;

/// What an actor of this address space needs. All of them have it from the first one.
struct Stage {
    arena: &'static Arena,
    descriptors: Descriptors,
    /// Address of the first of [`SLOTS`] stacks.
    stacks: usize,
    /// A file for each name.
    files: [CString; NAMES.len()],
    names: [CString; NAMES.len()],
    /// The arguments that tell the next image the same, but for its own id.
    arguments: [CString; 5],
}

static STAGE: OnceLock<Stage> = OnceLock::new();

/// Runs the actor that the arguments after [`ACTOR`] name: its id, the descriptors of
/// [`Descriptors`], and the folder with the files.
///
/// # Errors
/// If the arguments, or what they name, make no sense.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [me, memory, bell, driver, folder] = arguments else { anyhow::bail!("an actor has five arguments") };
    let me: ActorId = me.parse()?;
    let descriptors = Descriptors { memory: memory.parse()?, bell: bell.parse()?, driver: driver.parse()? };
    // SAFETY: the driver keeps it open in every actor.
    let arena = arena::map(unsafe { BorrowedFd::borrow_raw(descriptors.memory) })?;
    let stage = Stage {
        arena,
        descriptors,
        stacks: stacks()?,
        files: NAMES.map(|name| c_string(&format!("{folder}/{name}"))),
        names: NAMES.map(c_string),
        arguments: [ACTOR, memory, bell, driver, folder].map(c_string),
    };
    set_dispositions();
    if me == ROOT {
        prepare_root(arena);
    }
    let stage = STAGE.get_or_init(|| stage);
    // What an exec was for is done now.
    let slot = stage.arena.slot(me);
    let number = slot.ordered();
    stage.appear(me);
    slot.finish(number, 0);
    stage.ring();
    stage.serve(me)
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Memory for the stacks, of which only what is used exists.
fn stacks() -> anyhow::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping.
    let address =
        unsafe { libc::mmap(std::ptr::null_mut(), STACK * SLOTS, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    anyhow::ensure!(address != libc::MAP_FAILED, "no memory for stacks: {}", std::io::Error::last_os_error());
    Ok(address as usize)
}

extern "C" fn do_nothing(_: c_int) {}

/// A fault ends the process without a core file; SIGUSR1 only interrupts.
fn set_dispositions() {
    set_handler(libc::SIGUSR1, do_nothing as *const () as usize, 0);
    // The Rust runtime has its own.
    set_handler(libc::SIGSEGV, libc::SIG_DFL, 0);
    // 1 keeps the kernel from starting a core_pattern program too, see do_coredump().
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}

fn set_handler(signal: c_int, handler: usize, flags: c_int) -> c_int {
    // SAFETY: zeros are an empty mask; a handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    }
}

/// The root adopts all orphans, does not get their signals, and notices the driver's death.
fn prepare_root(arena: &Arena) {
    // SAFETY: plain system calls.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0);
        arena.root_group.store(libc::getpgid(0), Ordering::Release);
    }
}

/// Where a new thread or process begins.
extern "C" fn begin(me: *mut c_void) -> c_int {
    let Some(stage) = STAGE.get() else { return 1 };
    let me = me as usize as ActorId;
    let slot = stage.arena.slot(me);
    if slot.has_own_group() {
        // SAFETY: a plain system call.
        unsafe { libc::setpgid(0, 0) };
    }
    let first = slot.order();
    stage.appear(me);
    stage.ring();
    if first != Order::Nothing {
        stage.carry_out(me, first);
    }
    stage.serve(me)
}

/// Where a child of vfork(2) begins that is to exec.
extern "C" fn begin_spawned(me: *mut c_void) -> c_int {
    let Some(stage) = STAGE.get() else { return 1 };
    let me = me as usize as ActorId;
    if let Order::Exec(name) = stage.arena.slot(me).order() {
        stage.exec(me, name);
    }
    1
}

extern "C" fn do_not_begin(_: *mut c_void) -> c_int {
    0
}

impl Stage {
    /// Reports where this actor lives, in the host's numbers: `/proc` is the host's for all actors.
    fn appear(&self, me: ActorId) {
        let (pid, tid) = host_ids();
        self.arena.slot(me).appear(pid, tid);
    }

    fn ring(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes, as eventfd(2) wants.
        unsafe { libc::write(self.descriptors.bell, (&raw const one).cast(), size_of::<u64>()) };
    }

    fn serve(&self, me: ActorId) -> ! {
        let slot = self.arena.slot(me);
        let mut heard = (self.arena.heartbeat.load(Ordering::Relaxed), now());
        loop {
            if let Some(number) = slot.next(PATIENCE) {
                let order = slot.order();
                let result = match order {
                    // Nobody will be there to say so.
                    Order::ExitThread | Order::Exit(_) => {
                        slot.finish(number, 0);
                        self.ring();
                        self.carry_out(me, order)
                    }
                    _ => self.carry_out(me, order),
                };
                slot.finish(number, result);
                self.ring();
            }
            if me == ROOT && self.is_abandoned() {
                sweep();
                exit(0);
            }
            let heartbeat = self.arena.heartbeat.load(Ordering::Relaxed);
            if heartbeat != heard.0 {
                heard = (heartbeat, now());
            } else if now() - heard.1 >= PATIENCE && me != ROOT {
                exit(0);
            }
        }
    }

    /// The driver has died if its child has another parent.
    fn is_abandoned(&self) -> bool {
        // SAFETY: a plain system call.
        unsafe { libc::getppid() != self.arena.driver.load(Ordering::Relaxed) }
    }

    /// 0 or more if it worked, -1 if not.
    fn carry_out(&self, me: ActorId, order: Order) -> c_int {
        // SAFETY: system calls on numbers and on memory of this frame; those that begin a task
        // give it a stack of its own.
        unsafe {
            match order {
                Order::Nothing => 0,
                Order::Make { child, count, deep, birth } => self.make(me, child, count, deep, birth),
                Order::Spawn { child, name } => {
                    self.arena.slot(child).prepare(Order::Exec(name), false);
                    self.clone(child, begin_spawned, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD)
                }
                Order::SpawnNothing => {
                    // On the stack of a slot that no episode gets to.
                    let last = (SLOTS - 1) as ActorId;
                    self.clone(last, do_not_begin, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD)
                }
                Order::Thread(child) => {
                    self.arena.slot(child).prepare(Order::Nothing, false);
                    const THREAD: c_int = libc::CLONE_VM
                        | libc::CLONE_FS
                        | libc::CLONE_FILES
                        | libc::CLONE_SIGHAND
                        | libc::CLONE_THREAD
                        | libc::CLONE_SYSVSEM;
                    self.clone(child, begin, THREAD)
                }
                Order::ExitThread => libc::syscall(libc::SYS_exit, 0) as c_int,
                Order::Exit(code) => exit(c_int::from(code)),
                Order::Crash => {
                    // No process has memory there (mmap_min_addr).
                    (16 as *mut u8).write_volatile(0);
                    -1
                }
                Order::Exec(name) => self.exec(me, name),
                Order::Rename(name) => {
                    libc::prctl(libc::PR_SET_NAME, self.names[usize::from(name) % NAMES.len()].as_ptr(), 0, 0, 0)
                }
                Order::Kill(theirs, signal) => self.kill_by_descriptor(theirs, signal),
                Order::KillPid(pid, signal) if pid > 0 && self.is_nested(me) => libc::kill(pid, signal.into()),
                Order::KillPid(..) => -1,
                Order::KillGroup(signal) => {
                    let root = self.arena.root_group.load(Ordering::Relaxed);
                    let own = libc::getpgid(0);
                    // 0 is a group outside the namespace.
                    if own == 0 || (!self.is_nested(me) && own == root) { -1 } else { libc::kill(0, signal.into()) }
                }
                Order::KillAll(signal) if self.is_nested(me) => libc::kill(-1, signal.into()),
                Order::KillAll(_) => -1,
                Order::KillSelf(signal, false) => libc::kill(libc::getpid(), signal.into()),
                Order::KillSelf(signal, true) => {
                    let (pid, tid) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
                    libc::syscall(libc::SYS_tgkill, pid, tid, c_int::from(signal)) as c_int
                }
                Order::Wait(pid, flags) => {
                    let mut info: libc::siginfo_t = std::mem::zeroed();
                    let who = if pid == 0 { libc::P_ALL } else { libc::P_PID };
                    libc::waitid(who, pid as libc::id_t, &raw mut info, flags)
                }
                Order::OnChildEnd(what) => match what {
                    OnChildEnd::Default => set_handler(libc::SIGCHLD, libc::SIG_DFL, 0),
                    OnChildEnd::Ignore => set_handler(libc::SIGCHLD, libc::SIG_IGN, 0),
                    OnChildEnd::NoWait => set_handler(libc::SIGCHLD, libc::SIG_DFL, libc::SA_NOCLDWAIT),
                    OnChildEnd::Handle => set_handler(libc::SIGCHLD, do_nothing as *const () as usize, 0),
                },
                Order::Subreaper(on) => libc::prctl(libc::PR_SET_CHILD_SUBREAPER, c_int::from(on), 0, 0, 0),
                Order::DeathSignal(signal) => libc::prctl(libc::PR_SET_PDEATHSIG, c_int::from(signal), 0, 0, 0),
                Order::OwnGroup => libc::setpgid(0, 0),
                Order::Unshare => libc::unshare(libc::CLONE_NEWPID),
                Order::Join(pid) => join(pid),
                Order::Seize(pid, exit_kill) => {
                    let options = if exit_kill { libc::PTRACE_O_EXITKILL } else { 0 };
                    ptrace(libc::PTRACE_SEIZE, pid, options as usize)
                }
                Order::Attach(pid) => ptrace(libc::PTRACE_ATTACH, pid, 0),
                Order::Detach(pid) => detach(pid),
                Order::Resume => resume(),
                Order::TraceMe => ptrace(libc::PTRACE_TRACEME, 0, 0),
                Order::Reuse(child, pid) if self.is_nested(me) => {
                    set_next_pid(pid);
                    self.make(me, child, 1, false, Birth::Fork)
                }
                Order::Reuse(..) => -1,
                Order::Sweep => {
                    let end = sweep();
                    // What creators have written onto their children's stacks is not needed.
                    libc::madvise(self.stacks as *mut c_void, STACK * (SLOTS - 1), libc::MADV_DONTNEED);
                    end
                }
            }
        }
    }

    fn make(&self, me: ActorId, child: ActorId, count: u16, deep: bool, birth: Birth) -> c_int {
        let flags = match birth {
            Birth::Fork => libc::SIGCHLD,
            Birth::Vfork => libc::CLONE_VFORK | libc::SIGCHLD,
            Birth::Sibling => libc::CLONE_PARENT | libc::SIGCHLD,
            Birth::Signal(signal) => c_int::from(signal),
            Birth::NewNamespace => libc::CLONE_NEWPID | libc::SIGCHLD,
        };
        let (own, after) = if deep { (1, count.saturating_sub(1)) } else { (count, 0) };
        let mut last = 0;
        for i in 0..own {
            let child = child + i;
            let first =
                if after == 0 { Order::Nothing } else { Order::Make { child: child + 1, count: after, deep, birth } };
            self.arena.slot(child).prepare(first, me == ROOT);
            last = self.clone(child, begin, flags);
            if last < 0 {
                break;
            }
        }
        last
    }

    fn clone(&self, child: ActorId, begin: extern "C" fn(*mut c_void) -> c_int, flags: c_int) -> c_int {
        let top = self.stacks + STACK * (usize::from(child) % SLOTS + 1);
        // SAFETY: the stack belongs to the slot, and nobody else runs on it in this address space.
        unsafe { libc::clone(begin, top as *mut c_void, flags, usize::from(child) as *mut c_void) }
    }

    fn exec(&self, me: ActorId, name: u8) -> c_int {
        let name = usize::from(name) % NAMES.len();
        let mut digits = DIGITS;
        let [actor, rest @ ..] = &self.arguments;
        let [memory, bell, driver, folder] = rest;
        let words = [
            self.names[name].as_ptr(),
            actor.as_ptr(),
            decimal(&mut digits, me.into()).as_ptr(),
            memory.as_ptr(),
            bell.as_ptr(),
            driver.as_ptr(),
            folder.as_ptr(),
            std::ptr::null(),
        ];
        let environment = [std::ptr::null()];
        // SAFETY: both lists end with a null.
        unsafe { libc::execve(self.files[name].as_ptr(), words.as_ptr(), environment.as_ptr()) }
    }

    /// Whether this process is in a namespace below the host's: only there are pids its own to choose.
    fn is_nested(&self, me: ActorId) -> bool {
        // SAFETY: a plain system call.
        let inside = unsafe { libc::getpid() };
        // The same number in both is possible, and then nothing is done.
        self.arena.slot(me).lives_at().is_some_and(|(pid, _)| pid as c_int != inside)
    }

    /// The driver holds a pidfd of every process, so it cannot address another one.
    fn kill_by_descriptor(&self, theirs: RawFd, signal: u8) -> c_int {
        // SAFETY: system calls on numbers.
        unsafe {
            let own = libc::syscall(libc::SYS_pidfd_getfd, self.descriptors.driver, theirs, 0) as c_int;
            if own < 0 {
                return -1;
            }
            let own = OwnedFd::from_raw_fd(own);
            let (fd, no_info) = (std::os::fd::AsRawFd::as_raw_fd(&own.as_fd()), std::ptr::null::<libc::siginfo_t>());
            libc::syscall(libc::SYS_pidfd_send_signal, fd, c_int::from(signal), no_info, 0) as c_int
        }
    }
}

fn exit(code: c_int) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

fn now() -> libc::time_t {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec
}

/// The process and the thread that ask, in the host's numbers.
fn host_ids() -> (u32, u32) {
    let mut text = [0u8; 64];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe { libc::readlink(c"/proc/thread-self".as_ptr(), text.as_mut_ptr().cast(), text.len()) };
    // PID/task/TID
    let (mut first, mut last, mut is_first) = (0, 0, true);
    for &byte in text.iter().take(length.max(0) as usize) {
        match byte {
            b'0'..=b'9' if is_first => first = first * 10 + u32::from(byte - b'0'),
            b'0'..=b'9' => last = last * 10 + u32::from(byte - b'0'),
            _ => is_first = false,
        }
    }
    (first, last)
}

/// Room for a number, and the zero after it.
const DIGITS: [u8; 12] = [0; 12];

/// The number as a C string, in that buffer.
fn decimal(buffer: &mut [u8; DIGITS.len()], mut number: u32) -> &CStr {
    let mut at = buffer.len() - 1;
    buffer[at] = 0;
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            break;
        }
    }
    CStr::from_bytes_until_nul(&buffer[at..]).unwrap_or_default()
}

fn ptrace(request: libc::c_uint, pid: c_int, data: usize) -> c_int {
    // SAFETY: no request here writes to this process.
    unsafe { libc::ptrace(request, pid, 0usize, data) as c_int }
}

/// A tracee can be detached only while it is stopped.
fn detach(pid: c_int) -> c_int {
    // One that was attached to has been stopped by that already.
    ptrace(libc::PTRACE_INTERRUPT, pid, 0);
    for _ in 0..20 {
        // SAFETY: a zeroed siginfo is valid.
        let (failed, stopped) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
            (libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, flags), info.si_pid())
        };
        if failed != 0 {
            return -1;
        }
        if stopped != 0 {
            break;
        }
        // It may be in a sleep that nothing interrupts.
        // SAFETY: a plain system call.
        unsafe { libc::usleep(200) };
    }
    ptrace(libc::PTRACE_DETACH, pid, 0)
}

/// Every tracee that stopped goes on, with the signal that stopped it.
fn resume() -> c_int {
    let mut resumed = 0;
    // More than this would be one that stops again at once.
    while resumed < 64 {
        // SAFETY: a zeroed siginfo is valid.
        let (pid, status) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
            if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) != 0 {
                break;
            }
            (info.si_pid(), info.si_status())
        };
        if pid == 0 {
            break;
        }
        // With an event in the high byte it is no signal's stop.
        let signal = if status >> 8 == 0 { status } else { 0 };
        ptrace(libc::PTRACE_CONT, pid, signal as usize);
        resumed += 1;
    }
    resumed
}

/// Children that are made from now on go into that process's namespace.
fn join(pid: u32) -> c_int {
    let mut path = [0u8; 32];
    let mut at = 0;
    let mut digits = DIGITS;
    for part in [b"/proc/".as_slice(), decimal(&mut digits, pid).to_bytes(), b"/ns/pid"] {
        path[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    // SAFETY: the path ends with the zeros that the buffer began with.
    unsafe {
        let namespace = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if namespace < 0 {
            return -1;
        }
        let result = libc::setns(namespace, libc::CLONE_NEWPID);
        libc::close(namespace);
        result
    }
}

/// The next pid of this process's own namespace; others are not touched by it.
fn set_next_pid(pid: c_int) {
    let mut digits = DIGITS;
    let text = decimal(&mut digits, pid.clamp(2, 30_000) as u32 - 1).to_bytes();
    // SAFETY: a path, and a buffer as long as is said.
    unsafe {
        let file = libc::open(c"/proc/sys/kernel/ns_last_pid".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, text.as_ptr().cast(), text.len());
            libc::close(file);
        }
    }
}

/// Kills and reaps every child, and those that come to this process when their parents end.
fn sweep() -> c_int {
    // SAFETY: a plain system call.
    let me = unsafe { libc::getpid() };
    for round in 1..20_000 {
        loop {
            // SAFETY: no status is asked for.
            match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } {
                0 => break,
                // ECHILD
                -1 => return 0,
                _ => {}
            }
        }
        // The driver has killed all that it knows of.
        if round % 8 == 0 {
            for child in children_of(me) {
                // SAFETY: a child that was not waited for keeps its pid.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
        }
        // SAFETY: a plain system call.
        unsafe { libc::usleep(200) };
    }
    -1
}

fn children_of(parent: c_int) -> Vec<c_int> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| crate::machine::parent_of(pid) == Some(parent)).collect()
}
