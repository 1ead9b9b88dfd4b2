//! Stories of signals that follow from others: what is said to have led to an end.

use tracer_common::record::signal_flags as bit;

use crate::{
    event::{Adopter, EventKind, Exec, Exit, ExitStatus, Roles, SignalSent, TaskInfo},
    finding::{Facts, Finding},
    host::Container,
    ident::{Args, Trust},
    signal::{Aim, Place, Signal, Terminal},
    story::{MS, Story, args, born, born_in, end, key, kill, task},
    thresholds::Thresholds,
    time::{BootNs, Span},
};

/// `bash` (2) with `main` (10) and its workers (11, 12); `systemd` (3) beside them. No stop is too slow.
fn story() -> Story {
    let mut story = Story::with(&Thresholds { slow_stop_after: Span::seconds(3_600), ..Thresholds::default() });
    for (pid, parent, comm) in
        [(2, 1, "bash"), (3, 1, "systemd"), (10, 2, "main"), (11, 10, "worker"), (12, 10, "worker")]
    {
        story.fork(born(pid, parent)).exec(pid, comm);
    }
    story
}

fn handled(sent: SignalSent) -> SignalSent {
    SignalSent { flags: sent.flags | bit::HANDLER, ..sent }
}

fn dies(story: &mut Story, pid: u32, parent: u32, signal: Signal) {
    let status = ExitStatus(i32::from(signal.0));
    story.exit(Exit { status, ..end(pid, parent, Adopter::None) });
}

/// Signal, sender, whom it met, how what follows came of it, and how certain that is.
type Told = (Option<Signal>, u32, u32, &'static str, &'static str);

fn told(facts: &Facts) -> Vec<Told> {
    let pid = |step: &Facts, name| step.process(name).map_or(0, |process| process.key.tgid);
    let of = |step: &Facts| {
        (step.signal("signal"), pid(step, "sender"), pid(step, "to"), step.word("how"), step.word("certainty"))
    };
    facts.list("origin").iter().map(of).collect()
}

/// What is told of the one end that there was.
fn found(story: &mut Story) -> (Finding, Vec<Told>) {
    story.wait(200, &[]);
    story.found.retain(|finding| finding.rule.name == "killed-by");
    let finding = story.only();
    let steps = told(&finding.facts);
    (finding, steps)
}

/// The same of a signal that ends `pid`.
fn ended(story: &mut Story, sent: SignalSent) -> (Finding, Vec<Told>) {
    let pid = sent.target.key.tgid;
    let parent = story.world().parent(sent.target.key).map_or(1, |parent| parent.key.tgid);
    story.signal(sent);
    dies(story, pid, parent, sent.signal);
    found(story)
}

const NOBODY: [Told; 0] = [];

#[test]
fn whoever_had_sent_what_an_init_passes_on_is_named() {
    let ns = 4_026_532_500;
    for (wait, first, want) in [
        (1, Signal(12), Some("seen")),
        (5_000, Signal(12), Some("likely")),
        (20_000, Signal(12), None),
        (1, Signal(10), None),
    ] {
        let mut story = story();
        story.fork(born_in(ns, 20, 1, 2)).exec(20, "tini").fork(born_in(ns, 21, 2, 20)).exec(21, "app");
        let sent = kill(3, 20, first);
        story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::AWAITED, ..sent }).wait(wait, &[]);
        let (finding, steps) = ended(&mut story, kill(20, 21, Signal(12)));
        let passed_on = want.map(|want| (Some(first), 3, 20, "passed-on", want));
        assert_eq!(steps, passed_on.into_iter().collect::<Vec<_>>(), "{wait} ms, {first}");
        let asks = if want.is_some() { "find out why systemd sent it" } else { "find out why tini sent it" };
        assert!(finding.fix().contains(asks), "{}", finding.fix());
    }
}

#[test]
fn what_stops_a_container_is_a_request_to_end_whatever_else_it_may_mean() {
    // LXC, and an engine that was told another signal.
    for (signal, stop_signal, is_one) in
        [(Signal::PWR, None, true), (Signal::WINCH, Some("SIGWINCH"), true), (Signal::WINCH, None, false)]
    {
        for (passes, how, certainty) in [(signal, "passed-on", "seen"), (Signal::TERM, "answer", "likely")] {
            if passes.is_ignored_by_default() {
                continue;
            }
            let (mut story, ns) = (story(), 4_026_532_500);
            story.fork(born_in(ns, 20, 1, 2)).exec(20, "init").fork(born_in(ns, 21, 2, 20)).exec(21, "app");
            let web = Container { id: "web".into(), stop_signal: stop_signal.map(Into::into), ..Container::default() };
            story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(20), "web".into()));
            let sent = handled(kill(3, 20, signal));
            story.signal(SignalSent { flags: sent.flags | bit::UNKILLABLE | bit::OUTSIDE, ..sent }).wait(1, &[]);
            let (_, steps) = ended(&mut story, kill(20, 21, passes));
            let want = is_one.then_some((Some(signal), 3, 20, how, certainty));
            assert_eq!(steps, want.into_iter().collect::<Vec<_>>(), "{signal} {stop_signal:?}");
        }
    }
}

#[test]
fn of_two_who_tell_a_worker_the_first_is_named() {
    // One call for the whole group, then the main process once more.
    let mut story = story();
    let call = |pid| SignalSent {
        aim: Aim::Group,
        place: Place { group: 10, session: 10, terminal: None },
        ..handled(kill(3, pid, Signal::TERM))
    };
    story.signal(call(10)).signal(call(11)).signal(call(12)).wait(20, &[]);
    story.signal(kill(10, 11, Signal::TERM)).signal(kill(10, 12, Signal::TERM));
    dies(&mut story, 11, 10, Signal::TERM);
    dies(&mut story, 12, 10, Signal::TERM);
    let (finding, steps) = found(&mut story);
    assert_eq!(finding.facts.count("count"), 2);
    assert_eq!(steps, [(Some(Signal::TERM), 3, 10, "passed-on", "seen")]);
    let because = "Because: main (pid 10) got SIGTERM from systemd (pid 3), and passed it on 20 ms later.";
    assert!(finding.message().contains(because), "{}", finding.message());
}

#[test]
fn what_it_had_handled_before_another_sender_ended_it_is_told() {
    let mut story = story();
    story.signal(handled(kill(3, 11, Signal::TERM))).wait(20, &[]);
    let (_, steps) = ended(&mut story, kill(2, 11, Signal::TERM));
    assert_eq!(steps, [(Some(Signal::TERM), 3, 11, "before", "likely")]);
}

#[test]
fn a_harsher_signal_of_the_same_sender_or_its_family_follows_from_the_milder_one() {
    for (from, want) in [(3, Some(("escalation", "seen"))), (31, Some(("escalation", "likely"))), (2, None)] {
        let mut story = story();
        // Two runtimes, one after the other, of one shim.
        story.fork(born(29, 1)).exec(29, "shim").fork(born(30, 29)).fork(born(31, 29));
        let first = if from == 3 { 3 } else { 30 };
        story.signal(handled(kill(first, 11, Signal::TERM))).wait(15_000, &[]);
        let (_, steps) = ended(&mut story, kill(from, 11, Signal::KILL));
        let want = want.map(|(how, certainty)| (Some(Signal::TERM), first, 11, how, certainty));
        assert_eq!(steps, want.into_iter().collect::<Vec<_>>(), "from {from}");
    }
    // Nobody is of one family by being a child of the init.
    let mut story = story();
    story.fork(born(40, 1)).signal(handled(kill(40, 11, Signal::TERM))).wait(15_000, &[]);
    assert_eq!(ended(&mut story, kill(3, 11, Signal::KILL)).1, NOBODY);
}

#[test]
fn a_chain_goes_back_to_its_first_cause() {
    let mut story = story();
    story.signal(handled(kill(3, 10, Signal::TERM))).wait(1, &[]);
    story.signal(handled(kill(10, 11, Signal::TERM))).wait(9_000, &[]);
    let (finding, steps) = ended(&mut story, kill(10, 11, Signal::KILL));
    let term = Some(Signal::TERM);
    assert_eq!(steps, [(term, 3, 10, "passed-on", "seen"), (term, 10, 11, "escalation", "seen")]);
    let spans: Vec<_> = finding.facts.list("origin").iter().map(|step| step.count("before_ns") / MS.0).collect();
    assert_eq!(spans, [1, 9_000]);
}

#[test]
fn whoever_is_asked_to_end_ends_who_is_below_it_and_nobody_else() {
    for (target, want) in [(11, Some("answer")), (3, None)] {
        let mut story = story();
        story.signal(handled(kill(2, 10, Signal::INT))).wait(50, &[]);
        let (_, steps) = ended(&mut story, kill(10, target, Signal::KILL));
        let want = want.map(|how| (Some(Signal::INT), 2, 10, how, "likely"));
        assert_eq!(steps, want.into_iter().collect::<Vec<_>>(), "{target}");
    }
}

#[test]
fn a_key_at_a_prompt_is_no_reason_for_the_next_command() {
    let key = SignalSent { flags: bit::KERNEL_INFO | bit::GROUP | bit::HANDLER, ..kill(3, 2, Signal::INT) };
    for (wait, count) in [(50, 1), (3_000, 0)] {
        let mut story = story();
        story.signal(key).wait(wait, &[]);
        assert_eq!(ended(&mut story, kill(2, 10, Signal::TERM)).1.len(), count);
    }
}

#[test]
fn a_helper_that_was_started_for_it_passes_on_what_its_parent_got() {
    for (pid, want) in [(1_100, true), (500, false)] {
        let mut story = story();
        story.signal(handled(kill(3, 2, Signal::TERM))).wait(150, &[]);
        story.fork(born(pid, 2)).exec(pid, "kill");
        let (_, steps) = ended(&mut story, kill(pid, 10, Signal::TERM));
        let want = want.then_some((Some(Signal::TERM), 3, 2, "passed-on", "likely"));
        assert_eq!(steps, want.into_iter().collect::<Vec<_>>(), "{pid}");
    }
}

#[test]
fn a_timer_that_has_run_out_is_why_its_owner_ends_its_child() {
    let mut story = story();
    let timer = SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(3, 10, Signal::ALRM) };
    story.signal(timer);
    let (finding, steps) = ended(&mut story, kill(10, 11, Signal::TERM));
    assert_eq!(steps, [(Some(Signal::ALRM), 0, 10, "answer", "likely")]);
    assert!(finding.message().contains("a timer of main (pid 10) ran out"), "{}", finding.message());
}

#[test]
fn a_timer_of_a_while_ago_and_one_that_ticks_are_no_reason() {
    for (waits, count) in [(&[600][..], 1), (&[3_000], 0), (&[1_000, 20], 0), (&[60_000, 20], 1)] {
        let mut story = story();
        for &wait in waits {
            story.signal(SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(3, 10, Signal::ALRM) });
            story.wait(wait, &[]);
        }
        assert_eq!(ended(&mut story, kill(10, 11, Signal::TERM)).1.len(), count, "{waits:?}");
    }
}

#[test]
fn whoever_repeats_the_end_of_its_child_is_no_suicide() {
    for (signal, wait, want) in [(Signal::ABRT, 1, true), (Signal::KILL, 1, false), (Signal::ABRT, 3_000, false)] {
        let mut story = story();
        story.signal(kill(3, 11, signal));
        dies(&mut story, 11, 10, signal);
        story.wait(wait, &[(11, b'Z', 10)]).wait(200, &[(11, b'Z', 10)]).found.clear();
        let (finding, steps) = ended(&mut story, kill(10, 10, Signal::ABRT));
        let text = "main (pid 10) ended itself with SIGABRT, because its child worker (pid 11) died of it";
        assert_eq!(finding.headline == text, want, "{}", finding.headline);
        assert_eq!(steps.len(), usize::from(want));
    }
}

#[test]
fn the_end_of_a_child_is_why_the_others_are_ended_unless_children_end_all_the_time() {
    for (others, want) in [(0, true), (3, false)] {
        let mut story = story();
        for pid in 200..200 + others {
            story.fork(born(pid, 10)).exit(Exit { status: ExitStatus(0x100), ..end(pid, 10, Adopter::None) });
        }
        story.exit(Exit { status: ExitStatus(0x300), ..end(11, 10, Adopter::None) });
        let (_, steps) = ended(&mut story, kill(10, 12, Signal::TERM));
        let want = want.then_some((None, 0, 11, "child-ended", "likely"));
        assert_eq!(steps, want.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_had_ended_the_parent_is_why_its_child_ended_with_it() {
    let mut story = story();
    story.signal(kill(3, 10, Signal::TERM));
    dies(&mut story, 10, 2, Signal::TERM);
    let flags = bit::GROUP | bit::NO_INFO | bit::SENDER_EXITING;
    story.signal(SignalSent { flags, ..kill(10, 11, Signal::KILL) });
    dies(&mut story, 11, 10, Signal::KILL);
    story.wait(200, &[]).found.retain(|finding| finding.process.key.tgid == 11);
    assert_eq!(told(&story.only().facts), [(Some(Signal::TERM), 3, 10, "ended", "seen")]);
}

#[test]
fn a_broken_pipe_that_is_raised_again_is_no_suicide() {
    let mut story = Story::new();
    story.fork(born(100, 1)).exec(100, "bash");
    for (pid, comm) in [(990, "sort"), (991, "head"), (101, "other")] {
        story.fork(born(pid, 100)).exec(pid, comm);
    }
    story.exit(end(991, 100, Adopter::None));
    story.signal(SignalSent { flags: bit::NO_INFO | bit::HANDLER, ..kill(990, 990, Signal::PIPE) });
    let (finding, steps) = ended(&mut story, SignalSent { code: -6, ..kill(990, 990, Signal::PIPE) });
    assert_eq!((finding.facts.word("how"), finding.facts.count("raised_again")), ("broken-pipe", 1));
    assert_eq!(steps, [(None, 0, 991, "ended", "likely")]);
    // Who was not started together with it did not read its pipe.
    story.exit(end(101, 100, Adopter::None)).fork(born(992, 100));
    let sent = SignalSent { flags: bit::NO_INFO, ..kill(992, 992, Signal::PIPE) };
    assert_eq!(ended(&mut story, sent).1, NOBODY);
}

#[test]
fn whoever_ends_itself_with_its_child_has_the_reason_that_ended_the_child() {
    let mut story = story();
    story.signal(handled(kill(10, 11, Signal::TERM))).wait(500, &[]);
    let place = Place { group: 10, session: 2, terminal: None };
    let call = |pid| SignalSent { aim: Aim::OwnGroup, place, ..kill(10, pid, Signal::KILL) };
    story.signal(call(10)).signal(call(11));
    dies(&mut story, 10, 2, Signal::KILL);
    dies(&mut story, 11, 2, Signal::KILL);
    let (finding, steps) = found(&mut story);
    assert_eq!(finding.facts.count("count"), 2);
    assert_eq!(steps, [(Some(Signal::TERM), 10, 11, "escalation", "seen")]);
}

#[test]
fn two_that_the_same_ended_for_reasons_of_their_own_have_none_in_common() {
    let mut story = story();
    story.signal(handled(kill(2, 10, Signal::TERM))).wait(50, &[]);
    story.signal(kill(10, 11, Signal::TERM)).signal(kill(10, 3, Signal::TERM)).wait(1, &[]);
    story.signal(kill(10, 12, Signal::KILL)).signal(kill(10, 3, Signal::KILL));
    dies(&mut story, 12, 10, Signal::KILL);
    dies(&mut story, 3, 1, Signal::KILL);
    let (finding, steps) = found(&mut story);
    assert_eq!((finding.facts.count("count"), steps), (2, NOBODY.to_vec()));
}

#[test]
fn what_a_program_handles_and_raises_again_is_no_suicide_whatever_signal_it_is() {
    let mut story = story();
    story.signal(handled(kill(3, 10, Signal(10))));
    let (finding, _) = ended(&mut story, kill(10, 10, Signal(10)));
    assert_eq!(finding.headline, "main (pid 10) handled SIGUSR1 from systemd (pid 3), then raised it again and ended");
    let mut story = self::story();
    story.signal(SignalSent { code: 1, flags: bit::HANDLER, ..kill(10, 10, Signal::SEGV) });
    let (finding, _) = ended(&mut story, SignalSent { code: -6, ..kill(10, 10, Signal::SEGV) });
    assert_eq!((finding.facts.word("how"), finding.facts.count("raised_again")), ("fault", 1));
}

#[test]
fn what_a_program_takes_without_a_handler_and_raises_again_is_no_suicide() {
    // By sigwait(3), or by a signalfd(2).
    for taken in [bit::AWAITED, bit::BLOCKED] {
        let mut story = story();
        let sent = kill(3, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | taken, ..sent }).wait(500, &[]);
        let (finding, _) = ended(&mut story, SignalSent { code: -6, flags: 0, ..kill(10, 10, Signal::TERM) });
        let want = "main (pid 10) handled SIGTERM from systemd (pid 3), then raised it again and ended";
        assert_eq!(finding.headline, want);
    }
}

#[test]
fn whoever_ends_itself_after_a_request_to_end_was_asked_for_it() {
    let (itself, group) = (kill(10, 10, Signal::KILL), SignalSent { aim: Aim::OwnGroup, ..kill(10, 10, Signal::TERM) });
    let before = Some(("before", "likely"));
    for (first, ms, sent, want) in [
        (Signal::TERM, 20, itself, before),
        // `trap 'kill 0' TERM`, and nobody else is left in the group.
        (Signal::TERM, 20, group, Some(("passed-on", "seen"))),
        (Signal::HUP, 20, itself, None),
        (Signal::INT, 20, itself, before),
        (Signal::INT, 3_000, itself, None),
        (Signal::TERM, 20_000, itself, None),
    ] {
        let mut story = story();
        story.signal(handled(kill(3, 10, first))).wait(ms, &[]);
        let (finding, steps) = ended(&mut story, sent);
        let step = want.map(|(how, certainty)| (Some(first), 3, 10, how, certainty));
        assert_eq!(steps, step.into_iter().collect::<Vec<_>>(), "{first} {ms}");
        let said = match want {
            Some(_) => format!("{} 20 ms after {first} from systemd (pid 3)", sent.signal),
            None => "SIGKILL (raise(), or kill() on its own pid)".to_owned(),
        };
        assert_eq!(finding.headline, format!("main (pid 10) ended itself with {said}"));
        let blames = finding.fix().contains(&format!("find out why systemd sent {first}"));
        assert_eq!(blames, want.is_some(), "{}", finding.fix());
    }
}

#[test]
fn of_two_whose_signals_a_program_handles_the_first_is_named() {
    for (first, wait, want) in [(3, 2_000, true), (2, 2_000, false), (3, 20_000, false)] {
        let mut story = story();
        story.signal(handled(kill(first, 10, Signal::TERM))).wait(wait, &[]);
        story.signal(handled(kill(2, 10, Signal::TERM))).wait(5, &[]);
        let (finding, steps) = ended(&mut story, kill(10, 10, Signal::TERM));
        assert!(finding.headline.contains("handled SIGTERM from bash (pid 2), then raised"), "{}", finding.headline);
        let want = want.then_some((Some(Signal::TERM), 3, 10, "before", "likely"));
        assert_eq!(steps, want.into_iter().collect::<Vec<_>>(), "{first} {wait}");
    }
}

#[test]
fn what_comes_with_the_end_of_a_process_is_not_from_it() {
    let flags = bit::GROUP | bit::SENDER_EXITING;
    for (how, signal, says, advises) in [
        (bit::KERNEL_INFO, Signal::HUP, "main (pid 10) got SIGHUP at the end of sshd (pid 4), and passed it", "setsid"),
        (
            bit::NO_INFO,
            Signal::TERM,
            "main (pid 10) got SIGTERM at the end of its parent sshd (pid 4), or of a thread of it, and passed it",
            "find out why sshd ended",
        ),
    ] {
        let mut story = story();
        story.fork(born(4, 1)).exec(4, "sshd");
        story.signal(handled(SignalSent { flags: flags | how, ..kill(4, 10, signal) })).wait(1, &[]);
        let (finding, steps) = ended(&mut story, kill(10, 11, signal));
        assert_eq!(steps, [(Some(signal), 4, 10, "passed-on", "seen")]);
        assert!(finding.message().contains(says), "{}", finding.message());
        assert!(finding.fix().contains(advises) && !finding.fix().contains("why sshd sent"), "{}", finding.fix());
    }
}

#[test]
fn an_exec_of_the_engine_that_took_too_long_is_told_as_that() {
    for (name, trust, client, want) in [
        ("containerd-shim", Trust::Root, None, true),
        ("containerd-shim", Trust::Root, Some("docker exec web check"), false),
        ("containerd-shim", Trust::Nobody, None, false),
        ("sh", Trust::Root, None, false),
    ] {
        let mut story = Story::new();
        story.fork(born(29, 1));
        let args = Args { trust, ..args(name) };
        story.event(EventKind::Exec(Box::new(Exec {
            task: task(29),
            comm: name.into(),
            old_tid: 29,
            args,
            mount_ns: 0,
            ignored: Some(0),
        })));
        story.fork(born_in(77, 30, 1, 29)).exec(30, "web");
        let web = Container { id: "web".into(), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(30), "web".into()));
        if let Some(line) = client {
            story.fork(born(31, 1)).exec(31, line);
        }
        let outsider = Roles { outsider: true, ..Roles::default() };
        story.fork(TaskInfo { roles: outsider, ..born_in(77, 32, 9, 29) }).exec(32, "check");
        story.event(EventKind::Contained(key(32), "web".into()));
        let (finding, _) = ended(&mut story, kill(29, 32, Signal::KILL));
        assert_eq!(finding.headline.contains("the engine gave up on its own exec after"), want, "{}", finding.headline);
        assert_eq!(finding.facts.record("exec").is_some_and(|exec| exec.span("age_ns") > Span::ZERO), want);
    }
}

#[test]
fn one_call_for_a_group_is_told_once_with_whoever_made_it() {
    for (aim, count) in [(Aim::OwnGroup, 3), (Aim::Unknown, 2)] {
        let mut story = story();
        let place = Place { group: 10, session: 2, terminal: None };
        for pid in [10, 11, 12] {
            story.signal(SignalSent { aim, place, ..kill(10, pid, Signal::TERM) });
        }
        story.fork(born(13, 2)).signal(SignalSent { aim, place, ..handled(kill(10, 13, Signal::TERM)) });
        for pid in [10, 11, 12] {
            dies(&mut story, pid, 2, Signal::TERM);
        }
        story.wait(200, &[]);
        story.found.retain(|finding| finding.rule.name == "killed-by");
        let most = story.found.iter().map(|finding| finding.facts.count("count")).max();
        assert_eq!(most, Some(count), "{aim:?}");
        if aim == Aim::Unknown {
            continue;
        }
        let finding = story.only();
        let call = finding.facts.record("call").unwrap();
        assert_eq!((call.word("aim"), call.count("group")), ("own-group", 10));
        assert_eq!((call.count("sent"), call.count("handled")), (4, 1));
        let message = finding.message();
        assert!(message.contains("from main (pid 10), which sent it to its whole process group."), "{message}");
        assert!(message.contains("process group 10, by one call: 4 processes; p13 (pid 13) handled it."), "{message}");
    }
}

#[test]
fn a_call_for_its_group_that_met_nobody_else_is_for_itself() {
    let mut story = story();
    let sent = SignalSent { aim: Aim::OwnGroup, ..kill(10, 10, Signal::TERM) };
    assert_eq!(ended(&mut story, sent).0.facts.word("how"), "itself");
}

#[test]
fn a_key_is_told_with_its_terminal_whose_session_it_is_and_who_handled_it() {
    let mut story = story();
    let place = Place { group: 10, session: 2, terminal: Some(Terminal(136 << 20 | 7)) };
    let flags = bit::KERNEL_INFO | bit::GROUP;
    let key = |pid| SignalSent { aim: Aim::Unknown, place, flags, ..kill(3, pid, Signal::INT) };
    story.signal(handled(key(10))).signal(key(11)).signal(key(12));
    dies(&mut story, 11, 10, Signal::INT);
    dies(&mut story, 12, 10, Signal::INT);
    let (finding, _) = found(&mut story);
    assert_eq!(finding.headline, "2 processes were ended by SIGINT from /dev/pts/7 (Ctrl-C)");
    let note = "process group 10 in the foreground of /dev/pts/7, of the session of bash (pid 2): 3 processes; \
                main (pid 10) handled it.";
    assert!(finding.message().contains(note), "{}", finding.message());
}

/// As many parents as are remembered, thrice, in memory for a third of them: of the first, it is not known any more.
#[test]
fn of_very_many_parents_those_count_whose_children_ended_last() {
    let mut story = Story::new();
    let most = 3 * super::Ends::MOST_PARENTS as u32;
    for parent in (2..).take(most as usize) {
        let child = parent + most;
        story.fork(born(parent, 1)).fork(born(child, parent)).exit(end(child, parent, Adopter::None));
    }
    let world = story.world();
    let last = key(most + 1);
    assert_eq!(world.ends.of(last).len(), 1);
    assert!(world.ends.recent.len() + world.ends.older.len() <= 2 * super::Ends::MOST_PARENTS);
    assert!(world.ends.of(key(2)).is_empty());
    assert!(world.has_lost_child_since(key(2), BootNs::ZERO));
    assert!(!world.has_lost_child_since(key(2), world.now()));
}
