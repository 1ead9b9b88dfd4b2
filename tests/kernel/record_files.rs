//! The files of `tracer record`: in pieces, on demand, redacted, and after a crash or on a full disk.

use std::{
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::mount::{MsFlags, mount, umount};
use rustix::process::Signal;
use tracer::{
    source::{live::now, trace::Trace},
    time::{BootNs, Span},
};
use tracer_tests::{
    Run,
    contract::{Event, Finding, Line},
    machine,
    recorded::{Recorded, records, replay, replay_damaged, unpacked},
    run::{events, findings, output, tracer},
    stage::kill,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("each_rotated_file_is_a_whole_trace", each_rotated_file_is_a_whole_trace),
        live("a_limit_ends_the_recording_and_not_the_command", a_limit_ends_the_recording_and_not_the_command),
        live("a_flight_recorder_writes_when_a_rule_fires", a_flight_recorder_writes_when_a_rule_fires),
        live("a_flight_recorder_writes_nothing_for_nothing", a_flight_recorder_writes_nothing_for_nothing),
        live("a_redacted_trace_does_not_tell", a_redacted_trace_does_not_tell),
        live("a_killed_recorder_leaves_all_but_the_last_second", a_killed_recorder_leaves_all_but_the_last_second),
        live("a_full_disk_is_told_and_disturbs_nobody", a_full_disk_is_told_and_disturbs_nobody),
        live("a_disk_that_is_full_at_the_start_disturbs_nobody", a_disk_that_is_full_at_the_start_disturbs_nobody),
        live("reports_are_written", reports_are_written),
        live("the_example_for_ci_fails_on_a_planted_zombie", the_example_for_ci_fails_on_a_planted_zombie),
    ]
}

/// A process that does nothing, to its end; its pid.
fn marker() -> i32 {
    let mut marker =
        Command::new(machine::workload_path()).arg("nothing").stdin(Stdio::null()).spawn().expect("it starts");
    marker.wait().expect("it can be waited for");
    marker.id() as i32
}

/// Processes that come and go.
fn some_load() {
    let run = Command::new("sh").args(["-c", "i=0; while [ $i -lt 300 ]; do (:); i=$((i+1)); done"]).status();
    assert!(run.expect("sh runs").success());
}

fn is_about(pid: i32) -> impl Fn(&&Event) -> bool {
    move |event| event.process.as_ref().is_some_and(|process| process.pid == pid)
}

fn end_listener(recorded: &mut Recorded, code: i32) {
    kill(recorded.stage.id(), Signal::TERM);
    recorded.stage.hears("SIGTERM");
    assert_eq!(recorded.ends(), code, "{}", recorded.said());
}

fn each_rotated_file_is_a_whole_trace() {
    let mut recorded = Recorded::act(&["--rotate", "256KiB", "--keep", "2"], &["listener"]);
    let listener = recorded.stage.pid("listener");
    // Until the first one is no longer there: a third file, and a fourth.
    let [newest, older] = ["run.1.mcap", "run.2.mcap"].map(|name| recorded.path(name));
    let mut first = None;
    for _ in 0..400 {
        some_load();
        let inode = fs::metadata(&older).ok().map(|file| file.ino());
        if *first.get_or_insert(inode) != inode && first.flatten().is_some() {
            break;
        }
        if inode.is_some() && first.flatten().is_none() {
            first = Some(inode);
        }
    }
    end_listener(&mut recorded, 0);
    assert!(!recorded.path("run.3.mcap").exists(), "more than two are kept");
    assert!(recorded.said().contains("did not stay (--keep 2)"), "{}", recorded.said());
    let files = [older, newest, recorded.file()];
    let mut end = BootNs::ZERO;
    for file in &files {
        assert!(fs::metadata(file).expect("it is there").len() < 2 << 20, "{}", file.display());
        let lines = replay(file, &["--scope", "host", "--events=fork"]);
        let (Some(Line::Start(start)), Some(Line::Summary(summary))) = (lines.first(), lines.last()) else {
            panic!("{}: {lines:?}", file.display())
        };
        assert!(start.processes > 10 && summary.signals_seen > 0, "{start:?} {summary:?}");
        assert_eq!(summary.lost["total"], 0, "{summary:?}");
        // Each file begins where the previous one ended: no event is in two of them.
        let (begins, ends) = span(file);
        assert!(
            begins >= end && ends > begins,
            "{} from {begins:?} to {ends:?}, the one before to {end:?}",
            file.display()
        );
        end = ends;
    }
    // Even without the beginning, the run can be identified.
    let lines = replay(&files[2], &["--scope", "tree", "--events=exit"]);
    assert_eq!(events(&lines, "exit").filter(is_about(listener)).count(), 1, "{lines:?}");
}

/// The boot times of the first and the last record. An image of the world in between tells of the past.
fn span(file: &Path) -> (BootNs, BootNs) {
    let mut times = Vec::new();
    let mut trace = Trace::open(file).expect("a trace");
    let read = trace.play(|event, _| {
        times.push(event.at);
        Ok(ControlFlow::Continue(()))
    });
    read.expect("it can be read");
    (times[0], times[times.len() - 1])
}

fn a_limit_ends_the_recording_and_not_the_command() {
    for (args, words) in
        [(&["--max-size", "256KiB"][..], "(--max-size)"), (&["--duration", "300ms"], "its time is over (--duration)")]
    {
        let mut recorded = Recorded::act(args, &["listener"]);
        recorded.stage.pid("listener");
        recorded.says(words, some_load);
        kill(recorded.stage.id(), Signal::USR1);
        recorded.stage.hears("SIGUSR1");
        end_listener(&mut recorded, 0);
        assert!(matches!(recorded.replay(&[]).last(), Some(Line::Summary(_))));
    }
}

fn a_flight_recorder_writes_when_a_rule_fires() {
    let mut run = Run::options().unreaped_after("500ms").start();
    let args = ["--snapshot-on", "unreaped-child", "--before", "1s", "--scope", "tree"];
    let mut recorded = Recorded::act(&args, &["parent", "never-waits"]);
    let parent = recorded.stage.pid("parent");
    let forgotten = marker();
    // Long enough that what was kept begins with an image of the world.
    let long_ago = now() + Span::seconds(3);
    while now() < long_ago {
        some_load();
    }
    assert!(!recorded.file().exists(), "nothing was found yet");
    recorded.stage.step("child");
    let child = recorded.stage.pid("child");
    run.watch_over(child);
    run.expect_finding("unreaped-child").about(child).once();
    recorded.stage.step("wait");
    recorded.stage.hears("reaped");
    while !recorded.file().exists() {
        some_load();
    }
    let why = output(tracer(&["why", &child.to_string()]));
    let page = String::from_utf8_lossy(&why.stdout);
    assert!(page.contains(" wrote it to ") && page.contains("unreaped-child"), "{page}");
    recorded.stage.closes();
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());
    assert!(recorded.said().contains("unreaped-child, with the "), "{}", recorded.said());
    let lines = recorded.replay(&["--scope", "tree", "--events"]);
    let found: Vec<&Finding> = findings(&lines).filter(|finding| finding.process.pid == child).collect();
    let [Finding { parent: Some(owes), .. }] = found[..] else { panic!("{found:?}") };
    assert_eq!((owes.pid, owes.comm.as_str()), (parent, "workload"), "the image names it");
    for (kind, pid) in [("fork", child), ("reap", child), ("exit", parent)] {
        assert_eq!(events(&lines, kind).filter(is_about(pid)).count(), 1, "{kind} of {pid}");
    }
    let all = recorded.replay(&["--scope", "host", "--events=exec"]);
    assert_eq!(events(&all, "exec").filter(is_about(forgotten)).count(), 0, "older than was asked for");
}

fn a_flight_recorder_writes_nothing_for_nothing() {
    let args = ["--snapshot-on", "unreaped-child,left-behind", "--scope", "tree"];
    let mut recorded = Recorded::act(&args, &["listener"]);
    recorded.stage.pid("listener");
    end_listener(&mut recorded, 0);
    assert!(!recorded.file().exists());
    assert!(recorded.said().contains("nothing was found, so there is no "), "{}", recorded.said());
}

fn a_redacted_trace_does_not_tell() {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("/proc is mounted");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = dir.path().join("zqprogram");
    fs::copy(machine::workload_path(), &program).expect("a copy");
    let script = format!("{} nothing zqargument; true", program.display());
    for (args, told) in [
        (&[][..], [true, true, true]),
        (&["--redact", "argv"], [true, false, true]),
        (&["--redact", "names"], [false, false, false]),
    ] {
        let mut recorded = Recorded::command(args, &["sh", "-c", &script], |_| {});
        assert_eq!(recorded.ends(), 0, "{}", recorded.said());
        let bytes = unpacked(&recorded.file());
        let tells = |word: &str| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        assert_eq!(["zqprogram", "zqargument", boot_id.trim_end()].map(tells), told, "{args:?}");
        // It is a trace all the same.
        let lines = recorded.replay(&["--events=exec", "--scope", "tree"]);
        assert_eq!(events(&lines, "exec").count(), 2, "{lines:?}");
        assert!(records(&recorded.file()) > 10);
    }
}

fn a_killed_recorder_leaves_all_but_the_last_second() {
    let mut recorded = Recorded::act(&[], &["listener"]);
    let listener = recorded.stage.pid("listener");
    let last = marker();
    let second = now() + Span::SECOND;
    while now() < second {
        some_load();
    }
    kill(recorded.stage.id(), Signal::KILL);
    assert_eq!(recorded.ends(), 128 + 9);
    // The command goes on.
    kill(listener, Signal::USR1);
    recorded.stage.hears("SIGUSR1");
    let (lines, stderr) = replay_damaged(&recorded.file(), &["--scope", "host", "--events=exec"]);
    assert!(stderr.contains("the recording was not closed"), "{stderr}");
    assert_eq!(events(&lines, "exec").filter(is_about(last)).count(), 1, "what happened a second before");
}

/// A small file system, which goes with the value.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        fs::create_dir(at).expect("a directory");
        let none: Option<&str> = None;
        mount(none, at, Some("tmpfs"), MsFlags::empty(), Some("size=8m")).expect("a file system in memory");
        Self(at.to_owned())
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[1; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount(&self.0);
    }
}

fn a_full_disk_is_told_and_disturbs_nobody() {
    let outside = tempfile::tempdir().expect("a temporary directory");
    let disk = Disk::mount(&outside.path().join("disk"));
    let dir = tempfile::tempdir_in(&disk.0).expect("a directory");
    let mut recorded =
        Recorded::within(dir, &[], &[machine::workload_path().to_str().expect("text"), "listener"], |tracer| {
            // Its output must fit as well.
            tracer.stderr(File::create(outside.path().join("stderr")).expect("a file"));
        });
    let said = || fs::read_to_string(outside.path().join("stderr")).expect("it is text");
    recorded.stage.pid("listener");
    disk.fill();
    while !said().contains("/run.mcap: No space left on device") {
        some_load();
        assert!(machine::stat(recorded.stage.id()).is_some_and(|stat| stat.state != 'Z'), "{}", said());
    }
    kill(recorded.stage.id(), Signal::USR1);
    recorded.stage.hears("SIGUSR1");
    end_listener(&mut recorded, 1);
    assert!(said().contains("the command's own exit code was 0"), "{}", said());
    // It was closed properly: there is no message about a missing end.
    let lines = recorded.replay(&["--scope", "host"]);
    assert!(matches!(lines.last(), Some(Line::Summary(summary)) if summary.duration_ns > 0), "{lines:?}");
    // Its directory is on that disk.
    drop(recorded);
}

fn a_disk_that_is_full_at_the_start_disturbs_nobody() {
    let outside = tempfile::tempdir().expect("a temporary directory");
    let disk = Disk::mount(&outside.path().join("disk"));
    disk.fill();
    for more in [&[][..], &["--rotate", "1MiB"]] {
        let mut record = tracer(&["record", "-o"]);
        record.arg(disk.0.join("run.mcap")).args(more).args(["--", "sh", "-c", "echo it runs; exit 4"]);
        let output = output(record);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), &*stdout), (Some(1), "it runs\n"), "{stderr}");
        for said in ["/run.mcap: No space left on device", "there is no ", "the command's own exit code was 4"] {
            assert!(stderr.contains(said), "no {said:?} in {stderr}");
        }
        assert!(!disk.0.join("run.mcap").exists(), "an empty file");
    }
}

fn reports_are_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name);
    let report = format!("junit={},sarif={},github", path("junit.xml").display(), path("sarif.json").display());
    let mut record = tracer(&["record", "--unreaped-after", "300ms", "--scope", "tree", "--report", &report, "-o"]);
    record.arg(path("run.mcap")).args(["--", "sh", "-c", "true & exec sleep 1"]);
    let output = output(record);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.lines().any(|line| line.starts_with("::warning title=unreaped-child::")), "{stdout}");
    for (name, word) in [("junit.xml", "<failure "), ("sarif.json", "\"ruleId\": \"unreaped-child\"")] {
        let text = fs::read_to_string(path(name)).expect("the report");
        assert!(text.contains(word), "{text}");
        assert_eq!(fs::metadata(path(name)).expect("the report").mode() & 0o777, 0o600);
    }
}

/// The script of `docs/ci.md`, as it stands there.
fn the_example_for_ci_fails_on_a_planted_zombie() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ci.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, script) = page.split_once("```sh\n").expect("a script");
    let (script, _) = script.split_once("```").expect("its end");
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("ci.sh"), script).expect("a file");
    std::os::unix::fs::symlink(machine::tracer_path(), dir.path().join("tracer")).expect("a link");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").expect("PATH"));
    for (test, code) in
        [("true & exec sleep 3", 3), ("true & wait", 0), ("exit 4", 4), ("sleep 60 >/dev/null 2>&1 &", 3)]
    {
        let mut ci = Command::new("sh");
        ci.args(["ci.sh", "sh", "-c", test]).current_dir(dir.path()).env("PATH", &path).stdin(Stdio::null());
        let output = output(ci);
        assert_eq!(output.status.code(), Some(code), "{test}: {output:?}");
        assert!(page.contains("sh ci.sh sh -c 'true & exec sleep 3'"), "the page says what is tried");
        // This test adopted what was left behind on purpose.
        for process in machine::processes() {
            if process.ppid == std::process::id() as i32 && process.state != 'Z' {
                kill(process.pid, Signal::KILL);
            }
        }
    }
}
