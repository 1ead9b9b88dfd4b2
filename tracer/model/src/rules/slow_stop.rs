//! `slow-stop`: a container, or another process, was asked to stop, did not, and was killed by who had asked.

use std::sync::Arc;

use crate::{
    change::{Change, Topic},
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, MOST_NOTES, Note, Role, RuleDef, Severity, Value},
    ident::{Identity, ProcKey, TaskRef},
    kill::Kill,
    origin::Certainty,
    rules::{
        Opinion, Rule, Wanted, origins,
        words::{self, line, short},
    },
    signal::{Sender, Signal, Verdict, killer::Killer},
    stop::{Executed, ForcedStop, Request, Told},
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Namespace, World},
};

mod fixes;

use fixes::fixes;

const FACTS: &[FactDef] = &[
    FactDef::new(
        "what",
        Kind::Word(&["container", "process"]),
        "what was to stop: a container, whose pid 1 `process` is, or only that process",
    ),
    FactDef::new("signal", Kind::Signal, "the signal that asked it to stop").role(Role::Signal),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("ancestors", Kind::Processes, "parent, grandparent and so on of the sender, up to the init of its namespace"),
    words::ASKED_BY,
    origins::ORIGIN,
    FactDef::new("verdict", Kind::Word(Verdict::IDS), "what became of it, as in `signal`").role(Role::Reason),
    FactDef::new(
        "children_told",
        Kind::Count,
        "of a container: how many of its children were sent a signal before the SIGKILL; null if the signal did not reach \
         it, or that was not recorded",
    )
    .nullable(),
    FactDef::new("children_not_told", Kind::Count, "how many of its children were not; null likewise").nullable(),
    FactDef::new(
        "left",
        Kind::Count,
        "how many others ended with it: those of its namespace, which the kernel killed; or those that the same SIGKILL \
         ended",
    ),
    words::FALLEN,
    FactDef::new("with_it", Kind::Processes, "the first ten that the same SIGKILL ended with a process that is no pid 1")
        .role(Role::Victims),
    FactDef::new("killer", Kind::Sender, "who sent the SIGKILL").role(Role::Party),
    FactDef::new("killer_ancestors", Kind::Processes, "its ancestors, likewise"),
    FactDef::new("wasted_ns", Kind::Span, "from the signal to the SIGKILL").role(Role::Cost),
    FactDef::new("took_ns", Kind::Span, "from the signal to the end"),
    words::KILLED,
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "slow-stop",
    severity: Severity::Warning,
    about: About::End,
    summary: "a container or a process did not end when it was asked to, and was killed when the time was up",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("slow_stop.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(SlowStop { after: thresholds.slow_stop_after })
}

struct SlowStop {
    after: Span,
}

impl Rule for SlowStop {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled, Topic::Killed, Topic::NamespaceEnded]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        match change {
            // Who died with it is known by now.
            Change::NamespaceEnded(ns) => {
                let ended =
                    world.namespace(*ns).and_then(|ns| Some((ns, world.get(ns.ending?.init.key)?.forced_stop()?)));
                match ended.filter(|(_, forced)| forced.wasted() >= self.after) {
                    Some((ns, forced)) => found(world, &forced, &Fallout::of_container(ns, forced.ended)),
                    None => Opinion::Quiet,
                }
            }
            Change::Killed(kill) => match kill.slow_stop(self.after).filter(|forced| !forced.is_of_container()) {
                Some(forced) => found(world, forced, &Fallout::of_signal(kill, &forced.process)),
                None => Opinion::Quiet,
            },
            // What it handles is to be seen as long as it lives.
            Change::Signalled(signalled) if is_asked(world, signalled.target.key, seq) => {
                Opinion::Recheck(world.now(), signalled.target.key)
            }
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        world.get(key).map(|_| Wanted::Masks(TaskRef { key, tid: key.tgid })).into_iter().collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let living = world.get(key).filter(|process| process.death().is_none());
        let first = living.and_then(|process| Some(process.stop.as_ref()?.asked_first()?.at));
        match first {
            // A program that executes itself anew handles nothing at first.
            Some(first) if world.now() < first + LOOKED_AT => Opinion::Recheck(world.now() + Span::SECOND, key),
            _ => Opinion::Quiet,
        }
    }
}

/// Of a process that SIGKILL has stopped, which this rule tells all of: when it was asked to stop, and why a finding about
/// a part of that stop is told no more.
pub(super) fn tells_all(world: &World, key: ProcKey, after: Span) -> Option<(BootNs, String)> {
    let forced = world.get(key)?.forced_stop().filter(|forced| forced.wasted() >= after)?;
    let who = if forced.is_of_container() {
        format!("pid 1 of {}", world.place_of(&forced.process))
    } else {
        short(&forced.process)
    };
    let wasted = seconds(forced.wasted());
    Some((forced.asked.at, format!("{who} was killed {wasted} after its stop signal: slow-stop tells it all")))
}

/// How long the signals of a process that was asked to stop are looked at.
const LOOKED_AT: Span = Span::seconds(3);

/// Whether an event has asked a process to stop that will not simply end by it.
fn is_asked(world: &World, key: ProcKey, seq: Seq) -> bool {
    let process = world.get(key).filter(|process| process.fatal.is_none());
    let asked = process.and_then(|process| process.stop.as_deref()?.asked_last());
    asked.is_some_and(|asked| asked.seq == seq && (asked.is_to_container || asked.signal != Signal::HUP))
}

/// Who ended with it.
struct Fallout {
    count: u64,
    named: Vec<Facts>,
    with_it: Vec<Identity>,
    others: Arc<Vec<Identity>>,
    notes: Vec<Note>,
}

impl Fallout {
    fn of_container(ns: &Namespace, ended: BootNs) -> Self {
        let count = ns.ending.map_or(0, |ending| ending.killed);
        Self {
            count,
            named: words::fallen_facts(&ns.fallen, ended),
            with_it: Vec::new(),
            others: Arc::clone(&ns.killed),
            notes: Note::maybe("died", words::fallen(&ns.fallen, count, ended)).into_iter().collect(),
        }
    }

    fn of_signal(kill: &Kill, process: &Identity) -> Self {
        let with_it: Vec<_> = kill.victims.iter().copied().filter(|victim| victim.key != process.key).collect();
        let count = kill.count - 1;
        let died = Note::maybe("died", words::names(&with_it, count));
        let call = kill.call.as_ref().filter(|call| call.sent > 1).map(origins::call_note);
        let notes = died.into_iter().chain(call).collect();
        Self { count, named: Vec::new(), with_it, others: Arc::clone(&kill.others), notes }
    }
}

fn found(world: &World, forced: &ForcedStop, fallout: &Fallout) -> Opinion {
    let ForcedStop { process, asked, kill, stop, ended, seq, .. } = forced;
    let is_of_container = forced.is_of_container();
    let told = stop.told.as_ref().filter(|_| is_of_container);
    let took_ns = *ended - asked.at;
    Opinion::Found(Box::new(Finding {
        confidence: confidence(forced),
        headline: headline(world, forced, took_ns),
        notes: notes(world, forced, fallout),
        fixes: fixes(world, forced),
        evidence: vec![asked.seq, kill.seq, *seq],
        facts: Facts::of(
            FACTS,
            [
                ("what", (if is_of_container { "container" } else { "process" }).into()),
                ("signal", asked.signal.into()),
                ("sender", Sender::Process(asked.sender).into()),
                ("ancestors", asked.ancestors.clone().into()),
                ("asked_by", asked.asked_by.clone().into()),
                ("origin", origins::facts(&asked.origin, asked.at).into()),
                ("verdict", forced.verdict().id().into()),
                ("children_told", told.map(|told| told.told).into()),
                ("children_not_told", told.map(|told| told.not_told).into()),
                ("left", fallout.count.into()),
                ("named", fallout.named.clone().into()),
                ("with_it", fallout.with_it.clone().into()),
                ("killer", Sender::Process(kill.sender).into()),
                ("killer_ancestors", kill.ancestors.clone().into()),
                ("wasted_ns", forced.wasted().into()),
                ("took_ns", took_ns.into()),
                ("others", Value::from(Arc::clone(&fallout.others))),
            ],
        ),
        ..Finding::new(&DEF, world.now(), asked.at, *process)
    }))
}

fn confidence(forced: &ForcedStop) -> Confidence {
    let ForcedStop { asked, kill, .. } = forced;
    if forced.is_of_container() {
        return Confidence::Certain;
    }
    if asked.hand().is_of(kill.hand()) != Some(Certainty::Seen) {
        return Confidence::Incomplete(
            "two processes sent the two signals; that one followed from the other shows only by who started them"
                .to_owned(),
        );
    }
    if asked.signal != Signal::TERM && forced.verdict() == Verdict::Delivered {
        return Confidence::Incomplete(format!(
            "{} has other meanings as well, so it need not have asked for an end",
            asked.signal
        ));
    }
    Confidence::Certain
}

fn headline(world: &World, forced: &ForcedStop, took_ns: Span) -> String {
    let ForcedStop { process, stop, asked, .. } = forced;
    let Request { signal, target, .. } = asked;
    let met = target.comm;
    let (what, it) =
        if forced.is_of_container() { (world.place_of(process), "its pid 1") } else { (short(process), "it") };
    let fate = match forced.verdict() {
        Verdict::InitNoHandler if stop.later_program(asked).is_some() => {
            format!("{signal} came while {met} ran, and was dropped")
        }
        Verdict::InitNoHandler => format!("{signal} was dropped"),
        Verdict::IgnoredByChoice => format!("{it} ignores {signal}"),
        Verdict::Queued if asked.is_stopped => format!("{it} was stopped"),
        Verdict::Queued => format!("{it} blocked {signal}"),
        _ if forced.is_reload() => format!("{it} took {signal} for a reload"),
        _ if stop.is_untaken(asked) => format!("{it} was not running, and {signal} stayed pending"),
        _ if stop.later_program(asked).is_some() => format!("{signal} came while {met} ran, which did not end"),
        _ if has_raised_in_vain(world, forced) => format!("{it} handled {signal} and raised it again in vain"),
        _ if let Some(child) = ignored_by(forced) => {
            format!("{} ignores {signal}, which pid 1 passed on", short(child))
        }
        _ if let Some(child) = slow_below(forced) => {
            format!("{}, which pid 1 notified, did not end", short(child))
        }
        _ => format!("{it} did not end at {signal}"),
    };
    format!("{what} took {} to stop: {fate}", seconds(took_ns))
}

/// It was pid 1, handled the signal, and raised it again to end by it.
fn has_raised_in_vain(world: &World, ForcedStop { process, asked, .. }: &ForcedStop) -> bool {
    let raised = world.get(process.key).and_then(|process| process.raised_in_vain.as_deref());
    raised.is_some_and(|again| again.signal == asked.signal && again.at >= asked.at)
}

/// The child to which an init passed the signal on in vain, if it has no other.
fn ignored_by(forced: &ForcedStop) -> Option<&Identity> {
    let told = forced.stop.told.as_ref().filter(|_| forced.is_of_container())?;
    let Told { told, not_told, ignoring, passed_to, .. } = told;
    let is_passed_on = |child: &Identity| passed_to.iter().any(|passed_to| passed_to.key == child.key);
    match &ignoring[..] {
        [child] if (*told, *not_told) == (1, 0) && is_passed_on(child) => Some(child),
        _ => None,
    }
}

/// The child that an init notified and that did not end either, if it has no other.
fn slow_below(forced: &ForcedStop) -> Option<&Identity> {
    let told = forced.stop.told.as_ref().filter(|_| forced.is_of_container())?;
    let Told { told, not_told, slow, passed_to, .. } = told;
    match &slow[..] {
        [child] if (*told, *not_told) == (1, 0) => passed_to.iter().find(|passed_to| passed_to.key == child.key),
        _ => None,
    }
}

/// Whether a program that stands above others is not what kept them: each of them was sent a signal.
fn are_all_told(forced: &ForcedStop) -> bool {
    forced.stop.told.as_ref().is_some_and(|told| told.told > 0 && told.not_told == 0)
}

fn notes(world: &World, forced: &ForcedStop, fallout: &Fallout) -> Vec<Note> {
    let ForcedStop { stop, asked, kill, .. } = forced;
    let is_of_container = forced.is_of_container();
    let it = if is_of_container { "pid 1" } else { "it" };
    let fate = match forced.verdict() {
        Verdict::InitNoHandler => "dropped, because pid 1 has no handler for it".to_owned(),
        Verdict::IgnoredByChoice => "ignored".to_owned(),
        Verdict::Queued if asked.is_stopped => format!("not taken, because {it} was stopped"),
        Verdict::Queued => "not taken, because it was blocked".to_owned(),
        _ if stop.is_untaken(asked) => "not taken, though it was not blocked".to_owned(),
        _ => format!("taken, but {it} did not end"),
    };
    let target = words::who(&asked.target);
    let others = match fallout.count {
        0 => String::new(),
        n => format!("; {} with it", words::count(n, "more process died", "more processes died")),
    };
    let later = seconds(forced.wasted());
    let is_taken = forced.verdict() == Verdict::Delivered && !stop.is_untaken(asked);
    let told = stop.told.as_ref().filter(|_| is_taken && !forced.is_reload());
    let of_container = told.filter(|_| is_of_container);
    let of_shell = told.filter(|_| !is_of_container && forced.runs_shell());
    let notes = [
        words::asked_by(&asked.asked_by),
        Some(Note::new(asked.signal.to_string(), format!("{} to {target}: {fate}", by(world, asked)))),
        since(forced),
        of_container.and_then(children),
        of_container.and_then(ignoring),
        of_shell.and_then(|told| behind_shell(told, asked.signal)),
        Some(Note::new("SIGKILL", format!("{later} later, {}{others}", by(world, kill)))),
    ];
    // Somebody else's end is to be explained, too.
    let because = if kill.killer == Killer::ParentDeath {
        origins::notes(&kill.origin, kill.at)
    } else {
        origins::notes(if is_of_container { &[] } else { &asked.origin[..] }, asked.at)
    };
    notes.into_iter().flatten().chain(fallout.notes.iter().cloned()).chain(because).take(MOST_NOTES - 1).collect()
}

/// What the process has executed since.
fn since(forced: &ForcedStop) -> Option<Note> {
    let ForcedStop { stop, asked, .. } = forced;
    let Executed { program, at, .. } = stop.executed.as_ref()?;
    let after = seconds(*at - asked.at);
    if forced.is_reload() {
        return Some(Note::new("reload", format!("{} re-executed itself {after} later, and went on", short(program))));
    }
    stop.later_program(asked)?;
    let untold = if stop.is_asked_since(*at) { "" } else { ", and was not sent it" };
    Some(Note::new(
        "program",
        format!("{} at that time; {} from {after} later on{untold}", asked.target.comm, short(program)),
    ))
}

/// Whether a signal that was taken went on to the children.
fn children(children: &Told) -> Option<Note> {
    let Told { told, not_told, named, passed_to, .. } = children;
    let text = match (told, not_told) {
        (0, 0) => return None,
        (_, 0) if passed_to.is_empty() => "all of them were sent a signal, though not by pid 1".to_owned(),
        (_, 0) => "it passed a signal on to all of them".to_owned(),
        (0, _) if passed_to.is_empty() => format!("it sent no signal to {}", words::names(named, *not_told)),
        _ => format!("not sent any: {}", words::names(named, *not_told)),
    };
    Some(Note::new("children", text))
}

/// What a shell that is no init runs, and was seen to get nothing: only of an init all that it sends is recorded.
fn behind_shell(children: &Told, signal: Signal) -> Option<Note> {
    let Told { not_told, named, .. } = children;
    (*not_told > 0).then(|| {
        Note::new("children", format!("it was not seen to pass {signal} on to {}", words::names(named, *not_told)))
    })
}

/// Who was sent it in vain.
fn ignoring(children: &Told) -> Option<Note> {
    match &children.ignoring[..] {
        [] => None,
        [one] => Some(Note::new("ignored", format!("{} ignores it", short(one)))),
        many => Some(Note::new("ignored", format!("{} ignore it", words::names(many, many.len() as u64)))),
    }
}

/// The sender, and on whose behalf: what sends the signals of containers lives for a moment only.
fn by(world: &World, request: &Request) -> String {
    words::by(world, request, &line(short(&request.sender), &request.ancestors))
}

#[cfg(test)]
mod tests;
