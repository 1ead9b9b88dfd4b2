//! Who ended whom by a signal: ends of one cause are put together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    change::Change,
    host::OutOfMemory,
    ident::{Identity, PidNs, ProcKey},
    kill::{Kill, NAMED},
    origin::Origin,
    signal::{KernelSender, Place, Sender, Signal, killer::Killer},
    stop::ForcedStop,
    time::{BootNs, Span},
    world::{
        Death, Namespace, World,
        cause::{Cause, RAISED_AGAIN},
        origin::{before, is_request, is_same},
        turn::Turn,
    },
};

/// How long ends of the same cause are put together.
const MOMENT: Span = Span::ms(100);
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

/// Ends by signals that were not reported yet.
#[derive(Debug, Default)]
pub(super) struct Kills {
    open: BTreeMap<Join, Open>,
    /// How many of those that died are remembered without being named.
    others: usize,
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
            let forced = kill.forced.clone().filter(|forced| all.iter().any(|one| one.key == forced.process.key));
            let mut part = Kill { count, forced, victims: Vec::new(), others: Arc::default(), ..kill.clone() };
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

impl World {
    /// A process has died; by a signal, perhaps. Says whether the kernel has killed it with its namespace.
    pub(super) fn note_kill(&mut self, key: ProcKey, death: &Death, turn: &mut Turn) -> bool {
        let Some(process) = self.processes.get_mut(key) else { return false };
        let causes = process.causes.take().map(|causes| *causes).unwrap_or_default();
        let Some(signal) = death.status.signal() else {
            let is_why = |cause: &&Arc<Cause>| is_request(cause) && death.at - cause.at <= RAISED_AGAIN;
            let asked = causes.handled().find(is_why).cloned();
            self.note_end(key, death, asked);
            return false;
        };
        let (identity, ns) = (process.identity(), process.pid_ns);
        let is_init = process.is_init_of_namespace();
        let forced = process.forced_stop();
        let (cause, is_raised_again) = causes.of(signal, death.at);
        let has_aborted = causes.has_aborted(death.at);
        self.note_end(key, death, cause.clone());
        let is_unseen = cause.is_none() && signal == Signal::KILL && !death.oom && !death.seccomp;
        // The end of the namespace says so for all of them.
        if cause.as_ref().is_some_and(|cause| cause.killer == Killer::NamespaceEnd)
            || (is_unseen && self.outwards(ns).any(|ns| self.is_ending(ns)))
        {
            return true;
        }
        let earlier =
            cause.as_ref().and_then(|fatal| causes.handled().find_map(|earlier| before(earlier, fatal, identity)));
        let call = cause.as_ref().and_then(|cause| cause.call);
        let forced = forced.filter(|forced| cause.as_ref().is_some_and(|cause| cause.seq == forced.kill.seq));
        let exec = cause.as_ref().and_then(|cause| self.exec_of_engine(key, cause));
        let Some((join, mut kill)) = self.kill_of(key, signal, death, cause) else { return false };
        if let Some(earlier) = earlier {
            kill.origin = earlier.iter().chain(kill.origin.iter()).cloned().collect();
        }
        let call = call.and_then(|call| self.call(call)).cloned();
        kill.exec = exec;
        kill.aborted = has_aborted && kill.killer == Killer::Fault;
        let join = Join { init: is_init.then_some(key), ..join };
        let is_full = self.kills.open.len() >= MOST_OPEN && !self.kills.open.contains_key(&join);
        let has_room = self.kills.others < MOST_OTHERS;
        let outwards: Vec<_> = self.outwards(ns).collect();
        let origin = Arc::clone(&kill.origin);
        let is_sender = matches!(&kill.sender, Sender::Process(sender) if sender.key == key);
        let kill = if is_full {
            &mut kill
        } else {
            let since = self.now;
            let open = self.kills.open.entry(join).or_insert_with(|| Open { kill, since, places: BTreeMap::new() });
            open.places.entry(ns).or_insert(outwards);
            &mut open.kill
        };
        let asked = |forced: &Option<Box<ForcedStop>>| forced.as_ref().map(|forced| forced.asked.at);
        if forced.is_some() && asked(&kill.forced).is_none_or(|first| asked(&forced) < Some(first)) {
            kill.forced = forced;
        }
        // Whoever ends itself with others has no other reason; of these each may have one of its own.
        if kill.count == 0 || (!is_sender && kill.is_of_sender_alone()) {
            kill.origin = origin;
        } else if !is_sender && !is_same(&kill.origin, &origin) {
            kill.origin = Origin::default();
        }
        // It grows while the kernel goes through the group.
        kill.call = call.or(kill.call.take());
        kill.count += 1;
        kill.raised_again += u64::from(is_raised_again);
        kill.cores += u64::from(death.status.dumped_core());
        if kill.victims.len() < NAMED {
            kill.evidence.push(death.seq);
            kill.add(identity);
        } else if has_room {
            kill.add(identity);
            self.kills.others += 1;
        }
        if is_full {
            turn.changes.push(Change::Killed(Box::new(kill.clone())));
        }
        false
    }

    /// What is known of an end, without whom it ended; `None` if nothing is, and nobody could.
    fn kill_of(&self, key: ProcKey, signal: Signal, death: &Death, cause: Option<Arc<Cause>>) -> Option<(Join, Kill)> {
        let is_seen = cause.is_some();
        // It ended before anybody watched, or nobody looked at signals (in a trace of an older version).
        if !is_seen && (!death.exact || death.at < self.snapshots.began || self.stream.lacks_killers) {
            return None;
        }
        let unseen = Cause {
            signal,
            code: 0,
            // Its strict mode ends a process without a signal; up to 5.10 a filter does so too, and later still a
            // thread.
            killer: if death.seccomp || signal == Signal::SYS { Killer::Seccomp } else { Killer::Unknown },
            sender: Sender::Unknown,
            current: ProcKey::default(),
            ancestors: Arc::default(),
            asked_by: Vec::new(),
            origin: Origin::default(),
            call: None,
            place: Place::default(),
            hung_up_by: None,
            is_for_process: true,
            is_queued: false,
            has_rival: false,
            is_taken: false,
            ticks: false,
            is_stop: false,
            at: death.at,
            seq: death.seq,
        };
        let mut cause = cause.map_or(unseen, Arc::unwrap_or_clone);
        // `mark_oom_victim()` follows the SIGKILL; a process that was dying already can be marked too.
        if death.oom && signal == Signal::KILL && !cause.killer.has_sender() && cause.killer != Killer::NamespaceEnd {
            (cause.killer, cause.sender) = (Killer::Oom, Sender::Kernel(KernelSender::Oom));
        }
        let terminal = cause.lost_terminal();
        let Cause {
            signal,
            code,
            killer,
            sender,
            current,
            ancestors,
            asked_by,
            origin,
            call,
            place: _,
            hung_up_by,
            is_for_process: _,
            is_queued: _,
            has_rival,
            is_taken: _,
            ticks: _,
            is_stop: _,
            at,
            seq,
        } = cause;
        // Whoever hung a terminal up, by the end of its other side.
        let sender = match hung_up_by {
            Some(by) if killer == Killer::Terminal => Sender::Process(*by),
            _ => sender,
        };
        let who = match call {
            Some(call) => call.owner,
            None if killer.can_end_many() => current,
            None => key,
        };
        let join = Join { killer, signal, who, init: None };
        let is_root = |one: &Identity| self.command().is_some_and(|command| command.is(one.key));
        let chain = match &sender {
            Sender::Process(sender) if is_root(sender) => 0,
            _ => ancestors.iter().position(is_root).map_or(ancestors.len(), |root| root + 1),
        };
        let sender_family = match &sender {
            Sender::Process(sender) => Some(self.family_of(sender, &ancestors)),
            Sender::Kernel(_) | Sender::Unknown => None,
        };
        let former = match (killer, &sender) {
            (Killer::Process, Sender::Process(sender)) => self.former(key, sender),
            _ => None,
        };
        let kill = Kill {
            chain,
            family: self.family_of(&self.identity(key), &[]),
            sender_family,
            signal,
            code,
            killer,
            sender,
            ancestors: ancestors.to_vec(),
            asked_by,
            origin,
            call: None,
            terminal,
            exec: None,
            sent_at: is_seen.then_some(at),
            died_at: death.at,
            status: death.status,
            count: 0,
            victims: Vec::new(),
            others: Arc::default(),
            raised_again: 0,
            cores: 0,
            out_of_memory: None,
            former,
            has_rival,
            aborted: false,
            sender_lives: false,
            forced: None,
            ending: None,
            fallen: Vec::new(),
            killed: Arc::default(),
            namespaces: 0,
            evidence: if is_seen { vec![seq] } else { Vec::new() },
        };
        Some((join, kill))
    }

    /// The log tells right after an end why the out-of-memory killer brought it about.
    pub(super) fn learn_out_of_memory(&mut self, key: ProcKey, which: &OutOfMemory) {
        let is_of = |kill: &&mut Kill| kill.killer == Killer::Oom && kill.everybody().any(|victim| victim.key == key);
        let Some(kill) = self.kills.open.values_mut().map(|open| &mut open.kill).find(is_of) else { return };
        // Of the members of a group that ends as one (`memory.oom.group`) only the first line has its path.
        if !matches!(kill.out_of_memory, Some(OutOfMemory::Group(Some(_)))) {
            kill.out_of_memory = Some(which.clone());
        }
    }

    /// A namespace has ended: if a signal had ended its init, both will be told together.
    pub(super) fn note_ending(&mut self, ns: PidNs) {
        let ns = self.namespaces.get(&ns);
        let Some(ending) = ns.and_then(|ns| ns.ending).filter(|ending| !ending.nested) else { return };
        let of_init = self.kills.open.iter_mut().find(|(join, _)| join.init == Some(ending.init.key));
        if let Some((_, open)) = of_init {
            open.kill.ending = Some(ending);
            take_fallen(&mut open.kill, ns);
        }
    }

    /// Whether a process has ended another one by that signal, and that is still to be told.
    pub fn has_just_killed(&self, killer: ProcKey, signal: Signal) -> bool {
        self.is_killing(Killer::Process, killer, signal)
    }

    /// Whether a cause has ended somebody, and that is still to be told.
    pub(super) fn is_killing(&self, killer: Killer, who: ProcKey, signal: Signal) -> bool {
        self.kills.open.keys().any(|join| (join.killer, join.who, join.signal) == (killer, who, signal))
    }

    /// What ended an init, until that is told.
    pub fn kill_of_init(&self, init: ProcKey) -> Option<&Kill> {
        self.kills.open.iter().find(|(join, _)| join.init == Some(init)).map(|(_, open)| &open.kill)
    }

    /// Tells of ends to which no more of the same cause will be put; of all, at the end of time. An init's is
    /// told when its namespace has ended.
    pub(super) fn close_kills(&mut self, is_end: bool, turn: &mut Turn) {
        let is_due = |open: &Open| is_end || turn.at >= open.since + MOMENT;
        let groups =
            self.kills.open.iter().filter(|(join, open)| {
                is_due(open) && (is_end || !join.init.is_some_and(|init| self.is_waited_for(init)))
            });
        let groups: BTreeSet<_> = groups.map(|(&join, _)| Join { init: None, ..join }).collect();
        let mut kills = Vec::new();
        for group in groups {
            self.close_group(group, is_end, &mut kills);
        }
        if self.kills.open.is_empty() {
            self.kills.others = 0;
        } else if !kills.is_empty() {
            self.kills.others = self.kills.open.values().map(|open| open.kill.others.len()).sum();
        }
        kills.sort_by(|a, b| (a.died_at, &a.evidence).cmp(&(b.died_at, &b.evidence)));
        for kill in kills.iter_mut().filter(|kill| kill.is_of_itself()) {
            kill.killer = Killer::Itself;
        }
        for kill in kills.iter_mut().filter(|kill| kill.killer.is_of_thread()) {
            // By now the other threads of a process that ends have ended, too.
            kill.sender_lives = matches!(kill.sender, Sender::Process(sender)
                if self.get(sender.key).is_some_and(|sender| sender.death().is_none()));
        }
        turn.changes.extend(kills.into_iter().map(|kill| Change::Killed(Box::new(kill))));
    }

    /// Whether the namespace of an init that has ended has not ended yet.
    fn is_waited_for(&self, init: ProcKey) -> bool {
        let ns = self.get(init).and_then(|init| self.namespace(init.pid_ns));
        ns.and_then(|ns| ns.ending).is_some_and(|ending| ending.init.key == init && ending.left > 0)
    }

    /// Puts the ends of one cause into stories: of each init that it ended, with all of its namespace, and of
    /// the others.
    fn close_group(&mut self, group: Join, is_end: bool, kills: &mut Vec<Kill>) {
        let mut rest = self.kills.open.remove(&group);
        let last = Join { init: Some(ProcKey::LAST), ..group };
        let mut inits: Vec<_> =
            self.kills.open.range(group..=last).map(|(&join, open)| (join, open.kill.victims[0])).collect();
        // The outer ones first.
        inits.sort_by_key(|(_, init)| init.ns_level);
        let mut ended = 0;
        let mut told = Vec::new();
        for (join, init) in inits {
            let Some(mut of_init) = self.kills.open.remove(&join) else { continue };
            for inner in self.kills.open.range(group..=last).map(|(&join, _)| join).collect::<Vec<_>>() {
                let is_inside = |open: &Open| open.places.values().any(|outwards| outwards[1..].contains(&init.pid_ns));
                if self.kills.open.get(&inner).is_some_and(is_inside)
                    && let Some(inner) = self.kills.open.remove(&inner)
                {
                    of_init.kill.join(inner.kill);
                }
            }
            if let Some(part) = rest.as_mut().and_then(|rest| rest.split_off(init.pid_ns)) {
                of_init.kill.join(part);
            }
            if !is_end && self.is_waited_for(init.key) {
                self.kills.open.insert(join, of_init);
                continue;
            }
            let kill = &mut of_init.kill;
            let now =
                || self.namespace(init.pid_ns)?.ending.filter(|ending| ending.init.key == init.key && !ending.nested);
            if kill.ending.is_none() && now().is_some() {
                take_fallen(kill, self.namespace(init.pid_ns));
            }
            kill.ending = kill.ending.or_else(now).filter(|ending| ending.bystanders > 0 || kill.count > 1);
            ended += u64::from(kill.ending.is_some());
            told.push(of_init);
        }
        for Open { mut kill, since, places } in told {
            kill.namespaces = ended;
            match &mut rest {
                // One of many, and nothing came of it.
                _ if kill.ending.is_some() || kill.forced.is_some() => kills.push(kill),
                Some(rest) => rest.kill.join(kill),
                None => rest = Some(Open { kill, since, places }),
            }
        }
        kills.extend(rest.map(|rest| rest.kill).filter(|kill| kill.count > 0));
    }
}

/// Whom the kernel has killed with a namespace: it may be gone when that is told.
fn take_fallen(kill: &mut Kill, ns: Option<&Namespace>) {
    if let Some(ns) = ns {
        (kill.fallen, kill.killed) = (ns.fallen.clone(), Arc::clone(&ns.killed));
    }
}

#[cfg(test)]
mod tests;
