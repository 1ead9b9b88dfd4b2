//! Traces that somebody made to have their reader hold gigabytes, or run for hours: every command that reads
//! a file ends soon, in little memory, and says what it has left out.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use tracer::{
    event::{Adopter, EventKind, Exit, Roles, TaskInfo},
    host::Container,
    ident::PidNs,
    signal::Signal,
};

use crate::{
    bad_files::{start_json, write},
    made::record,
    story::{self, HOST, exit, fork, info, row, start, task},
};

const S: u64 = 1_000_000_000;
/// The most memory that a command may ask for, in MiB: what a world of the size of these tests needs, and
/// what may come on top of it.
const MEMORY_MIB: u64 = 512;
/// The most processor time, in seconds: many times what is needed, so that a busy machine does not fail.
const SECONDS: u64 = 60;

struct Made {
    _folder: TempDir,
    path: PathBuf,
}

/// A trace of those chunks; what is in the metadata before them comes first.
fn made(start: &str, chunks: impl IntoIterator<Item = Vec<u8>>) -> Made {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("greedy.mcap");
    write(&path, start, chunks);
    Made { _folder: folder, path }
}

/// The start, the host's init, and a tick.
fn beginning() -> Vec<u8> {
    let events = [start(), EventKind::SnapshotBegin, row(info(1, 0, "init")), EventKind::SnapshotEnd];
    events.iter().flat_map(|kind| record(S, kind)).collect()
}

/// Runs a command with little memory and time.
fn limited(arguments: &[&Path]) -> Output {
    let limits = format!("ulimit -v {}; ulimit -t {SECONDS}; exec \"$@\"", MEMORY_MIB << 10);
    let mut command = Command::new("sh");
    command.args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_tracer")]).args(arguments);
    command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).output().unwrap()
}

/// The same of a command that takes the file first.
fn tracer(arguments: &[&str], file: &Path) -> Output {
    let mut all: Vec<_> = arguments.iter().map(Path::new).collect();
    all.insert(1, file);
    limited(&all)
}

/// Every command that reads a file; what `replay` says on both outputs.
fn survived(name: &str, made: &Made) -> String {
    let mut said = String::new();
    let folder = made.path.with_extension("folder");
    let table = folder.to_str().unwrap();
    for arguments in [
        &["replay", "-o", "json"][..],
        &["tree"],
        &["tree", "-o", "json", "--at", "-1s"],
        &["dump"],
        &["export", "--to", "perfetto"],
        &["export", "--to", "parquet", "-o", table],
    ] {
        let output = tracer(arguments, &made.path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name}, {arguments:?}: {} {stderr}", output.status);
        if arguments[0] == "replay" {
            said += &String::from_utf8_lossy(&output.stdout);
            said += &stderr;
        }
        let _ = fs::remove_dir_all(table);
    }
    let output = limited(&[Path::new("why"), Path::new("1"), &made.path]);
    assert_eq!(output.status.code(), Some(0), "{name}, why: {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Packs records into chunks of a megabyte.
fn chunked(kinds: impl IntoIterator<Item = (u64, EventKind)>) -> Vec<Vec<u8>> {
    let mut chunks = vec![beginning()];
    let mut chunk = Vec::new();
    for (at, kind) in kinds {
        chunk.extend(record(at, &kind));
        if chunk.len() >= 1 << 20 {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    chunks.push(chunk);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

#[test]
fn a_long_chain_of_processes() {
    let chain = (2..20_000).map(|pid| (S + u64::from(pid), fork(info(pid, pid - 1, "x"))));
    let made = made(&start_json(), chunked(chain));
    survived("chain", &made);
    let tree = tracer(&["tree"], &made.path);
    let text = String::from_utf8(tree.stdout).unwrap();
    assert!(text.contains("└─ … 19949 levels more: 19949 processes\n"), "{}", &text[text.len() - 400..]);
    assert!(text.lines().count() < 60);
}

#[test]
fn a_chain_that_ends_from_its_top_and_from_its_bottom() {
    let births = (2..3_000).map(|pid| (2 * S, fork(info(pid, pid - 1, "x"))));
    let end = |pid: u32| {
        let exit = Exit { adopter: Adopter::NamespaceInit(task(1)), ..exit(pid, pid - 1, 9) };
        [(3 * S, EventKind::Exit(Box::new(exit))), (3 * S, EventKind::Free(task(pid)))]
    };
    let down = births.clone().chain((2..3_000).flat_map(end));
    survived("down", &made(&start_json(), chunked(down)));
    let up = births.chain((2..3_000).rev().flat_map(end));
    survived("up", &made(&start_json(), chunked(up)));
}

/// Each in that of the one before, deeper than any kernel nests them.
fn nested(count: u32) -> impl Iterator<Item = (u64, EventKind)> + Clone {
    (0..count).map(|n| {
        let outer = if n == 0 { HOST } else { PidNs(n) };
        let roles = Roles { init: true, ..Roles::default() };
        let (pid, parent) = (n + 2, n + 1);
        let process = info(pid, parent, "pod");
        let task =
            TaskInfo { pid_ns: PidNs(n + 1), parent_ns: Some(outer), ns_level: n + 1, ns_pid: 1, roles, ..process };
        (2 * S, fork(task))
    })
}

#[test]
fn namespaces_without_end() {
    survived("nested", &made(&start_json(), chunked(nested(3_000))));
}

#[test]
fn containers_with_long_names() {
    let named = |n: u32, name: String| {
        let container = Container { id: format!("{n:064}"), name: Some(name), ..Container::default() };
        (2 * S, EventKind::Container(Box::new(container)))
    };
    let mut random = fastrand::Rng::with_seed(8);
    let mut text = |length: usize| (0..length).map(|_| random.alphanumeric()).collect::<String>();
    // A record of 15 MiB packs to nothing, and its chunk is refused; a name that no engine allows is.
    let long = named(0, "A".repeat(15 << 20)).1;
    let said = survived("15 MiB", &made(&start_json(), [beginning(), record(2 * S, &long)]));
    assert!(said.contains("more than records can"), "{said}");
    let said = survived("8 KiB", &made(&start_json(), chunked((0..100).map(|n| named(n, text(8 << 10))))));
    assert!(said.contains("4096 are the most that are taken; it is left out"), "{said}");
    // Each as long as it may be: too much in all.
    let chunks = chunked((0..14_000).map(|n| named(n, text(3_800))));
    let made = made(&start_json(), chunks);
    let output = tracer(&["replay", "-o", "text"], &made.path);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("it tells more than 48 MiB of containers"), "{stderr}");
}

#[test]
fn a_start_that_says_too_much() {
    let mut info: serde_json::Value = serde_json::from_str(&start_json()).unwrap();
    info["degraded"] = vec![""; 5 << 20].into();
    let long = info.to_string();
    let EventKind::Start(mut host) = start() else { panic!("a story begins with its start") };
    host.host = "h".repeat(3 << 20);
    for start in [long, serde_json::to_string(&host).unwrap()] {
        let made = made(&start, [beginning()]);
        let said = survived("start", &made);
        assert!(said.contains("its metadata are damaged; the first record says the same"), "{said}");
    }
}

#[test]
fn a_bomb() {
    // Chunks of ticks that are all the same: nothing that a clock has made.
    let ticks: Vec<u8> = std::iter::repeat_n(record(2 * S, &EventKind::Tick), 900_000).flatten().collect();
    let chunks = std::iter::once(beginning()).chain(std::iter::repeat_n(ticks, 10));
    let made = made(&start_json(), chunks);
    let size = fs::metadata(&made.path).unwrap().len();
    assert!(size < 40_000, "{size}");
    let said = survived("bomb", &made);
    assert!(said.contains("bytes, more than records can"), "{said}");
}

#[test]
fn findings_without_end() {
    // A signal that an init does not take, again and again, from ever other processes.
    let protected = tracer_common::record::signal_flags::UNKILLABLE;
    let init = TaskInfo { roles: Roles { init: true, ..Roles::default() }, ..story::inner(50, 1, 1, "app") };
    let signals = (0..30_000_u32)
        .map(move |n| (3 * S + u64::from(n), story::signal(1, 50, Signal(1 + (n % 15) as u8), protected, 1)));
    survived("findings", &made(&start_json(), chunked(std::iter::once((2 * S, fork(init))).chain(signals))));
}

#[test]
fn chunks_that_lie_in_each_other_are_read_once() {
    let made = made(&start_json(), chunked((0..20_000).map(|n| (2 * S + n, EventKind::Tick))));
    let bytes = fs::read(&made.path).unwrap();
    // No index, and after the first chunk nothing but beginnings of chunks.
    let chunk = bytes.windows(8).position(|bytes| bytes == b"\x04\0\0\0zstd").unwrap() - 37;
    let mut file = File::create(&made.path).unwrap();
    file.write_all(&bytes[..chunk]).unwrap();
    let mut head = bytes[chunk..chunk + 61].to_vec();
    for n in 0..20_000_u64 {
        // Each says that it reaches to the end.
        let length = (20_000 - n) * 61 - 9;
        head[1..9].copy_from_slice(&length.to_le_bytes());
        head[45..53].copy_from_slice(&(length - 44).to_le_bytes());
        file.write_all(&head).unwrap();
    }
    drop(file);
    for arguments in [&["replay"][..], &["tree"], &["dump"]] {
        let output = tracer(arguments, &made.path);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
