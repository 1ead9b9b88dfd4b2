//! The orders of the kernel's events around an end and around signals: thirteen situations, each with the hooks of each
//! tier that this kernel has.
//!
//! `tracer_tests::stream` explains the words. An order is written as the exact hooks show it; with tracepoints alone,
//! less is visible and the world infers the rest. Some steps of the kernel have no word, because no program is attached
//! there: `proc_exit_connector()`, `zap_pid_ns_processes()`, `kill_orphaned_pgrp()` without a parent, and ends and
//! releases of threads on which nothing depends.

use tracer_tests::{Stage, machine::Need};

use crate::{Test, in_each_tier};

mod children;
mod namespaces;
mod signals;
mod threads;

use children::{
    no_cld_wait, normal_reap, parent_has_execed, parent_ignores_sigchld, reaps_itself, subreaper,
    subreaper_ignores_sigchld, tracer_and_parent, tracer_then_parent, without_a_signal,
};
use namespaces::{init_exits, leftover_from_outside};
use signals::{blocked_then_ignored, init_that_blocks, init_that_faults, init_without_a_handler, never_sent};
use threads::{
    child_of_a_thread, exec_by_another_thread, leader_first, leader_first_and_held, leader_first_and_ignored,
    leader_first_and_thread_held,
};

pub fn trials() -> Vec<Test> {
    let mut trials = in_each_tier![
        normal_reap,
        parent_ignores_sigchld,
        no_cld_wait,
        subreaper,
        subreaper_ignores_sigchld,
        child_of_a_thread,
        leader_first,
        leader_first_and_ignored,
        leader_first_and_held,
        leader_first_and_thread_held,
        exec_by_another_thread,
        init_exits,
        leftover_from_outside,
        tracer_then_parent,
        tracer_and_parent,
        without_a_signal,
        parent_has_execed,
        init_without_a_handler,
        init_that_blocks,
        init_that_faults,
        blocked_then_ignored,
        never_sent,
    ];
    // `CLONE_AUTOREAP`.
    trials.extend(in_each_tier![reaps_itself].into_iter().map(|test| test.needs(Need::Kernel(7, 3))));
    trials
}

fn stage(act: &[&str]) -> Stage {
    Stage::act(act, &std::rc::Rc::default())
}
