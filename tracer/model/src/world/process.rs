//! One process, as far as the events told.

use std::{ops::Deref, sync::Arc};

use crate::{
    change::Adoption,
    event::{Awaited, ExitStatus, Held, Looked, Roles, TaskInfo},
    ident::{Args, Comm, ContainerNo, Identity, PidNs, ProcKey, TaskRef},
    signal::{Sender, Signal, killer::Killer},
    stop::{ForcedStop, Stop},
    time::{BootNs, Seq, Span},
    world::{
        Entry, Fatal, Merged, Overflow, Stopped, Waiting,
        call::LastCall,
        cause::{Cause, Causes, InVain},
        inherited::Program,
        kinship::Orphaned,
        members::Place,
        missing::Missing,
    },
};

/// A process that is in the process table, zombies included.
#[derive(Clone, Debug)]
pub struct Process {
    /// Who it is.
    pub key: ProcKey,
    /// Who owes it a wait, and which thread has the child; `None` if it has no parent, or the parent is not known.
    pub parent: Option<TaskRef>,
    /// Its name; empty if only its key is known.
    pub comm: Comm,
    /// Its command line, empty if unknown.
    pub args: Args,
    /// Its pid namespace.
    pub pid_ns: PidNs,
    /// Depth of that namespace, 0 for the initial one.
    pub ns_level: u32,
    /// Its pid in that namespace.
    pub ns_pid: u32,
    /// Its pids at the levels 1, 2 and 3, 0 where it has none.
    pub mid_pids: [u32; 3],
    /// What else it is (init, subreaper, …).
    pub roles: Roles,
    /// Whether it lives.
    pub state: State,
    /// Threads when it was last seen in full.
    pub threads: u32,
    /// Id of its cgroup in the unified hierarchy, 0 when unknown.
    pub cgroup: u64,
    /// The container that it belongs to, if that was reported.
    pub container: Option<ContainerNo>,
    /// See [`Family`](crate::kill::Family).
    pub(super) root: ProcKey,
    /// Signal that its death sends to the parent.
    pub exit_signal: i32,
    /// The program that it runs, if that was seen to be executed.
    pub(super) program: Option<Arc<Program>>,
    /// The process that it was forked from, if its program is that one's still.
    pub(super) copy_of: Option<Box<Identity>>,
    /// When it was last sent a signal that asks for something.
    pub(super) heard_at: BootNs,
    /// It ignored that.
    pub(super) has_ignored: bool,
    /// Signals that could be why it ends.
    pub(super) causes: Option<Box<Causes>>,
    /// When `tracer` was last told.
    pub(super) tracer_at: BootNs,
    /// Set while its parent is a prediction.
    pub(super) orphaned: Option<Box<Orphaned>>,
    /// When to look at it; together with its key, an entry of [`World::looks`](crate::world::World).
    pub(super) look_at: Option<BootNs>,
    /// When an event last proved that it exists.
    pub(super) seen_at: BootNs,
    /// The time of its name, and of all else that the kernel reports about a process at once.
    pub(super) named_at: BootNs,
    /// The time of its command line.
    pub(super) args_at: BootNs,
    /// The snapshot that last showed it.
    pub(super) snapshot: u32,
    /// Where it stands among the members of its namespace.
    pub(super) place: Place,
    /// See [`Process::reaping`]: of whoever has reaped a child.
    pub(super) reaping: Option<Box<Reaping>>,
    /// What only few have.
    pub(super) more: More,
}

/// What a process has reaped, since its program began.
#[derive(Clone, Debug, Default)]
pub struct Reaping {
    /// How many children were released while they were its own.
    pub count: u64,
    /// One of them was a child that it had adopted: it waits for any child, sooner or later.
    pub adopted: bool,
    /// When it last reaped a child, be it in a program before.
    pub last: BootNs,
    /// The longest that it has let a zombie wait.
    pub slowest: Span,
    /// Of the children that it has waited for, the one that became its child last: when that was, and when the child
    /// was reaped.
    pub(super) latest: Option<(BootNs, BootNs)>,
}

/// Of a process that has reaped nobody.
static NOBODY: Reaping = Reaping { count: 0, adopted: false, last: BootNs::ZERO, slowest: Span::ZERO, latest: None };

/// What most processes never have: how they came to their parent, how somebody stops them, what was looked up. It takes
/// memory once something of it is written.
#[derive(Clone, Debug)]
pub struct Rare {
    /// Its ptrace tracer. For a living process this can be a second old: no event shows that a tracer attaches.
    pub tracer: Option<TaskRef>,
    /// How it came to its parent, if not by birth.
    pub adoption: Option<Box<Adoption>>,
    /// The program that its parent ran when it started it, if the parent has executed another one since.
    pub started_by: Option<Comm>,
    /// The last look at it, and when.
    pub look: Option<(BootNs, Looked)>,
    /// Since when each look has found it in that state.
    pub state_since: BootNs,
    /// The last look at what keeps it from going on, and when.
    pub held: Option<Box<(BootNs, Held)>>,
    /// What was sent to end it, at once and without a word of its own.
    pub fatal: Option<Box<Fatal>>,
    /// What has stopped it.
    pub stopped: Option<Box<Stopped>>,
    /// Who has the writing end of a pipe of which it has the reading end: when that was found, and who.
    pub pipe: Option<Box<(BootNs, ProcKey)>>,
    /// The thread of its parent that waits for it as it ends, if it may do so in vain.
    pub(super) awaited: Option<Box<Awaited>>,
    /// Signals that are pending for it.
    pub(super) waiting: Vec<Waiting>,
    /// On whose behalf it came into its container from outside.
    pub(super) entry: Option<Box<Entry>>,
    /// A watcher of the container of that client, which waits for it.
    pub(super) runs_for: Option<ProcKey>,
    /// SIGCHLDs to it that merged.
    pub merged: Option<Merged>,
    /// How somebody tries to stop it.
    pub stop: Option<Box<Stop>>,
    /// For an init: the sender of the last signal that the kernel accepted for it.
    pub(super) signalled_by: Option<ProcKey>,
    /// The signal that its program, as pid 1, handled and raised again in vain.
    pub raised_in_vain: Option<Box<InVain>>,
    /// The last call of it that sent a signal to many.
    pub(super) call: Option<Box<LastCall>>,
    /// Once it has ended: the signal that ended it, or that it had handled a moment before.
    pub(super) ended_by: Option<Arc<Cause>>,
    /// Signals to it that were lost, by their number.
    pub(super) overflows: Vec<Overflow>,
    /// Blocked signals that are pending for an init: the kernel may drop them later.
    pub(super) pending: Vec<Pending>,
    /// Set while the last look did not find it.
    pub(super) missing: Option<Missing>,
    /// When a survey began that did not find its tracer, if it is not certain yet what that means.
    pub(super) untraced: Option<BootNs>,
}

/// Of a process that has nothing of it.
static NOTHING: Rare = Rare {
    tracer: None,
    adoption: None,
    started_by: None,
    look: None,
    state_since: BootNs::ZERO,
    held: None,
    fatal: None,
    stopped: None,
    pipe: None,
    awaited: None,
    waiting: Vec::new(),
    entry: None,
    runs_for: None,
    merged: None,
    stop: None,
    signalled_by: None,
    raised_in_vain: None,
    call: None,
    ended_by: None,
    overflows: Vec::new(),
    pending: Vec::new(),
    missing: None,
    untraced: None,
};

/// See [`Rare`]: [`NOTHING`] until something is written.
#[derive(Clone, Debug, Default)]
pub(super) struct More(Option<Box<Rare>>);

// A process has these fields like its others; only where they are differs.
impl Deref for Process {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        self.more.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl Process {
    /// What it has reaped.
    pub fn reaping(&self) -> &Reaping {
        self.reaping.as_deref().unwrap_or(&NOBODY)
    }

    /// To write something of it.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.more.0.get_or_insert_with(|| Box::new(NOTHING.clone()))
    }

    /// The same, if anything of it was written: to change or forget that.
    pub(super) fn some_rare(&mut self) -> Option<&mut Rare> {
        self.more.0.as_deref_mut()
    }
}

/// A signal that was accepted and is pending.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub signal: Signal,
    pub sender: Sender,
    pub asked_by: Vec<Identity>,
    pub from_outside: bool,
    pub at: BootNs,
    pub seq: Seq,
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It lives.
    Running,
    /// Its main thread is dead, others live: it looks defunct and cannot be reaped.
    LeaderDead {
        /// Since when.
        since: BootNs,
        /// Threads that had not begun to exit then.
        live: u32,
        /// These end, too: by exit_group(2) or a signal. Otherwise the main thread has ended alone, or for another one
        /// that executes a program (`de_thread()`); or it is not known, as it was dead before.
        is_ending: bool,
        /// Number of the event.
        seq: Seq,
    },
    /// It has ended and was not seen to be reaped: a zombie.
    Dead(Death),
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: BootNs,
    /// `at` is when it ended; otherwise it had ended before, at an unknown time.
    pub exact: bool,
    /// When it became a zombie, if that is known to be later: with the exact hook, or for an init whose namespace had
    /// to end first.
    pub notified: Option<BootNs>,
    /// Its exit is held up, and it is no zombie until that is over: an init waits for the last process of its namespace
    /// to be reaped (`zap_pid_ns_processes()`), or a look has shown it.
    pub tearing_down: bool,
    /// How.
    pub status: ExitStatus,
    /// Its parent ignores SIGCHLD: once no tracer holds it, no zombie remains, and nobody reaps.
    pub autoreap: bool,
    /// The out-of-memory killer chose it.
    pub oom: bool,
    /// seccomp ended it, if no signal did.
    pub seccomp: bool,
    /// Number of the event.
    pub seq: Seq,
}

impl Death {
    pub(super) fn new(at: BootNs, exact: bool, status: ExitStatus, seq: Seq) -> Self {
        Self {
            at,
            exact,
            notified: None,
            tearing_down: false,
            status,
            autoreap: false,
            oom: false,
            seccomp: false,
            seq,
        }
    }

    /// It is known to be a zombie, and not only to have begun to exit: the kernel has said so, or it was one before
    /// its end could be seen.
    pub fn is_over(&self) -> bool {
        !self.tearing_down && (self.notified.is_some() || !self.exact)
    }

    /// When it became a zombie, as far as that is known.
    pub fn zombie_since(&self) -> BootNs {
        self.notified.unwrap_or(self.at)
    }
}

impl Process {
    /// A process that is only known to exist.
    pub(super) fn unknown(key: ProcKey, pid_ns: PidNs) -> Self {
        Self {
            key,
            parent: None,
            comm: Comm::default(),
            args: Args::default(),
            pid_ns,
            ns_level: 0,
            ns_pid: key.tgid,
            mid_pids: [0; 3],
            roles: Roles::default(),
            state: State::Running,
            threads: 1,
            cgroup: 0,
            container: None,
            root: key,
            exit_signal: i32::from(Signal::CHLD.0),
            program: None,
            copy_of: None,
            heard_at: BootNs::ZERO,
            has_ignored: false,
            causes: None,
            tracer_at: BootNs::ZERO,
            orphaned: None,
            look_at: None,
            seen_at: BootNs::ZERO,
            named_at: BootNs::ZERO,
            args_at: BootNs::ZERO,
            snapshot: 0,
            place: Place::default(),
            reaping: None,
            more: More::default(),
        }
    }

    /// Takes over the kernel's description of its identity; the world sets the parent.
    pub(super) fn learn(&mut self, info: &TaskInfo) {
        let TaskInfo {
            key: _,
            parent: _,
            comm,
            cgroup,
            pid_ns,
            parent_ns: _,
            ns_level,
            ns_pid,
            mid_pids,
            roles,
            exiting: _,
            exit_signal,
            threads,
        } = *info;
        self.comm = comm;
        self.cgroup = cgroup;
        self.pid_ns = pid_ns;
        self.ns_level = ns_level;
        self.ns_pid = ns_pid;
        self.mid_pids = mid_pids;
        self.roles = roles;
        self.exit_signal = exit_signal;
        self.threads = threads;
    }

    /// Takes the kernel's word for its tracer, unless a later one is known; whether it has one.
    pub(super) fn told_tracer(&mut self, at: BootNs, tracer: Option<TaskRef>) -> bool {
        if at >= self.tracer_at {
            if self.tracer != tracer {
                self.rare().tracer = tracer;
            }
            if let Some(rare) = self.some_rare() {
                rare.untraced = None;
            }
            self.tracer_at = at;
        }
        self.tracer.is_some()
    }

    /// A survey that began then did not find its tracer. True if only a look will tell what that means: a zombie for
    /// which no parent has to wait was released, of which RCU may tell late; or it has lost its tracer, and waits for a
    /// parent that does not ignore it any more.
    pub(super) fn lose_tracer(&mut self, began: BootNs) -> bool {
        let is_doubtful = self.death().is_some_and(|death| death.autoreap && !death.tearing_down);
        let Some(rare) = self.some_rare().filter(|rare| rare.tracer.is_some()) else { return false };
        if !is_doubtful {
            rare.tracer = None;
        } else if rare.untraced.is_none() {
            rare.untraced = Some(began);
            return true;
        }
        false
    }

    /// A look found it as a zombie: what a survey said before of its tracer is true.
    pub(super) fn found_as_zombie(&mut self, at: BootNs) {
        if let Some(rare) = self.some_rare()
            && rare.untraced.take_if(|since| *since <= at).is_some()
        {
            rare.tracer = None;
        }
    }

    /// It executes another program, which has reaped nobody yet.
    pub(super) fn begin_program(&mut self) {
        self.threads = 1;
        // `de_thread()`
        self.exit_signal = Signal::CHLD.0.into();
        if let Some(reaping) = &mut self.reaping {
            **reaping = Reaping { last: reaping.last, ..Reaping::default() };
        }
        if let Some(rare) = self.some_rare() {
            (rare.runs_for, rare.raised_in_vain) = (None, None);
            // Handlers do not survive an exec.
            rare.merged = None;
        }
    }

    /// As outputs name it.
    #[inline]
    pub fn identity(&self) -> Identity {
        let Self { key, comm, pid_ns, ns_pid, ns_level, container, .. } = *self;
        Identity { key, comm, pid_ns, ns_pid, ns_level, container }
    }

    /// How it had to be stopped by SIGKILL, if it was.
    pub fn forced_stop(&self) -> Option<Box<ForcedStop>> {
        let stop = self.stop.as_deref()?;
        let death = self.death().filter(|death| death.status.signal() == Some(Signal::KILL))?;
        let (asked, kill) = stop.enforced()?;
        Some(Box::new(ForcedStop {
            process: self.identity(),
            args: self.args.clone(),
            stop: stop.clone(),
            asked: asked.clone(),
            kill: kill.clone(),
            ended: death.at,
            seq: death.seq,
        }))
    }

    /// Its end, if it has ended.
    pub fn death(&self) -> Option<&Death> {
        match &self.state {
            State::Dead(death) => Some(death),
            State::Running | State::LeaderDead { .. } => None,
        }
    }

    /// Who had sent the signal that ended it, if another process did.
    pub(super) fn killed_by(&self) -> Option<Identity> {
        let (cause, death) = (self.ended_by.as_deref()?, self.death()?);
        let is_by_process = matches!(cause.killer, Killer::Process | Killer::CgroupKill);
        cause.by().copied().filter(|_| is_by_process && death.status.signal() == Some(cause.signal))
    }

    pub(super) fn death_mut(&mut self) -> Option<&mut Death> {
        match &mut self.state {
            State::Dead(death) => Some(death),
            State::Running | State::LeaderDead { .. } => None,
        }
    }

    /// The first process of the machine, or of a recording of a part of it.
    pub fn is_init_of_host(&self) -> bool {
        self.roles.init && self.ns_level == 0
    }

    /// Pid 1 of a pid namespace other than the host's.
    pub fn is_init_of_namespace(&self) -> bool {
        self.roles.init && self.ns_level > 0
    }

    /// It has ended, somebody must wait for it, and nobody was seen to have done so.
    pub fn is_zombie(&self) -> bool {
        self.death().is_some_and(|death| !death.tearing_down && (!death.autoreap || self.tracer.is_some()))
    }

    /// The tracer that must wait for it before its parent can. A parent that traces its own child waits once
    /// (`wait_task_zombie()`).
    pub fn holder(&self) -> Option<TaskRef> {
        self.tracer.filter(|tracer| self.parent.is_none_or(|parent| parent.key != tracer.key))
    }

    /// How it came to its present parent, if not by birth.
    pub fn present_adoption(&self) -> Option<Adoption> {
        self.adoption
            .as_deref()
            .copied()
            .filter(|adoption| self.parent.is_some_and(|parent| parent.key == adoption.to.key))
    }

    /// Since when its present parent is its parent.
    pub(super) fn child_since(&self) -> BootNs {
        self.present_adoption().map_or(self.key.start, |adoption| adoption.at)
    }

    /// Since when its present parent owes it a wait: it has ended by then, and that one is its parent.
    pub fn owed_since(&self, death: &Death) -> BootNs {
        death.zombie_since().max(self.child_since())
    }

    /// Its pid in a namespace at that level in which it is visible; 0 below the third level, unless it is its own.
    pub fn pid_at(&self, level: u32) -> u32 {
        if level == 0 {
            self.key.tgid
        } else if level == self.ns_level {
            self.ns_pid
        } else {
            self.mid_pids.get(level as usize - 1).copied().unwrap_or(0)
        }
    }
}
