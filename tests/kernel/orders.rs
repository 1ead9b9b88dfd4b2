//! The orders in which the kernel tells of an end and of signals: thirteen situations, each with
//! the hooks of each tier that this kernel has.
//!
//! The words are explained in `tracer_tests::stream`. An order is said as the exact hooks tell
//! it; with tracepoints alone less is heard and the world concludes the rest. Of the kernel's own
//! steps `proc_exit_connector()`, `zap_pid_ns_processes()` and `kill_orphaned_pgrp()` without a
//! parent have no word, as tracer has no program there; nor have ends and releases of threads of
//! which nothing depends.

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
