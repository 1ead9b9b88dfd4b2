//! Costs with many processes, counted in visited processes: four times as many cost about four times as much.

use std::cell::Cell;

use super::World;
use crate::{
    event::{Adopter, Event, EventKind, Exit, Fork, TaskInfo},
    ident::ProcKey,
    story::{after_boot, born, born_in, end, key, task},
    time::{BootNs, Seq, Span},
};

thread_local! {
    /// Processes that were visited, in this test.
    static VISITED: Cell<u64> = const { Cell::new(0) };
}

/// Counts a visit.
pub(super) fn visited() {
    VISITED.set(VISITED.get() + 1);
}

/// How many processes are visited for these events.
fn visits(events: Vec<EventKind>) -> u64 {
    let (mut world, mut changes, before) = (World::default(), Vec::new(), VISITED.get());
    for (seq, kind) in (0..).zip(events) {
        world.apply(&Event { at: after_boot(1_000_000) + Span(seq), cpu: 0, kind }, Seq(seq), &mut changes);
        changes.clear();
    }
    VISITED.get() - before
}

fn assert_linear(events: impl Fn(u32) -> Vec<EventKind>) {
    let (few, many) = (visits(events(200)), visits(events(800)));
    assert!(many <= 6 * few, "{few} visits become {many}");
}

fn fork(task: TaskInfo) -> EventKind {
    EventKind::Fork(Box::new(Fork { task, creator: task.parent }))
}

fn exit(exit: Exit) -> EventKind {
    EventKind::Exit(Box::new(exit))
}

/// The processes 2 to `n`, each the child of the one before.
fn chain(n: u32) -> Vec<EventKind> {
    (1..=n).map(|pid| fork(born(pid, pid - 1))).collect()
}

#[test]
fn a_chain_in_which_every_other_process_hands_its_child_to_a_subreaper() {
    assert_linear(|n| {
        let ends = (2..n).step_by(2).map(|pid| exit(end(pid, pid - 1, Adopter::Subreaper(task(pid - 1)))));
        chain(n).into_iter().chain(ends).collect()
    });
}

#[test]
fn processes_of_one_pid_each_older_than_the_one_before() {
    let (mut world, mut changes) = (World::default(), Vec::new());
    for seq in 0..1_000 {
        let task = TaskInfo { key: ProcKey { start: after_boot(2_000 - seq), tgid: 7 }, ..born(7, 1) };
        world.apply(&Event { at: after_boot(3_000 + seq), cpu: 0, kind: fork(task) }, Seq(seq), &mut changes);
    }
    assert!(world.process_count() < 20, "{} processes", world.process_count());
}

#[test]
fn a_chain_that_ends_from_either_end() {
    let ends = |pid: u32| [exit(end(pid, pid - 1, Adopter::NamespaceInit(task(1)))), EventKind::Free(task(pid))];
    assert_linear(|n| chain(n).into_iter().chain((2..=n).flat_map(ends)).collect());
    assert_linear(|n| chain(n).into_iter().chain((2..=n).rev().flat_map(ends)).collect());
}

#[test]
fn a_namespace_that_ends_with_all_that_is_in_it() {
    assert_linear(|n| {
        let mut events = vec![fork(born(1, 0)), fork(born_in(77, 2, 1, 1))];
        events.extend((3..n).map(|pid| fork(born_in(77, pid, pid - 1, 2))));
        events.push(exit(end(2, 1, Adopter::None)));
        events.extend((3..n).map(|pid| exit(Exit { autoreap: true, ..end(pid, 2, Adopter::None) })));
        events.extend((2..n).rev().map(|pid| EventKind::Free(task(pid))));
        events
    });
}

#[test]
fn many_namespaces_that_end() {
    let begin = |i: u32| [fork(born_in(1_000 + i, 2 * i, 1, 1)), fork(born_in(1_000 + i, 2 * i + 1, 2, 2 * i))];
    let ends = |i: u32| {
        let (init, child) = (2 * i, 2 * i + 1);
        let killed = Exit { autoreap: true, ..end(child, init, Adopter::None) };
        let ends = [exit(end(init, 1, Adopter::None)), exit(killed)];
        ends.into_iter().chain([child, init].map(|pid| EventKind::Free(task(pid))))
    };
    assert_linear(|n| {
        let births = [fork(born(1, 0))].into_iter().chain((1..n).flat_map(begin));
        births.chain((1..n).flat_map(ends)).collect()
    });
}

#[test]
fn a_container_of_each_process() {
    assert_linear(|n| {
        let births = [fork(born(1, 0))].into_iter().chain((2..n).map(|pid| fork(born(pid, 1))));
        births.chain((2..n).map(|pid| EventKind::Contained(key(pid), pid.to_string()))).collect()
    });
}

#[test]
fn the_zombies_of_a_parent_are_found_however_many_of_its_children_live() {
    let visits = |n: u32| {
        let (mut world, mut changes) = (World::default(), Vec::new());
        let births = (1..n).map(|pid| fork(born(pid, u32::from(pid > 1))));
        for (seq, kind) in (0..).zip(births.chain([exit(end(n / 2, 1, Adopter::None))])) {
            world.apply(&Event { at: after_boot(1_000_000), cpu: 0, kind }, Seq(seq), &mut changes);
        }
        let before = VISITED.get();
        assert_eq!(world.unreaped(key(1), Span::ZERO).count(), 1);
        VISITED.get() - before
    };
    assert_eq!(visits(100), visits(1_000));
}

/// None of this may recurse: a chain can be as long as there are pids.
#[test]
fn a_chain_as_long_as_there_can_be() {
    let mut world = World::default();
    let mut changes = Vec::new();
    let contained = |pid| EventKind::Contained(key(pid), "all".into());
    let events = chain(300_000).into_iter().chain([contained(1), exit(end(1, 0, Adopter::None))]);
    for (seq, kind) in (0..).zip(events) {
        world.apply(&Event { at: after_boot(1_000_000) + Span(seq), cpu: 0, kind }, Seq(seq), &mut changes);
    }
    assert_eq!(world.told(key(2), BootNs::ZERO).map(|told| told.not_told), Some(0), "nobody had lasted then");
    assert!(world.is_below(key(300_000), key(1)));
}
