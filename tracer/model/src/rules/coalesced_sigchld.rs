//! `coalesced-sigchld`: SIGCHLDs merged, so a parent that waits once for each of them leaves zombies.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::ProcKey,
    rules::{Opinion, Rule, Wanted, unreaped_child::hindrance, words},
    signal::{Signal, Verdict},
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Death, Merged, Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("zombies", Kind::Count, "children that it has not reaped"),
    FactDef::new(
        "merged",
        Kind::Count,
        "SIGCHLDs to `process` that merged with one that was already pending; a lower bound",
    ),
    FactDef::new("reaped", Kind::Count, "children that it has reaped since the first of those"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "coalesced-sigchld",
    severity: Severity::Warning,
    about: About::Zombie,
    summary: "children ended together, their SIGCHLDs merged, and the parent's handler reaped only some of them",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("coalesced_sigchld.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(Coalesced { after: thresholds.unreaped_after })
}

struct Coalesced {
    after: Span,
}

/// How far from the merged SIGCHLDs a child may end and still count as one that they announced.
const TOGETHER: Span = Span::seconds(1);
/// How many zombies are looked at.
const LOOKED_AT: usize = 64;

impl Rule for Coalesced {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        match change {
            Change::Signalled(signalled)
                if signalled.signal == Signal::CHLD
                    && signalled.verdict == Verdict::Merged
                    && world.get(signalled.target.key).is_some_and(|target| target.merged.is_some()) =>
            {
                // A moment later than the child: that one ended first.
                Opinion::Recheck(world.now() + self.after, signalled.target.key)
            }
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        world
            .unreaped(key, Span::ZERO)
            .take(LOOKED_AT)
            .map(|(zombie, _)| Wanted::Look(zombie.key))
            .chain([Wanted::Held(key)])
            .collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some((parent, merged, zombies)) = left(world, key, self.after) else { return Opinion::Quiet };
        // Those that ended with the first of them are of the same story.
        let with_first = |death: &Death| death.at <= merged.since + TOGETHER;
        let ends = world.unreaped(key, Span::ZERO).filter(|(_, death)| with_first(death));
        let due = ends.map(|(zombie, death)| zombie.owed_since(death) + self.after).max();
        if let Some(due) = due.filter(|&due| due > world.now()) {
            return Opinion::Recheck(due, key);
        }
        let name = parent.identity();
        let reaped = parent.reaping().count.saturating_sub(merged.reaped_before);
        let count = |n| words::count(n, "child", "children");
        Opinion::Found(Box::new(Finding {
            headline: format!(
                "{} left {} unreaped: their SIGCHLDs merged, and it reaps one per SIGCHLD",
                words::short(&name),
                count(zombies)
            ),
            notes: vec![
                Note::new(
                    "SIGCHLD",
                    format!(
                        "at least {} merged with one that was pending: the kernel keeps only one at a time",
                        merged.count
                    ),
                ),
                Note::new("reaped", format!("{} since then; it reaps one more at each further SIGCHLD", count(reaped))),
            ],
            fixes: vec![format!(
                "have the SIGCHLD handler of {} call waitpid(-1, …, WNOHANG) in a loop until it returns 0 or fails with \
                 ECHILD, not just once per signal",
                name.comm
            )],
            evidence: vec![merged.seq],
            facts: Facts::of(
                FACTS,
                [("zombies", zombies.into()), ("merged", merged.count.into()), ("reaped", reaped.into())],
            ),
            ..Finding::new(&DEF, world.now(), merged.since, name)
        }))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let parent = open.process;
        let lasted = seconds(world.now() - open.since);
        match change {
            Change::Died { key, .. } if *key == parent.key => Some(format!("{} has ended", words::short(&parent))),
            Change::Reaped { .. } if world.unreaped(parent.key, Span::ZERO).next().is_none() => {
                Some(format!("all children of {} that had ended were reaped after {lasted}", words::short(&parent)))
            }
            _ => None,
        }
    }

    fn wrong(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let parent = open.process;
        let Change::Reaped { by, .. } = *change else { return None };
        let is_passed_over = || has_passed_over(world, parent.key).next().is_some();
        (by == Some(parent.key) && is_passed_over()).then(|| {
            format!(
                "{} has reaped a child that ended later and left these: merged SIGCHLDs are not why",
                words::short(&parent)
            )
        })
    }

    fn speaks_for(&self, whole: &Finding, part: &Finding) -> bool {
        let is_adopted = part.facts.word("blame").starts_with("adopted");
        part.facts.own(Role::Debtor).is_some() && !is_adopted && part.part_of() == Some(whole.process.key)
    }
}

/// Zombies of a parent that it has not waited for, although it has waited for others since.
pub(super) fn has_passed_over(world: &World, parent: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
    let is_suspect = world.get(parent).is_some_and(|parent| parent.merged.is_some());
    let zombies = is_suspect.then(|| world.unreaped(parent, Span::ZERO)).into_iter().flatten();
    zombies.filter(|(zombie, death)| world.is_passed_over(zombie, death)).map(|(zombie, _)| zombie.key)
}

/// Whether merged SIGCHLDs can be why a process does not wait for a zombie. Who has adopted it and was never seen to
/// wait for any such may wait for its own children only.
pub(super) fn can_explain(parent: &Process, zombie: &Process) -> bool {
    parent.reaping().adopted || zombie.present_adoption().is_none()
}

/// How many zombies, unreaped for at least `after`, a parent has because their SIGCHLDs merged and it waits once per
/// SIGCHLD. Inferred: it has reaped some children since, one of them when it had left another; and all that it left
/// ended around the merge.
pub(super) fn left(world: &World, parent: ProcKey, after: Span) -> Option<(&Process, Merged, u64)> {
    let process = world.get(parent)?;
    let merged = process.merged?;
    // It cannot wait now: nobody knows what it would do.
    if hindrance(world, process, after).is_some_and(|(_, lasts)| lasts) {
        return None;
    }
    let together = merged.since - TOGETHER..=merged.last + TOGETHER;
    let (mut zombies, mut is_left) = (0, false);
    for (zombie, death) in world.unreaped(parent, after).filter(|(zombie, _)| can_explain(process, zombie)) {
        if !together.contains(&death.at) || world.is_passed_over(zombie, death) {
            return None;
        }
        zombies += 1;
        // Whoever reaps all that there are leaves none of those.
        is_left |= death.at <= process.reaping().last;
    }
    (is_left && process.reaping().count > merged.reaped_before && process.death().is_none())
        .then_some((process, merged, zombies))
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::finding::Stage;
    use crate::{
        event::{Adopter, EventKind, Exit, SignalSent, Survey, Surveyed, TaskInfo},
        ident::TaskRef,
        story::{Story, born, end, key, kill, task},
        time::BootNs,
    };

    /// Children of 10 end together; their SIGCHLDs merge.
    fn burst() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1));
        for pid in 100..120 {
            story.fork(born(pid, 10));
        }
        for pid in 100..120 {
            story.exit(end(pid, 10, Adopter::None));
            let flags = bit::GROUP | bit::HANDLER;
            story.signal(SignalSent { code: 1, flags, result: 2, ..kill(pid, 10, Signal::CHLD) });
        }
        story
    }

    fn wait(story: &mut Story, ms: u64) -> Vec<(&'static str, Stage)> {
        let left: Vec<_> =
            story.world().unreaped(key(10), Span::ZERO).map(|(zombie, _)| (zombie.key.tgid, b'Z', 10)).collect();
        story.wait(ms, &[&[(10, b'S', 1)], left.as_slice()].concat());
        story.found.drain(..).map(|finding| (finding.rule.name, finding.stage)).collect()
    }

    #[test]
    fn a_handler_that_waits_once_for_each_signal_leaves_zombies() {
        let mut story = burst();
        story.free(100).free(101);
        assert_eq!(wait(&mut story, 2_001), [("coalesced-sigchld", Stage::New)]);
        for pid in 102..120 {
            story.free(pid);
        }
        assert_eq!(story.only().stage, Stage::Resolved);
    }

    #[test]
    fn who_waits_for_none_or_for_all_is_another_story() {
        let mut none = burst();
        assert_eq!(wait(&mut none, 2_001), [("zombie-leak", Stage::New)]);
        let mut all = burst();
        for pid in 100..120 {
            all.free(pid);
        }
        assert_eq!(wait(&mut all, 2_001), []);
    }

    /// The first of them has waited for too long before the last one has.
    #[test]
    fn those_that_end_within_a_moment_are_counted_together() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        (100..105).for_each(|pid| _ = story.fork(born(pid, 10)));
        for pid in 100..105 {
            story.exit(end(pid, 10, Adopter::None));
            merged(&mut story, pid, 1);
            assert_eq!(wait(&mut story, 100), []);
        }
        story.free(100);
        for _ in 0..30 {
            let left: Vec<_> = (101..105).map(|pid| (pid, b'Z', 10)).collect();
            story.wait(100, &[&[(10, b'S', 1)], left.as_slice()].concat());
        }
        let found = story.only();
        assert_eq!((found.rule.name, found.facts.count("zombies")), ("coalesced-sigchld", 4));
    }

    /// It reaps the one before at the end of the next one.
    #[test]
    fn one_that_is_left_after_the_others_were_reaped_is_told_too() {
        let mut story = burst();
        story.fork(born(120, 10));
        (100..119).for_each(|pid| _ = story.free(pid));
        assert_eq!(wait(&mut story, 500), []);
        story.exit(end(120, 10, Adopter::None)).free(119);
        assert_eq!(wait(&mut story, 1_600), []);
        assert_eq!(wait(&mut story, 500), []);
        assert_eq!(wait(&mut story, 1), [("coalesced-sigchld", Stage::New)]);
    }

    /// A child of 10 that is made now, ends and is reaped.
    fn another(story: &mut Story, pid: u32) {
        let start = story.now;
        let key = ProcKey { start, tgid: pid };
        let of = TaskRef { key, tid: pid };
        story.fork(TaskInfo { key, ..born(pid, 10) }).exit(Exit { task: of, ..end(pid, 10, Adopter::None) });
        story.event(EventKind::Free(of));
    }

    #[test]
    fn who_then_reaps_a_later_child_does_not_wait_for_any() {
        let mut story = burst();
        (102..120).for_each(|pid| _ = story.free(pid));
        assert_eq!(wait(&mut story, 2_001), [("coalesced-sigchld", Stage::New)]);
        another(&mut story, 200);
        let withdrawn = story.only();
        assert_eq!((withdrawn.rule.name, withdrawn.stage), ("coalesced-sigchld", Stage::Withdrawn));
        assert!(withdrawn.fixes.is_empty() && withdrawn.headline.ends_with("are not why"), "{}", withdrawn.headline);
        assert_eq!(wait(&mut story, 100), [("unreaped-child", Stage::New); 2]);
        // It is said once.
        another(&mut story, 201);
        assert_eq!(wait(&mut story, 100), []);
    }

    #[test]
    fn orphans_of_an_init_that_waits_for_its_own_are_not_merged_signals() {
        let mut story = Story::new();
        story.fork(born(10, 1)).event(EventKind::Survey(Box::new(Survey {
            began: BootNs::MAX,
            found: vec![Surveyed { key: key(10), tracer: None, subreaper: true }],
        })));
        // 20 leaves three children to it, and ends with them and some of its own.
        story.fork(born(20, 10));
        (30..33).for_each(|pid| _ = story.fork(born(pid, 20)));
        (40..43).for_each(|pid| _ = story.fork(born(pid, 10)));
        story.exit(end(20, 10, Adopter::Subreaper(task(10))));
        for pid in (30..33).chain(40..43) {
            story.exit(end(pid, 10, Adopter::None));
            story.signal(SignalSent {
                code: 1,
                flags: bit::GROUP | bit::HANDLER,
                result: 2,
                ..kill(pid, 10, Signal::CHLD)
            });
        }
        story.free(20).free(40).free(41).free(42);
        let told = wait(&mut story, 2_500);
        assert!(told.contains(&("unreaped-child", Stage::New)), "{told:?}");
        assert!(told.iter().all(|(rule, _)| *rule != "coalesced-sigchld"), "{told:?}");
    }

    /// A SIGCHLD of a child of 10 merges: it has ended, been stopped, …
    fn merged(story: &mut Story, pid: u32, code: i32) {
        let flags = bit::GROUP | bit::HANDLER;
        story.signal(SignalSent { code, flags, result: 2, ..kill(pid, 10, Signal::CHLD) });
    }

    /// The end of a child of 10 at which its SIGCHLD merges.
    fn merges(story: &mut Story, pid: u32) {
        story.fork(born(pid, 10)).exit(end(pid, 10, Adopter::None));
        merged(story, pid, 1);
    }

    #[test]
    fn what_tells_of_a_stop_is_no_end_that_was_lost() {
        for (code, want) in [(1, "coalesced-sigchld"), (5, "unreaped-child")] {
            let mut story = Story::new();
            story.fork(born(10, 1));
            (100..103).for_each(|pid| _ = story.fork(born(pid, 10)));
            (0..3).for_each(|_| merged(&mut story, 102, code));
            story.exit(end(100, 10, Adopter::None)).exit(end(101, 10, Adopter::None)).free(100);
            assert_eq!(wait(&mut story, 2_500), [(want, Stage::New)]);
        }
    }

    #[test]
    fn who_reaps_all_that_there_are_and_then_none_does_not_wait_once_for_each() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        (100..110).for_each(|pid| merges(&mut story, pid));
        (100..110).for_each(|pid| _ = story.free(pid));
        story.wait(200, &[(10, b'S', 1)]);
        (110..114).for_each(|pid| merges(&mut story, pid));
        let told = wait(&mut story, 2_500);
        assert!(told.contains(&("unreaped-child", Stage::New)), "{told:?}");
        assert!(told.iter().all(|(rule, _)| *rule != "coalesced-sigchld"), "{told:?}");
    }

    #[test]
    fn who_is_stopped_meanwhile_may_reap_them_all_later() {
        let mut story = burst();
        (100..116).for_each(|pid| _ = story.free(pid));
        story.wait(2_100, &[(10, b'T', 1), (116, b'Z', 10), (117, b'Z', 10), (118, b'Z', 10), (119, b'Z', 10)]);
        let told: Vec<_> = story.found.drain(..).collect();
        assert!(!told.is_empty() && told.iter().all(|finding| finding.rule.name == "unreaped-child"), "{told:#?}");
        assert!(told.iter().all(|finding| finding.facts.word("blame") == "parent stopped"), "{told:#?}");
    }
}
