//! `signal-not-forwarded`: pid 1 took the stop signal, and its children never got one.

use crate::{
    change::{Change, Signalled},
    finding::{Confidence, Detail, Finding, Severity, Stage},
    ident::ProcKey,
    rules::{Rule, RuleDef, Verdict},
    signal::Sender,
    summary::seconds,
    world::{Process, Request, Told, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-not-forwarded",
    severity: Severity::Warning,
    summary: "pid 1 of a container took the stop signal and did not pass it on to its children",
    lasts: false,
    explanation: include_str!("signal_not_forwarded.md"),
    make: |thresholds| Box::new(NotForwarded { after: thresholds.not_forwarded_after }),
};

struct NotForwarded {
    after: u64,
}

impl Rule for NotForwarded {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        match change {
            Change::Signalled(signalled) => {
                let Signalled { target, .. } = &**signalled;
                match asked(world, target.key, None) {
                    // By then all is known that it did right after, however late its signal comes up here.
                    Some((_, asked)) if asked.seq == seq => {
                        Verdict::Recheck(world.now().saturating_add(self.after), target.key)
                    }
                    _ => Verdict::Quiet,
                }
            }
            // It ends without a word to the others, whom the kernel kills then.
            Change::NamespaceEnding(ns) => {
                let Some(init) = world.namespace(*ns).and_then(|ns| ns.init) else { return Verdict::Quiet };
                let ended = world.get(init).and_then(|init| init.death()).map(|death| death.at);
                match asked(world, init, ended) {
                    Some((process, asked)) => judge(world, process, asked, ended, seq),
                    None => Verdict::Quiet,
                }
            }
            _ => Verdict::Quiet,
        }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Verdict {
        match asked(world, key, None) {
            Some((process, _)) if process.death().is_some() => Verdict::Quiet,
            Some((_, asked)) if world.now() < asked.at.saturating_add(self.after) => {
                Verdict::Recheck(asked.at.saturating_add(self.after), key)
            }
            Some((process, asked)) => judge(world, process, asked, None, asked.seq),
            None => Verdict::Quiet,
        }
    }
}

/// An init that has taken a stop signal, and was not sent SIGKILL; `ended` is when it ended, if it has.
fn asked(world: &World, init: ProcKey, ended: Option<u64>) -> Option<(&Process, &Request)> {
    let process = world.get(init)?;
    Some((process, process.stop.as_deref()?.taken(ended)?))
}

fn judge(world: &World, init: &Process, asked: &Request, ended: Option<u64>, seq: u64) -> Verdict {
    let Some(Told { told, not_told, named }) = world.told(init.key, asked.at) else { return Verdict::Quiet };
    // To whom it has sent one, that one has work to do; what it left alone it may need for that.
    if not_told == 0 || (told > 0 && ended.is_none()) {
        return Verdict::Quiet;
    }
    let name = init.identity();
    let whose = world.place_of(&name);
    let mut names: Vec<_> = named.iter().map(ToString::to_string).collect();
    if not_told > named.len() as u64 {
        names.push(format!("{} more", not_told - named.len() as u64));
    }
    let names = names.join(", ");
    let since = seconds(ended.unwrap_or(world.now()).saturating_sub(asked.at));
    let signal = asked.signal;
    let then = if ended.is_some() {
        format!("It ended {since} later, and the kernel kills them with SIGKILL, unasked")
    } else {
        format!("It lives on after {since}, and they know nothing of the stop")
    };
    Verdict::Found(Box::new(Finding {
        rule: &DEF,
        stage: Stage::New,
        at: world.now(),
        since: asked.at,
        process: name,
        confidence: Confidence::Certain,
        message: format!(
            "{} (pid {}), pid 1 of {whose}, got {signal} from {} and handles it, but sent no signal to its children: \
             {names}. {then}.",
            init.comm, init.key.tgid, asked.sender
        ),
        fix: format!(
            "have {} pass the signal on and wait (in a shell: app & trap 'kill -TERM $!; wait' TERM; wait), let the \
             program be pid 1 itself (the exec form of ENTRYPOINT, or `exec` as the last command of the script), or run \
             it below an init that passes signals on (docker run --init, tini -g for all of a process group)",
            init.comm
        ),
        evidence: if seq == asked.seq { vec![seq] } else { vec![asked.seq, seq] },
        detail: Detail::NotForwarded {
            signal,
            sender: Sender::Process(asked.sender),
            count: not_told,
            children: named,
            has_ended: ended.is_some(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, SignalSent},
        host::StartInfo,
        signal::Signal,
        story::{MS, Story, born, born_in, end, kill, task},
    };

    const NS: u32 = 4_026_532_500;

    /// A runtime (3) has sent SIGTERM to a shell (10), which handles it and has a child (11) with one of
    /// its own (12).
    fn stopping() -> Story {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh");
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "app").fork(born_in(NS, 12, 3, 11));
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
        story
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    #[test]
    fn a_shell_that_keeps_the_signal_to_itself() {
        let mut story = stopping();
        story.wait(1_900, &[]);
        assert!(found(&mut story).is_empty());
        story.wait(200, &[(10, b'S', 1)]);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(finding.message.contains("sh (pid 10), pid 1 of pid namespace"), "{}", finding.message);
        assert!(finding.message.contains("app (pid 11, pid 2 in namespace"), "{}", finding.message);
    }

    #[test]
    fn one_that_ends_and_leaves_them_to_the_kernel() {
        let mut story = stopping();
        story.exit(end(10, 1, Adopter::None));
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(matches!(finding.detail, Detail::NotForwarded { has_ended: true, count: 1, .. }));
    }

    #[test]
    fn whoever_passes_it_on_is_quiet() {
        let mut story = stopping();
        story.signal(kill(10, 11, Signal::TERM));
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "to the child");
        let mut story = stopping();
        story.signal(kill(10, 12, Signal::TERM));
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "to a grandchild");
        let mut story = stopping();
        story.exit(end(11, 10, Adopter::None)).free(11).exit(end(12, 10, Adopter::None)).free(12);
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "nobody is left");
    }

    #[test]
    fn what_a_child_that_was_told_leaves_to_the_init_is_not_meant() {
        let mut story = stopping();
        story.signal(kill(10, 11, Signal::TERM)).exit(end(11, 10, Adopter::NamespaceInit(task(10))));
        story.wait(5, &[(12, b'S', 10)]).free(11).exit(end(10, 1, Adopter::None));
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn a_child_that_had_hardly_begun_is_not_meant() {
        let mut story = stopping();
        story.exit(end(11, 10, Adopter::None)).free(11).exit(end(12, 10, Adopter::None)).free(12);
        let young = (story.now / MS) as u32 - 1_000;
        story.fork(born_in(NS, young, 20, 10)).wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn a_stream_without_what_inits_send_proves_nothing() {
        let mut story = Story::new();
        let info: StartInfo = serde_json::from_value(serde_json::json!({
            "version": "0", "kernel": "6", "boot_id": "", "host": "", "wall_offset_ns": 0, "hooks": [], "degraded": [],
            "ring_size": 0, "all_signals": false, "fatal_signals": true, "all_deliveries": false, "arguments": [],
            "thresholds": {}
        }))
        .unwrap();
        story.event(EventKind::Start(Box::new(info)));
        story.fork(born(3, 1)).fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) }).wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty());
    }

    /// The reader lags: time that user space tells is ahead of what the ring holds.
    #[test]
    fn a_signal_that_is_read_late_is_judged_all_the_same() {
        let story = |forwards: bool| {
            let mut story = Story::new();
            story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh");
            story.fork(born_in(NS, 11, 2, 10)).exec(11, "app");
            story.wait(60_000, &[(11, b'S', 10)]);
            story.now -= 50_000 * MS;
            let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
            story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
            let late = story.now;
            story.now += 50_000 * MS;
            story.event(EventKind::Tick);
            let now = std::mem::replace(&mut story.now, late);
            if forwards {
                story.signal(kill(10, 11, Signal::TERM));
            }
            story.now = now;
            story.wait(2_100, &[(10, b'S', 1)]);
            found(&mut story).len()
        };
        assert_eq!((story(false), story(true)), (1, 0));
    }

    #[test]
    fn a_signal_of_many_meanings_counts_for_who_ends_at_it() {
        let story = |ms| {
            let mut story = Story::new();
            story.fork(born(3, 1)).exec(3, "kill").fork(born_in(NS, 10, 1, 1)).exec(10, "java");
            story.fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
            story.now += 10_000 * MS;
            let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
            story.signal(SignalSent { flags, ..kill(3, 10, Signal::QUIT) }).wait(ms, &[(10, b'S', 1)]);
            assert!(found(&mut story).is_empty(), "a thread dump");
            story.exit(end(10, 1, Adopter::None));
            found(&mut story).len()
        };
        assert_eq!((story(5_000), story(50_000)), (1, 0));
    }
}
