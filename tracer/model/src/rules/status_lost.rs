//! `status-lost`: whoever waits for a process cannot learn how it ended.

use crate::{
    change::{Change, StatusLost, Topic, WhyLost},
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    rules::{Opinion, Rule, words},
    signal::Signal,
    thresholds::Thresholds,
    time::Seq,
    world::{Inherited, World},
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

    fn topics(&self) -> &'static [Topic] {
        &[Topic::StatusLost]
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
        WhyLost::Ignored { from_start: true } => format!("{parent_name} ignores SIGCHLD"),
        WhyLost::Ignored { from_start: false } => format!("{parent_name} has the kernel keep none"),
        WhyLost::Taken { .. } => format!("another thread of {parent_name} took it"),
    };
    let inherited = world.get(parent.key).and_then(|process| world.inherited(process, Signal::CHLD));
    let giver = match inherited {
        Some(Inherited { from, .. }) if from.key == parent.key => format!("{}, its former program", from.comm),
        Some(Inherited { from, .. }) => words::short(&from),
        None => "whoever started it".to_owned(),
    };
    let cause = match why {
        WhyLost::Ignored { from_start: true } => {
            format!("SIGCHLD was already ignored when its program was executed: it inherited that from {giver}")
        }
        WhyLost::Ignored { from_start: false } => {
            "it has set SIGCHLD to be ignored, or SA_NOCLDWAIT, by its program's own choice".to_owned()
        }
        WhyLost::Taken { tid, call } => format!("thread {tid} took the status, by {}", call.id()),
    };
    let waits = waiter.map(|tid| format!("thread {tid} of it waits for the status, and gets ECHILD"));
    let comm = parent.comm;
    let fixes = match why {
        WhyLost::Ignored { from_start } => {
            let mut fixes = vec![format!("have {comm} set SIGCHLD to SIG_DFL before it starts what it waits for")];
            if from_start {
                let giver = inherited.map_or_else(|| format!("whoever starts {comm}"), |of| of.from.comm.to_string());
                fixes.push(format!("have {giver} not ignore SIGCHLD (env --default-signal=CHLD COMMAND)"));
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

    #[test]
    fn nobody_wants_the_status_of_an_orphan() {
        let mut story = family(CHLD);
        story
            .fork(born(19, 10))
            .fork(born(21, 19))
            .exit(Exit { autoreap: true, ..end(19, 10, Adopter::Subreaper(task(10))) });
        story.free(19).wait(20, &[(21, b'S', 10)]);
        story.exit(Exit { status: ExitStatus(3 << 8), autoreap: true, ..end(21, 10, Adopter::None) });
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn whoever_handed_it_on_is_named() {
        let mut story = Story::new();
        story.fork(born(9, 1)).exec(9, "ci-runner").fork(born(10, 9)).event(EventKind::Exec(Box::new(Exec {
            task: task(10),
            comm: "python3".into(),
            old_tid: 10,
            args: args("python3"),
            mount_ns: 0,
            ignored: Some(CHLD),
        })));
        story.fork(born(20, 10)).exec(20, "sh");
        waits(&mut story, 10, true).exit(ignored(3 << 8));
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(finding.message().contains("ci-runner (pid 9)"), "{}", finding.message());
    }

    #[test]
    fn who_wants_no_zombies_need_not_ignore_the_signal() {
        let mut story = family(0);
        waits(&mut story, 10, true).exit(ignored(3 << 8));
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(!finding.headline.contains("ignores SIGCHLD"), "{}", finding.headline);
        assert!(finding.message().contains("SA_NOCLDWAIT"), "{}", finding.message());
    }
}
