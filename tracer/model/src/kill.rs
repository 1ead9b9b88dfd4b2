//! What an end by a signal is, and whose those are that took part in it.

use std::sync::Arc;

use crate::{
    event::ExitStatus,
    host::OutOfMemory,
    ident::{Args, ContainerNo, Identity, ProcKey},
    origin::{Former, Origin},
    signal::{Aim, Sender, Signal, Terminal, Verdict, killer::Killer},
    stop::ForcedStop,
    time::{BootNs, Seq, Span},
};

/// Ends that are remembered by name.
pub(crate) const NAMED: usize = 10;

/// An end by a signal, or many of one cause within a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The signal that ended them.
    pub signal: Signal,
    /// Its `si_code`, as the receiver would have seen it.
    pub code: i32,
    /// What it came from.
    pub killer: Killer,
    /// Who sent it. Of a signal that the kernel sends because of a process (`PR_SET_PDEATHSIG`, say),
    /// that process.
    pub sender: Sender,
    /// Parent, grandparent and so on of the sender when it sent it, up to the init of its namespace.
    pub ancestors: Vec<Identity>,
    /// So many of them are worth a word: up to the command that the stream is about.
    pub chain: usize,
    /// Whose the first victim is.
    pub family: Family,
    /// Whose the sender is, if that is a process.
    pub sender_family: Option<Family>,
    /// The client that had asked an engine for it, and its ancestors then, if that was seen.
    pub asked_by: Vec<Identity>,
    /// What led to the signal: what its sender had received that explains it, the first cause first.
    pub origin: Origin,
    /// What sent it to all of a group, if that is what ended them.
    pub call: Option<Call>,
    /// Of a hang-up: the terminal whose session ended with its leader, which is the sender.
    pub terminal: Option<Terminal>,
    /// What the engine had brought into the container by itself, and ended.
    pub exec: Option<EngineExec>,
    /// Of the first of them: whose its pid had been until a moment before, if that was another program.
    pub former: Option<Former>,
    /// Another sender's signal of that number was queued as well, and whether the program took one of them by itself does
    /// not show.
    pub has_rival: bool,
    /// Of a fault: the process is pid 1 and had called abort(3), whose SIGABRT the kernel dropped; what abort(3) does then
    /// is the fault.
    pub aborted: bool,
    /// The sender was only a thread of a process that lives: of a signal that comes with an end
    /// (`PR_SET_PDEATHSIG` asks for that of the thread that made the child, `PTRACE_O_EXITKILL` of that which traces).
    pub sender_lives: bool,
    /// When it was sent first; `None` if that was not seen.
    pub sent_at: Option<BootNs>,
    /// When the first of them ended, likewise.
    pub died_at: BootNs,
    /// How the first of them ended.
    pub status: ExitStatus,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub victims: Vec<Identity>,
    /// The others, for whoever asks for one of them: no words name them. Beyond a bound they are counted only.
    pub others: Arc<Vec<Identity>>,
    /// How many of them had handled the signal and then raised it once more.
    pub raised_again: u64,
    /// How many left a core dump.
    pub cores: u64,
    /// Who was out of memory, if that is why and the kernel's log could be read.
    pub out_of_memory: Option<OutOfMemory>,
    /// Of those that had been asked to stop before: the one that was asked first.
    pub forced: Option<Box<ForcedStop>>,
    /// The first of them is an init, and with it others of its namespace were ended: those that are counted
    /// here by the same cause, those that are counted there by the kernel.
    pub ending: Option<Ending>,
    /// The few that matter of those whom the kernel killed then.
    pub fallen: Vec<Fallen>,
    /// All of those, as far as they are remembered.
    pub killed: Arc<Vec<Identity>>,
    /// How many namespaces the same cause has ended so.
    pub namespaces: u64,
    /// Numbers of the events: when it was sent to the first of them, and their ends.
    pub evidence: Vec<Seq>,
}

impl Kill {
    /// All whom it ended, as far as they are remembered.
    pub fn everybody(&self) -> impl Iterator<Item = &Identity> {
        self.victims.iter().chain(self.others.iter())
    }

    /// Without those that no words name, for whoever keeps it.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self { others: Arc::default(), killed: Arc::default(), ..self.clone() }
    }

    /// Takes in what another one of the same cause has ended.
    pub(crate) fn join(&mut self, more: Self) {
        let Self { count, victims, others, raised_again, cores, evidence, died_at, sent_at, .. } = more;
        self.count += count;
        self.raised_again += raised_again;
        self.cores += cores;
        self.died_at = self.died_at.min(died_at);
        self.sent_at = self.sent_at.min(sent_at).or(self.sent_at).or(sent_at);
        for victim in victims.into_iter().chain(others.iter().copied()) {
            self.add(victim);
        }
        // When it was sent, then the ends.
        for seq in evidence.into_iter().filter(|seq| !self.evidence.contains(seq)).collect::<Vec<_>>() {
            if self.evidence.len() <= NAMED {
                self.evidence.push(seq);
            }
        }
    }

    /// One more that it ended.
    pub(crate) fn add(&mut self, victim: Identity) {
        if self.victims.len() < NAMED {
            self.victims.push(victim);
        } else {
            Arc::make_mut(&mut self.others).push(victim);
        }
    }

    /// It has ended nobody but whoever sent it.
    pub(crate) fn is_of_sender_alone(&self) -> bool {
        match (&self.sender, &self.victims[..]) {
            (Sender::Process(sender), [victim]) => sender.key == victim.key,
            _ => false,
        }
    }

    /// A call that was for all of a group met only whoever made it.
    pub(crate) fn is_of_itself(&self) -> bool {
        self.is_of_sender_alone() && self.call.as_ref().is_some_and(|call| call.sent == 1)
    }

    /// What it put an end to, if that had been asked to stop for so long.
    pub fn slow_stop(&self, after: Span) -> Option<&ForcedStop> {
        self.forced.as_deref().filter(|forced| forced.wasted() >= after)
    }
}

/// A process that an engine had brought into a container, of which no client is known: a health check, a probe, a
/// hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineExec {
    /// Its command line.
    pub args: Args,
    /// How long it had run.
    pub age: Span,
}

/// One call of kill(2), or one key of a terminal, that sent a signal to all of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whom it was for; a key is for the group in the foreground.
    pub aim: Aim,
    /// The number of the process group on the host; 0 if it is not known, or was for several.
    pub group: u32,
    /// The leader of the session, if it is known.
    pub session: Option<Identity>,
    /// The terminal of the key.
    pub terminal: Option<Terminal>,
    /// How many it met that it could end, or that handle it in order to end.
    pub sent: u64,
    /// How many of them handled it.
    pub handled: u64,
    /// The first of those.
    pub handlers: Vec<Identity>,
}

/// Whose a process is. Who starts something under the name of somebody else's program is of another family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// The container that it belongs to.
    pub container: Option<ContainerNo>,
    /// Of who is in none: the oldest of its ancestors by birth below the host's first process, such as a
    /// service or a login.
    pub(crate) root: ProcKey,
    /// And the id of the control group that it was born in, 0 when unknown.
    pub(crate) cgroup: u64,
}

/// One that the kernel has killed with its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Which.
    pub process: Identity,
    /// The last signal that had asked it to end, and what became of that.
    pub asked: Option<(Signal, Verdict)>,
    /// When that was sent.
    pub asked_at: BootNs,
    /// It had been sent other signals, which ask for something else.
    pub is_told: bool,
    /// It had come in from outside (setns(2)).
    pub is_outsider: bool,
    /// Whose end had left it to its last parent.
    pub left_by: Option<Identity>,
}

impl Fallen {
    /// How many are remembered of a namespace.
    const MOST: usize = 5;
    /// Who is younger than this at the end is a helper: the `sleep 1` of a loop.
    const YOUNG: Span = Span::ms(1_100);

    /// Puts one among those that matter: who had come from outside, who had not been asked, the oldest.
    pub(crate) fn choose(chosen: &mut Vec<Self>, one: &Self, ended: BootNs) {
        chosen.push(one.clone());
        chosen.sort_by_key(|fallen| {
            let is_young = ended - fallen.process.key.start < Self::YOUNG;
            (!fallen.is_outsider, is_young, fallen.asked.is_some(), fallen.process.key)
        });
        chosen.truncate(Self::MOST);
    }
}

/// A namespace whose init has exited: `zap_pid_ns_processes()` kills the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The init that exited.
    pub init: Identity,
    /// When.
    pub since: BootNs,
    /// Number of that event.
    pub seq: Seq,
    /// Processes that the kernel has killed for it, those of nested namespaces included.
    pub killed: u64,
    /// Whose signal the init had accepted before: likely who asked for the end.
    pub asked_by: Option<ProcKey>,
    /// Of the killed, those that had not asked for it.
    pub bystanders: u64,
    /// Processes that have not died yet.
    pub left: u64,
    /// When the last of them died.
    pub last_death: BootNs,
    /// A namespace around this one is ending too, and this end is part of that.
    pub nested: bool,
}
