//! `signal-queue-overflow`: a queued signal was lost, or lost its siginfo.

use crate::{
    change::{Change, Signalled},
    finding::{Confidence, Detail, Finding, Severity, Stage},
    rules::{Rule, RuleDef, Verdict},
    signal::{self, Sender},
    summary::seconds,
    world::{Overflow, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-queue-overflow",
    severity: Severity::Warning,
    summary: "a signal was lost, or who sent it and its value, because too many signals wait already",
    lasts: false,
    explanation: include_str!("signal_queue_overflow.md"),
    make: |_| Box::new(SignalQueueOverflow),
};

struct SignalQueueOverflow;

impl Rule for SignalQueueOverflow {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        let Change::Signalled(sent) = change else { return Verdict::Quiet };
        if !matches!(sent.verdict, signal::Verdict::QueueOverflow | signal::Verdict::InfoLost) {
            return Verdict::Quiet;
        }
        // Of a process that is not known nothing was counted.
        let Some(overflow) = world.overflow(sent.target.key, sent.signal) else { return Verdict::Quiet };
        // The first, the tenth, the hundredth: who finds the queue full often tries again at once.
        if !is_power_of_ten(overflow.lost + overflow.siginfo_lost) {
            return Verdict::Quiet;
        }
        let Overflow { signal, since, seq: first, lost, siginfo_lost } = *overflow;
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
            at: world.now(),
            since,
            process: sent.target,
            // The kernel decided each in an event that was seen.
            confidence: Confidence::Certain,
            message: message(world, sent, overflow),
            fix: format!(
                "have {} take its signals sooner, and not block them for long; SigQ in /proc/{}/status shows how many \
                 wait for its user, and the limit, which can be raised (ulimit -i, LimitSIGPENDING=); where one \
                 notification is as good as many, a signal below SIGRTMIN cannot be lost",
                sent.target.comm, sent.target.key.tgid
            ),
            evidence: Some(first).filter(|&first| first != seq).into_iter().chain([seq]).collect(),
            detail: Detail::QueueOverflow { signal, sender: sent.sender, lost, siginfo_lost },
        }))
    }
}

fn is_power_of_ten(n: u64) -> bool {
    n.checked_ilog10().is_some_and(|digits| n == 10_u64.pow(digits))
}

fn message(world: &World, sent: &Signalled, overflow: &Overflow) -> String {
    let Signalled { signal, sender, target, verdict, .. } = sent;
    let Overflow { since, lost, siginfo_lost, .. } = *overflow;
    let why = "its user's processes have as many signals waiting as they may (RLIMIT_SIGPENDING)";
    let from = match sender {
        Sender::Process(sender) if sender.key == target.key => "itself".to_owned(),
        sender => sender.to_string(),
    };
    if lost + siginfo_lost > 1 {
        let within = seconds(world.now().saturating_sub(since));
        let what = match (lost, siginfo_lost) {
            (lost, 0) => format!("is being lost, at least {lost} times"),
            (0, torn) => format!("comes without its siginfo, at least {torn} times"),
            (lost, torn) => format!("is being lost, at least {lost} times, and came {torn} times without its siginfo"),
        };
        return format!("{signal} to {target} {what} within {within}, the last time from {from}: {why}.");
    }
    let got = if matches!(sender, Sender::Process(_)) { ", and the sender got EAGAIN" } else { "" };
    match verdict {
        signal::Verdict::QueueOverflow => format!("{signal} from {from} to {target} was lost{got}: {why}."),
        _ => format!("{signal} from {from} to {target} came, but not who sent it nor the value sent along: {why}."),
    }
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
        let count = |finding: Finding| match finding.detail {
            Detail::QueueOverflow { lost, siginfo_lost, .. } => (lost, siginfo_lost),
            other => panic!("{other:?}"),
        };
        story.found.drain(..).map(count).collect()
    }

    #[test]
    fn a_lost_signal_is_told_of_with_its_sender() {
        let finding = story().signal(sent(OVERFLOW_FAIL)).only();
        assert_eq!(finding.process.key.tgid, 10);
        assert!(
            finding
                .message
                .starts_with("SIGRTMIN+1 from sender (pid 2) to server (pid 10) was lost, and the sender got EAGAIN:")
        );
        assert!(matches!(finding.detail, Detail::QueueOverflow { sender: Sender::Process(_), .. }));
    }

    #[test]
    fn a_lost_siginfo_is_told_apart() {
        let finding = story().signal(sent(LOSE_INFO)).only();
        assert!(finding.message.contains("came, but not who sent it"), "{}", finding.message);
    }

    #[test]
    fn a_thousand_are_four_findings() {
        let mut story = story();
        for _ in 0..1_000 {
            story.signal(sent(OVERFLOW_FAIL));
        }
        assert!(
            story.found[3]
                .message
                .starts_with("SIGRTMIN+1 to server (pid 10) is being lost, at least 1000 times within ")
        );
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
