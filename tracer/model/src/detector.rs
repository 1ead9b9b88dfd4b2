//! Applies each event to the world, and asks the rules about the changes.

use std::collections::BTreeSet;

use crate::{
    change::{Change, Measured, Topic},
    event::{Event, EventKind},
    finding::{Confidence, Finding, Note, Subject},
    ident::ProcKey,
    rules::{self, NOBODY, Opinion, Rule, Wanted},
    step::Step,
    thresholds::{THRESHOLDS, Thresholds},
    time::{BootNs, Seq, Span},
    world::{Process, World},
};

mod ledger;
mod rechecks;

use ledger::Ledger;
use rechecks::Rechecks;

/// About how many processes a rule is asked at a tick: each is looked at first, which takes time. The others follow at
/// the next tick.
pub const ASKED_AT_ONCE: usize = 256;
/// How much later a rule is asked about a process that was not found.
const POSTPONED: Span = Span::ms(10);

/// Whether a process, or the one that owes it a wait, was looked for in vain.
fn is_missing(world: &World, key: ProcKey) -> bool {
    let is_missing = |key| world.get(key).is_some_and(Process::is_missing);
    is_missing(key) || world.owed_by(key).is_some_and(is_missing)
}

/// The processes and subjects that a change concerns: it can resolve findings about them.
fn subjects(change: &Change) -> [Option<Subject>; 2] {
    if let Change::Measured(Measured::Gone(group)) = *change {
        return [Some(Subject::Group(group)), None];
    }
    let both = match change {
        Change::Reaped { identity, by, .. } => [Some(identity.key), *by],
        Change::Adopted { child, adoption } => [Some(*child), Some(adoption.from.key)],
        Change::Died { key, .. }
        | Change::Execed { key, .. }
        | Change::Looked(key)
        | Change::Masked(key)
        | Change::ClientBack(key)
        | Change::Continued { key, .. } => [Some(*key), None],
        Change::Taken(signalled) => [Some(signalled.target.key), None],
        Change::Born(_)
        | Change::Learned(_)
        | Change::FoundStopped(_)
        | Change::Signalled(_)
        | Change::StatusLost(_)
        | Change::LeaderDied(_)
        | Change::Killed(_)
        | Change::NamespaceEnding(_)
        | Change::NamespaceEnded(_)
        | Change::Measured(_)
        | Change::ClientEnded(_)
        | Change::CommandStarted(_)
        | Change::CommandEnded(_)
        | Change::Gap
        | Change::Synced => [None, None],
    };
    both.map(|process| process.map(Subject::Process))
}

/// World and rules.
pub struct Detector {
    world: World,
    rules: Vec<Box<dyn Rule>>,
    /// Which of them want to hear of what, in their order.
    listeners: [Vec<usize>; Topic::COUNT],
    judged_by: JudgedBy,
    asked: Asked,
    next_seq: Seq,
    changes: Vec<Change>,
}

/// The thresholds of the rules, and those of whoever made the stream.
struct JudgedBy {
    ours: Thresholds,
    recorded: Thresholds,
}

impl JudgedBy {
    /// The stream has others from here on. What its reader wants to be another remains so.
    fn follow(&mut self, recorded: &Thresholds) {
        for def in THRESHOLDS {
            if (def.get)(&self.ours) == (def.get)(&self.recorded) {
                (def.set)(&mut self.ours, (def.get)(recorded));
            }
        }
        self.recorded = *recorded;
    }
}

/// What the rules have reported so far.
#[derive(Default)]
struct Asked {
    rechecks: Rechecks,
    ledger: Ledger,
    /// Of this step.
    findings: Vec<Finding>,
}

impl Detector {
    /// An empty world and all rules.
    pub fn new(thresholds: &Thresholds) -> Self {
        let rules = rules::judges(thresholds);
        let mut listeners = [const { Vec::new() }; Topic::COUNT];
        for (i, rule) in rules.iter().enumerate() {
            rule.topics().iter().for_each(|&topic| listeners[topic as usize].push(i));
        }
        Self {
            world: World::default(),
            rules,
            listeners,
            judged_by: JudgedBy { ours: *thresholds, recorded: *thresholds },
            asked: Asked::default(),
            next_seq: Seq::default(),
            changes: Vec::new(),
        }
    }

    /// An empty world and no rules, for who only asks what there was.
    pub fn without_rules(thresholds: &Thresholds) -> Self {
        Self { rules: Vec::new(), listeners: [const { Vec::new() }; Topic::COUNT], ..Self::new(thresholds) }
    }

    /// The same, for somebody who asks for the tree of a process with that pid (`--tree`), besides whom was asked for
    /// when the stream was made.
    #[must_use]
    pub fn asked_for_tree(mut self, pid: Option<u32>) -> Self {
        if let Some(pid) = pid {
            self.world.ask_for_tree(pid);
        }
        self
    }

    /// The current state.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Takes an event, with the bytes that it came as; returns what it caused, and the world after it.
    pub fn step<'a>(&'a mut self, event: &'a Event, record: &'a [u8]) -> (Step<'a>, &'a World) {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        self.changes.clear();
        self.asked.findings.clear();
        self.world.apply(event, seq, &mut self.changes);
        match &event.kind {
            EventKind::Start(info) => self.judged_by.recorded = info.thresholds,
            EventKind::Thresholds(thresholds) if !self.rules.is_empty() => {
                self.judged_by.follow(thresholds);
                self.rules = rules::judges(&self.judged_by.ours);
            }
            _ => {}
        }
        let Self { world, rules, listeners, asked, changes, .. } = self;
        for change in &*changes {
            if !asked.ledger.is_empty() {
                asked.close(world, rules, change, seq);
            }
            if let Change::Reaped { identity, .. } = change {
                asked.rechecks.forget(identity.key);
            }
            let topic = change.topic();
            for &i in &listeners[topic as usize] {
                match rules[i].check(world, change, seq) {
                    // Nearly always.
                    Opinion::Quiet => {}
                    opinion => asked.note(world, rules, i, opinion, event.at, seq),
                }
            }
            if cfg!(debug_assertions) {
                for rule in rules.iter().filter(|rule| !rule.topics().contains(&topic)) {
                    let is_quiet = matches!(rule.check(world, change, seq), Opinion::Quiet);
                    debug_assert!(is_quiet, "{} does not say that it wants to hear of {topic:?}", rule.def().name);
                }
            }
        }
        // Only when time passes, so that `due` has already named the processes to look at.
        if matches!(event.kind, EventKind::Tick) {
            // All at once: at the end of time, whatever was to be asked later is due.
            for (i, key) in asked.rechecks.take_due(event.at) {
                if is_missing(world, key) {
                    // The stream has not yet reported the process's fate.
                    asked.rechecks.insert(event.at + POSTPONED, i, key);
                    continue;
                }
                asked.note(world, rules, i, rules[i].recheck(world, key), event.at, seq);
            }
            asked.findings.extend(asked.ledger.settled(event.at));
        }
        (Step { seq, event, record, changes: &self.changes, findings: &self.asked.findings }, &self.world)
    }

    /// Whether anything is still due at that time, after a tick.
    pub fn is_more_due(&self, now: BootNs) -> bool {
        self.asked.rechecks.is_due(now)
    }

    /// When something is due next, as far as that is known now.
    pub fn next_due(&self) -> Option<BootNs> {
        self.asked
            .rechecks
            .next_time()
            .into_iter()
            .chain(self.world.next_look())
            .chain(self.asked.ledger.next_settled())
            .min()
    }

    /// What the source should look at before a tick at that time: the processes that rules will be asked about, those
    /// that owe them a wait, and all else that a rule wants, whatever the number, because a rule reports nothing
    /// unseen; and of the processes that the world is in doubt about, so many.
    pub fn due(&self, now: BootNs, doubts: usize) -> BTreeSet<Wanted> {
        let asked = self.asked.rechecks.due(now).into_iter().flat_map(|(_, rule, key)| {
            let them = [Some(key), self.world.owed_by(key)].into_iter().flatten().filter(|&key| key != NOBODY);
            them.map(Wanted::Look).chain(self.rules[rule].wants(&self.world, key))
        });
        asked.chain(self.world.doubtful(now).take(doubts).map(Wanted::Look)).collect()
    }
}

impl Asked {
    /// Reports what a change has resolved.
    fn close(&mut self, world: &World, rules: &[Box<dyn Rule>], change: &Change, seq: Seq) {
        for subject in subjects(change).into_iter().flatten() {
            let wrong = |(i, open): (usize, &Finding)| Some((i, open.subject(), rules[i].wrong(world, change, open)?));
            for (i, subject, why) in self.ledger.about(subject).filter_map(wrong).collect::<Vec<_>>() {
                self.findings.extend(self.ledger.wrong(i, subject, world.now(), seq, why));
            }
            let about = self.ledger.about(subject);
            let gone = || match change {
                Change::Reaped { identity, .. } if Subject::Process(identity.key) == subject => {
                    Some(format!("{identity} is gone"))
                }
                _ => None,
            };
            let over = about
                .filter_map(|(i, open)| Some((i, open.subject(), rules[i].over(world, change, open).or_else(gone)?)));
            for (i, subject, how) in over.collect::<Vec<_>>() {
                self.findings.extend(self.ledger.over(i, subject, world.now(), seq, how));
            }
        }
    }

    /// Whether an open lasting finding covers this finding.
    fn is_told(&self, rules: &[Box<dyn Rule>], part: &Finding) -> bool {
        let about = part.part_of().map(|whole| self.ledger.about(Subject::Process(whole)));
        about.into_iter().flatten().any(|(rule, whole)| rules[rule].speaks_for(whole, part))
    }

    /// Takes in a rule's opinion on an event at that time.
    fn note(&mut self, world: &World, rules: &[Box<dyn Rule>], rule: usize, opinion: Opinion, at: BootNs, seq: Seq) {
        // Never at once, or an undecided rule would keep the loop busy; nor before the next tick, for which the
        // processes to look at have already been named.
        let later = at.max(world.now()).next();
        match opinion {
            Opinion::Quiet => {}
            Opinion::Each(opinions) => {
                opinions.into_iter().for_each(|opinion| self.note(world, rules, rule, opinion, at, seq));
            }
            Opinion::Recheck(at, key) => self.rechecks.insert(at.max(later), rule, key),
            Opinion::Ask(other, key) => {
                let other = rules.iter().position(|rule| std::ptr::eq(rule.def(), other));
                other.into_iter().for_each(|other| self.rechecks.insert(later, other, key));
            }
            Opinion::Over(subject, how) => self.findings.extend(self.ledger.over(rule, subject, world.now(), seq, how)),
            Opinion::Settle(subject, how) => self.ledger.settle(rule, subject, world.now(), seq, how),
            Opinion::Found(finding) if self.is_told(rules, &finding) => {}
            Opinion::Outcome(finding) => {
                let outcome = self.ledger.outcome(rule, completed(world, *finding));
                self.findings.push(outcome);
            }
            Opinion::Found(finding) => {
                let finding = completed(world, *finding);
                if !finding.rule.lasts {
                    self.findings.push(finding);
                    return;
                }
                let key = finding.process.key;
                let (told, again) = self.ledger.found(rule, finding);
                self.rechecks.insert(again.max(later), rule, key);
                self.findings.extend(told);
            }
        }
    }
}

/// Adds to a finding what holds for those of any rule: what a gap means for it, and its container.
fn completed(world: &World, mut finding: Finding) -> Finding {
    if finding.confidence == Confidence::Certain && finding.since < finding.at && world.is_gap_since(finding.since) {
        finding.confidence =
            Confidence::Incomplete("events were lost after this began, so part of the story may be missing".into());
    }
    if let Some(container) = world.container_of(&finding.process) {
        finding.notes.push(Note::new(container.engine.noun(), container.described()));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Adopter,
        story::{Story, born, end, running, start, zombie},
    };

    /// How long after its end a zombie is reported if the stream says `later` of the thresholds on its way.
    fn told_after(ours: &Thresholds, recorded: &Thresholds, later: Option<Thresholds>) -> Option<Span> {
        let mut story = Story::with(ours);
        story.event(start(recorded));
        story.snapshot(&[born(1, 0)]).fork(born(5, 1)).fork(born(6, 5));
        if let Some(later) = later {
            story.event(EventKind::Thresholds(Box::new(later)));
        }
        story.exit(end(6, 5, Adopter::None));
        let died = story.now;
        for _ in 0..20 {
            story.wait(500, &[(6, b'Z', 5)]);
        }
        let told = story.found.iter().find(|finding| finding.rule.name == "unreaped-child")?;
        Some(Span::seconds((told.at - died).0 / Span::SECOND.0))
    }

    #[test]
    fn a_leak_is_told_at_once_however_many_zombies_there_are() {
        let mut story = Story::new();
        let living = [running(born(1, 0)), running(born(5, 1))];
        let dead = (10..900).map(|pid| zombie(born(pid, 5), Some(10)));
        story.rows(&living.into_iter().chain(dead).collect::<Vec<_>>());
        story.now += Span::seconds(5);
        story.event(EventKind::Tick);
        assert!(story.found.iter().any(|finding| finding.rule.name == "zombie-leak"), "{:?}", story.found.len());
    }

    #[test]
    fn thresholds_that_the_stream_changes_hold_from_there_on_unless_the_reader_has_own_ones() {
        let after = |seconds| Thresholds { unreaped_after: Span::seconds(seconds), ..Thresholds::default() };
        let told = |ours, recorded, later| {
            told_after(&after(ours), &after(recorded), later).map(|span| span.0 / Span::SECOND.0)
        };
        assert_eq!(told(2, 2, None), Some(2));
        assert_eq!(told(2, 2, Some(after(5))), Some(5));
        assert_eq!(told(3, 2, Some(after(5))), Some(3), "the reader's own stays");
        assert_eq!(told(3, 2, None), Some(3));
    }
}
