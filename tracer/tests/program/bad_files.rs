//! What is no trace, and traces made to harm: a clear error or a replay that skips, never a panic, and
//! never much memory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use mcap::{
    WriteOptions,
    records::{MessageHeader, Metadata},
};
use tempfile::TempDir;
use tracer::{
    event::{Adopter, End, Event, EventKind, Exit, ExitStatus, Loss, Roles, TaskInfo},
    ident::PidNs,
    source::encode::encode,
    time::{BootNs, Span},
    trace::PROFILE,
};
use tracer_common::{Header, RecordKind};
use zerocopy::IntoBytes;

use crate::story::{info, key, row, start, task};

/// The most memory that a replay may ask the kernel for, in KiB: what it asks for it may use.
const MEMORY_KIB: u32 = 5 << 18;

fn replay(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY_KIB}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_tracer")]);
    command.arg("replay").arg(file).args(arguments).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command.output().unwrap()
}

/// A name in a folder of its own.
fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.mcap");
    (folder, path)
}

#[test]
fn what_is_no_trace_is_told_and_why() {
    let (folder, path) = place();
    let other = |profile: &str| {
        let mut writer = WriteOptions::new().profile(profile).create(File::create(&path).unwrap()).unwrap();
        writer.finish().unwrap();
        drop(writer);
        fs::read(&path).unwrap()
    };
    let mut wrong_magic = other(&format!("{PROFILE}1"));
    wrong_magic[1] ^= 1;
    for (contents, why) in [
        (Vec::new(), "it is empty: nothing was recorded"),
        (b"a text, not a trace\n".to_vec(), "a trace is an MCAP file, as `tracer record` writes it"),
        (vec![0; 100_000], "it is no trace"),
        (wrong_magic, "it is no trace"),
        (other("ros2"), "an MCAP file of another tool (its profile is ros2)"),
        (other(&format!("{PROFILE}99")), "version 99 of the format"),
        (other(&format!("{PROFILE}x")), "names no version"),
        (other(&format!("{PROFILE}1")), "does not say what was recorded"),
    ] {
        fs::write(&path, contents).unwrap();
        told(&replay(&[], &path), &path, why);
    }
    told(&replay(&[], folder.path()), folder.path(), "is a directory");
    for (path, why) in [("/dev/zero", "it is no trace"), ("/dev/null", "it is empty"), ("/no/such", "No such file")] {
        told(&replay(&[], Path::new(path)), Path::new(path), why);
    }
}

fn told(output: &Output, path: &Path, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with(&format!("tracer: cannot read the trace {}: ", path.display())), "{stderr}");
    assert!(stderr.contains(why), "{why:?} is not in {stderr}");
}

/// A trace whose chunks hold what is given, however large that is.
pub fn write(path: &Path, start: &str, chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let options = WriteOptions::new().profile(format!("{PROFILE}1")).chunk_size(None).compression_threads(0);
    let mut writer = options.create(File::create(path).unwrap()).unwrap();
    let sum = crc32fast::hash(start.as_bytes()).to_string();
    let metadata = BTreeMap::from([("start".to_owned(), start.to_owned()), ("start_crc32".to_owned(), sum)]);
    writer.write_metadata(&Metadata { name: "tracer".to_owned(), metadata }).unwrap();
    let schema = writer.add_schema("tracer.records", "tracer", b"{}").unwrap();
    writer.add_channel_with_id(1, schema, "/tracer/records", "tracer", &BTreeMap::new()).unwrap();
    let mut sequence = 0;
    for chunk in chunks {
        let chunk = chunk.as_ref();
        let header = MessageHeader { channel_id: 1, sequence, log_time: 0, publish_time: u64::MAX };
        writer.write_to_known_channel(&header, chunk).unwrap();
        writer.flush().unwrap();
        sequence += tracer::trace::Records(chunk).count() as u32;
    }
    writer.finish().unwrap();
}

fn record(at: u64, kind: EventKind) -> Vec<u8> {
    let mut record = Vec::new();
    encode(&Event { at: BootNs(at), cpu: 0, kind }, &mut record);
    record
}

/// What is in the metadata of a trace.
pub fn start_json() -> String {
    let EventKind::Start(info) = start() else { panic!("a story begins with its start") };
    serde_json::to_string(&info).unwrap()
}

/// Plays it in every way; the exit code is 0 and nothing is said of a panic.
fn survived(name: &str, path: &Path) -> String {
    let mut said = String::new();
    for arguments in [&["-o", "json", "--events"][..], &["-o", "text", "--events"]] {
        let output = replay(arguments, path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}, {arguments:?}: {stderr}");
        said += &String::from_utf8_lossy(&output.stdout);
        said += &stderr;
    }
    said
}

#[test]
fn absurd_records_are_survived() {
    let end = End { began: BootNs::MAX, cpu_ns: Span(u64::MAX), signals: u64::MAX, walks_cut: u64::MAX };
    let all =
        Loss { ring: [u64::MAX; RecordKind::IN_KERNEL], undecodable: u64::MAX, missed: u64::MAX, unreadable: u64::MAX };
    let nobody = TaskInfo { key: key(0), ns_pid: 0, ..info(7, 0, "") };
    let below = |pid, parent| EventKind::clone(&row(info(pid, parent, "circle")));
    let nested = |pid, ns, outer| {
        let roles = Roles { init: true, ..Roles::default() };
        row(TaskInfo {
            pid_ns: PidNs(ns),
            parent_ns: Some(PidNs(outer)),
            ns_level: u32::MAX,
            roles,
            ..info(pid, 1, "n")
        })
    };
    let exit = |pid| {
        EventKind::Exit(Box::new(Exit {
            task: task(pid),
            parent: Some(task(pid)),
            tracer: Some(task(pid)),
            adopter: Adopter::NamespaceInit(task(pid)),
            status: ExitStatus(i32::MIN),
            live: u32::MAX,
            leader: true,
            group_dead: true,
            group_exit: false,
            autoreap: false,
            adopter_ignores: true,
            oom: true,
            seccomp: false,
        }))
    };
    let mut deep = record(1, EventKind::Tick);
    deep[8] = RecordKind::Start as u8;
    deep.extend(std::iter::repeat_n(b'[', 10_000));
    let length = deep.len() as u32;
    deep[12..16].copy_from_slice(&length.to_ne_bytes());
    let kinds = [
        EventKind::SnapshotBegin,
        row(info(1, 0, "init")),
        row(nobody),
        below(2, 3),
        below(3, 4),
        below(4, 2),
        below(5, 5),
        nested(20, 8, 9),
        nested(21, 9, 8),
        nested(22, 9, 9),
        EventKind::SnapshotEnd,
        exit(20),
        exit(2),
        exit(0),
        EventKind::Lost(all),
        EventKind::Lost(all),
        EventKind::Tick,
    ];
    let (folder, path) = place();
    for offset in [i64::MIN, i64::MAX, 0] {
        for at in [0, 1, u64::MAX] {
            let start = start_json().replace("\"wall_offset_ns\":", &format!("\"wall_offset_ns\":{offset},\"was\":"));
            let mut stream = vec![0; 16];
            stream[8] = RecordKind::Start as u8;
            stream.extend_from_slice(start.as_bytes());
            let length = stream.len() as u32;
            stream[12..16].copy_from_slice(&length.to_ne_bytes());
            stream.extend(&deep);
            stream.extend(kinds.iter().flat_map(|kind| record(at, kind.clone())));
            stream.extend(kinds.iter().flat_map(|kind| record(u64::MAX - at, kind.clone())));
            stream.extend(record(at, EventKind::End(end)));
            write(&path, &start, &[stream]);
            survived("absurd numbers", &path);
        }
    }
    drop(folder);
}

#[test]
fn lengths_that_lie_are_seen() {
    let (_folder, path) = place();
    for (len, says) in [(0, "\"undecodable\":1"), (u32::MAX, "a record is longer than the")] {
        let mut liar = record(1, EventKind::SnapshotBegin);
        liar[8] = RecordKind::New as u8;
        liar[12..16].copy_from_slice(&len.to_ne_bytes());
        let tick = record(2, EventKind::Tick);
        write(&path, &start_json(), &[[record(0, start()), liar, tick].concat()]);
        let said = survived("a record's length", &path);
        assert!(said.contains(says), "{says:?} is not in {said}");
    }
    // A length of the container, in place of that of the first chunk.
    write(&path, &start_json(), &[[record(0, start()), record(2, EventKind::Tick)].concat()]);
    let whole = fs::read(&path).unwrap();
    let chunk = whole.windows(8).position(|bytes| bytes == b"\x04\0\0\0zstd").unwrap() - 37;
    for length in [u64::MAX, 1 << 40, 1 << 24, (1 << 24) + 1, 0] {
        let mut file = File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(chunk as u64 + 1)).unwrap();
        file.write_all(&length.to_le_bytes()).unwrap();
        assert!(survived("a chunk's length", &path).contains("\"unreadable\":1"), "{length}");
    }
    // Its size when it is unpacked.
    for size in [u64::MAX, 1 << 40, (1 << 24) + 1, 1] {
        let mut bytes = whole.clone();
        bytes[chunk + 25..chunk + 33].copy_from_slice(&size.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        assert!(survived("a chunk's size", &path).contains("\"unreadable\":1"), "{size}");
    }
}

#[test]
fn what_unpacks_to_very_much_needs_little() {
    let (_folder, path) = place();
    let ticks: Vec<u8> = (0..1_u64 << 19).flat_map(|at| record(at << 20, EventKind::Tick)).collect();
    let mut chunks = vec![record(0, start())];
    chunks.extend(std::iter::repeat_n(ticks, 3));
    // Above the limit for a chunk: left out.
    chunks.push(std::iter::repeat_n(record(5, EventKind::Tick), (1 << 20) + 1).flatten().collect());
    chunks.push(record(9, EventKind::Tick));
    write(&path, &start_json(), &chunks);
    assert!(fs::metadata(&path).unwrap().len() < 8 << 20);
    let said = survived("a bomb", &path);
    assert!(said.contains("\"unreadable\":1048577,") && said.contains("claims to unpack to"), "{said}");
}

/// More processes than are known at a time, and no end to the snapshot.
#[test]
fn a_list_of_more_processes_than_there_can_be_is_bounded() {
    let (_folder, path) = place();
    let mut chunks = vec![[record(0, start()), record(0, EventKind::SnapshotBegin)].concat()];
    let header = Header::default().as_bytes().len();
    assert_eq!(header, 16);
    for part in 0..20_u32 {
        let rows = (0..60_000).flat_map(|n| record(1, row(info(2 + part * 60_000 + n, 1, "one"))));
        chunks.push(rows.collect());
    }
    write(&path, &start_json(), &chunks);
    let output = replay(&["-o", "json"], &path);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"processes\":1048576,"));
}
