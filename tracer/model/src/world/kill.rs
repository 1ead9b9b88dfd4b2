//! Who ended whom by a signal: what is remembered of signals that could end a process, until it ends;
//! and ends of one cause put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    change::{Change, Signalled},
    event::SignalSent,
    host::OutOfMemory,
    ident::{Identity, PidNs, ProcKey},
    kill::{Kill, NAMED},
    signal::{
        KernelSender, Sender, Signal,
        killer::{Killer, could_end, killer},
    },
    time::{BootNs, Seq, Span},
    world::{Death, World},
};

/// How long ends of the same cause are put together.
const MOMENT: Span = Span::ms(100);
/// How long after it has handled a signal a process that raises it is taken to pass it on, in
/// nanoseconds.
const RAISED_AGAIN: Span = Span::seconds(10);
/// Ancestors of a sender that are kept.
const MOST_ANCESTORS: usize = 16;
/// Causes that are open at a time; more are told of at once.
const MOST_OPEN: usize = 1024;
/// Ends that are remembered without being named, of all causes that are open.
const MOST_OTHERS: usize = 1 << 17;

/// What ends have in common that are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Join {
    killer: Killer,
    signal: Signal,
    /// The current task where it was sent; or whom it ended, if that cause ends nobody else.
    who: ProcKey,
    /// The init that it ended: what comes of that is a story of its own.
    init: Option<ProcKey>,
}

/// Ends of one cause to which more may be put.
#[derive(Debug)]
pub(super) struct Open {
    kill: Kill,
    /// Since when, by the time of the world: a reader that lags hears late of what belongs together.
    since: BootNs,
    /// The namespaces that those who ended were in, each with those around it.
    places: BTreeMap<PidNs, Vec<PidNs>>,
}

impl Open {
    /// Takes out of it who was in a namespace.
    fn split_off(&mut self, ns: PidNs) -> Option<Kill> {
        let is_inside = |places: &BTreeMap<PidNs, Vec<PidNs>>, of: PidNs| {
            places.get(&of).is_some_and(|outwards| outwards.contains(&ns))
        };
        if !self.places.keys().any(|&of| is_inside(&self.places, of)) {
            return None;
        }
        let Self { kill, places, .. } = self;
        let all: Vec<_> = kill.everybody().copied().collect();
        let (inside, outside): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| is_inside(places, one.pid_ns));
        // Of those that are not remembered one by one nobody knows where they were.
        let forgotten = kill.count - (inside.len() + outside.len()) as u64;
        let with = |all: Vec<Identity>, count| {
            let mut part = Kill { count, victims: Vec::new(), others: Arc::default(), ..kill.clone() };
            all.into_iter().for_each(|one| part.add(one));
            part
        };
        let count = inside.len() as u64;
        let part = Kill { raised_again: 0, cores: 0, ..with(inside, count) };
        let count = outside.len() as u64 + forgotten;
        *kill = with(outside, count);
        Some(part)
    }
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
    at: BootNs,
    seq: Seq,
}

/// The last of them, of each number; those that the program handles apart from those that end it by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    /// Their default action ends the process. A process that is stopped can have several that wait.
    fatal: Vec<Cause>,
    /// The program handles them: requests to end, from somebody else.
    handled: Vec<Cause>,
}

impl Causes {
    /// Another program has no handlers yet.
    pub(super) fn exec(&mut self) {
        self.handled.clear();
    }

    /// There are 64 numbers, and no more of them.
    fn note(&mut self, cause: Cause, is_handled: bool) {
        let causes = if is_handled { &mut self.handled } else { &mut self.fatal };
        match causes.iter_mut().find(|known| known.signal == cause.signal) {
            // Nothing can come after the first of these, nor before what it does.
            Some(_) if cause.signal == Signal::KILL => {}
            Some(known) => *known = cause,
            None => causes.push(cause),
        }
    }

    /// Why a process has ended by that signal, and whether it raised it itself, once it had handled it.
    fn of(self, signal: Signal, died_at: BootNs) -> (Option<Cause>, bool) {
        let of = |causes: Vec<Cause>| causes.into_iter().find(|cause| cause.signal == signal);
        let (fatal, handled) = (of(self.fatal), of(self.handled));
        match (fatal, handled) {
            (Some(fatal), Some(handled)) => {
                let soon = died_at - handled.at <= RAISED_AGAIN;
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
    pub(super) fn note_cause(
        &mut self,
        at: BootNs,
        seq: Seq,
        sent: &SignalSent,
        sender: Sender,
        signalled: &Signalled,
    ) {
        if !could_end(sent) {
            return;
        }
        let SignalSent { current, target, signal, .. } = *sent;
        let is_handled = sent.has_handler();
        let killer = match killer(sent) {
            // An init that exits can be short of memory, and whoever is killed for that lives elsewhere.
            Killer::NamespaceEnd if !self.is_below_init(target.key, current.key) => Killer::Kernel,
            killer => killer,
        };
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
        process.causes.get_or_insert_default().note(cause, is_handled);
    }

    /// Whether a process is in the namespace of an init, as far as both are known.
    fn is_below_init(&self, key: ProcKey, init: ProcKey) -> bool {
        let (Some(process), Some(init)) = (self.get(key), self.get(init)) else { return true };
        self.is_in(process.pid_ns, init.pid_ns)
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

    /// A process has died; by a signal, perhaps. Says whether the kernel has killed it with its namespace.
    pub(super) fn note_kill(&mut self, key: ProcKey, death: &Death, changes: &mut Vec<Change>) -> bool {
        let Some(process) = self.processes.get_mut(&key) else { return false };
        let causes = process.causes.take();
        let Some(signal) = death.status.signal() else { return false };
        let (identity, ns) = (process.identity(), process.pid_ns);
        let is_init = process.roles.init && process.ns_level > 0;
        let wasted_ns = process.stop.as_ref().and_then(|stop| stop.wasted_ns());
        let (cause, is_raised_again) = causes.map_or((None, false), |causes| causes.of(signal, death.at));
        let is_unseen = cause.is_none() && signal == Signal::KILL && !death.oom;
        // The end of the namespace says so for all of them.
        if cause.as_ref().is_some_and(|cause| cause.killer == Killer::NamespaceEnd)
            || (is_unseen && self.outwards(ns).any(|ns| self.is_ending(ns)))
        {
            return true;
        }
        let Some((join, mut kill)) = self.kill_of(key, signal, death, cause) else { return false };
        let join = Join { init: is_init.then_some(key), ..join };
        let is_full = self.kills.len() >= MOST_OPEN && !self.kills.contains_key(&join);
        let has_room = self.other_victims < MOST_OTHERS;
        let outwards: Vec<_> = self.outwards(ns).collect();
        let kill = if is_full {
            &mut kill
        } else {
            let since = self.now;
            let open = self.kills.entry(join).or_insert_with(|| Open { kill, since, places: BTreeMap::new() });
            open.places.entry(ns).or_insert(outwards);
            &mut open.kill
        };
        if is_init && signal == Signal::KILL {
            kill.wasted_ns = wasted_ns;
        }
        kill.count += 1;
        kill.raised_again += u64::from(is_raised_again);
        kill.cores += u64::from(death.status.dumped_core());
        if kill.victims.len() < NAMED {
            kill.evidence.push(death.seq);
            kill.add(identity);
        } else if has_room {
            kill.add(identity);
            self.other_victims += 1;
        }
        if is_full {
            changes.push(Change::Killed(Box::new(kill.clone())));
        }
        false
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
        let join = Join { killer, signal, who: if killer.can_end_many() { current } else { key }, init: None };
        let is_root = |one: &Identity| self.command().is_some_and(|command| command.is(one.key));
        let chain = match &sender {
            Sender::Process(sender) if is_root(sender) => 0,
            _ => ancestors.iter().position(is_root).map_or(ancestors.len(), |root| root + 1),
        };
        let sender_family = match &sender {
            Sender::Process(sender) => Some(self.family_of(sender, &ancestors)),
            Sender::Kernel(_) | Sender::Unknown => None,
        };
        let kill = Kill {
            chain,
            family: self.family_of(&self.identity(key), &[]),
            sender_family,
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
            others: Arc::default(),
            raised_again: 0,
            cores: 0,
            out_of_memory: None,
            sender_lives: false,
            wasted_ns: None,
            ending: None,
            namespaces: 0,
            evidence: if is_seen { vec![seq] } else { Vec::new() },
        };
        Some((join, kill))
    }

    /// The log tells right after an end why the out-of-memory killer brought it about.
    pub(super) fn learn_out_of_memory(&mut self, key: ProcKey, which: &OutOfMemory) {
        let is_of = |kill: &&mut Kill| kill.killer == Killer::Oom && kill.everybody().any(|victim| victim.key == key);
        let Some(kill) = self.kills.values_mut().map(|open| &mut open.kill).find(is_of) else { return };
        // Of the members of a group that ends as one (`memory.oom.group`) only the first line has its path.
        if !matches!(kill.out_of_memory, Some(OutOfMemory::Group(Some(_)))) {
            kill.out_of_memory = Some(which.clone());
        }
    }

    /// A namespace has ended: if a signal had ended its init, both will be told together.
    pub(super) fn note_ending(&mut self, ns: PidNs) {
        let Some(ending) = self.namespace(ns).and_then(|ns| ns.ending).filter(|ending| !ending.nested) else { return };
        let of_init = self.kills.iter_mut().find(|(join, _)| join.init == Some(ending.init.key));
        if let Some((_, open)) = of_init {
            open.kill.ending = Some(ending);
        }
    }

    /// Whether a process has ended another one by that signal, and that is still to be told.
    pub fn has_just_killed(&self, killer: ProcKey, signal: Signal) -> bool {
        self.kills.keys().any(|join| (join.killer, join.who, join.signal) == (Killer::Process, killer, signal))
    }

    /// What ended an init, until that is told.
    pub fn kill_of_init(&self, init: ProcKey) -> Option<&Kill> {
        self.kills.iter().find(|(join, _)| join.init == Some(init)).map(|(_, open)| &open.kill)
    }

    /// Tells of ends to which no more of the same cause will be put; of all, at the end of time. An init's is
    /// told when its namespace has ended.
    pub(super) fn close_kills(&mut self, now: BootNs, is_end: bool, changes: &mut Vec<Change>) {
        let is_due = |open: &Open| is_end || now >= open.since + MOMENT;
        let groups = self
            .kills
            .iter()
            .filter(|(join, open)| is_due(open) && (is_end || !join.init.is_some_and(|init| self.is_waited_for(init))));
        let groups: BTreeSet<_> = groups.map(|(&join, _)| Join { init: None, ..join }).collect();
        let mut kills = Vec::new();
        for group in groups {
            self.close_group(group, is_end, &mut kills);
        }
        if self.kills.is_empty() {
            self.other_victims = 0;
        } else if !kills.is_empty() {
            self.other_victims = self.kills.values().map(|open| open.kill.others.len()).sum();
        }
        kills.sort_by(|a, b| (a.died_at, &a.evidence).cmp(&(b.died_at, &b.evidence)));
        for kill in kills.iter_mut().filter(|kill| kill.killer == Killer::ParentDeath) {
            // By now the other threads of a process that ends have ended, too.
            kill.sender_lives = matches!(kill.sender, Sender::Process(sender)
                if self.get(sender.key).is_some_and(|sender| sender.death().is_none()));
        }
        changes.extend(kills.into_iter().map(|kill| Change::Killed(Box::new(kill))));
    }

    /// Whether the namespace of an init that has ended has not ended yet.
    fn is_waited_for(&self, init: ProcKey) -> bool {
        let ns = self.get(init).and_then(|init| self.namespace(init.pid_ns));
        ns.and_then(|ns| ns.ending).is_some_and(|ending| ending.init.key == init && ending.left > 0)
    }

    /// Puts the ends of one cause into stories: of each init that it ended, with all of its namespace, and of
    /// the others.
    fn close_group(&mut self, group: Join, is_end: bool, kills: &mut Vec<Kill>) {
        let mut rest = self.kills.remove(&group);
        let last = Join { init: Some(ProcKey::LAST), ..group };
        let mut inits: Vec<_> =
            self.kills.range(group..=last).map(|(&join, open)| (join, open.kill.victims[0])).collect();
        // The outer ones first.
        inits.sort_by_key(|(_, init)| init.ns_level);
        let mut ended = 0;
        let mut told = Vec::new();
        for (join, init) in inits {
            let Some(mut of_init) = self.kills.remove(&join) else { continue };
            for inner in self.kills.range(group..=last).map(|(&join, _)| join).collect::<Vec<_>>() {
                let is_inside = |open: &Open| open.places.values().any(|outwards| outwards[1..].contains(&init.pid_ns));
                if self.kills.get(&inner).is_some_and(is_inside)
                    && let Some(inner) = self.kills.remove(&inner)
                {
                    of_init.kill.join(inner.kill);
                }
            }
            if let Some(part) = rest.as_mut().and_then(|rest| rest.split_off(init.pid_ns)) {
                of_init.kill.join(part);
            }
            if !is_end && self.is_waited_for(init.key) {
                self.kills.insert(join, of_init);
                continue;
            }
            let kill = &mut of_init.kill;
            let now =
                || self.namespace(init.pid_ns)?.ending.filter(|ending| ending.init.key == init.key && !ending.nested);
            kill.ending = kill.ending.or_else(now).filter(|ending| ending.bystanders > 0 || kill.count > 1);
            ended += u64::from(kill.ending.is_some());
            told.push(of_init);
        }
        for Open { mut kill, since, places } in told {
            kill.namespaces = ended;
            match &mut rest {
                // One of many, and nothing came of it.
                _ if kill.ending.is_some() || kill.wasted_ns.is_some() => kills.push(kill),
                Some(rest) => rest.kill.join(kill),
                None => rest = Some(Open { kill, since, places }),
            }
        }
        kills.extend(rest.map(|rest| rest.kill).filter(|kill| kill.count > 0));
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus},
        finding::{Facts, Finding},
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

    fn killer_of(facts: &Facts) -> Killer {
        use Killer::{CgroupKill, Fault, Itself, Oom, ParentDeath, Process, Seccomp, Unknown};
        let known = [CgroupKill, Fault, Itself, Oom, ParentDeath, Process, Seccomp, Unknown];
        known.into_iter().find(|killer| killer.id() == facts.word("how")).unwrap()
    }

    /// Who ended how many, in the order in which it was said.
    fn told(story: &mut Story) -> Vec<(Killer, Option<u32>, u64)> {
        let of = |Finding { rule, facts, .. }: Finding| {
            assert_eq!(rule.name, "killed-by");
            let sender = facts.process("sender").map(|sender| sender.key.tgid);
            (killer_of(&facts), sender, facts.count("count"))
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
        story.exit(end(11, 1, Adopter::None));
        assert_eq!(story.rules(), ["stopped-by"]);
        story.wait(200, &[]);
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
        let [finding] = story.found.as_slice() else { panic!("{:?}", story.found) };
        let message = finding.message();
        assert!(
            message.contains("2 processes") && message.contains("group \"/\\x1bpod\" was at its limit"),
            "{message}"
        );
    }

    #[test]
    fn the_end_of_a_namespace_is_said_once_for_all_but_whom_somebody_had_killed_before() {
        let mut story = story();
        let ns = 4_026_532_500;
        for (pid, ns_pid, parent) in [(30, 1, 1), (31, 2, 30), (32, 3, 30), (33, 4, 30)] {
            story.fork(born_in(ns, pid, ns_pid, parent));
        }
        story.signal(kill(2, 31, Signal::KILL)).exit(end(30, 1, Adopter::None));
        story.signal(SignalSent { flags: ZAP, ..kill(30, 32, Signal::KILL) });
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
            assert_eq!((killer_of(&finding.facts), finding.facts.flag("sender_lives")), (Killer::ParentDeath, lives));
            assert_eq!(finding.headline.ends_with(": a thread of its parent p2 (pid 2) ended"), lives);
            assert_eq!(finding.headline.ends_with(": its parent p2 (pid 2) ended"), ends_too);
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

    const ZAP: u16 =
        signal_flags::GROUP | signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::SENDER_INIT;

    /// An init (pid) of a namespace of its own, with so many others.
    fn namespace(story: &mut Story, pid: u32, others: u32) {
        for n in 0..=others {
            story.fork(born_in(4_026_530_000 + pid, pid + n, n + 1, if n == 0 { 1 } else { pid }));
        }
    }

    /// The headline and the killer of each end of a namespace; nothing else was found.
    fn ended(story: &mut Story) -> Vec<(u32, String, Option<Facts>)> {
        let of = |Finding { rule, process, headline, facts, .. }: Finding| {
            assert_eq!(rule.name, "namespace-killed");
            (process.key.tgid, headline, facts.record("killed_by").cloned())
        };
        story.found.drain(..).map(of).collect()
    }

    #[test]
    fn a_namespace_that_cgroup_kill_ended_is_one_finding_with_who_wrote_to_it() {
        let mut story = story();
        namespace(&mut story, 100, 2);
        let plain = signal_flags::NO_INFO | signal_flags::OUTSIDE;
        for pid in [100, 101, 102] {
            story.signal(SignalSent { flags: plain, ..kill(2, pid, Signal::KILL) });
        }
        for pid in [101, 100, 102] {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        let [(100, message, Some(kill))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
        let text = "pid 1 of pid namespace 4026530100 was ended by SIGKILL: p2 (pid 2) ended its control group";
        assert_eq!(message, text);
        assert_eq!((killer_of(kill), kill.count("count")), (Killer::CgroupKill, 3));
    }

    #[test]
    fn who_is_killed_after_the_init_by_somebody_else_is_not_counted() {
        let mut story = story();
        namespace(&mut story, 100, 3);
        // `kill -9 -1; exit`
        for pid in [101, 102, 103] {
            story.signal(kill(100, pid, Signal::KILL));
        }
        story.exit(end(100, 1, Adopter::None));
        for pid in [101, 102, 103] {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Process, Some(100), 3)]);
    }

    #[test]
    fn one_kill_of_several_inits_is_named_by_each_end_and_by_nothing_else() {
        let mut story = story();
        for pid in [100, 110, 120] {
            namespace(&mut story, pid, 1);
        }
        // Nobody else is in this one.
        namespace(&mut story, 130, 0);
        for pid in [100, 110, 120, 130, 10] {
            story.signal(kill(2, pid, Signal::KILL));
        }
        for pid in [100, 110, 120] {
            ends(&mut story, pid, Signal::KILL);
            story.signal(SignalSent { flags: ZAP, ..kill(pid, pid + 1, Signal::KILL) });
            ends(&mut story, pid + 1, Signal::KILL);
        }
        for pid in [130, 10] {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        let rest = story.found.iter().position(|finding| finding.rule.name == "killed-by").unwrap();
        let rest = story.found.remove(rest).facts;
        assert_eq!(rest.get("victims").processes().iter().map(|victim| victim.key.tgid).collect::<Vec<_>>(), [10, 130]);
        let ended = ended(&mut story);
        assert_eq!(ended.iter().map(|(pid, ..)| *pid).collect::<Vec<_>>(), [100, 110, 120]);
        for (_, message, kill) in ended {
            assert!(message.contains("was ended by SIGKILL from p2 (pid 2)"), "{message}");
            let kill = kill.unwrap();
            assert_eq!(kill.count("count"), 1);
        }
    }

    #[test]
    fn a_namespace_that_takes_its_time_to_end_still_names_who_ended_its_init() {
        let mut story = story();
        namespace(&mut story, 100, 1);
        story.signal(kill(2, 100, Signal::KILL));
        ends(&mut story, 100, Signal::KILL);
        story.signal(SignalSent { flags: ZAP, ..kill(100, 101, Signal::KILL) });
        story.wait(3_000, &[(100, b'S', 1), (101, b'D', 100)]);
        assert_eq!(ended(&mut story).len(), 0);
        ends(&mut story, 101, Signal::KILL);
        story.wait(1, &[(100, b'S', 1)]);
        let [(100, message, Some(_))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
        assert!(message.contains("from p2 (pid 2); the kernel killed the process left"), "{message}");
    }

    #[test]
    fn a_nested_namespace_that_ends_by_the_same_is_part_of_the_outer_one() {
        let mut story = story();
        namespace(&mut story, 100, 1);
        let inner = PidNs(4_026_530_999);
        let nested = |pid, ns_pid, parent| crate::event::TaskInfo {
            pid_ns: inner,
            parent_ns: Some(PidNs(4_026_530_100)),
            ns_level: 2,
            ..born_in(0, pid, ns_pid, parent)
        };
        story.fork(nested(110, 1, 101)).fork(nested(111, 2, 110));
        let pids = [110, 111, 100, 101];
        for pid in pids {
            story.signal(SignalSent { flags: signal_flags::NO_INFO, ..kill(2, pid, Signal::KILL) });
        }
        for pid in pids {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        let [(100, _, Some(kill))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
        assert_eq!(kill.count("count"), 4);
    }

    #[test]
    fn all_are_remembered_and_ten_are_named() {
        let mut story = story();
        for pid in 100..130 {
            story.fork(born(pid, 1)).signal(kill(2, pid, Signal::KILL));
            ends(&mut story, pid, Signal::KILL);
        }
        let finding = story.wait(200, &[]).only();
        let ended = |finding: &Finding| finding.facts.processes(&[crate::finding::Role::Victims]).len();
        assert_eq!((finding.facts.count("count"), finding.facts.get("victims").processes().len()), (30, 10));
        assert_eq!((ended(&finding), ended(&finding.brief())), (30, 10));
    }

    #[test]
    fn of_several_signals_that_wait_the_one_that_ends_it_is_known() {
        let mut story = story();
        for (from, signal) in [(2, Signal::TERM), (11, Signal(10)), (12, Signal::HUP)] {
            let sent = kill(from, 10, signal);
            story.signal(SignalSent { flags: sent.flags | signal_flags::STOPPED, ..sent });
        }
        ends(&mut story, 10, Signal::TERM);
        story.wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Process, Some(2), 1)]);
    }

    #[test]
    fn an_exiting_task_that_is_short_of_memory_is_no_tracer() {
        let kernel = signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::GROUP;
        // The host's or a namespace's init among them.
        for flags in [kernel, kernel | signal_flags::SENDER_INIT] {
            let mut story = story();
            namespace(&mut story, 100, 0);
            story.signal(SignalSent { flags, ..kill(100, 10, Signal::KILL) });
            story.exit(Exit { status: by(Signal::KILL), oom: true, ..end(10, 1, Adopter::None) }).wait(200, &[]);
            assert_eq!(told(&mut story), [(Killer::Oom, None, 1)]);
        }
    }
}
