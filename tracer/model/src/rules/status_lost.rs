//! `status-lost`: whoever waits for a process cannot learn how it ended.

use crate::{
    change::{Change, StatusLost, WhyLost},
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    rules::{Opinion, Rule, words},
    thresholds::Thresholds,
    time::Seq,
    world::World,
};

const FACTS: &[FactDef] = &[
    FactDef::new("parent", Kind::Process, "the parent that cannot have it").role(Role::Party),
    FactDef::new("status", Kind::Status, "how the process ended").role(Role::Status),
    FactDef::new(
        "reason",
        Kind::Word(REASONS),
        "why it is lost: the parent has ignored SIGCHLD from its start, or \
        chose to; or another of its threads has taken the status",
    )
    .role(Role::Reason),
    FactDef::new("waiter_tid", Kind::Count, "the thread of the parent that waits in vain").nullable(),
    FactDef::new("taker_tid", Kind::Count, "the thread that has taken the status").nullable(),
    FactDef::alike(),
];

const REASONS: &[&str] = &["ignored-from-start", "ignored", "taken"];

pub(super) static DEF: RuleDef = RuleDef {
    name: "status-lost",
    severity: Severity::Warning,
    about: About::End,
    summary: "a process has failed, and its parent cannot learn that: its status is lost",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("status_lost.md"),
};

pub(super) fn make(_thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(Lost)
}

struct Lost;

impl Rule for Lost {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        match change {
            Change::StatusLost(lost) => Opinion::Found(Box::new(finding(world, lost))),
            _ => Opinion::Quiet,
        }
    }
}

fn finding(world: &World, lost: &StatusLost) -> Finding {
    let StatusLost { child, status, at, seq, parent, waiter, why } = *lost;
    let (name, parent_name) = (words::short(&child), words::short(&parent));
    let reason = match why {
        WhyLost::Ignored { from_start: true } => "ignored-from-start",
        WhyLost::Ignored { from_start: false } => "ignored",
        WhyLost::Taken { .. } => "taken",
    };
    let briefly = match why {
        WhyLost::Ignored { .. } => format!("{parent_name} ignores SIGCHLD"),
        WhyLost::Taken { .. } => format!("another thread of {parent_name} took it"),
    };
    let cause = match why {
        WhyLost::Ignored { from_start: true } => {
            "SIGCHLD was already ignored when its program was executed: it inherited that from whoever started it"
                .to_owned()
        }
        WhyLost::Ignored { from_start: false } => "SIGCHLD is ignored by the program's own choice".to_owned(),
        WhyLost::Taken { tid, call } => format!("thread {tid} took the status, by {}", call.id()),
    };
    let waits = waiter.map(|tid| format!("thread {tid} of it waits for the status, and gets ECHILD"));
    let comm = parent.comm;
    let fixes = match why {
        WhyLost::Ignored { from_start } => {
            let mut fixes = vec![format!("have {comm} set SIGCHLD to SIG_DFL before it starts what it waits for")];
            if from_start {
                fixes
                    .push(format!("have whoever starts {comm} not ignore SIGCHLD (env --default-signal=CHLD COMMAND)"));
            }
            fixes
        }
        WhyLost::Taken { .. } => vec![format!(
            "have {comm} wait for its children by their pids, each in one place: a wait for any child (waitpid(-1), a \
             library's SIGCHLD handler) takes the statuses that others wait for"
        )],
    };
    let notes = [
        Some(Note::new("process", words::who(&child))),
        Some(Note::new("parent", words::who(&parent))),
        Some(Note::new("why", cause)),
        waits.map(|waits| Note::new("waits", waits)),
    ];
    let confidence = match why {
        WhyLost::Ignored { from_start: true } if waiter.is_none() => {
            Confidence::Incomplete("its parent was not seen to wait for it, and may not want the status".to_owned())
        }
        _ => Confidence::Certain,
    };
    let taker = if let WhyLost::Taken { tid, .. } = why { Some(u64::from(tid)) } else { None };
    Finding {
        confidence,
        headline: format!("{name} {}, and its status is lost: {briefly}", words::ended(status)),
        notes: notes.into_iter().flatten().collect(),
        fixes,
        evidence: vec![seq],
        facts: Facts::of(
            FACTS,
            [
                ("parent", parent.into()),
                ("status", status.into()),
                ("reason", reason.into()),
                ("waiter_tid", waiter.map(u64::from).into()),
                ("taker_tid", taker.into()),
                ("alike", Some(vec![Part::Process(parent.key), Part::Status(status.0), Part::Word(reason)]).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), at, child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, Awaited, EventKind, Exec, Exit, ExitStatus, Reap, WaitCall},
        ident::TaskRef,
        story::{Story, args, born, end, key, task},
    };

    const CHLD: u64 = 1 << 16;

    /// A parent (10) that was executed with these signals ignored, and its child (20).
    fn family(ignored: u64) -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).event(EventKind::Exec(Box::new(Exec {
            task: task(10),
            comm: "python3".into(),
            old_tid: 10,
            args: args("python3"),
            mount_ns: 0,
            ignored: Some(ignored),
        })));
        story.fork(born(20, 10)).exec(20, "sh");
        story
    }

    fn waits(story: &mut Story, tid: u32, only: bool) -> &mut Story {
        let waiter = TaskRef { key: key(10), tid };
        story.event(EventKind::Awaited(Awaited { task: task(20), waiter, only }))
    }

    /// The end of a child of somebody who ignores SIGCHLD.
    fn ignored(status: i32) -> Exit {
        Exit { status: ExitStatus(status), autoreap: true, ..end(20, 10, Adopter::None) }
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    #[test]
    fn a_parent_that_has_it_from_its_start_and_waits_is_told() {
        for only in [true, false] {
            let mut story = family(CHLD);
            waits(&mut story, 10, only).exit(ignored(3 << 8));
            let [finding] = &found(&mut story)[..] else { panic!() };
            let want = "sh (pid 20) exited with code 3, and its status is lost: python3 (pid 10) ignores SIGCHLD";
            assert_eq!((&finding.headline[..], finding.confidence.clone()), (want, Confidence::Certain));
            assert_eq!(finding.facts.word("reason"), "ignored-from-start");
        }
        let mut silent = family(CHLD);
        silent.exit(ignored(9));
        assert!(matches!(found(&mut silent)[0].confidence, Confidence::Incomplete(_)), "nobody was seen to wait");
    }

    #[test]
    fn who_chose_to_ignore_it_is_told_only_if_it_waits_for_that_child() {
        for (only, is_found) in [(true, true), (false, false)] {
            let mut story = family(0);
            waits(&mut story, 10, only).exit(ignored(3 << 8));
            assert_eq!(found(&mut story).len(), usize::from(is_found));
        }
        let mut story = family(0);
        story.exit(ignored(3 << 8));
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn what_is_not_lost_or_not_worth_having_is_quiet() {
        let mut success = family(CHLD);
        waits(&mut success, 10, true).exit(ignored(0));
        assert!(found(&mut success).is_empty());
        let mut kept = family(CHLD);
        waits(&mut kept, 10, true).exit(Exit { autoreap: false, ..ignored(3 << 8) });
        assert!(found(&mut kept).is_empty(), "it has a handler by now");
    }

    #[test]
    fn a_status_that_another_thread_took_is_told() {
        for (tid, is_found) in [(12, true), (11, false)] {
            let mut story = family(0);
            waits(&mut story, 11, true).exit(Exit { autoreap: false, ..ignored(3 << 8) });
            let reaper = TaskRef { key: key(10), tid };
            story.event(EventKind::Reap(Reap { task: task(20), reaper, call: Some(WaitCall::Wait4) }));
            let found = found(&mut story);
            assert_eq!(found.len(), usize::from(is_found));
            assert!(found.iter().all(|finding| finding.message().contains("thread 12 took the status, by wait4")));
        }
    }
}
