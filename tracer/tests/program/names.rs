//! Names that lie, in everything that is printed: no output has a character that cannot be seen, a command for a
//! build server, or a line too many, and each name can be told from what stands around it.

use std::{fs, path::Path};

use jiff::tz::TimeZone;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use tempfile::TempDir;
use tracer::{
    console::style::Screen,
    detector::Detector,
    event::{Adopter, Event, EventKind, Exec, Exit, Roles, TaskInfo},
    filter::Filter,
    history::History,
    host::{Container, OutOfMemory},
    ident::{Args, Comm, commands, escape, is_visible, quote},
    kind::Kind,
    page::{self, About, Clock, live as live_page},
    report::{self, Report},
    signal::Signal,
    sink::{
        export::{csv::Csv, parquet::Parquet, perfetto::Perfetto},
        gate::Gate,
        json::Json,
        text::Text,
    },
    thresholds::Thresholds,
    tree::{self, Extract},
    why::{
        page::{print_recorded, print_recorded_json},
        recorded::{Follow, Provenance},
    },
};
use tracer_common::record::signal_flags;
use tracer_model::ident::lies::LIES;
use tracer_model::story::after_boot;

use crate::{
    bad_files::write,
    command_line::run,
    made::record,
    page::unpacked,
    story::{self, exit, fork, info, inner, key, live, row, signal, task, zombie_row},
};

/// What a story is told with.
type Names<'a> = &'a [&'a [u8]];

/// Nothing that anybody chose.
const PLAIN: Names<'static> = &[b"plain" as &[u8]; LIES.len()];

fn comm(name: &[u8]) -> Comm {
    let mut comm = [0; 16];
    let length = name.len().min(15);
    comm[..length].copy_from_slice(&name[..length]);
    Comm(comm)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// All that somebody can choose, of a recording that begins with it.
fn start(names: Names<'_>) -> EventKind {
    let EventKind::Start(mut info) = story::start() else { panic!("a story begins with its start") };
    let mut texts = names.iter().map(|name| text(name)).cycle();
    let mut next = || texts.next().unwrap();
    (info.version, info.kernel, info.boot_id) = (next(), next(), next());
    info.hooks = names.iter().map(|name| text(name)).collect();
    info.degraded = info.hooks.clone();
    info.arguments = info.hooks.clone();
    // The whole of it, in a line that begins with a command.
    info.host = format!("\n::error::x\r##[error]{}", info.hooks.concat());
    EventKind::Start(info)
}

fn container(number: usize, name: &[u8]) -> Container {
    let name = text(name);
    Container {
        id: format!("{number}{name}"),
        name: Some(name.clone()),
        image: Some(name.clone()),
        pod: Some(name.clone()),
        pod_namespace: Some(name.clone()),
        stop_signal: Some(name.clone()),
        pid_mode: Some(name),
        ..Container::default()
    }
}

/// For each name a container, a zombie in it, and a process outside, by that name.
fn snapshot(names: Names<'_>) -> Vec<EventKind> {
    let mut events = vec![EventKind::SnapshotBegin, row(info(1, 0, "init")), row(info(2, 1, "sh"))];
    let mut more = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let pid = 100 + 10 * i as u32;
        let comm = comm(name);
        let ns = tracer::ident::PidNs(4_026_533_000 + i as u32);
        let args = Args { bytes: [name, &b"\0"[..], name, b"\0"].concat().into(), cut: i % 2 == 0, ..Args::default() };
        let container = container(i, name);
        events.extend([
            row(TaskInfo { comm, ..info(pid, 1, "") }),
            row(TaskInfo { comm, pid_ns: ns, ..inner(pid + 1, 1, pid, "") }),
            zombie_row(TaskInfo { comm, pid_ns: ns, ..inner(pid + 2, 2, pid + 1, "") }, Some(5_000)),
            row(TaskInfo {
                comm,
                pid_ns: ns,
                roles: Roles { outsider: true, ..Roles::default() },
                ..inner(pid + 3, 3, pid, "")
            }),
        ]);
        more.extend([
            EventKind::CommandLine(key(pid), args.clone()),
            EventKind::CommandLine(key(pid + 1), args),
            EventKind::Contained(key(pid + 1), container.id.clone()),
            EventKind::Container(Box::new(container)),
        ]);
    }
    events.push(EventKind::SnapshotEnd);
    events.extend(more);
    events
}

/// What they then do: execute, orphan, signal, kill, end.
fn acts(names: Names<'_>) -> Vec<EventKind> {
    let mut events = Vec::new();
    let unkillable = signal_flags::UNKILLABLE | signal_flags::OUTSIDE;
    for (i, name) in names.iter().enumerate() {
        let pid = 100 + 10 * i as u32;
        let comm = comm(name);
        let args = Args { bytes: [name, &b"\0"[..], name].concat().into(), cut: true, ..Args::default() };
        let exec = Exec { task: task(pid + 4), comm, old_tid: pid + 4, args, mount_ns: 0, ignored: Some(0) };
        let ns = tracer::ident::PidNs(4_026_533_000 + i as u32);
        events.extend([
            fork(info(pid + 4, pid, "sh")),
            EventKind::Exec(Box::new(exec)),
            fork(TaskInfo { comm, ..info(pid + 5, pid + 4, "") }),
            fork(TaskInfo { comm, pid_ns: ns, ..inner(pid + 6, 4, pid + 1, "") }),
            signal(pid, pid + 1, Signal::TERM, unkillable, 1),
            signal(pid + 5, pid + 4, Signal::KILL, 0, 0),
            EventKind::Exit(Box::new(Exit {
                oom: true,
                adopter: Adopter::NamespaceInit(task(1)),
                ..exit(pid + 4, pid, 9)
            })),
            EventKind::OutOfMemory(key(pid + 4), OutOfMemory::Group(Some(text(name)))),
            signal(pid, pid + 1, Signal::KILL, signal_flags::OUTSIDE, 0),
            EventKind::Exit(Box::new(exit(pid + 1, pid, 9))),
            EventKind::Exit(Box::new(exit(pid + 6, pid + 1, 9))),
        ]);
    }
    events
}

fn story(names: Names<'_>) -> Vec<EventKind> {
    let mut events = vec![start(names)];
    events.extend(snapshot(names));
    events.extend(acts(names));
    events
}

/// Nothing but what can be seen, and no command in it.
fn assert_harmless(what: &str, text: &str) {
    for line in text.lines() {
        let bad = line.chars().find(|&c| !is_visible(c));
        assert_eq!(bad, None, "{what}: {line:?}");
        // Blanks before it do not keep a line from being a command; what else stands before `::` does.
        let line = line.trim_start();
        let command = commands(line).find(|&at| at == 0 || line.as_bytes()[at] == b'#');
        assert_eq!(command, None, "{what}: {line:?}");
    }
}

/// What puts similar findings together, which depends on names.
const FOLDED: [&str; 3] = ["few findings", "page", "live page"];

/// What all presenters make of a story: the name of each, and its text.
fn presented(events: &[EventKind]) -> Vec<(&'static str, String)> {
    let of = |out: Vec<u8>| String::from_utf8(out).unwrap();
    let text =
        |width| Text::new(Vec::new(), Screen { colour: false, width }, TimeZone::UTC, Filter::default(), &Kind::ALL);
    let (mut wide, mut narrow, mut few) = (text(None), text(Some(40)), text(None).few());
    let mut json = Json::new(Vec::new(), Filter::default(), &Kind::ALL);
    let mut csv = Vec::new();
    let mut gate = Gate::new(Filter::default(), Vec::new());
    let mut history = History::default();
    let world = live(
        events,
        &mut [&mut history, &mut wide, &mut narrow, &mut few, &mut json, &mut Csv::new(&mut csv), &mut gate],
    );
    let mut out = vec![
        ("text", of(wide.into_inner())),
        ("few findings", of(few.into_inner())),
        ("json", of(json.into_inner())),
        ("csv", of(csv)),
    ];
    // Lines are broken elsewhere where names have other lengths.
    assert_harmless("narrow text", &of(narrow.into_inner()));
    for (what, zombies) in [("tree", false), ("zombies", true)] {
        let mut lines = Vec::new();
        let screen = Screen { colour: false, width: None };
        tree::print_text(&world, Extract { ns: None, zombies }, screen, &mut lines).unwrap();
        out.push((what, of(lines)));
    }
    let mut lines = Vec::new();
    tree::print_json(&world, Extract::default(), &mut lines).unwrap();
    out.push(("tree as json", of(lines)));
    let EventKind::Start(start) = &events[0] else { panic!("a story begins with its start") };
    let about = About {
        file: "run.mcap".to_owned(),
        start,
        complaints: Vec::new(),
        clock: Clock::new(&TimeZone::UTC, start.wall_offset_ns, after_boot(100_000)),
        is_over: true,
    };
    let mut page = Vec::new();
    page::write(&mut page, &mut history, &about).unwrap();
    let page = of(page);
    // Its own, and no other.
    assert_eq!((page.matches("<script").count(), page.matches("<style").count()), (2, 1), "{page}");
    out.push(("page", page));
    let update = live_page::update(&mut history, &about).unwrap();
    out.extend([("live page", unpacked(&update.told)), ("what it draws", unpacked(&update.drawn))]);
    let mut annotations = Vec::new();
    report::write(&Report::Github, &gate, Path::new("run.mcap"), &mut annotations).unwrap();
    // The commands are ours, and what they say is not.
    let annotations = of(annotations);
    assert!(annotations.lines().all(|line| line.starts_with("::")), "{annotations}");
    out.push(("github", annotations.lines().flat_map(|line| ["#", &line[2..], "\n"]).collect()));
    let folder = TempDir::new().unwrap();
    for (what, kind) in [("junit", Report::Junit as fn(_) -> _), ("sarif", Report::Sarif)] {
        let path = folder.path().join(what);
        report::write(&kind(path.clone()), &gate, Path::new("run.mcap"), &mut Vec::new()).unwrap();
        out.push((what, fs::read_to_string(path).unwrap()));
    }
    out
}

#[test]
fn no_name_can_lie_in_any_output() {
    let plain = presented(&story(PLAIN));
    let lies = presented(&story(&LIES));
    for ((what, plain), (_, lies)) in plain.iter().zip(&lies) {
        assert_harmless(what, lies);
        // Findings of other names are put together elsewhere.
        if !FOLDED.contains(what) {
            assert_eq!(lies.lines().count(), plain.lines().count(), "{what}: a line is a record");
        }
    }
    let of = |what| lies.iter().find(|(name, _)| *name == what).unwrap().1.as_str();
    for (i, name) in LIES.iter().enumerate() {
        let pid = 101 + 10 * i;
        let name = comm(name);
        // In a sentence and in a tree it is quoted; in a cell or a field it is itself.
        let quoted = if name.bytes().is_empty() { "?".to_owned() } else { quote(name.bytes()) };
        for sentence in [
            format!("SIGTERM to {quoted} (pid {pid}) was dropped: "),
            format!("sent by     {quoted} (pid {})\n", pid - 1),
        ] {
            assert!(of("text").contains(&sentence), "{sentence}");
        }
        assert!(of("tree").contains(&format!("─ {quoted}  [")), "{quoted}");
        let cell = format!(",{pid},{},", key(pid as u32).start);
        let cell = of("csv").lines().find_map(|line| Some(line.split_once(&cell)?.1)).unwrap();
        let cell: (String, String) = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(cell.as_bytes())
            .into_records()
            .map(|row| row.unwrap())
            .map(|row| (row[0].to_owned(), row[1].to_owned()))
            .next()
            .unwrap();
        assert_eq!(cell.0.strip_prefix('\'').unwrap_or(&cell.0), name.escaped());
        let field = of("json").lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["process"]["pid"] == pid).then(|| line["process"]["comm"].clone())
        });
        assert_eq!(field.unwrap(), text(name.bytes()));
    }
    // What XML is read by is no friend of ours.
    junit_parser::from_reader(of("junit").as_bytes()).unwrap();
    serde_json::from_str::<serde_json::Value>(of("sarif")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_bytes_can_lie_in_any_output(names in prop::collection::vec(
        prop_oneof![prop::collection::vec(any::<u8>(), 0..16), any::<String>().prop_map(String::into_bytes)],
        12,
    )) {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let plain = presented(&story(&PLAIN[..names.len()]));
        for ((what, plain), (_, lies)) in plain.iter().zip(presented(&story(&names))) {
            assert_harmless(what, &lies);
            prop_assert!(*what == "few findings" || lies.lines().count() == plain.lines().count(), "{what}: {lies}");
        }
    }
}

#[test]
fn no_name_can_lie_on_a_page() {
    let events = story(&LIES);
    for i in 0..LIES.len() {
        let pid = 100 + 10 * i;
        for who in [pid, pid + 1, pid + 4] {
            let mut detector = Detector::new(&Thresholds::default());
            let mut follow = Follow::new(&who.to_string().parse().unwrap());
            for (at, kind) in (0..).zip(&events) {
                let event = Event { at: after_boot(100_000 + at * 10), cpu: 0, kind: kind.clone() };
                let (step, world) = detector.step(&event, &[]);
                follow.step(world, &step);
            }
            let page = follow.page(detector.world(), &file()).unwrap();
            let mut out = Vec::new();
            let screen = Screen { colour: false, width: Some(50) };
            print_recorded(detector.world(), &page, screen, &TimeZone::UTC, &mut out).unwrap();
            print_recorded_json(detector.world(), &page, &mut out).unwrap();
            assert_harmless("why", &String::from_utf8(out).unwrap());
        }
    }
}

#[test]
fn no_name_can_lie_to_readers_of_exports() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let mut perfetto = Vec::new();
    live(&story(&LIES), &mut [&mut Parquet::create(&out).unwrap(), &mut Perfetto::new(&mut perfetto)]);
    for table in fs::read_dir(&out).unwrap() {
        let reader = SerializedFileReader::new(fs::File::open(table.unwrap().path()).unwrap()).unwrap();
        let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
        for pair in about {
            assert_harmless(&pair.key, pair.value.as_deref().unwrap_or_default());
        }
        for row in reader.get_row_iter(None).unwrap() {
            for (column, value) in row.unwrap().get_column_iter() {
                if let parquet::record::Field::Str(text) = value {
                    assert_harmless(column, text);
                    assert!(!text.contains('\n'), "{column}: {text}");
                }
            }
        }
    }
    // Protocol buffers: text stands between numbers, which may look like anything.
    for name in LIES.iter().filter(|name| name.len() > 2 && escape(name).as_bytes() != **name) {
        if !name.starts_with(b"::") && !name.contains(&b'\\') {
            let is_in = perfetto.windows(name.len()).any(|bytes| bytes == *name);
            assert!(!is_in, "{}", escape(name));
        }
    }
}

/// The program itself, over a recording that somebody else has made.
#[test]
fn a_recording_and_its_name_cannot_lie() {
    let folder = TempDir::new().unwrap();
    let mut events = vec![start(&LIES)];
    events.extend(snapshot(&LIES));
    events.extend([
        EventKind::CommandStarted(key(110), Args { bytes: LIES.join(&0).into(), cut: true, ..Args::default() }),
        EventKind::Lost(tracer::event::Loss { unreadable: 1, ..Default::default() }),
        EventKind::Tick,
    ]);
    let EventKind::Start(info) = &events[0] else { panic!("a story begins with its start") };
    let info = serde_json::to_string(info).unwrap();
    let stream = |at: u64| (0..).zip(&events).flat_map(move |(n, kind)| record(at + n * 1_000, kind));
    let mut records: Vec<u8> = stream(100_000_000_000).collect();
    records.extend(record(110_000_000_000, &EventKind::Tick));
    for name in LIES.iter().filter(|name| !name.is_empty() && !name.contains(&b'/')).map(|name| text(name)) {
        let path = folder.path().join(format!("{name}.mcap"));
        fs::write(&path, "no trace").unwrap();
        let path = path.to_str().unwrap();
        let refused = run(&["replay", path]);
        assert_eq!(refused.status.code(), Some(1));
        assert_harmless("a file's name", std::str::from_utf8(&refused.stderr).unwrap());
        let wrong = run(&["replay", "--pid", &name, &format!("--{name}")]);
        assert_eq!(wrong.status.code(), Some(2));
        assert_harmless("usage", std::str::from_utf8(&wrong.stderr).unwrap());
        let missing = run(&["why", &format!("container:{name}"), path]);
        assert_harmless("why", std::str::from_utf8(&missing.stderr).unwrap());
    }
    let path = folder.path().join("\u{1b}[31m\n::error::x\u{202e}.mcap");
    write(&path, &info, &[records]);
    let path = path.to_str().unwrap();
    for arguments in [
        &["replay", path, "--events"][..],
        &["replay", path, "--events", "-o", "json"],
        &["tree", path],
        &["tree", path, "-o", "json"],
        &["tree", path, "--zombies"],
        &["dump", path],
        &["dump", path, "-o", "json"],
        &["why", "101", path],
        &["why", "101", path, "-o", "json"],
        &["why", "9", path],
        &["report", path],
        &["export", path, "--to", "csv"],
        &["export", path, "--to", "jsonl"],
    ] {
        let output = run(arguments);
        let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(said.len() + told.len() > 100, "{arguments:?}: {said}{told}");
        assert_harmless(arguments[0], &said);
        assert_harmless(arguments[0], &told);
    }
}

fn file() -> Provenance {
    Provenance::File("run.mcap".into())
}
