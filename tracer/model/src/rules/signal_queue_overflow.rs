//! `signal-queue-overflow`: the kernel had no room to queue a signal, or its siginfo.

use crate::{
    change::{Change, Signalled, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    rules::{Opinion, Rule, words},
    signal::{self, Sender},
    summary::seconds,
    thresholds::Thresholds,
    time::Seq,
    world::{Overflow, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal").role(Role::Signal),
    FactDef::new("sender", Kind::Sender, "who sent the last of them").role(Role::Sender),
    FactDef::new("lost", Kind::Count, "how many were lost since `since`; a lower bound unless `all_signals` is true"),
    FactDef::new("siginfo_lost", Kind::Count, "how many lost only their siginfo, likewise"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-queue-overflow",
    severity: Severity::Warning,
    about: About::Dropped,
    summary: "a signal was lost, or its sender and value, because too many signals are queued already",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("signal_queue_overflow.md"),
};

pub(super) fn make(_: &Thresholds) -> Box<dyn Rule> {
    Box::new(SignalQueueOverflow)
}

struct SignalQueueOverflow;

impl Rule for SignalQueueOverflow {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let Change::Signalled(sent) = change else { return Opinion::Quiet };
        if !matches!(sent.verdict, signal::Verdict::QueueOverflow | signal::Verdict::InfoLost) {
            return Opinion::Quiet;
        }
        // Nothing is counted for an unknown process.
        let Some(overflow) = world.overflow(sent.target.key, sent.signal) else { return Opinion::Quiet };
        // The first, the tenth, the hundredth: a sender that finds the queue full often tries again at once.
        if !is_power_of_ten(overflow.lost + overflow.siginfo_lost) {
            return Opinion::Quiet;
        }
        let Overflow { signal, since, seq: first, lost, siginfo_lost } = *overflow;
        Opinion::Found(Box::new(Finding {
            headline: headline(world, sent, overflow),
            notes: notes(sent, overflow),
            fixes: vec![
                format!("have {} take its signals sooner and not block them for long", sent.target.comm),
                format!(
                    "raise the limit (ulimit -i, LimitSIGPENDING=); SigQ in /proc/{}/status shows how many signals are \
                     queued for its user, and the limit",
                    sent.target.key.tgid
                ),
                "if one notification is as good as many, send a signal below SIGRTMIN, which cannot be lost".to_owned(),
            ],
            evidence: Some(first).filter(|&first| first != seq).into_iter().chain([seq]).collect(),
            facts: Facts::of(
                FACTS,
                [
                    ("signal", signal.into()),
                    ("sender", sent.sender.into()),
                    ("lost", lost.into()),
                    ("siginfo_lost", siginfo_lost.into()),
                ],
            ),
            // Certain: the tracepoint itself reports what the kernel decided.
            ..Finding::new(&DEF, world.now(), since, sent.target)
        }))
    }
}

fn is_power_of_ten(n: u64) -> bool {
    n.checked_ilog10().is_some_and(|digits| n == 10_u64.pow(digits))
}

fn headline(world: &World, sent: &Signalled, overflow: &Overflow) -> String {
    let Signalled { signal, target, verdict, .. } = sent;
    let Overflow { since, lost, siginfo_lost, .. } = *overflow;
    let target = words::short(target);
    if lost + siginfo_lost == 1 {
        return match verdict {
            signal::Verdict::QueueOverflow => format!("{signal} to {target} was lost: too many signals are queued"),
            _ => format!("{signal} to {target} lost its sender and its value: too many signals are queued"),
        };
    }
    let within = seconds(world.now() - since);
    match (lost, siginfo_lost) {
        (0, torn) => {
            let times = words::count(torn, "time", "times");
            format!("{signal} to {target} lost its sender and its value at least {times} within {within}")
        }
        (lost, _) => {
            let times = words::count(lost, "time", "times");
            format!("{signal} to {target} was lost at least {times} within {within}")
        }
    }
}

fn notes(sent: &Signalled, overflow: &Overflow) -> Vec<Note> {
    let Signalled { sender, target, verdict, .. } = sent;
    let Overflow { lost, siginfo_lost, .. } = *overflow;
    let got = match (sender, verdict) {
        (Sender::Process(_), signal::Verdict::QueueOverflow) => ", which got EAGAIN",
        _ => "",
    };
    let from = if lost + siginfo_lost == 1 { "sent by" } else { "last from" };
    let torn = match (lost, siginfo_lost) {
        (_, 0) => String::new(),
        (0, 1) => "who sent it, and the value sent with it".to_owned(),
        (_, n) => format!("at least {} without sender and value", words::count(n, "more came", "more came")),
    };
    let notes = [
        Some(Note::new(from, format!("{}{got}", words::from(sender, target)))),
        Note::maybe("missing", torn),
        Some(Note::new("limit", "RLIMIT_SIGPENDING, which counts the queued signals of all processes of its user")),
    ];
    notes.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::SignalSent,
        signal::Signal,
        story::{Story, born, kill},
    };

    const SIGNAL: Signal = Signal(35);
    const OVERFLOW_FAIL: u8 = 3;
    const LOSE_INFO: u8 = 4;

    /// 2 sends to 10.
    fn story() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "sender").fork(born(10, 1)).exec(10, "server");
        story
    }

    fn sent(result: u8) -> SignalSent {
        let flags = tracer_common::record::signal_flags::HANDLER;
        SignalSent { code: -1, flags, result, ..kill(2, 10, SIGNAL) }
    }

    fn counts(story: &mut Story) -> Vec<(u64, u64)> {
        let count = |finding: Finding| (finding.facts.count("lost"), finding.facts.count("siginfo_lost"));
        story.found.drain(..).map(count).collect()
    }

    #[test]
    fn a_lost_signal_is_told_of_with_its_sender() {
        let finding = story().signal(sent(OVERFLOW_FAIL)).only();
        assert_eq!(finding.process.key.tgid, 10);
        assert_eq!(finding.headline, "SIGRTMIN+1 to server (pid 10) was lost: too many signals are queued");
        assert!(finding.message().contains("Sent by: sender (pid 2), which got EAGAIN."), "{}", finding.message());
        assert_eq!(finding.facts.process("sender").map(|sender| sender.key.tgid), Some(2));
    }

    #[test]
    fn a_lost_siginfo_is_told_apart() {
        let finding = story().signal(sent(LOSE_INFO)).only();
        assert!(finding.headline.contains("lost its sender and its value"), "{}", finding.headline);
    }

    #[test]
    fn a_thousand_are_four_findings() {
        let mut story = story();
        for _ in 0..1_000 {
            story.signal(sent(OVERFLOW_FAIL));
        }
        let said = "SIGRTMIN+1 to server (pid 10) was lost at least 1000 times within ";
        assert!(story.found[3].headline.starts_with(said), "{}", story.found[3].headline);
        assert_eq!(story.found[3].evidence.len(), 2);
        assert_eq!(counts(&mut story), [(1, 0), (10, 0), (100, 0), (1_000, 0)]);
    }

    #[test]
    fn each_signal_and_each_target_is_counted_for_itself() {
        let mut story = story();
        story.fork(born(11, 1));
        story.signal(sent(OVERFLOW_FAIL)).signal(SignalSent { signal: Signal(36), ..sent(OVERFLOW_FAIL) });
        story.signal(SignalSent { target: crate::story::task(11), ..sent(LOSE_INFO) });
        assert_eq!(counts(&mut story), [(1, 0), (1, 0), (0, 1)]);
    }

    #[test]
    fn what_is_accepted_merged_or_refused_is_no_overflow() {
        let mut story = story();
        for result in 0..3 {
            story.signal(sent(result));
        }
        // Nobody is left to whom it could matter.
        story.signal(SignalSent { flags: tracer_common::record::signal_flags::DYING, ..sent(LOSE_INFO) });
        assert_eq!(counts(&mut story), []);
    }
}
