//! Who is to blame for a zombie, and what keeps him from waiting for it.

use crate::{
    change::AdopterClass,
    event::Looked,
    ident::ProcKey,
    rules::held::Why,
    time::{BootNs, Span},
    world::{Death, Process, World},
};

/// What keeps a process from waiting for anybody, and whether that lasts. A program that reads a disk sleeps in the
/// kernel for a moment, and one under strace stops at each call.
pub(in crate::rules) fn hindrance<'a>(world: &World, process: &'a Process, after: Span) -> Option<(Why<'a>, bool)> {
    /// What has lasted for so long is no moment.
    const LASTS: Span = Span::SECOND;
    let (looked, Looked { state, .. }) = process.look?;
    let lasts = world.now() - process.state_since >= LASTS.min(after);
    // It may have been thawed since an earlier look.
    let is_present = || process.held.as_deref().is_some_and(|&(at, _)| at >= looked);
    match (Why::of(world, process), state) {
        (why @ Why::Frozen(_), _) if is_present() => Some((why, true)),
        (_, b'T') => Some((Why::Stopped, true)),
        // If only one of several threads, another one could wait.
        (why @ (Why::Traced(_) | Why::Asleep), b'D' | b't') => Some((why, lasts)),
        _ => None,
    }
}

/// When to look again at a parent of which it is not clear yet whether something keeps it from waiting.
pub(in crate::rules) fn undecided(world: &World, parent: ProcKey, after: Span) -> Option<BootNs> {
    let (_, lasts) = hindrance(world, world.get(parent)?, after)?;
    (!lasts).then(|| world.now() + after.clamp(Span::ms(100), Span::SECOND))
}

/// Why nobody waits. The words are part of the JSON contract.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Blame {
    Parent,
    AdoptingInit,
    AdoptingSubreaper,
    Late,
    Frozen,
    Stopped,
    Blocked,
    Traced,
    Tracer,
}

impl Blame {
    /// All of [`Blame::words`].
    pub(super) const WORDS: &[&str] = &[
        "parent alive and never waits",
        "adopted by an init that never waits",
        "adopted by a subreaper that never waits",
        "parent waits late",
        "parent frozen",
        "parent stopped",
        "parent blocked",
        "parent held by a tracer",
        "held by a tracer",
    ];

    pub(in crate::rules) fn words(self) -> &'static str {
        match self {
            Self::Parent => "parent alive and never waits",
            Self::AdoptingInit => "adopted by an init that never waits",
            Self::AdoptingSubreaper => "adopted by a subreaper that never waits",
            Self::Late => "parent waits late",
            Self::Frozen => "parent frozen",
            Self::Stopped => "parent stopped",
            Self::Blocked => "parent blocked",
            Self::Traced => "parent held by a tracer",
            Self::Tracer => "held by a tracer",
        }
    }

    /// The same of many, in a few words.
    pub(in crate::rules) fn of_many(self) -> &'static str {
        match self {
            Self::Parent => "they are its own children",
            Self::AdoptingInit => "their parents died, and it adopted them as the init of their namespace",
            Self::AdoptingSubreaper => "their parents died, and it adopted them as a subreaper",
            Self::Late => "it has reaped others, but not yet these",
            Self::Frozen => "it is frozen and cannot wait for them",
            Self::Stopped => "it is stopped and cannot wait for them",
            Self::Blocked => "it is blocked in the kernel and cannot wait for them",
            Self::Traced => "its tracer holds it, and it cannot wait for them",
            Self::Tracer => "it traces them",
        }
    }

    pub(in crate::rules) fn of(world: &World, process: &Process, debtor: Option<&Process>, after: Span) -> Self {
        if process.holder().is_some() {
            return Self::Tracer;
        }
        match debtor.and_then(|debtor| hindrance(world, debtor, after)) {
            Some((Why::Frozen(_), _)) => return Self::Frozen,
            Some((Why::Stopped, _)) => return Self::Stopped,
            Some((Why::Traced(_), _)) => return Self::Traced,
            Some((Why::Asleep, _)) => return Self::Blocked,
            Some((Why::Busy, _)) | None => {}
        }
        match &process.present_adoption() {
            _ if debtor.is_some_and(|debtor| waits_late(world, process, debtor)) => Self::Late,
            Some(adoption) if adoption.class == AdopterClass::NamespaceInit => Self::AdoptingInit,
            Some(adoption) if adoption.class == AdopterClass::Subreaper => Self::AdoptingSubreaper,
            _ => Self::Parent,
        }
    }
}

/// Whether a parent was seen to wait for others like this one, be it late: then nobody knows that it never does.
fn waits_late(world: &World, zombie: &Process, parent: &Process) -> bool {
    match (zombie.present_adoption(), zombie.death()) {
        (Some(_), _) => parent.reaping().adopted,
        (None, Some(death)) => is_swept(world, zombie, death, parent),
        (None, None) => false,
    }
}

/// Whether a parent reaps now and then, and was seen to let a zombie wait for long enough that this one is none that it
/// has forgotten.
pub(in crate::rules) fn is_swept(world: &World, zombie: &Process, death: &Death, parent: &Process) -> bool {
    parent.reaping().slowest >= LATE && world.now() - zombie.owed_since(death) <= parent.reaping().slowest * TOLERATED
}

/// Who reaps so long after the end does not do that at each SIGCHLD. A release can be reported a second late.
const LATE: Span = Span::seconds(2);
/// A zombie that waits this many times longer than any before is another story.
const TOLERATED: u64 = 2;
