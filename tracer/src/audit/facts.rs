//! What `/proc` says of a process.

use std::collections::BTreeMap;

use procfs::{
    Current, ProcResult,
    process::{Process, Status},
};

use crate::{
    audit::closer::{self, Closer},
    ident::{Args, quote},
    signal::Signal,
    source::procfs::{command_lines, pid_namespace},
};

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its pid, as seen from this process.
    pub pid: i32,
    /// Its parent's pid.
    pub ppid: i32,
    /// Its pids, from this process's pid namespace inwards; the last is the one in its own namespace.
    pub ns_pids: Vec<i32>,
    /// Inode number of its pid namespace, if it may be looked at.
    pub pid_ns: Option<u32>,
    /// Its name; bytes that are not UTF-8 are replaced.
    pub comm: String,
    /// Its command line.
    pub argv: Args,
    /// File name of its program, or its own name if that may not be looked at.
    pub program: String,
    /// The state letter of proc(5).
    pub state: char,
    /// A terminal controls it.
    pub has_terminal: bool,
    /// The pid of its ptrace tracer; 0 for none.
    pub tracer: i32,
    /// A kernel thread.
    pub is_kthread: bool,
    /// Its main thread has begun to exit.
    pub is_exiting: bool,
    /// Seconds since it began.
    pub age: u64,
    /// Threads.
    pub threads: u64,
    /// Signals that it ignores, a bit each from signal 1.
    pub ignored: u64,
    /// What it has handlers for.
    pub caught: u64,
    /// What its main thread blocks.
    pub blocked: u64,
    /// Signals that are pending for it or for its main thread.
    pub pending: u64,
    /// The number of the system call that its main thread is in, if that is known and [`look_closer`] was asked.
    pub call: Option<i64>,
    /// Signals that one of its threads waits for in sigwait(3) or its like, or reads from a signalfd(2); `None` if that
    /// was not looked at.
    pub awaited: Option<u64>,
    /// Why [`look_closer`] did not find out what it waits for; empty if it did, or was not asked.
    pub unseen: &'static str,
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

    /// It waits to be reaped. A process whose main thread ended before others looks the same, but is not a zombie.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z' && self.threads <= 1
    }

    /// It lives, and is being ended already: a SIGKILL waits for it, or it has begun to exit. A main thread that has
    /// ended before others is none.
    pub fn is_dying(&self) -> bool {
        !self.has_ended() && (self.is_exiting || Signal::KILL.is_in(self.pending))
    }

    /// It is stopped, and no shell can have suspended it as a job: that takes a terminal.
    pub fn is_stopped_for_good(&self) -> bool {
        self.state == 'T' && self.tracer == 0 && !self.has_terminal
    }

    /// How to name it to a person: quoted, with its pid.
    pub fn name(&self) -> String {
        format!("{} (pid {})", quote(&self.comm), self.pid)
    }

    /// Started by a shell without job control in the background: such a shell has both signals ignored (POSIX, "Signals
    /// and Error Handling").
    pub fn is_in_background(&self) -> bool {
        Signal::INT.is_in(self.ignored) && Signal::QUIT.is_in(self.ignored)
    }
}

/// The signals of a mask.
pub fn signals(mask: u64) -> impl Iterator<Item = Signal> {
    (1..=64).map(Signal).filter(move |signal| signal.is_in(mask))
}

/// Every process that can be seen, by pid. Those that vanish meanwhile are left out.
pub fn all() -> BTreeMap<i32, Facts> {
    let uptime = procfs::Uptime::current().map_or(0, |uptime| uptime.uptime_duration().as_secs());
    let Ok(processes) = procfs::process::all_processes() else { return BTreeMap::new() };
    let facts = processes.filter_map(|process| of(&process.ok()?, uptime).ok());
    let mut facts: BTreeMap<_, _> = facts.map(|facts| (facts.pid, facts)).collect();
    let with_args: Vec<_> = facts.values().filter(|one| !one.is_kthread && !one.has_ended()).collect();
    let pids: Vec<_> = with_args.into_iter().map(|one| one.pid as u32).collect();
    for (pid, line) in pids.iter().zip(command_lines(&pids)) {
        if let Some(one) = facts.get_mut(&(*pid as i32)) {
            one.argv = line;
        }
    }
    facts
}

/// Finds out what the processes that get a forecast wait for.
pub fn look_closer(all: &mut BTreeMap<i32, Facts>, pids: impl IntoIterator<Item = i32>) {
    for (pid, Closer { call, awaited }) in closer::look(pids.into_iter().collect()) {
        if let Some(one) = all.get_mut(&pid) {
            one.call = call;
            (one.awaited, one.unseen) = match awaited {
                Ok(awaited) => (Some(awaited), ""),
                Err(why) => (None, why),
            };
        }
    }
}

/// The flag of kernel threads, in `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// The flag of who has begun to exit.
const PF_EXITING: u32 = 0x4;

fn of(process: &Process, uptime: u64) -> ProcResult<Facts> {
    let Status { ppid, pid, tracerpid, threads, nspid, sigpnd, shdpnd, sigblk, sigign, sigcgt, .. } =
        process.status()?;
    // Its name may contain the separators of `status`.
    let stat = process.stat()?;
    let program = process.exe().ok().and_then(|exe| Some(exe.file_name()?.to_string_lossy().into_owned()));
    Ok(Facts {
        pid,
        ppid,
        ns_pids: nspid.unwrap_or_default(),
        pid_ns: pid_namespace(&pid.to_string()).ok().map(|ns| ns.0),
        argv: Args::default(),
        program: program.unwrap_or_else(|| stat.comm.clone()),
        comm: stat.comm,
        state: stat.state,
        has_terminal: stat.tty_nr != 0,
        tracer: tracerpid,
        is_kthread: stat.flags & PF_KTHREAD != 0,
        is_exiting: stat.flags & PF_EXITING != 0,
        age: uptime.saturating_sub(stat.starttime / procfs::ticks_per_second()),
        threads,
        ignored: sigign,
        caught: sigcgt,
        blocked: sigblk,
        pending: sigpnd | shdpnd,
        call: None,
        awaited: None,
        unseen: "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_job_and_what_is_traced_are_not_stopped_for_good() {
        let of = |state, tracer, has_terminal| Facts { state, tracer, has_terminal, ..Facts::default() };
        assert!(of('T', 0, false).is_stopped_for_good());
        for other in [of('T', 0, true), of('T', 7, false), of('t', 7, false), of('S', 0, false)] {
            assert!(!other.is_stopped_for_good(), "{other:?}");
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let name = c"tmux: server)";
        let (said, named) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            rustix::thread::set_name(name).unwrap();
            said.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            // Until the test drops the other end.
            let _ = ended.recv();
        });
        // A thread's directory has the same files.
        let task = Process::new(named.recv().unwrap()).unwrap();
        let facts = of(&task, 0).unwrap();
        drop(end);
        thread.join().unwrap();
        assert_eq!(facts.comm.as_bytes(), name.to_bytes());
    }
}
