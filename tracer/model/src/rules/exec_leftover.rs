//! `exec-leftover`: what was brought into a container from outside has outlived its client.

use crate::{
    change::{Change, Topic},
    event::ExitStatus,
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    host::Engine,
    ident::{Identity, ProcKey},
    programs::is_watcher,
    rules::{Opinion, Rule, words},
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Entry, Process, Way, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("client", Kind::Process, "the client that asked for it; null if it was not seen")
        .role(Role::Client)
        .nullable(),
    FactDef::new("client_status", Kind::Status, "how the client ended").role(Role::Status).nullable(),
    FactDef::new("pty", Kind::Text, "the terminal that it holds").nullable(),
    FactDef::new("age_ns", Kind::Span, "how long ago the client ended; 0 if that was not seen").role(Role::Cost),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "exec-leftover",
    severity: Severity::Warning,
    about: About::Leftover,
    summary: "what an exec brought into a container, or the container of a killed `run`, lives on without its client",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("exec_leftover.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(ExecLeftover { after: thresholds.exec_leftover_after })
}

struct ExecLeftover {
    after: Span,
}

impl Rule for ExecLeftover {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::ClientEnded, Topic::Learned]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        match *change {
            Change::ClientEnded(key) => Opinion::Recheck(world.now() + self.after, key),
            // It was there before: whether somebody waits for it is found out then.
            Change::Learned(key) if world.get(key).is_some_and(is_outsider) => {
                Opinion::Recheck(world.now() + self.after, key)
            }
            _ => Opinion::Quiet,
        }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key).filter(|process| process.death().is_none()) else { return Opinion::Quiet };
        match world.entry(key) {
            Some(&Entry { client, way, is_alone, ended: Some((at, status, seq)) }) => {
                let due = at + self.after;
                if world.now() < due {
                    return Opinion::Recheck(due, key);
                }
                Opinion::Found(Box::new(finding(world, process, Some(Left { client, way, is_alone, at, status, seq }))))
            }
            Some(_) => Opinion::Quiet,
            // A health check has no client that could be seen; what has a terminal had one.
            None if terminal(process).is_some()
                && is_outsider(process)
                && is_in_container(world, process)
                && !has_parent_outside(world, process) =>
            {
                if world.has_client(key) {
                    return Opinion::Recheck(world.now() + self.after.max(Span::SECOND), key);
                }
                Opinion::Found(Box::new(finding(world, process, None)))
            }
            None => Opinion::Quiet,
        }
    }

    fn wrong(&self, _world: &World, change: &Change, open: &Finding) -> Option<String> {
        match change {
            Change::ClientBack(_) => Some(format!("the client of {} lives", words::short(&open.process))),
            _ => None,
        }
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let lasted = seconds(world.now() - open.since);
        match change {
            Change::Died { key, .. } if *key == open.process.key => {
                let after = if open.facts.process("client").is_some() {
                    format!(", {lasted} after its client")
                } else {
                    String::new()
                };
                Some(format!("{} has ended{after}", words::short(&open.process)))
            }
            _ => None,
        }
    }
}

fn is_outsider(process: &Process) -> bool {
    process.roles.outsider && process.ns_level > 0
}

/// A unit of systemd is none.
fn is_in_container(world: &World, process: &Process) -> bool {
    world.container_of(&process.identity()).is_some_and(|container| container.engine != Engine::Systemd)
}

/// Its parent brought it in, and lives: nsenter, say. A watcher is the parent of whoever came in, and pid 1
/// of whoever was left.
fn has_parent_outside(world: &World, process: &Process) -> bool {
    world.parent(process.key).is_some_and(|parent| {
        parent.death().is_none() && !parent.roles.init && !parent.roles.subreaper && !is_watcher(parent.comm.bytes())
    })
}

/// The number of the pseudo-terminal that a process holds.
fn terminal(process: &Process) -> Option<u16> {
    process.look.and_then(|(_, look)| look.pts)
}

/// The end of the client that asked for a process.
struct Left {
    client: Identity,
    way: Way,
    is_alone: bool,
    at: BootNs,
    status: Option<ExitStatus>,
    seq: Option<Seq>,
}

/// `left` is how it came to be on its own, if that was seen.
fn finding(world: &World, process: &Process, left: Option<Left>) -> Finding {
    let (name, pts) = (process.identity(), terminal(process));
    let since = left.as_ref().map_or(world.now(), |left| left.at);
    let age_ns = world.now() - since;
    let place = world.place_of(&name);
    let lives = format!("{} lives on in {place}", words::short(&name));
    let (headline, client) = match &left {
        Some(Left { client, status, .. }) => {
            let (age, ended) = (seconds(age_ns), status.map_or_else(|| "was gone".to_owned(), words::ended));
            (
                format!("{lives} {age} after its client {ended}"),
                format!("{}, which asked for it, {ended} {age} ago", words::short(client)),
            )
        }
        None => (
            format!("{lives}, and no client of it can be found"),
            "no process on this machine looks like its client".to_owned(),
        ),
    };
    let confidence = match left {
        Some(Left { is_alone: true, .. }) => Confidence::Certain,
        Some(_) => Confidence::Incomplete(
            "several clients asked for the same command in this container, and it is not known which process belonged to \
             which client"
                .to_owned(),
        ),
        None => Confidence::Incomplete("neither its beginning nor its client was seen".to_owned()),
    };
    let is_run = left.as_ref().is_some_and(|left| left.way == Way::Run);
    let came = if is_run {
        format!("the first of {place}, which its client had started and was attached to")
    } else {
        format!("it entered {place} from outside")
    };
    let children = match world.children(process.key).count() as u64 {
        0 => String::new(),
        n => n.to_string(),
    };
    let notes = [
        Some(Note::new("process", format!("{}: {came}", words::who(&name)))),
        Some(Note::new("client", client)),
        pts.map(|pts| Note::new("holds", format!("the terminal /dev/pts/{pts}, which nobody reads any more"))),
        Note::maybe("children", children),
    ];
    let pid = name.key.tgid;
    Finding {
        confidence,
        headline,
        notes: notes.into_iter().flatten().collect(),
        fixes: vec![
            if is_run {
                "stop the container (docker stop, podman stop): nobody else will".to_owned()
            } else {
                format!("end it (kill -HUP {pid}, then kill -KILL {pid})")
            },
            "if a client may be killed, use a command that ends by itself (`timeout 1h COMMAND`, a shell with TMOUT, \
             a loop that reads its input and ends with it)"
                .to_owned(),
        ],
        evidence: left.iter().filter_map(|left| left.seq).collect(),
        facts: Facts::of(
            FACTS,
            [
                ("client", left.as_ref().map(|left| left.client).into()),
                ("client_status", left.and_then(|left| left.status).into()),
                ("pty", pts.map(|pts| format!("/dev/pts/{pts}")).into()),
                ("age_ns", age_ns.into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), since, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Stage;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, Roles, TaskInfo},
        host::Container,
        story::{Story, born, born_in, end, key, running, task},
    };

    const NS: u32 = 4_026_532_500;

    fn outsider(pid: u32, parent: u32) -> TaskInfo {
        TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..born_in(NS, pid, pid, parent) }
    }

    /// A shim (2) with a container called web (10).
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).exec(2, "containerd-shim").fork(born_in(NS, 10, 1, 2)).exec(10, "sleep");
        let web = Container { id: "0123456789abcdef".into(), name: Some("web".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web.clone()))).event(EventKind::Contained(key(10), web.id));
        story
    }

    /// A client (20), and a runtime that brings a shell (30) in for it.
    fn with_client(line: &str) -> Story {
        let mut story = container();
        story.fork(born(20, 1));
        story.exec(20, line);
        story.fork(born(25, 2)).exec(25, "runc").fork(outsider(30, 25));
        story.exec(30, "sh -c top");
        story.exit(end(25, 2, Adopter::Subreaper(task(2)))).free(25);
        story
    }

    fn killed(story: &mut Story, pid: u32) {
        story.exit(Exit { status: ExitStatus(9), ..end(pid, 1, Adopter::None) }).free(pid);
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    #[test]
    fn a_shell_outlives_the_client_that_was_killed() {
        let mut story = with_client("docker exec -it web sh -c top");
        story.wait(100, &[(30, b'S', 2)]);
        killed(&mut story, 20);
        story.wait(5_100, &[(30, b'S', 2)]);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert_eq!(
            finding.headline,
            "sh (pid 30) lives on in container web 5.1 s after its client was killed by SIGKILL"
        );
        let message = finding.message();
        assert!(message.contains("docker (pid 20), which asked for it, was killed by SIGKILL 5.1 s ago"), "{message}");
        story.exit(end(30, 2, Adopter::None));
        assert_eq!(found(&mut story)[0].stage, Stage::Resolved);
    }

    /// A client (20) that podman's watcher (22) belongs to, and its container (30); or one of docker's.
    fn ran(line: &str, is_podman: bool) -> Story {
        ran_with(line, is_podman, "sh -c top")
    }

    fn ran_with(line: &str, is_podman: bool, command: &str) -> Story {
        let mut story = Story::new();
        story.fork(born(5, 1)).exec(5, "containerd-shim").fork(born(20, 1)).exec(20, line);
        story.fork(born(21, 20)).exec(21, "conmon -c 0123").fork(born(22, 21));
        story.exit(end(21, 20, Adopter::NamespaceInit(task(1)))).free(21).wait(20, &[]);
        story.fork(born_in(NS, 30, 1, if is_podman { 22 } else { 5 }));
        let image = Some("busybox".to_owned());
        let job = Container { id: "0123456789abcdef".into(), name: Some("job".into()), image, ..Container::default() };
        story.event(EventKind::Container(Box::new(job.clone()))).event(EventKind::Contained(key(30), job.id));
        story.exec(30, command);
        story
    }

    #[test]
    fn the_words_of_a_command_are_no_options_of_the_client() {
        let mut story = ran_with("docker run --rm busybox server -d --name x", false, "server -d --name x");
        killed(&mut story, 20);
        story.wait(5_100, &[(30, b'S', 22)]);
        assert_eq!(found(&mut story).len(), 1);
    }

    #[test]
    fn a_container_outlives_the_client_that_had_started_it() {
        for (line, is_podman) in [
            ("podman run -t --rootfs /x sh -c top", true),
            ("docker run -it --name job alpine sh -c top", false),
            ("docker run --name=job alpine", false),
            ("docker run -it busybox sh -c top", false),
            ("docker run busybox", false),
            ("podman run -t --init busybox sh -c top -d", true),
        ] {
            let mut story = ran(line, is_podman);
            killed(&mut story, 20);
            story.wait(5_100, &[(30, b'S', 22)]);
            let [finding] = &found(&mut story)[..] else { panic!("{line}") };
            let message = finding.message();
            assert!(message.starts_with("sh (pid 30) lives on in container job 5.1 s after its client"), "{message}");
            assert!(message.contains("the first of container job, which its client had started"), "{message}");
            assert!(finding.fix().starts_with("stop the container"), "{}", finding.fix());
            story.exit(end(30, 22, Adopter::None));
            assert_eq!(found(&mut story)[0].stage, Stage::Resolved);
        }
    }

    #[test]
    fn a_container_that_was_left_on_purpose_or_is_another_ones_is_quiet() {
        for (line, is_podman) in [
            ("podman run -d --rootfs /x sh -c top", true),
            ("docker run -d --name job busybox", false),
            ("docker run --name other busybox sh -c top", false),
            ("docker run alpine sh -c top", false),
            ("docker run busybox sh -c ls", false),
            ("docker attach job", false),
        ] {
            let mut story = ran(line, is_podman);
            killed(&mut story, 20);
            story.wait(60_000, &[(30, b'S', 22)]);
            assert!(found(&mut story).is_empty(), "{line}");
        }
        for is_podman in [true, false] {
            let mut story = ran("docker run --name job busybox", is_podman);
            story.exit(end(20, 1, Adopter::None)).free(20).wait(60_000, &[(30, b'S', 22)]);
            assert!(found(&mut story).is_empty(), "it has detached by itself");
        }
    }

    #[test]
    fn what_its_client_waits_for_or_has_left_alone_is_quiet() {
        let mut story = with_client("docker exec -it web sh -c top");
        story.wait(60_000, &[(30, b'S', 2)]);
        assert!(found(&mut story).is_empty(), "the client lives");
        for line in [
            "docker exec -d web sh -c top",
            "docker exec -du root web sh -c top",
            "docker exec -it other sh -c top",
            "docker exec web sh -c ls",
        ] {
            let mut story = with_client(line);
            story.wait(100, &[(30, b'S', 2)]);
            killed(&mut story, 20);
            story.wait(60_000, &[(30, b'S', 2)]);
            assert!(found(&mut story).is_empty(), "{line}");
        }
        let mut story = with_client("docker exec -it web sh -c top");
        killed(&mut story, 20);
        story.exit(end(30, 2, Adopter::None)).free(30).wait(60_000, &[]);
        assert!(found(&mut story).is_empty(), "it ended soon");
    }

    #[test]
    fn a_client_that_was_only_not_found_is_taken_back() {
        let line = "docker exec -it web sh -c top";
        let mut story = with_client(line);
        story.wait(100, &[(30, b'S', 2)]);
        for _ in 0..2 {
            story.look(20, None).event(EventKind::Tick);
        }
        story.wait(5_100, &[(30, b'S', 2)]);
        assert_eq!(found(&mut story)[0].stage, Stage::New);
        story.exec(20, line);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert_eq!((finding.stage, &*finding.headline), (Stage::Withdrawn, "the client of sh (pid 30) lives"));
    }

    #[test]
    fn of_two_clients_with_equal_words_each_has_one_process() {
        let line = "docker exec -it web sh -c top";
        for (first, second) in [(20, 21), (21, 20)] {
            let mut story = with_client(line);
            story.fork(born(21, 1)).exec(21, line).fork(born(26, 2)).exec(26, "runc").fork(outsider(31, 26));
            story.exec(31, "sh -c top").exit(end(26, 2, Adopter::Subreaper(task(2)))).free(26);
            // One of them ends in order, whichever it is: its process, then it.
            story.exit(end(31, 2, Adopter::None)).free(31).exit(end(first, 1, Adopter::None)).free(first);
            story.wait(60_000, &[(30, b'S', 2)]);
            assert!(found(&mut story).is_empty(), "the other one lives");
            killed(&mut story, second);
            story.wait(5_100, &[(30, b'S', 2)]);
            let [finding] = &found(&mut story)[..] else { panic!() };
            assert!(matches!(finding.confidence, Confidence::Incomplete(_)) || (first, second) == (21, 20));
        }
    }

    #[test]
    fn the_value_of_an_option_is_not_taken_for_the_container() {
        let mut story = with_client("docker exec -u 0 -it web sh -c top");
        story.wait(100, &[(30, b'S', 2)]);
        killed(&mut story, 20);
        story.wait(5_100, &[(30, b'S', 2)]);
        assert_eq!(found(&mut story).len(), 1, "its id begins with 0");
    }

    #[test]
    fn nobody_is_left_whose_parent_lives_or_who_is_in_a_unit() {
        let looked = |ppid| crate::event::Look {
            key: key(30),
            found: Some(crate::event::Looked { state: b'S', ppid, pts: Some(3) }),
        };
        // nsenter (20), which lives.
        let mut story = container();
        let there = [born(1, 0), born(2, 1), born_in(NS, 10, 1, 2), born(20, 1), outsider(30, 20)];
        story.rows(&there.map(running));
        story.event(EventKind::Contained(key(30), "0123456789abcdef".into()));
        story.now += 5_100 * crate::story::MS;
        story.event(EventKind::Look(looked(20))).event(EventKind::Tick);
        assert!(found(&mut story).is_empty(), "its parent lives");
        let mut story = container();
        let session = Container { id: "session-3.scope".into(), engine: Engine::Systemd, ..Container::default() };
        story.event(EventKind::Container(Box::new(session))).rows(&[running(outsider(30, 2))]);
        story.event(EventKind::Contained(key(30), "session-3.scope".into()));
        story.now += 5_100 * crate::story::MS;
        story.event(EventKind::Look(looked(2))).event(EventKind::Tick);
        assert!(found(&mut story).is_empty(), "a unit is no container");
    }

    #[test]
    fn a_parent_outside_that_has_ended_was_a_client_too() {
        let mut story = container();
        story.fork(born(20, 1));
        story.exec(20, "nsenter -t 10 -p sh");
        story.fork(outsider(30, 20));
        story.exec(30, "sh");
        story.exit(Exit { status: ExitStatus(9), ..end(20, 1, Adopter::NamespaceInit(task(1))) });
        story.wait(20, &[(30, b'S', 1)]).wait(5_100, &[(30, b'S', 1)]);
        let [finding] = &found(&mut story)[..] else { panic!() };
        let message = finding.message();
        assert!(message.contains("nsenter (pid 20), which asked for it, was killed"), "{message}");
    }

    #[test]
    fn one_from_before_has_a_terminal_and_nobody_who_looks_like_its_client() {
        let mut story = container();
        story.event(EventKind::Row(Box::new(running(outsider(30, 2)))));
        story.event(EventKind::Contained(key(30), "0123456789abcdef".into()));
        story.now += 5_100 * crate::story::MS;
        let looked =
            |pts| crate::event::Look { key: key(30), found: Some(crate::event::Looked { state: b'S', ppid: 2, pts }) };
        story.event(EventKind::Look(looked(Some(3)))).event(EventKind::Tick);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(matches!(finding.confidence, Confidence::Incomplete(_)));
        assert!(finding.message().contains("/dev/pts/3"), "{}", finding.message());
    }

    #[test]
    fn where_no_client_was_seen_none_has_ended() {
        let mut story = container();
        story.event(EventKind::Row(Box::new(running(outsider(30, 2)))));
        story.event(EventKind::Contained(key(30), "0123456789abcdef".into()));
        story.now += 5_100 * crate::story::MS;
        let found_there = Some(crate::event::Looked { state: b'S', ppid: 2, pts: Some(3) });
        story.event(EventKind::Look(crate::event::Look { key: key(30), found: found_there })).event(EventKind::Tick);
        assert_eq!(found(&mut story).len(), 1);
        story.exit(end(30, 2, Adopter::None));
        let [over] = &found(&mut story)[..] else { panic!() };
        assert_eq!((over.stage, &over.headline[..]), (Stage::Resolved, "p30 (pid 30) has ended"));
    }
}
