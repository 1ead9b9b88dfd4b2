//! The orders in which the kernel tells of an end and of signals: thirteen situations, each with
//! the hooks of each tier that this kernel has.
//!
//! The words are explained in `tracer_tests::stream`. An order is said as the exact hooks tell
//! it; with tracepoints alone less is heard and the world concludes the rest. Of the kernel's own
//! steps `proc_exit_connector()`, `zap_pid_ns_processes()` and `kill_orphaned_pgrp()` without a
//! parent have no word, as tracer has no program there; nor have ends and releases of threads of
//! which nothing depends.

use tracer::source::hooks::Hooks;
use tracer_tests::{Stage, machine::Need};

use crate::{Test, live};

mod children;
mod namespaces;
mod signals;
mod threads;

/// A trial for each order and tier.
macro_rules! in_each_tier {
    ($($file:ident::$order:ident),* $(,)?) => {
        vec![$(
            in_tier!($file::$order, "tracepoint", Tracepoint),
            in_tier!($file::$order, "fentry", Fentry),
            in_tier!($file::$order, "kprobe", Kprobe),
        )*]
    };
}

macro_rules! in_tier {
    ($file:ident::$order:ident, $name:literal, $hooks:ident) => {
        live(concat!(stringify!($order), "::", $name), || $file::$order(Hooks::$hooks))
            .needs(Need::Hooks(Hooks::$hooks))
    };
}

pub fn trials() -> Vec<Test> {
    in_each_tier![
        children::normal_reap,
        children::parent_ignores_sigchld,
        children::parent_wants_no_zombies,
        children::subreaper,
        threads::child_of_a_thread,
        threads::leader_first,
        threads::leader_first_and_ignored,
        threads::exec_by_another_thread,
        namespaces::init_exits,
        namespaces::leftover_from_outside,
        children::tracer_then_parent,
        children::without_a_signal,
        signals::init_without_a_handler,
        signals::init_that_blocks,
        signals::init_that_faults,
        signals::blocked_then_ignored,
        signals::never_sent,
    ]
}

fn stage(act: &[&str]) -> Stage {
    Stage::act(act, &std::rc::Rc::default())
}
