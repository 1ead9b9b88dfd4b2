//! Stages case after case, and writes down what was observed. A process of its own: the judge
//! listens to the kernel meanwhile.

use std::{fs::File, io::Write};

use nix::libc;
use tracer::{source::live::now, time::BootNs};

use super::{
    case::{Case, Did, Disposition, Relation, Release, Seen, Sender as Who, Sending, Way},
    plan::{self, Scope},
    scenes,
    sender::{Rights, Sender},
    subject::{Home, Outcome, Subject, Tracer},
    sys::{self, Action, set_of},
    target::{Command, HANDLED},
    ways::{self, Kept, Request},
};

/// Where cases are staged.
pub struct Stage {
    /// The namespace of the stage, to come back to.
    pub host: File,
    /// The init of a namespace, in which others live.
    pub holder: Sender,
    /// A process that may not send.
    stranger: Sender,
    to: File,
}

/// Runs everything that is planned; each observation becomes a line of `to`.
pub fn run(scope: Scope, to: File) {
    // Orphans of targets come to the stage, and their ends are read, never handled.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("PR_SET_CHILD_SUBREAPER");
    // And when the judge ends, so does everything.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("PR_SET_PDEATHSIG");
    sys::set_mask(set_of(libc::SIGCHLD));
    ways::open_pipe();
    let mut stage = Stage {
        host: File::open("/proc/self/ns/pid").expect("the namespace"),
        holder: Sender::start(libc::CLONE_NEWPID, Rights::Root),
        stranger: Sender::start(0, Rights::Nobody),
        to,
    };
    for row in plan::rows(scope) {
        stage.row(&row);
    }
    scenes::run(&mut stage);
}

impl Stage {
    /// Tells the judge.
    pub fn note(&mut self, seen: &Seen) {
        let mut line = serde_json::to_vec(seen).expect("an observation is plain data");
        line.push(b'\n');
        self.to.write_all(&line).expect("the judge listens");
    }

    /// All signals, all ways, for one kind of target; one target serves as long as it can.
    fn row(&mut self, row: &plan::Row) {
        let plan::Row { disposition, relation, ref ways } = *row;
        let mut subject = None;
        for &way in ways {
            for signal in 1..=64 {
                let case = Case { disposition, relation, way, signal };
                if !plan::is_observable(case) {
                    continue;
                }
                let mut target = subject.take().unwrap_or_else(|| self.subject(disposition, relation));
                let seen = self.case(&mut target, case);
                let is_fit = !seen.did.ended && !seen.did.killed && !seen.did.stopped;
                self.note(&seen);
                subject = is_fit.then_some(target);
            }
        }
    }

    /// A target that stands so to what will be sent.
    pub fn subject(&self, disposition: Disposition, relation: Relation) -> Subject {
        use Disposition as D;
        let home = match relation {
            Relation::Peers | Relation::Own | Relation::Stranger => Home::Host,
            Relation::HostToInit | Relation::InsideToInit | Relation::InitToItself | Relation::Sibling => Home::Init,
            Relation::HostToNested | Relation::OuterToNested => Home::Nested,
            Relation::HostToMember => Home::Member,
        };
        let mut subject = Subject::start(home, Some(&self.holder), true, &self.host);
        if relation == Relation::InsideToInit {
            subject.add_sender_inside(&self.host);
        }
        match disposition {
            D::TracedHandled | D::TracedDefault | D::TracedIgnored => subject.trace(Tracer::Forwards, 0),
            D::TracedSuppressed => subject.trace(Tracer::Suppresses, 0),
            D::OtherThread | D::OtherThreadDefault | D::AllThreads => subject.split(false),
            D::DeadLeader => subject.split(true),
            D::Exiting | D::Dying => {
                if disposition == D::Dying {
                    subject.split(false);
                }
                subject.trace(Tracer::Forwards, libc::PTRACE_O_TRACEEXIT);
                if disposition == D::Exiting {
                    subject.tell(&Command::Exit);
                } else {
                    sys::kill(subject.pid, libc::SIGTERM);
                }
                let outcome = subject.outcome();
                assert!(matches!(outcome, Outcome::Exiting), "{outcome:?}");
            }
            D::Zombie => {
                subject.tell(&Command::Exit);
                sys::wait(subject.pid, libc::WEXITED | libc::WNOWAIT);
            }
            _ => {}
        }
        subject
    }

    /// One case with one target.
    pub fn case(&self, subject: &mut Subject, case: Case) -> Seen {
        use Disposition as D;
        let Case { disposition, relation, way, signal } = case;
        let is_deaf = matches!(disposition, D::Exiting | D::Dying | D::Zombie | D::KernelThread);
        let poke = if signal == 64 { 63 } else { 64 };
        subject.watch_for(signal);
        if !is_deaf {
            prepare(subject, disposition, signal, poke);
        }
        // A signal for one thread is for the one that listens, but where it is the other's turn.
        let tid = match subject.other {
            Some(other) if way.is_for_thread() && !matches!(disposition, D::DeadLeader | D::Dying) => other,
            _ => subject.pid,
        };
        let mut seen = Seen {
            case,
            pid: subject.pid,
            opened: now(),
            closed: BootNs::ZERO,
            is_init: subject.is_init,
            is_kthread: false,
            is_exiting: subject.is_exiting,
            sendings: Vec::new(),
            release: Release::None,
            did: Did::default(),
            at_end: None,
        };
        let times = if disposition == D::Twice { 2 } else { 1 };
        for _ in 0..times {
            if seen.did.ended || seen.did.killed || seen.did.stopped {
                break;
            }
            let before = subject.look(tid).unwrap_or_default();
            let (sender, errno, answer) = self.send(subject, relation, way, signal, tid);
            let outcome = match disposition {
                // Up to 5.15 a SIGKILL lets it go on, to its end.
                D::Exiting | D::Dying => {
                    let is_held = subject.look(tid).is_some_and(|look| look.state == 't');
                    (!is_held).then(|| subject.outcome())
                }
                D::Zombie | D::KernelThread => None,
                D::Stopped | D::StoppedDefault => {
                    let is_stopped = subject.look(tid).is_some_and(|look| look.state == 'T');
                    seen.did.continued = !is_stopped;
                    (!is_stopped).then(|| subject.ask(&Command::Count(signal)))
                }
                D::Awaited => {
                    sys::kill(subject.pid, poke);
                    Some(subject.outcome())
                }
                _ => Some(answer.unwrap_or_else(|| subject.settle(signal))),
            };
            take(&mut seen.did, outcome, signal, way);
            seen.did.trapped = subject.trapped;
            let after = if seen.did.ended || seen.did.killed { None } else { subject.look(tid) };
            seen.sendings.push(Sending { sender, errno, before, after, did: seen.did });
        }
        if !is_deaf && !seen.did.ended && !seen.did.killed && !seen.did.stopped {
            release(subject, &mut seen);
        }
        seen.did.trapped = subject.trapped;
        seen.at_end = match seen.sendings.last() {
            _ if seen.did.ended || seen.did.killed => None,
            Some(last) if seen.release == Release::None => last.after,
            _ => subject.look(tid),
        };
        seen.closed = now();
        if disposition == D::FullQueue && seen.at_end.is_some() && !seen.did.stopped {
            subject.ask(&Command::Limit(false));
        }
        seen
    }

    /// Has the right one send it; who that was, and what the call said. If it was the target
    /// itself, what came of it too.
    fn send(
        &self,
        subject: &mut Subject,
        relation: Relation,
        way: Way,
        signal: i32,
        tid: i32,
    ) -> (Who, i32, Option<Outcome>) {
        let pid = subject.pid;
        let mut seen_from = |level| {
            let [pid, tid] = [pid, tid].map(|tid| subject.id_at_level(tid, level));
            Request { way, signal, pid, tid, group: pid }
        };
        let here = Request { way, signal, pid, tid, group: pid };
        let by = |sender: &Sender, request: &Request| {
            // Who dies with the init that it has killed cannot tell any more, and has nothing to.
            (Who::Process(sender.pid), sender.send(request).unwrap_or(0), None)
        };
        match relation {
            Relation::Peers | Relation::HostToInit | Relation::HostToNested | Relation::HostToMember => {
                let me = std::process::id() as i32;
                (Who::Process(me), Kept::default().perform(&here), None)
            }
            Relation::InsideToInit => {
                let request = seen_from(1);
                by(subject.inside.as_ref().expect("it was started"), &request)
            }
            Relation::OuterToNested => by(&self.holder, &seen_from(1)),
            Relation::Stranger => by(&self.stranger, &here),
            Relation::Sibling => panic!("this takes a scene of its own"),
            Relation::Own | Relation::InitToItself => {
                // kill(0) is for the own group, in which there is nobody else.
                let level = usize::from(relation == Relation::InitToItself);
                let request = Request { group: 0, ..seen_from(level) };
                let outcome = subject.ask(&Command::Act(request));
                let errno = if let Outcome::Answer(answer) = outcome { answer.errno } else { 0 };
                let sender = match way {
                    _ if way.is_call() => Who::Process(pid),
                    // Sent on behalf of whoever writes (SEND_SIG_NOINFO).
                    Way::Pipe | Way::FileSize => Who::Process(pid),
                    Way::Child => Who::Somebody,
                    _ => Who::Kernel,
                };
                (sender, errno, Some(outcome))
            }
        }
    }
}

/// Has the target stand to the signal as the case says.
pub fn prepare(subject: &mut Subject, disposition: Disposition, signal: i32, poke: i32) {
    use Disposition as D;
    let action = match disposition {
        D::Ignored | D::BlockedIgnored | D::TracedIgnored => Action::Ignore,
        D::Default
        | D::Orphaned
        | D::BlockedDefault
        | D::Flushed
        | D::Awaited
        | D::TracedDefault
        | D::StoppedDefault
        | D::OtherThreadDefault => Action::Default,
        _ => Action::Handle,
    };
    let blocked = match disposition {
        D::Blocked
        | D::BlockedDefault
        | D::BlockedIgnored
        | D::Flushed
        | D::Twice
        | D::FullQueue
        | D::Signalfd
        | D::AllThreads => set_of(signal),
        D::Awaited => set_of(signal) | set_of(poke),
        _ => 0,
    };
    subject.must(&Command::Prepare { signal, action, blocked });
    match disposition {
        D::FullQueue => {
            subject.must(&Command::Limit(true));
        }
        D::Signalfd => {
            subject.must(&Command::Open(signal));
        }
        D::Awaited => {
            subject.tell(&Command::Await(signal, poke));
            // While it waits, what it waits for is not blocked.
            while subject.look(subject.pid).is_some_and(|look| look.blocked & set_of(poke) != 0) {
                std::thread::yield_now();
            }
        }
        D::Stopped | D::StoppedDefault => {
            sys::kill(subject.pid, libc::SIGSTOP);
            let outcome = subject.outcome();
            assert!(matches!(outcome, Outcome::Stopped(libc::SIGSTOP)), "{outcome:?}");
        }
        _ => {}
    }
}

/// Lets a signal that waits be taken.
pub fn release(subject: &mut Subject, seen: &mut Seen) {
    use Disposition as D;
    let Case { disposition, way, signal, .. } = seen.case;
    let outcome = match disposition {
        D::Blocked | D::BlockedDefault | D::BlockedIgnored | D::Twice | D::FullQueue | D::AllThreads => {
            seen.release = Release::Unblocked;
            unblock(subject, signal)
        }
        D::Flushed => {
            let outcome = subject.ask(&Command::Set(signal, Action::Ignore));
            take(&mut seen.did, Some(outcome), signal, way);
            let look = subject.look(subject.pid).unwrap_or_default();
            seen.release = Release::Ignored { was_pending: seen.case.is_pending(&look) };
            unblock(subject, signal)
        }
        D::Signalfd => subject.ask(&Command::Read(signal)),
        D::Stopped | D::StoppedDefault if !seen.did.continued => {
            seen.release = Release::Continued;
            sys::kill(subject.pid, libc::SIGCONT);
            subject.ask(&Command::Count(signal))
        }
        D::TracedSuppressed => {
            seen.release = Release::Suppressed;
            return;
        }
        _ => return,
    };
    take(&mut seen.did, Some(outcome), signal, way);
}

fn unblock(subject: &mut Subject, signal: i32) -> Outcome {
    match subject.ask(&Command::Unblock) {
        Outcome::Answer(_) => subject.settle(signal),
        other => other,
    }
}

/// Adds what came of it to what the target did.
pub fn take(did: &mut Did, outcome: Option<Outcome>, signal: i32, way: Way) {
    match outcome {
        None | Some(Outcome::Exiting) => {}
        Some(Outcome::Answer(answer)) => {
            did.handled = answer.handled;
            did.consumed = answer.consumed;
            did.is_anonymous |= answer.is_anonymous;
        }
        Some(Outcome::Stopped(by)) => did.stopped |= by == signal,
        Some(Outcome::Ended(end)) => {
            let is_killed = end.code == libc::CLD_KILLED || end.code == libc::CLD_DUMPED;
            if way == Way::Fault && end.code == libc::CLD_EXITED && end.status == HANDLED {
                did.handled = 1;
                did.ended = true;
            } else if is_killed && end.status == signal {
                did.killed = true;
            } else {
                did.ended = true;
            }
        }
    }
}
