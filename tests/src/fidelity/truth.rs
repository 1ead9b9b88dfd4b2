//! What the kernel has reported about the workload, to any of the worlds, and whether findings hold up against that.
//!
//! Only the kernel's reports count here, records and looks; conclusions of a world do not. A finding that nothing here
//! supports is false.

use std::collections::{BTreeMap, BTreeSet};

use tracer::{
    change::{AdopterClass, Change, Known},
    event::{Adopter, EventKind},
    finding::Confidence,
    ident::{ProcKey, TaskRef},
    step::Step,
    time::BootNs,
};

use super::{
    follower::Heard,
    kernel::{Life, Picture},
};

/// What was said of one process.
#[derive(Debug, Default)]
struct Told {
    /// Pids of its parents, one after the other.
    parents: BTreeSet<u32>,
    /// Pids of those that were foretold to become its parents.
    expected: BTreeSet<u32>,
    /// Pids of its tracers.
    tracers: BTreeSet<u32>,
    /// Boot time at which its last thread began to exit.
    ended: Option<BootNs>,
    /// It has lost a thread.
    has_lost_thread: bool,
    /// The latest that it can have been reaped, in boot time.
    released: Option<BootNs>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Truth {
    told: BTreeMap<ProcKey, Told>,
    /// Who was handed from whom to whom, by the world that lost nothing.
    adoptions: BTreeSet<(ProcKey, ProcKey, ProcKey)>,
    /// The kernel's words are not all there.
    has_lost: bool,
}

impl Truth {
    /// Takes in the kernel's words.
    pub fn hear(&mut self, step: &Step<'_>) {
        let at = step.event.at;
        match &step.event.kind {
            EventKind::Fork(fork) => self.child_of(fork.task.key, fork.task.parent),
            EventKind::Row(row) => {
                self.child_of(row.task.key, row.task.parent);
                self.traced_by(row.task.key, row.tracer);
                if row.leader_dead && row.live == 0 {
                    // It did so before, nobody knows when.
                    self.of(row.task.key).ended.get_or_insert_default();
                }
            }
            EventKind::Exit(exit) => {
                self.child_of(exit.task.key, exit.parent);
                self.traced_by(exit.task.key, exit.tracer);
                let told = self.of(exit.task.key);
                told.has_lost_thread = true;
                if exit.group_dead {
                    told.ended = Some(told.ended.unwrap_or(at).min(at));
                }
            }
            EventKind::Adopt(adopt) => {
                self.child_of(adopt.child.key, Some(adopt.from));
                self.child_of(adopt.child.key, Some(adopt.to));
            }
            EventKind::Notify(notify) if notify.traced => self.traced_by(notify.task.key, Some(notify.to)),
            EventKind::Notify(notify) => self.child_of(notify.task.key, Some(notify.to)),
            EventKind::Look(look) => {
                if let Some(found) = look.found {
                    self.of(look.key).parents.insert(found.ppid);
                }
            }
            EventKind::Survey(survey) => {
                for one in &survey.found {
                    self.traced_by(one.key, one.tracer);
                }
            }
            EventKind::Free(task) => self.released(task.key, at),
            EventKind::Reap(reap) => self.released(reap.task.key, at),
            EventKind::Lost(_) => self.has_lost = true,
            _ => {}
        }
    }

    /// Takes in what a world that has lost nothing makes of it.
    pub fn believe(&mut self, step: &Step<'_>) {
        for change in step.changes {
            if let Change::Adopted { child, adoption } = change {
                self.adoptions.insert((*child, adoption.from.key, adoption.to.key));
            }
        }
        if let EventKind::Exit(exit) = &step.event.kind
            && let Adopter::Thread(to) | Adopter::Subreaper(to) | Adopter::NamespaceInit(to) = exit.adopter
        {
            self.of(exit.task.key).expected.insert(to.key.tgid);
        }
    }

    fn of(&mut self, key: ProcKey) -> &mut Told {
        self.told.entry(key).or_default()
    }

    fn child_of(&mut self, key: ProcKey, parent: Option<TaskRef>) {
        self.of(key).parents.extend(parent.map(|parent| parent.key.tgid));
    }

    fn traced_by(&mut self, key: ProcKey, tracer: Option<TaskRef>) {
        self.of(key).tracers.extend(tracer.map(|tracer| tracer.key.tgid));
    }

    fn released(&mut self, key: ProcKey, at: BootNs) {
        let told = self.of(key);
        told.released = Some(told.released.unwrap_or(at).min(at));
    }

    /// Forgets all but those.
    pub fn forget(&mut self, but: &BTreeSet<ProcKey>) {
        self.told.retain(|key, _| but.contains(key));
        self.adoptions.clear();
        self.has_lost = false;
    }

    /// When a process ended. If the word of that may have been lost by all worlds alike, whoever does not live has
    /// ended before.
    fn ended(&self, key: ProcKey, kernel: &Picture) -> Option<BootNs> {
        let is_alive =
            || kernel.processes.get(&key).is_some_and(|facts| matches!(facts.life, Life::Running | Life::LeaderDead));
        let told = self.told.get(&key).and_then(|told| told.ended);
        told.or_else(|| (self.has_lost && !is_alive()).then_some(BootNs::ZERO))
    }

    /// What is wrong with a finding about the workload, whose processes are `ours`; `kernel` is what there is now.
    pub fn judge(&self, heard: &Heard, ours: &BTreeSet<ProcKey>, kernel: &Picture) -> Option<String> {
        let Heard { finding, lost_at, looked_at } = heard;
        let about = finding.process.key;
        let is_about_nobody = |of: ProcKey| ours.contains(&of) && !ours.contains(&about);
        let facts = &finding.facts;
        let key = |name: &str| facts.process(name).map(|process| process.key).unwrap_or_default();
        let wrong = match finding.rule.name {
            "unreaped-child" if is_about_nobody(key("parent")) => Some("nobody knows the process"),
            "orphan-adopted" if is_about_nobody(key("dead_parent")) => Some("nobody knows the process"),
            _ if !ours.contains(&about) => return None,
            "unreaped-child" => self.wrong_zombie(heard, key("parent").tgid, facts.word("blame"), kernel),
            "orphan-adopted" => {
                let is_certain = finding.confidence == Confidence::Certain;
                let (class, known) = (facts.word("adopter_class"), facts.word("adopter_known"));
                let has_ended = self.ended(key("dead_parent"), kernel).is_some();
                self.wrong_orphan(about, (key("dead_parent"), has_ended), key("adopter"), class, known, is_certain)
            }
            _ => return None,
        };
        let wrong = wrong.or_else(|| {
            let is_across = lost_at.is_some_and(|lost| finding.since <= lost) && finding.since < finding.at;
            (is_across && finding.confidence == Confidence::Certain).then_some("it is certain across a gap")
        })?;
        let told = self.told.get(&about);
        let adoptions: Vec<_> = self
            .adoptions
            .iter()
            .filter(|(child, ..)| *child == about)
            .map(|(_, from, to)| (from.tgid, to.tgid))
            .collect();
        Some(format!(
            "{}: {wrong}: {:?}, {} (at {}, since {}, looked at {looked_at:?}, loss {lost_at:?}); the kernel said \
             {told:?}, handed on {adoptions:?}",
            finding.rule.name,
            finding.confidence,
            finding.message(),
            finding.at,
            finding.since,
        ))
    }

    fn wrong_zombie(&self, heard: &Heard, debtor: u32, blame: &str, kernel: &Picture) -> Option<&'static str> {
        let Some(told) = self.told.get(&heard.finding.process.key) else { return Some("nobody knows the process") };
        let is_debtor = if blame == "held by a tracer" { &told.tracers } else { &told.parents };
        // A look is what it rests on, if there was one: it may have been reaped right after that.
        let at = heard.looked_at.unwrap_or(heard.finding.at);
        if self.ended(heard.finding.process.key, kernel).is_none_or(|ended| ended > at) {
            Some("it had not ended")
        } else if told.released.is_some_and(|released| released < at) {
            Some("it had been reaped")
        } else if !is_debtor.contains(&debtor) {
            Some("that one does not owe it a wait")
        } else {
            None
        }
    }

    fn wrong_orphan(
        &self,
        child: ProcKey,
        (from, has_ended): (ProcKey, bool),
        to: ProcKey,
        class: &str,
        known: &str,
        is_certain: bool,
    ) -> Option<&'static str> {
        let Some(told) = self.told.get(&child) else { return Some("nobody knows the process") };
        let parent = self.told.get(&from);
        let is_thread = class == AdopterClass::Thread.id();
        // The world that loses nothing may not have looked yet; if it has, it knows of every step.
        let mut handed_on = self
            .adoptions
            .range((child, from, ProcKey::default())..)
            .map_while(|&(of, by, to)| (of == child && by == from).then_some(to));
        let is_otherwise = handed_on.clone().next().is_some() && handed_on.all(|other| other != to);
        // A prediction that could not be seen to come true stands for the parent that it named.
        let is_expected = self.told.values().any(|other| other.expected.contains(&from.tgid));
        if !told.parents.contains(&from.tgid) && !is_expected {
            Some("it never was that one's child")
        } else if known != Known::Predicted.id() && !told.parents.contains(&to.tgid) {
            Some("that one never was its parent")
        } else if !is_thread && !has_ended {
            Some("its parent has not ended")
        } else if is_thread && (from != to || parent.is_none_or(|parent| !parent.has_lost_thread)) {
            Some("its parent has lost no thread")
        } else if is_certain && is_otherwise {
            Some("it was handed on otherwise")
        } else {
            None
        }
    }
}
