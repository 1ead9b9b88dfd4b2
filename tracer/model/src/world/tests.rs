//! The world against stories.

use std::collections::BTreeSet;

use super::{Process, State, World, missing::Missing, view};
use crate::{
    change::{Change, ExactReap},
    event::{
        Adopter, Event, EventKind, Exec, Exit, ExitStatus, Fork, Notify, Reap, Roles, Row, Survey, Surveyed, TaskInfo,
        WaitCall,
    },
    ident::{PidNs, ProcKey, TaskRef},
    signal::Signal,
    story::{HOST, MS, Story, after_boot, args, born, born_in, end, key, kill, running, task, zombie},
    thresholds::Thresholds,
    time::BootNs,
};

impl World {
    /// What must hold whatever came in.
    pub(super) fn check(&self) {
        for process in self.processes.iter() {
            let key = process.key;
            assert!(self.upwards(key).count() <= self.processes.len() + 1);
        }
        let children = self.processes.iter().filter_map(|child| {
            let parent = child.parent?.key;
            assert!(!self.is_below(parent, child.key), "{child:?} is its own ancestor");
            Some((parent, child.key, child.death().is_some()))
        });
        assert_eq!(children.collect::<BTreeSet<_>>(), self.children.pairs().collect());
        for process in self.processes.iter() {
            let is_sought = process.missing.is_some_and(Missing::was_once);
            let is_doubtful = process.orphaned.is_some() || process.death().is_some() || is_sought;
            assert_eq!(process.look_at.is_some(), is_doubtful, "{process:?}");
        }
        let is_marked = |process: &Process| process.roles.subreaper || process.tracer.is_some();
        for process in self.processes.iter().filter(|process| is_marked(process)) {
            assert!(self.marked.contains(&process.key), "no survey would reset {process:?}");
        }
        let missing = self.processes.iter().filter(|process| process.is_missing());
        assert_eq!(missing.map(|process| process.key).collect::<BTreeSet<_>>(), self.missing);
        let members = self.processes.iter().map(|process| (process.pid_ns, process.key, process.place.number()));
        assert_eq!(members.collect::<BTreeSet<_>>(), self.members.all().collect());
        let nested = self.namespaces.values().filter_map(|ns| Some((ns.parent?, ns.id)));
        assert_eq!(nested.collect::<BTreeSet<_>>(), self.nested);
        for &ns in self.namespaces.keys() {
            let inside = self.processes.iter().filter(|process| self.is_in(process.pid_ns, ns));
            let inside: BTreeSet<_> = inside.map(|process| process.key).collect();
            assert_eq!(self.members_of(ns).map(|process| process.key).collect::<BTreeSet<_>>(), inside);
        }
        let doubted = |process: &Process| Some((process.look_at?, process.key));
        let mut doubts: Vec<_> = self.processes.iter().filter_map(doubted).collect();
        doubts.sort_unstable();
        assert!(self.looks.iter().eq(&doubts), "{:?} are to be looked at, not {doubts:?}", self.looks);
        assert_eq!(self.pending, self.processes.iter().map(|process| process.pending.len()).sum::<usize>());
    }

    fn parent_pid(&self, pid: u32) -> u32 {
        self.parent(key(pid)).map_or(0, |parent| parent.key.tgid)
    }
}

#[test]
fn a_process_lives_dies_and_is_reaped() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exec(10, "worker").exit(end(10, 1, Adopter::None));
    let process = story.world().get(key(10)).unwrap();
    assert!(process.is_zombie());
    assert_eq!(process.comm.to_string(), "worker");
    story.free(10);
    assert!(story.world().get(key(10)).is_none());
    assert_eq!(story.world().get(key(1)).unwrap().reaping().count, 1);
    story.world().check();
}

#[test]
fn orphans_go_where_the_kernel_sends_them() {
    let mut story = Story::new();
    story.fork(born(5, 1)).fork(born(10, 5)).fork(born(11, 10)).fork(born(12, 11));
    story.exit(end(11, 10, Adopter::Subreaper(task(5))));
    assert_eq!(story.world().parent_pid(12), 5);
    story.exit(end(5, 1, Adopter::NamespaceInit(task(1))));
    assert_eq!([story.world().parent_pid(10), story.world().parent_pid(12)], [1, 1]);
    story.wait(20, &[]);
    let from = story.world().get(key(12)).unwrap().adoption.as_ref().unwrap().from;
    assert_eq!(from.key, key(5));
    story.world().check();
}

#[test]
fn a_thread_hands_on_only_its_own_children() {
    let mut story = Story::with(&Thresholds { thread_adoptions: true, ..Thresholds::default() });
    let of_thread = TaskInfo { parent: Some(TaskRef { key: key(10), tid: 99 }), ..born(21, 10) };
    story.fork(born(10, 1)).fork(born(20, 10)).fork(of_thread);
    let exit = Exit {
        task: TaskRef { key: key(10), tid: 99 },
        adopter: Adopter::Thread(task(10)),
        live: 1,
        leader: false,
        group_dead: false,
        ..end(10, 1, Adopter::None)
    };
    story.exit(exit);
    let parent = |pid| story.world().get(key(pid)).unwrap().parent.unwrap();
    assert_eq!([parent(20), parent(21)], [task(10), task(10)]);
    story.wait(20, &[]);
    assert_eq!(story.rules(), ["orphan-adopted"]);
}

/// It no longer asked for orphans when the kernel looked for one.
#[test]
fn who_lives_has_not_handed_on_an_orphan_that_it_was_expected_to_get() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).fork(born(30, 20));
    let thread = TaskRef { key: key(10), tid: 11 };
    story.exit(end(20, 10, Adopter::Subreaper(thread)));
    story.exit(Exit {
        task: thread,
        live: 1,
        leader: false,
        group_dead: false,
        ..end(10, 1, Adopter::Thread(task(10)))
    });
    story.wait(20, &[(30, b'S', 1)]);
    let adoption = story.world().get(key(30)).unwrap().adoption.clone().unwrap();
    assert_eq!((adoption.from.key, adoption.to.key), (key(20), key(1)));
}

#[test]
fn an_orphan_is_looked_at_until_its_parent_is_known() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10));
    story.exit(end(10, 1, Adopter::NamespaceInit(task(1))));
    // The exit takes its time: the child is still its.
    story.wait(20, &[(20, b'S', 10)]);
    assert_eq!(story.world().parent_pid(20), 10);
    story.wait(20, &[(20, b'S', 1)]);
    assert_eq!(story.world().parent_pid(20), 1);
    assert!(story.world().doubtful(BootNs::MAX).all(|doubtful| doubtful != key(20)));
    story.world().check();
}

#[test]
fn who_is_seen_with_an_adopter_that_is_exiting_is_looked_at_again() {
    let mut story = Story::new();
    story.fork(born(5, 1)).fork(born(10, 5)).fork(born(20, 10));
    // The record of the second exit comes late: when it was made, the subreaper lived.
    story.exit(end(5, 1, Adopter::NamespaceInit(task(1)))).exit(end(10, 5, Adopter::Subreaper(task(5))));
    story.wait(20, &[(20, b'S', 5)]);
    assert_eq!(story.world().parent_pid(20), 5);
    story.wait(20, &[(20, b'S', 1)]);
    assert_eq!(story.world().parent_pid(20), 1);
    story.world().check();
}

#[test]
fn a_release_that_nobody_tells_of_is_seen_by_a_look() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).exit(end(10, 1, Adopter::None)).exit(end(11, 1, Adopter::None));
    story.wait(400, &[]);
    assert_eq!(story.world().zombie_count(), 2);
    // 11 is a zombie still, and will be looked at again, but not so soon.
    story.wait(200, &[(11, b'Z', 1)]).look(10, None).event(EventKind::Tick);
    assert_eq!(story.world().zombie_count(), 1);
    assert_eq!(story.world().doubtful(story.now + 400 * MS).count(), 0);
    assert_eq!(story.world().doubtful(story.now + 700 * MS).count(), 1);
    story.world().check();
}

#[test]
fn who_lost_its_parent_unseen_is_looked_at() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).free(10);
    assert!(story.world().parent(key(20)).is_none());
    story.wait(20, &[(20, b'S', 1)]);
    assert_eq!(story.world().parent_pid(20), 1);
}

#[test]
fn a_birth_that_comes_after_the_end_of_the_parent_is_looked_into() {
    let mut story = Story::new();
    story.fork(born(10, 1)).exit(end(10, 1, Adopter::None)).fork(born(20, 10));
    story.wait(20, &[(20, b'S', 1)]);
    assert_eq!(story.world().parent_pid(20), 1);
}

#[test]
fn an_end_that_names_a_dying_parent_does_not_bring_it_back() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).exit(end(10, 1, Adopter::NamespaceInit(task(1))));
    // Read before exit_notify() of 10.
    story.exit(end(20, 10, Adopter::None));
    assert_eq!(story.world().parent_pid(20), 1);
}

/// Who is reaped, and by whom, when the kernel releases this process.
fn reaped(story: &mut Story, pid: u32) -> Vec<(u32, Option<u32>)> {
    let event = Event { at: story.now, cpu: 0, kind: EventKind::Free(task(pid)) };
    let (step, _) = story.detector.step(&event, &[]);
    let reaped = step.changes.iter().filter_map(|change| match change {
        Change::Reaped { identity, by, .. } => Some((identity.key.tgid, by.map(|by| by.tgid))),
        _ => None,
    });
    reaped.collect()
}

#[test]
fn nobody_reaps_the_zombies_that_come_to_who_ignores_them() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).fork(born(21, 10)).exit(end(20, 10, Adopter::None));
    let heir = Adopter::NamespaceInit(task(1));
    story.exit(Exit { adopter_ignores: true, ..end(10, 1, heir) });
    // exit_notify() of 10 is still to come.
    story.exit(end(21, 10, Adopter::None));
    assert_eq!(reaped(&mut story, 20), [(20, None)]);
    assert_eq!(reaped(&mut story, 21), [(21, None)]);
    assert_eq!(reaped(&mut story, 10), [(10, Some(1))]);
}

#[test]
fn the_parent_waits_after_the_tracer_unless_it_ignores_its_children() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).fork(born(20, 10)).fork(born(21, 10));
    let held = |pid, autoreap| Exit { tracer: Some(task(11)), autoreap, ..end(pid, 10, Adopter::None) };
    story.exit(held(20, false)).exit(held(21, true));
    for pid in [20, 21] {
        assert!(story.look(pid, Some((b'Z', 10))).world().get(key(pid)).unwrap().is_zombie());
        assert_eq!(story.world().owed_by(key(pid)), Some(key(11)));
    }
    assert_eq!(reaped(&mut story, 20), [(20, Some(10))]);
    assert_eq!(reaped(&mut story, 21), [(21, Some(11))]);
}

#[test]
fn an_init_is_the_last_to_leave_its_namespace() {
    let mut story = Story::new();
    story.fork(born_in(7, 50, 1, 1)).fork(born_in(7, 51, 2, 50)).fork(born_in(7, 52, 3, 50));
    story.exit(end(51, 50, Adopter::None)).exit(end(50, 1, Adopter::None));
    story.exit(Exit { autoreap: true, ..end(52, 50, Adopter::None) });
    // RCU is late with the others.
    assert_eq!(reaped(&mut story, 50), [(52, None), (51, Some(50)), (50, Some(1))]);
    story.free(51).free(52);
    assert_eq!((story.world().process_count(), story.world().namespace_count()), (1, 1));
    story.world().check();
}

#[test]
fn the_exact_hooks_say_who_reaped_and_when() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).exit(end(20, 10, Adopter::None));
    story.event(EventKind::Notify(Notify { task: task(20), to: task(10), traced: false, signal: 17 }));
    story.now += 5 * MS;
    let reaper = TaskRef { tid: 11, ..task(10) };
    let reap = Reap { task: task(20), reaper, call: Some(WaitCall::Waitid) };
    let event = Event { at: story.now, cpu: 0, kind: EventKind::Reap(reap) };
    let (step, _) = story.detector.step(&event, &[]);
    let [Change::Reaped { by, zombie_for, exact, .. }] = *step.changes else { panic!("{:?}", step.changes) };
    assert_eq!((by, zombie_for), (Some(key(10)), Some(5 * MS)));
    assert_eq!(exact, Some(ExactReap { tid: 11, call: Some(WaitCall::Waitid) }));
    // The release that follows says nothing new.
    assert!(story.free(20).world().get(key(20)).is_none());
    assert_eq!(story.world().get(key(10)).unwrap().reaping().count, 1);
}

#[test]
fn nobody_reaps_whom_nobody_has_to_wait_for() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).exit(Exit { autoreap: true, ..end(20, 10, Adopter::None) });
    let reap = Reap { task: task(20), reaper: task(20), call: None };
    let event = Event { at: story.now, cpu: 0, kind: EventKind::Reap(reap) };
    let (step, _) = story.detector.step(&event, &[]);
    assert!(matches!(step.changes, [Change::Reaped { by: None, exact: Some(_), .. }]));
}

#[test]
fn a_survey_tells_who_is_traced_and_who_asks_for_orphans() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).fork(born(12, 1));
    let survey = |began, found: &[(u32, Option<u32>, bool)]| {
        let surveyed = |&(pid, tracer, subreaper): &(u32, Option<u32>, bool)| Surveyed {
            key: key(pid),
            tracer: tracer.map(task),
            subreaper,
        };
        EventKind::Survey(Box::new(Survey { began, found: found.iter().map(surveyed).collect() }))
    };
    let now = story.now.next();
    story.event(survey(now, &[(10, Some(11), false), (12, None, true)]));
    let process = |story: &Story, pid| story.world().get(key(pid)).unwrap().clone();
    assert_eq!(process(&story, 10).tracer, Some(task(11)));
    assert!(process(&story, 12).roles.subreaper);
    // The exit of 10, with its tracer, came while the next survey was under way.
    let began = story.now;
    story.exit(Exit { tracer: Some(task(12)), ..end(10, 1, Adopter::None) }).event(survey(began, &[]));
    assert_eq!(process(&story, 10).tracer, Some(task(12)));
    let now = story.now.next();
    story.event(survey(now, &[]));
    assert_eq!(process(&story, 10).tracer, None);
    assert!(!process(&story, 12).roles.subreaper);
}

/// RCU tells of the release late; a survey may come before.
#[test]
fn a_survey_between_a_release_and_its_report_leaves_the_reaper() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).fork(born(20, 10));
    story.exit(Exit { tracer: Some(task(11)), autoreap: true, ..end(20, 10, Adopter::None) });
    let began = story.now.next();
    story.event(EventKind::Survey(Box::new(Survey { began, found: Vec::new() })));
    let event = Event { at: story.now, cpu: 0, kind: EventKind::Free(task(20)) };
    let (step, _) = story.detector.step(&event, &[]);
    let [Change::Reaped { by, .. }] = *step.changes else { panic!("{:?}", step.changes) };
    assert_eq!(by, Some(key(11)));
}

/// Its tracer has ended, and its parent does not ignore it any more.
#[test]
fn a_zombie_that_nobody_had_to_wait_for_can_lose_its_tracer() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1)).fork(born(20, 10));
    story.exit(Exit { tracer: Some(task(11)), autoreap: true, ..end(20, 10, Adopter::None) });
    story.wait(30_000, &[(20, b'Z', 10)]);
    let began = story.now.next();
    story.event(EventKind::Survey(Box::new(Survey { began, found: Vec::new() })));
    // Though it has been dead for long, the next look is soon.
    story.wait(600, &[(20, b'Z', 10)]);
    let process = story.world().get(key(20)).unwrap();
    assert_eq!((process.tracer, process.is_zombie()), (None, true));
}

#[test]
fn an_init_whose_namespace_is_ending_can_lose_its_tracer() {
    let mut story = Story::new();
    story.fork(born(11, 1)).fork(born_in(7, 50, 1, 1)).fork(born_in(7, 51, 2, 50));
    story.exit(Exit { tracer: Some(task(11)), autoreap: true, ..end(50, 1, Adopter::None) });
    assert_eq!(story.world().get(key(50)).unwrap().tracer, Some(task(11)));
    let began = story.now.next();
    story.event(EventKind::Survey(Box::new(Survey { began, found: Vec::new() })));
    assert_eq!(story.world().get(key(50)).unwrap().tracer, None);
}

#[test]
fn a_process_takes_another_name() {
    let mut story = Story::new();
    story.fork(born(10, 1)).event(EventKind::Rename(key(10), "other".into()));
    assert_eq!(story.world().get(key(10)).unwrap().comm.to_string(), "other");
}

#[test]
fn a_dead_leader_comes_back_when_another_thread_calls_exec() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    story.exit(Exit { live: 1, group_dead: false, ..end(10, 1, Adopter::None) });
    assert!(matches!(story.world().get(key(10)).unwrap().state, State::LeaderDead { .. }));
    story.exec(10, "next");
    assert_eq!(story.world().get(key(10)).unwrap().state, State::Running);
}

#[test]
fn the_record_of_the_last_thread_may_come_before_that_of_the_main_thread() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    let status = ExitStatus(1);
    story.exit(Exit { leader: false, status: ExitStatus(0), ..end(10, 1, Adopter::None) });
    story.exit(Exit { live: 1, group_dead: false, status, ..end(10, 1, Adopter::None) });
    let process = story.world().get(key(10)).unwrap();
    assert_eq!(process.death().map(|death| death.status), Some(status));
    story.world().check();
}

#[test]
fn what_happened_between_attach_and_snapshot_is_neither_lost_nor_doubled() {
    let mut story = Story::new();
    // Born and seen; born, seen and freed; freed without ever being seen.
    story.fork(born(10, 1)).fork(born(11, 1)).exit(end(12, 1, Adopter::None)).free(12);
    story.snapshot(&[born(1, 0), born(10, 1), born(11, 1)]);
    assert_eq!(story.world().process_count(), 3);
    // A row was taken before the process ended, and comes after the word of its end.
    story.exit(end(11, 1, Adopter::None)).free(11).event(EventKind::Row(Box::new(running(born(11, 1)))));
    assert_eq!(story.world().process_count(), 2);
    story.world().check();
}

/// Each tick comes with a look that is later than it: the one before must do.
#[test]
fn who_is_looked_for_at_every_tick_is_gone_in_the_end() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    for _ in 0..3 {
        story.now += 50 * MS;
        let tick = story.now;
        story.now += MS;
        story.event(EventKind::Look(crate::event::Look { key: key(10), found: None }));
        story.now = tick;
        story.event(EventKind::Tick);
    }
    assert!(story.world().get(key(10)).is_none());
    story.world().check();
}

#[test]
fn a_snapshot_clears_what_is_gone_and_finds_what_was_missed() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 10)).fork(born(12, 11));
    story.lose(3);
    assert!(story.world().is_gap_since(BootNs::ZERO));
    // 11 is gone, 12 was adopted, 13 is new, 14 is a zombie.
    let rows = [born(1, 0), born(10, 1), TaskInfo { parent: Some(task(1)), ..born(12, 1) }, born(13, 10)];
    let mut rows: Vec<_> = rows.into_iter().map(running).collect();
    rows.push(zombie(born(14, 10), Some(200)));
    story.rows(&rows);
    assert!(story.world().get(key(11)).unwrap().is_missing());
    story.wait(20, &[]);
    let world = story.world();
    assert!(world.get(key(11)).is_none());
    assert_eq!([world.parent_pid(12), world.parent_pid(13)], [1, 10]);
    let death = world.get(key(14)).unwrap().death().unwrap();
    assert!(!death.exact && world.now() - death.at >= 200 * MS, "a lower bound, as everything from before the start");
    assert!(!world.is_gap_since(world.now()));
    world.check();
}

#[test]
fn a_look_does_not_take_a_dead_main_thread_for_a_zombie() {
    let mut story = Story::new();
    story.fork(born(10, 1)).lose(1).look(10, Some((b'Z', 1)));
    story.rows(&[running(born(1, 0)), Row { live: 1, ..zombie(born(10, 1), Some(5)) }]);
    let state = story.world().get(key(10)).unwrap().state;
    assert!(matches!(state, State::LeaderDead { live: 1, .. }), "{state:?}");
}

#[test]
fn a_snapshot_tells_of_an_end_that_is_held_up() {
    let ns = 4_026_532_500;
    let mut story = Story::new();
    story.fork(born_in(ns, 10, 1, 1)).fork(born_in(ns, 11, 2, 10)).fork(born(20, 1)).lose(2);
    let held_up = |task: TaskInfo| Row { live: 0, idle: None, ..running(TaskInfo { exiting: true, ..task }) };
    let [init, other] = [held_up(born_in(ns, 10, 1, 1)), held_up(born(20, 1))];
    story.rows(&[running(born(1, 0)), init, zombie(born_in(ns, 11, 2, 10), None), other]);
    let is_zombie = |story: &Story, pid| {
        let process = story.world().get(key(pid)).unwrap();
        assert!(process.death().is_some(), "{process:?}");
        process.is_zombie()
    };
    assert!(!is_zombie(&story, 10) && !is_zombie(&story, 20));
    // The record was not lost, only late. The init still waits for the other one.
    story.exit(end(20, 1, Adopter::None)).exit(end(10, 1, Adopter::None));
    assert!(!is_zombie(&story, 10) && is_zombie(&story, 20));
    story.free(11);
    assert!(is_zombie(&story, 10));
}

#[test]
fn a_snapshot_tells_how_a_process_ended_that_was_on_its_way_out() {
    let mut story = Story::new();
    story.fork(born(10, 1)).lose(1);
    let exiting = Row { live: 0, ..running(TaskInfo { exiting: true, ..born(10, 1) }) };
    story.rows(&[running(born(1, 0)), exiting]);
    story.rows(&[running(born(1, 0)), Row { status: ExitStatus(9), ..zombie(born(10, 1), None) }]);
    let process = story.world().get(key(10)).unwrap();
    assert!(process.is_zombie());
    assert_eq!(process.death().unwrap().status.0, 9);
}

#[test]
fn an_init_that_waits_for_somebody_unknown_is_no_zombie() {
    let ns = 4_026_532_500;
    let mut story = Story::new();
    // The birth of the one that it waits for is lost.
    story.fork(born_in(ns, 10, 1, 1)).fork(born_in(ns, 11, 2, 10)).lose(1).exit(end(10, 1, Adopter::None)).free(11);
    assert!(story.world().get(key(10)).unwrap().is_zombie());
    let init = Row { live: 0, ..running(TaskInfo { exiting: true, ..born_in(ns, 10, 1, 1) }) };
    story.rows(&[running(born(1, 0)), init, zombie(born_in(ns, 12, 3, 10), None)]);
    assert!(!story.world().get(key(10)).unwrap().is_zombie());
    story.free(12);
    assert!(story.world().get(key(10)).unwrap().is_zombie());
}

#[test]
fn a_pid_that_is_given_out_again_ends_its_old_process() {
    let mut story = Story::new();
    story.fork(born(10, 1));
    let again = TaskInfo { key: ProcKey { start: after_boot(5_000), tgid: 10 }, ..born(10, 1) };
    story.fork(again);
    assert!(story.world().get(key(10)).is_none());
    assert_eq!(story.world().by_pid(10).unwrap().key, again.key);
    story.world().check();
}

#[test]
fn the_tree_of_a_namespace_has_outsiders_as_roots() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born(10, 1)).fork(born_in(ns, 20, 1, 10)).fork(born_in(ns, 21, 2, 20));
    let outsider = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..born_in(ns, 30, 3, 1) };
    story.fork(outsider);
    let tree = |ns| {
        let lines = view::Forest::new(story.world()).tree(ns).into_iter();
        lines.map(|line| (line.depth, line.process.key.tgid)).collect::<Vec<_>>()
    };
    assert_eq!(tree(PidNs(ns)), [(0, 20), (1, 21), (0, 30)]);
    // Of the nested one only the ways in.
    assert_eq!(tree(HOST), [(0, 1), (1, 10), (2, 20), (1, 30)]);
}

#[test]
fn an_init_is_no_zombie_before_its_namespace_is_empty() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    // 30 came in from outside, and whoever brought it in does not wait for it.
    story.fork(born_in(ns, 20, 1, 1)).fork(born_in(ns, 21, 2, 20)).fork(born_in(ns, 30, 3, 1));
    story.exit(end(30, 1, Adopter::None)).exit(end(20, 1, Adopter::None)).exit(end(21, 20, Adopter::None)).free(21);
    let is_zombie = |story: &Story, pid| story.world().get(key(pid)).unwrap().is_zombie();
    assert!(is_zombie(&story, 30) && !is_zombie(&story, 20));
    story.free(30);
    assert!(is_zombie(&story, 20));
    // Something else holds it up, that is not known here.
    assert!(!is_zombie(story.look(20, Some((b'S', 1))), 20) && is_zombie(story.look(20, Some((b'Z', 1))), 20));
    assert!(story.world().get(key(20)).unwrap().death().unwrap().zombie_since() > key(30).start);
}

#[test]
fn a_namespace_goes_with_its_last_process_and_its_number_may_come_back() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 20, 1, 1)).exit(end(20, 1, Adopter::None));
    assert!(story.world().is_ending(PidNs(ns)));
    story.free(20);
    assert!(story.world().namespace(PidNs(ns)).is_none());
    story.fork(born_in(ns, 40, 1, 1));
    assert!(!story.world().is_ending(PidNs(ns)));
}

#[test]
fn who_is_in_the_next_namespace_of_a_number_stays_when_the_old_init_is_released() {
    let mut story = Story::new();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 20, 1, 1)).exit(end(20, 1, Adopter::None));
    // The kernel has released it, and RCU has not said so yet.
    story.fork(born_in(ns, 40, 1, 1)).fork(born_in(ns, 41, 2, 40));
    story.free(20);
    let world = story.world();
    assert!(world.get(key(20)).is_none() && world.get(key(40)).is_some() && world.get(key(41)).is_some());
    assert_eq!(world.namespace(PidNs(ns)).unwrap().init, Some(key(40)));
    world.check();
}

#[test]
fn a_child_of_two_threads_that_exit_together_is_looked_at() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10));
    let other = TaskRef { key: key(10), tid: 11 };
    // The leader's child was to go to the other thread, which exits before that comes about; and a
    // look in between took the leader for the parent.
    story.exit(Exit { live: 1, group_dead: false, ..end(10, 1, Adopter::Thread(other)) });
    story.look(20, Some((b'S', 10)));
    story.exit(Exit { task: other, leader: false, ..end(10, 1, Adopter::None) });
    story.wait(20, &[(20, b'S', 1)]);
    assert_eq!(story.world().parent_pid(20), 1);
    story.world().check();
}

#[test]
fn a_namespace_that_is_nested_in_itself_is_survived() {
    let mut story = Story::new();
    let (one, other) = (4_026_532_500, 4_026_532_501);
    for (pid, ns, outer) in [(20, one, one), (30, one, other), (40, other, one)] {
        story.fork(TaskInfo { parent_ns: Some(PidNs(outer)), ..born_in(ns, pid, 1, 1) });
    }
    story.exit(end(30, 1, Adopter::None)).exit(end(40, 1, Adopter::None)).free(40).free(30).free(20);
    assert_eq!(story.world().process_count(), 1);
    story.world().check();
}

/// Another thread of it executes a program, and has taken the number of its leader.
fn exec_by_thread(story: &mut Story, pid: u32, comm: &str) {
    let exec =
        Exec { task: task(pid), comm: comm.into(), old_tid: pid + 1, args: args(comm), mount_ns: 0, ignored: Some(0) };
    story.event(EventKind::Exec(Box::new(exec)));
}

#[test]
fn a_look_in_the_middle_of_an_exec_by_another_thread_finds_nobody_and_buries_nobody() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10));
    story.exit(Exit { live: 1, group_dead: false, ..end(10, 1, Adopter::None) });
    story.look(10, None).event(EventKind::Tick);
    assert!(story.world().get(key(10)).unwrap().is_missing());
    exec_by_thread(&mut story, 10, "next");
    let process = story.world().get(key(10)).unwrap();
    assert!(!process.is_missing() && process.state == State::Running && process.comm.to_string() == "next");
    assert_eq!(story.world().parent_pid(20), 10);
    story.world().check();
    story.exit(end(10, 1, Adopter::None));
    assert!(story.world().get(key(10)).unwrap().is_zombie());
}

#[test]
fn who_was_not_found_twice_is_brought_back_by_what_happens_later() {
    let ns = 4_026_532_500;
    let mut story = Story::new();
    story.fork(born_in(ns, 10, 1, 1)).fork(born_in(ns, 11, 2, 10)).exec(11, "server -x");
    for _ in 0..2 {
        story.look(11, None).event(EventKind::Tick);
    }
    assert!(story.world().get(key(11)).is_none());
    exec_by_thread(&mut story, 11, "next");
    let process = story.world().get(key(11)).unwrap();
    assert_eq!((process.pid_ns, process.ns_pid, process.comm.to_string()), (PidNs(ns), 2, "next".to_owned()));
    assert_eq!(story.world().parent_pid(11), 10);
    story.world().check();
    // A release is the last word.
    story.exit(end(11, 10, Adopter::None)).free(11);
    exec_by_thread(&mut story, 11, "never");
    assert!(story.world().get(key(11)).is_none());
    story.world().check();
}

#[test]
fn an_end_that_is_read_after_the_look_that_found_nobody_is_told() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(11, 1));
    let at = story.now;
    // The stream is behind: the look tells of what comes later in it.
    story.now += 100 * MS;
    story.look(11, None);
    let late = |kind| Event { at: at + MS, cpu: 0, kind };
    let by = ExitStatus(9);
    let exit = Exit { status: by, ..end(11, 1, Adopter::None) };
    let (signal, exit) = (EventKind::Signal(kill(10, 11, Signal::KILL)), EventKind::Exit(Box::new(exit)));
    for kind in [signal, exit] {
        let event = late(kind);
        let (step, _) = story.detector.step(&event, &[]);
        assert!(!step.changes.is_empty());
    }
    story.wait(200, &[]);
    assert_eq!(story.rules(), ["killed-by"]);
    assert!(story.world().get(key(11)).is_none());
    story.world().check();
}

#[test]
fn a_rule_says_nothing_of_a_zombie_that_is_not_found_before_the_stream_has_come_so_far() {
    let mut story = Story::new();
    story.fork(born(10, 1)).fork(born(20, 10)).exit(end(20, 10, Adopter::None));
    let horizon = story.now + 3_000 * MS;
    // Two seconds have passed in the stream, and its reap is still to come.
    story.now = horizon + 500 * MS;
    story.look(20, None);
    let tick = |story: &mut Story, at| {
        let event = Event { at, cpu: 0, kind: EventKind::Tick };
        let (step, _) = story.detector.step(&event, &[]);
        let found = step.findings.to_vec();
        story.found.extend(found);
    };
    tick(&mut story, horizon);
    assert!(story.world().get(key(20)).is_some());
    tick(&mut story, horizon + 600 * MS);
    assert!(story.world().get(key(20)).is_none() && story.found.is_empty());
}

#[test]
fn a_birth_from_before_a_snapshot_that_did_not_show_it_leaves_no_ghost() {
    let mut story = Story::new();
    let at = story.now;
    story.now += 100 * MS;
    // 10 and 11 were born before, and 10 is gone; of 11 another program's name is known already.
    let row = |comm: &str| TaskInfo { comm: comm.into(), ..born(11, 1) };
    story.snapshot(&[born(1, 0), row("server")]);
    story.event(EventKind::CommandLine(key(11), args("server -x")));
    for pid in [10, 11] {
        let fork = EventKind::Fork(Box::new(Fork { task: born(pid, 1), creator: Some(task(1)) }));
        story.detector.step(&Event { at, cpu: 0, kind: fork }, &[]);
    }
    let server = story.world().get(key(11)).unwrap();
    assert_eq!((server.comm.to_string(), server.args.clone()), ("server".to_owned(), args("server -x")));
    story.wait(20, &[]);
    assert!(story.world().get(key(10)).is_none() && story.world().get(key(11)).is_some());
    story.world().check();
}
