//! What `/proc` says of a process.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Seek, SeekFrom},
};

use procfs::{
    Current, ProcResult,
    process::{Process, Status, Syscall},
};

use crate::{
    ident::{Args, quote},
    signal::Signal,
    source::procfs::{command_line, pid_namespace},
};

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its pid as this process counts.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its pids, from this process's pid namespace inwards: the last is that in its own.
    pub ns_pids: Vec<i32>,
    /// Inode number of its pid namespace, if it may be looked at.
    pub pid_ns: Option<u32>,
    /// Its name: any bytes, but for what is no UTF-8.
    pub comm: String,
    /// Its command line.
    pub argv: Args,
    /// Name of the program's file, or its own name if that may not be looked at.
    pub program: String,
    /// The state letter of proc(5).
    pub state: char,
    /// Who holds it by ptrace; 0 for nobody.
    pub tracer: i32,
    /// A kernel thread.
    pub is_kthread: bool,
    /// Seconds since it began.
    pub age: u64,
    /// Threads.
    pub threads: u64,
    /// What it ignores, a bit a signal from 1.
    pub ignored: u64,
    /// What it has handlers for.
    pub caught: u64,
    /// What its main thread blocks.
    pub blocked: u64,
    /// What waits for it, or for its main thread.
    pub pending: u64,
    /// The number of the system call that its main thread is in, if that is known.
    pub call: Option<i64>,
    /// What a thread of it waits for in sigwait(3) or its like, or reads from a signalfd(2); `None` if
    /// it may not be looked at.
    pub awaited: Option<u64>,
}

impl Facts {
    /// Pid 1 of a pid namespace below that of this process.
    pub fn is_init(&self) -> bool {
        self.ns_pids.len() > 1 && self.ns_pids.last() == Some(&1)
    }

    /// It is a zombie or dead.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// It waits to be reaped. A main thread that ended before others looks the same and is none.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z' && self.threads <= 1
    }

    /// How to name it to a person: quoted, with its pid.
    pub fn name(&self) -> String {
        format!("{} (pid {})", quote(&self.comm), self.pid)
    }

    /// A shell without job control starts what it does not wait for with these ignored (POSIX, "Signals
    /// and Error Handling").
    pub fn is_in_background(&self) -> bool {
        Signal::INT.is_in(self.ignored) && Signal::QUIT.is_in(self.ignored)
    }
}

/// The signals of a mask.
pub fn signals(mask: u64) -> impl Iterator<Item = Signal> {
    (1..=64).map(Signal).filter(move |signal| signal.is_in(mask))
}

/// Every process that can be seen, by pid. Those that go away meanwhile are left out.
pub fn all() -> BTreeMap<i32, Facts> {
    let uptime = procfs::Uptime::current().map_or(0, |uptime| uptime.uptime_duration().as_secs());
    let Ok(processes) = procfs::process::all_processes() else { return BTreeMap::new() };
    let facts = processes.filter_map(|process| of(&process.ok()?, uptime).ok());
    facts.map(|facts| (facts.pid, facts)).collect()
}

/// The flag of kernel threads, in `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;

fn of(process: &Process, uptime: u64) -> ProcResult<Facts> {
    let Status { name, ppid, pid, tracerpid, threads, nspid, sigpnd, shdpnd, sigblk, sigign, sigcgt, .. } =
        process.status()?;
    let stat = process.stat()?;
    let program = process.exe().ok().and_then(|exe| Some(exe.file_name()?.to_string_lossy().into_owned()));
    Ok(Facts {
        pid,
        ppid,
        ns_pids: nspid.unwrap_or_default(),
        pid_ns: pid_namespace(&pid.to_string()).ok().map(|ns| ns.0),
        argv: command_line(pid as u32),
        program: program.unwrap_or_else(|| name.clone()),
        comm: name,
        state: stat.state,
        tracer: tracerpid,
        is_kthread: stat.flags & PF_KTHREAD != 0,
        age: uptime.saturating_sub(stat.starttime / procfs::ticks_per_second()),
        threads,
        ignored: sigign,
        caught: sigcgt,
        blocked: sigblk,
        pending: sigpnd | shdpnd,
        call: match process.syscall() {
            Ok(Syscall::Blocked { syscall_number, .. }) => Some(syscall_number),
            _ => None,
        },
        awaited: awaited(process).ok(),
    })
}

/// The signals that the threads of a process wait for, in sigwait(3) or by a signalfd(2). The masks of
/// proc(5) do not show it: meanwhile such a signal does not count as blocked.
fn awaited(process: &Process) -> ProcResult<u64> {
    let mut mask = 0;
    let mut memory = process.mem()?;
    for task in process.tasks()?.flatten() {
        if let Ok(Syscall::Blocked { syscall_number: RT_SIGTIMEDWAIT, argument_registers: [set, ..], .. }) =
            task.syscall()
        {
            let mut bytes = [0; 8];
            memory.seek(SeekFrom::Start(set))?;
            memory.read_exact(&mut bytes)?;
            mask |= u64::from_ne_bytes(bytes);
        }
    }
    for info in process.fd()?.flatten() {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/{}", process.pid(), info.fd)).unwrap_or_default();
        let sigmask = text.lines().find_map(|line| line.strip_prefix("sigmask:"));
        mask |= sigmask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    }
    Ok(mask)
}

// The numbers of x86-64. On other machines nobody is seen to wait, and what is said is less sure.
/// wait4(2)
pub const WAIT4: i64 = 61;
const RT_SIGTIMEDWAIT: i64 = 128;
