//! A target as the stage sees it: talked to, waited for, and traced if need be.

use std::{fs::File, os::fd::OwnedFd};

use nix::{
    libc,
    sched::{CloneFlags, setns},
};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    line::Line,
    look::{self, Look},
    sender::{Rights, Sender},
    sys::{self, Waited, set_of},
    target::{self, Answer, Command},
};

/// Where a target is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In the namespace of the stage.
    Host,
    /// As the init of a new namespace.
    Init,
    /// As the init of a namespace in that of the `holder`.
    Nested,
    /// In the namespace of the `holder`, as an ordinary process.
    Member,
}

/// What happened instead of, or before, an answer.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It answered.
    Answer(Answer),
    /// It ended.
    Ended(Waited),
    /// It stopped, because of this signal.
    Stopped(i32),
    /// It is held at its exit.
    Exiting,
}

/// What a tracer does with the signals of its tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// There is none.
    None,
    /// It passes them on.
    Forwards,
    /// It keeps them.
    Suppresses,
}

/// A target.
#[derive(Debug)]
pub struct Subject {
    /// Its pid on the host.
    pub pid: i32,
    /// Pid 1 of its namespace.
    pub is_init: bool,
    /// The thread that listens, if it is not the main thread.
    pub other: Option<i32>,
    /// Who traces it (the stage), and how.
    pub tracer: Tracer,
    /// It is held at its exit.
    pub is_exiting: bool,
    /// Signals that its tracer saw on their way, since [`Subject::watch_for`].
    pub trapped: u32,
    watched: i32,
    /// It has been reaped: its pid may be another's by now.
    is_reaped: bool,
    /// Ids that were asked for: thread, level, id.
    ids: Vec<(i32, usize, i32)>,
    /// Who sends to it from inside.
    pub inside: Option<Sender>,
    line: Line,
    sigchld: OwnedFd,
}

impl Subject {
    /// Starts one. Children of the stage, all of them, wherever they live.
    pub fn start(home: Home, holder: Option<&Sender>, has_own_group: bool, host: &File) -> Self {
        let (line, theirs) = Line::pair();
        match home {
            Home::Host => spawn(theirs, 0, has_own_group),
            Home::Init => spawn(theirs, libc::CLONE_NEWPID, has_own_group),
            Home::Member => in_namespace_of(holder.expect("a member has a holder").pid, host, || {
                spawn(theirs, 0, has_own_group);
            }),
            Home::Nested => in_namespace_of(holder.expect("a nested one has a holder").pid, host, || {
                // One that lives there has to make it, in our name.
                let maker = sys::fork(0);
                if maker == 0 {
                    spawn(theirs, libc::CLONE_NEWPID | libc::CLONE_PARENT, has_own_group);
                    sys::exit(0);
                }
                drop(theirs);
                sys::wait(maker, libc::WEXITED);
            }),
        }
        Self::met(line)
    }

    /// Starts one that has another parent than the stage.
    pub fn with_parent() -> (Self, Parent) {
        let (line, theirs) = Line::pair();
        let (to_parent, of_parent) = Line::pair();
        let pid = sys::fork(0);
        if pid == 0 {
            spawn(theirs, 0, true);
            of_parent.hear::<i32>();
            sys::exit(0);
        }
        drop(theirs);
        (Self::met(line), Parent { pid, line: to_parent })
    }

    fn met(line: Line) -> Self {
        let Answer { pid, own_pid, .. } = line.hear().expect("a target begins with a word");
        Self {
            pid,
            is_init: own_pid == 1 && pid != 1,
            other: None,
            tracer: Tracer::None,
            is_exiting: false,
            trapped: 0,
            watched: 0,
            is_reaped: false,
            ids: Vec::new(),
            inside: None,
            line,
            sigchld: sys::signalfd(set_of(libc::SIGCHLD)),
        }
    }

    /// Starts a sender in the target's namespace.
    pub fn add_sender_inside(&mut self, host: &File) {
        let pid = self.pid;
        in_namespace_of(pid, host, || self.inside = Some(Sender::start(0, Rights::Root)));
    }

    /// Has the stage trace it.
    pub fn trace(&mut self, tracer: Tracer, options: i32) {
        // SAFETY: PTRACE_SEIZE touches no memory of ours.
        let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, self.pid, 0, libc::c_long::from(options)) };
        assert_eq!(result, 0, "PTRACE_SEIZE: {}", std::io::Error::last_os_error());
        self.tracer = tracer;
    }

    /// Counts this signal where the tracer sees it.
    pub fn watch_for(&mut self, signal: i32) {
        self.watched = signal;
        self.trapped = 0;
    }

    /// Looks at the thread that signals for it are addressed to.
    pub fn look(&self, tid: i32) -> Option<Look> {
        Look::at(self.pid, tid)
    }

    /// The id of one of its threads at that depth of namespaces.
    pub fn id_at_level(&mut self, tid: i32, level: usize) -> i32 {
        if let Some(&(_, _, id)) = self.ids.iter().find(|(of, at, _)| (*of, *at) == (tid, level)) {
            return id;
        }
        let id = look::id_at_level(self.pid, tid, level);
        self.ids.push((tid, level, id));
        id
    }

    /// Tells it something, without waiting.
    pub fn tell(&self, command: &Command) {
        self.line.say(command);
    }

    /// Tells it something, and waits for what comes of it.
    pub fn ask(&mut self, command: &Command) -> Outcome {
        self.tell(command);
        self.outcome()
    }

    /// Asks how often a signal came, when all that could be taken has been. With two threads the
    /// answer of one proves nothing about the other: that one must have come to rest too.
    pub fn settle(&mut self, signal: i32) -> Outcome {
        let outcome = self.ask(&Command::Count(signal));
        let (Some(other), Outcome::Answer(_)) = (self.other, outcome) else { return outcome };
        let is_busy = |tid| self.look(tid).is_some_and(|look| matches!(look.state, 'R' | 'D'));
        while is_busy(self.pid) || is_busy(other) {
            std::thread::yield_now();
        }
        self.waited().unwrap_or_else(|| self.ask(&Command::Count(signal)))
    }

    /// Tells it something that it must answer.
    pub fn must(&mut self, command: &Command) -> Answer {
        match self.ask(command) {
            Outcome::Answer(answer) => answer,
            other => panic!("{command:?}: {other:?}"),
        }
    }

    /// Waits for what comes next.
    pub fn outcome(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.waited() {
                return outcome;
            }
            let mut both = [PollFd::new(&self.line, PollFlags::IN), PollFd::new(&self.sigchld, PollFlags::IN)];
            if poll(&mut both, None).is_err() {
                continue;
            }
            let [spoke, died] = [&both[0], &both[1]].map(|one| !one.revents().is_empty());
            if died {
                sys::read_signalfd(&self.sigchld);
                // The end of an init waits for us to reap who was killed with it.
                self.inside.iter_mut().for_each(Sender::reap);
            }
            if spoke {
                if let Some(answer) = self.line.hear() {
                    return Outcome::Answer(answer);
                }
                // Its end of the line is closed a moment before its end can be waited for.
                if self.inside.is_none()
                    && let Some(end) = sys::wait(self.pid, libc::WEXITED)
                {
                    self.is_reaped = true;
                    return Outcome::Ended(end);
                }
            }
        }
    }

    /// What can be waited for right now.
    pub fn waited(&mut self) -> Option<Outcome> {
        let mut options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG;
        if self.is_exiting {
            options = libc::WEXITED | libc::WNOHANG;
        }
        let waited = sys::wait(self.pid, options)?;
        match waited.code {
            libc::CLD_STOPPED => Some(Outcome::Stopped(waited.status)),
            libc::CLD_TRAPPED => self.trap(waited.status & 0xff, waited.status >> 8),
            _ => {
                self.is_reaped = true;
                Some(Outcome::Ended(waited))
            }
        }
    }

    fn trap(&mut self, signal: i32, event: i32) -> Option<Outcome> {
        match event {
            libc::PTRACE_EVENT_EXIT => {
                self.is_exiting = true;
                return Some(Outcome::Exiting);
            }
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => return Some(Outcome::Stopped(signal)),
            libc::PTRACE_EVENT_STOP => {
                sys::ptrace(libc::PTRACE_CONT, self.pid, 0);
            }
            _ => {
                self.trapped += u32::from(signal == self.watched);
                let passed = if self.tracer == Tracer::Suppresses { 0 } else { signal };
                sys::ptrace(libc::PTRACE_CONT, self.pid, passed);
            }
        }
        None
    }

    /// Has it split into two threads; the main thread rests or exits.
    pub fn split(&mut self, leader_exits: bool) {
        self.must(&Command::Split { leader_exits });
        self.other = look::other_thread(self.pid);
        while leader_exits && self.look(self.pid).is_some_and(|look| look.state != 'Z') {
            std::thread::yield_now();
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // An init's end waits for everybody in its namespace to be reaped.
        self.inside = None;
        if self.is_reaped {
            return;
        }
        sys::kill(self.pid, libc::SIGKILL);
        if self.is_exiting {
            sys::ptrace(libc::PTRACE_CONT, self.pid, 0);
        }
        while let Some(waited) = sys::wait(self.pid, libc::WEXITED | libc::WSTOPPED) {
            if waited.code != libc::CLD_TRAPPED && waited.code != libc::CLD_STOPPED {
                break;
            }
            sys::ptrace(libc::PTRACE_CONT, self.pid, 0);
        }
    }
}

/// The parent of a target, which waits to be told to die.
#[derive(Debug)]
pub struct Parent {
    /// Its pid on the host.
    pub pid: i32,
    line: Line,
}

impl Parent {
    /// It exits, and is reaped: its children have been handed on, and told.
    pub fn die(self) {
        self.line.say(&0);
        sys::wait(self.pid, libc::WEXITED);
    }
}

/// A child that is a target. Only the child keeps this end of the line.
fn spawn(line: Line, flags: i32, has_own_group: bool) {
    if sys::fork(flags) == 0 {
        target::run(line, has_own_group);
    }
}

/// Has children of this process be born into another namespace meanwhile.
fn in_namespace_of(pid: i32, host: &File, body: impl FnOnce()) {
    let namespace = File::open(format!("/proc/{pid}/ns/pid")).expect("the namespace");
    setns(namespace, CloneFlags::CLONE_NEWPID).expect("setns");
    body();
    setns(host, CloneFlags::CLONE_NEWPID).expect("setns back");
}
