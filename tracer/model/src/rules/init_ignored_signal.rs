//! `init-ignored-signal`: the kernel dropped a signal because its target is pid 1 of a namespace.

use crate::{
    change::{Change, Signalled, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    host::Container,
    ident::{Identity, ProcKey},
    programs::{Script, script},
    rules::{Opinion, Rule, manager::Manager, words},
    signal::{self, Sender, Signal},
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{InVain, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that was dropped").role(Role::Signal),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    words::ASKED_BY,
    FactDef::new(
        "reason",
        Kind::Word(&["no-handler", "kill-from-inside", "dropped-at-delivery"]),
        "why the kernel dropped it; `dropped-at-delivery`: it was accepted while blocked, and dropped when it was unblocked",
    )
    .role(Role::Reason),
    FactDef::alike(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "init-ignored-signal",
    severity: Severity::Warning,
    about: About::Dropped,
    summary: "the kernel dropped a signal because its target is pid 1 of a pid namespace",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("init_ignored_signal.md"),
};

pub(super) fn make(_: &Thresholds) -> Box<dyn Rule> {
    Box::new(InitIgnoredSignal)
}

struct InitIgnoredSignal;

impl Rule for InitIgnoredSignal {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled, Topic::Taken]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let (Change::Signalled(sent) | Change::Taken(sent)) = change else { return Opinion::Quiet };
        let reason = match sent.verdict {
            signal::Verdict::InitNoHandler | signal::Verdict::KillFromInside | signal::Verdict::DroppedAtDelivery => {
                sent.verdict.id()
            }
            _ => return Opinion::Quiet,
        };
        let Signalled { signal, sender, target, sent_at, sent_seq, .. } = **sent;
        // It was not lost: the program has had it, or its child, and is about to end with that.
        if matches!(sender, Sender::Process(sender) if sender.key == target.key)
            && world.raises_again(target.key, signal)
        {
            return Opinion::Recheck(world.now() + ENDS, target.key);
        }
        // abort(3) does not return: `killed-by` tells of the end.
        let is_own = matches!(sender, Sender::Process(sender) if sender.key == target.key);
        if is_own && signal == Signal::ABRT && sent.seen_code() == signal::SI_TKILL {
            return Opinion::Quiet;
        }
        let family = |sender: &Sender| match sender {
            Sender::Process(sender) => [Part::Name(sender.comm), Part::Family(Some(world.family_of(sender, &[])))],
            Sender::Kernel(_) | Sender::Unknown => [Part::Nobody, Part::Nobody],
        };
        let alike = [Part::Process(target.key), Part::Signal(signal), Part::Word(reason)];
        Opinion::Found(Box::new(Finding {
            headline: headline(sent),
            notes: notes(sent, world),
            fixes: fixes(sent, world),
            evidence: sent_seq.filter(|&sent| sent != seq).into_iter().chain([seq]).collect(),
            facts: Facts::of(
                FACTS,
                [
                    ("signal", signal.into()),
                    ("sender", sender.into()),
                    ("asked_by", sent.asked_by.clone().into()),
                    ("reason", reason.into()),
                    ("alike", alike.into_iter().chain(family(&sender)).collect::<Vec<_>>().into()),
                ],
            ),
            // The kernel decided this in the one event that was seen, so it is certain.
            ..Finding::new(&DEF, world.now(), sent_at.unwrap_or_else(|| world.now()), target)
        }))
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let living = world.get(key).filter(|process| process.death().is_none());
        match living.and_then(|process| Some((process, process.raised_in_vain.as_deref()?))) {
            Some((_, again)) if world.now() < again.at + ENDS => Opinion::Recheck(again.at + ENDS, key),
            Some((process, again)) => raised(world, &process.identity(), again),
            None => Opinion::Quiet,
        }
    }
}

/// What comes of a stop signal that does nothing.
const EFFECT: &str = "it does not stop: an engine waits out its grace period, then sends SIGKILL";

/// How long a program that has raised a signal again may take to end, if it does not rely on that signal.
const ENDS: Span = Span::SECOND;

/// Pid 1 lives on, though it handled a signal and raised it again to end by it.
fn raised(world: &World, target: &Identity, again: &InVain) -> Opinion {
    let InVain { signal, sender, ref asked_by, verdict, at, sent, dropped } = *again;
    let (name, reason) = (target.comm, verdict.id());
    let notes = [
        words::asked_by(asked_by),
        Some(Note::new("sent by", words::from(&sender, target))),
        Some(Note::new(
            "raised",
            "by the program itself, as is usual; the kernel protects pid 1 from what that should do",
        )),
        Some(Note::new("effect", EFFECT)),
    ];
    let alike = [Part::Process(target.key), Part::Signal(signal), Part::Word(reason), Part::Nobody, Part::Nobody];
    Opinion::Found(Box::new(Finding {
        headline: format!("{} handled {signal} and raised it again in vain: it is pid 1", words::short(target)),
        notes: notes.into_iter().flatten().collect(),
        fixes: words::raised_in_vain(name, signal),
        evidence: vec![sent, dropped],
        facts: Facts::of(
            FACTS,
            [
                ("signal", signal.into()),
                ("sender", sender.into()),
                ("asked_by", asked_by.clone().into()),
                ("reason", reason.into()),
                ("alike", alike.to_vec().into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), at, *target)
    }))
}

fn headline(sent: &Signalled) -> String {
    let Signalled { signal, target, verdict, .. } = sent;
    let what = format!("{signal} to {} was dropped", words::short(target));
    match verdict {
        signal::Verdict::KillFromInside if target.ns_level == 0 => {
            format!("{what}: nobody can kill or stop pid 1 of the host")
        }
        signal::Verdict::KillFromInside => {
            format!("{what}: it is pid 1, which nothing inside its pid namespace can kill or stop")
        }
        signal::Verdict::DroppedAtDelivery => {
            format!("{what} when it was unblocked: it is pid 1 and has no handler for it")
        }
        _ => format!("{what}: it is pid 1 and has no handler for it"),
    }
}

fn notes(sent: &Signalled, world: &World) -> Vec<Note> {
    let Signalled { signal, ref sender, target, verdict, ref asked_by, .. } = *sent;
    let init_of = match target.ns_level {
        0 => "pid 1 of the host".to_owned(),
        _ => format!("pid 1 of pid namespace {}", target.pid_ns),
    };
    let is_stop = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT)
        && target.ns_level > 0
        && verdict == signal::Verdict::InitNoHandler
        && world.get(target.key).is_some();
    let effect = match sender {
        // A key: nobody waits for the end.
        Sender::Kernel(_) => "it does not stop",
        Sender::Process(_) | Sender::Unknown => EFFECT,
    };
    let notes = [
        words::asked_by(asked_by),
        Some(Note::new("sent by", words::from(sender, &target))),
        Some(Note::new("sent to", format!("{}, {init_of}", words::short(&target)))),
        is_stop.then(|| Note::new("effect", effect)),
    ];
    notes.into_iter().flatten().collect()
}

/// What a process runs that is a shell.
fn script_of(target: &Identity, world: &World) -> Option<Script> {
    world.get(target.key).and_then(|process| script(target.comm.bytes(), &process.args))
}

fn fixes(sent: &Signalled, world: &World) -> Vec<String> {
    let Signalled { signal, target, sender, verdict, .. } = sent;
    let manager = Manager::of_sender(sender);
    let is_stop = matches!(*signal, Signal::TERM | Signal::INT | Signal::QUIT)
        || (manager.is_some() && matches!(*signal, Signal::PWR | Signal::RTMIN_3))
        || world.container_of(target).and_then(Container::own_stop_signal) == Some(*signal);
    match verdict {
        signal::Verdict::KillFromInside if target.ns_level == 0 => {
            vec!["to shut the machine down, use shutdown or systemctl: pid 1 of a host cannot be killed".to_owned()]
        }
        signal::Verdict::KillFromInside => vec![
            "send it from outside the namespace (docker kill, kubectl delete pod, kill on the host)".to_owned(),
            "send a signal that the program handles".to_owned(),
        ],
        _ if !is_stop => words::unhandled_news(target, *signal),
        _ => words::unhandled(target, script_of(target, world), *signal, manager.unwrap_or(Manager::SomeEngine)),
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exec, Exit, ExitStatus, SignalSent},
        story::{Story, args, born, born_in, end, kill, task},
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

    fn reason(story: &mut Story) -> (&'static str, u32, String) {
        let Finding { facts, headline, confidence, .. } = story.only();
        assert_eq!(confidence, crate::finding::Confidence::Certain);
        (facts.word("reason"), facts.process("sender").map_or(0, |sender| sender.key.tgid), headline)
    }

    #[test]
    fn a_signal_without_a_handler_is_reported_with_its_sender() {
        let mut story = container();
        story.signal(dropped(2, Signal::TERM));
        let (reason, sender, headline) = reason(&mut story);
        assert_eq!((reason, sender), ("no-handler", 2));
        assert_eq!(headline, "SIGTERM to sleep (pid 10) was dropped: it is pid 1 and has no handler for it");
    }

    #[test]
    fn the_settings_are_those_of_who_stops_the_container() {
        for (engine, signal, setting) in [
            ("systemd-nspawn", Signal::RTMIN_3, "--kill-signal of systemd-nspawn"),
            ("lxc-start", Signal::PWR, "lxc.signal.halt in the container's config"),
            ("bash", Signal::TERM, "STOPSIGNAL"),
        ] {
            let mut story = container();
            story.exec(2, engine).signal(dropped(2, signal));
            let fix = story.only().fix();
            assert!(fix.contains(&format!("set {setting} to a signal that the program handles")), "{fix}");
            assert_eq!(fix.contains("docker"), engine == "bash", "{fix}");
        }
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
        assert_eq!((reason, sender), ("dropped-at-delivery", 2));
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
        let senders =
            story.found.iter().map(|finding| finding.facts.process("sender").map_or(0, |sender| sender.key.tgid));
        assert_eq!(senders.collect::<Vec<_>>(), [2, 11]);
    }

    #[test]
    fn what_pid_1_has_handled_and_raises_again_is_not_lost() {
        let raised = dropped(10, Signal::TERM);
        let mut story = container();
        let sent = kill(2, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::HANDLER, ..sent });
        story.wait(200, &[]).signal(raised);
        assert_eq!(story.rules(), [""; 0]);
        story.exit(end(10, 2, Adopter::None)).wait(2_000, &[]);
        assert_eq!(story.rules(), [""; 0], "it has ended");
        // That is long ago.
        let mut story = container();
        story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::HANDLER, ..sent });
        story.wait(20_000, &[]).signal(raised);
        assert_eq!(story.rules(), ["init-ignored-signal"]);
        // Whoever waits for it is to see how its child ended.
        let mut story = container();
        let status = ExitStatus(i32::from(Signal::TERM.0));
        story.signal(kill(2, 11, Signal::TERM)).exit(Exit { status, ..end(11, 10, Adopter::None) }).signal(raised);
        assert_eq!(story.rules(), [""; 0]);
        // It takes it by sigwait(3), or by a signalfd(2).
        for taken in [bit::AWAITED, bit::BLOCKED] {
            let mut story = container();
            story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | taken, ..sent });
            story.wait(200, &[]).signal(raised).exit(end(10, 2, Adopter::None)).wait(2_000, &[]);
            assert_eq!(story.rules(), [""; 0]);
        }
        // Nobody had told it.
        let mut story = container();
        story.signal(raised);
        assert_eq!(story.rules(), ["init-ignored-signal"]);
    }

    #[test]
    fn pid_1_that_relies_on_what_it_raises_lives_on() {
        // As Node.js does: it blocks the signal meanwhile, so that the kernel drops it at delivery.
        let again = dropped(10, Signal::TERM);
        let blocked = SignalSent { result: 0, flags: again.flags | bit::BLOCKED, ..again };
        for (again, reason, evidence) in [(again, "no-handler", 2), (blocked, "dropped-at-delivery", 2)] {
            let mut story = container();
            let sent = kill(2, 10, Signal::TERM);
            story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::HANDLER, ..sent });
            story.signal(again);
            if again.result == 0 {
                story.deliver(10, Signal::TERM, bit::UNKILLABLE);
            }
            assert_eq!(story.rules(), [""; 0]);
            let finding = story.wait(1_100, &[]).only();
            let said = "sleep (pid 10) handled SIGTERM and raised it again in vain: it is pid 1";
            assert_eq!(finding.headline, said);
            assert_eq!(finding.facts.process("sender").unwrap().key.tgid, 2);
            assert_eq!((finding.facts.word("reason"), finding.evidence.len()), (reason, evidence));
            assert!(finding.fix().contains("exit at SIGTERM by itself"), "{}", finding.fix());
            assert_eq!(story.wait(5_000, &[]).rules(), [""; 0]);
        }
    }

    #[test]
    fn a_script_is_advised_as_the_shell_that_runs_it() {
        let mut story = container();
        story.event(EventKind::Exec(Box::new(Exec {
            task: task(10),
            comm: "entry.sh".into(),
            old_tid: 10,
            args: args("/bin/sh /entry.sh"),
            mount_ns: 0,
            ignored: Some(0),
        })));
        let fix = story.signal(dropped(2, Signal::TERM)).only().fix();
        assert!(fix.contains("`exec` as the last command") && !fix.contains("give entry.sh a handler"), "{fix}");
    }

    #[test]
    fn an_init_is_not_advised_where_the_program_would_end_by_what_it_passes_on() {
        for (signal, is_advised) in [(Signal::TERM, true), (Signal(12), false), (Signal::TSTP, false)] {
            let mut story = container();
            story.signal(dropped(2, signal));
            let fix = story.only().fix();
            assert_eq!(fix.contains("run it under an init"), is_advised, "{fix}");
            assert_eq!(fix.contains("do not put an init before it"), !is_advised, "{fix}");
        }
    }

    #[test]
    fn no_engine_waits_for_what_a_key_should_have_ended() {
        for (more, waits) in [(0, true), (bit::KERNEL_INFO, false)] {
            let mut story = container();
            let sent = dropped(2, Signal::INT);
            let message = story.signal(SignalSent { flags: sent.flags | more, ..sent }).only().message();
            assert_eq!(message.contains("an engine waits out its grace period"), waits, "{message}");
            assert!(message.contains("it does not stop"), "{message}");
        }
    }

    #[test]
    fn a_shell_as_pid_1_is_advised_to_pass_on_what_its_job_does_not_ignore() {
        for (signal, says) in
            [(Signal::INT, "trap 'kill -TERM $!; wait' INT"), (Signal::TERM, "kill -TERM $!; wait' TERM")]
        {
            let mut story = container();
            let fix = story.exec(10, "sh").signal(dropped(2, signal)).only().fix();
            assert!(fix.contains(says), "{fix}");
        }
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
