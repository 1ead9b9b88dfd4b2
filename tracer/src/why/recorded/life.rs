//! What one process went through, as far as it was seen; of long lists, both ends.

use crate::{
    change::{AdopterClass, Adoption, ExactReap, Known, Signalled},
    event::Loss,
    finding::{Finding, Stage},
    host::Container,
    ident::{Args, Comm, Identity, ProcKey},
    signal::{Sender, Signal, Verdict},
    time::{BootNs, Span},
    why::{Ends, recorded::Candidate},
    world::{Process, State, World},
};

/// How many are kept at either end of the lists.
const PROGRAMS: usize = 8;
const PARENTS: usize = 8;
const RECEIVED: usize = 20;
const SENT: usize = 8;
const FINDINGS: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub struct Life {
    /// The process as it was last seen.
    pub process: Process,
    /// Its birth was seen. [`ProcKey::start`] says when it was in any case.
    pub is_born: bool,
    /// Who called clone, if that is not its first parent (`CLONE_PARENT`).
    pub creator: Option<Identity>,
    /// Its names and programs, from when it was first seen.
    pub programs: Ends<Program>,
    /// Its parents, from when it was first seen.
    pub parents: Ends<Parent>,
    /// When its main thread ended while others lived on.
    pub leader_died: Option<BootNs>,
    /// At its end it was not to become a zombie; a later parent may not wait either.
    pub autoreap: bool,
    /// It was released.
    pub reaped: Option<Reaped>,
    /// Signals to it, with equal ones combined, ordered by the first of each.
    pub received: Ends<Received>,
    /// Signals that it sent, likewise, without the SIGCHLD of its own end.
    pub sent: Ends<Sent>,
    /// The last signal that asked it to stop: SIGTERM, or that of its container.
    pub stop: Option<Stop>,
    /// Findings about it, with equal ones combined: the first, and how many; a lasting one as it was last reported,
    /// with its end.
    pub findings: Ends<(Finding, u64)>,
    /// Children that were born to it.
    pub children_born: u64,
    /// Children that it got otherwise.
    pub children_adopted: u64,
    /// Children that it reaped.
    pub children_reaped: u64,
    /// Records missing from the time in which it was there.
    pub lost: Loss,
}

/// A name that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Since when.
    pub at: BootNs,
    /// The name.
    pub comm: Comm,
    /// The command line that came with it, by exec or when it was first seen; `None` if only the name changed.
    pub args: Option<Args>,
}

/// A parent that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Since when; without an event, when it was found out.
    pub at: BootNs,
    /// The parent; `None` if it has none, or is not known.
    pub parent: Option<Identity>,
    /// The parent that died, why this one adopted, and how that is known; `None` for the first parent, and if only the
    /// outcome was seen.
    pub adoption: Option<(Identity, AdopterClass, Known)>,
}

/// See [`Change::Reaped`](crate::change::Change::Reaped).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// When; an upper bound if not exact.
    pub at: BootNs,
    /// Who reaped it.
    pub by: Option<Identity>,
    /// How long it was a zombie at most.
    pub zombie_for: Option<Span>,
    /// How exactly that is known.
    pub exact: Option<ExactReap>,
}

/// Equal signals to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which signal.
    pub signal: Signal,
    /// Who sent it; the last of them.
    pub sender: Sender,
    /// Others have sent it too: each child that ends sends SIGCHLD.
    pub has_others: bool,
    /// What became of it.
    pub verdict: Verdict,
    /// The verdict is from when it was taken from the queue, not from when it was sent.
    pub is_taken: bool,
    /// How many.
    pub count: u64,
    /// When the first came.
    pub at: BootNs,
    /// When the last came.
    pub last_at: BootNs,
    /// How many of them were seen to be taken from the queue.
    pub taken: u64,
}

/// Equal signals that it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which signal.
    pub signal: Signal,
    /// To whom.
    pub target: Identity,
    /// What became of it.
    pub verdict: Verdict,
    /// How many.
    pub count: u64,
    /// When the first was sent.
    pub at: BootNs,
    /// When the last was sent.
    pub last_at: BootNs,
}

/// A request to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The signal.
    pub signal: Signal,
    /// Who sent it.
    pub sender: Sender,
    /// The client that asked an engine for it, and its ancestors, if that was seen.
    pub asked_by: Vec<Identity>,
    /// When.
    pub at: BootNs,
    /// What became of it.
    pub verdict: Verdict,
    /// When it was taken from the queue, if that was seen.
    pub taken_at: Option<BootNs>,
}

impl Life {
    /// A process that is seen for the first time.
    pub(super) fn new(world: &World, process: &Process, at: BootNs) -> Self {
        let (mut programs, mut parents) = (Ends::new(PROGRAMS), Ends::new(PARENTS));
        programs.push(Program { at, comm: process.comm, args: Some(process.args.clone()) });
        parents.push(Parent {
            at,
            parent: process.parent.map(|parent| world.identity(parent.key)),
            adoption: process.adoption.as_deref().map(|adoption| (adoption.from, adoption.class, adoption.known)),
        });
        Self {
            process: process.clone(),
            is_born: false,
            creator: None,
            programs,
            parents,
            leader_died: None,
            autoreap: false,
            reaped: None,
            received: Ends::new(RECEIVED),
            sent: Ends::new(SENT),
            stop: None,
            findings: Ends::new(FINDINGS),
            children_born: 0,
            children_adopted: 0,
            children_reaped: 0,
            lost: Loss::default(),
        }
    }

    /// When it ended, at the latest.
    pub fn ended_at(&self) -> Option<BootNs> {
        self.process.death().map(|death| death.at).or(self.reaped.map(|reaped| reaped.at))
    }

    /// It, as one of several that can be meant.
    pub(super) fn candidate(&self) -> Candidate {
        let status = self.process.death().map(|death| death.status);
        Candidate {
            process: self.process.identity(),
            ended: self.ended_at().map(|at| (at, status)),
            is_found: !self.findings.is_empty(),
            is_first: true,
        }
    }

    /// Takes over what the world knows about it.
    pub(super) fn look(&mut self, process: &Process) {
        self.process = process.clone();
        if let State::LeaderDead { since, .. } = process.state {
            self.leader_died = Some(since);
        }
    }

    pub(super) fn died(&mut self) {
        self.autoreap = self.process.death().is_some_and(|death| death.autoreap);
    }

    pub(super) fn born(&mut self, creator: Option<Identity>) {
        (self.is_born, self.creator) = (true, creator);
    }

    pub(super) fn executed(&mut self, at: BootNs) {
        self.programs.push(Program { at, comm: self.process.comm, args: Some(self.process.args.clone()) });
    }

    pub(super) fn renamed(&mut self, at: BootNs, comm: Comm) {
        if self.process.comm != comm {
            self.process.comm = comm;
            self.programs.push(Program { at, comm, args: None });
        }
    }

    pub(super) fn adopted(&mut self, adoption: Adoption) {
        let Adoption { at, seq: _, from, status: _, killed_by: _, to, class, known } = adoption;
        // From one thread to another: the parent is the same.
        if from.key == to.key {
            return;
        }
        self.parents.push(Parent { at, parent: Some(to), adoption: Some((from, class, known)) });
    }

    pub(super) fn reaped(&mut self, identity: Identity, reaped: Reaped) {
        (self.process.comm, self.process.container) = (identity.comm, identity.container);
        self.reaped = Some(reaped);
    }

    pub(super) fn misses(&mut self, loss: &Loss) {
        if self.reaped.is_none() {
            self.lost.add(loss);
        }
    }

    /// Its command line was read, a little after it was first seen.
    pub(super) fn is_read(&mut self, args: &Args) {
        self.process.args = args.clone();
        if let Some(Program { args: Some(known), .. }) = self.programs.iter_mut().next_back()
            && known.is_empty()
        {
            *known = args.clone();
        }
    }

    /// A parent that it has at the end, without an event for it.
    pub(super) fn settle(&mut self, world: &World) {
        let Some(process) = world.get(self.process.key) else { return };
        let now = process.parent.map(|parent| world.identity(parent.key));
        let last = self.parents.iter().next_back().and_then(|last| last.parent);
        if now.map(|parent| parent.key) != last.map(|parent| parent.key) {
            self.parents.push(Parent { at: world.now(), parent: now, adoption: None });
        }
    }

    pub(super) fn is_sent(&mut self, world: &World, at: BootNs, signalled: &Signalled) {
        let Signalled { signal, sender, verdict, .. } = *signalled;
        self.note(at, signalled, false);
        // A further stop signal that merges, or comes during the exit, says nothing new.
        let is_late = self.stop.is_some() && matches!(verdict, Verdict::Merged | Verdict::TargetExiting);
        let stop_signal = world.container_of(&signalled.target).and_then(Container::own_stop_signal);
        if (signal == Signal::TERM || Some(signal) == stop_signal) && !is_late {
            let asked_by = signalled.asked_by.clone();
            self.stop = Some(Stop { signal, sender, asked_by, at, verdict, taken_at: None });
        }
    }

    pub(super) fn takes(&mut self, at: BootNs, taken: &Signalled) {
        let Signalled { signal, verdict, .. } = *taken;
        if let Some(stop) = self.stop.as_mut().filter(|stop| stop.signal == signal) {
            stop.taken_at = Some(at);
            if verdict != Verdict::Delivered {
                stop.verdict = verdict;
            }
        }
        if verdict != Verdict::Delivered {
            return self.note(at, taken, true);
        }
        let waits = |received: &&mut Received| {
            let accepted = matches!(received.verdict, Verdict::Delivered | Verdict::Queued | Verdict::InfoLost);
            received.signal == signal && accepted && received.taken < received.count
        };
        if let Some(received) = self.received.iter_mut().find(waits) {
            received.taken += 1;
        }
    }

    fn note(&mut self, at: BootNs, signalled: &Signalled, is_taken: bool) {
        let Signalled { signal, sender, verdict, .. } = *signalled;
        let is_same = |other: &&mut Received| {
            let same_sender = signal == Signal::CHLD || is_same_sender(&other.sender, &sender);
            (other.signal, other.verdict, other.is_taken) == (signal, verdict, is_taken) && same_sender
        };
        if let Some(same) = self.received.iter_mut().find(is_same) {
            same.has_others |= !is_same_sender(&same.sender, &sender);
            (same.count, same.last_at, same.sender) = (same.count + 1, at, sender);
            return;
        }
        let (count, taken) = (1, u64::from(is_taken));
        self.received.push(Received {
            signal,
            sender,
            has_others: false,
            verdict,
            is_taken,
            count,
            at,
            last_at: at,
            taken,
        });
    }

    pub(super) fn sends(&mut self, at: BootNs, signalled: &Signalled) {
        let Signalled { signal, target, verdict, code, .. } = *signalled;
        // CLD_EXITED and so on: the kernel sends it for the end of this process.
        if signal == Signal::CHLD && code > 0 {
            return;
        }
        let is_same =
            |other: &&mut Sent| (other.signal, other.target.key, other.verdict) == (signal, target.key, verdict);
        if let Some(same) = self.sent.iter_mut().find(is_same) {
            (same.count, same.last_at) = (same.count + 1, at);
            return;
        }
        self.sent.push(Sent { signal, target, verdict, count: 1, at, last_at: at });
    }

    pub(super) fn is_found(&mut self, finding: &Finding) {
        let is_same = |(other, _): &&mut (Finding, u64)| {
            other.rule.name == finding.rule.name
                && match finding.stage {
                    Stage::New => (&other.headline, &other.notes) == (&finding.headline, &finding.notes),
                    Stage::Ongoing | Stage::Withdrawn => {
                        (other.since, other.process.key) == (finding.since, finding.process.key)
                    }
                    // What it was is told before.
                    Stage::Resolved => false,
                }
        };
        if let Some((same, count)) = self.findings.iter_mut().find(is_same) {
            *count += u64::from(finding.is_new());
            if !finding.is_new() {
                *same = finding.clone();
            }
            return;
        }
        self.findings.push((finding.clone(), 1));
    }
}

fn is_same_sender(one: &Sender, other: &Sender) -> bool {
    match (one, other) {
        (Sender::Process(one), Sender::Process(other)) => one.key == other.key,
        _ => one == other,
    }
}

/// The process that sent a signal, if one did.
pub(super) fn process(sender: &Sender) -> Option<ProcKey> {
    match sender {
        Sender::Process(identity) => Some(identity.key),
        Sender::Kernel(_) | Sender::Unknown => None,
    }
}
