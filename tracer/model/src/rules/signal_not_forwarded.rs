//! `signal-not-forwarded`: pid 1 took the stop signal, and its children never got one.

use std::sync::Arc;

use crate::{
    change::{Change, Signalled, Topic},
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity, Subject},
    ident::{Identity, ProcKey},
    kill::Ending,
    programs::{Script, script},
    rules::{Opinion, Rule, manager::Manager, slow_stop, words},
    servers,
    signal::Sender,
    stop::{Request, Told},
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the stop signal").role(Role::Signal),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("count", Kind::Count, "children that were sent no signal"),
    FactDef::new("children", Kind::Processes, "the oldest of them").role(Role::Party),
    FactDef::new("has_ended", Kind::Flag, "`process` has ended since, and the kernel killed them"),
    words::KILLED,
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-not-forwarded",
    severity: Severity::Warning,
    about: About::Dropped,
    summary: "pid 1 of a container took the stop signal and did not pass it on to its children",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("signal_not_forwarded.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(NotForwarded { after: thresholds.not_forwarded_after, slow_stop_after: thresholds.slow_stop_after })
}

struct NotForwarded {
    after: Span,
    /// What SIGKILL put an end to then another rule tells, this part of it included.
    slow_stop_after: Span,
}

impl Rule for NotForwarded {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled, Topic::NamespaceEnded]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        match change {
            Change::Signalled(signalled) => {
                let Signalled { target, .. } = &**signalled;
                match asked(world, target.key, None) {
                    // By then all is known that it did right after, however late its signal comes up here.
                    Some((_, asked)) if asked.seq == seq => Opinion::Recheck(world.now() + self.after, target.key),
                    _ => Opinion::Quiet,
                }
            }
            Change::NamespaceEnded(ns) => {
                let Some(ending) = world.namespace(*ns).and_then(|ns| ns.ending) else { return Opinion::Quiet };
                match of_end(world, &ending) {
                    // It has ended without a word to the others, whom the kernel has killed then.
                    Some((init, asked, told)) => {
                        Opinion::Outcome(finding(world, init, asked, told, Some((&ending, self.after)), seq))
                    }
                    None => {
                        let how = format!("pid 1 of {} has ended", world.place_of(&ending.init));
                        Opinion::Over(Subject::Process(ending.init.key), how)
                    }
                }
            }
            _ => Opinion::Quiet,
        }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        match asked(world, key, None) {
            Some((process, _)) if process.death().is_some() => Opinion::Quiet,
            Some((_, asked)) if world.now() < asked.at + self.after => Opinion::Recheck(asked.at + self.after, key),
            Some((process, asked)) => match world.told(key, asked.at) {
                // To whom it has sent one, that one has work to do; what it left alone it may need for that.
                Some(told)
                    if told.not_told > 0 && told.told == 0 && told.passed_to.is_empty() && !is_draining(asked) =>
                {
                    Opinion::Found(finding(world, process, asked, &told, None, asked.seq))
                }
                _ => Opinion::Quiet,
            },
            None => Opinion::Quiet,
        }
    }

    fn wrong(&self, world: &World, change: &Change, _open: &Finding) -> Option<String> {
        let Change::Died { key, .. } = *change else { return None };
        Some(slow_stop::tells_all(world, key, self.slow_stop_after)?.1)
    }
}

/// An init that has taken a stop signal, and was not sent SIGKILL; `ended` is when it ended, if it has.
fn asked(world: &World, init: ProcKey, ended: Option<BootNs>) -> Option<(&Process, &Request)> {
    let process = world.get(init)?;
    Some((process, process.stop.as_deref()?.taken(ended)?))
}

/// Of the end of a namespace: its init had taken a stop signal, and the kernel killed children that knew
/// nothing of it. This tells of that end, and nobody else does.
pub(super) fn of_end<'a>(world: &'a World, ending: &Ending) -> Option<(&'a Process, &'a Request, &'a Told)> {
    if ending.nested || ending.bystanders == 0 {
        return None;
    }
    let (init, asked) = asked(world, ending.init.key, Some(ending.since))?;
    let told = init.stop.as_deref()?.told.as_ref().filter(|told| told.not_told > 0)?;
    Some((init, asked, told))
}

/// Its workers serve their clients to the end: they are told nothing, and need not be.
fn is_draining(asked: &Request) -> bool {
    servers::ends_promptly_at(asked.target.comm.bytes(), asked.signal).is_some()
}

/// `ending` is how the namespace has ended, and how long those who knew of the stop would have stayed at most.
fn finding(
    world: &World,
    init: &Process,
    asked: &Request,
    told: &Told,
    ending: Option<(&Ending, Span)>,
    seq: Seq,
) -> Box<Finding> {
    let is_long = ending.is_some_and(|(ending, long)| ending.since - asked.at >= long);
    let is_certain = is_long && told.passed_to.is_empty() && !told.has_lost_child;
    let ending = ending.map(|(ending, _)| ending);
    let Told { not_told, named, adopted, passed_to, .. } = told;
    let name = init.identity();
    let whose = world.place_of(&name);
    let signal = asked.signal;
    let since = seconds(ending.map_or(world.now(), |ending| ending.since) - asked.at);
    let (cost, then) = match ending {
        Some(ending) => {
            let killed = words::the_processes(ending.killed);
            (
                format!("; the kernel killed {killed} left"),
                format!("it ended {since} later, and the kernel killed {killed} left in the namespace with SIGKILL"),
            )
        }
        None => (String::new(), format!("{since} later it still runs, and so do they")),
    };
    let passed = match &passed_to[..] {
        [] => "none of its children".to_owned(),
        some => words::names(some, some.len() as u64),
    };
    let label = if adopted == not_told && !passed_to.is_empty() { "adopted" } else { "not sent" };
    let notes = vec![
        Note::new("sent by", words::who(&asked.sender)),
        Note::new("pid 1", format!("{}, which handles {signal}", words::short(&name))),
        Note::new("passed on", format!("to {passed}")),
        Note::new(label, words::names(named, *not_told)),
        Note::new("since then", then),
    ];
    let ns = ending.and_then(|_| world.namespace(name.pid_ns));
    let killed = ns.map(|ns| Arc::clone(&ns.killed));
    let mut evidence = vec![asked.seq];
    evidence.extend(ending.map(|ending| ending.seq));
    evidence.extend((!evidence.contains(&seq)).then_some(seq));
    let what = if passed_to.is_empty() { "did not pass it on" } else { "did not pass it on to all" };
    let confidence = if is_certain {
        Confidence::Certain
    } else {
        Confidence::Incomplete(
            "it may have notified them without a signal (by a pipe, a socket or a file), which `tracer` cannot see"
                .to_owned(),
        )
    };
    Box::new(Finding {
        confidence,
        headline: format!("pid 1 of {whose} took {signal} and {what}{cost}"),
        notes,
        fixes: fixes(init, passed_to, asked),
        evidence,
        facts: Facts::of(
            FACTS,
            [
                ("signal", signal.into()),
                ("sender", Sender::Process(asked.sender).into()),
                ("count", (*not_told).into()),
                ("children", named.clone().into()),
                ("has_ended", ending.is_some().into()),
                ("others", killed.into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), asked.at, name)
    })
}

/// What helps against it.
fn fixes(init: &Process, passed_to: &[Identity], asked: &Request) -> Vec<String> {
    let (comm, signal) = (init.comm, asked.signal);
    if !passed_to.is_empty() {
        let group = (comm.bytes() == b"supervisord").then(|| {
            "set stopasgroup=true for a program that is started by a shell, which passes nothing on".to_owned()
        });
        let all = [
            format!(
                "have {comm} signal all of them and wait for them: kill(-1, …) reaches every process in its namespace \
                 (tini -g reaches only the process group of its child, which a daemon leaves by setsid)"
            ),
            "have the program that starts a daemon also stop it".to_owned(),
        ];
        return group.into_iter().chain(all).collect();
    }
    // It ends at once, whatever its services need.
    if comm.bytes() == b"runsvdir" {
        return vec![format!(
            "start runsvdir from a shell that stops the services first (runsvdir DIR & trap 'sv -w 10 force-stop DIR/*; \
             kill -HUP $!' {}; wait; wait)",
            words::bare(signal)
        )];
    }
    // `docker run --init` passes it on to the same program only.
    let above = "run it under an init that signals the whole process group (tini -g, dumb-init)";
    let script = script(comm.bytes(), &init.args);
    if script == Some(Script::Pipeline) {
        vec![words::unpiped(signal), above.to_owned()]
    } else if script.is_some() {
        vec![
            words::exec_form(signal, Manager::of_sender(&Sender::Process(asked.sender)).unwrap_or(Manager::SomeEngine)),
            format!("have {comm} pass the signal on and wait (app & {}; wait)", words::trap(signal)),
            above.to_owned(),
        ]
    } else {
        vec![format!("have {comm} pass the signal on to its children and wait for them"), above.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, SignalSent},
        finding::Stage,
        host::Container,
        signal::Signal,
        story::{MS, Story, born, born_in, end, key, kill, start, task},
    };

    const NS: u32 = 4_026_532_500;

    /// A runtime (3) has sent SIGTERM to a shell (10), which handles it and has a child (11) with one of
    /// its own (12).
    fn stopping() -> Story {
        let mut story = running();
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
        story
    }

    /// The same before that.
    fn running() -> Story {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh");
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "app").fork(born_in(NS, 12, 3, 11));
        story
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        let is_new = |finding: &Finding| finding.rule.name == DEF.name && finding.is_new();
        story.found.drain(..).filter(is_new).collect()
    }

    #[test]
    fn a_shell_that_keeps_the_signal_to_itself() {
        let mut story = stopping();
        story.wait(1_900, &[]);
        assert!(found(&mut story).is_empty());
        story.wait(200, &[(10, b'S', 1)]);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert_eq!(finding.headline, format!("pid 1 of pid namespace {NS} took SIGTERM and did not pass it on"));
        let message = finding.message();
        assert!(message.contains("Pid 1: sh (pid 10), which handles SIGTERM."), "{message}");
        assert!(message.contains("Not sent: app (pid 11)."), "{message}");
    }

    #[test]
    fn a_server_that_waits_for_its_clients_leaves_its_workers_to_them() {
        for (program, signal, is_found) in [
            ("postgres", Signal::TERM, false),
            ("nginx", Signal::QUIT, false),
            ("nginx", Signal::TERM, true),
            ("app", Signal::TERM, true),
        ] {
            let mut story = Story::new();
            let web = Container { id: "web".into(), stop_signal: Some(signal.to_string()), ..Container::default() };
            story.event(EventKind::Container(Box::new(web)));
            story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, program);
            story.event(EventKind::Contained(key(10), "web".into()));
            story.fork(born_in(NS, 11, 2, 10)).exec(11, program);
            story.now += 10_000 * MS;
            let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
            story.signal(SignalSent { flags, ..kill(3, 10, signal) }).wait(2_100, &[(10, b'S', 1), (11, b'S', 10)]);
            assert_eq!(!found(&mut story).is_empty(), is_found, "{program} {signal}");
        }
    }

    #[test]
    fn the_advice_works_with_a_shell_that_keeps_the_signal() {
        let mut story = stopping();
        story.wait(2_100, &[(10, b'S', 1)]);
        let fix = found(&mut story)[0].fix();
        assert!(fix.contains("tini -g, dumb-init") && !fix.contains("docker run --init"), "{fix}");
    }

    #[test]
    fn runsvdir_is_to_have_its_services_stopped_by_runit() {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "runsvdir /srv");
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "runsv web");
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) }).exit(end(10, 1, Adopter::None));
        story.exit(by_the_kernel(11));
        let fix = found(&mut story)[0].fix();
        assert!(fix.contains("sv -w 10 force-stop DIR/*; kill -HUP $!' TERM; wait; wait"), "{fix}");
    }

    #[test]
    fn a_shell_is_advised_to_trap_the_stop_signal_that_it_gets() {
        let mut story = Story::new();
        let web = Container { id: "web".into(), stop_signal: Some("SIGINT".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web)));
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh");
        story.event(EventKind::Contained(key(10), "web".into())).fork(born_in(NS, 11, 2, 10)).exec(11, "app");
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::INT) }).wait(2_100, &[]);
        let fix = found(&mut story)[0].fix();
        assert!(fix.contains("app & trap 'kill -TERM $!; wait' INT; wait"), "{fix}");
    }

    #[test]
    fn one_that_ends_and_leaves_them_to_the_kernel() {
        let mut story = stopping();
        story.exit(end(10, 1, Adopter::None));
        assert!(found(&mut story).is_empty(), "it is not known yet that the kernel kills them");
        for pid in [11, 12] {
            story.exit(by_the_kernel(pid));
        }
        let finding = story.only();
        assert!(finding.facts.flag("has_ended") && finding.facts.count("count") == 1);
        let killed: Vec<_> = finding.facts.get("others").processes().iter().map(|one| one.key.tgid).collect();
        assert_eq!(killed, [11, 12]);
        let text = "Passed on: to none of its children. Not sent: app (pid 11). Since then: it ended 1 µs later, and the \
                    kernel killed the 2 processes left in the namespace with SIGKILL.";
        assert!(finding.message().ends_with(text), "{}", finding.message());
    }

    /// What happens to those that the end of the init leaves.
    fn by_the_kernel(pid: u32) -> Exit {
        Exit { status: ExitStatus(9), ..end(pid, 10, Adopter::None) }
    }

    #[test]
    fn children_that_end_with_it_by_themselves_were_told_somehow() {
        let mut story = stopping();
        story.exit(end(10, 1, Adopter::None)).exit(end(11, 10, Adopter::None)).exit(end(12, 10, Adopter::None));
        assert_eq!(story.rules(), ["stopped-by"]);
    }

    #[test]
    fn what_no_signal_shows_is_not_certain() {
        let mut story = stopping();
        story.wait(2_100, &[(10, b'S', 1)]);
        let [finding] = &found(&mut story)[..] else { panic!() };
        let Confidence::Incomplete(note) = &finding.confidence else { panic!("{finding:?}") };
        assert!(note.contains("a pipe"), "{note}");
    }

    #[test]
    fn a_child_that_ignores_it_was_told() {
        for (result, more) in [(1, bit::IGNORE), (2, bit::HANDLER)] {
            let mut story = stopping();
            let sent = kill(10, 11, Signal::TERM);
            story.signal(SignalSent { result, flags: sent.flags | more, ..sent });
            story.wait(2_100, &[(10, b'S', 1)]);
            assert!(found(&mut story).is_empty());
        }
    }

    /// Pid 1 passes its signal on to its child (11), and not to a daemon (13) that it has adopted; it ends, and both with
    /// it.
    fn tells_its_child_alone(story: &mut Story) {
        story.fork(born_in(NS, 13, 4, 12)).exec(13, "daemon");
        story.exit(end(12, 11, Adopter::NamespaceInit(task(10)))).wait(5, &[(13, b'S', 10), (12, b'Z', 11)]);
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.wait(60_000, &[(10, b'S', 1), (11, b'S', 10), (13, b'S', 10)]);
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
        story.signal(kill(10, 11, Signal::TERM)).exit(by_the_kernel(11)).free(11);
        story.exit(end(10, 1, Adopter::None)).exit(by_the_kernel(13));
    }

    #[test]
    fn supervisord_has_a_setting_for_it() {
        for (init, is_advised) in [("supervisord", true), ("sh", false)] {
            let mut story = running();
            story.exec(10, init);
            tells_its_child_alone(&mut story);
            let fix = found(&mut story)[0].fix();
            assert_eq!(fix.starts_with("set stopasgroup=true"), is_advised, "{fix}");
        }
    }

    #[test]
    fn the_advice_for_a_pipeline_names_no_pid_of_its_last_program() {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh -c app|tee");
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "app").fork(born_in(NS, 12, 3, 10)).exec(12, "tee");
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
        story.wait(2_100, &[(10, b'S', 1), (11, b'S', 10), (12, b'S', 10)]);
        let fix = found(&mut story)[0].fix();
        assert!(fix.starts_with("do without the pipe") && !fix.contains("$!"), "{fix}");
    }

    #[test]
    fn who_told_its_child_and_not_what_it_has_adopted_is_told_so() {
        let mut story = running();
        tells_its_child_alone(&mut story);
        let [finding] = &found(&mut story)[..] else { panic!("{:?}", story.rules()) };
        let message = finding.message();
        assert!(message.contains("Passed on: to app (pid 11). Adopted: daemon (pid 13)."), "{message}");
        assert!(finding.fix().contains("kill(-1"), "{}", finding.fix());
    }

    #[test]
    fn whoever_passes_it_on_is_quiet() {
        let mut story = stopping();
        story.signal(kill(10, 11, Signal::TERM));
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "to the child");
        let mut story = stopping();
        story.signal(kill(10, 12, Signal::TERM));
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "to a grandchild");
        let mut story = stopping();
        story.exit(end(11, 10, Adopter::None)).free(11).exit(end(12, 10, Adopter::None)).free(12);
        story.wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty(), "nobody is left");
    }

    #[test]
    fn what_a_child_that_was_told_leaves_to_the_init_is_not_meant() {
        let mut story = stopping();
        story.signal(kill(10, 11, Signal::TERM)).exit(end(11, 10, Adopter::NamespaceInit(task(10))));
        story.wait(5, &[(12, b'S', 10)]).free(11).exit(end(10, 1, Adopter::None));
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn a_child_that_had_hardly_begun_is_not_meant() {
        let mut story = stopping();
        story.exit(end(11, 10, Adopter::None)).free(11).exit(end(12, 10, Adopter::None)).free(12);
        let young = ((story.now - BootNs::ZERO) / MS) as u32 - 1_000;
        story.fork(born_in(NS, young, 20, 10)).wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty());
    }

    #[test]
    fn a_stream_without_what_inits_send_proves_nothing() {
        let mut story = Story::new();
        story.event(start(&Thresholds::default()));
        story.fork(born(3, 1)).fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) }).wait(2_100, &[(10, b'S', 1)]);
        assert!(found(&mut story).is_empty());
    }

    /// The reader lags: time that user space tells is ahead of what the ring holds.
    #[test]
    fn a_signal_that_is_read_late_is_judged_all_the_same() {
        let story = |forwards: bool| {
            let mut story = Story::new();
            story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "sh");
            story.fork(born_in(NS, 11, 2, 10)).exec(11, "app");
            story.wait(60_000, &[(11, b'S', 10)]);
            story.now = story.now - 50_000 * MS;
            let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
            story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
            let late = story.now;
            story.now += 50_000 * MS;
            story.event(EventKind::Tick);
            let now = std::mem::replace(&mut story.now, late);
            if forwards {
                story.signal(kill(10, 11, Signal::TERM));
            }
            story.now = now;
            story.wait(2_100, &[(10, b'S', 1)]);
            found(&mut story).len()
        };
        assert_eq!((story(false), story(true)), (1, 0));
    }

    #[test]
    fn a_signal_of_many_meanings_counts_for_who_ends_at_it() {
        let story = |ms| {
            let mut story = Story::new();
            story.fork(born(3, 1)).exec(3, "kill").fork(born_in(NS, 10, 1, 1)).exec(10, "java");
            story.fork(born_in(NS, 11, 2, 10)).exec(11, "worker");
            story.now += 10_000 * MS;
            let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
            story.signal(SignalSent { flags, ..kill(3, 10, Signal::QUIT) }).wait(ms, &[(10, b'S', 1)]);
            assert!(found(&mut story).is_empty(), "a thread dump");
            story.exit(end(10, 1, Adopter::None)).exit(by_the_kernel(11));
            found(&mut story).len()
        };
        assert_eq!((story(5_000), story(50_000)), (1, 0));
    }

    /// What is told when its pid 1 has ended after so long, and the kernel has killed the others.
    fn outcome(story: &mut Story, ms: u64) -> Vec<(Stage, bool)> {
        story.wait(ms, &[(10, b'S', 1)]).exit(end(10, 1, Adopter::None));
        for pid in [11, 12] {
            if story.world().get(key(pid)).is_some() {
                story.exit(by_the_kernel(pid));
            }
        }
        story.free(10).wait(300, &[]);
        story.found.drain(..).map(|finding| (finding.stage, finding.confidence == Confidence::Certain)).collect()
    }

    #[test]
    fn it_is_told_once_and_its_outcome_ends_it() {
        assert_eq!(outcome(&mut stopping(), 0), [(Stage::New, false)], "there was no time to tell them otherwise");
        assert_eq!(outcome(&mut stopping(), 5_000), [(Stage::New, false), (Stage::Resolved, true)]);
    }

    #[test]
    fn children_that_end_meanwhile_may_have_been_told_otherwise() {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 1)).exec(10, "nginx");
        story.fork(born_in(NS, 11, 2, 10)).fork(born_in(NS, 12, 3, 10));
        story.now += 10_000 * MS;
        let flags = bit::GROUP | bit::OUTSIDE | bit::UNKILLABLE | bit::HANDLER;
        story.signal(SignalSent { flags, ..kill(3, 10, Signal::TERM) });
        story.exit(end(12, 10, Adopter::None)).free(12);
        assert_eq!(outcome(&mut story, 5_000), [(Stage::New, false), (Stage::Resolved, false)]);
    }

    #[test]
    fn what_sigkill_ends_slow_stop_tells_alone() {
        let mut story = stopping();
        story.wait(2_100, &[(10, b'S', 1)]);
        assert_eq!(found(&mut story).len(), 1);
        let kill = kill(3, 10, Signal::KILL);
        story.signal(SignalSent { flags: kill.flags | bit::OUTSIDE, ..kill });
        for pid in [10, 11, 12] {
            story.exit(by_the_kernel(pid));
        }
        let told: Vec<_> = story.found.drain(..).map(|finding| (finding.rule.name, finding.stage)).collect();
        assert_eq!(told, [("signal-not-forwarded", Stage::Withdrawn), ("slow-stop", Stage::New)]);
    }
}
