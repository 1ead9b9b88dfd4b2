//! What happened to a process, in words.

use anstyle::Style;

use crate::{
    console::style::{BAD, DIM, WARN},
    event::ExitStatus,
    signal::{Signal, Verdict},
    why::recorded::Program,
};

/// A program that was executed, or a new name.
pub(super) fn executes(program: &Program) -> String {
    let Program { at: _, comm, args } = program;
    match args {
        None => format!("renames itself to {comm}"),
        Some(args) if args.is_empty() => format!("executes {comm}"),
        Some(args) => format!("executes {comm}: {args}"),
    }
}

/// How a process ended.
pub(in crate::why) fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) if status.dumped_core() => format!("ended by {signal}, with a core dump"),
        Some(signal) => format!("ended by {signal}"),
        None => format!("ended with code {}", status.code()),
    }
}

/// The effect of a signal that asked to stop, and how much later it came.
pub(super) fn outcome(signal: Signal, verdict: Verdict, status: ExitStatus, after: &str) -> String {
    match (status.signal(), verdict.is_loss()) {
        (Some(by), _) if by == signal => format!("it ended by it, {after} later"),
        (Some(by), true) => format!("{by} ended it, {after} later"),
        (Some(by), false) => format!("it did not end by it: {by} ended it, {after} later"),
        (None, _) => format!("it ended with code {}, {after} later", status.code()),
    }
}

/// What became of a signal, in words; emphasized if somebody may wait for it in vain.
pub(super) fn fate(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::Delivered => (DIM, "delivered"),
        Verdict::Queued => (WARN, "pending: it is blocked, or the process is stopped"),
        Verdict::Merged => (WARN, "merged with one that was pending already, and left no trace"),
        Verdict::IgnoredByChoice => (DIM, "ignored, by the program's choice"),
        Verdict::IgnoredByDefault => (DIM, "ignored: there is no handler, and the default is to do nothing"),
        Verdict::InitNoHandler => (BAD, "DROPPED: it is pid 1 of its namespace and has no handler for it"),
        Verdict::KillFromInside => (BAD, "DROPPED: it is pid 1 of its namespace, and this came from inside"),
        Verdict::DroppedAtDelivery => {
            (BAD, "DROPPED when it was unblocked: it is pid 1 of its namespace and has no handler for it")
        }
        Verdict::QueueOverflow => (BAD, "LOST: the queue was full, and the sender got EAGAIN"),
        Verdict::InfoLost => (BAD, "accepted, but its siginfo is LOST: the queue was full"),
        Verdict::TargetExiting => (DIM, "too late: it was dying or dead"),
        Verdict::KernelThread => (DIM, "refused: a kernel thread takes no signals that it has not asked for"),
    }
}
