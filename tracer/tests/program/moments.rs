//! Moments and parts of a recording: the world as it was, whatever its size and whatever the order of the
//! records; and whom filters mean.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;
use tracer::{
    detector::Detector,
    event::{End, Event, EventKind, TaskInfo},
    ident::{Args, PidNs, ProcKey},
    source::{encode::image, trace::Trace},
    thresholds::Thresholds,
    time::BootNs,
    trace::{difference::Known, writer::Writer},
    world::World,
};

use crate::{
    made::record,
    story::{exit, fork, info, inner, key, row, start, task},
};

const S: u64 = 1_000_000_000;
/// The pid namespace of a container that comes and goes.
const NS: u32 = 4_026_532_077;

/// A trace that is being written, and the world that it tells of.
struct Recording {
    folder: TempDir,
    path: PathBuf,
    writer: Writer,
    detector: Detector,
}

impl Recording {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("run.mcap");
        let EventKind::Start(info) = start() else { panic!("a story begins with its start") };
        let writer = Writer::create(File::create_new(&path).unwrap(), &info).unwrap();
        let mut recording = Self { folder, path, writer, detector: Detector::new(&Thresholds::default()) };
        recording.event(S, start());
        recording
    }

    fn event(&mut self, at: u64, kind: EventKind) {
        let record = record(at, &kind);
        self.detector.step(&Event { at: BootNs(at), cpu: 0, kind }, &record);
        self.writer.record(self.detector.world().now(), &record).unwrap();
    }

    fn events(&mut self, events: impl IntoIterator<Item = (u64, EventKind)>) {
        events.into_iter().for_each(|(at, kind)| self.event(at, kind));
    }

    fn keyframe(&mut self) {
        let world = self.detector.world();
        self.writer.keyframe(world.now(), &image(world)).unwrap();
    }

    /// What has changed since `known`.
    fn changes(&mut self, known: &mut Known) {
        let world = self.detector.world();
        let difference = known.difference(&image(world));
        self.writer.changes(world.now(), &difference.records).unwrap();
        known.learn(difference);
    }

    /// Closes it, with the end at that time.
    fn end(mut self, at: u64) -> (TempDir, PathBuf) {
        self.event(at, EventKind::End(End::default()));
        self.writer.finish().unwrap();
        (self.folder, self.path)
    }
}

fn tracer(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg(arguments[0]).arg(file).args(&arguments[1..]).env("TZ", "UTC").output().unwrap()
}

/// The pids that `tracer tree FILE -o json` lists.
fn tree(file: &Path, arguments: &[&str]) -> Vec<u64> {
    let output = tracer(&[&["tree", "-o", "json"], arguments].concat(), file);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["pid"].as_u64().unwrap())
        .collect()
}

/// Plays the end of a file from its last image of the world on.
fn end_of(path: &Path) -> (Detector, usize) {
    let mut trace = Trace::open(path).unwrap();
    let mut detector = Detector::new(&Thresholds::default());
    trace.seek(BootNs::MAX).unwrap();
    let mut played = 0;
    trace
        .play_until(BootNs::MAX, |event, record| {
            detector.step(event, record);
            played += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    (detector, played)
}

fn commands(world: &World) -> BTreeMap<ProcKey, Args> {
    world.processes().map(|process| (process.key, process.args.clone())).collect()
}

/// A machine with that many processes, each with so many bytes of arguments: written as they are, then as
/// an image; one dies after each of two.
fn large(processes: u32, bytes: usize) -> Recording {
    let mut recording = Recording::new();
    recording.event(S, EventKind::SnapshotBegin);
    recording.event(S, row(info(1, 0, "init")));
    let pids = 2..processes + 1;
    recording.events(pids.clone().map(|pid| (S, row(info(pid, 1, "worker")))));
    let args = |pid: u32| Args { bytes: format!("{pid}{}", "x".repeat(bytes)).into_bytes().into(), ..Args::default() };
    if bytes > 0 {
        recording.events(pids.map(|pid| (S, EventKind::CommandLine(key(pid), args(pid)))));
    }
    recording.event(S, EventKind::SnapshotEnd);
    recording.keyframe();
    for (at, pid) in [(2 * S, 2), (3 * S, 3)] {
        recording.event(at, EventKind::Exit(Box::new(exit(pid, 1, 0))));
        recording.event(at, EventKind::Free(task(pid)));
        recording.keyframe();
    }
    recording
}

#[test]
fn an_image_of_a_large_world_is_one_keyframe_however_many_chunks_it_needs() {
    for (processes, bytes) in [(5_000, 480), (50_000, 0)] {
        let recording = large(processes, bytes);
        let want = commands(recording.detector.world());
        assert_eq!(want.len() as u32, processes - 2);
        let (_folder, path) = recording.end(4 * S);
        let (detector, played) = end_of(&path);
        assert!(commands(detector.world()) == want, "{} of {processes}", detector.world().process_count());
        assert!(detector.world().is_whole());
        // The image with its beginning and end, before it the start, and after it the end.
        assert!(played <= (processes as usize - 2) * 2 + 4, "not from the last image on: {played}");
        let count = tree(&path, &["--at", "+1.5s"]).len() as u32;
        assert_eq!(count, processes - 1, "{bytes}");
    }
}

#[test]
fn what_has_changed_since_an_image_is_put_into_it() {
    let mut recording = Recording::new();
    recording.event(S, EventKind::SnapshotBegin);
    recording.event(S, row(info(1, 0, "init")));
    recording.events((2..4_001).map(|pid| (S, row(info(pid, 1, "worker")))));
    recording.event(S, EventKind::SnapshotEnd);
    recording.keyframe();
    let mut known = Known::of(&image(recording.detector.world()));
    for (at, pid) in [(2 * S, 2), (3 * S, 3), (4 * S, 4)] {
        recording.event(at, EventKind::Exit(Box::new(exit(pid, 1, 0))));
        recording.event(at, EventKind::Free(task(pid)));
        recording.changes(&mut known);
    }
    let want = commands(recording.detector.world());
    let (_folder, path) = recording.end(5 * S);
    for (moment, gone) in [("+0.5s", 0), ("+1.5s", 1), ("+2.5s", 2), ("+3.5s", 3)] {
        let there = tree(&path, &["--at", moment]);
        assert_eq!((there.len(), there.contains(&(gone + 1))), (4_000 - gone as usize, gone == 0), "{moment}");
    }
    let (detector, played) = end_of(&path);
    assert!(commands(detector.world()) == want && detector.world().is_whole());
    // The image with its beginning and end, before it the start, and after it the end.
    assert_eq!(played, want.len() + 4);
    // Where a change is lost, those behind it are of no use.
    let bytes = fs::read(&path).unwrap();
    for (begin, end) in chunks(&bytes) {
        let mut damaged = bytes.clone();
        damaged[(begin + end) / 2] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let (detector, _) = end_of(&path);
        assert!(!detector.world().is_whole() || commands(detector.world()) == want, "{begin}");
    }
}

/// Where each chunk begins and ends.
fn chunks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut chunks = Vec::new();
    let mut from = 8;
    while let Some(length) = bytes.get(from + 1..from + 9) {
        let end = from + 9 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
        if bytes[from] == 0x06 {
            chunks.push((from, end));
        }
        from = end;
    }
    chunks
}

#[test]
fn an_image_that_is_not_whole_is_none() {
    let recording = large(4_000, 480);
    let want = commands(recording.detector.world());
    let (_folder, path) = recording.end(4 * S);
    let bytes = fs::read(&path).unwrap();
    let chunks = chunks(&bytes);
    assert!(chunks.len() > 8, "{chunks:?}");
    let is_right = |name: &str, begin: usize, contents: &[u8], least: usize| {
        fs::write(&path, contents).unwrap();
        let (detector, _) = end_of(&path);
        let (is_whole, processes) = (detector.world().is_whole(), detector.world().process_count());
        assert!(!is_whole || processes >= least, "{name} at {begin}: {processes}");
    };
    for &(begin, end) in &chunks {
        // The recorder was killed before it wrote this chunk; or it is damaged.
        is_right("cut", begin, &bytes[..begin], want.len());
        let mut damaged = bytes.clone();
        damaged[(begin + end) / 2] ^= 1;
        is_right("damaged", begin, &damaged, want.len());
    }
}

#[test]
fn a_damaged_image_does_not_make_a_world_whole() {
    // What was before it is lost, so that an image is welcome; and its second part is lost.
    let recording = large(4_000, 480);
    let (_folder, path) = recording.end(4 * S);
    let bytes = fs::read(&path).unwrap();
    let chunks = chunks(&bytes);
    for lost in [[0, 6], [0, 7], [1, 8]] {
        let mut damaged = bytes.clone();
        for i in lost {
            let (begin, end) = chunks[i];
            damaged[(begin + end) / 2] ^= 1;
        }
        fs::write(&path, &damaged).unwrap();
        let mut trace = Trace::open(&path).unwrap();
        let mut detector = Detector::new(&Thresholds::default());
        trace
            .play(|event, record| {
                let world = detector.step(event, record).1;
                assert!(!world.is_whole() || world.process_count() >= 3_998, "{lost:?}: {}", world.process_count());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(detector.world().process_count(), 3_998, "{lost:?}");
    }
}

/// The rows are read, then command lines for three seconds, while processes come and go; what the probes
/// wrote meanwhile comes after that.
fn out_of_order() -> (TempDir, PathBuf) {
    let mut recording = Recording::new();
    let line = |pid, at| (at, EventKind::CommandLine(key(pid), Args { bytes: b"x"[..].into(), ..Args::default() }));
    recording.events([(S, EventKind::SnapshotBegin), (S, row(info(1, 0, "init"))), (S, row(info(5, 1, "old")))]);
    recording.events([line(1, 4 * S), line(5, 4 * S), (4 * S, EventKind::SnapshotEnd)]);
    recording.events([
        (2 * S, fork(info(20, 1, "early"))),
        (3 * S, fork(info(30, 1, "late"))),
        (3 * S + 1, EventKind::Exit(Box::new(exit(5, 1, 0)))),
        (3 * S + 1, EventKind::Free(task(5))),
        // Another processor.
        (3 * S - 1_000, fork(info(31, 1, "overtaken"))),
        (8 * S, EventKind::Tick),
        (7 * S, fork(info(70, 1, "queued"))),
        (9 * S, fork(info(90, 1, "last"))),
    ]);
    recording.end(10 * S)
}

#[test]
fn a_moment_has_all_that_was_before_it_whatever_is_written_first() {
    let (_folder, path) = out_of_order();
    for (at, want) in [
        ("+0s", &[1, 5][..]),
        ("+1.5s", &[1, 5, 20]),
        ("+2s", &[1, 5, 20, 30, 31]),
        ("+2.5s", &[1, 20, 30, 31]),
        ("+6.5s", &[1, 20, 30, 31, 70]),
        ("-0s", &[1, 20, 30, 31, 70, 90]),
        ("2001-01-01T00:00:00Z", &[]),
    ] {
        assert_eq!(tree(&path, &["--at", at]), want, "{at}");
    }
    let until = |at: &str| {
        let output = tracer(&["replay", "-o", "json", "--events=fork", "--until", at], &path);
        String::from_utf8(output.stdout).unwrap().matches(r#""kind":"fork""#).count()
    };
    assert_eq!(["+1.5s", "+2s", "+6.5s", "-0s"].map(until), [1, 3, 4, 5]);
    let why = tracer(&["why", "-o", "json", "--at", "+6.5s"], &path);
    assert_ne!(why.status.code(), Some(0), "nobody was named");
}

/// A shell of the host is born, starts a command and kills it; a container comes and goes.
fn births() -> (TempDir, PathBuf) {
    let mut recording = Recording::new();
    recording.events([(S, EventKind::SnapshotBegin), (S, row(info(1, 0, "init"))), (S, EventKind::SnapshotEnd)]);
    let container = |pid, ns_pid, parent| TaskInfo { pid_ns: PidNs(NS), ..inner(pid, ns_pid, parent, "app") };
    let kill = crate::story::signal(300, 301, tracer::signal::Signal::KILL, 0, 0);
    let gone =
        |at, pid, parent| [(at, EventKind::Exit(Box::new(exit(pid, parent, 9)))), (at, EventKind::Free(task(pid)))];
    recording.events([(2 * S, fork(info(300, 1, "sh"))), (2 * S, fork(info(301, 300, "sleep"))), (3 * S, kill)]);
    recording.events(gone(3 * S, 301, 300));
    recording.event(4 * S, fork(container(302, 1, 300)));
    recording.events([(4 * S, EventKind::Contained(key(302), "0f1e2d3c4b5a".into()))]);
    recording.event(5 * S, fork(container(303, 2, 302)));
    recording.events(gone(6 * S, 303, 302));
    recording.events(gone(6 * S, 302, 300));
    recording.events(gone(7 * S, 300, 1));
    // The pid is used again.
    let again = TaskInfo { key: ProcKey { start: BootNs(8 * S), tgid: 301 }, ..info(301, 1, "other") };
    recording.event(8 * S, fork(again));
    recording.event(8 * S, EventKind::Tick);
    recording.end(9 * S)
}

#[test]
fn filters_of_a_recording_mean_whoever_was_in_it() {
    let (_folder, path) = births();
    let shown = |arguments: &[&str]| {
        let output = tracer(&[&["replay", "-o", "json", "--events"], arguments].concat(), &path);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let word = |line: &serde_json::Value| {
            let name = line["kind"].as_str().or_else(|| line["rule"].as_str())?.to_owned();
            Some(format!("{name} {}", line["process"]["pid"].as_u64().or_else(|| line["target"]["pid"].as_u64())?))
        };
        lines.filter_map(|line| word(&line)).collect::<Vec<_>>()
    };
    for arguments in [["--pid", "301"], ["--to-pid", "301"], ["--from-pid", "300"], ["--tree", "300"]] {
        let shown = shown(&arguments);
        assert!(shown.iter().any(|line| line == "killed-by 301"), "{arguments:?}: {shown:?}");
        assert!(shown.iter().any(|line| line == "signal 301"), "{arguments:?}: {shown:?}");
    }
    // Each that had it.
    assert_eq!(shown(&["--pid", "301"]).iter().filter(|line| *line == "fork 301").count(), 2);
    let tree = shown(&["--tree", "300"]);
    assert_eq!(tree.iter().filter(|line| *line == "fork 301").count(), 1, "{tree:?}");
    assert!(tree.contains(&"fork 303".to_owned()), "{tree:?}");
    for arguments in [["--ns", "302"], ["--ns", &NS.to_string()], ["--container", "0f1e"]] {
        let shown = shown(&arguments);
        assert!(shown.contains(&"fork 303".to_owned()), "{arguments:?}: {shown:?}");
        assert!(!shown.contains(&"fork 301".to_owned()), "{arguments:?}: {shown:?}");
    }
}

#[test]
fn who_is_in_no_part_of_a_recording_is_an_error_that_says_so() {
    let (_folder, path) = births();
    for (arguments, says) in [
        (["--pid", "4242"], "the recording, as far as it was played, has no process with pid 4242"),
        (["--to-pid", "300,4242"], "has no process with pid 4242"),
        (["--tree", "4242"], "has no process with pid 4242"),
        (["--ns", "4242"], "has no process with pid 4242"),
        (["--ns", "4026532000"], "has no pid namespace 4026532000"),
        (["--container", "we\u{1b}b"], "has no container, image or pod we\\x1bb"),
    ] {
        let output = tracer(&[&["replay"], &arguments[..]].concat(), &path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    // Of a moment only who lived then.
    let output = tracer(&["tree", "--ns", "302"], &path);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("no process with pid 302 at that moment of the recording"), "{stderr}");
    assert_eq!(tracer(&["tree", "--ns", "302", "--at", "+4s"], &path).status.code(), Some(0));
}
