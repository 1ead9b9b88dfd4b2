//! `init-ignored-signal`: the kernel dropped a signal because its target is pid 1 of a namespace.

use crate::{
    change::{Change, Signalled},
    finding::{Confidence, Detail, Finding, Severity, Stage},
    ident::Identity,
    rules::{Rule, RuleDef, Verdict, killed_by::on_behalf},
    signal::{self, Sender, Signal},
    thresholds::Thresholds,
    world::World,
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "init-ignored-signal",
    severity: Severity::Warning,
    summary: "the kernel dropped a signal because its target is pid 1 of a pid namespace",
    lasts: false,
    explanation: include_str!("init_ignored_signal.md"),
    make: |_: &Thresholds| Box::new(InitIgnoredSignal),
};

struct InitIgnoredSignal;

impl Rule for InitIgnoredSignal {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        let (Change::Signalled(sent) | Change::Taken(sent)) = change else { return Verdict::Quiet };
        let reason = match sent.verdict {
            signal::Verdict::InitNoHandler | signal::Verdict::KillFromInside | signal::Verdict::DroppedAtDelivery => {
                sent.verdict.id()
            }
            _ => return Verdict::Quiet,
        };
        let Signalled { signal, sender, target, sent_at, sent_seq, .. } = **sent;
        let asked_by = sent.asked_by.clone();
        let evidence = sent_seq.filter(|&sent| sent != seq).into_iter().chain([seq]).collect();
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
            at: world.now(),
            since: sent_at.unwrap_or_else(|| world.now()),
            process: target,
            // The kernel decided this in the one event that was seen.
            confidence: Confidence::Certain,
            message: message(sent, &asked_by, world),
            fix: fix(sent).to_owned(),
            evidence,
            detail: Detail::IgnoredSignal { signal, sender, asked_by, reason },
        }))
    }
}

fn message(sent: &Signalled, asked_by: &[Identity], world: &World) -> String {
    let Signalled { signal, ref sender, target, verdict, .. } = *sent;
    let who = match sender {
        Sender::Process(identity) if identity.key == target.key => "itself".to_owned(),
        sender if asked_by.is_empty() => sender.to_string(),
        sender => format!("{sender}{},", on_behalf(asked_by)),
    };
    let of = if target.ns_level == 0 {
        "pid 1 of the host".to_owned()
    } else {
        format!("pid 1 of namespace {}", target.pid_ns)
    };
    let name = format!("{} (pid {})", target.comm, target.key.tgid);
    match verdict {
        signal::Verdict::KillFromInside if target.ns_level == 0 => {
            format!("{signal} from {who} to {name} did nothing: nobody can kill or stop {of}.")
        }
        signal::Verdict::KillFromInside => format!(
            "{signal} from {who} to {name} did nothing: it is {of}, and the kernel lets only an ancestor \
             namespace kill or stop it."
        ),
        signal::Verdict::DroppedAtDelivery => format!(
            "{signal} from {who} to {name} was accepted while blocked, then thrown away when it was unblocked: \
             it is {of} and has no handler for {signal}."
        ),
        _ => {
            let next = match (signal, world.get(target.key)) {
                (Signal::TERM | Signal::INT | Signal::QUIT, Some(_)) if target.ns_level > 0 => {
                    " Whoever waits for it to stop will wait in vain, then use SIGKILL."
                }
                _ => "",
            };
            format!(
                "{signal} from {who} to {name} did nothing: it is {of} and has no handler for {signal}, \
                 so the kernel dropped it.{next}"
            )
        }
    }
}

fn fix(sent: &Signalled) -> &'static str {
    match sent.verdict {
        signal::Verdict::KillFromInside if sent.target.ns_level == 0 => {
            "shut the machine down in its own way; pid 1 of a host cannot be killed"
        }
        signal::Verdict::KillFromInside => {
            "send it from outside the namespace (docker kill, kubectl delete pod, kill on the host), or send a \
             signal that the program handles"
        }
        _ => {
            "give the program a handler for it, set STOPSIGNAL to a signal that it handles, or run it below an init \
             (docker run --init, tini, shareProcessNamespace) so that it is not pid 1"
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::SignalSent,
        story::{Story, born, born_in, kill},
    };

    const NS: u32 = 4_026_532_500;

    /// `sleep` (10) as pid 1 of a namespace, `sh` (11) beside it, `bash` (2) on the host.
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "bash");
        story.fork(born_in(NS, 10, 1, 2)).exec(10, "sleep").fork(born_in(NS, 11, 2, 10)).exec(11, "sh");
        story
    }

    fn dropped(from: u32, signal: Signal) -> SignalSent {
        let sent = kill(from, 10, signal);
        SignalSent { result: 1, flags: sent.flags | bit::UNKILLABLE, ..sent }
    }

    fn reason(story: &mut Story) -> (&'static str, Sender, String) {
        let Finding { detail, message, confidence, .. } = story.only();
        assert_eq!(confidence, Confidence::Certain);
        let Detail::IgnoredSignal { reason, sender, .. } = detail else { panic!("{detail:?}") };
        (reason, sender, message)
    }

    #[test]
    fn a_signal_without_a_handler_is_reported_with_its_sender() {
        let mut story = container();
        story.signal(dropped(2, Signal::TERM));
        let (reason, sender, message) = reason(&mut story);
        assert_eq!(reason, "no-handler");
        assert!(matches!(sender, Sender::Process(who) if who.key.tgid == 2));
        assert!(message.starts_with("SIGTERM from bash (pid 2) to sleep (pid 10) did nothing"), "{message}");
    }

    #[test]
    fn a_kill_from_inside_is_told_apart() {
        let mut story = container();
        story.signal(dropped(11, Signal::KILL));
        assert_eq!(reason(&mut story).0, "kill-from-inside");
    }

    #[test]
    fn a_blocked_signal_is_reported_when_it_is_dropped_with_who_sent_it() {
        let mut story = container();
        let sent = kill(2, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::BLOCKED, ..sent });
        assert_eq!(story.rules(), [""; 0]);
        story.deliver(10, Signal::TERM, bit::UNKILLABLE);
        assert_eq!(story.found[0].evidence.len(), 2);
        let (reason, sender, _) = reason(&mut story);
        assert_eq!(reason, "dropped-at-delivery");
        assert!(matches!(sender, Sender::Process(who) if who.key.tgid == 2));
    }

    #[test]
    fn signals_that_queue_are_dropped_in_the_order_in_which_they_were_sent() {
        let mut story = container();
        let signal = Signal(40);
        for from in [2, 11] {
            let sent = kill(from, 10, signal);
            story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::BLOCKED, ..sent });
        }
        story.deliver(10, signal, bit::UNKILLABLE).deliver(10, signal, bit::UNKILLABLE);
        let senders = story.found.iter().map(|finding| match finding.detail {
            Detail::IgnoredSignal { sender: Sender::Process(who), .. } => who.key.tgid,
            _ => 0,
        });
        assert_eq!(senders.collect::<Vec<_>>(), [2, 11]);
    }

    #[test]
    fn what_nobody_waits_for_stays_quiet() {
        let mut story = container();
        let sent = dropped(2, Signal::CHLD);
        story.signal(sent);
        story.signal(SignalSent { flags: sent.flags | bit::IGNORE, ..dropped(2, Signal::TERM) });
        story.signal(SignalSent { result: 0, flags: bit::GROUP | bit::HANDLER | bit::UNKILLABLE, ..sent });
        story.signal(SignalSent { flags: bit::DYING, ..dropped(2, Signal::KILL) });
        story.deliver(10, Signal::TERM, bit::UNKILLABLE | bit::HANDLER);
        assert_eq!(story.rules(), [""; 0]);
    }
}
