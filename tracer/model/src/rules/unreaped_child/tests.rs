//! Zombies, who is blamed for them, and when nothing is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::*;
use crate::{
    detector::ASKED_AT_ONCE,
    event::{Adopter, EventKind, Exit, Held, TaskInfo},
    finding::{Confidence, Stage},
    ident::Args,
    rules::Wanted,
    story::{Story, born, born_in, end, key, task, zombie},
};

/// 10 is the parent, 20 its child, which has just ended.
fn dead_child() -> Story {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "lazy").fork(born(20, 10)).exit(end(20, 10, Adopter::None));
    story
}

fn blame(story: &mut Story) -> (&'static str, u32) {
    let facts = story.only().facts;
    (facts.word("blame"), facts.process("parent").unwrap().key.tgid)
}

#[test]
fn a_child_that_is_reaped_in_time_is_no_finding() {
    let mut story = dead_child();
    story.wait(1_000, &[]).free(20).wait(5_000, &[]);
    assert_eq!(story.rules(), [""; 0]);
}

#[test]
fn whoever_is_left_when_those_that_were_told_are_reaped_is_told_then() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    (20..25).for_each(|pid| _ = story.fork(born(pid, 10)).exit(end(pid, 10, Adopter::None)));
    let wait = |story: &mut Story, left: Range<u32>, ms| {
        let left: Vec<_> = left.map(|pid| (pid, b'Z', 10)).collect();
        story.wait(ms, &[&[(10, b'S', 1)], left.as_slice()].concat());
        let told = std::mem::take(&mut story.found);
        told.iter().map(|finding| (finding.process.key.tgid, finding.stage)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(wait(&mut story, 20..25, 2_500), [20, 21, 22].map(|pid| (pid, Stage::New)).into());
    (20..23).for_each(|pid| _ = story.free(pid));
    story.found.clear();
    assert_eq!(wait(&mut story, 23..25, 5_000), [23, 24].map(|pid| (pid, Stage::New)).into());
}

#[test]
fn an_init_that_was_seen_to_reap_gets_twice_the_time() {
    let mut story = Story::new();
    for pid in [20, 22] {
        story.fork(born(pid, 1)).fork(born(pid + 1, pid));
        story.exit(end(pid, 1, Adopter::NamespaceInit(task(1)))).free(pid);
        story.wait(50, &[(pid + 1, b'S', 1), (1, b'S', 0)]).exit(end(pid + 1, 1, Adopter::None));
        if pid == 20 {
            story.wait(1_900, &[(21, b'Z', 1), (1, b'S', 0)]).free(21);
        }
    }
    story.found.clear();
    story.wait(2_500, &[(23, b'Z', 1), (1, b'S', 0)]);
    assert_eq!(story.rules(), [""; 0]);
    story.wait(1_600, &[(23, b'Z', 1), (1, b'S', 0)]);
    assert_eq!(blame(&mut story), ("parent waits late", 1));
}

#[test]
fn what_the_kernel_took_at_the_end_of_a_namespace_was_reaped_by_nobody() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 10, 1, 1)).exec(10, "pause").fork(born_in(ns, 11, 2, 10));
    story.exit(end(11, 10, Adopter::None)).wait(3_000, &[(11, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(story.only().stage, Stage::New);
    story.exit(end(10, 1, Adopter::None)).free(11);
    story.found.retain(|finding| finding.rule.name == DEF.name);
    let want = "p11 (pid 11) is gone after 3.0 s: the kernel reaped it when its init pause (pid 10) ended";
    assert_eq!(story.only().headline, want);
}

#[test]
fn a_zombie_is_reported_once_and_blamed_on_its_parent() {
    let mut story = dead_child();
    story.wait(1_999, &[]);
    assert_eq!(story.rules(), [""; 0]);
    story.wait(2, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(blame(&mut story), ("parent alive and never waits", 10));
    story.wait(50_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(story.rules(), [""; 0]);
}

#[test]
fn to_end_the_parent_is_a_fix_only_where_its_heir_reaps() {
    for (heir, is_known) in [("systemd", true), ("sleep", false)] {
        let mut story = Story::new();
        story.exec(1, heir).fork(born(10, 1)).exec(10, "lazy").fork(born(20, 10));
        story.exit(end(20, 10, Adopter::None)).wait(2_500, &[(20, b'Z', 10), (10, b'S', 1)]);
        let fixes = story.only().fixes;
        let wanted = "end lazy: systemd (pid 1) then adopts its zombies and reaps them";
        assert_eq!(fixes.iter().any(|fix| fix == wanted), is_known, "{fixes:?}");
        assert_eq!(fixes.len(), if is_known { 3 } else { 2 });
    }
}

#[test]
fn it_is_told_again_less_and_less_often_and_when_it_is_over() {
    let mut story = dead_child();
    let mut told = Vec::new();
    for minute in 0..20 {
        story.wait(60_000, &[(20, b'Z', 10), (10, b'S', 1)]);
        told.extend(story.found.drain(..).map(|finding| (minute, finding.stage)));
    }
    assert_eq!(told, [(0, Stage::New), (1, Stage::Ongoing), (4, Stage::Ongoing), (17, Stage::Ongoing)]);
    story.free(20);
    let over = story.only();
    assert_eq!((over.stage, over.process.key), (Stage::Resolved, key(20)));
    assert!(over.headline.contains("was reaped by lazy (pid 10) after 20 min"), "{}", over.headline);
}

#[test]
fn who_holds_a_pipe_that_the_parent_reads_is_named() {
    for shared in [true, false] {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "python3").fork(born(20, 10)).fork(born(21, 20)).exec(21, "daemon");
        story.exit(end(20, 10, Adopter::NamespaceInit(task(1)))).wait(20, &[(21, b'S', 1), (20, b'Z', 10)]);
        story.now += Span::seconds(3);
        let (reader, writer) = (key(10), key(21));
        assert!(story.detector.due(story.now, 0).contains(&Wanted::Pipe(reader, writer)));
        story.event(EventKind::Pipe(crate::event::Pipe { reader, writer, shared }));
        story.found.clear();
        story.wait(0, &[(20, b'Z', 10), (10, b'S', 1)]);
        let finding = story.only();
        let named = finding.facts.process("pipe_writer").map(|writer| writer.key);
        assert_eq!(named, shared.then_some(writer));
        assert_eq!(finding.message().contains("one that daemon (pid 21) holds open"), shared);
        assert_eq!(finding.fix().contains("end daemon (pid 21): the pipe ends"), shared, "{}", finding.fix());
    }
}

#[test]
fn a_last_look_keeps_a_false_finding_from_being_said() {
    let mut story = dead_child();
    // Its release was lost: /proc knows better.
    story.now += Span::seconds(3);
    story.look(20, None).event(EventKind::Tick);
    assert_eq!(story.rules(), [""; 0]);
    assert!(story.world().get(task(20).key).is_none());
}

#[test]
fn however_many_die_together_each_is_looked_at_before_it_is_spoken_of() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    for pid in 1_000..2_000 {
        story.fork(born(pid, 10)).exit(end(pid, 10, Adopter::None));
    }
    // All are due at the same time, and the world is in doubt of them too. A tick takes some of them.
    story.now += Span::seconds(3);
    let (until, mut looked_at) = (story.now, BTreeSet::new());
    while story.detector.is_more_due(until) {
        let due = story.detector.due(until, 0);
        assert!(due.len() <= 2 * ASKED_AT_ONCE + 100, "{}", due.len());
        looked_at.extend(due);
        story.event(EventKind::Tick);
    }
    assert!((1_000..2_000).chain([10]).all(|pid| looked_at.contains(&Wanted::Look(key(pid)))), "{looked_at:?}");
}

#[test]
fn a_task_that_sleeps_in_its_exit_is_no_zombie_yet() {
    let mut story = dead_child();
    story.wait(3_000, &[(20, b'D', 10), (10, b'S', 1)]);
    assert_eq!(story.rules(), [""; 0]);
    story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(story.rules(), ["unreaped-child"]);
}

#[test]
fn the_command_of_a_recording_is_waited_for() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10));
    story.event(EventKind::CommandStarted(key(20), Args::default()));
    story.exit(end(20, 10, Adopter::None));
    story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(story.rules(), [""; 0]);
}

#[test]
fn the_blame_follows_what_the_parent_does() {
    for (state, want) in [(b'T', "parent stopped"), (b'D', "parent blocked"), (b'S', "parent alive and never waits")] {
        let mut story = dead_child();
        let looks = [(20, b'Z', 10), (10, state, 1)];
        story.wait(3_000, &looks).wait(1_100, &looks);
        assert_eq!(blame(&mut story).0, want);
    }
}

#[test]
fn a_tracer_is_blamed_before_the_parent() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).fork(born(20, 10));
    story.exit(Exit { tracer: Some(task(11)), ..end(20, 10, Adopter::None) });
    story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1), (11, b'S', 1)]);
    assert_eq!(blame(&mut story), ("held by a tracer", 11));
}

#[test]
fn an_init_that_adopted_is_blamed_with_the_parent_that_died() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 10, 1, 1)).exec(10, "sleep").fork(born_in(ns, 11, 2, 10)).fork(born_in(ns, 12, 3, 11));
    story.exit(end(11, 10, Adopter::NamespaceInit(task(10)))).free(11).rules();
    story.exit(end(12, 10, Adopter::None));
    story.wait(3_000, &[(12, b'Z', 10), (10, b'S', 1)]);
    let found = story.found[0].clone();
    let message = found.message();
    assert!(message.contains("when its parent p11 (pid 11) died"), "{message}");
    assert_eq!(blame(&mut story), ("adopted by an init that never waits", 10));
}

#[test]
fn a_zombie_from_before_the_start_has_its_age() {
    // The kernel says when it ran last, by a clock that is rather slow.
    for (ago, at_least) in [(Some(500), 3_500), (None, 3_000)] {
        let mut story = Story::new();
        story.rows(&[crate::story::running(born(1, 0)), crate::story::running(born(10, 1)), zombie(born(20, 10), ago)]);
        story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
        let facts = story.only().facts;
        let (age_ns, age_is_lower_bound) = (facts.count("age_ns"), facts.flag("age_is_lower_bound"));
        assert!(age_is_lower_bound && age_ns / 1_000_000 == at_least, "{age_ns}");
    }
}

#[test]
fn across_a_gap_nothing_is_certain() {
    let mut story = dead_child();
    story.lose(1);
    story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert!(matches!(story.only().confidence, Confidence::Incomplete(_)));
}

#[test]
fn a_parent_that_is_frozen_or_in_the_hands_of_a_tracer_is_to_be_let_go_on() {
    let frozen = || Held { frozen: "/sys/fs/cgroup/a/cgroup.freeze".into(), ..Held::default() };
    let traced = || Held { state: "t".into(), tracer: 30, ..Held::default() };
    for (state, how, want, fix) in [
        (b'S', frozen(), "its parent lazy (pid 10) is frozen", "thaw it (echo 0 > /sys/fs/cgroup/a/cgroup.freeze"),
        (b't', traced(), "its parent lazy (pid 10) is held by its tracer gdb (pid 30)", "have gdb (pid 30) let it go"),
    ] {
        let mut story = dead_child();
        story.fork(born(30, 1)).exec(30, "gdb");
        for ms in [2_500, 1_100] {
            story.now += Span::ms(ms);
            story.look(20, Some((b'Z', 10))).look(10, Some((state, 1)));
            story.event(EventKind::Held(key(10), Box::new(how.clone()))).event(EventKind::Tick);
        }
        let finding = story.only();
        assert!(finding.headline.ends_with(want), "{}", finding.headline);
        assert!(finding.fix().starts_with(fix), "{}", finding.fix());
    }
}

#[test]
fn a_look_that_finds_a_parent_whose_birth_was_lost_clears_the_one_that_was_believed() {
    let mut story = dead_child();
    story.wait(3_000, &[(20, b'Z', 5), (10, b'S', 1)]);
    assert_eq!(story.rules(), [""; 0]);
    story.fork(born(5, 1)).wait(3_000, &[(20, b'Z', 5), (5, b'S', 1)]);
    assert_eq!(blame(&mut story), ("parent alive and never waits", 5));
}

#[test]
fn a_moment_in_the_kernel_is_not_why_a_parent_does_not_wait() {
    let mut story = dead_child();
    story.wait(2_500, &[(20, b'Z', 10), (10, b'D', 1)]);
    story.wait(1_100, &[(20, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(blame(&mut story), ("parent alive and never waits", 10));
}

#[test]
fn a_parent_that_traces_its_child_is_no_other() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "gdb").fork(born(20, 10));
    story.exit(Exit { tracer: Some(task(10)), ..end(20, 10, Adopter::None) });
    story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    let finding = story.only();
    assert_eq!(finding.facts.word("blame"), "parent alive and never waits");
    assert!(!finding.fix().contains("goes back to its parent"), "{}", finding.fix());
}

#[test]
fn a_parent_whose_exit_hangs_is_not_alive() {
    let mut story = dead_child();
    story.exit(end(10, 1, Adopter::NamespaceInit(task(1))));
    for _ in 0..4 {
        story.wait(1_000, &[(20, b'Z', 10), (10, b'D', 1)]);
    }
    assert_eq!(story.rules(), [""; 0]);
    story.wait(3_000, &[(20, b'Z', 1), (10, b'Z', 1), (1, b'S', 0)]).free(10);
    story.found.retain(|finding| finding.process.key == key(20));
    assert_eq!(blame(&mut story), ("adopted by an init that never waits", 1));
}

#[test]
fn who_waits_late_is_not_said_never_to_wait() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "lazy").fork(born(20, 10)).fork(born(21, 10));
    story.exit(end(20, 10, Adopter::None)).wait(9_000, &[(20, b'Z', 10), (10, b'S', 1)]).free(20);
    story.exit(end(21, 10, Adopter::None));
    story.found.clear();
    story.wait(3_000, &[(21, b'Z', 10), (10, b'S', 1)]);
    let finding = story.only();
    assert!(!finding.facts.word("blame").contains("never"), "{}", finding.facts.word("blame"));
    assert!(finding.headline.contains("has reaped others"), "{}", finding.headline);
}

#[test]
fn what_its_former_program_had_started_a_program_does_not_know() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "entrypoint.sh").fork(born(20, 10)).exec(20, "helper").exec(10, "server");
    story.exit(end(20, 10, Adopter::None)).wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    let finding = story.only();
    assert!(finding.message().contains("entrypoint.sh"), "{}", finding.message());
    assert!(finding.fix().contains("entrypoint.sh"), "{}", finding.fix());
}

#[test]
fn another_program_need_not_reap_as_the_one_before_did() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 10, 1, 1)).exec(10, "bash");
    story.fork(born_in(ns, 11, 2, 10)).fork(born_in(ns, 12, 3, 11));
    story.exit(end(11, 10, Adopter::NamespaceInit(task(10)))).free(11).wait(20, &[(12, b'S', 10)]);
    story.exit(end(12, 10, Adopter::None)).free(12);
    assert!(story.world().get(key(10)).unwrap().reaping().adopted);
    story.exec(10, "java");
    story.fork(born_in(ns, 13, 4, 10)).fork(born_in(ns, 14, 5, 13));
    story.exit(end(13, 10, Adopter::NamespaceInit(task(10)))).wait(20, &[(14, b'S', 10), (13, b'Z', 10)]);
    story.exit(end(14, 10, Adopter::None)).free(13);
    story.found.clear();
    story.wait(2_500, &[(14, b'Z', 10), (10, b'S', 1)]);
    assert_eq!(blame(&mut story), ("adopted by an init that never waits", 10));
}

#[test]
fn a_child_without_sigchld_takes_another_wait() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "lazy").fork(TaskInfo { exit_signal: 0, ..born(20, 10) });
    story.exit(end(20, 10, Adopter::None)).wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]);
    let finding = story.only();
    assert!(finding.fix().starts_with("have lazy wait for it with __WALL"), "{}", finding.fix());
}

#[test]
fn the_first_process_of_a_machine_gets_no_init_above_it() {
    let mut story = Story::new();
    story.exec(1, "myinit").fork(born(10, 1)).fork(born(20, 10));
    story.exit(end(10, 1, Adopter::NamespaceInit(task(1)))).free(10).wait(20, &[(20, b'S', 1)]);
    story.exit(end(20, 1, Adopter::None));
    story.found.clear();
    story.wait(3_000, &[(20, b'Z', 1), (1, b'S', 0)]);
    let finding = story.only();
    assert!(!finding.fix().contains("docker"), "{}", finding.fix());
}
