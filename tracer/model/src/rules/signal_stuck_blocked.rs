//! `signal-stuck-blocked`: a signal waits, because its target blocks it.

use crate::{
    change::{Change, Signalled, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::ProcKey,
    rules::{Opinion, Rule, Wanted, held::Why, words},
    signal::Verdict,
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Process, Waiting, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that waits").role(Role::Signal).subject(),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("age_ns", Kind::Span, "how long it has waited").role(Role::Cost),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-stuck-blocked",
    severity: Severity::Info,
    about: About::Dropped,
    summary: "a signal that should end or stop a process waits, because the process blocks it",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("signal_stuck_blocked.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(StuckBlocked { after: thresholds.stuck_blocked_after })
}

struct StuckBlocked {
    after: Span,
}

impl Rule for StuckBlocked {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        match change {
            Change::Signalled(signalled) => match &**signalled {
                Signalled { verdict: Verdict::Queued | Verdict::Delivered, target, signal, .. }
                    if world.waits(target.key, *signal) =>
                {
                    Opinion::Recheck(world.now() + self.after, target.key)
                }
                _ => Opinion::Quiet,
            },
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        let waiting = world.waiting(key).iter().map(|waiting| Wanted::Masks(waiting.target));
        waiting.chain([Wanted::Held(key)]).collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key).filter(|process| process.death().is_none()) else { return Opinion::Quiet };
        Opinion::Each(world.waiting(key).iter().map(|waiting| self.judge(world, process, waiting)).collect())
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let signal = open.facts.signal("signal")?;
        let (key, name) = (open.process.key, words::short(&open.process));
        let lasted = seconds(world.now() - open.since);
        match change {
            Change::Taken(taken) if taken.signal == signal => Some(format!("{name} has taken {signal} after {lasted}")),
            // By sigwait(3), or a signalfd(2), no event tells of that; or the signal was dropped, as it is ignored now.
            Change::Masked(of) if *of == key && !world.waits(key, signal) => {
                Some(format!("{signal} is not pending for {name} any more"))
            }
            Change::Died { key: of, .. } if *of == key => Some(format!("{name} has ended, {lasted} after {signal}")),
            _ => None,
        }
    }
}

impl StuckBlocked {
    fn judge(&self, world: &World, process: &Process, waiting: &Waiting) -> Opinion {
        let Waiting { signal, sender, target, at, seq, masks } = *waiting;
        let due = at + self.after;
        if world.now() < due {
            return Opinion::Recheck(due, target.key);
        }
        // Where its signals cannot be looked at, nobody knows.
        let Some((_, masks)) = masks.filter(|&(looked, _)| looked >= due) else { return Opinion::Quiet };
        let name = process.identity();
        let age_ns = world.now() - at;
        // What it blocks it does not take when it wakes up either.
        let why = match Why::of(world, process) {
            Why::Asleep if signal.is_in(masks.blocked) => Why::Busy,
            why => why,
        };
        // What would stop it has nothing to do, and is dropped when it is continued (`prepare_signal()`).
        if matches!(why, Why::Stopped | Why::Traced(_)) && signal.is_stop() {
            return Opinion::Quiet;
        }
        let pid = target.key.tgid;
        let (briefly, state, fixes) = match why {
            Why::Busy => {
                let (briefly, state) = if signal.is_in(masks.blocked) {
                    ("the process blocks it", "it blocks the signal, which has no effect until it is unblocked")
                } else {
                    ("the process has not taken it", "it has not taken the signal, which has no effect until then")
                };
                let fixes = vec![
                    format!("unblock {signal} where the program waits (sigprocmask, pthread_sigmask, ppoll)"),
                    "take it there (sigwait, signalfd)".to_owned(),
                    "if its parent blocked it, have the parent unblock all signals before exec: the mask is inherited"
                        .to_owned(),
                    format!("kill -KILL {pid} ends it in any case"),
                ];
                (briefly.to_owned(), state.to_owned(), fixes)
            }
            Why::Stopped => {
                let fixes = vec![
                    format!("continue it (kill -CONT {pid}, or `fg` in its shell): it takes {signal} then"),
                    format!("kill -KILL {pid} ends it as it is"),
                ];
                (why.briefly(), why.in_full(process), fixes)
            }
            Why::Frozen(_) | Why::Traced(_) | Why::Asleep => (why.briefly(), why.in_full(process), why.fixes(process)),
        };
        Opinion::Found(Box::new(Finding {
            headline: format!(
                "{signal} to {} has been pending for {}: {briefly}",
                words::short(&name),
                seconds(age_ns)
            ),
            notes: vec![
                Note::new("sent by", words::from(&sender, &name)),
                Note::new("sent to", words::who(&name)),
                Note::new("state", state),
            ],
            fixes,
            evidence: vec![seq],
            facts: Facts::of(FACTS, [("signal", signal.into()), ("sender", sender.into()), ("age_ns", age_ns.into())]),
            ..Finding::new(&DEF, world.now(), at, name)
        }))
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::finding::Stage;
    use crate::{
        event::{Adopter, EventKind, Held, Masks, SignalSent},
        signal::Signal,
        story::{Story, born, end, kill, task},
    };

    const TERM: u64 = 1 << 14;

    /// 20 blocks SIGTERM, which 10 has sent.
    fn sent() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1));
        story.signal(SignalSent { flags: bit::GROUP | bit::BLOCKED, ..kill(10, 20, Signal::TERM) });
        story
    }

    fn look(story: &mut Story, ms: u64, masks: Masks) {
        story.now += ms * crate::story::MS;
        assert!(story.detector.due(story.now, 0).contains(&Wanted::Masks(task(20))));
        story.look(20, Some((b'S', 1))).event(EventKind::Masks(task(20), Some(masks))).event(EventKind::Tick);
    }

    #[test]
    fn it_is_found_when_it_still_waits_and_is_over_when_the_process_ends() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        let finding = story.only();
        assert_eq!(finding.headline, "SIGTERM to p20 (pid 20) has been pending for 10.0 s: the process blocks it");
        assert!(finding.message().contains("Sent by: p10 (pid 10)."), "{}", finding.message());
        story.exit(end(20, 1, Adopter::None));
        assert_eq!(story.found.pop().unwrap().stage, Stage::Resolved);
    }

    #[test]
    fn what_was_taken_meanwhile_is_quiet() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { blocked: TERM, ..Masks::default() });
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn it_is_over_when_it_was_taken_without_a_word() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        story.found.clear();
        look(&mut story, 60_000, Masks { blocked: TERM, ..Masks::default() });
        assert_eq!(story.only().stage, Stage::Resolved);
    }

    #[test]
    fn each_signal_that_waits_is_told_and_one_that_was_taken_hides_none() {
        const USR1: u64 = 1 << 9;
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1));
        for signal in [Signal(10), Signal::TERM, Signal::TSTP] {
            story.signal(SignalSent { flags: bit::GROUP | bit::BLOCKED, ..kill(10, 20, signal) });
        }
        look(&mut story, 10_000, Masks { shared_pending: TERM | 1 << 19, blocked: TERM | USR1, ..Masks::default() });
        let signals = |story: &mut Story| {
            let of = |finding: Finding| (finding.facts.signal("signal").unwrap(), finding.stage);
            story.found.drain(..).map(of).collect::<Vec<_>>()
        };
        assert_eq!(signals(&mut story), [(Signal::TERM, Stage::New), (Signal::TSTP, Stage::New)]);
        look(&mut story, 60_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        assert_eq!(signals(&mut story), [(Signal::TSTP, Stage::Resolved), (Signal::TERM, Stage::Ongoing)]);
        story.exit(end(20, 1, Adopter::None));
        assert_eq!(signals(&mut story), [(Signal::TERM, Stage::Resolved)]);
    }

    #[test]
    fn one_that_was_taken_and_sent_again_has_waited_since_then_only() {
        let mut story = sent();
        story.wait(9_000, &[(20, b'S', 1)]);
        story.signal(SignalSent { flags: bit::GROUP | bit::BLOCKED, ..kill(10, 20, Signal::TERM) });
        look(&mut story, 1_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn a_handled_signal_waits_too_for_who_is_frozen() {
        for (pending, is_found) in [(TERM, true), (0, false)] {
            let mut story = Story::new();
            story.fork(born(10, 1)).fork(born(20, 1));
            story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(10, 20, Signal::TERM) });
            let frozen = "/sys/fs/cgroup/freezer/a/freezer.state".to_owned();
            let held = Box::new(Held { state: "D".into(), frozen, ..Held::default() });
            story.now += Span::seconds(10);
            story.event(EventKind::Held(task(20).key, held));
            look(&mut story, 0, Masks { shared_pending: pending, ..Masks::default() });
            assert_eq!(story.found.len(), usize::from(is_found));
            for finding in story.found.drain(..) {
                assert!(finding.headline.ends_with("its control group is frozen"), "{}", finding.headline);
                assert!(finding.fix().starts_with("thaw it (echo THAWED"), "{}", finding.fix());
            }
        }
    }

    #[test]
    fn who_is_stopped_is_to_be_continued() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1));
        for signal in [Signal::TERM, Signal::TSTP] {
            story.signal(SignalSent { flags: bit::GROUP | bit::STOPPED, ..kill(10, 20, signal) });
        }
        story.now += 10_000 * crate::story::MS;
        let masks = Masks { shared_pending: TERM | 1 << 19, ..Masks::default() };
        story.look(20, Some((b'T', 1))).event(EventKind::Masks(task(20), Some(masks))).event(EventKind::Tick);
        let finding = story.only();
        assert!(finding.headline.contains("SIGTERM"), "{}", finding.headline);
        assert!(finding.fix().starts_with("continue it (kill -CONT 20"), "{}", finding.fix());
    }

    #[test]
    fn what_is_not_pending_any_more_need_not_have_been_taken() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        story.found.clear();
        // It may have set the signal to be ignored, too.
        look(&mut story, 60_000, Masks { blocked: TERM, ..Masks::default() });
        let over = story.only();
        assert!(!over.headline.contains("has taken"), "{}", over.headline);
    }
}
