//! Which combinations are staged with every signal from 1 to 64.

use nix::libc;

use super::case::{Case, Disposition, Relation, Way};

/// One kind of target and sender.
#[derive(Clone, Debug)]
pub struct Row {
    /// How the target stands to the signals.
    pub disposition: Disposition,
    /// Who sends to whom.
    pub relation: Relation,
    /// By which ways, one after another.
    pub ways: Vec<Way>,
}

use Disposition as D;
use Way as W;

/// Dispositions of a target that can still do something itself.
const OWN: &[D] = &[
    D::Default,
    D::Ignored,
    D::Handled,
    D::Blocked,
    D::BlockedDefault,
    D::BlockedIgnored,
    D::Flushed,
    D::Twice,
    D::FullQueue,
    D::Signalfd,
    D::TracedHandled,
    D::TracedDefault,
    D::TracedIgnored,
    D::TracedSuppressed,
];

/// Dispositions of a target that somebody else must send to.
const OTHERS: &[D] = &[
    D::Awaited,
    D::Stopped,
    D::StoppedDefault,
    D::OtherThread,
    D::OtherThreadDefault,
    D::AllThreads,
    D::DeadLeader,
    D::Exiting,
];

/// What tells an ordinary process from an init, and no more.
const FEW: &[D] = &[D::Default, D::Ignored, D::Handled, D::Blocked, D::BlockedDefault, D::TracedDefault];

/// How much is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every way.
    Whole,
    /// One way of each sort: for the process, for a thread, with a siginfo, by the kernel.
    Brief,
}

const BRIEF: [W; 4] = [W::Kill, W::Tgkill, W::Sigqueue, W::Timer];

/// The rows, in the order in which they are staged.
pub fn rows(scope: Scope) -> Vec<Row> {
    let everything = [OWN, OTHERS].concat();
    let kernel = [W::Timer, W::TimerThread, W::Io, W::Message];
    let own_ways = [&W::CALLS[..], &kernel].concat();
    // In its own namespace the group of an init is 1, and kill(-1) means everybody else.
    let from_inside = [W::Kill, W::Tgkill, W::Sigqueue, W::Pidfd];
    let few_ways = [W::Kill, W::Tgkill, W::Sigqueue];
    let mut rows = Vec::new();
    let mut add = |dispositions: &[D], relation, ways: &[W]| {
        rows.extend(dispositions.iter().map(|&disposition| {
            let ways = ways.iter().copied().filter(|way| scope == Scope::Whole || BRIEF.contains(way));
            let ways = ways.filter(|&way| is_possible(disposition, way)).collect();
            Row { disposition, relation, ways }
        }));
    };
    add(&everything, Relation::Peers, &W::CALLS);
    add(&[D::Dying, D::Zombie], Relation::Peers, &W::CALLS);
    add(OWN, Relation::Own, &own_ways);
    add(&everything, Relation::HostToInit, &W::CALLS);
    // No such row from inside: an init becomes a zombie only when nobody is left in its namespace.
    add(&[D::Zombie], Relation::HostToInit, &W::CALLS);
    add(&everything, Relation::InsideToInit, &from_inside);
    add(OWN, Relation::InitToItself, &[&from_inside[..], &kernel].concat());
    add(FEW, Relation::HostToNested, &few_ways);
    add(FEW, Relation::OuterToNested, &few_ways);
    add(FEW, Relation::HostToMember, &few_ways);
    add(&[D::Default], Relation::Stranger, &[W::Kill, W::Tgkill, W::Sigqueue, W::Pidfd]);
    rows
}

/// A timer's place in the queue is taken when it is created, so a full queue is none of its
/// concerns; what else the kernel sends is never refused by a limit.
fn is_possible(disposition: Disposition, way: Way) -> bool {
    way.is_call() || disposition != D::FullQueue
}

/// Whether the target can see what became of the signal. A siginfo that was lost looks as that of
/// a kill(2) from outside, and that of a SIGSTOP is nobody's to see.
pub fn is_observable(case: Case) -> bool {
    let Case { disposition, relation, way, signal } = case;
    let looks_the_same = way.is_plain() && relation.is_from_outside();
    disposition != Disposition::FullQueue || (signal != libc::SIGSTOP && !looks_the_same)
}
