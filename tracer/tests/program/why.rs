//! `tracer why`, of recordings and of this machine.

use std::{
    fs::File,
    process::{Command, Output, Stdio},
};

use jiff::tz::TimeZone;
use tracer::{
    console::style::Screen,
    detector::Detector,
    event::{Adopter, Event, EventKind, Exit, TaskInfo},
    host::Container,
    signal::Signal,
    thresholds::Thresholds,
    why::{
        Missing, WhoArg,
        page::{print_recorded, print_recorded_json},
        recorded::{Follow, Page, Provenance, Reason},
    },
};
use tracer_common::record::signal_flags;
use tracer_model::story::after_boot;

use crate::{
    command_line::{run, stdout, tracer},
    json,
    recordings::format,
    story::{self, HOSTILE, exec, exit, fork, info, inner, key, row, task},
};

/// Lives through events, one every 10 ms, and tells of somebody; of a program or a unit after a second reading.
fn page(events: &[EventKind], who: &str) -> Result<(Detector, Page), Missing> {
    let who = who.parse().unwrap();
    let mut follow = Follow::new(&who);
    let mut detector = follow_all(events, &mut follow);
    if let Some(meant) = follow.meant(detector.world(), &file())? {
        follow = Follow::only(&who, meant);
        detector = follow_all(events, &mut follow);
    }
    let page = follow.page(detector.world(), &file())?;
    Ok((detector, page))
}

fn follow_all(events: &[EventKind], follow: &mut Follow) -> Detector {
    let mut detector = Detector::new(&Thresholds::default());
    for (i, kind) in (0..).zip(events) {
        let event = Event { at: after_boot(100_000 + i * 10), cpu: 0, kind: kind.clone() };
        let (step, world) = detector.step(&event, &[]);
        follow.step(world, &step);
    }
    detector
}

fn shown(events: &[EventKind], who: &str) -> Page {
    page(events, who).unwrap().1
}

fn refused(events: &[EventKind], who: &str) -> String {
    page(events, who).err().unwrap().to_string()
}

fn text(events: &[EventKind], who: &str, screen: Screen) -> String {
    let (detector, page) = page(events, who).unwrap();
    let mut out = Vec::new();
    print_recorded(detector.world(), &page, screen, &TimeZone::UTC, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn line(events: &[EventKind], who: &str) -> String {
    let (detector, page) = page(events, who).unwrap();
    let mut out = Vec::new();
    print_recorded_json(detector.world(), &page, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(json::parse(&text), "whyrecording");
    text
}

const NARROW: Screen = Screen { colour: false, width: Some(80) };

/// Everything in the container `web`.
fn contained() -> Vec<EventKind> {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend(story::container());
    events.extend([
        story::signal(10, 50, Signal::INT, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1),
        fork(inner(130, 9, 60, "sh")),
        exec(130, HOSTILE, b"/bin/evil\0\x1b]0;x\x07\0\xe2\x80\xae\xff\0"),
    ]);
    events
}

#[test]
fn an_init_that_dropped_its_signals() {
    insta::assert_snapshot!(stdout(&["why", "173", &format(1)]));
}

#[test]
fn an_orphan_and_its_main_thread() {
    insta::assert_snapshot!(stdout(&["why", "216", &format(1)]));
}

#[test]
fn a_container_by_its_name_or_the_beginning_of_its_id() {
    let by_name = text(&contained(), "web", NARROW);
    assert_eq!(by_name, text(&contained(), "0f1e2d", NARROW));
    assert_eq!(by_name, text(&contained(), "50", NARROW));
    insta::assert_snapshot!(by_name);
}

#[test]
fn every_process_of_a_recording_has_a_page() {
    for mut events in [story::everything(), story::endings(), contained()] {
        events.push(EventKind::Tick);
        for pid in [1, 2, 10, 40, 50, 55, 60, 70, 100, 110, 111, 130, 300, 310, 320, 321, 330] {
            if page(&events, &pid.to_string()).is_err() {
                continue;
            }
            line(&events, &pid.to_string());
            let text = text(&events, &pid.to_string(), NARROW);
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert!(!text.contains('\u{202e}'));
            let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= 80, "{widest}");
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let coloured = text(&contained(), "web", Screen { colour: true, ..NARROW });
    assert!(coloured.contains("\x1b["));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text(&contained(), "web", NARROW));
}

#[test]
fn the_json_says_the_same() {
    let line: serde_json::Value = serde_json::from_str(&line(&contained(), "web")).unwrap();
    assert_eq!(line["process"]["pid"], 50);
    assert_eq!(line["container"]["name"], "web");
    assert_eq!(line["state"], "running");
    // The container's own stop signal is SIGINT.
    assert_eq!((&line["stop"]["signal"], &line["stop"]["verdict"]), (&"SIGINT".into(), &"no-handler".into()));
    assert_eq!(line["zombies"][0]["process"]["comm"], "worker");
    assert_eq!(line["findings"][0]["finding"]["rule"], "init-ignored-signal");
}

#[test]
fn equal_signals_are_one_and_what_is_too_much_is_counted() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    for _ in 0..5 {
        events.push(story::signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE, 1));
    }
    for pid in 200..300 {
        events
            .extend([fork(info(pid, 1, "sender")), story::signal(pid, 50, Signal::QUIT, signal_flags::UNKILLABLE, 1)]);
    }
    let line: serde_json::Value = serde_json::from_str(&line(&events, "50")).unwrap();
    let signals = line["signals"].as_array().unwrap();
    assert_eq!((&signals[0]["signal"], &signals[0]["count"]), (&"SIGTERM".into(), &5.into()));
    assert_eq!((signals.len(), &line["signals_left_out"]), (40, &61.into()));
    let text = text(&events, "50", NARROW);
    assert!(text.contains("SIGTERM from bash (pid 10), 5 times until 10:00:00"), "{text}");
    assert!(text.contains("61 other signals in between, left out here"), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let text = text(&story::everything(), "10", Screen::default());
    assert!(text.contains("1204 records missing from its lifetime"), "{text}");
    let mut events = vec![story::start(), story::loss(1, 0, 0)];
    events.extend(story::snapshot());
    events.push(fork(info(200, 1, "late")));
    let text = self::text(&events, "200", Screen::default());
    assert!(text.contains("1 record missing from the recording, but none from its lifetime"), "{text}");
}

#[test]
fn of_a_pid_that_was_used_again_the_last_owner_is_shown_and_the_others_named() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    let later =
        TaskInfo { key: tracer::ident::ProcKey { start: after_boot(100_200), tgid: 200 }, ..info(200, 1, "second") };
    events.extend([
        fork(info(200, 1, "first")),
        EventKind::Exit(Box::new(exit(200, 1, 0))),
        EventKind::Free(task(200)),
        fork(later),
    ]);
    let told = text(&events, "200", NARROW);
    assert!(told.starts_with("second (pid 200)\n"), "{told}");
    assert!(told.contains("chosen        of 2 processes with pid 200: it is the last of them; the other\n"), "{told}");
    let others = "\nOthers\n  2026-11-22 09:58:21  first (pid 200): ended with code 0 at 10:00:00.140\n  To see one of them, \
                  give a moment at which it was there: tracer why\n  200@2026-11-22T09:58:21 run.mcap\n";
    assert!(told.contains(others), "{told}");
    // The first had it at any moment before the second was born.
    for (at, name) in [(after_boot(100_100), "first"), (after_boot(100_200), "second")] {
        let mut follow = Follow::new(&"200@+1s".parse().unwrap()).had_at(Some(at));
        let detector = follow_all(&events, &mut follow);
        let page = follow.page(detector.world(), &file()).unwrap();
        assert_eq!((page.life.process.comm, page.other_count), (name.into(), 1));
    }
    let mut follow = Follow::new(&"200@+1s".parse().unwrap()).had_at(Some(after_boot(199)));
    let detector = follow_all(&events, &mut follow);
    let error = follow.page(detector.world(), &file()).err().unwrap().to_string();
    assert!(
        error.starts_with("there is no process with pid 200 in the recording run.mcap at that moment; "),
        "{error}"
    );
}

#[test]
fn a_container_in_the_pid_namespace_of_another_is_its_first_process() {
    let mut events = contained();
    let joined = Container { id: "beef".repeat(16), name: Some("joined".into()), ..Container::default() };
    events.extend([
        EventKind::Container(Box::new(joined.clone())),
        row(inner(65, 22, 40, "sidecar")),
        EventKind::Contained(key(65), joined.id),
        fork(inner(66, 23, 65, "child")),
    ]);
    assert!(text(&events, "joined", NARROW).starts_with("sidecar (pid 65, pid 22 in namespace 4026532841)\n"));
    assert!(text(&events, "web", NARROW).starts_with("sleep (pid 50, pid 1 in namespace 4026532841)\n"));
}

#[test]
fn an_adoption_says_who_died_and_why_it_was_this_one() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        fork(info(200, 10, "middle")),
        fork(info(201, 200, "leaf")),
        EventKind::Exit(Box::new(Exit { adopter: Adopter::Subreaper(task(40)), ..exit(200, 10, 0) })),
        EventKind::Adopt(tracer::event::Adopt { child: task(201), from: task(200), to: task(40) }),
    ]);
    let line: serde_json::Value = serde_json::from_str(&line(&events, "201")).unwrap();
    let adoption = &line["parents"][1];
    assert_eq!((&adoption["parent"]["pid"], &adoption["dead_parent"]["pid"]), (&40.into(), &200.into()));
    assert_eq!((&adoption["adopter_class"], &adoption["adopter_known"]), (&"subreaper".into(), &"exact".into()));
}

#[test]
fn who_is_not_there_is_told_with_those_who_are() {
    let error = |who: &str| page(&contained(), who).err().unwrap().to_string();
    assert_eq!(
        error("4242"),
        "there is no process with pid 4242 in the recording run.mcap; `tracer tree run.mcap` lists all processes of \
         its end, `--at WHEN` those of a moment"
    );
    assert_eq!(
        error("7"),
        "no process has pid 7 in the recording run.mcap, but inside of pid namespaces there is one: worker (pid 55, \
         pid 7 in namespace 4026532841) of web (\"evil\\x1b[2J:1\", docker 0f1e2d3c4b5a); ask for it by its pid on the \
         host: tracer why 55 run.mcap"
    );
    let unknown = error("shop");
    assert!(
        unknown.starts_with(
            "no container, unit or program in the recording run.mcap is called shop; containers are web ("
        ),
        "{unknown}"
    );
    let mut events = contained();
    events.push(EventKind::Container(Box::new(Container {
        id: format!("0f1e{}", "0".repeat(60)),
        ..Container::default()
    })));
    let ambiguous = page(&events, "0f1e").err().unwrap().to_string();
    assert!(ambiguous.starts_with("0f1e can mean any of 2 containers in the recording run.mcap: web ("), "{ambiguous}");
    let empty = page(&events, "0f1e0").err().unwrap().to_string();
    assert!(empty.starts_with("no process of the container 0f1e0 is known in the recording run.mcap"), "{empty}");
}

/// Bash with two servers, of which the first is killed.
fn servers(second: &str) -> Vec<EventKind> {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        fork(info(200, 10, "bash")),
        exec(200, "myserver", b"./myserver\0--one\0"),
        fork(info(201, 10, "bash")),
        exec(201, second, b"/opt/second\0"),
        EventKind::Exit(Box::new(exit(200, 10, 9))),
        EventKind::Free(task(200)),
    ]);
    events
}

#[test]
fn a_program_by_its_name_has_its_whole_life() {
    let page = shown(&servers("other"), "myserver");
    assert_eq!((page.life.process.key, page.other_count, page.reason), (key(200), 0, Reason::Asked));
    assert!(page.life.reaped.is_some());
    // By the name of its file, too.
    assert_eq!(shown(&servers("other"), "second").life.process.key, key(201));
}

#[test]
fn of_several_programs_of_a_name_the_one_is_shown_that_ended_badly_and_the_others_are_named() {
    let mut events = servers("myserver");
    let told = text(&events, "myserver", NARROW);
    assert!(told.starts_with("myserver (pid 200)\n"), "{told}");
    let chosen = "chosen        of 2 processes called myserver: a signal ended it; the other is";
    assert!(told.contains(chosen), "{told}");
    let others = "\nOthers\n  2026-11-22 09:58:21  myserver (pid 201): it lives\n  To see one of them, give its pid: \
                  tracer why 201 run.mcap. If the pid";
    assert!(told.contains(others), "{told}");
    let line: serde_json::Value = serde_json::from_str(&line(&events, "myserver")).unwrap();
    assert_eq!((&line["chosen"], &line["others"][0]["status"]), (&"killed".into(), &serde_json::Value::Null));
    // The second ends badly as well: the worse end, then the later.
    events.push(EventKind::Exit(Box::new(exit(201, 10, 1 << 8))));
    assert_eq!(shown(&events, "myserver").life.process.key, key(200));
    for (status, (chosen, reason)) in
        [(9, (key(202), Reason::Killed)), (15, (key(200), Reason::Killed)), (0, (key(200), Reason::Killed))]
    {
        let mut events = events.clone();
        events.extend([fork(info(202, 10, "bash")), exec(202, "myserver", b"./myserver\0")]);
        events.push(EventKind::Exit(Box::new(exit(202, 10, status))));
        let page = shown(&events, "myserver");
        assert_eq!((page.life.process.key, page.reason, page.other_count), (chosen, reason, 2));
    }
}

#[test]
fn of_those_that_ended_well_the_one_is_shown_that_started_the_others_or_lives_or_is_the_last() {
    let begin = || {
        let mut events = vec![story::start()];
        events.extend(story::snapshot());
        events.extend([fork(info(300, 10, "bash")), exec(300, "master", b"./master\0")]);
        events
    };
    let chosen = |events: &[EventKind]| {
        let page = shown(events, "master");
        (page.life.process.key, page.reason, page.other_count)
    };
    let ends = |pid| EventKind::Exit(Box::new(exit(pid, 300, 0)));
    let mut family = begin();
    family.extend([fork(info(301, 300, "master")), fork(info(302, 300, "master"))]);
    assert_eq!(chosen(&family), (key(300), Reason::First, 2));
    // Workers that end are no reason to ask for them.
    family.extend([ends(301), ends(302)]);
    assert_eq!(chosen(&family), (key(300), Reason::Alive, 2));
    let mut again = begin();
    again.extend([
        ends(300),
        EventKind::Free(task(300)),
        fork(info(310, 10, "bash")),
        exec(310, "master", b"./master\0"),
    ]);
    assert_eq!(chosen(&again), (key(310), Reason::Alive, 1));
    again.push(EventKind::Exit(Box::new(exit(310, 10, 0))));
    assert_eq!(chosen(&again), (key(310), Reason::Last, 1));
}

#[test]
fn each_of_many_victims_has_the_finding_on_its_page() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    for pid in 200..250 {
        events.extend([fork(info(pid, 10, "bash")), exec(pid, "victim", b"./victim\0")]);
    }
    for pid in 200..250 {
        events.push(story::signal(10, pid, Signal::KILL, 0, 0));
        events.push(EventKind::Exit(Box::new(exit(pid, 10, 9))));
    }
    // Close together, so that it is one finding; then time passes.
    let live = |follow: &mut Follow| {
        let mut detector = Detector::new(&Thresholds::default());
        let last = (after_boot(101_000), EventKind::Tick);
        for (at, kind) in events.iter().map(|kind| (after_boot(100_000), kind.clone())).chain([last]) {
            let event = Event { at, cpu: 0, kind };
            let (step, world) = detector.step(&event, &[]);
            follow.step(world, &step);
        }
        detector
    };
    let rules = |page: &Page| page.life.findings.iter().map(|(finding, _)| finding.rule.name).collect::<Vec<_>>();
    for pid in 200..250 {
        let mut follow = Follow::new(&WhoArg::Pid(pid, None));
        let detector = live(&mut follow);
        assert_eq!(rules(&follow.page(detector.world(), &file()).unwrap()), ["killed-by"], "{pid}");
    }
    let who = "victim".parse().unwrap();
    let mut follow = Follow::new(&who);
    let detector = live(&mut follow);
    let meant = follow.meant(detector.world(), &file()).unwrap().unwrap();
    let mut follow = Follow::only(&who, meant);
    let detector = live(&mut follow);
    let page = follow.page(detector.world(), &file()).unwrap();
    assert_eq!((rules(&page), page.other_count, page.others.len()), (vec!["killed-by"], 49, 10));
}

/// A service of which the first process leaves its work to another; and one of the same name in a user's manager.
fn units() -> Vec<EventKind> {
    let unit = |id: &str| Container { id: id.into(), engine: tracer::host::Engine::Systemd, ..Container::default() };
    let (ours, theirs) = ("nginx.service", "user@1000.service/app-a\\x2db.service");
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        EventKind::Container(Box::new(unit(ours))),
        fork(info(200, 1, "(nginx)")),
        EventKind::Contained(key(200), ours.into()),
        exec(200, "nginx", b"/usr/sbin/nginx\0"),
        fork(info(201, 200, "nginx")),
        fork(info(202, 201, "nginx")),
        EventKind::Exit(Box::new(Exit { adopter: Adopter::NamespaceInit(task(1)), ..exit(200, 1, 0) })),
        EventKind::Adopt(tracer::event::Adopt { child: task(201), from: task(200), to: task(1) }),
        EventKind::Free(task(200)),
        EventKind::Container(Box::new(unit(theirs))),
        fork(info(210, 1, "(app)")),
        EventKind::Contained(key(210), theirs.into()),
        exec(210, "app", b"/bin/app\0"),
        EventKind::Exit(Box::new(exit(202, 201, 0))),
        EventKind::Free(task(202)),
        EventKind::Exit(Box::new(exit(201, 1, 9))),
        EventKind::Free(task(201)),
    ]);
    events
}

#[test]
fn a_unit_is_its_main_process_by_any_of_its_names() {
    for who in ["nginx.service", "\"nginx.service\""] {
        let page = shown(&units(), who);
        assert_eq!((page.life.process.key, page.reason), (key(201), Reason::Killed), "{who}");
        assert_eq!(
            page.others.iter().map(|other| other.process.key).collect::<Vec<_>>(),
            [key(200)],
            "no worker: {who}"
        );
    }
    for who in
        ["user@1000.service/app-a\\x2db.service", "app-a\\x2db.service", "\"app-a\\\\x2db.service\"", "app-a\\x2db"]
    {
        assert_eq!(shown(&units(), who).life.process.key, key(210), "{who}");
    }
    assert!(text(&units(), "nginx.service", NARROW).contains("\n  unit          nginx.service (systemd)\n"));
}

#[test]
fn of_units_of_one_name_the_machines_is_meant_and_of_users_nobodys() {
    let unit = |id: &str| Container { id: id.into(), engine: tracer::host::Engine::Systemd, ..Container::default() };
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    let mut add = |pid, id: &str| {
        events.extend([
            EventKind::Container(Box::new(unit(id))),
            fork(info(pid, 1, "x")),
            EventKind::Contained(key(pid), id.into()),
            exec(pid, "program", b"/bin/program\0"),
        ]);
        events.clone()
    };
    add(200, "user@1.service/a.service");
    let both = add(201, "user@2.service/a.service");
    assert_eq!(
        refused(&both, "a.service"),
        "a.service can mean any of 2 units in the recording run.mcap: user@1.service/a.service, \
         user@2.service/a.service; give all of the name"
    );
    let three = add(202, "a.service");
    assert_eq!(shown(&three, "a.service").life.process.key, key(202));
    // The name of a program goes before that of a unit that does not say so.
    let four = add(203, "program.service");
    assert_eq!(shown(&four, "program").other_count, 3);
    assert_eq!(shown(&four, "program.service").life.process.key, key(203));
}

#[test]
fn names_are_whole_and_may_be_written_as_they_are_printed() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        fork(info(200, 10, "bash")),
        exec(200, "tmux: server", b"tmux\0"),
        fork(info(201, 10, "bash")),
        exec(201, HOSTILE, b"/x\0"),
    ]);
    for who in ["tmux: server", "\"tmux: server\""] {
        assert_eq!(shown(&events, who).life.process.key, key(200), "{who}");
    }
    let hostile = shown(&events, "201").life.process.comm.to_string();
    assert_eq!(shown(&events, &hostile).life.process.key, key(201), "{hostile}");
}

#[test]
fn a_name_that_nobody_had_is_refused_with_those_that_are_like_it() {
    let error = refused(&servers("other"), "myservr");
    assert!(error.contains("is called myservr; names that are like it are myserver; `tracer tree FILE`"), "{error}");
    let error = refused(&units(), "ngnix.service");
    assert!(error.contains("names that are like it are nginx.service; "), "{error}");
    let error = refused(&servers("other"), "\x1b[1mserver");
    assert!(!error.contains('\x1b'), "{error}");
}

#[test]
fn a_container_that_was_started_again_is_the_one_that_ended_badly() {
    let mut events = contained();
    let web = events.iter().find_map(|event| match event {
        EventKind::Container(container) => Some(container.id.clone()),
        _ => None,
    });
    events.extend([
        EventKind::Exit(Box::new(exit(50, 40, 9))),
        EventKind::Free(task(50)),
        fork(TaskInfo { pid_ns: story::NESTED, ..inner(400, 1, 40, "sleep") }),
        EventKind::Contained(key(400), web.unwrap()),
        exec(400, "sleep", b"sleep\0"),
    ]);
    let page = shown(&events, "web");
    assert_eq!((page.life.process.key, page.reason, page.other_count), (key(50), Reason::Killed, 1));
    assert_eq!(page.others[0].process.key, key(400));
}

fn fails(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn errors_say_what_to_do() {
    let recording = format(1);
    assert!(fails(&["why", "4000000", &recording]).contains("there is no process with pid 4000000 in the recording"));
    assert!(fails(&["why", "web", &recording]).contains("no container, unit or program in the recording"));
    assert!(fails(&["why", "1", "/nowhere.mcap"]).starts_with("tracer: cannot read the trace /nowhere.mcap: "));
    assert!(fails(&["why", "1", "Cargo.toml"]).contains("it is no trace"));
    assert!(fails(&["why", "4000000"]).contains("only a recording can tell of it: tracer record -o FILE"));
    assert!(
        fails(&["why", "no-such-container"])
            .contains("no container, unit or program on this host is called no-such-container; ")
    );
}

#[test]
fn a_moment_in_the_middle_knows_nothing_of_what_came_later() {
    let text = stdout(&["why", "173", &format(1), "--at", "+6s"]);
    assert!(text.contains("\n  state         alive\n"), "{text}");
    assert!(text.contains("it still runs"), "{text}");
}

#[test]
fn a_recording_from_standard_input() {
    let file = File::open(format(1)).unwrap();
    let output = tracer(&["why", "173", "-", "-o", "json"]).stdin(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(json::parse(&text), "whyrecording");
    let named = stdout(&["why", "173", &format(1), "-o", "json"]);
    assert_eq!(text, named.replacen(&format(1), "-", 1));
}

/// A child that waits for the end of its input.
fn cat() -> std::process::Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_process_of_this_machine() {
    let mut child = cat();
    let pid = child.id().to_string();
    let text = stdout(&["why", &pid]);
    let line: serde_json::Value = {
        let said = stdout(&["why", &pid, "-o", "json"]);
        // What an agent on this machine remembers follows.
        let line = said.lines().next().unwrap();
        assert_eq!(json::parse(line), "whymachine");
        serde_json::from_str(line).unwrap()
    };
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(text.starts_with(&format!("cat (pid {pid})\n")), "{text}");
    assert!(text.contains("child of      ") && text.contains(&std::process::id().to_string()), "{text}");
    assert!(text.contains("so the default action ends it"), "{text}");
    let has_recorder = std::fs::read_dir("/run/tracer").is_ok_and(|mut sockets| sockets.next().is_some());
    assert!(has_recorder || text.contains(&format!("tracer why {pid} FILE")), "{text}");
    assert_eq!(line["parents"][0]["pid"], std::process::id());
    assert_eq!((&line["acts"], &line["signal"]), (&true.into(), &"SIGTERM".into()));
}

#[test]
fn a_zombie_and_who_owes_it_a_wait() {
    let mut child = cat();
    let pid = child.id();
    drop(child.stdin.take());
    let is_zombie = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ");
    while !is_zombie() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let zombie = stdout(&["why", &pid.to_string()]);
    let parent = stdout(&["why", &std::process::id().to_string()]);
    child.wait().unwrap();
    assert!(zombie.contains("zombie: it has ended, and ") && zombie.contains("has ended already"), "{zombie}");
    let owes = parent.lines().find(|line| line.contains("owes a wait")).unwrap();
    assert!(owes.contains(&format!("cat (pid {pid})")), "{parent}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = tracer(&["why", "1", &format(1)]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stderr), (Some(0), Vec::new()));
}

#[test]
fn who_is_asked_for_reads_back() {
    assert_eq!(WhoArg::Pid(7, None).to_string(), "7");
    assert_eq!(WhoArg::Name("web".into()).to_string(), "web");
    assert_eq!(WhoArg::Name("\"tmux: server\"".into()).to_string(), "tmux: server");
}

fn file() -> Provenance {
    Provenance::File("run.mcap".into())
}
