//! `namespace-killed`: pid 1 of a namespace exited, and the kernel killed everybody else in it.

use std::sync::Arc;

use crate::{
    change::{Change, Topic},
    event::ExitStatus,
    finding::{About, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    ident::{Identity, PidNs, ProcKey},
    kill::{Ending, Fallen, Kill},
    origin::Origin,
    rules::{Opinion, Rule, Wanted, held::Why, killed_by, origins, signal_not_forwarded, words},
    signal::Sender,
    stop::{Request, Stop},
    summary::{and_more, seconds},
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::World,
};

const FACTS: &[FactDef] = &[
    FactDef::new(
        "killed",
        Kind::Count,
        "processes that the kernel killed, including nested namespaces, but not the init itself",
    )
    .role(Role::Killed),
    FactDef::new("took_ns", Kind::Span, "from the exit of the init to the death of the last").role(Role::Cost),
    FactDef::new("status", Kind::Status, "how the init ended").role(Role::Status),
    words::FALLEN,
    FactDef::new("left", Kind::Count, "processes that have not died yet: more than 0 where the end hangs"),
    FactDef::new(
        "killed_by",
        Kind::Record(killed_by::FACTS),
        "the signal that ended the init, as in `killed-by`; null if it ended otherwise, or that was not seen",
    )
    .nullable(),
    words::KILLED,
    FactDef::alike(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "namespace-killed",
    severity: Severity::Warning,
    about: About::End,
    summary: "pid 1 of a pid namespace exited, and the kernel killed every process left in it",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("namespace_killed.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(NamespaceKilled {
        stuck_after: thresholds.namespace_stuck_after,
        slow_stop_after: thresholds.slow_stop_after,
    })
}

struct NamespaceKilled {
    stuck_after: Span,
    /// What a stop took with it that was so slow another rule tells.
    slow_stop_after: Span,
}

impl Rule for NamespaceKilled {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::NamespaceEnding, Topic::NamespaceEnded, Topic::Killed]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        match *change {
            Change::NamespaceEnding(ns) => match ending(world, ns) {
                // Not by the time of the end: a reader that lags hears of the others later.
                Some(ending) if !ending.nested && ending.left > 0 => {
                    Opinion::Recheck(world.now() + self.stuck_after, ending.init.key)
                }
                _ => Opinion::Quiet,
            },
            Change::NamespaceEnded(ns) => match ending(world, ns) {
                // Nothing was left to kill, or only the very `kill` that asked pid 1 to end and had
                // no time to exit: the ordinary end of a container.
                Some(ending)
                    if !ending.nested
                        && ending.bystanders > 0
                        && world.kill_of_init(ending.init.key).is_none()
                        && signal_not_forwarded::of_end(world, &ending).is_none() =>
                {
                    found(world, &ending, None, seq)
                }
                _ => Opinion::Quiet,
            },
            Change::Killed(ref kill) => match kill.ending {
                // What hangs was told of with the same words.
                Some(ending)
                    if kill.slow_stop(self.slow_stop_after).is_none()
                        && (ending.left == 0 || world.now() < ending.since + self.stuck_after) =>
                {
                    found(world, &ending, Some(kill), ending.seq)
                }
                _ => Opinion::Quiet,
            },
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        let ns = world.get(key).map(|init| init.pid_ns).filter(|&ns| world.is_ending(ns));
        let living = ns.into_iter().flat_map(|ns| world.living_of(ns).take(NAMED));
        living.flat_map(|process| [Wanted::Look(process.key), Wanted::Held(process.key)]).collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        match ending(world, process.pid_ns) {
            Some(ending) if ending.init.key == key && ending.left > 0 => {
                found(world, &ending, world.kill_of_init(key), ending.seq)
            }
            _ => Opinion::Quiet,
        }
    }
}

fn ending(world: &World, ns: PidNs) -> Option<Ending> {
    world.namespace(ns)?.ending
}

/// `kill` is what ended the init, if that is known by now.
fn found(world: &World, ending: &Ending, kill: Option<&Kill>, seq: Seq) -> Opinion {
    let Ending { init, since, killed, left, last_death, .. } = *ending;
    let status = match kill {
        Some(kill) => kill.status,
        None => world.get(init.key).and_then(|init| init.death()).map_or(ExitStatus(0), |death| death.status),
    };
    let took = if left == 0 { last_death } else { world.now() } - since;
    let others = kill.map_or(0, |kill| kill.count - 1);
    let how = match kill {
        Some(kill) => format!("was ended by {}{}", kill.signal, killed_by::briefly(&Kill { count: 1, ..kill.clone() })),
        None => words::ended(status),
    };
    let count = |n| words::count(n, "process", "processes");
    let more = |n| words::count(n, "more process of it", "more processes of it");
    let rest = match killed + left {
        0 => String::new(),
        n => format!("; the kernel killed {} left in it", words::the_processes(n)),
    };
    let ns = world.namespace(init.pid_ns).filter(|ns| ns.ending.is_some_and(|ending| ending.init.key == init.key));
    let of_kill = kill.filter(|kill| kill.ending.is_some()).map(|kill| (&kill.fallen[..], Arc::clone(&kill.killed)));
    let of_ns = || ns.map(|ns| (&ns.fallen[..], Arc::clone(&ns.killed)));
    let (fallen, all) = of_kill.or_else(of_ns).unwrap_or_default();
    let within = seconds(took);
    let killed_note = match words::fallen(fallen, killed, since) {
        _ if killed == 0 => None,
        named if named.is_empty() => Some(Note::new("killed", format!("{} within {within}", count(killed)))),
        named => Some(Note::new("killed", format!("within {within}: {named}"))),
    };
    let stop = world.get(init.key).and_then(|init| init.stop.as_deref());
    let answered = stop.and_then(|stop| stop.answered(since)).filter(|_| kill.is_none());
    let asked = answered.map(|(asked, _)| asked);
    let origin =
        if kill.is_none() && asked.is_none() { world.end_of_child(init.key, since) } else { Origin::default() };
    let between = stop.zip(asked).and_then(|(stop, asked)| between(stop, asked, fallen));
    let notes = [
        kill.and_then(|kill| words::asked_by(&kill.asked_by)),
        asked.and_then(|asked| words::asked_by(asked.hand().client())),
        Some(Note::new("pid 1", format!("{}, which {how}{}", words::short(&init), at(world, answered, since)))),
        kill.and_then(killed_by::origin),
        (others > 0).then(|| Note::new("also", format!("the same cause ended {}", more(others)))),
        killed_note,
        between.as_ref().map(|(note, _)| note.clone()),
        (left > 0).then(|| Note::new("stuck", stuck(world, &init, left))),
    ];
    let fixes = if let Some((_, fix)) = between {
        vec![fix]
    } else if let Some(end) = origin.last() {
        vec![
            format!("find out why {} ended: pid 1 exits when it does", end.to.comm),
            "if the others need a clean end, have pid 1 send them their stop signal first".to_owned(),
        ]
    } else if let Some(kill) = kill {
        let mut fixes = killed_by::fixes(kill);
        fixes.push(
            "send processes that need a clean end their stop signal before pid 1 ends: the kernel kills them with it"
                .into(),
        );
        fixes
    } else if left == 0 && fallen.len() as u64 == killed && fallen.iter().all(|fallen| fallen.is_outsider) {
        vec![
            "end what came in from outside (docker exec, nsenter) before the container stops: nobody sends it a signal"
                .to_owned(),
        ]
    } else if left == 0 {
        vec![
            "if the others should have lived, use an init that waits for all of them, or do not start them as background \
             jobs of the entrypoint: pid 1 must not exit first"
                .to_owned(),
            "if they need a clean end, have pid 1 send them their stop signal first".to_owned(),
        ]
    } else {
        vec![
            "look for processes in state D (blocked in the kernel: disk, NFS, FUSE) in the namespace".to_owned(),
            "look for a zombie whose parent is outside the namespace and does not wait".to_owned(),
        ]
    };
    let place = world.place_of(&init);
    Opinion::Found(Box::new(Finding {
        headline: format!("pid 1 of {place} {how}{rest}"),
        notes: notes.into_iter().flatten().chain(origins::notes(&origin, since)).collect(),
        fixes,
        evidence: match kill {
            Some(kill) => kill.evidence.clone(),
            None if seq == ending.seq => vec![seq],
            None => vec![ending.seq, seq],
        },
        facts: Facts::of(
            FACTS,
            [
                ("killed", killed.into()),
                ("took_ns", took.into()),
                ("status", status.into()),
                ("named", words::fallen_facts(fallen, since).into()),
                ("left", left.into()),
                ("killed_by", kill.map(|kill| killed_by::facts(kill, None)).into()),
                ("others", all.into()),
                ("alike", alike(&init, status, kill).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), since, init)
    }))
}

/// Processes of a namespace that are looked at and named where its end hangs.
const NAMED: usize = 5;

/// The oldest that have not died yet, and what a look at them has found.
fn stuck(world: &World, init: &Identity, left: u64) -> String {
    let named = world.living_of(init.pid_ns).take(NAMED).map(|process| {
        let name = words::short(&process.identity());
        match Why::of(world, process) {
            Why::Busy => name,
            why => format!("{name}, as {}", why.briefly()),
        }
    });
    let named = and_more(&named.collect::<Vec<_>>(), left);
    format!("{} not died yet: {named}", words::count(left, "process of it has", "processes of it have"))
}

/// Which signal pid 1 ended at, and whether that is certain.
fn at(world: &World, answered: Option<(&Request, bool)>, ended: BootNs) -> String {
    answered.map_or_else(String::new, |(asked, is_certain)| {
        let perhaps = if is_certain { "" } else { ", perhaps for another reason" };
        format!(" {} after {}{}{perhaps}", seconds(ended - asked.at), asked.signal, words::briefly(world, asked))
    })
}

/// Pid 1 told somebody who ended, and passed nothing on to whom he had started.
fn between(stop: &Stop, asked: &Request, fallen: &[Fallen]) -> Option<(Note, String)> {
    let told = |of: &Fallen| {
        let by = of.left_by.filter(|by| stop.passed_to.iter().any(|told| told.key == by.key))?;
        (of.asked.is_none() && !of.is_told).then_some((by, of.process))
    };
    let (by, left) = fallen.iter().find_map(told)?;
    let (by_name, left_name) = (by.comm, left.comm);
    let note =
        format!("{} was notified by pid 1, ended, and passed nothing on to {}", words::short(&by), words::short(&left));
    let fix = format!(
        "have {by_name} execute {left_name} in its own place (`exec` before the last command), so that {left_name} gets \
         {} itself, or have {by_name} pass it on and wait",
        asked.signal
    );
    Some((Note::new("between", note), fix))
}

/// Ends of several namespaces by one signal are alike, and ends of one container, which is started again and again.
fn alike(init: &Identity, status: ExitStatus, kill: Option<&Kill>) -> Option<Vec<Part>> {
    if let Some(kill) = kill.filter(|kill| kill.namespaces > 1) {
        let Sender::Process(sender) = kill.sender else { return None };
        let of = [Part::Word(kill.killer.id()), Part::Signal(kill.signal), Part::Process(sender.key)];
        return Some(of.to_vec());
    }
    // Who is in no container may be anybody's.
    let of = [Part::Container(init.container?), Part::Name(init.comm), Part::Status(status.0)];
    let sender = kill.map_or([Part::Nobody; 2], killed_by::alike_sender);
    Some(of.into_iter().chain(sender).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, Exit, Roles, SignalSent, TaskInfo},
        signal::Signal,
        story::{MS, Story, born, born_in, end, kill, task},
    };

    const NS: u32 = 4_026_532_500;

    /// An init (10) with two children (11, 12).
    fn three() -> Story {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).fork(born_in(NS, 12, 3, 10));
        story
    }

    /// What the kernel does to the rest.
    fn killed(pid: u32) -> Exit {
        Exit { status: ExitStatus(i32::from(Signal::KILL.0)), ..end(pid, 10, Adopter::None) }
    }

    fn init_exits(story: &mut Story, status: ExitStatus) {
        story.exit(Exit { status, ..end(10, 1, Adopter::None) });
    }

    #[test]
    fn one_finding_tells_how_many_died_and_why() {
        let mut story = three();
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(11)).free(11).exit(killed(12)).free(12).free(10);
        let finding = story.only();
        let said = "pid 1 of pid namespace 4026532500 exited with code 0; the kernel killed the 2 processes left in it";
        assert_eq!(finding.headline, said);
        let facts = finding.facts;
        assert_eq!((facts.count("killed"), facts.count("left"), facts.count("took_ns")), (2, 0, 3_000));
    }

    #[test]
    fn who_killed_the_init_is_told_with_what_came_of_it() {
        let mut story = three();
        story.fork(born(2, 1)).exec(2, "runc").signal(kill(2, 10, Signal::KILL));
        init_exits(&mut story, ExitStatus(i32::from(Signal::KILL.0)));
        story.exit(killed(11)).free(11).exit(killed(12)).free(12).free(10);
        assert_eq!(story.rules(), [""; 0], "what is said of it may come");
        let finding = story.wait(150, &[]).only();
        let text = "pid 1 of pid namespace 4026532500 was ended by SIGKILL from runc (pid 2); the kernel killed the 2 processes \
                    left in it";
        assert_eq!(finding.headline, text);
        assert!(finding.fix().starts_with("if this was not intended, find out why runc sent it"), "{}", finding.fix());
        let kill = finding.facts.record("killed_by").unwrap();
        let victim = kill.process("victims").unwrap();
        assert_eq!((finding.facts.count("killed"), victim.key.tgid), (2, 10));
    }

    #[test]
    fn each_that_died_with_it_is_remembered_however_it_ended() {
        for is_killed in [false, true] {
            let mut story = three();
            for pid in 13..63 {
                story.fork(born_in(NS, pid, pid, 10));
            }
            if is_killed {
                story.fork(born(2, 1)).exec(2, "runc").signal(kill(2, 10, Signal::KILL));
            }
            init_exits(&mut story, ExitStatus(if is_killed { 9 } else { 0 }));
            for pid in 11..63 {
                story.exit(killed(pid)).free(pid);
            }
            let finding = story.free(10).wait(150, &[]).only();
            let all = finding.facts.processes(&[Role::Victims]);
            assert!((11..63).all(|pid| all.iter().any(|one| one.key.tgid == pid)), "{is_killed}: {all:?}");
            assert_eq!(finding.facts.list("named").len(), 5, "{is_killed}");
            assert_eq!(finding.brief().facts.get("others").processes(), []);
            assert_eq!(story.world().namespace_count(), 1);
        }
    }

    #[test]
    fn the_end_of_the_child_that_pid_1_waited_for_is_why_it_exits() {
        for (status, ms, is_told) in [(9, 1, true), (3 << 8, 1, true), (0, 1, false), (9, 5_000, false)] {
            let mut story = three();
            story.fork(born(2, 1)).exec(2, "bash").wait(2_000, &[(2, b'S', 1)]);
            if status == 9 {
                story.signal(kill(2, 11, Signal::KILL));
            }
            story.exit(Exit { status: ExitStatus(status), ..end(11, 10, Adopter::None) }).free(11).wait(ms, &[]);
            story.found.clear();
            init_exits(&mut story, ExitStatus(0));
            story.exit(killed(12)).free(12).free(10);
            let finding = story.found.drain(..).find(|finding| finding.rule.name == DEF.name).unwrap();
            let because = finding.notes.iter().any(|note| note.label == "because");
            assert_eq!(because, is_told, "{status} {ms}: {}", finding.message());
            assert_eq!(finding.fix().starts_with("find out why p11 ended"), is_told, "{}", finding.fix());
        }
    }

    #[test]
    fn a_container_that_ends_as_its_last_process_is_no_finding() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1));
        init_exits(&mut story, ExitStatus(0));
        story.free(10).wait(10_000, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn a_zombie_that_was_left_is_not_killed() {
        let mut story = three();
        story.exit(end(11, 10, Adopter::None));
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(12));
        let killed = story.only().facts.count("killed");
        assert_eq!(killed, 1);
    }

    #[test]
    fn a_process_that_exits_by_itself_meanwhile_is_not_killed() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
        init_exits(&mut story, ExitStatus(0));
        story.exit(end(11, 10, Adopter::None));
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn who_asked_for_the_end_from_inside_is_no_news() {
        use tracer_common::record::signal_flags as bit;
        for (bystander, want) in [(false, ["stopped-by"]), (true, ["namespace-killed"])] {
            let mut story = Story::new();
            story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).fork(born_in(NS, 12, 3, 10));
            let asked = kill(12, 10, Signal::TERM);
            story.signal(SignalSent { flags: asked.flags | bit::UNKILLABLE | bit::HANDLER, ..asked });
            if !bystander {
                story.exit(end(11, 10, Adopter::None)).free(11);
            }
            let chld = kill(11, 10, Signal::CHLD);
            story.signal(SignalSent { flags: chld.flags | bit::UNKILLABLE | bit::HANDLER, ..chld });
            init_exits(&mut story, ExitStatus(143 << 8));
            story.exit(killed(12));
            if bystander {
                story.exit(killed(11));
            }
            assert_eq!(story.rules(), want);
        }
    }

    #[test]
    fn a_nested_namespace_is_part_of_the_outer_end() {
        let mut story = three();
        let inner = |pid, ns_pid, parent| TaskInfo {
            pid_ns: PidNs(NS + 1),
            parent_ns: Some(PidNs(NS)),
            ns_level: 2,
            ..born_in(NS, pid, ns_pid, parent)
        };
        story.fork(inner(20, 1, 12)).fork(inner(21, 2, 20));
        init_exits(&mut story, ExitStatus(0));
        for pid in [11, 12, 20, 21] {
            story.exit(killed(pid));
        }
        let killed = story.only().facts.count("killed");
        assert_eq!(killed, 4);
    }

    #[test]
    fn an_end_that_hangs_is_reported_before_it_is_through() {
        let mut story = three();
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(11)).wait(6_000, &[(10, b'S', 1)]);
        let finding = story.only();
        assert_eq!((finding.facts.count("killed"), finding.facts.count("left")), (1, 1));
        let message = finding.message();
        assert!(message.ends_with("1 process of it has not died yet: p12 (pid 12)."), "{message}");
    }

    /// Pid 1 takes SIGTERM from p1, as one that handles it.
    fn asked(story: &mut Story) {
        use tracer_common::record::signal_flags as bit;
        let sent = kill(1, 10, Signal::TERM);
        let flags = sent.flags | bit::UNKILLABLE | bit::OUTSIDE | bit::HANDLER;
        story.signal(SignalSent { flags, ..sent });
    }

    #[test]
    fn who_was_killed_is_named_with_what_it_knew() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
        let guest = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..born_in(NS, 12, 3, 1) };
        story.fork(guest).exec(12, "psql");
        story.now += 10_000 * MS;
        asked(&mut story);
        let sent = kill(10, 11, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags | tracer_common::record::signal_flags::HANDLER, ..sent });
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(11)).exit(killed(12));
        let finding = story.only();
        let message = finding.message();
        let named = "psql (pid 12), sent no signal, come in from outside; worker (pid 11), sent SIGTERM 1 µs before, and not \
                     done yet.";
        assert!(message.contains(named), "{message}");
        assert!(message.contains("which exited with code 0 2 µs after SIGTERM from p1 (pid 1)."), "{message}");
        let named = finding.facts.list("named");
        assert_eq!(
            (named.len(), named[0].flag("from_outside"), named[1].signal("signal")),
            (2, true, Some(Signal::TERM))
        );
    }

    #[test]
    fn a_signal_after_which_it_may_have_ended_for_another_reason_is_told_as_that() {
        use tracer_common::record::signal_flags as bit;
        for (signal, is_doubtful) in [(Signal::HUP, true), (Signal::TERM, false)] {
            let mut story = three();
            let sent = kill(1, 10, signal);
            let flags = sent.flags | bit::UNKILLABLE | bit::OUTSIDE | bit::HANDLER;
            story.signal(SignalSent { flags, ..sent }).wait(5_000, &[]);
            story.found.clear();
            init_exits(&mut story, ExitStatus(0x100));
            story.exit(killed(11)).exit(killed(12));
            let message = story.found.drain(..).map(|finding| finding.message()).collect::<String>();
            let said = "after SIGHUP from p1 (pid 1), perhaps for another reason.";
            assert_eq!(message.contains(said), is_doubtful, "{message}");
        }
    }

    #[test]
    fn a_signal_that_asks_for_something_else_is_one() {
        use tracer_common::record::signal_flags as bit;
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
        let guest = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..born_in(NS, 12, 3, 1) };
        story.fork(guest).exec(12, "psql");
        story.now += 10_000 * MS;
        asked(&mut story);
        story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(10, 11, Signal::USR1) });
        init_exits(&mut story, ExitStatus(0));
        let flags = bit::GROUP | bit::KERNEL_INFO | bit::SENDER_EXITING | bit::SENDER_INIT;
        for pid in [11, 12] {
            story.signal(SignalSent { flags, ..kill(10, pid, Signal::KILL) });
        }
        story.exit(killed(11)).exit(killed(12));
        let finding = story.found.drain(..).find(|finding| finding.rule.name == DEF.name).unwrap();
        let text = "psql (pid 12), sent no signal, come in from outside; worker (pid 11), sent no stop signal.";
        assert!(finding.message().contains(text), "{}", finding.message());
    }

    #[test]
    fn what_only_came_in_from_outside_is_no_fault_of_the_init() {
        for (others, advice) in [(false, "end what came in from outside"), (true, "use an init that waits for all")] {
            let mut story = Story::new();
            story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
            let guest = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..born_in(NS, 12, 3, 1) };
            story.fork(guest).exec(12, "psql");
            story.now += 10_000 * MS;
            if !others {
                story.exit(end(11, 10, Adopter::None)).free(11);
            }
            init_exits(&mut story, ExitStatus(0));
            if others {
                story.exit(killed(11));
            }
            let fix = story.exit(killed(12)).only().fix();
            assert!(fix.contains(advice), "{fix}");
        }
    }

    #[test]
    fn a_shell_that_stood_between_is_named() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).exec(11, "sh");
        story.fork(born_in(NS, 12, 3, 11)).exec(12, "app");
        story.now += 10_000 * MS;
        asked(&mut story);
        story.signal(kill(10, 11, Signal::TERM));
        story.exit(Exit { status: ExitStatus(15), ..end(11, 10, Adopter::NamespaceInit(task(10))) });
        story.wait(5, &[(12, b'S', 10)]).free(11);
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(12));
        let finding = story.found.drain(..).find(|finding| finding.rule.name == DEF.name).unwrap();
        let between =
            Note::new("between", "sh (pid 11) was notified by pid 1, ended, and passed nothing on to app (pid 12)");
        assert!(finding.notes.contains(&between), "{:?}", finding.notes);
        assert!(finding.fix().starts_with("have sh execute app in its own place"), "{}", finding.fix());
    }
}
