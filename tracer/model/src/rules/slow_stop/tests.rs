//! The stories of `slow-stop`.

use tracer_common::record::signal_flags as bit;

use super::*;
use crate::{
    event::{Adopter, EventKind, Exit, ExitStatus, Masks, SignalSent},
    host::Container,
    story::{MS, Story, born, born_in, end, key, kill, task},
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
    let facts = &finding.facts;
    let of = (facts.signal("signal"), facts.word("verdict"), facts.span("wasted_ns") / MS);
    assert_eq!(of, (Some(Signal::TERM), "no-handler", 3_000));
    assert_eq!((finding.evidence.len(), finding.process.key), (3, key(10)));
    assert_eq!(
        finding.message(),
        format!(
            "pid namespace {NS} took 3.0 s to stop: SIGTERM was dropped. SIGTERM: from runc (pid 3) < shim (pid 2) < p1 \
             (pid 1) to sleep (pid 10, pid 1 inside): dropped, because pid 1 has no handler for it. SIGKILL: 3.0 s later, \
             from runc (pid 4) < shim (pid 2) < p1 (pid 1)."
        )
    );
}

#[test]
fn what_the_kernel_kills_with_it_is_part_of_the_story() {
    let mut story = container();
    story.fork(born_in(NS, 11, 2, 10));
    story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[(10, b'S', 2)]);
    assert!(killed(&mut story).is_none(), "who died with it is to be known first");
    let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
    let text = "; 1 more process died with it. Died: p11 (pid 11), sent no signal.";
    assert!(finding.message().ends_with(text), "{}", finding.message());
    assert_eq!(story.wait(200, &[]).rules(), [""; 0]);
}

#[test]
fn a_sigkill_from_inside_that_is_dropped_ends_no_stop() {
    let mut story = container();
    story.fork(born_in(NS, 11, 2, 10)).exec(11, "kill");
    story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[]);
    let inside = kill(11, 10, Signal::KILL);
    story.signal(SignalSent { result: 1, flags: inside.flags | bit::UNKILLABLE, ..inside });
    story.exit(end(11, 10, Adopter::None)).free(11).wait(7_000, &[]);
    let finding = killed(&mut story).unwrap();
    let (killer, wasted) = (finding.facts.process("killer").unwrap().key, finding.facts.span("wasted_ns") / MS);
    assert_eq!((killer, wasted), (key(4), 10_000));
    assert!(finding.message().contains("SIGKILL: 10.0 s later, from runc (pid 4)"), "{}", finding.message());
}

#[test]
fn a_sigkill_that_comes_with_the_end_of_the_parent_is_not_from_it() {
    let mut story = container();
    story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[]).exit(end(2, 1, Adopter::None));
    let flags = bit::GROUP | bit::NO_INFO | bit::SENDER_EXITING | bit::OUTSIDE;
    story.signal(SignalSent { flags, ..kill(2, 10, Signal::KILL) });
    story.exit(Exit { status: ExitStatus(9), ..end(10, 2, Adopter::None) });
    let finding = story.found.drain(..).find(|finding| finding.rule.name == DEF.name).unwrap();
    let says = "SIGKILL: 3.0 s later, as its parent shim (pid 2) < p1 (pid 1) ended.";
    assert!(finding.message().contains(says), "{}", finding.message());
}

#[test]
fn a_shell_is_advised_to_trap_its_own_stop_signal() {
    // A shell has its jobs in the background ignore SIGINT and SIGQUIT.
    for (signal, says) in
        [(Signal::QUIT, "trap 'kill -TERM $!; wait' QUIT"), (Signal(12), "'kill -USR2 $!; wait' USR2")]
    {
        let mut story = container();
        let known = Container { id: "web".into(), stop_signal: Some(signal.to_string()), ..Container::default() };
        story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
        story.exec(10, "sh").signal(sent(3, signal, bit::HANDLER, 0)).wait(3_000, &LIVES);
        let fix = killed(&mut story).unwrap().fix();
        assert!(fix.contains(says), "{fix}");
    }
}

#[test]
fn who_asked_the_engine_for_it_is_named() {
    let mut story = container();
    let web = Container { id: "3f2e".into(), name: Some("web".into()), ..Container::default() };
    story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "3f2e".into()));
    story.fork(born(20, 1)).exec(20, "bash").fork(born(21, 20)).exec(21, "docker stop -t 3 web");
    story.signal(sent(3, Signal::TERM, 0, 1));
    let dropped = story.only();
    let asked = Note::new("asked by", "docker (pid 21) < bash (pid 20) < p1 (pid 1)");
    assert_eq!(dropped.notes.first(), Some(&asked));
    let finding = killed(story.wait(3_000, &[(10, b'S', 2)])).unwrap();
    assert_eq!(finding.headline, "container web took 3.0 s to stop: SIGTERM was dropped");
    assert_eq!(finding.notes.first(), Some(&asked));
    assert_eq!(finding.facts.process("asked_by").unwrap().key, key(21));
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
        assert!(finding.is_none_or(|finding| finding.headline.starts_with("container web took")));
    }
}

#[test]
fn what_became_of_the_signal_decides_what_helps() {
    for (more, result, says, helps) in [
        (bit::HANDLER, 0, "its pid 1 did not end at SIGTERM", "docker stop -t"),
        (bit::BLOCKED, 0, "its pid 1 blocked SIGTERM", "unblock SIGTERM"),
        (bit::IGNORE, 1, "its pid 1 ignores SIGTERM", "STOPSIGNAL"),
    ] {
        let mut story = container();
        story.signal(sent(3, Signal::TERM, more, result)).wait(3_000, &[(10, b'S', 2)]);
        let finding = killed(&mut story).unwrap();
        assert!(finding.headline.contains(says), "{}", finding.headline);
        assert!(finding.fix().contains(helps), "{}", finding.fix());
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
    ended.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(3_000, &[(10, b'S', 2)]).exit(end(10, 2, Adopter::None));
    assert!(ended.rules().iter().all(|&rule| rule != DEF.name), "it ended by itself");
    let mut long_ago = container();
    long_ago.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(7_200_000, &[(10, b'S', 2)]);
    assert!(killed(&mut long_ago).is_none(), "that was two hours ago");
}

/// Seconds that were lost by the signal that is blamed.
fn blamed(story: &mut Story) -> Option<(Signal, u64)> {
    let facts = killed(story)?.facts;
    Some((facts.signal("signal")?, (facts.span("wasted_ns") / MS + 50) / 1_000))
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
    assert!(killed(&mut story).is_none());
    let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
    let text =
        "Children: it passed a signal on to all of them. Ignored: worker (pid 11) ignores it. SIGKILL: 3.0 s later";
    assert!(finding.message().contains(text), "{}", finding.message());
    let headline = "took 3.0 s to stop: worker (pid 11) ignores SIGTERM, which pid 1 passed on";
    assert!(finding.headline.ends_with(headline), "{}", finding.headline);
    assert!(finding.fix().starts_with("have worker handle SIGTERM"), "{}", finding.fix());
}

#[test]
fn a_child_that_was_notified_and_is_slow_is_named_whatever_stands_above_it() {
    let mut story = container();
    story.exec(10, "sh entrypoint.sh").fork(born_in(NS, 11, 2, 10)).exec(11, "app").wait(60_000, &[]);
    story.signal(sent(3, Signal::TERM, bit::HANDLER, 0));
    let passed = kill(10, 11, Signal::TERM);
    story.signal(SignalSent { flags: passed.flags | bit::HANDLER, ..passed }).wait(10_000, &[]);
    assert!(killed(&mut story).is_none());
    let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
    let said = "took 10.0 s to stop: app (pid 11), which pid 1 notified, did not end";
    assert!(finding.headline.ends_with(said), "{}", finding.headline);
    let fix = finding.fix();
    assert!(fix.starts_with("find out what kept app") && !fix.contains("trap"), "{fix}");
}

#[test]
fn what_others_have_sent_its_children_pid_1_has_not_passed_on() {
    for (more, result) in [(bit::IGNORE, 1), (bit::HANDLER, 0)] {
        let mut story = container();
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "worker").wait(60_000, &[]);
        story.signal(sent(3, Signal::TERM, bit::HANDLER, 0));
        // `runc kill --all`
        let to_all = kill(3, 11, Signal::TERM);
        story.signal(SignalSent { result, flags: to_all.flags | bit::OUTSIDE | more, ..to_all }).wait(3_000, &[]);
        assert!(killed(&mut story).is_none());
        let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
        assert!(finding.headline.ends_with("its pid 1 did not end at SIGTERM"), "{}", finding.headline);
        let said = "Children: all of them were sent a signal, though not by pid 1.";
        assert!(finding.message().contains(said), "{}", finding.message());
    }
}

#[test]
fn pid_1_that_relies_on_its_own_signal_is_told_so() {
    let mut story = container();
    story.exec(10, "node").signal(sent(3, Signal::TERM, bit::HANDLER, 0));
    let own = SignalSent { flags: bit::GROUP | bit::UNKILLABLE, result: 1, ..kill(10, 10, Signal::TERM) };
    story.signal(own).wait(3_000, &LIVES);
    let finding = killed(&mut story).unwrap();
    assert!(finding.headline.ends_with("its pid 1 handled SIGTERM and raised it again in vain"), "{finding:?}");
    assert!(finding.fix().starts_with("have node exit at SIGTERM by itself"), "{}", finding.fix());
}

const LIVES: [(u32, u8, u32); 4] = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (10, b'S', 2)];

#[test]
fn the_program_of_that_moment_is_named_and_advised() {
    let mut story = container();
    story.exec(10, "sh entrypoint.sh").signal(sent(3, Signal::TERM, 0, 1)).wait(1_000, &LIVES);
    story.exec(10, "appserver").wait(2_000, &LIVES);
    let finding = killed(&mut story).unwrap();
    assert!(
        finding.headline.ends_with("took 3.0 s to stop: SIGTERM came while sh ran, and was dropped"),
        "{}",
        finding.headline
    );
    let then = Note::new("program", "sh at that time; appserver (pid 10) from 1.0 s later on, and was not sent it");
    assert!(finding.notes.contains(&then), "{:?}", finding.notes);
    let fix = finding.fix();
    assert!(fix.contains("have sh end at SIGTERM until it executes appserver (trap 'exit 143' TERM"), "{fix}");
}

#[test]
fn who_executes_itself_anew_has_taken_it_for_a_reload() {
    // A shell blocks all signals while it forks, and takes them then.
    for blocked in [0, bit::BLOCKED] {
        let mut story = container();
        story.exec(10, "uwsgi --ini /etc/x").signal(sent(3, Signal::TERM, bit::HANDLER | blocked, 0));
        let caught = Masks { caught: 0b10 | 1 << 14, ..Masks::default() };
        assert!(blocked != 0 || story.detector.due(story.now + MS, 0).contains(&Wanted::Masks(task(10))));
        story.wait(100, &LIVES).event(EventKind::Masks(task(10), Some(caught))).wait(200, &LIVES);
        story.exec(10, "uwsgi --ini x").wait(2_000, &LIVES);
        let finding = killed(&mut story).unwrap();
        assert!(finding.headline.ends_with("its pid 1 took SIGTERM for a reload"), "{}", finding.headline);
        assert!(finding.message().contains("Reload: uwsgi (pid 10) re-executed itself 300 ms later, and went on."));
        assert!(finding.fix().starts_with("set a stop signal at which it ends, such as SIGINT, which it handles ("));
    }
}

#[test]
fn who_does_not_run_is_to_be_continued_or_thawed() {
    let mut stopped = container();
    stopped.signal(sent(3, Signal::TERM, bit::HANDLER | bit::STOPPED, 0)).wait(3_000, &LIVES);
    assert!(killed(&mut stopped).unwrap().fix().contains("kill -CONT"));
    let mut frozen = container();
    frozen.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(1_000, &LIVES);
    let waits = Masks { shared_pending: 1 << 14, ..Masks::default() };
    frozen.event(EventKind::Masks(task(10), Some(waits))).wait(2_000, &LIVES);
    let finding = killed(&mut frozen).unwrap();
    assert!(
        finding.headline.ends_with("its pid 1 was not running, and SIGTERM stayed pending"),
        "{}",
        finding.headline
    );
    assert!(finding.fix().contains("thaw it before you stop it"), "{}", finding.fix());
}

#[test]
fn what_is_advised_is_what_the_engine_has() {
    for (shim, engine, says) in [
        ("lxc-start", None, "lxc.signal.halt"),
        ("shim", Some(crate::host::Engine::Lxc), "lxc.signal.halt in the container's config"),
        ("systemd-nspawn", None, "--kill-signal"),
        ("shim", Some(crate::host::Engine::Docker), "STOPSIGNAL in the image, or --stop-signal"),
    ] {
        let mut story = container();
        story.exec(2, shim);
        if let Some(engine) = engine {
            let known = Container { id: "web".into(), engine, ..Container::default() };
            story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
        }
        story.signal(sent(3, Signal::TERM, bit::IGNORE, 1)).wait(3_000, &LIVES);
        let fix = killed(&mut story).unwrap().fix();
        assert!(fix.contains(says), "{fix}");
    }
}

#[test]
fn a_shell_is_advised_in_the_words_of_who_stops_it() {
    for (manager, signal, words) in [
        (
            "lxc-stop",
            Signal::PWR,
            ["set lxc.signal.halt in the container's config to", "kill -TERM $!; wait' PWR", "(tini in lxc.init.cmd)"],
        ),
        (
            "systemd-nspawn",
            Signal::RTMIN_3,
            ["set --kill-signal of systemd-nspawn to", "kill -TERM $!; wait' 37", "(systemd-nspawn --as-pid2)"],
        ),
        (
            "shim",
            Signal::TERM,
            ["if it handles SIGTERM (the exec form", "kill -TERM $!; wait' TERM", "(docker run --init, tini)"],
        ),
    ] {
        let mut story = container();
        story.exec(10, "sh").exec(3, manager).exec(4, manager);
        story.signal(sent(3, signal, 0, 1)).wait(3_000, &LIVES);
        let fix = killed(&mut story).unwrap().fix();
        assert!(words.iter().all(|words| fix.contains(words)), "{manager}: {fix}");
        assert_eq!(fix.contains("docker"), manager == "shim", "{fix}");
    }
}

/// A supervisor (20) with a worker (21) and its own session's shell (30), of which two `kill`s come (31, 32).
fn supervised() -> Story {
    let mut story = Story::new();
    story.fork(born(20, 1)).exec(20, "supervisord -n").fork(born(21, 20)).exec(21, "worker");
    story.fork(born(29, 1)).exec(29, "sshd").fork(born(30, 29)).exec(30, "bash");
    story.fork(born(31, 30)).exec(31, "kill").fork(born(32, 30)).exec(32, "kill");
    story
}

/// A signal for the worker, so many milliseconds before the next.
fn told(story: &mut Story, from: u32, signal: Signal, more: u16, result: u8, ms: u64) {
    let sent = kill(from, 21, signal);
    story.signal(SignalSent { result, flags: sent.flags | more, ..sent });
    let lives: Vec<_> =
        [(20, 1), (21, 20), (29, 1), (30, 29), (31, 30), (32, 30)].map(|(pid, of)| (pid, b'S', of)).into();
    story.wait(ms, &lives);
}

/// What is told of the SIGKILL that follows.
fn then_killed(story: &mut Story, from: u32) -> Finding {
    story.signal(kill(from, 21, Signal::KILL)).exit(Exit { status: ExitStatus(9), ..end(21, 20, Adopter::None) });
    story.free(21).wait(200, &[]).only()
}

#[test]
fn a_supervisor_that_gives_up_on_a_worker() {
    let mut story = supervised();
    told(&mut story, 20, Signal::TERM, bit::IGNORE, 1, 10_000);
    let finding = then_killed(&mut story, 20);
    assert_eq!(
        finding.message(),
        "worker (pid 21) took 10.0 s to stop: it ignores SIGTERM. SIGTERM: from supervisord (pid 20) < p1 (pid 1) to \
         worker (pid 21): ignored. SIGKILL: 10.0 s later, from supervisord (pid 20) < p1 (pid 1)."
    );
    assert_eq!((finding.rule.name, finding.facts.word("what"), finding.process.key), (DEF.name, "process", key(21)));
    assert_eq!((finding.confidence.clone(), finding.evidence.len()), (Confidence::Certain, 3));
    assert!(finding.fix().contains("(stopsignal=)"), "{}", finding.fix());
}

#[test]
fn what_became_of_a_workers_signal_is_told() {
    for (more, says, helps) in [
        (bit::HANDLER, "it did not end at SIGTERM", "(stopwaitsecs=)"),
        (bit::HANDLER | bit::BLOCKED, "it blocked SIGTERM", "unblock SIGTERM"),
        (bit::HANDLER | bit::STOPPED, "it was stopped", "kill -CONT"),
        (bit::HANDLER | bit::STOPPED | bit::BLOCKED, "it blocked SIGTERM", "unblock SIGTERM"),
    ] {
        let mut story = supervised();
        told(&mut story, 20, Signal::TERM, more, 0, 5_000);
        let finding = then_killed(&mut story, 20);
        assert!(finding.headline.ends_with(says), "{}", finding.headline);
        assert!(finding.fix().contains(helps), "{}", finding.fix());
    }
}

#[test]
fn a_signal_that_was_waited_for_was_taken() {
    let mut story = supervised();
    told(&mut story, 20, Signal::TERM, bit::BLOCKED, 0, 1_000);
    story.event(EventKind::Masks(task(21), Some(Masks::default()))).wait(1_000, &[(21, b'S', 20)]);
    let finding = then_killed(&mut story, 20);
    assert_eq!(finding.facts.word("verdict"), "delivered");
    assert!(finding.headline.ends_with("it did not end at SIGTERM"), "{}", finding.headline);
}

#[test]
fn who_is_continued_takes_what_has_waited() {
    for (more, says) in [(0, "it did not end at SIGTERM"), (bit::BLOCKED, "it blocked SIGTERM")] {
        let mut story = supervised();
        told(&mut story, 20, Signal::TERM, bit::HANDLER | bit::STOPPED | more, 0, 5_000);
        told(&mut story, 31, Signal::CONT, bit::STOPPED, 1, 5_000);
        let finding = then_killed(&mut story, 20);
        assert!(finding.headline.ends_with(says), "{}", finding.headline);
    }
}

#[test]
fn two_kills_of_one_shell_are_one_stop_and_of_a_child_most_likely() {
    for (first, then, is_certain) in [(31, 32, true), (30, 32, true), (20, 40, false)] {
        let mut story = supervised();
        story.fork(born(40, 20)).exec(40, "helper");
        told(&mut story, first, Signal::TERM, bit::HANDLER, 0, 3_000);
        let finding = then_killed(&mut story, then);
        assert_eq!(finding.rule.name, DEF.name);
        assert_eq!(finding.confidence == Confidence::Certain, is_certain, "{first} {then}");
    }
}

#[test]
fn what_is_no_escalation_is_told_as_an_end_only() {
    let handled = bit::HANDLER;
    for (why, first, signal, more, ms, then) in [
        ("strangers", 20, Signal::TERM, handled, 3_000, 31),
        ("at once", 20, Signal::TERM, handled, 500, 20),
        ("a reload", 20, Signal::HUP, handled, 3_000, 20),
        ("a thread dump", 20, Signal::QUIT, handled, 3_000, 20),
        ("what a shell interrupts", 31, Signal::INT, handled, 3_000, 32),
        ("long ago", 31, Signal::TERM, handled, 600_000, 32),
    ] {
        let mut story = supervised();
        told(&mut story, first, signal, more, 0, ms);
        assert_eq!(then_killed(&mut story, then).rule.name, "killed-by", "{why}");
    }
    let mut story = supervised();
    story.signal(kill(20, 21, Signal::TERM)).exit(Exit { status: ExitStatus(15), ..end(21, 20, Adopter::None) });
    assert_eq!(story.wait(200, &[]).rules(), ["killed-by"], "the first signal ended it");
}

#[test]
fn an_interrupt_of_a_supervisor_may_have_meant_it() {
    let mut story = supervised();
    story.exec(20, "node").event(EventKind::Rename(key(20), "PM2 v5.3.0: God".into()));
    told(&mut story, 20, Signal::INT, bit::HANDLER, 0, 1_600);
    let finding = then_killed(&mut story, 20);
    assert_eq!(finding.headline, "worker (pid 21) took 1.6 s to stop: it did not end at SIGINT");
    assert!(matches!(finding.confidence, Confidence::Incomplete(_)));
    assert!(finding.fix().contains("(kill_timeout)"), "{}", finding.fix());
}

#[test]
fn a_group_is_one_stop_with_all_who_fell() {
    let mut story = supervised();
    for pid in 22..26 {
        story.fork(born(pid, 21)).exec(pid, "helper");
    }
    told(&mut story, 20, Signal::TERM, bit::HANDLER, 0, 3_000);
    let place = crate::signal::Place { group: 21, session: 21, terminal: None };
    let sent = |pid| SignalSent { aim: crate::signal::Aim::Group, place, ..kill(20, pid, Signal::KILL) };
    for pid in 21..26 {
        story.signal(sent(pid));
    }
    for pid in (21..26).rev() {
        story.exit(Exit { status: ExitStatus(9), ..end(pid, if pid == 21 { 20 } else { 21 }, Adopter::None) });
    }
    let finding = story.wait(200, &[]).only();
    assert_eq!((finding.process.key, finding.facts.count("left")), (key(21), 4));
    assert!(
        finding.message().contains("; 4 more processes died with it. Died: helper (pid 25), "),
        "{}",
        finding.message()
    );
    assert!(finding.message().contains("Sent to: process group 21, by one call: 5 processes"), "{}", finding.message());
}

#[test]
fn a_shell_between_is_seen_to_pass_nothing_on() {
    let mut story = supervised();
    story.exec(21, "sh -c app").fork(born(22, 21)).exec(22, "app").wait(60_000, &[(22, b'S', 21), (21, b'S', 20)]);
    told(&mut story, 20, Signal::TERM, bit::HANDLER, 0, 3_000);
    let finding = then_killed(&mut story, 20);
    let message = finding.message();
    assert!(message.contains("Children: it was not seen to pass SIGTERM on to app (pid 22)."), "{message}");
    assert!(finding.fix().starts_with("run the program in place of the shell"), "{}", finding.fix());
}
