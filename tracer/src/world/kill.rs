//! Who ended whom by a signal: what is remembered of signals that could end a process, until it ends;
//! and ends of one cause put together.

use crate::{
    change::{Change, Signalled},
    event::{ExitStatus, SignalSent},
    host::OutOfMemory,
    ident::{Identity, PidNs, ProcKey},
    signal::{
        KernelSender, Sender, Signal,
        killer::{Killer, could_end, killer},
    },
    world::{Death, Ending, World},
};

/// How long ends of the same cause are put together, in nanoseconds.
const MOMENT: u64 = 100_000_000;
/// How long after it has handled a signal a process that raises it is taken to pass it on, in
/// nanoseconds.
const RAISED_AGAIN: u64 = 10_000_000_000;
/// Ends that are remembered by name.
const NAMED: usize = 10;
/// Ancestors of a sender that are kept.
const MOST_ANCESTORS: usize = 16;
/// Causes that are open at a time; more are told of at once.
const MOST_OPEN: usize = 1024;

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
    /// The client that had asked an engine for it, and its ancestors then, if that was seen.
    pub asked_by: Vec<Identity>,
    /// The sender was only a thread of a process that lives: of a signal that comes with an end
    /// (`PR_SET_PDEATHSIG` asks for that of the thread that made the child).
    pub sender_lives: bool,
    /// When it was sent first, in nanoseconds of the boot-time clock; `None` if that was not seen.
    pub sent_at: Option<u64>,
    /// When the first of them ended, likewise.
    pub died_at: u64,
    /// How the first of them ended.
    pub status: ExitStatus,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub victims: Vec<Identity>,
    /// How many of them had handled the signal and then raised it once more.
    pub raised_again: u64,
    /// How many left a core dump.
    pub cores: u64,
    /// Who was out of memory, if that is why and the kernel's log could be read.
    pub out_of_memory: Option<OutOfMemory>,
    /// The first of them is an init that had been asked to stop so long before, in nanoseconds.
    pub wasted_ns: Option<u64>,
    /// The only one so far is an init, and the kernel has killed others of its namespace by then.
    pub ending: Option<Ending>,
    /// Numbers of the events: when it was sent to the first of them, and their ends.
    pub evidence: Vec<u64>,
}

impl Kill {
    /// It was the end of an init that had been asked to stop for so long, in nanoseconds.
    pub fn was_slow_stop(&self, after: u64) -> bool {
        self.wasted_ns.is_some_and(|wasted| wasted >= after)
    }
}

/// What ends have in common that are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Join {
    killer: Killer,
    signal: Signal,
    /// The current task where it was sent; or whom it ended, if that cause ends nobody else.
    who: ProcKey,
}

/// A signal that could be why a process will end.
#[derive(Clone, Debug)]
struct Cause {
    signal: Signal,
    code: i32,
    killer: Killer,
    sender: Sender,
    current: ProcKey,
    ancestors: Vec<Identity>,
    asked_by: Vec<Identity>,
    at: u64,
    seq: u64,
}

/// The last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    /// Its default action ends the process.
    fatal: Option<Cause>,
    /// The program handles it: a request to end, from somebody else.
    handled: Option<Cause>,
}

impl Causes {
    /// Another program has no handlers yet.
    pub(super) fn exec(&mut self) {
        self.handled = None;
    }

    /// Why a process has ended by that signal, and whether it raised it itself, once it had handled it.
    fn of(self, signal: Signal, died_at: u64) -> (Option<Cause>, bool) {
        let Self { fatal, handled } = self;
        let handled = handled.filter(|cause| cause.signal == signal);
        let fatal = fatal.filter(|cause| cause.signal == signal);
        match (fatal, handled) {
            (Some(fatal), Some(handled)) => {
                let soon = died_at.saturating_sub(handled.at) <= RAISED_AGAIN;
                // What was handled before is why.
                if fatal.killer == Killer::Itself && handled.at <= fatal.at && soon {
                    (Some(handled), true)
                } else {
                    (Some(fatal), false)
                }
            }
            // The handler was taken away before the signal was.
            (fatal, handled) => (fatal.or(handled), false),
        }
    }
}

impl World {
    /// Remembers a signal that the kernel accepted, if it could be why its target ends.
    pub(super) fn note_cause(&mut self, at: u64, seq: u64, sent: &SignalSent, sender: Sender, signalled: &Signalled) {
        if !could_end(sent) {
            return;
        }
        let SignalSent { current, target, signal, .. } = *sent;
        let is_handled = sent.has_handler();
        let killer = killer(sent);
        if is_handled && killer == Killer::Itself {
            return;
        }
        let sender = if killer.has_sender() { Sender::Process(self.identity(current.key)) } else { sender };
        let (ancestors, asked_by) = match killer {
            Killer::Process | Killer::CgroupKill => (self.ancestors(current.key), signalled.asked_by.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        let code = signalled.seen_code();
        let cause = Cause { signal, code, killer, sender, current: current.key, ancestors, asked_by, at, seq };
        let Some(process) = self.processes.get_mut(&target.key) else { return };
        let causes = process.causes.get_or_insert_default();
        *(if is_handled { &mut causes.handled } else { &mut causes.fatal }) = Some(cause);
    }

    /// Parent, grandparent and so on, up to the init of its namespace.
    pub(super) fn ancestors(&self, key: ProcKey) -> Vec<Identity> {
        let is_init = |key| self.get(key).is_none_or(|process| process.roles.init);
        let mut ancestors = Vec::new();
        if is_init(key) {
            return ancestors;
        }
        for key in self.upwards(key).skip(1).take(MOST_ANCESTORS) {
            ancestors.push(self.identity(key));
            if is_init(key) {
                break;
            }
        }
        ancestors
    }

    /// A process has died; by a signal, perhaps.
    pub(super) fn note_kill(&mut self, key: ProcKey, death: &Death, changes: &mut Vec<Change>) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let causes = process.causes.take();
        let Some(signal) = death.status.signal() else { return };
        let (identity, ns) = (process.identity(), process.pid_ns);
        let wasted_ns = process.stop.as_ref().and_then(|stop| stop.wasted_ns());
        let (cause, is_raised_again) = causes.map_or((None, false), |causes| causes.of(signal, death.at));
        let Some((join, mut kill)) = self.kill_of(key, signal, death, cause) else { return };
        // The end of the namespace says so for all of them.
        let is_unseen_end =
            kill.killer == Killer::Unknown && signal == Signal::KILL && self.outwards(ns).any(|ns| self.is_ending(ns));
        if kill.killer == Killer::NamespaceEnd || is_unseen_end {
            return;
        }
        let is_full = self.kills.len() >= MOST_OPEN && !self.kills.contains_key(&join);
        let kill = if is_full { &mut kill } else { self.kills.entry(join).or_insert(kill) };
        if kill.count == 0 && signal == Signal::KILL {
            kill.wasted_ns = wasted_ns;
        }
        kill.count += 1;
        kill.raised_again += u64::from(is_raised_again);
        kill.cores += u64::from(death.status.dumped_core());
        if kill.victims.len() < NAMED {
            kill.victims.push(identity);
            kill.evidence.push(death.seq);
        }
        if is_full {
            changes.push(Change::Killed(Box::new(kill.clone())));
        }
    }

    /// What is known of an end, without whom it ended; `None` if nothing is, and nobody could.
    fn kill_of(&self, key: ProcKey, signal: Signal, death: &Death, cause: Option<Cause>) -> Option<(Join, Kill)> {
        let is_seen = cause.is_some();
        // It ended before anybody watched, or nobody looked at signals (in a trace of an older version).
        if !is_seen && (!death.exact || death.at < self.snapshot_began || self.lacks_killers) {
            return None;
        }
        let unseen = Cause {
            signal,
            code: 0,
            // Up to 5.10 seccomp ends a process without a signal, and later it still does so for a thread.
            killer: if signal == Signal::SYS { Killer::Seccomp } else { Killer::Unknown },
            sender: Sender::Unknown,
            current: ProcKey::default(),
            ancestors: Vec::new(),
            asked_by: Vec::new(),
            at: death.at,
            seq: death.seq,
        };
        let mut cause = cause.unwrap_or(unseen);
        // `mark_oom_victim()` follows the SIGKILL; a process that was dying already can be marked too.
        if death.oom && signal == Signal::KILL && !cause.killer.has_sender() && cause.killer != Killer::NamespaceEnd {
            (cause.killer, cause.sender) = (Killer::Oom, Sender::Kernel(KernelSender::Oom));
        }
        let Cause { signal, code, killer, sender, current, ancestors, asked_by, at, seq } = cause;
        let join = Join { killer, signal, who: if killer.can_end_many() { current } else { key } };
        let kill = Kill {
            signal,
            code,
            killer,
            sender,
            ancestors,
            asked_by,
            sent_at: is_seen.then_some(at),
            died_at: death.at,
            status: death.status,
            count: 0,
            victims: Vec::new(),
            raised_again: 0,
            cores: 0,
            out_of_memory: None,
            sender_lives: false,
            wasted_ns: None,
            ending: None,
            evidence: if is_seen { vec![seq] } else { Vec::new() },
        };
        Some((join, kill))
    }

    /// The log tells right after an end why the out-of-memory killer brought it about.
    pub(super) fn learn_out_of_memory(&mut self, key: ProcKey, which: &OutOfMemory) {
        let is_of =
            |kill: &&mut Kill| kill.killer == Killer::Oom && kill.victims.iter().any(|victim| victim.key == key);
        let Some(kill) = self.kills.values_mut().find(is_of) else { return };
        // Of the members of a group that ends as one (`memory.oom.group`) only the first line has its path.
        if !matches!(kill.out_of_memory, Some(OutOfMemory::Group(Some(_)))) {
            kill.out_of_memory = Some(which.clone());
        }
    }

    /// A namespace has ended in which the kernel killed somebody: if a signal had ended its init a moment ago,
    /// both will be told together.
    pub(super) fn note_ending(&mut self, ns: PidNs) {
        let ending = self.namespace(ns).and_then(|ns| ns.ending);
        let Some(ending) = ending.filter(|ending| ending.bystanders > 0 && !ending.nested) else { return };
        let is_of = |kill: &&mut Kill| matches!(kill.victims[..], [victim] if victim.key == ending.init.key);
        if let Some(kill) = self.kills.values_mut().find(is_of) {
            kill.ending = Some(ending);
        }
    }

    /// Whether that will be told with the signal that ended the init.
    pub fn is_told_with_kill(&self, ending: &Ending) -> bool {
        self.kills.values().any(|kill| kill.ending.is_some_and(|of| of.init.key == ending.init.key))
    }

    /// Tells of ends to which no more of the same cause will be put; of all, at the end of time.
    pub(super) fn close_kills(&mut self, now: u64, is_end: bool, changes: &mut Vec<Change>) {
        let is_due = |kill: &Kill| is_end || now >= kill.died_at.saturating_add(MOMENT);
        let due: Vec<_> = self.kills.iter().filter(|(_, kill)| is_due(kill)).map(|(&join, _)| join).collect();
        let mut kills: Vec<_> = due.iter().filter_map(|join| self.kills.remove(join)).collect();
        kills.sort_by(|a, b| (a.died_at, &a.evidence).cmp(&(b.died_at, &b.evidence)));
        for kill in kills.iter_mut().filter(|kill| kill.killer == Killer::ParentDeath) {
            // By now the other threads of a process that ends have ended, too.
            kill.sender_lives = matches!(kill.sender, Sender::Process(sender)
                if self.get(sender.key).is_some_and(|sender| sender.death().is_none()));
        }
        changes.extend(kills.into_iter().map(|kill| Change::Killed(Box::new(kill))));
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit},
        finding::{Detail, Finding},
        story::{MS, Story, born, born_in, end, key, kill, zombie},
    };

    fn by(signal: Signal) -> ExitStatus {
        ExitStatus(i32::from(signal.0))
    }

    fn ends(story: &mut Story, pid: u32, signal: Signal) {
        story.exit(Exit { status: by(signal), ..end(pid, 1, Adopter::None) });
    }

    /// 2 sends, 10 to 12 are there to be ended.
    fn story() -> Story {
        let mut story = Story::new();
        for pid in [2, 10, 11, 12] {
            story.fork(born(pid, 1));
        }
        story
    }

    /// Who ended how many, in the order in which it was said.
    fn told(story: &mut Story) -> Vec<(Killer, Option<u32>, u64)> {
        let of = |Finding { detail, .. }| match detail {
            Detail::KilledBy(kill) => {
                let sender = match kill.sender {
                    Sender::Process(sender) => Some(sender.key.tgid),
                    _ => None,
                };
                (kill.killer, sender, kill.count)
            }
            other => panic!("{other:?}"),
        };
        story.found.drain(..).map(of).collect()
    }

    #[test]
    fn ends_of_one_cause_within_a_moment_are_one_and_later_ones_another() {
        let mut story = story();
        for pid in [10, 11] {
            story.signal(kill(2, pid, Signal::TERM));
            ends(&mut story, pid, Signal::TERM);
        }
        story.wait(50, &[]);
        assert_eq!(told(&mut story), [], "more may come");
        story.wait(60, &[]).signal(kill(2, 12, Signal::TERM));
        ends(&mut story, 12, Signal::TERM);
        story.wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Process, Some(2), 2), (Killer::Process, Some(2), 1)]);
    }

    #[test]
    fn another_sender_another_signal_and_each_fault_are_causes_of_their_own() {
        let mut story = story();
        story.signal(kill(2, 10, Signal::TERM)).signal(kill(2, 11, Signal::KILL)).signal(kill(1, 12, Signal::KILL));
        ends(&mut story, 10, Signal::TERM);
        ends(&mut story, 11, Signal::KILL);
        ends(&mut story, 12, Signal::KILL);
        for pid in [20, 21] {
            story.fork(born(pid, 1)).signal(SignalSent { code: 1, ..kill(pid, pid, Signal::SEGV) });
            ends(&mut story, pid, Signal::SEGV);
        }
        story.event(EventKind::End(crate::event::End::default()));
        let process = |pid| (Killer::Process, Some(pid), 1);
        let fault = (Killer::Fault, None, 1);
        assert_eq!(told(&mut story), [process(2), process(2), process(1), fault, fault]);
    }

    #[test]
    fn what_did_not_end_it_is_not_blamed() {
        let mut story = story();
        let handled = kill(2, 10, Signal::TERM);
        story.signal(SignalSent { flags: handled.flags | signal_flags::HANDLER, ..handled });
        // Refused, as it is dying: nothing that it could end by.
        story.signal(kill(12, 10, Signal::KILL));
        story.signal(SignalSent { flags: handled.flags | signal_flags::DYING, ..kill(11, 10, Signal::KILL) });
        ends(&mut story, 10, Signal::KILL);
        // Exits by itself, after all.
        story.signal(SignalSent { flags: handled.flags | signal_flags::HANDLER, ..kill(2, 11, Signal::TERM) });
        story.exit(end(11, 1, Adopter::None)).wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Process, Some(12), 1)]);
    }

    #[test]
    fn a_signal_that_waits_ends_when_it_is_unblocked() {
        let mut story = story();
        let sent = kill(2, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | signal_flags::BLOCKED, ..sent });
        story.wait(60_000, &[(10, b'S', 1)]);
        ends(&mut story, 10, Signal::TERM);
        let finding = story.wait(200, &[]).only();
        assert!(finding.at - finding.since > 60_000 * MS);
    }

    #[test]
    fn what_was_handled_long_ago_or_by_another_program_is_not_why_a_signal_is_raised() {
        for exec in [false, true] {
            let mut story = story();
            let sent = kill(2, 10, Signal::HUP);
            story.signal(SignalSent { flags: sent.flags | signal_flags::HANDLER, ..sent });
            if exec {
                story.exec(10, "other");
            } else {
                story.wait(RAISED_AGAIN / MS + 1, &[]);
            }
            story.signal(kill(10, 10, Signal::HUP));
            ends(&mut story, 10, Signal::HUP);
            story.wait(200, &[]);
            assert_eq!(told(&mut story), [(Killer::Itself, Some(10), 1)]);
        }
    }

    #[test]
    fn the_mark_of_the_out_of_memory_killer_counts_only_with_its_signal() {
        let of_kernel = SignalSent { flags: signal_flags::KERNEL_INFO, ..kill(10, 10, Signal::KILL) };
        for (sent, want) in [(of_kernel, Killer::Oom), (kill(2, 10, Signal::KILL), Killer::Process)] {
            let mut story = story();
            story.signal(sent).exit(Exit { status: by(Signal::KILL), oom: true, ..end(10, 1, Adopter::None) });
            story.wait(200, &[]);
            assert_eq!(told(&mut story)[0].0, want);
        }
    }

    #[test]
    fn whose_memory_had_run_out_is_told_with_the_end() {
        let group = |path: Option<&str>| OutOfMemory::Group(path.map(str::to_owned));
        let of_kernel = |pid| SignalSent { flags: signal_flags::KERNEL_INFO, ..kill(2, pid, Signal::KILL) };
        let mut story = story();
        for pid in [10, 11] {
            story.signal(of_kernel(pid)).exit(Exit {
                status: by(Signal::KILL),
                oom: true,
                ..end(pid, 1, Adopter::None)
            });
        }
        // All of a group end; only the first of them was chosen.
        story.event(EventKind::OutOfMemory(key(10), group(Some("/\u{1b}pod"))));
        story.event(EventKind::OutOfMemory(key(11), group(None)));
        story.event(EventKind::OutOfMemory(key(12), OutOfMemory::Machine));
        story.wait(200, &[]);
        let [Finding { message, .. }] = story.found.as_slice() else { panic!("{:?}", story.found) };
        assert!(message.contains("2 processes") && message.contains("group /\\x1bpod was at its limit"), "{message}");
    }

    #[test]
    fn the_end_of_a_namespace_is_said_once_for_all_but_whom_somebody_had_killed_before() {
        let mut story = story();
        let ns = 4_026_532_500;
        for (pid, ns_pid, parent) in [(30, 1, 1), (31, 2, 30), (32, 3, 30), (33, 4, 30)] {
            story.fork(born_in(ns, pid, ns_pid, parent));
        }
        story.signal(kill(2, 31, Signal::KILL)).exit(end(30, 1, Adopter::None));
        let zap = signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::SENDER_INIT;
        story.signal(SignalSent { flags: zap, ..kill(30, 32, Signal::KILL) });
        for pid in [31, 32, 33] {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        let rules: Vec<_> = story.found.iter().map(|finding| finding.rule.name).collect();
        assert_eq!(rules, ["namespace-killed", "killed-by"]);
        story.found.remove(0);
        assert_eq!(told(&mut story), [(Killer::Process, Some(2), 1)]);
    }

    #[test]
    fn an_end_without_a_signal_is_incomplete_unless_it_was_before_anybody_watched() {
        let mut story = story();
        story.rows(&[zombie(born(40, 1), Some(500))]);
        let mut dead = zombie(born(41, 1), Some(500));
        dead.status = by(Signal::KILL);
        story.rows(&[dead]).wait(1, &[(41, b'Z', 1)]);
        story.fork(born(42, 1));
        ends(&mut story, 42, Signal::KILL);
        story.wait(200, &[(41, b'Z', 1)]);
        let finding = story.only();
        assert_eq!(finding.process.key.tgid, 42);
        assert!(matches!(finding.confidence, crate::finding::Confidence::Incomplete(_)));
    }

    #[test]
    fn the_end_of_a_thread_is_not_the_end_of_the_parent() {
        for (ends_too, lives) in [(false, true), (true, false)] {
            let mut story = story();
            let flags = signal_flags::GROUP | signal_flags::NO_INFO | signal_flags::SENDER_EXITING;
            let asked_for = SignalSent { flags, ..kill(2, 10, Signal::KILL) };
            story.signal(asked_for);
            ends(&mut story, 10, Signal::KILL);
            if ends_too {
                story.exit(end(2, 1, Adopter::None));
            }
            story.wait(150, &[(2, b'S', 1), (10, b'Z', 1)]);
            story.found.retain(|finding| finding.rule.name == "killed-by");
            let finding = story.only();
            let Detail::KilledBy(kill) = finding.detail else { panic!() };
            assert_eq!((kill.killer, kill.sender_lives), (Killer::ParentDeath, lives));
            assert_eq!(finding.message.contains("the thread of its parent p2 (pid 2) that had made it ended"), lives);
            assert_eq!(finding.message.contains("its parent p2 (pid 2) ended"), ends_too);
        }
    }

    #[test]
    fn more_causes_than_are_kept_are_told_at_once() {
        let mut story = Story::new();
        for pid in 1_000..1_000 + MOST_OPEN as u32 + 1 {
            story.fork(born(pid, 1)).signal(SignalSent { code: 1, ..kill(pid, pid, Signal::SEGV) });
            ends(&mut story, pid, Signal::SEGV);
        }
        assert_eq!(told(&mut story), [(Killer::Fault, None, 1)]);
        story.event(EventKind::End(crate::event::End::default()));
        assert_eq!(told(&mut story).len(), MOST_OPEN);
    }
}
