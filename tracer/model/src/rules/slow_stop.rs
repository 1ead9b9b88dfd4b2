//! `slow-stop`: a container was asked to stop, did not, and was killed.

use crate::{
    change::Change,
    finding::{Confidence, Detail, Finding, Severity, Stage},
    ident::Identity,
    programs::is_shell,
    rules::{
        Rule, RuleDef, Verdict,
        killed_by::{line, on_behalf, short},
        namespace_killed::the_processes,
    },
    signal::{self, Sender, Signal},
    stop::{Request, Stop, Told},
    summary::{and_more, seconds},
    world::{Process, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "slow-stop",
    severity: Severity::Warning,
    summary: "a container did not end at its stop signal, and was killed when the time was up",
    lasts: false,
    explanation: include_str!("slow_stop.md"),
    make: |thresholds| Box::new(SlowStop { after: thresholds.slow_stop_after }),
};

struct SlowStop {
    after: u64,
}

impl Rule for SlowStop {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        let &Change::Died { key, status } = change else { return Verdict::Quiet };
        let Some(process) = world.get(key) else { return Verdict::Quiet };
        let Some(stop) = process.stop.as_deref() else { return Verdict::Quiet };
        let Some((asked, kill)) = stop.enforced() else { return Verdict::Quiet };
        let wasted = kill.at.saturating_sub(asked.at);
        if status.signal() != Some(Signal::KILL) || wasted < self.after {
            return Verdict::Quiet;
        }
        let ended_at = process.death().map_or(world.now(), |death| death.at);
        let took_ns = ended_at.saturating_sub(asked.at);
        let left = world.namespace(process.pid_ns).and_then(|ns| ns.ending).map_or(0, |ending| ending.left);
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
            at: world.now(),
            since: asked.at,
            process: process.identity(),
            confidence: Confidence::Certain,
            message: message(world, process, stop, asked, kill, took_ns) + &others(left),
            fix: fix(process, asked),
            evidence: vec![asked.seq, kill.seq, seq],
            detail: Detail::SlowStop {
                signal: asked.signal,
                sender: Sender::Process(asked.sender),
                ancestors: asked.ancestors.clone(),
                asked_by: asked.asked_by.clone(),
                fate: asked.verdict,
                told: stop.told.clone(),
                left,
                killer: Sender::Process(kill.sender),
                killer_ancestors: kill.ancestors.clone(),
                wasted_ns: wasted,
                took_ns,
            },
        }))
    }
}

fn message(world: &World, process: &Process, stop: &Stop, asked: &Request, kill: &Request, took_ns: u64) -> String {
    let Request { signal, verdict, .. } = asked;
    let name = world.place_of(&process.identity());
    let init = format!("{} (pid {})", process.comm, process.key.tgid);
    let fate = match verdict {
        signal::Verdict::InitNoHandler => {
            format!("did nothing: {init} is pid 1 of its namespace and has no handler for it, so the kernel dropped it")
        }
        signal::Verdict::IgnoredByChoice => format!("did nothing: {init}, its pid 1, ignores it"),
        signal::Verdict::Queued => format!("had to wait: {init}, its pid 1, had blocked it, or was stopped"),
        _ => format!("reached {init}, its pid 1, which did not end"),
    };
    format!(
        "It took {} to stop {name}{}: {signal} from {} {fate}.{} {} later {} sent SIGKILL.",
        seconds(took_ns),
        on_behalf(&asked.asked_by),
        who(asked),
        children(asked, stop.told.as_ref()),
        seconds(kill.at.saturating_sub(asked.at)),
        who(kill),
    )
}

/// Who dies with an init.
fn others(left: u64) -> String {
    match left {
        0 => String::new(),
        n => format!(" With it the kernel kills {} left in its namespace.", the_processes(n)),
    }
}

/// Whether a signal that was taken went on to the children.
fn children(asked: &Request, told: Option<&Told>) -> String {
    let Some(children) = told.filter(|_| asked.verdict == signal::Verdict::Delivered) else {
        return String::new();
    };
    let Told { told, not_told, named, adopted: _, passed_to, ignoring } = children;
    let short = |all: &[Identity]| all.iter().map(short).collect::<Vec<_>>();
    let untold = and_more(&short(named), *not_told);
    let ignored = match &ignoring[..] {
        [] => String::new(),
        [one] => format!(" {} ignores it.", short(&[*one])[0]),
        many => format!(" These ignore it: {}.", short(many).join(", ")),
    };
    let passed = match (told, not_told) {
        (0, 0) => String::new(),
        (_, 0) => " It passed a signal on to all of its children.".to_owned(),
        (0, _) if passed_to.is_empty() => format!(" It passed none on to its children: {untold}."),
        _ => format!(" Of its children these were sent none: {untold}."),
    };
    passed + &ignored
}

/// The sender, and on whose behalf: what sends the signals of containers lives for a moment only.
fn who(request: &Request) -> String {
    line(short(&request.sender), &request.ancestors)
}

fn fix(process: &Process, asked: &Request) -> String {
    let signal = asked.signal;
    let is_shell = is_shell(process.comm.bytes());
    match asked.verdict {
        signal::Verdict::InitNoHandler if is_shell => {
            "let the program be pid 1 itself (the exec form of ENTRYPOINT, or `exec` as the last command of the script), \
             or have the shell pass it on (trap 'kill -TERM $!; wait' TERM), or run it below an init (docker run --init)"
                .to_owned()
        }
        signal::Verdict::InitNoHandler => format!(
            "give the program a handler for {signal}, set STOPSIGNAL to a signal that it handles, or run it below an \
             init (docker run --init, tini, shareProcessNamespace) so that it is not pid 1"
        ),
        signal::Verdict::IgnoredByChoice => {
            format!("set STOPSIGNAL to a signal that the program does not ignore, or do not ignore {signal}")
        }
        signal::Verdict::Queued => format!(
            "unblock {signal} where the program waits (sigprocmask, ppoll), or take it there (sigwait, signalfd); a \
             stopped or frozen container must be continued first"
        ),
        _ if is_shell => {
            "a shell runs its trap only when the command that it waits for has ended: run that in the background and \
             `wait` for it, and pass the signal on (trap 'kill -TERM $!; wait' TERM), or let the program be pid 1 (exec)"
                .to_owned()
        }
        _ => "find out what the program still did (connections that it drains, children that never got the signal), and \
              have it end sooner, or give it the time that it needs (docker stop -t, terminationGracePeriodSeconds)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, SignalSent},
        host::Container,
        story::{MS, Story, born, born_in, end, key, kill},
    };

    const NS: u32 = 4_026_532_500;

    /// A shim (2) on the host, with `sleep` (10) as pid 1 of a namespace, and two runtimes.
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "shim").fork(born(3, 2)).exec(3, "runc").fork(born(4, 2)).exec(4, "runc");
        story.fork(born_in(NS, 10, 1, 2)).exec(10, "sleep");
        story
    }

    /// A signal from outside, and whether the kernel dropped it.
    fn sent(from: u32, signal: Signal, more: u16, result: u8) -> SignalSent {
        let sent = kill(from, 10, signal);
        SignalSent { result, flags: sent.flags | bit::UNKILLABLE | bit::OUTSIDE | more, ..sent }
    }

    fn killed(story: &mut Story) -> Option<Finding> {
        // The kernel has lifted the protection by then.
        let kill = SignalSent { flags: kill(4, 10, Signal::KILL).flags | bit::OUTSIDE, ..kill(4, 10, Signal::KILL) };
        story.signal(kill).exit(Exit { status: ExitStatus(9), ..end(10, 2, Adopter::None) });
        story.found.drain(..).find(|finding| finding.rule.name == DEF.name)
    }

    #[test]
    fn a_dropped_stop_signal_wastes_the_grace_period() {
        let mut story = container();
        story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[(10, b'S', 2)]);
        let finding = killed(&mut story).unwrap();
        let Detail::SlowStop { signal, fate, wasted_ns, .. } = finding.detail else { panic!() };
        assert_eq!((signal, fate, wasted_ns / MS), (Signal::TERM, signal::Verdict::InitNoHandler, 3_000));
        assert_eq!((finding.evidence.len(), finding.process.key), (3, key(10)));
        assert_eq!(
            finding.message,
            format!(
                "It took 3.0 s to stop pid namespace {NS}: SIGTERM from runc (pid 3) < shim (pid 2) < p1 (pid 1) did \
                 nothing: sleep (pid 10) is pid 1 of its namespace and has no handler for it, so the kernel dropped it. \
                 3.0 s later runc (pid 4) < shim (pid 2) < p1 (pid 1) sent SIGKILL."
            )
        );
    }

    #[test]
    fn what_the_kernel_kills_with_it_is_part_of_the_story() {
        let mut story = container();
        story.fork(born_in(NS, 11, 2, 10));
        story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[(10, b'S', 2)]);
        let finding = killed(&mut story).unwrap();
        assert!(
            finding.message.ends_with("sent SIGKILL. With it the kernel kills the process left in its namespace."),
            "{}",
            finding.message
        );
        story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).wait(200, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn who_asked_the_engine_for_it_is_named() {
        let mut story = container();
        let web = Container { id: "3f2e".into(), name: Some("web".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "3f2e".into()));
        story.fork(born(20, 1)).exec(20, "bash").fork(born(21, 20)).exec(21, "docker stop -t 3 web");
        story.signal(sent(3, Signal::TERM, 0, 1));
        let dropped = story.only();
        assert!(
            dropped.message.starts_with(
                "SIGTERM from runc (pid 3), as docker (pid 21) < bash (pid 20) < p1 (pid 1) had asked, to sleep (pid 10) \
                 did nothing"
            ),
            "{}",
            dropped.message
        );
        let finding = killed(story.wait(3_000, &[(10, b'S', 2)])).unwrap();
        assert!(
            finding.message.starts_with(
                "It took 3.0 s to stop container web, as docker (pid 21) < bash (pid 20) < p1 (pid 1) had asked: SIGTERM"
            ),
            "{}",
            finding.message
        );
        assert_eq!(finding.detail.asked_by()[0].key, key(21));
    }

    #[test]
    fn its_own_stop_signal_counts_and_another_does_not() {
        for (stop_signal, is_found) in [(Some("SIGUSR1".to_owned()), true), (None, false)] {
            let mut story = container();
            let known = Container { id: "web".into(), stop_signal, ..Container::default() };
            story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
            story.signal(sent(3, Signal(10), bit::HANDLER, 0)).wait(3_000, &[(10, b'S', 2)]);
            let finding = killed(&mut story);
            assert_eq!(finding.is_some(), is_found);
            assert!(finding.is_none_or(|finding| finding.message.contains("to stop container web")));
        }
    }

    #[test]
    fn what_became_of_the_signal_decides_what_helps() {
        for (more, result, says, helps) in [
            (bit::HANDLER, 0, "reached sleep (pid 10), its pid 1, which did not end", "docker stop -t"),
            (bit::BLOCKED, 0, "had to wait: sleep (pid 10), its pid 1, had blocked it", "unblock SIGTERM"),
            (bit::IGNORE, 1, "did nothing: sleep (pid 10), its pid 1, ignores it", "STOPSIGNAL"),
        ] {
            let mut story = container();
            story.signal(sent(3, Signal::TERM, more, result)).wait(3_000, &[(10, b'S', 2)]);
            let finding = killed(&mut story).unwrap();
            assert!(finding.message.contains(says), "{}", finding.message);
            assert!(finding.fix.contains(helps), "{}", finding.fix);
        }
    }

    #[test]
    fn who_ends_in_time_or_was_not_asked_is_quiet() {
        let mut in_time = container();
        in_time.signal(sent(3, Signal::TERM, 0, 1)).wait(500, &[(10, b'S', 2)]);
        assert!(killed(&mut in_time).is_none(), "it was killed at once");
        assert!(killed(&mut container()).is_none(), "nobody asked");
        let mut inside = container();
        inside.signal(SignalSent { result: 1, ..kill(10, 10, Signal::TERM) }).wait(3_000, &[(10, b'S', 2)]);
        assert!(killed(&mut inside).is_none(), "it was asked from inside");
        let mut ended = container();
        ended.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(3_000, &[(10, b'S', 2)]).exit(end(
            10,
            2,
            Adopter::None,
        ));
        assert!(ended.rules().iter().all(|&rule| rule != DEF.name), "it ended by itself");
        let mut long_ago = container();
        long_ago.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(7_200_000, &[(10, b'S', 2)]);
        assert!(killed(&mut long_ago).is_none(), "that was two hours ago");
    }

    /// Seconds that were lost by the signal that is blamed.
    fn blamed(story: &mut Story) -> Option<(Signal, u64)> {
        match killed(story)?.detail {
            Detail::SlowStop { signal, wasted_ns, .. } => Some((signal, (wasted_ns / MS + 50) / 1_000)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_program_took_for_something_else_is_not_blamed() {
        let lives = [(10, b'S', 2)];
        for (signal, more) in [(Signal::QUIT, bit::HANDLER), (Signal::INT, bit::HANDLER)] {
            let mut story = container();
            story.signal(sent(3, signal, more, 0)).wait(2_600, &lives);
            story.signal(sent(3, Signal::TERM, 0, 1)).wait(2_000, &lives);
            assert_eq!(blamed(&mut story), Some((Signal::TERM, 2)));
            let mut alone = container();
            alone.signal(sent(3, signal, more, 0)).wait(3_000, &lives);
            assert_eq!(blamed(&mut alone), None, "nobody had asked it to end");
        }
    }

    #[test]
    fn what_other_engines_send_counts_where_nothing_else_asked() {
        for signal in [Signal::INT, Signal::QUIT, Signal::PWR, Signal::RTMIN_3] {
            let mut story = container();
            story.signal(sent(3, signal, 0, 1)).wait(2_000, &[(10, b'S', 2)]);
            assert_eq!(blamed(&mut story), Some((signal, 2)));
            let mut long_ago = container();
            long_ago.signal(sent(3, signal, 0, 1)).wait(600_000, &[(10, b'S', 2)]);
            assert_eq!(blamed(&mut long_ago), None);
        }
    }

    #[test]
    fn its_own_stop_signal_counts_though_the_program_took_it() {
        let mut story = container();
        let known = Container { id: "web".into(), stop_signal: Some("QUIT".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
        story.signal(sent(3, Signal::QUIT, bit::HANDLER, 0)).wait(2_000, &[(10, b'S', 2)]);
        assert_eq!(blamed(&mut story), Some((Signal::QUIT, 2)));
    }

    #[test]
    fn an_old_request_is_another_stop_unless_the_same_has_waited_since() {
        let lives = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (5, b'S', 1), (10, b'S', 2)];
        let stopped = |first: u32, then: &[u64]| {
            let mut story = container();
            story.fork(born(5, 1)).exec(5, "kill");
            story.signal(sent(first, Signal::TERM, bit::HANDLER, 0));
            for (i, &seconds) in then.iter().enumerate() {
                story.wait(seconds * 1_000, &lives);
                if i + 1 < then.len() {
                    story.signal(sent(3, Signal::TERM, bit::HANDLER, 0));
                }
            }
            blamed(&mut story).map(|(_, seconds)| seconds)
        };
        assert_eq!(stopped(5, &[100]), Some(100), "by somebody else, within what is usual");
        assert_eq!(stopped(5, &[3_000]), None, "a reload of long ago");
        assert_eq!(stopped(3, &[3_000]), Some(3_000), "by the same shim, which was told to wait so long");
        assert_eq!(stopped(5, &[3_000, 10]), Some(10), "and asked once more");
        assert_eq!(stopped(3, &[20, 20, 10]), Some(50), "impatient");
        assert_eq!(stopped(3, &[600, 10]), Some(10), "two stops");
    }

    #[test]
    fn a_child_that_ignores_what_was_passed_on_is_named() {
        let mut story = container();
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
        let lives = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (10, b'S', 2), (11, b'S', 10)];
        story.wait(60_000, &lives).signal(sent(3, Signal::TERM, bit::HANDLER, 0));
        let passed = kill(10, 11, Signal::TERM);
        story.signal(SignalSent { result: 1, flags: passed.flags | bit::IGNORE, ..passed }).wait(3_000, &lives);
        let finding = killed(&mut story).unwrap();
        let text = "It passed a signal on to all of its children. worker (pid 11) ignores it. 3.0 s later";
        assert!(finding.message.contains(text), "{}", finding.message);
    }
}
