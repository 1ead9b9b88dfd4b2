//! How `tracer watch` ends.

use std::{
    fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    ops::ControlFlow,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use tracer::{event::EventKind, source::trace::Trace};
use tracer_tests::{
    Run, machine,
    run::{output, tracer},
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("interrupt", || ends_with(Signal::INT)),
        live("terminate", || ends_with(Signal::TERM)),
        live("duration", duration),
        live("closed_pipe_json", || closed_pipe("json", Says::Much)),
        live("closed_pipe_text", || closed_pipe("text", Says::Much)),
        live("closed_pipe_with_nothing_to_say", || closed_pipe("json", Says::Nothing)),
        live("output_that_nobody_reads", output_that_nobody_reads),
        live("errors_that_nobody_reads", errors_that_nobody_reads),
        live("report_that_nobody_reads", report_that_nobody_reads),
    ]
}

fn ends_with(signal: Signal) {
    let mut run = Run::start();
    run.settle();
    let summary = run.end_with(signal).summary;
    assert!(summary.events["exec"] > 0, "{summary:?}");
    assert!(summary.processes > 1 && summary.namespaces >= 1, "{summary:?}");
}

fn duration() {
    let began = Instant::now();
    let finished = Run::options().live(&["--duration", "500ms"]).start().end();
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(finished.summary.duration_ns >= 500_000_000, "{:?}", finished.summary);
}

/// How much is printed after the reader has gone.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Much,
    Nothing,
}

/// As in `tracer watch | head -1`.
fn closed_pipe(format: &str, says: Says) {
    let mut command = tracer(&["watch", "-o", format]);
    match says {
        Says::Much => command.arg("--events=exec"),
        Says::Nothing => command.args(["--rule", "init-ignored-signal"]),
    };
    let mut tracer = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tracer starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(tracer.stdout.take().expect("stdout is piped"));
    stdout.read_line(&mut line).expect("a line");
    assert!(!line.is_empty());
    drop(stdout);

    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        // Output, or just a moment.
        let _ = Command::new(machine::workload_path()).arg("nothing").status();
        if let Some(status) = tracer.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = tracer.kill();
            let _ = tracer.wait();
            panic!("tracer goes on without a reader");
        }
    };
    let mut stderr = String::new();
    tracer.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("text");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

/// A pipe that is full, and its reading end.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (read, mut write) = std::io::pipe().expect("a pipe");
    fcntl_setpipe_size(&write, 4096).expect("a small pipe");
    write.write_all(&[b'\n'; 4096]).expect("room");
    (read, write)
}

/// Waits until SIGTERM would not kill it, sends SIGTERM, and waits for its end.
fn terminated(tracer: &mut Child) -> ExitStatus {
    let is_ready = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        let masks = status.lines().filter(|line| line.starts_with("SigCgt:") || line.starts_with("SigBlk:"));
        masks.fold(0, |all, line| all | u64::from_str_radix(line[7..].trim(), 16).expect("a mask")) & 1 << 14 != 0
    };
    while !is_ready(tracer.id()) {
        assert!(tracer.try_wait().expect("a child can be waited for").is_none(), "tracer has ended");
        std::thread::yield_now();
    }
    let _ = Command::new(machine::workload_path()).arg("nothing").status();
    kill_process(Pid::from_child(tracer), Signal::TERM).expect("it is there");
    ends(tracer)
}

fn ends(tracer: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(status) = tracer.try_wait().expect("a child can be waited for") {
            return status;
        }
        std::thread::yield_now();
    }
    let _ = tracer.kill();
    let _ = tracer.wait();
    panic!("tracer waits for its reader");
}

/// Whether the listing of processes at the start is complete in a recording.
fn has_begun(trace: &Path) -> bool {
    let Ok(mut trace) = Trace::open(trace) else { return false };
    let mut has_begun = false;
    let played = trace.play(|event, _| {
        has_begun |= event.kind == EventKind::SnapshotEnd;
        Ok(ControlFlow::Continue(()))
    });
    played.is_ok() && has_begun
}

fn output_that_nobody_reads() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trace = dir.path().join("run.mcap");
    let (_read, write) = full_pipe();
    let mut command = tracer(&["watch", "-o", "json", "--events=exec", "--record"]);
    command.arg(&trace).stdout(OwnedFd::from(write)).stderr(Stdio::piped());
    let mut watch = command.spawn().expect("tracer starts");
    // What happens before that belongs to the start, and is no event.
    while !has_begun(&trace) {
        assert!(watch.try_wait().expect("a child can be waited for").is_none(), "tracer has ended");
        std::thread::yield_now();
    }
    let status = terminated(&mut watch);
    let mut stderr = String::new();
    watch.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("text");
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("of output were not written, as nobody read them in time"), "{stderr}");
    let mut replay = tracer(&["replay", "-o", "json", "--events=exec"]);
    replay.arg(&trace);
    let told = String::from_utf8(output(replay).stdout).expect("JSON is text");
    assert!(told.lines().any(|line| line.contains("\"kind\":\"exec\"") && line.contains("\"comm\":\"workload\"")));
    assert!(told.lines().next_back().is_some_and(|line| line.starts_with("{\"type\":\"summary\"")), "it was closed");
}

fn errors_that_nobody_reads() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (_read, write) = full_pipe();
    let mut record = tracer(&["record", "-o"]);
    record.arg(dir.path().join("run.mcap")).args(["--", "sh", "-c", "exit 5"]).stderr(OwnedFd::from(write));
    let mut record = record.spawn().expect("tracer starts");
    assert_eq!(ends(&mut record).code(), Some(5));
}

fn report_that_nobody_reads() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (_read, write) = full_pipe();
    let mut record = tracer(&["record", "--report", "github", "--unreaped-after", "10ms", "--scope", "tree", "-o"]);
    record.arg(dir.path().join("run.mcap")).args(["--", "sh", "-c", "true & exec sleep 0.5"]);
    let mut record = record.stdout(OwnedFd::from(write)).stderr(Stdio::piped()).spawn().expect("tracer starts");
    let mut stderr = BufReader::new(record.stderr.take().expect("stderr is piped"));
    let mut said = String::new();
    // That comes right before the report.
    while !said.contains("findings: ") {
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
    }
    kill_process(Pid::from_child(&record), Signal::TERM).expect("it waits");
    assert_eq!(ends(&mut record).code(), Some(1));
    stderr.read_to_string(&mut said).expect("text");
    assert!(said.contains("of the report were not written"), "{said}");
}
