//! Stories of ends by signals: who is said to have ended whom.

use tracer_common::record::signal_flags;

use super::*;
use crate::{
    event::{Adopter, EventKind, Exec, Exit, ExitStatus, SignalSent, TaskInfo},
    finding::{Confidence, Facts, Finding},
    ident::TaskRef,
    story::{MS, Story, args, born, born_in, end, key, kill, zombie},
};

fn by(signal: Signal) -> ExitStatus {
    ExitStatus(i32::from(signal.0))
}

fn ends(story: &mut Story, pid: u32, signal: Signal) {
    story.exit(Exit { status: by(signal), ..end(pid, 1, Adopter::None) });
}

/// 2 sends, 10 to 12 are there to be ended.
fn story() -> Story {
    let mut story = Story::new();
    for pid in [2, 10, 11, 12] {
        story.fork(born(pid, 1));
    }
    story
}

fn killer_of(facts: &Facts) -> Killer {
    use Killer::{CgroupKill, Fault, Itself, Oom, ParentDeath, Process, Seccomp, Unknown};
    let known = [CgroupKill, Fault, Itself, Oom, ParentDeath, Process, Seccomp, Unknown];
    known.into_iter().find(|killer| killer.id() == facts.word("how")).unwrap()
}

/// Who ended how many, in the order in which it was said.
fn told(story: &mut Story) -> Vec<(Killer, Option<u32>, u64)> {
    let of = |Finding { rule, facts, .. }: Finding| {
        assert_eq!(rule.name, "killed-by");
        let sender = facts.process("sender").map(|sender| sender.key.tgid);
        (killer_of(&facts), sender, facts.count("count"))
    };
    story.found.drain(..).map(of).collect()
}

#[test]
fn ends_of_one_cause_within_a_moment_are_one_and_later_ones_another() {
    let mut story = story();
    for pid in [10, 11] {
        story.signal(kill(2, pid, Signal::TERM));
        ends(&mut story, pid, Signal::TERM);
    }
    story.wait(50, &[]);
    assert_eq!(told(&mut story), [], "more may come");
    story.wait(60, &[]).signal(kill(2, 12, Signal::TERM));
    ends(&mut story, 12, Signal::TERM);
    story.wait(200, &[]);
    assert_eq!(told(&mut story), [(Killer::Process, Some(2), 2), (Killer::Process, Some(2), 1)]);
}

#[test]
fn another_sender_another_signal_and_each_fault_are_causes_of_their_own() {
    let mut story = story();
    story.signal(kill(2, 10, Signal::TERM)).signal(kill(2, 11, Signal::KILL)).signal(kill(1, 12, Signal::KILL));
    ends(&mut story, 10, Signal::TERM);
    ends(&mut story, 11, Signal::KILL);
    ends(&mut story, 12, Signal::KILL);
    for pid in [20, 21] {
        story.fork(born(pid, 1)).signal(SignalSent { code: 1, ..kill(pid, pid, Signal::SEGV) });
        ends(&mut story, pid, Signal::SEGV);
    }
    story.event(EventKind::End(crate::event::End::default()));
    let process = |pid| (Killer::Process, Some(pid), 1);
    let fault = (Killer::Fault, None, 1);
    assert_eq!(told(&mut story), [process(2), process(2), process(1), fault, fault]);
}

#[test]
fn what_did_not_end_it_is_not_blamed() {
    let mut story = story();
    let handled = kill(2, 10, Signal::TERM);
    story.signal(SignalSent { flags: handled.flags | signal_flags::HANDLER, ..handled });
    // Refused, as it is dying: nothing that it could end by.
    story.signal(kill(12, 10, Signal::KILL));
    story.signal(SignalSent { flags: handled.flags | signal_flags::DYING, ..kill(11, 10, Signal::KILL) });
    ends(&mut story, 10, Signal::KILL);
    // Exits by itself, after all.
    story.signal(SignalSent { flags: handled.flags | signal_flags::HANDLER, ..kill(2, 11, Signal::TERM) });
    story.exit(end(11, 1, Adopter::None));
    assert_eq!(story.rules(), ["stopped-by"]);
    story.wait(200, &[]);
    assert_eq!(told(&mut story), [(Killer::Process, Some(12), 1)]);
}

#[test]
fn a_signal_that_waits_ends_when_it_is_unblocked() {
    let mut story = story();
    let sent = kill(2, 10, Signal::TERM);
    story.signal(SignalSent { flags: sent.flags | signal_flags::BLOCKED, ..sent });
    story.wait(60_000, &[(10, b'S', 1)]);
    ends(&mut story, 10, Signal::TERM);
    let finding = story.wait(200, &[]).only();
    assert!(finding.at - finding.since > 60_000 * MS);
}

#[test]
fn what_was_handled_long_ago_or_by_another_program_is_not_why_a_signal_is_raised() {
    for exec in [false, true] {
        let mut story = story();
        let sent = kill(2, 10, Signal::HUP);
        story.signal(SignalSent { flags: sent.flags | signal_flags::HANDLER, ..sent });
        if exec {
            story.exec(10, "other");
        } else {
            story.wait(RAISED_AGAIN / MS + 1, &[]);
        }
        story.signal(kill(10, 10, Signal::HUP));
        ends(&mut story, 10, Signal::HUP);
        story.wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Itself, Some(10), 1)]);
    }
}

#[test]
fn what_was_handled_long_ago_is_not_why_it_ends_by_a_signal_that_was_not_seen() {
    for (ms, want) in [(500, (Killer::Process, Some(2), 1)), (RAISED_AGAIN / MS + 1, (Killer::Unknown, None, 1))] {
        let mut story = story();
        let sent = kill(2, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | signal_flags::HANDLER, ..sent }).wait(ms, &[]);
        ends(&mut story, 10, Signal::TERM);
        story.wait(200, &[]);
        assert_eq!(told(&mut story), [want], "{ms}");
    }
}

#[test]
fn the_mark_of_the_out_of_memory_killer_counts_only_with_its_signal() {
    let of_kernel = SignalSent { flags: signal_flags::KERNEL_INFO, ..kill(10, 10, Signal::KILL) };
    for (sent, want) in [(of_kernel, Killer::Oom), (kill(2, 10, Signal::KILL), Killer::Process)] {
        let mut story = story();
        story.signal(sent).exit(Exit { status: by(Signal::KILL), oom: true, ..end(10, 1, Adopter::None) });
        story.wait(200, &[]);
        assert_eq!(told(&mut story)[0].0, want);
    }
}

#[test]
fn the_strict_mode_of_seccomp_counts_where_nobody_sent_a_signal() {
    for (sent, want) in [(None, Killer::Seccomp), (Some(kill(2, 10, Signal::KILL)), Killer::Process)] {
        let mut story = story();
        if let Some(sent) = sent {
            story.signal(sent);
        }
        story.exit(Exit { status: by(Signal::KILL), seccomp: true, ..end(10, 1, Adopter::None) }).wait(200, &[]);
        assert_eq!(told(&mut story)[0].0, want);
    }
}

#[test]
fn whose_memory_had_run_out_is_told_with_the_end() {
    let group = |path: Option<&str>| OutOfMemory::Group(path.map(str::to_owned));
    let of_kernel = |pid| SignalSent { flags: signal_flags::KERNEL_INFO, ..kill(2, pid, Signal::KILL) };
    let mut story = story();
    for pid in [10, 11] {
        story.signal(of_kernel(pid)).exit(Exit { status: by(Signal::KILL), oom: true, ..end(pid, 1, Adopter::None) });
    }
    // All of a group end; only the first of them was chosen.
    story.event(EventKind::OutOfMemory(key(10), group(Some("/\u{1b}pod"))));
    story.event(EventKind::OutOfMemory(key(11), group(None)));
    story.event(EventKind::OutOfMemory(key(12), OutOfMemory::Machine));
    story.wait(200, &[]);
    let [finding] = story.found.as_slice() else { panic!("{:?}", story.found) };
    let message = finding.message();
    assert!(
        message.contains("2 processes") && message.contains("group \"/\\x1bpod\" was at its memory limit"),
        "{message}"
    );
}

#[test]
fn the_end_of_a_namespace_is_said_once_for_all_but_whom_somebody_had_killed_before() {
    let mut story = story();
    let ns = 4_026_532_500;
    for (pid, ns_pid, parent) in [(30, 1, 1), (31, 2, 30), (32, 3, 30), (33, 4, 30)] {
        story.fork(born_in(ns, pid, ns_pid, parent));
    }
    story.signal(kill(2, 31, Signal::KILL)).exit(end(30, 1, Adopter::None));
    story.signal(SignalSent { flags: ZAP, ..kill(30, 32, Signal::KILL) });
    for pid in [31, 32, 33] {
        ends(&mut story, pid, Signal::KILL);
    }
    story.wait(200, &[]);
    let rules: Vec<_> = story.found.iter().map(|finding| finding.rule.name).collect();
    assert_eq!(rules, ["namespace-killed", "killed-by"]);
    story.found.remove(0);
    assert_eq!(told(&mut story), [(Killer::Process, Some(2), 1)]);
}

#[test]
fn an_end_without_a_signal_is_incomplete_unless_it_was_before_anybody_watched() {
    let mut story = story();
    story.rows(&[zombie(born(40, 1), Some(500))]);
    let mut dead = zombie(born(41, 1), Some(500));
    dead.status = by(Signal::KILL);
    story.rows(&[dead]).wait(1, &[(41, b'Z', 1)]);
    story.fork(born(42, 1));
    ends(&mut story, 42, Signal::KILL);
    story.wait(200, &[(41, b'Z', 1)]);
    let finding = story.only();
    assert_eq!(finding.process.key.tgid, 42);
    assert!(matches!(finding.confidence, Confidence::Incomplete(_)));
}

#[test]
fn the_end_of_a_thread_is_not_the_end_of_the_parent() {
    for (ends_too, lives) in [(false, true), (true, false)] {
        let mut story = story();
        let flags = signal_flags::GROUP | signal_flags::NO_INFO | signal_flags::SENDER_EXITING;
        let asked_for = SignalSent { flags, ..kill(2, 10, Signal::KILL) };
        story.signal(asked_for);
        ends(&mut story, 10, Signal::KILL);
        if ends_too {
            story.exit(end(2, 1, Adopter::None));
        }
        story.wait(150, &[(2, b'S', 1), (10, b'Z', 1)]);
        story.found.retain(|finding| finding.rule.name == "killed-by");
        let finding = story.only();
        assert_eq!((killer_of(&finding.facts), finding.facts.flag("sender_lives")), (Killer::ParentDeath, lives));
        assert_eq!(finding.headline.ends_with(": a thread of its parent p2 (pid 2) ended"), lives);
        assert_eq!(finding.headline.ends_with(": its parent p2 (pid 2) ended"), ends_too);
    }
}

#[test]
fn the_end_of_a_thread_is_not_the_end_of_the_tracer() {
    let flags = signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::TRACED;
    for (ends_too, says) in
        [(false, ": a thread of its tracer p2 (pid 2) ended"), (true, ": its tracer p2 (pid 2) ended")]
    {
        let mut story = story();
        story.signal(SignalSent { flags, ..kill(2, 10, Signal::KILL) });
        ends(&mut story, 10, Signal::KILL);
        if ends_too {
            story.exit(end(2, 1, Adopter::None));
        }
        story.wait(150, &[]);
        story.found.retain(|finding| finding.rule.name == "killed-by");
        let finding = story.only();
        assert!(finding.headline.ends_with(says), "{}", finding.headline);
        assert_eq!(finding.facts.flag("sender_lives"), !ends_too);
        assert_eq!(finding.fix().contains("the thread that traces it"), !ends_too, "{}", finding.fix());
    }
}

#[test]
fn more_causes_than_are_kept_are_told_at_once() {
    let mut story = Story::new();
    for pid in 1_000..1_000 + MOST_OPEN as u32 + 1 {
        story.fork(born(pid, 1)).signal(SignalSent { code: 1, ..kill(pid, pid, Signal::SEGV) });
        ends(&mut story, pid, Signal::SEGV);
    }
    assert_eq!(told(&mut story), [(Killer::Fault, None, 1)]);
    story.event(EventKind::End(crate::event::End::default()));
    assert_eq!(told(&mut story).len(), MOST_OPEN);
}

const ZAP: u16 =
    signal_flags::GROUP | signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::SENDER_INIT;

/// An init (pid) of a namespace of its own, with so many others.
fn namespace(story: &mut Story, pid: u32, others: u32) {
    for n in 0..=others {
        story.fork(born_in(4_026_530_000 + pid, pid + n, n + 1, if n == 0 { 1 } else { pid }));
    }
}

/// The headline and the killer of each end of a namespace; nothing else was found.
fn ended(story: &mut Story) -> Vec<(u32, String, Option<Facts>)> {
    let of = |Finding { rule, process, headline, facts, .. }: Finding| {
        assert_eq!(rule.name, "namespace-killed");
        (process.key.tgid, headline, facts.record("killed_by").cloned())
    };
    story.found.drain(..).map(of).collect()
}

#[test]
fn a_namespace_that_cgroup_kill_ended_is_one_finding_with_who_wrote_to_it() {
    let mut story = story();
    namespace(&mut story, 100, 2);
    let plain = signal_flags::NO_INFO | signal_flags::OUTSIDE;
    for pid in [100, 101, 102] {
        story.signal(SignalSent { flags: plain, ..kill(2, pid, Signal::KILL) });
    }
    for pid in [101, 100, 102] {
        ends(&mut story, pid, Signal::KILL);
    }
    story.wait(200, &[]);
    let [(100, message, Some(kill))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
    let text = "pid 1 of pid namespace 4026530100 was ended by SIGKILL: p2 (pid 2) ended its control group";
    assert_eq!(message, text);
    assert_eq!((killer_of(kill), kill.count("count")), (Killer::CgroupKill, 3));
}

#[test]
fn whoever_writes_to_cgroup_kill_of_its_own_group_is_one_of_those_that_it_ends() {
    for others in [2, 0] {
        let mut story = story();
        let all = [2, 10, 11].into_iter().take(others + 1);
        for pid in all.clone() {
            story.signal(SignalSent { flags: signal_flags::NO_INFO, ..kill(2, pid, Signal::KILL) });
        }
        for pid in all {
            ends(&mut story, pid, Signal::KILL);
        }
        story.wait(200, &[]);
        let is_certain = story.found[0].confidence == Confidence::Certain;
        assert_eq!(is_certain, others > 0, "AppArmor's kill mode does the same to one");
        assert_eq!(told(&mut story), [(Killer::CgroupKill, Some(2), others as u64 + 1)]);
    }
}

#[test]
fn who_is_killed_after_the_init_by_somebody_else_is_not_counted() {
    let mut story = story();
    namespace(&mut story, 100, 3);
    // `kill -9 -1; exit`
    for pid in [101, 102, 103] {
        story.signal(kill(100, pid, Signal::KILL));
    }
    story.exit(end(100, 1, Adopter::None));
    for pid in [101, 102, 103] {
        ends(&mut story, pid, Signal::KILL);
    }
    story.wait(200, &[]);
    assert_eq!(told(&mut story), [(Killer::Process, Some(100), 3)]);
}

#[test]
fn one_kill_of_several_inits_is_named_by_each_end_and_by_nothing_else() {
    let mut story = story();
    for pid in [100, 110, 120] {
        namespace(&mut story, pid, 1);
    }
    // Nobody else is in this one.
    namespace(&mut story, 130, 0);
    for pid in [100, 110, 120, 130, 10] {
        story.signal(kill(2, pid, Signal::KILL));
    }
    for pid in [100, 110, 120] {
        ends(&mut story, pid, Signal::KILL);
        story.signal(SignalSent { flags: ZAP, ..kill(pid, pid + 1, Signal::KILL) });
        ends(&mut story, pid + 1, Signal::KILL);
    }
    for pid in [130, 10] {
        ends(&mut story, pid, Signal::KILL);
    }
    story.wait(200, &[]);
    let rest = story.found.iter().position(|finding| finding.rule.name == "killed-by").unwrap();
    let rest = story.found.remove(rest).facts;
    assert_eq!(rest.get("victims").processes().iter().map(|victim| victim.key.tgid).collect::<Vec<_>>(), [10, 130]);
    let ended = ended(&mut story);
    assert_eq!(ended.iter().map(|(pid, ..)| *pid).collect::<Vec<_>>(), [100, 110, 120]);
    for (_, message, kill) in ended {
        assert!(message.contains("was ended by SIGKILL from p2 (pid 2)"), "{message}");
        let kill = kill.unwrap();
        assert_eq!(kill.count("count"), 1);
    }
}

#[test]
fn a_namespace_that_takes_its_time_to_end_still_names_who_ended_its_init() {
    let mut story = story();
    namespace(&mut story, 100, 1);
    story.signal(kill(2, 100, Signal::KILL));
    ends(&mut story, 100, Signal::KILL);
    story.signal(SignalSent { flags: ZAP, ..kill(100, 101, Signal::KILL) });
    story.wait(3_000, &[(100, b'S', 1), (101, b'D', 100)]);
    assert_eq!(ended(&mut story).len(), 0);
    ends(&mut story, 101, Signal::KILL);
    story.wait(1, &[(100, b'S', 1)]);
    let [(100, message, Some(_))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
    assert!(message.contains("from p2 (pid 2); the kernel killed the process left"), "{message}");
}

#[test]
fn a_nested_namespace_that_ends_by_the_same_is_part_of_the_outer_one() {
    let mut story = story();
    namespace(&mut story, 100, 1);
    let inner = PidNs(4_026_530_999);
    let nested = |pid, ns_pid, parent| TaskInfo {
        pid_ns: inner,
        parent_ns: Some(PidNs(4_026_530_100)),
        ns_level: 2,
        ..born_in(0, pid, ns_pid, parent)
    };
    story.fork(nested(110, 1, 101)).fork(nested(111, 2, 110));
    let pids = [110, 111, 100, 101];
    for pid in pids {
        story.signal(SignalSent { flags: signal_flags::NO_INFO, ..kill(2, pid, Signal::KILL) });
    }
    for pid in pids {
        ends(&mut story, pid, Signal::KILL);
    }
    story.wait(200, &[]);
    let [(100, _, Some(kill))] = &ended(&mut story)[..] else { panic!("{:?}", story.found) };
    assert_eq!(kill.count("count"), 4);
}

#[test]
fn all_are_remembered_and_ten_are_named() {
    let mut story = story();
    for pid in 100..130 {
        story.fork(born(pid, 1)).signal(kill(2, pid, Signal::KILL));
        ends(&mut story, pid, Signal::KILL);
    }
    let finding = story.wait(200, &[]).only();
    let ended = |finding: &Finding| finding.facts.processes(&[crate::finding::Role::Victims]).len();
    assert_eq!((finding.facts.count("count"), finding.facts.get("victims").processes().len()), (30, 10));
    assert_eq!((ended(&finding), ended(&finding.brief())), (30, 10));
}

#[test]
fn of_several_signals_that_wait_the_one_that_ends_it_is_known() {
    let mut story = story();
    for (from, signal) in [(2, Signal::TERM), (11, Signal(10)), (12, Signal::HUP)] {
        let sent = kill(from, 10, signal);
        story.signal(SignalSent { flags: sent.flags | signal_flags::STOPPED, ..sent });
    }
    ends(&mut story, 10, Signal::TERM);
    story.wait(200, &[]);
    assert_eq!(told(&mut story), [(Killer::Process, Some(2), 1)]);
}

#[test]
fn an_exiting_task_that_is_short_of_memory_is_no_tracer() {
    let kernel = signal_flags::KERNEL_INFO | signal_flags::SENDER_EXITING | signal_flags::GROUP;
    // The host's or a namespace's init among them.
    for flags in [kernel, kernel | signal_flags::SENDER_INIT] {
        let mut story = story();
        namespace(&mut story, 100, 0);
        story.signal(SignalSent { flags, ..kill(100, 10, Signal::KILL) });
        story.exit(Exit { status: by(Signal::KILL), oom: true, ..end(10, 1, Adopter::None) }).wait(200, &[]);
        assert_eq!(told(&mut story), [(Killer::Oom, None, 1)]);
    }
}

#[test]
fn whose_the_pid_was_before_is_told_to_whom_it_may_explain() {
    let former = |sender: u32, gap: u64, name: &str| {
        let mut story = story();
        let of = |start| TaskRef { key: ProcKey { start, tgid: 40 }, tid: 40 };
        let (old, parent) = (of(story.now), 10);
        story.fork(TaskInfo { key: old.key, ..born(40, parent) });
        let exec = |task, name: &str| Exec {
            task,
            comm: name.into(),
            old_tid: 40,
            args: args(name),
            mount_ns: 0,
            ignored: Some(0),
        };
        story.event(EventKind::Exec(Box::new(exec(old, "oldserver")))).wait(1_000, &[]);
        story.exit(Exit { task: old, ..end(40, parent, Adopter::None) }).event(EventKind::Free(old)).wait(gap, &[]);
        let new = of(story.now);
        story.fork(TaskInfo { key: new.key, ..born(40, parent) });
        story.event(EventKind::Exec(Box::new(exec(new, name))));
        story.found.clear();
        story.signal(SignalSent { target: new, ..kill(sender, 40, Signal::TERM) });
        story.exit(Exit { task: new, status: by(Signal::TERM), ..end(40, parent, Adopter::None) }).wait(200, &[]);
        let finding = story.found.drain(..).find(|finding| finding.rule.name == "killed-by").unwrap();
        finding.facts.process("former").map(|former| former.comm.to_string())
    };
    assert_eq!(former(2, 100, "victim").as_deref(), Some("oldserver"));
    assert_eq!(former(2, 700_000, "victim"), None, "long ago");
    assert_eq!(former(2, 100, "oldserver"), None, "the same program");
    assert_eq!(former(10, 100, "victim"), None, "its parent knows whom it means");
}

#[test]
fn whose_the_pid_was_is_not_told_of_another_namespace() {
    const NS: u32 = 4_026_532_500;
    // The same inode number, twice; pid 1 and pid 2 of the first are somebody else's in the second.
    let former = |sender: u32, victim: u32| {
        let mut story = story();
        story.fork(born_in(NS, 40, 1, 2)).exec(40, "docker-init").fork(born_in(NS, 41, 2, 40)).exec(41, "oldserver");
        story.wait(1_000, &[]).exit(end(41, 40, Adopter::None)).free(41).exit(end(40, 2, Adopter::None)).free(40);
        story.now += 1_000 * MS;
        story.fork(born_in(NS, 2_050, 1, 2)).exec(2_050, "python3");
        if victim != 2_050 {
            story.fork(born_in(NS, 2_051, 2, 2_050)).exec(2_051, "victim");
            story.fork(born_in(NS, 2_052, 3, 2_050)).exec(2_052, "sh");
        }
        story.fork(born(2_053, 1)).exec(2_053, "runc");
        story.found.clear();
        story.signal(kill(sender, victim, Signal::KILL));
        story.exit(Exit { status: by(Signal::KILL), ..end(victim, 2_050, Adopter::None) }).wait(200, &[]);
        let finding = story.found.drain(..).find(|finding| finding.rule.name == "killed-by").unwrap();
        finding.facts.process("former").map(|former| former.comm.to_string())
    };
    assert_eq!(former(2_053, 2_050), None, "pid 1 of the container before");
    assert_eq!(former(2_053, 2_051), None, "from the host, where it has another pid");
    assert_eq!(former(2_052, 2_051), None, "pid 2 of the container before");
}

#[test]
fn of_several_that_wait_the_one_that_is_delivered_first_has_ended_it() {
    const BLOCKED: u16 = signal_flags::BLOCKED;
    const GROUP: u16 = signal_flags::GROUP;
    const STOPPED: u16 = signal_flags::STOPPED;
    const AWAITED: u16 = signal_flags::BLOCKED | signal_flags::AWAITED;
    let (rt, term) = (Signal(40), Signal::TERM);
    for (signal, first, second, sender, is_sure) in [
        // Real-time signals queue.
        (rt, GROUP | BLOCKED, GROUP | BLOCKED, 2, false),
        (rt, GROUP | STOPPED, GROUP | STOPPED, 2, false),
        // One that ends the process at once does not wait for those that were taken before.
        (rt, GROUP | BLOCKED, GROUP, 3, true),
        (rt, GROUP | AWAITED, GROUP | BLOCKED, 3, true),
        // Of others, the first was taken, or the second would have merged with it.
        (term, GROUP | BLOCKED, GROUP | BLOCKED, 3, true),
        // That of the thread comes first.
        (term, GROUP | BLOCKED, BLOCKED, 3, false),
        (term, BLOCKED, GROUP | BLOCKED, 2, false),
        (rt, BLOCKED, GROUP | BLOCKED, 2, false),
    ] {
        let mut story = story();
        story.fork(born(3, 1));
        story.signal(SignalSent { flags: first, ..kill(2, 10, signal) });
        story.signal(SignalSent { flags: second, ..kill(3, 10, signal) });
        ends(&mut story, 10, signal);
        let finding = story.wait(200, &[]).only();
        let told = (finding.facts.process("sender").unwrap().key, finding.confidence == Confidence::Certain);
        assert_eq!(told, (key(sender), is_sure), "{signal} {first:#b} {second:#b}");
    }
    let mut story = story();
    for _ in 0..2 {
        story.signal(SignalSent { flags: GROUP | BLOCKED, ..kill(2, 10, rt) });
    }
    ends(&mut story, 10, rt);
    assert_eq!(story.wait(200, &[]).only().confidence, Confidence::Certain, "both are of one sender");
}
