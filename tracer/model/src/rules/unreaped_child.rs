//! `unreaped-child`: a zombie that nobody has waited for, and who should.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::{Identity, ProcKey},
    rules::{Opinion, Rule, Wanted, coalesced_sigchld, words},
    signal::Signal,
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Death, Process, World},
};

mod blame;
mod fixes;
#[cfg(test)]
mod tests;

pub(super) use blame::{Blame, hindrance, is_swept, undecided};
pub(super) use fixes::unknown_fixes;
use fixes::{pipe_fixes, silent_fixes};

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

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Reaped, Topic::Died, Topic::Adopted]
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
        if process.holder().is_none() {
            if is_leak(world, debtor, self.after, self.leak) {
                return Opinion::Quiet;
            }
            // One more of several is no news before it is a leak, unless it is left when those were reaped.
            let again = Opinion::Recheck(world.now() + (world.now() - death.zombie_since()).max(self.after), key);
            let mut named = world.unreaped(debtor, self.after).take(self.leak.div_ceil(NAMED) as usize);
            if !named.any(|(zombie, _)| zombie.key == key) {
                return again;
            }
            // That is how it is until the parent reaps one that shows otherwise.
            let left = coalesced_sigchld::left(world, debtor, self.after);
            if left.is_some_and(|(parent, ..)| coalesced_sigchld::can_explain(parent, process)) {
                return Opinion::Each(vec![Opinion::Ask(&coalesced_sigchld::DEF, debtor), again]);
            }
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
    let adopter =
        debtor.filter(|debtor| process.adoption.as_deref().is_some_and(|adoption| adoption.to.key == debtor.key));
    adopter.is_some_and(|adopter| adopter.reaping().adopted && adopter.death().is_none())
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

fn holds_pipe(writer: &Identity) -> String {
    format!(
        "its parent has the reading end of one that {} holds open, and may wait for the end of it",
        words::who(writer)
    )
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
    let others = match world.get(debtor).map_or(0, |debtor| debtor.reaping().count) {
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
