//! `stopped-by`: a signal asked a process to end, and it ended by itself: who sent the signal.

use crate::{
    change::{Change, Topic},
    event::ExitStatus,
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, MOST_NOTES, Note, Part, Role, RuleDef, Severity},
    ident::{Identity, ProcKey},
    kill::Ending,
    programs::is_watcher,
    rules::{Opinion, Rule, origins, signal_not_forwarded, words},
    signal::{Sender, Signal, Verdict, killer::Killer},
    stop::Request,
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Death, Process, World},
};

mod terminal;

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that asked it to end").role(Role::FatalSignal),
    FactDef::new("how", Kind::Word(Killer::IDS), "where that came from"),
    FactDef::new("sender", Kind::Sender, "who sent that; of a hang-up, who hung the terminal up, or whose end did")
        .role(Role::Sender),
    FactDef::new(
        "ancestors",
        Kind::Processes,
        "parent, grandparent and so on of the sender, up to the init of its namespace",
    ),
    words::ASKED_BY,
    origins::ORIGIN,
    FactDef::new("terminal", Kind::Text, "of a key or a hang-up: the terminal, such as `/dev/pts/3`, if it is known")
        .optional(),
    origins::CALL.nullable(),
    FactDef::new(
        "what",
        Kind::Word(&["container", "service", "session", "command", "tree", "worker"]),
        "what the process is the main process of; `tree`: it is the one that `--tree` names; `worker`: its parent sent it \
         SIGABRT",
    )
    .role(Role::Reason),
    FactDef::new("took_ns", Kind::Span, "from the signal to the end").role(Role::Cost),
    FactDef::new("status", Kind::Status, "how it ended").role(Role::Status),
    FactDef::new("passed_to", Kind::Processes, "whom it had sent a signal meanwhile, the first five of them")
        .role(Role::Party),
    FactDef::alike(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "stopped-by",
    severity: Severity::Info,
    about: About::End,
    summary: "a container, a service or the command took a signal that asks for it, and ended: who sent it",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("stopped_by.md"),
};

pub(super) fn make(_: &Thresholds) -> Box<dyn Rule> {
    Box::new(StoppedBy)
}

struct StoppedBy;

impl Rule for StoppedBy {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Died, Topic::NamespaceEnded]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let key = match *change {
            Change::Died { key, .. } if !world.get(key).is_some_and(Process::is_init_of_namespace) => key,
            // What else ended with a container is known by now.
            Change::NamespaceEnded(ns) => match world.namespace(ns).and_then(|ns| ns.ending) {
                Some(ending) if !is_told_otherwise(world, &ending) => ending.init.key,
                _ => return Opinion::Quiet,
            },
            _ => return Opinion::Quiet,
        };
        let by_process = || answer(world, key).map(|(process, answer)| found(world, process, &answer, seq));
        let by_terminal = || terminal::found(world, key, seq);
        by_process().or_else(by_terminal).map_or(Opinion::Quiet, |finding| Opinion::Found(Box::new(finding)))
    }
}

/// An end that followed a request.
struct Answer<'a> {
    asked: &'a Request,
    is_certain: bool,
    death: &'a Death,
    /// What it is the main process of.
    what: &'static str,
    passed_to: &'a [Identity],
    /// What had asked for it before, in vain.
    before: Option<&'a Request>,
}

fn answer(world: &World, key: ProcKey) -> Option<(&Process, Answer<'_>)> {
    let process = world.get(key)?;
    let (stop, death) = process.stop.as_deref().zip(process.death())?;
    let (asked, is_certain) = stop.answered(death.at)?;
    // A look has found that the signal was still pending.
    let was_left = world.waiting(key).iter().any(|waiting| waiting.signal == asked.signal && waiting.masks.is_some());
    let is_by_itself = death.exact && death.status.signal().is_none();
    if !is_by_itself || was_left || is_end_of_child(world, process, asked, death) {
        return None;
    }
    // A parent that sends this takes its child for hung.
    let is_of_parent = || world.parent(key).is_some_and(|parent| parent.key == asked.sender.key);
    let is_worker = asked.signal == Signal::ABRT && is_of_parent();
    let what = main_of(world, process, is_worker, asked.is_to_leader)?;
    if what == "session" && is_stopped_with_server(world, process, asked) {
        return None;
    }
    Some((process, Answer { asked, is_certain, death, what, passed_to: &stop.passed_to, before: stop.before(asked) }))
}

/// What a process is the main process of: nobody asks who has stopped a helper. `is_worker`: its parent takes it for hung.
fn main_of(world: &World, process: &Process, is_worker: bool, is_to_leader: bool) -> Option<&'static str> {
    if world.command().is_some_and(|command| command.is(process.key)) {
        return Some("command");
    }
    if process.is_init_of_namespace() {
        return Some("container");
    }
    let parent = world.parent(process.key);
    // A user's service manager has the same name as the machine's.
    let is_manager =
        |parent: &Process| parent.is_init_of_host() || (parent.roles.subreaper && parent.comm.bytes() == b"systemd");
    if parent.is_some_and(is_manager) {
        return Some("service");
    }
    if is_worker {
        return Some("worker");
    }
    // In the host's pid namespace, a container has no init; a process brought in by an exec has no parent on the host.
    let is_of_host = process.ns_level == 0;
    let is_watched = || parent.is_some_and(|parent| is_watcher(parent.comm.bytes()));
    if is_of_host && process.container.is_some() && is_watched() {
        return Some("container");
    }
    if is_of_host && process.container.is_none() && is_to_leader && parent.is_some() {
        return Some("session");
    }
    world.is_tree_root(process.key).then_some("tree")
}

/// A worker that leads a session of its own (postgres), and whose server was asked to stop: that is told of the server.
fn is_stopped_with_server(world: &World, worker: &Process, asked: &Request) -> bool {
    let parent =
        worker.adoption.as_deref().map(|adoption| adoption.from.key).or_else(|| Some(world.parent(worker.key)?.key));
    let server = parent.filter(|&parent| parent == asked.sender.key).and_then(|parent| world.get(parent));
    let Some(server) = server.filter(|server| server.comm == worker.comm) else { return false };
    let stop = server.stop.as_deref().and_then(|stop| stop.asked_last());
    stop.is_some_and(|stop| {
        let is_meant = stop.signal != Signal::HUP && stop.at <= asked.at && asked.at - stop.at <= LONGEST_STOP;
        is_meant && main_of(world, server, false, stop.is_to_leader).is_some()
    })
}

/// A server that was asked to stop ends its workers within this time.
const LONGEST_STOP: Span = Span::seconds(120);

/// Other rules report an end that took other processes with it, or that was part of another end.
fn is_told_otherwise(world: &World, ending: &Ending) -> bool {
    ending.nested || ending.bystanders > 0 || signal_not_forwarded::of_end(world, ending).is_some()
}

/// It passed the signal on to a child, which died of it, and exited with a status that says so: that end is reported.
fn is_end_of_child(world: &World, process: &Process, asked: &Request, death: &Death) -> bool {
    let of_signal = 128 + i32::from(asked.signal.0);
    process.roles.init && death.status.code() == of_signal && world.has_just_killed(process.key, asked.signal)
}

fn found(world: &World, process: &Process, answer: &Answer<'_>, seq: Seq) -> Finding {
    let Answer { asked, is_certain, death, what, passed_to, before } = *answer;
    let name = process.identity();
    let took_ns = death.at - asked.at;
    let Request { signal, sender, .. } = *asked;
    let status = death.status;
    let is_init = process.is_init_of_namespace();
    let notes = [
        words::asked_by(&asked.asked_by),
        Some(words::origin(asked)),
        asked.former.as_ref().map(|former| words::former(former, asked.at)),
        is_init.then(|| Note::new("pid 1", words::short(&name))),
        Note::maybe("passed on", words::to(passed_to)),
        before.map(|before| {
            let after = seconds(asked.at - before.at);
            Note::new(
                "before",
                format!("{}{}: it had not ended {after} later", before.signal, words::briefly(world, before)),
            )
        }),
    ];
    Finding {
        confidence: confidence(asked, is_certain),
        headline: format!(
            "{} {} {} after {signal}{}",
            subject(world, process),
            words::ended(status),
            seconds(took_ns),
            words::briefly(world, asked)
        ),
        notes: notes
            .into_iter()
            .flatten()
            .chain(origins::notes(&asked.origin, asked.at))
            .take(MOST_NOTES - 1)
            .collect(),
        fixes: asked.former.as_ref().map(words::stale_pid).into_iter().chain([words::unmeant(world, asked)]).collect(),
        evidence: vec![asked.seq, seq],
        facts: Facts::of(
            FACTS,
            [
                ("signal", signal.into()),
                ("how", asked.killer.id().into()),
                ("sender", Sender::Process(sender).into()),
                ("ancestors", asked.ancestors.clone().into()),
                ("asked_by", asked.asked_by.clone().into()),
                ("origin", origins::facts(&asked.origin, asked.at).into()),
                ("call", None::<Facts>.into()),
                ("what", what.into()),
                ("took_ns", took_ns.into()),
                ("status", status.into()),
                ("passed_to", passed_to.to_vec().into()),
                ("alike", alike(&name, signal, status).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), asked.at, name)
    }
}

/// The process, as the subject of a headline.
fn subject(world: &World, process: &Process) -> String {
    let name = process.identity();
    if process.is_init_of_namespace() { format!("pid 1 of {}", world.place_of(&name)) } else { words::short(&name) }
}

/// What ends that are alike have in common.
fn alike(name: &Identity, signal: Signal, status: ExitStatus) -> Vec<Part> {
    let container = name.container.map_or(Part::Nobody, Part::Container);
    vec![container, Part::Name(name.comm), Part::Signal(signal), Part::Status(status.0)]
}

fn confidence(asked: &Request, is_certain: bool) -> Confidence {
    match asked.verdict {
        _ if is_certain => Confidence::Certain,
        Verdict::Queued => Confidence::Incomplete(
            "the signal had to wait, and whether the program asked for it (sigwait, signalfd) does not show".to_owned(),
        ),
        _ => Confidence::Incomplete("it may have ended for another reason".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, SignalSent, TaskInfo},
        host::Container,
        ident::{Args, TaskRef},
        signal::Place,
        story::{MS, Story, born, born_in, end, key, kill},
    };

    const NS: u32 = 4_026_532_500;
    const LIVES: [(u32, u8, u32); 4] = [(2, b'S', 1), (3, b'S', 2), (4, b'S', 1), (10, b'S', 2)];

    /// A shim (2) with a runtime (3); `redis` (10) as pid 1 of a namespace; a service of the host (4).
    fn story() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "shim").fork(born(3, 2)).exec(3, "runc").fork(born(4, 1)).exec(4, "nginx");
        story.fork(born_in(NS, 10, 1, 2)).exec(10, "redis");
        story
    }

    /// A signal that the target handles.
    fn handled(from: u32, to: u32, signal: Signal) -> SignalSent {
        let sent = kill(from, to, signal);
        let of_init = if to == 10 { bit::UNKILLABLE | bit::OUTSIDE } else { 0 };
        SignalSent { flags: sent.flags | bit::HANDLER | of_init, ..sent }
    }

    fn exits(story: &mut Story, pid: u32, status: i32) -> Option<Finding> {
        let parent = story.world().parent(key(pid)).map_or(0, |parent| parent.key.tgid);
        story.exit(Exit { status: ExitStatus(status), ..end(pid, parent, Adopter::None) });
        story.found.drain(..).find(|finding| finding.rule.name == DEF.name)
    }

    #[test]
    fn a_container_that_ends_in_order_is_one_finding() {
        let mut story = story();
        story.signal(handled(3, 10, Signal::TERM)).wait(120, &LIVES);
        let finding = exits(&mut story, 10, 0).unwrap();
        assert_eq!(
            finding.message(),
            format!(
                "pid 1 of pid namespace {NS} exited with code 0 120 ms after SIGTERM from runc (pid 3). Sent by: runc (pid 3) < shim (pid 2) < p1 (pid 1). Pid 1: redis (pid 10)."
            )
        );
        let facts = &finding.facts;
        assert_eq!((facts.word("what"), facts.span("took_ns") / MS), ("container", 120));
        assert_eq!((finding.confidence, finding.evidence.len()), (Confidence::Certain, 2));
        assert_eq!(story.free(10).wait(300, &[]).rules(), [""; 0]);
    }

    #[test]
    fn who_asked_the_engine_is_named() {
        let mut story = story();
        let web = Container { id: "3f2e".into(), name: Some("web".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "3f2e".into()));
        story.fork(born(20, 1)).exec(20, "bash").fork(born(21, 20)).exec(21, "docker stop web");
        story.signal(handled(3, 10, Signal::TERM));
        let finding = exits(&mut story, 10, 0).unwrap();
        assert!(
            finding.headline.starts_with("pid 1 of container web ")
                && finding.headline.contains(" after SIGTERM from runc"),
            "{}",
            finding.headline
        );
        assert_eq!(finding.notes[0], Note::new("asked by", "docker (pid 21) < bash (pid 20) < p1 (pid 1)"));
        assert!(finding.fix().contains("why docker sent it"), "{}", finding.fix());
    }

    #[test]
    fn a_worker_that_its_parent_takes_for_hung_is_told_what_ended_it() {
        for (sender, is_told) in [(4, true), (3, false)] {
            let mut story = story();
            story.fork(born(5, 4)).exec(5, "worker").signal(handled(sender, 5, Signal::ABRT));
            let finding = exits(&mut story, 5, 1 << 8);
            assert_eq!(finding.is_some(), is_told);
            let Some(finding) = finding else { continue };
            assert_eq!(finding.facts.word("what"), "worker");
            assert!(finding.headline.ends_with("after SIGABRT from nginx (pid 4)"), "{}", finding.headline);
            assert!(
                finding.fix().starts_with("find out what kept worker, which nginx took for hung"),
                "{}",
                finding.fix()
            );
        }
    }

    #[test]
    fn a_service_is_and_a_helper_is_not() {
        let mut story = story();
        story.fork(born(5, 4)).exec(5, "worker");
        story.signal(handled(3, 4, Signal::QUIT)).signal(handled(4, 5, Signal::TERM));
        assert!(exits(&mut story, 5, 0).is_none(), "whoever stops their main process stops them");
        let finding = exits(&mut story, 4, 0).unwrap();
        assert_eq!(finding.headline, "nginx (pid 4) exited with code 0 3 µs after SIGQUIT from runc (pid 3)");
        assert!(finding.message().contains("Passed on: to worker (pid 5)"), "{}", finding.message());
    }

    #[test]
    fn a_container_in_the_pid_namespace_of_the_host_is() {
        let mut story = story();
        story.fork(born(6, 1)).exec(6, "containerd-shim").fork(born(7, 6)).exec(7, "redis");
        story.signal(handled(3, 7, Signal::TERM));
        assert!(exits(&mut story, 7, 0).is_none(), "it is no container's");
        story.fork(born(8, 6)).exec(8, "redis");
        let web = Container { id: "3f2e".into(), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(8), "3f2e".into()));
        story.signal(handled(3, 8, Signal::TERM));
        assert_eq!(exits(&mut story, 8, 0).unwrap().facts.word("what"), "container");
    }

    /// A server (30) with workers (31, 32) that lead sessions of their own, as those of postgres do.
    fn server() -> Story {
        let mut story = story();
        story.fork(born(30, 1)).exec(30, "postgres");
        for pid in [31, 32] {
            story.fork(TaskInfo { comm: "postgres".into(), ..born(pid, 30) });
        }
        story
    }

    fn to_leader(from: u32, pid: u32, signal: Signal) -> SignalSent {
        SignalSent { place: Place { session: pid, ..Place::default() }, ..handled(from, pid, signal) }
    }

    #[test]
    fn what_workers_tell_each_other_for_their_work_asks_for_no_end() {
        for (from, signal, is_told) in [
            (32, Signal::INT, false),
            // pg_terminate_backend()
            (32, Signal::TERM, true),
            (3, Signal::INT, true),
        ] {
            let mut story = server();
            story.signal(to_leader(from, 31, signal)).wait(900, &[]);
            assert_eq!(exits(&mut story, 31, 0).is_some(), is_told, "{from} {signal}");
        }
    }

    #[test]
    fn a_worker_that_is_stopped_with_its_server_is_told_of_there() {
        for (asked, is_told) in [(Some(Signal::INT), false), (Some(Signal::HUP), true), (None, true)] {
            let mut story = server();
            if let Some(signal) = asked {
                story.signal(to_leader(3, 30, signal));
            }
            story.signal(to_leader(30, 31, Signal::TERM));
            assert_eq!(exits(&mut story, 31, 0).is_some(), is_told, "{asked:?}");
        }
        // A supervisor's program is one of its own.
        let mut story = server();
        story.exec(31, "app").signal(to_leader(3, 30, Signal::INT)).signal(to_leader(30, 31, Signal::TERM));
        assert!(exits(&mut story, 31, 0).is_some());
    }

    #[test]
    fn who_waits_for_its_clients_and_is_then_asked_for_more_ends_at_that() {
        let story = |by, ms| {
            let mut story = story();
            story.signal(handled(3, 4, Signal::TERM)).wait(ms, &LIVES).signal(handled(by, 4, Signal::QUIT));
            let finding = exits(&mut story, 4, 0).unwrap();
            (finding.headline.clone(), finding.message())
        };
        let (headline, message) = story(2, 3_000);
        assert_eq!(headline, "nginx (pid 4) exited with code 0 1 µs after SIGQUIT from shim (pid 2)");
        assert!(message.contains("Before: SIGTERM from runc (pid 3): it had not ended 3.0 s later"), "{message}");
        // Whoever asks twice waits since the first time; and it may have been about to end.
        for (by, ms) in [(3, 3_000), (2, 200)] {
            assert!(story(by, ms).0.contains("after SIGTERM from runc"));
        }
    }

    #[test]
    fn a_server_that_ends_when_its_clients_have_gone_was_asked_by_its_own_signal() {
        for (server, signal, is_told) in [
            ("apache2", Signal::WINCH, true),
            ("haproxy", Signal::USR1, true),
            ("nginx", Signal::USR1, false),
            ("vim", Signal::WINCH, false),
        ] {
            let mut story = story();
            story.exec(4, server).signal(handled(3, 4, signal)).wait(5_000, &LIVES);
            assert_eq!(exits(&mut story, 4, 0).is_some(), is_told, "{server} {signal}");
        }
    }

    #[test]
    fn the_leader_of_a_session_is() {
        let mut story = story();
        story.fork(born(20, 4)).exec(20, "job").fork(born(21, 4)).exec(21, "job");
        for (pid, session) in [(20, 20), (21, 20)] {
            let sent = handled(3, pid, Signal::TERM);
            story.signal(SignalSent { place: Place { session, ..Place::default() }, ..sent });
        }
        assert_eq!(exits(&mut story, 20, 0).unwrap().facts.word("what"), "session");
        assert!(exits(&mut story, 21, 0).is_none());
    }

    #[test]
    fn the_command_of_a_recording_is() {
        let mut story = story();
        story.fork(born(20, 4)).event(EventKind::CommandStarted(key(20), Args::default())).exec(20, "suite");
        story.signal(handled(3, 20, Signal::INT));
        assert_eq!(exits(&mut story, 20, 130 << 8).unwrap().facts.word("what"), "command");
    }

    #[test]
    fn the_root_of_the_tree_that_is_asked_for_is_and_nobody_below_it() {
        let told = |root: Option<EventKind>, read_for: Option<u32>| {
            let mut story = story().read_for_tree(read_for);
            story.fork(born(20, 4)).exec(20, "app").fork(born(21, 20)).exec(21, "worker");
            if let Some(root) = root {
                story.event(root);
            }
            story.signal(handled(3, 21, Signal::TERM)).signal(handled(3, 20, Signal::TERM));
            assert!(exits(&mut story, 21, 0).is_none());
            exits(&mut story, 20, 0).map(|finding| finding.facts.word("what"))
        };
        assert_eq!(told(None, None), None);
        assert_eq!(told(Some(EventKind::TreeRoot(key(20))), None), Some("tree"));
        assert_eq!(told(None, Some(20)), Some("tree"));
        // Whose tree was asked for at first stays one.
        assert_eq!(told(Some(EventKind::TreeRoot(key(20))), Some(4)), Some("tree"));
        // Another process that had the pid before was not meant.
        let earlier = ProcKey { tgid: 20, ..key(19) };
        assert_eq!(told(Some(EventKind::TreeRoot(earlier)), None), None);
    }

    #[test]
    fn an_image_of_the_world_knows_whose_tree_was_asked_for() {
        let mut story = story();
        story.event(EventKind::TreeRoot(key(4)));
        let mut later = Story::new();
        for event in story.world().image() {
            later.event(event.kind);
        }
        assert!(later.world().is_tree_root(key(4)) && !later.world().is_tree_root(key(3)));
    }

    #[test]
    fn it_is_certain_where_nothing_else_can_be_the_reason() {
        let story = |signal, more: u16, ms| {
            let mut story = story();
            let sent = handled(3, 10, signal);
            story.signal(SignalSent { flags: sent.flags | more, ..sent }).wait(ms, &LIVES);
            exits(&mut story, 10, 0).map(|finding| finding.confidence == Confidence::Certain)
        };
        for (signal, more, ms, certain) in [
            (Signal::TERM, 0, 20_000, Some(true)),
            (Signal::TERM, 0, 60_000, Some(false)),
            (Signal::TERM, 0, 600_000, None),
            (Signal::TERM, bit::BLOCKED, 10, Some(false)),
            (Signal::HUP, 0, 500, Some(true)),
            (Signal::HUP, 0, 5_000, Some(false)),
            (Signal::HUP, 0, 20_000, None),
            (Signal(10), 0, 10, None),
        ] {
            assert_eq!(story(signal, more, ms), certain, "{signal} {more} {ms}");
        }
    }

    #[test]
    fn who_was_reloaded_and_then_stopped_ended_at_the_stop() {
        let mut story = story();
        story.fork(born(20, 3)).exec(20, "nginx").signal(handled(20, 4, Signal::HUP)).wait(900, &LIVES);
        story.fork(born(21, 3)).exec(21, "nginx").signal(handled(21, 4, Signal::QUIT)).wait(30, &LIVES);
        let finding = exits(&mut story, 4, 0).unwrap();
        assert_eq!(finding.headline, "nginx (pid 4) exited with code 0 30 ms after SIGQUIT from nginx (pid 21)");
    }

    #[test]
    fn whose_the_pid_was_before_is_told() {
        let mut story = story();
        let of = |start| TaskRef { key: ProcKey { start, tgid: 40 }, tid: 40 };
        let old = of(story.now);
        story.fork(TaskInfo { key: old.key, ..born(40, 1) }).event(EventKind::Rename(old.key, "oldserver".into()));
        story.wait(1_000, &[]).exit(Exit { task: old, ..end(40, 1, Adopter::None) }).event(EventKind::Free(old));
        let new = of(story.wait(100, &[]).now);
        story.fork(TaskInfo { key: new.key, ..born(40, 1) }).event(EventKind::Rename(new.key, "victim".into()));
        story.signal(SignalSent { target: new, ..handled(3, 40, Signal::TERM) });
        story.exit(Exit { task: new, ..end(40, 1, Adopter::None) });
        let finding = story.found.drain(..).find(|finding| finding.rule.name == DEF.name).unwrap();
        assert!(finding.message().contains("Pid: that of oldserver until 100 ms before"), "{}", finding.message());
        assert!(finding.fix().starts_with("if oldserver was meant"), "{}", finding.fix());
    }

    #[test]
    fn an_init_that_waits_for_signals_has_taken_it() {
        let mut story = story();
        // sigtimedwait(2): neither blocked nor handled.
        let sent = handled(3, 10, Signal::TERM);
        story.signal(SignalSent { flags: sent.flags & !bit::HANDLER_MASK, ..sent });
        assert_eq!(exits(&mut story, 10, 0).unwrap().confidence, Confidence::Certain);
    }

    #[test]
    fn what_was_dropped_or_met_another_program_or_the_process_itself_is_not_the_reason() {
        let mut dropped = story();
        dropped.signal(SignalSent {
            flags: bit::GROUP | bit::UNKILLABLE | bit::OUTSIDE,
            result: 1,
            ..kill(3, 10, Signal::TERM)
        });
        assert!(exits(&mut dropped, 10, 0).is_none());
        let mut other = story();
        other.signal(handled(3, 10, Signal::TERM)).exec(10, "later");
        assert!(exits(&mut other, 10, 0).is_none());
        let mut itself = story();
        itself.signal(handled(4, 4, Signal::TERM));
        assert!(exits(&mut itself, 4, 0).is_none());
    }

    #[test]
    fn what_others_tell_of_is_left_to_them() {
        let mut killed = story();
        killed.signal(handled(3, 4, Signal::TERM));
        assert!(exits(&mut killed, 4, 15).is_none(), "it raised it again");
        let mut left = story();
        left.fork(born_in(NS, 11, 2, 10)).signal(handled(3, 10, Signal::TERM));
        assert!(exits(&mut left, 10, 0).is_none() && exits(&mut left, 11, 9).is_none(), "the kernel killed another");
        let mut passed = story();
        passed.fork(born_in(NS, 11, 2, 10)).signal(handled(3, 10, Signal::TERM)).signal(kill(10, 11, Signal::TERM));
        assert!(exits(&mut passed, 11, 15).is_none() && exits(passed.free(11), 10, 143 << 8).is_none());
        assert_eq!(passed.wait(200, &[]).rules(), ["killed-by"], "the end of the child says it all");
    }

    #[test]
    fn the_end_of_a_parent_sends_nothing_by_itself() {
        for (ends, says, advises) in [
            (true, "after SIGTERM, as its parent runc (pid 3) ended", "find out why runc ended"),
            (false, "after SIGTERM, as a thread of its parent runc (pid 3) ended", "runtime.LockOSThread()"),
        ] {
            let mut story = story();
            if ends {
                story.exit(end(3, 2, Adopter::None));
            }
            let sent = handled(3, 4, Signal::TERM);
            story.signal(SignalSent { flags: sent.flags | bit::NO_INFO | bit::SENDER_EXITING, ..sent });
            let finding = exits(&mut story, 4, 0).unwrap();
            assert!(finding.headline.ends_with(says), "{}", finding.headline);
            assert!(finding.fix().contains(advises), "{}", finding.fix());
        }
    }
}
