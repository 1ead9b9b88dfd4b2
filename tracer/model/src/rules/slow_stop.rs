//! `slow-stop`: a container was asked to stop, did not, and was killed.

use crate::{
    change::Change,
    finding::{FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::{ProcKey, TaskRef},
    rules::{
        Opinion, Rule, Wanted,
        manager::Manager,
        servers,
        words::{self, line, short},
    },
    signal::{self, Sender, Signal},
    stop::{Executed, Request, Stop, Told},
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that asked it to stop").role(Role::Signal),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("ancestors", Kind::Processes, "parent, grandparent and so on of the sender, up to the init of its namespace"),
    words::ASKED_BY,
    FactDef::new("verdict", Kind::Word(signal::Verdict::IDS), "what became of it, as in `signal`").role(Role::Reason),
    FactDef::new(
        "children_told",
        Kind::Count,
        "how many of its children were sent a signal before the SIGKILL; null if the signal did not reach it, or that was \
         not recorded",
    )
    .nullable(),
    FactDef::new("children_not_told", Kind::Count, "how many of its children were not; null likewise").nullable(),
    FactDef::new("left", Kind::Count, "other processes of its namespace that the kernel killed with it"),
    words::FALLEN,
    FactDef::new("killer", Kind::Sender, "who sent the SIGKILL").role(Role::Party),
    FactDef::new("killer_ancestors", Kind::Processes, "its ancestors, likewise"),
    FactDef::new("wasted_ns", Kind::Span, "from the signal to the SIGKILL").role(Role::Cost),
    FactDef::new("took_ns", Kind::Span, "from the signal to the end"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "slow-stop",
    severity: Severity::Warning,
    summary: "a container did not end at its stop signal, and was killed when the time was up",
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

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let (key, ns) = match *change {
            // Who died with it is known by now.
            Change::NamespaceEnded(ns) => match world.namespace(ns).and_then(|ns| Some((ns.ending?.init.key, ns))) {
                Some(ended) => ended,
                None => return Opinion::Quiet,
            },
            // What it handles is to be seen as long as it lives.
            Change::Signalled(ref signalled) if is_asked(world, signalled.target.key, seq) => {
                return Opinion::Recheck(world.now(), signalled.target.key);
            }
            _ => return Opinion::Quiet,
        };
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        let Some(stop) = process.stop.as_deref() else { return Opinion::Quiet };
        let Some((asked, kill)) = stop.enforced() else { return Opinion::Quiet };
        let wasted = kill.at - asked.at;
        let Some(death) = process.death() else { return Opinion::Quiet };
        if !asked.is_to_container || death.status.signal() != Some(Signal::KILL) || wasted < self.after {
            return Opinion::Quiet;
        }
        let took_ns = death.at - asked.at;
        let left = ns.ending.map_or(0, |ending| ending.killed);
        let fallen = words::fallen(&ns.fallen, left, death.at);
        Opinion::Found(Box::new(Finding {
            headline: headline(world, process, stop, asked, took_ns),
            notes: notes(stop, asked, kill, left, &fallen),
            fixes: fixes(world, process, stop, asked),
            evidence: vec![asked.seq, kill.seq, death.seq],
            facts: Facts::of(
                FACTS,
                [
                    ("signal", asked.signal.into()),
                    ("sender", Sender::Process(asked.sender).into()),
                    ("ancestors", asked.ancestors.clone().into()),
                    ("asked_by", asked.asked_by.clone().into()),
                    ("verdict", asked.verdict.id().into()),
                    ("children_told", stop.told.as_ref().map(|told| told.told).into()),
                    ("children_not_told", stop.told.as_ref().map(|told| told.not_told).into()),
                    ("left", left.into()),
                    ("named", words::fallen_facts(&ns.fallen, death.at).into()),
                    ("killer", Sender::Process(kill.sender).into()),
                    ("killer_ancestors", kill.ancestors.clone().into()),
                    ("wasted_ns", wasted.into()),
                    ("took_ns", took_ns.into()),
                ],
            ),
            ..Finding::new(&DEF, world.now(), asked.at, process.identity())
        }))
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        world.get(key).map(|_| Wanted::Masks(TaskRef { key, tid: key.tgid })).into_iter().collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let first = world.get(key).and_then(|process| Some(process.stop.as_ref()?.asked_first()?.at));
        match first {
            // A program that executes itself anew handles nothing at first.
            Some(first) if world.now() < first + LOOKED_AT => Opinion::Recheck(world.now() + Span::SECOND, key),
            _ => Opinion::Quiet,
        }
    }
}

/// How long the signals of an init that was asked to stop are looked at.
const LOOKED_AT: Span = Span::seconds(3);

/// Whether an event has asked a container to stop.
fn is_asked(world: &World, key: ProcKey, seq: Seq) -> bool {
    let stop = world.get(key).and_then(|process| process.stop.as_deref());
    stop.is_some_and(|stop| stop.asked_last().is_some_and(|asked| asked.seq == seq && asked.is_to_container))
}

fn headline(world: &World, process: &Process, stop: &Stop, asked: &Request, took_ns: Span) -> String {
    let Request { signal, verdict, target, .. } = asked;
    let met = target.comm;
    let fate = match verdict {
        signal::Verdict::InitNoHandler if stop.later_program(asked).is_some() => {
            format!("{signal} came while {met} ran, and was dropped")
        }
        signal::Verdict::InitNoHandler => format!("{signal} was dropped"),
        signal::Verdict::IgnoredByChoice => format!("its pid 1 ignores {signal}"),
        signal::Verdict::Queued if asked.is_stopped => "its pid 1 was stopped".to_owned(),
        signal::Verdict::Queued => format!("its pid 1 blocked {signal}"),
        _ if stop.is_reload(asked) => format!("its pid 1 took {signal} for a reload"),
        _ if stop.is_untaken(asked) => format!("its pid 1 was not running, and {signal} stayed pending"),
        _ if stop.later_program(asked).is_some() => format!("{signal} came while {met} ran, which did not end"),
        _ => format!("its pid 1 did not end at {signal}"),
    };
    format!("{} took {} to stop: {fate}", world.place_of(&process.identity()), seconds(took_ns))
}

fn notes(stop: &Stop, asked: &Request, kill: &Request, left: u64, fallen: &str) -> Vec<Note> {
    let init = words::who(&asked.target);
    let fate = match asked.verdict {
        signal::Verdict::InitNoHandler => "dropped, because pid 1 has no handler for it",
        signal::Verdict::IgnoredByChoice => "ignored",
        signal::Verdict::Queued if asked.is_stopped => "not taken, because pid 1 was stopped",
        signal::Verdict::Queued => "not taken, because it was blocked",
        _ if stop.is_untaken(asked) => "not taken, though it was not blocked",
        _ => "taken, but pid 1 did not end",
    };
    let others = match left {
        0 => String::new(),
        n => format!("; {} with it", words::count(n, "more process died", "more processes died")),
    };
    let later = seconds(kill.at - asked.at);
    let is_taken = asked.verdict == signal::Verdict::Delivered && !stop.is_untaken(asked);
    let told = stop.told.as_ref().filter(|_| is_taken && !stop.is_reload(asked));
    let notes = [
        words::asked_by(&asked.asked_by),
        Some(Note::new(asked.signal.to_string(), format!("from {} to {init}: {fate}", chain(asked)))),
        since(stop, asked),
        told.and_then(children),
        told.and_then(ignoring),
        Some(Note::new("SIGKILL", format!("{later} later, from {}{others}", chain(kill)))),
        Note::maybe("died", fallen),
    ];
    notes.into_iter().flatten().collect()
}

/// What the process has executed since.
fn since(stop: &Stop, asked: &Request) -> Option<Note> {
    let Executed { program, at, .. } = stop.executed.as_ref()?;
    let after = seconds(*at - asked.at);
    if stop.is_reload(asked) {
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
    let Told { told, not_told, named, adopted: _, passed_to, ignoring: _ } = children;
    let text = match (told, not_told) {
        (0, 0) => return None,
        (_, 0) => "it passed a signal on to all of them".to_owned(),
        (0, _) if passed_to.is_empty() => format!("it sent no signal to {}", words::names(named, *not_told)),
        _ => format!("not sent any: {}", words::names(named, *not_told)),
    };
    Some(Note::new("children", text))
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
fn chain(request: &Request) -> String {
    line(short(&request.sender), &request.ancestors)
}

fn fixes(world: &World, process: &Process, stop: &Stop, asked: &Request) -> Vec<String> {
    let signal = asked.signal;
    let is_shell = words::runs_shell(&asked.target, process, stop);
    let manager = Manager::of(world, process, asked);
    if let Some(later) = stop.later_program(asked) {
        return early(asked, later, is_shell);
    }
    match asked.verdict {
        signal::Verdict::InitNoHandler => words::unhandled(&asked.target, is_shell, signal, true),
        signal::Verdict::IgnoredByChoice => vec![
            format!("set a stop signal that the program does not ignore ({})", manager.stop_signal()),
            format!("have the program handle {signal} instead of ignoring it"),
        ],
        signal::Verdict::Queued if asked.is_stopped => {
            vec!["continue it before you stop it (kill -CONT); SIGKILL works without that".to_owned()]
        }
        signal::Verdict::Queued => vec![format!(
            "unblock {signal} where the program waits (sigprocmask, ppoll), or take it there (sigwait, signalfd)"
        )],
        _ if stop.is_untaken(asked) => vec![
            format!("thaw it before you stop it, if its control group is frozen ({})", manager.thaw()),
            "look for state D, if it sleeps in the kernel (disk, NFS, FUSE)".to_owned(),
        ],
        _ if stop.is_reload(asked) => vec![ends_at(stop, asked, &manager)],
        _ if is_shell => vec![
            words::exec_form(signal),
            "run the program in the background and `wait` for it, and pass the signal on (trap 'kill -TERM $!; wait' \
             TERM): a shell runs its trap only when the command that it waits for has ended"
                .to_owned(),
        ],
        _ if let Some(prompt) = servers::ends_promptly_at(asked.target.comm.bytes(), signal) => vec![
            format!(
                "set {prompt} as its stop signal ({}): at {signal} {} waits for its clients",
                manager.stop_signal(),
                asked.target.comm
            ),
            "have its clients disconnect first".to_owned(),
        ],
        _ => vec![
            "find out what kept the program (connections that it drains, children that never got the signal), and have it \
             end sooner"
                .to_owned(),
            format!("give it the time that it needs ({})", manager.grace()),
        ],
    }
}

/// The signal came while pid 1 was a program that only prepares for another one.
fn early(asked: &Request, later: &Executed, is_shell: bool) -> Vec<String> {
    let Request { signal, target, .. } = asked;
    let (met, later) = (target.comm, later.program.comm);
    let trap = if is_shell {
        format!(" (trap 'exit 143' {} at its top; `exec` takes that back)", words::bare(*signal))
    } else {
        String::new()
    };
    vec![
        format!("have {met} end at {signal} until it executes {later}{trap}"),
        format!(
            "run it under an init that passes signals on (docker run --init, tini): {met} is not pid 1 then, and {signal} ends it"
        ),
        format!("wait until {later} is up before you stop it"),
    ]
}

/// What to send to a program that takes the stop signal for something else.
fn ends_at(stop: &Stop, asked: &Request, manager: &Manager) -> String {
    let ends: Vec<_> =
        stop.handles().filter(|&signal| signal != asked.signal).map(|signal| signal.to_string()).collect();
    let handles = match &ends[..] {
        [] => String::new(),
        [one] => format!(", such as {one}, which it handles"),
        many => format!(", such as {}, which it handles", many.join(" or ")),
    };
    format!("set a stop signal at which it ends{handles} ({})", manager.stop_signal())
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, Masks, SignalSent},
        host::Container,
        story::{MS, Story, born, born_in, end, key, kill, task},
    };

    const NS: u32 = 4_026_532_500;

    /// A shim (2) on the host, with `sleep` (10) as pid 1 of a namespace, and two runtimes.
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "shim").fork(born(3, 2)).exec(3, "runc").fork(born(4, 2)).exec(4, "runc");
        story.fork(born_in(NS, 10, 1, 2)).exec(10, "sleep");
        story
    }

    /// A signal from outside, and whether the kernel dropped it.
    fn sent(from: u32, signal: Signal, more: u16, result: u8) -> SignalSent {
        let sent = kill(from, 10, signal);
        SignalSent { result, flags: sent.flags | bit::UNKILLABLE | bit::OUTSIDE | more, ..sent }
    }

    fn killed(story: &mut Story) -> Option<Finding> {
        // The kernel has lifted the protection by then.
        let kill = SignalSent { flags: kill(4, 10, Signal::KILL).flags | bit::OUTSIDE, ..kill(4, 10, Signal::KILL) };
        story.signal(kill).exit(Exit { status: ExitStatus(9), ..end(10, 2, Adopter::None) });
        story.found.drain(..).find(|finding| finding.rule.name == DEF.name)
    }

    #[test]
    fn a_dropped_stop_signal_wastes_the_grace_period() {
        let mut story = container();
        story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[(10, b'S', 2)]);
        let finding = killed(&mut story).unwrap();
        let facts = &finding.facts;
        let of = (facts.signal("signal"), facts.word("verdict"), facts.span("wasted_ns") / MS);
        assert_eq!(of, (Some(Signal::TERM), "no-handler", 3_000));
        assert_eq!((finding.evidence.len(), finding.process.key), (3, key(10)));
        assert_eq!(
            finding.message(),
            format!(
                "pid namespace {NS} took 3.0 s to stop: SIGTERM was dropped. SIGTERM: from runc (pid 3) < shim (pid 2) < p1 \
                 (pid 1) to sleep (pid 10, pid 1 inside): dropped, because pid 1 has no handler for it. SIGKILL: 3.0 s later, \
                 from runc (pid 4) < shim (pid 2) < p1 (pid 1)."
            )
        );
    }

    #[test]
    fn what_the_kernel_kills_with_it_is_part_of_the_story() {
        let mut story = container();
        story.fork(born_in(NS, 11, 2, 10));
        story.signal(sent(3, Signal::TERM, 0, 1)).wait(3_000, &[(10, b'S', 2)]);
        assert!(killed(&mut story).is_none(), "who died with it is to be known first");
        let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
        let text = "; 1 more process died with it. Died: p11 (pid 11), sent no signal.";
        assert!(finding.message().ends_with(text), "{}", finding.message());
        assert_eq!(story.wait(200, &[]).rules(), [""; 0]);
    }

    #[test]
    fn who_asked_the_engine_for_it_is_named() {
        let mut story = container();
        let web = Container { id: "3f2e".into(), name: Some("web".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "3f2e".into()));
        story.fork(born(20, 1)).exec(20, "bash").fork(born(21, 20)).exec(21, "docker stop -t 3 web");
        story.signal(sent(3, Signal::TERM, 0, 1));
        let dropped = story.only();
        let asked = Note::new("asked by", "docker (pid 21) < bash (pid 20) < p1 (pid 1)");
        assert_eq!(dropped.notes.first(), Some(&asked));
        let finding = killed(story.wait(3_000, &[(10, b'S', 2)])).unwrap();
        assert_eq!(finding.headline, "container web took 3.0 s to stop: SIGTERM was dropped");
        assert_eq!(finding.notes.first(), Some(&asked));
        assert_eq!(finding.facts.process("asked_by").unwrap().key, key(21));
    }

    #[test]
    fn its_own_stop_signal_counts_and_another_does_not() {
        for (stop_signal, is_found) in [(Some("SIGUSR1".to_owned()), true), (None, false)] {
            let mut story = container();
            let known = Container { id: "web".into(), stop_signal, ..Container::default() };
            story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
            story.signal(sent(3, Signal(10), bit::HANDLER, 0)).wait(3_000, &[(10, b'S', 2)]);
            let finding = killed(&mut story);
            assert_eq!(finding.is_some(), is_found);
            assert!(finding.is_none_or(|finding| finding.headline.starts_with("container web took")));
        }
    }

    #[test]
    fn what_became_of_the_signal_decides_what_helps() {
        for (more, result, says, helps) in [
            (bit::HANDLER, 0, "its pid 1 did not end at SIGTERM", "docker stop -t"),
            (bit::BLOCKED, 0, "its pid 1 blocked SIGTERM", "unblock SIGTERM"),
            (bit::IGNORE, 1, "its pid 1 ignores SIGTERM", "STOPSIGNAL"),
        ] {
            let mut story = container();
            story.signal(sent(3, Signal::TERM, more, result)).wait(3_000, &[(10, b'S', 2)]);
            let finding = killed(&mut story).unwrap();
            assert!(finding.headline.contains(says), "{}", finding.headline);
            assert!(finding.fix().contains(helps), "{}", finding.fix());
        }
    }

    #[test]
    fn who_ends_in_time_or_was_not_asked_is_quiet() {
        let mut in_time = container();
        in_time.signal(sent(3, Signal::TERM, 0, 1)).wait(500, &[(10, b'S', 2)]);
        assert!(killed(&mut in_time).is_none(), "it was killed at once");
        assert!(killed(&mut container()).is_none(), "nobody asked");
        let mut inside = container();
        inside.signal(SignalSent { result: 1, ..kill(10, 10, Signal::TERM) }).wait(3_000, &[(10, b'S', 2)]);
        assert!(killed(&mut inside).is_none(), "it was asked from inside");
        let mut ended = container();
        ended.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(3_000, &[(10, b'S', 2)]).exit(end(
            10,
            2,
            Adopter::None,
        ));
        assert!(ended.rules().iter().all(|&rule| rule != DEF.name), "it ended by itself");
        let mut long_ago = container();
        long_ago.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(7_200_000, &[(10, b'S', 2)]);
        assert!(killed(&mut long_ago).is_none(), "that was two hours ago");
    }

    /// Seconds that were lost by the signal that is blamed.
    fn blamed(story: &mut Story) -> Option<(Signal, u64)> {
        let facts = killed(story)?.facts;
        Some((facts.signal("signal")?, (facts.span("wasted_ns") / MS + 50) / 1_000))
    }

    #[test]
    fn what_the_program_took_for_something_else_is_not_blamed() {
        let lives = [(10, b'S', 2)];
        for (signal, more) in [(Signal::QUIT, bit::HANDLER), (Signal::INT, bit::HANDLER)] {
            let mut story = container();
            story.signal(sent(3, signal, more, 0)).wait(2_600, &lives);
            story.signal(sent(3, Signal::TERM, 0, 1)).wait(2_000, &lives);
            assert_eq!(blamed(&mut story), Some((Signal::TERM, 2)));
            let mut alone = container();
            alone.signal(sent(3, signal, more, 0)).wait(3_000, &lives);
            assert_eq!(blamed(&mut alone), None, "nobody had asked it to end");
        }
    }

    #[test]
    fn what_other_engines_send_counts_where_nothing_else_asked() {
        for signal in [Signal::INT, Signal::QUIT, Signal::PWR, Signal::RTMIN_3] {
            let mut story = container();
            story.signal(sent(3, signal, 0, 1)).wait(2_000, &[(10, b'S', 2)]);
            assert_eq!(blamed(&mut story), Some((signal, 2)));
            let mut long_ago = container();
            long_ago.signal(sent(3, signal, 0, 1)).wait(600_000, &[(10, b'S', 2)]);
            assert_eq!(blamed(&mut long_ago), None);
        }
    }

    #[test]
    fn its_own_stop_signal_counts_though_the_program_took_it() {
        let mut story = container();
        let known = Container { id: "web".into(), stop_signal: Some("QUIT".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
        story.signal(sent(3, Signal::QUIT, bit::HANDLER, 0)).wait(2_000, &[(10, b'S', 2)]);
        assert_eq!(blamed(&mut story), Some((Signal::QUIT, 2)));
    }

    #[test]
    fn an_old_request_is_another_stop_unless_the_same_has_waited_since() {
        let lives = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (5, b'S', 1), (10, b'S', 2)];
        let stopped = |first: u32, then: &[u64]| {
            let mut story = container();
            story.fork(born(5, 1)).exec(5, "kill");
            story.signal(sent(first, Signal::TERM, bit::HANDLER, 0));
            for (i, &seconds) in then.iter().enumerate() {
                story.wait(seconds * 1_000, &lives);
                if i + 1 < then.len() {
                    story.signal(sent(3, Signal::TERM, bit::HANDLER, 0));
                }
            }
            blamed(&mut story).map(|(_, seconds)| seconds)
        };
        assert_eq!(stopped(5, &[100]), Some(100), "by somebody else, within what is usual");
        assert_eq!(stopped(5, &[3_000]), None, "a reload of long ago");
        assert_eq!(stopped(3, &[3_000]), Some(3_000), "by the same shim, which was told to wait so long");
        assert_eq!(stopped(5, &[3_000, 10]), Some(10), "and asked once more");
        assert_eq!(stopped(3, &[20, 20, 10]), Some(50), "impatient");
        assert_eq!(stopped(3, &[600, 10]), Some(10), "two stops");
    }

    #[test]
    fn a_child_that_ignores_what_was_passed_on_is_named() {
        let mut story = container();
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
        let lives = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (10, b'S', 2), (11, b'S', 10)];
        story.wait(60_000, &lives).signal(sent(3, Signal::TERM, bit::HANDLER, 0));
        let passed = kill(10, 11, Signal::TERM);
        story.signal(SignalSent { result: 1, flags: passed.flags | bit::IGNORE, ..passed }).wait(3_000, &lives);
        assert!(killed(&mut story).is_none());
        let finding = story.exit(Exit { status: ExitStatus(9), ..end(11, 10, Adopter::None) }).only();
        let text =
            "Children: it passed a signal on to all of them. Ignored: worker (pid 11) ignores it. SIGKILL: 3.0 s later";
        assert!(finding.message().contains(text), "{}", finding.message());
    }

    const LIVES: [(u32, u8, u32); 4] = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 2), (10, b'S', 2)];

    #[test]
    fn the_program_of_that_moment_is_named_and_advised() {
        let mut story = container();
        story.exec(10, "sh entrypoint.sh").signal(sent(3, Signal::TERM, 0, 1)).wait(1_000, &LIVES);
        story.exec(10, "appserver").wait(2_000, &LIVES);
        let finding = killed(&mut story).unwrap();
        assert!(
            finding.headline.ends_with("took 3.0 s to stop: SIGTERM came while sh ran, and was dropped"),
            "{}",
            finding.headline
        );
        let then = Note::new("program", "sh at that time; appserver (pid 10) from 1.0 s later on, and was not sent it");
        assert!(finding.notes.contains(&then), "{:?}", finding.notes);
        let fix = finding.fix();
        assert!(fix.contains("have sh end at SIGTERM until it executes appserver (trap 'exit 143' TERM"), "{fix}");
    }

    #[test]
    fn who_executes_itself_anew_has_taken_it_for_a_reload() {
        let mut story = container();
        story.exec(10, "uwsgi --ini /etc/x").signal(sent(3, Signal::TERM, bit::HANDLER, 0));
        let caught = Masks { caught: 0b10 | 1 << 14, ..Masks::default() };
        assert!(story.engine.due(story.now + MS, 0).contains(&Wanted::Masks(task(10))));
        story.event(EventKind::Masks(task(10), Some(caught))).wait(300, &LIVES);
        story.exec(10, "uwsgi --ini x").wait(2_000, &LIVES);
        let finding = killed(&mut story).unwrap();
        assert!(finding.headline.ends_with("its pid 1 took SIGTERM for a reload"), "{}", finding.headline);
        assert!(finding.message().contains("Reload: uwsgi (pid 10) re-executed itself 300 ms later, and went on."));
        assert!(finding.fix().starts_with("set a stop signal at which it ends, such as SIGINT, which it handles ("));
    }

    #[test]
    fn who_does_not_run_is_to_be_continued_or_thawed() {
        let mut stopped = container();
        stopped.signal(sent(3, Signal::TERM, bit::HANDLER | bit::STOPPED, 0)).wait(3_000, &LIVES);
        assert!(killed(&mut stopped).unwrap().fix().contains("kill -CONT"));
        let mut frozen = container();
        frozen.signal(sent(3, Signal::TERM, bit::HANDLER, 0)).wait(1_000, &LIVES);
        let waits = Masks { shared_pending: 1 << 14, ..Masks::default() };
        frozen.event(EventKind::Masks(task(10), Some(waits))).wait(2_000, &LIVES);
        let finding = killed(&mut frozen).unwrap();
        assert!(
            finding.headline.ends_with("its pid 1 was not running, and SIGTERM stayed pending"),
            "{}",
            finding.headline
        );
        assert!(finding.fix().contains("thaw it before you stop it"), "{}", finding.fix());
    }

    #[test]
    fn what_is_advised_is_what_the_engine_has() {
        for (shim, engine, says) in [
            ("lxc-start", None, "lxc.signal.halt"),
            ("systemd-nspawn", None, "--kill-signal"),
            ("shim", Some(crate::host::Engine::Docker), "STOPSIGNAL in the image, or --stop-signal"),
        ] {
            let mut story = container();
            story.exec(2, shim);
            if let Some(engine) = engine {
                let known = Container { id: "web".into(), engine, ..Container::default() };
                story.event(EventKind::Container(Box::new(known))).event(EventKind::Contained(key(10), "web".into()));
            }
            story.signal(sent(3, Signal::TERM, bit::IGNORE, 1)).wait(3_000, &LIVES);
            let fix = killed(&mut story).unwrap().fix();
            assert!(fix.contains(says), "{fix}");
        }
    }
}
