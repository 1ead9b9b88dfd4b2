//! A difference or a false finding, and what the world was told of whom it is about, for a person.

use std::fmt::{self, Write as _};

use tracer::{
    event::{Event, EventKind, Exit},
    finding::Finding,
    ident::{ProcKey, TaskRef},
};

use super::{arena::ActorId, compare::Difference, follower::Follower};

/// A difference, and the number of the follower whose world differs.
pub(super) struct Found {
    pub follower: usize,
    pub difference: Difference,
}

/// Differences that are explained; the others are only counted.
const SHOWN: usize = 12;
/// Events that are shown of each.
const EVENTS: usize = 40;

/// Writes the differences down, with what their worlds were told.
pub(super) fn explain(
    text: &mut String,
    found: &[Found],
    followers: &[Follower],
    actor_of: impl Fn(u32) -> Option<ActorId>,
) {
    for Found { follower, difference } in found.iter().take(SHOWN) {
        let Some(follower) = followers.get(*follower) else { continue };
        let actor = difference.keys.first().and_then(|key| actor_of(key.tgid));
        let actor = actor.map(|actor| format!(" [actor {actor}]")).unwrap_or_default();
        let _ = writeln!(text, "by {}: {difference}{actor}", follower.name);
        let is_about = |event: &Event| {
            difference
                .keys
                .iter()
                .enumerate()
                .any(|(i, key)| if i == 0 { names(event, *key) } else { ends(event, *key) })
        };
        tell(text, follower, is_about);
    }
    if found.len() > SHOWN {
        let _ = writeln!(text, "and {} more", found.len() - SHOWN);
    }
}

/// Writes down what a world was told of those whom a finding names.
pub(super) fn explain_finding(text: &mut String, follower: &Follower, finding: &Finding) {
    let other = |name| finding.facts.process(name).map(|process| process.key);
    let keys = [Some(finding.process.key), other("parent"), other("dead_parent"), other("adopter")];
    tell(text, follower, |event| keys.iter().flatten().any(|&key| names(event, key)));
}

fn tell(text: &mut String, follower: &Follower, is_about: impl Fn(&Event) -> bool) {
    let about: Vec<_> = follower.watch.history.iter().filter(|(_, event)| is_about(event)).collect();
    for (seq, event) in &about[about.len().saturating_sub(EVENTS)..] {
        let _ = writeln!(text, "    event {} at {}: {}", seq, event.at, Told(&event.kind));
    }
}

/// An event, as far as it matters to the tree.
struct Told<'a>(&'a EventKind);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = |task: Option<TaskRef>| match task {
            None => "nobody".to_owned(),
            Some(TaskRef { key, tid }) if tid == key.tgid => tid.to_string(),
            Some(TaskRef { key, tid }) => format!("thread {tid} of {}", key.tgid),
        };
        match self.0 {
            EventKind::Fork(fork) => {
                let (by, of) = (task(fork.creator), task(fork.task.parent));
                write!(f, "{by} makes {} as a child of {of}", fork.task.key.tgid)
            }
            EventKind::Exec(exec) => write!(f, "exec of {} by thread {}", exec.task.key.tgid, exec.old_tid),
            EventKind::Exit(exit) => {
                let Exit {
                    task: who,
                    parent,
                    tracer,
                    adopter,
                    status,
                    live,
                    leader: _,
                    group_dead,
                    group_exit: _,
                    autoreap,
                    adopter_ignores,
                    oom: _,
                    seccomp: _,
                } = &**exit;
                let (who, parent, tracer) = (task(Some(*who)), task(*parent), task(*tracer));
                write!(f, "exit of {who} (child of {parent}, traced by {tracer}), status {:#x}, ", status.0)?;
                write!(f, "{live} live, group dead {group_dead}, reaps itself {autoreap}, children to {adopter:?}")?;
                write!(f, "{}", if *adopter_ignores { ", which ignores them" } else { "" })
            }
            EventKind::Free(of) => write!(f, "release of {} (started at {})", task(Some(*of)), of.key.start),
            EventKind::Signal(sent) => {
                let (from, to) = (task(Some(sent.current)), task(Some(sent.target)));
                write!(f, "{} from {from} to {to}, result {}", sent.signal, sent.result)
            }
            EventKind::Adopt(adopt) => {
                let [child, from, to] = [adopt.child, adopt.from, adopt.to].map(|of| task(Some(of)));
                write!(f, "{child} goes from {from} to {to}")
            }
            EventKind::Reap(reap) => write!(f, "{} is reaped by {}", task(Some(reap.task)), task(Some(reap.reaper))),
            EventKind::Notify(notify) => {
                write!(f, "{} is a zombie of {}", task(Some(notify.task)), task(Some(notify.to)))
            }
            EventKind::Row(row) => write!(f, "listed as a child of {}", task(row.task.parent)),
            EventKind::Look(look) => write!(f, "looked at: {:?}", look.found),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whether an event tells of the end of that process, or of a thread of it.
fn ends(event: &Event, key: ProcKey) -> bool {
    match &event.kind {
        EventKind::Exit(exit) => exit.task.key == key,
        // The number alone, as this is what can be wrong with it.
        EventKind::Free(task) => task.key.tgid == key.tgid,
        _ => false,
    }
}

/// Whether an event tells of that process, or of a child that it gets.
fn names(event: &Event, key: ProcKey) -> bool {
    match &event.kind {
        EventKind::Fork(fork) => fork.task.key == key || fork.task.parent.is_some_and(|parent| parent.key == key),
        EventKind::Exec(exec) => exec.task.key == key,
        EventKind::Signal(sent) => sent.target.key == key,
        EventKind::Deliver(taken) => taken.target.key == key,
        EventKind::Row(row) => row.task.key == key,
        EventKind::Look(look) => look.key == key,
        EventKind::Adopt(adopt) => adopt.child.key == key,
        EventKind::Reap(reap) => reap.task.key == key,
        EventKind::Notify(notify) => notify.task.key == key,
        EventKind::Rename(of, _) => *of == key,
        EventKind::Lost(_) => true,
        _ => ends(event, key),
    }
}
