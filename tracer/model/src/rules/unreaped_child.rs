//! `unreaped-child`: a zombie that nobody has waited for, and who should.

use crate::{
    change::{AdopterClass, Change},
    event::Looked,
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::{Comm, Identity, ProcKey},
    programs::is_init,
    rules::{Opinion, Rule, Wanted, coalesced_sigchld, held::Why, words},
    signal::Signal,
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Death, Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("parent", Kind::Process, "who owes the wait: the tracer if there is one, else the parent")
        .role(Role::Debtor),
    FactDef::new("age_ns", Kind::Span, "how long it has been a zombie").role(Role::Cost),
    FactDef::new("age_is_lower_bound", Kind::Flag, "it may have been one for longer: it died before tracing began"),
    FactDef::new("blame", Kind::Word(Blame::WORDS), "why nobody waits").role(Role::Reason),
    FactDef::new(
        "pipe_writer",
        Kind::Process,
        "who has the writing end of a pipe of which the parent has the reading end, if it may wait for that",
    )
    .role(Role::Party)
    .nullable(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "unreaped-child",
    severity: Severity::Warning,
    about: About::Zombie,
    summary: "a process has ended and its parent does not wait for it: a zombie",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("unreaped_child.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(UnreapedChild { after: thresholds.unreaped_after, leak: thresholds.zombie_leak_at })
}

struct UnreapedChild {
    after: Span,
    /// From so many on one parent has a leak, of which another rule speaks.
    leak: u64,
}

impl Rule for UnreapedChild {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        if let Change::Reaped { by: Some(by), .. } = *change {
            let left = coalesced_sigchld::has_passed_over(world, by).take(self.leak as usize);
            return Opinion::Each(left.map(|zombie| Opinion::Recheck(world.now(), zombie)).collect());
        }
        // A zombie that gets another parent is another one's to reap.
        let (Change::Died { key, .. } | Change::Adopted { child: key, .. }) = *change else { return Opinion::Quiet };
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        match process.death() {
            Some(death) => Opinion::Recheck(due(world, process, death, self.after), key),
            None => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        let pipes = writers(world, key).into_iter().map(|(reader, writer)| Wanted::Pipe(reader, writer));
        pipes.chain(world.owed_by(key).map(Wanted::Held)).collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        let Some(death) = process.death() else { return Opinion::Quiet };
        // The recorder waits for its command, be it late on a busy machine.
        if world.command().is_some_and(|command| command.is(key)) {
            return Opinion::Quiet;
        }
        // Between sched_process_exit and exit_notify() a task may sleep for long; only then is
        // it a zombie, and only then does anybody owe it a wait.
        if process.look.is_some_and(|(_, look)| look.state != b'Z') {
            return Opinion::Recheck(world.now() + self.after.max(Span::ms(100)), key);
        }
        // After a loss its parent can be unknown for a while.
        let Some(debtor) = world.owed_by(key) else {
            return Opinion::Recheck(world.now() + self.after.max(Span::ms(100)), key);
        };
        // It waits for nobody any more: the kernel gives this zombie away, or takes it down with its namespace.
        if world.get(debtor).is_some_and(|debtor| debtor.death().is_some()) {
            return Opinion::Recheck(world.now() + self.after.max(Span::ms(100)), key);
        }
        let due = due(world, process, death, self.after);
        if world.now() < due {
            return Opinion::Recheck(due, key);
        }
        let is_spoken_for = || {
            // One more of several is no news before it is a leak.
            let named = world.unreaped(debtor, self.after).take(self.leak.div_ceil(NAMED) as usize);
            !named.into_iter().any(|(zombie, _)| zombie.key == key)
                || is_leak(world, debtor, self.after, self.leak)
                || coalesced_sigchld::left(world, debtor, self.after)
                    .is_some_and(|(parent, ..)| coalesced_sigchld::can_explain(parent, process))
        };
        if process.holder().is_none() && is_spoken_for() {
            return Opinion::Quiet;
        }
        if let Some(again) = undecided(world, debtor, self.after) {
            return Opinion::Recheck(again, key);
        }
        Opinion::Found(Box::new(finding(world, process, death, debtor, self.after)))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let Change::Reaped { identity, by, zombie_for, .. } = change else { return None };
        if identity.key != open.process.key {
            return None;
        }
        let after = zombie_for.map_or_else(String::new, |ns| format!(" after {}", seconds(ns)));
        let name = words::short(identity);
        Some(match by.and_then(|by| world.get(by)) {
            // Nobody who has ended waits for anybody.
            Some(by) if by.death().is_some() && by.roles.init => {
                let init = words::short(&by.identity());
                format!("{name} is gone{after}: the kernel reaped it when its init {init} ended")
            }
            Some(by) if by.death().is_some() => format!("{name} is gone{after}"),
            Some(by) => format!("{name} was reaped by {}{after}", words::short(&by.identity())),
            None => format!("{name} is gone{after}"),
        })
    }
}

/// Processes that are asked whether they hold a pipe that the parent reads.
const WRITERS: usize = 24;

/// The parent of a zombie, which may read a pipe to its end before it waits, with each of those that may hold the other
/// end: its other children, and orphans, if they are younger than the zombie.
fn writers(world: &World, zombie: ProcKey) -> Vec<(ProcKey, ProcKey)> {
    let Some(parent) = world.parent(zombie).filter(|parent| parent.death().is_none()) else { return Vec::new() };
    let is_heir = |above: &&Process| above.roles.init || above.roles.subreaper;
    let heir = world.ancestry(parent.key).skip(1).find(is_heir);
    let younger = |of: &Process| world.children_since(of.key, zombie).take(WRITERS).map(|child| child.key).collect();
    let mut found: Vec<_> = younger(parent);
    found.extend(heir.map_or_else(Vec::new, younger));
    found.retain(|&writer| writer != zombie && world.get(writer).is_some_and(|writer| writer.death().is_none()));
    found.into_iter().map(|writer| (parent.key, writer)).collect()
}

/// From when on a zombie has waited for too long: whoever adopted it, and was seen to reap what it adopted, does so
/// every now and then, and gets twice the time.
fn due(world: &World, process: &Process, death: &Death, after: Span) -> BootNs {
    let patience = if is_about_to_be_reaped(world, process) { after * 2 } else { after };
    process.owed_since(death) + patience
}

/// Whether whoever adopted a zombie lives and was seen to reap what it adopted.
pub(super) fn is_about_to_be_reaped(world: &World, process: &Process) -> bool {
    let debtor = world.owed_by(process.key).and_then(|debtor| world.get(debtor));
    let adopter = debtor.filter(|debtor| process.adoption.is_some_and(|adoption| adoption.to.key == debtor.key));
    adopter.is_some_and(|adopter| adopter.reaps_orphans && adopter.death().is_none())
}

/// Of those that make a leak, one in so many is told by itself.
const NAMED: u64 = 4;
/// What makes a leak is this many times younger than what makes a finding at the most: a parent that is
/// about to wait has zombies too, for a moment.
const YOUNGER: u64 = 4;

/// Whether so many children of one parent wait for it, one of them for so long.
pub(super) fn is_leak(world: &World, parent: ProcKey, after: Span, at: u64) -> bool {
    unreaped(world, parent, after / YOUNGER, at) >= at && unreaped(world, parent, after, 1) > 0
}

/// How many children surely wait for so long; more than so many are not counted.
fn unreaped(world: &World, parent: ProcKey, after: Span, most: u64) -> u64 {
    world.surely_unreaped(parent, after).take(usize::try_from(most).unwrap_or(usize::MAX)).count() as u64
}

/// What keeps a process from waiting for anybody, and whether that lasts. A program that reads a disk sleeps in the
/// kernel for a moment, and one under strace stops at each call.
pub(super) fn hindrance<'a>(world: &World, process: &'a Process, after: Span) -> Option<(Why<'a>, bool)> {
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
pub(super) fn undecided(world: &World, parent: ProcKey, after: Span) -> Option<BootNs> {
    let (_, lasts) = hindrance(world, world.get(parent)?, after)?;
    (!lasts).then(|| world.now() + after.clamp(Span::ms(100), Span::SECOND))
}

/// Why nobody waits. The words are part of the JSON contract.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
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
    const WORDS: &[&str] = &[
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

    pub(super) fn words(self) -> &'static str {
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
    pub(super) fn of_many(self) -> &'static str {
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

    pub(super) fn of(world: &World, process: &Process, debtor: Option<&Process>, after: Span) -> Self {
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

    pub(super) fn fixes(self, world: &World, debtor: &Identity) -> Vec<String> {
        let (comm, pid) = (debtor.comm, debtor.key.tgid);
        let held = || world.get(debtor.key).map_or_else(Vec::new, |debtor| Why::of(world, debtor).fixes(debtor));
        match self {
            Self::Parent if debtor.is_init_of_namespace() => init_fixes(),
            Self::Parent => {
                let mut fixes = vec![
                    format!("have {comm} call waitpid() in a loop until it returns 0 or ECHILD (on SIGCHLD, say)"),
                    format!(
                        "if no child's status matters, have {comm} set SIGCHLD to SIG_IGN: it loses all of them, and so do \
                         programs that it executes"
                    ),
                ];
                fixes.extend(heir_fix(world, debtor));
                fixes
            }
            Self::AdoptingInit if debtor.ns_level == 0 => vec![REAP_AS_PID_1.to_owned()],
            Self::AdoptingInit => init_fixes(),
            Self::AdoptingSubreaper => vec![format!(
                "have {comm} wait for any child (waitpid(-1)), not only for its own: it asked for orphans with \
                 PR_SET_CHILD_SUBREAPER"
            )],
            Self::Late => vec![
                format!(
                    "have {comm} call waitpid(-1, …, WNOHANG) in a loop whenever a child ends (on SIGCHLD), not only now \
                     and then"
                ),
                format!("if it usually does, find out what keeps {comm} from it now"),
            ],
            Self::Frozen | Self::Traced => held(),
            Self::Stopped => vec![format!("continue {comm} (kill -CONT {pid}): then it can wait")],
            Self::Blocked => {
                vec![format!(
                    "find out what {comm} waits for in the kernel, where it cannot be interrupted (/proc/{pid}/stack)"
                )]
            }
            Self::Tracer => vec![
                format!("have {comm} wait for it: as its ptrace tracer, {comm} must wait before the parent can"),
                format!("end {comm}: the zombie then goes back to its parent"),
            ],
        }
    }
}

/// Whether a parent was seen to wait for others like this one, be it late: then nobody knows that it never does.
fn waits_late(world: &World, zombie: &Process, parent: &Process) -> bool {
    match (zombie.present_adoption(), zombie.death()) {
        (Some(_), _) => parent.reaps_orphans,
        (None, Some(death)) => is_swept(world, zombie, death, parent),
        (None, None) => false,
    }
}

/// Whether a parent reaps now and then, and was seen to let a zombie wait for long enough that this one is none that it
/// has forgotten.
pub(super) fn is_swept(world: &World, zombie: &Process, death: &Death, parent: &Process) -> bool {
    parent.slowest_reap >= LATE && world.now() - zombie.owed_since(death) <= parent.slowest_reap * TOLERATED
}

/// Who reaps so long after the end does not do that at each SIGCHLD. A release can be reported a second late.
const LATE: Span = Span::seconds(2);
/// A zombie that waits this many times longer than any before is another story.
const TOLERATED: u64 = 2;

/// Who adopts the children of a process once it ends: the nearest subreaper of its pid namespace, or the init of that
/// (`find_new_reaper()`). Only if that is known to reap what it adopts.
fn reaping_heir(world: &World, key: ProcKey) -> Option<&Process> {
    let mut process = world.get(key)?;
    let pid_ns = process.pid_ns;
    loop {
        process = world.parent(process.key).filter(|parent| parent.pid_ns == pid_ns)?;
        if process.death().is_none() && (process.roles.init || process.roles.subreaper) {
            let is_init = || str::from_utf8(process.comm.bytes()).is_ok_and(is_init);
            return (process.reaps_orphans || is_init()).then_some(process);
        }
    }
}

fn holds_pipe(writer: &Identity) -> String {
    format!(
        "its parent has the reading end of one that {} holds open, and may wait for the end of it",
        words::who(writer)
    )
}

fn pipe_fixes(parent: &Identity, writer: &Identity) -> Vec<String> {
    let (reader, writer) = (parent.comm, words::short(writer));
    vec![
        format!("start {writer} with its output somewhere else (>/dev/null 2>&1): the pipe ends with its last writer"),
        format!("have {reader} wait for its child first, or read the pipe with a time limit"),
        format!("end {writer}: the pipe ends, and {reader} goes on"),
    ]
}

const REAP_AS_PID_1: &str = "have pid 1 call waitpid(-1) in a loop on SIGCHLD";

fn init_fixes() -> Vec<String> {
    vec![
        "run an init that reaps as pid 1 (docker run --init, tini, shareProcessNamespace)".to_owned(),
        REAP_AS_PID_1.to_owned(),
    ]
}

/// Fixes for a child of a program that its process has replaced by another one.
pub(super) fn unknown_fixes(former: Comm, parent: &Identity) -> Vec<String> {
    let comm = parent.comm;
    let mut fixes = if parent.is_init_of_namespace() { init_fixes() } else { Vec::new() };
    fixes.push(format!("have {former} wait for what it has started before it executes {comm}, which did not start it"));
    fixes.push(format!("have {former} start {comm} as a child and wait for both"));
    fixes
}

/// Fixes for a child that a plain waitpid() passes over (`eligible_child()`), and that SIG_IGN does not release.
fn silent_fixes(world: &World, parent: &Identity) -> Vec<String> {
    let comm = parent.comm;
    let wait =
        format!("have {comm} wait for it with __WALL: it was cloned without SIGCHLD, and other waits pass it over");
    std::iter::once(wait).chain(heir_fix(world, parent)).collect()
}

/// To end a parent where its heir does not reap either would help nobody.
fn heir_fix(world: &World, parent: &Identity) -> Option<String> {
    let heir = reaping_heir(world, parent.key)?.identity();
    Some(format!("end {}: {} then adopts its zombies and reaps them", parent.comm, words::short(&heir)))
}

fn finding(world: &World, process: &Process, death: &Death, debtor: ProcKey, after: Span) -> Finding {
    let parent = world.identity(debtor);
    let blame = Blame::of(world, process, world.get(debtor), after);
    let former = process.started_by.filter(|_| blame == Blame::Parent);
    let is_silent = blame == Blame::Parent && process.exit_signal != i32::from(Signal::CHLD.0);
    let age_ns = world.now() - death.zombie_since();
    let name = process.identity();
    let (age, at_least) = (seconds(age_ns), if death.exact { "" } else { "at least " });
    let adoption = process.present_adoption();
    let (debtor_name, dead) = (words::short(&parent), adoption.map(|adoption| words::short(&adoption.from)));
    let dead = dead.map_or_else(String::new, |dead| format!(" when its parent {dead} died"));
    let (briefly, label, reason) = match (blame, former) {
        (Blame::Parent, Some(former)) => (
            format!("{former} started it, then became {debtor_name}"),
            "parent",
            format!("{}, which is alive and may not know of it: {former} had started it", words::who(&parent)),
        ),
        (Blame::Parent, None) => (
            format!("its parent {debtor_name} does not wait for it"),
            "parent",
            format!("{}, which is alive", words::who(&parent)),
        ),
        (Blame::AdoptingInit, _) => (
            format!("{debtor_name} adopted it and does not wait for it"),
            "adopted by",
            format!("{}, the init of its namespace,{dead}", words::who(&parent)),
        ),
        (Blame::AdoptingSubreaper, _) => (
            format!("{debtor_name} adopted it and does not wait for it"),
            "adopted by",
            format!("{}, a subreaper,{dead}", words::who(&parent)),
        ),
        (Blame::Late, _) => (
            format!("{debtor_name} has reaped others, but not yet this one"),
            if dead.is_empty() { "parent" } else { "adopted by" },
            format!("{}, which has waited for others{dead}", words::who(&parent)),
        ),
        (Blame::Frozen, _) => (
            format!("its parent {debtor_name} is frozen"),
            "parent",
            format!("{}, which cannot wait while its control group is frozen", words::who(&parent)),
        ),
        (Blame::Traced, _) => (
            format!("its parent {debtor_name} is held by {}", tracer_of(world, debtor)),
            "parent",
            format!("{}, which cannot wait while its tracer holds it", words::who(&parent)),
        ),
        (Blame::Stopped, _) => (
            format!("its parent {debtor_name} is stopped"),
            "parent",
            format!("{}, which cannot wait while it is stopped", words::who(&parent)),
        ),
        (Blame::Blocked, _) => (
            format!("its parent {debtor_name} is blocked in the kernel"),
            "parent",
            format!("{}, which cannot wait while it is blocked", words::who(&parent)),
        ),
        (Blame::Tracer, _) => (
            format!("its tracer {debtor_name} does not wait for it"),
            "tracer",
            format!("{}, which must wait for it before its parent can", words::who(&parent)),
        ),
    };
    let pipe = world.get(debtor).and_then(|debtor| debtor.pipe.as_deref()).filter(|_| blame == Blame::Parent);
    // As seen since this one is a zombie, and still so.
    let writer = pipe.filter(|(at, _)| *at >= process.owed_since(death)).and_then(|&(_, writer)| world.get(writer));
    let writer = writer.filter(|writer| writer.death().is_none()).map(Process::identity);
    let others = match world.get(debtor).map_or(0, |debtor| debtor.reaped) {
        0 => String::new(),
        n => format!("{} so far", words::count(n, "other child", "other children")),
    };
    let notes = [
        Some(Note::new("zombie", words::who(&name))),
        Some(Note::new(label, reason)),
        writer.map(|writer| Note::new("pipe", holds_pipe(&writer))),
        Note::maybe("reaped", others),
        Some(Note::new("cost", "it keeps its pid until it is reaped")),
    ];
    Finding {
        headline: format!("{} has been a zombie for {at_least}{age}: {briefly}", words::short(&name)),
        notes: notes.into_iter().flatten().collect(),
        fixes: match (writer, former) {
            (Some(writer), _) => pipe_fixes(&parent, &writer),
            (None, Some(former)) => unknown_fixes(former, &parent),
            (None, None) if is_silent => silent_fixes(world, &parent),
            (None, None) => blame.fixes(world, &parent),
        },
        evidence: adoption.and_then(|adoption| adoption.seq).into_iter().chain([death.seq]).collect(),
        facts: Facts::of(
            FACTS,
            [
                ("parent", parent.into()),
                ("age_ns", age_ns.into()),
                ("age_is_lower_bound", (!death.exact).into()),
                ("blame", blame.words().into()),
                ("pipe_writer", writer.into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), death.zombie_since(), name)
    }
}

fn tracer_of(world: &World, key: ProcKey) -> String {
    match world.get(key).and_then(|process| process.tracer) {
        Some(tracer) => format!("its tracer {}", words::short(&world.identity(tracer.key))),
        None => "a tracer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::finding::{Confidence, Stage};
    use crate::{
        detector::ASKED_AT_ONCE,
        event::{Adopter, EventKind, Exit, Held, TaskInfo},
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
        for (state, want) in
            [(b'T', "parent stopped"), (b'D', "parent blocked"), (b'S', "parent alive and never waits")]
        {
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
            story.rows(&[
                crate::story::running(born(1, 0)),
                crate::story::running(born(10, 1)),
                zombie(born(20, 10), ago),
            ]);
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
            (
                b't',
                traced(),
                "its parent lazy (pid 10) is held by its tracer gdb (pid 30)",
                "have gdb (pid 30) let it go",
            ),
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
        assert!(story.world().get(key(10)).unwrap().reaps_orphans);
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
}
