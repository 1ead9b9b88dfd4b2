//! `tracer record`: the command beside the recording, whose findings count, and what is in the file.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

use nix::libc;
use rustix::process::Signal;
use tracer_tests::{
    Run,
    contract::{Finding, Line},
    machine,
    recorded::Recorded,
    run::{events, findings, output, tracer},
    stage::kill,
    terminal::Terminal,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("the_exit_code_is_the_commands", the_exit_code_is_the_commands),
        live("signals_are_passed_on", signals_are_passed_on),
        live("a_key_arrives_once", a_key_arrives_once),
        live("a_command_that_signals_its_group_is_not_told_so", a_command_that_signals_its_group_is_not_told_so),
        live("the_command_runs_as_the_caller", the_command_runs_as_the_caller),
        live("files_are_made_with_the_rights_of_the_caller", files_are_made_with_the_rights_of_the_caller),
        live("the_command_inherits_nothing_of_the_recorder", the_command_inherits_nothing_of_the_recorder),
        live("what_is_left_behind_is_found", what_is_left_behind_is_found),
        live("nothing_is_left_behind", nothing_is_left_behind),
        live("fails_on_a_planted_zombie", fails_on_a_planted_zombie),
        live("only_what_the_command_does_counts", only_what_the_command_does_counts),
        live("a_container_of_that_time_counts", a_container_of_that_time_counts),
        live("filters_leave_out_signals_only", filters_leave_out_signals_only),
        live("files_are_not_replaced_unasked", files_are_not_replaced_unasked),
        live("without_a_command_it_ends_when_asked", without_a_command_it_ends_when_asked),
        live("closed_streams_change_nothing", closed_streams_change_nothing),
    ]
}

/// Records a shell command to its end: exit code, standard output, standard error.
fn shell(args: &[&str], script: &str) -> (i32, String, String) {
    command(args, &["sh", "-c", script])
}

fn command(args: &[&str], words: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut record = tracer(&["record", "-o"]);
    record.arg(dir.path().join("run.mcap")).args(args).arg("--").args(words);
    let output = output(record);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn the_exit_code_is_the_commands() {
    assert_eq!(shell(&[], "exit 7").0, 7);
    assert_eq!(shell(&[], "true").0, 0);
    assert_eq!(shell(&[], "kill -KILL $$").0, 128 + 9);
    let (code, _, stderr) = command(&[], &["/no/such/program"]);
    assert_eq!(code, 127, "{stderr}");
    assert!(stderr.contains("cannot run /no/such/program: No such file"), "{stderr}");
    let (code, _, stderr) = command(&[], &["/etc/passwd"]);
    assert_eq!(code, 126, "{stderr}");
    assert!(stderr.contains("cannot run /etc/passwd: Permission denied"), "{stderr}");
}

fn signals_are_passed_on() {
    let mut recorded = Recorded::act(&[], &["listener"]);
    recorded.stage.pid("listener");
    let tracer = recorded.stage.id();
    for (signal, name) in [
        (Signal::INT, "SIGINT"),
        (Signal::HUP, "SIGHUP"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::TERM, "SIGTERM"),
    ] {
        kill(tracer, signal);
        recorded.stage.hears(name);
    }
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());
}

/// As a shell starts it: in the foreground of a terminal, with the command in the same process group.
fn a_key_arrives_once() {
    let terminal = Terminal::open();
    let path = std::ffi::CString::new(terminal.path()).expect("no zero in it");
    let workload = machine::workload_path();
    let mut recorded = Recorded::command(&[], &[workload.to_str().expect("text"), "listener"], |tracer| {
        // SAFETY: only system calls.
        unsafe {
            tracer.pre_exec(move || {
                // The first terminal that a session's leader opens is its own.
                let opened = libc::setsid() > 0 && libc::open(path.as_ptr(), libc::O_RDWR) >= 0;
                if opened { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
    });
    recorded.stage.pid("listener");
    for _ in 0..3 {
        const CTRL_C: u8 = 3;
        terminal.press(CTRL_C);
        recorded.stage.hears("SIGINT");
        // Whatever `tracer` passes on comes before this.
        kill(recorded.stage.id(), Signal::USR1);
        assert_eq!(recorded.stage.next_word(), "SIGUSR1");
    }
    kill(recorded.stage.id(), Signal::TERM);
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());
}

/// `trap 'kill 0' TERM` is common in scripts; if it were passed on again, it would never end.
fn a_command_that_signals_its_group_is_not_told_so() {
    let script = "trap 'echo USR1 0' USR1; trap 'echo USR2 0; exit 5' USR2; echo ready 0; \
                  kill -USR1 0; kill -USR2 $$";
    let mut recorded = Recorded::command(&[], &["sh", "-c", script], |tracer| {
        tracer.process_group(0);
    });
    for word in ["ready", "USR1", "USR2"] {
        assert_eq!(recorded.stage.next_word(), word);
    }
    assert_eq!(recorded.ends(), 5, "{}", recorded.said());
}

fn the_command_runs_as_the_caller() {
    let script =
        "id -u; id -g; id -G; echo $USER $HOME; echo sudo:$SUDO_UID$SUDO_USER; cat run.mcap >/dev/null || echo denied";
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("a mode");
    let mut record = tracer(&["record", "-o", "run.mcap", "--", "sh", "-c", script]);
    record.current_dir(dir.path());
    // What sudo sets when root itself called it.
    record.env("SUDO_UID", "65534").env("SUDO_GID", "65534").env("SUDO_USER", "nobody");
    let output = output(record);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534"], "{output:?}");
    assert!(lines[3].starts_with("nobody /"), "{output:?}");
    assert_eq!(lines[4..], ["sudo:"], "it owns the file: {output:?}");
    let file = fs::metadata(dir.path().join("run.mcap")).expect("the trace");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (65534, 65534, 0o600));
}

/// A user who may only run `tracer` as root gains nothing more by it.
fn files_are_made_with_the_rights_of_the_caller() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let of_root = dir.path().join("of-root");
    fs::write(&of_root, "x").expect("a file");
    fs::create_dir(dir.path().join("open")).expect("a directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
    fs::set_permissions(dir.path().join("open"), PermissionsExt::from_mode(0o777)).expect("a mode");
    let run = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = tracer(args);
        command.current_dir(dir.path()).envs(variables.iter().copied());
        let output = output(command);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout),
        )
    };
    let nobody = [("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "nobody")];
    let (code, said) = run(&nobody, &["record", "-o", "open/run.mcap", "--report", "junit=report.xml", "--", "true"]);
    assert_eq!(code, Some(1), "the report cannot be written: {said}");
    for args in [
        &["record", "--overwrite", "-o", "of-root", "--", "echo", "it runs"][..],
        &["record", "-o", "new", "--", "echo", "it runs"],
        &["record", "-o", "new", "--rotate", "1MiB", "--", "echo", "it runs"],
        &["record", "-o", "new", "--snapshot-on", "left-behind", "--", "echo", "it runs"],
        &["watch", "--record", "new", "--duration", "1ms"],
        &["export", "open/run.mcap", "--to", "csv", "-o", "new"],
        &["export", "open/run.mcap", "--to", "parquet", "-o", "new"],
    ] {
        let (code, said) = run(&nobody, args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("as nobody (uid 65534), for whom this runs: Permission denied"), "{args:?}: {said}");
        assert!(!said.contains("it runs"), "{args:?}: {said}");
    }
    let (code, said) = run(&[("SUDO_UID", "65534")], &["record", "-o", "open/other", "--", "echo", "it runs"]);
    assert!(code == Some(1) && said.contains("SUDO_GID is not set") && !said.contains("it runs"), "{said}");
    let there: Vec<_> =
        fs::read_dir(dir.path()).expect("it is there").map(|entry| entry.expect("a name").file_name()).collect();
    assert_eq!(there.len(), 2, "{there:?}");
    assert_eq!((fs::read(&of_root).expect("a file"), of_root.metadata().expect("a file").uid()), (b"x".to_vec(), 0));
}

fn the_command_inherits_nothing_of_the_recorder() {
    let script = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ls /proc/self/fd; umask; pwd";
    let (code, stdout, stderr) = shell(&[], script);
    assert_eq!(code, 0, "{stderr}");
    let mut alone = Command::new("sh");
    alone.args(["-c", script]).stdin(Stdio::null());
    // The C library sets those that it keeps for itself (32, 33) in whoever has threads, and refuses to set them back.
    let own = |text: &str| -> Vec<String> {
        let mask = |line: &str| {
            let (name, mask) = line.strip_prefix("Sig")?.split_once(":\t")?;
            Some(format!("{name} {:x}", u64::from_str_radix(mask, 16).ok()? & !(0b11 << 31)))
        };
        text.lines().map(|line| mask(line).unwrap_or_else(|| line.to_owned())).collect()
    };
    assert_eq!(own(&stdout), own(&String::from_utf8_lossy(&output(alone).stdout)), "it is not as without tracer");
    assert!(stdout.contains("SigBlk:\t0000000000000000\n"), "{stdout}");
}

fn of_rule<'a>(lines: &'a [Line], rule: &str) -> Vec<&'a Finding> {
    findings(lines).filter(|finding| finding.rule == rule).collect()
}

fn what_is_left_behind_is_found() {
    let mut recorded = Recorded::act(&["--fail-on", "left-behind"], &["leaver"]);
    let [leaver, orphan, debtor, zombie] =
        ["leaver", "orphan", "debtor", "zombie"].map(|name| recorded.stage.pid(name));
    recorded.stage.step("leave");
    assert_eq!(recorded.ends(), 3, "{}", recorded.said());
    assert!(recorded.said().contains("left 2 running processes and 1 zombie behind"), "{}", recorded.said());
    // A replay gives the same without being told.
    let lines = recorded.replay(&[]);
    let [finding] = of_rule(&lines, "left-behind")[..] else { panic!("{lines:?}") };
    assert_eq!((finding.process.pid, finding.running, finding.zombies), (leaver, Some(2), Some(1)));
    let mut named: Vec<_> = finding.processes.iter().flatten().collect();
    named.sort_by_key(|remnant| remnant.state.clone());
    let me = std::process::id() as i32;
    for remnant in &named {
        let parent = remnant.parent.as_ref().map(|parent| parent.pid);
        let expected = if remnant.process.pid == zombie { ("zombie", debtor) } else { ("running", me) };
        assert_eq!((remnant.state.as_str(), parent), (expected.0, Some(expected.1)), "{remnant:?}");
    }
    assert!(named.iter().any(|remnant| remnant.process.pid == orphan), "{named:?}");
    assert_eq!(named.len(), 3);
}

/// For an adopter that reaps, with descendants that are still exiting when the command ends.
fn nothing_is_left_behind() {
    for script in ["true & wait", "true &", "(true &)", "sleep 100 & kill $!", "sh -c 'sleep 100 & kill -9 $!'"] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut nursery = Command::new(machine::workload_path());
        nursery.arg("nursery").arg(machine::tracer_path()).args(["record", "--fail-on", "left-behind", "-o"]);
        nursery.arg(dir.path().join("run.mcap")).args(["--", "sh", "-c", script]).stdin(Stdio::null());
        let output = output(nursery);
        assert_eq!(output.status.code(), Some(0), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn fails_on_a_planted_zombie() {
    for (args, code) in [
        (&["--fail-on", "unreaped-child"][..], 3),
        (&["--fail-on", "warning"], 3),
        (&["--fail-on", "info,namespace-killed"], 3),
        (&["--fail-on", "error"], 0),
        (&["--fail-on", "init-ignored-signal"], 0),
        (&["--fail-on", "unreaped-child", "--rule", "init-ignored-signal"], 0),
        (&[], 0),
    ] {
        // A second `tracer` shows when the zombie is old enough for the first one.
        let mut run = Run::options().unreaped_after("500ms").start();
        let mut recorded = Recorded::act(&[args, &["--scope", "tree"]].concat(), &["parent", "never-waits"]);
        let parent = recorded.stage.pid("parent");
        recorded.stage.step("child");
        let child = recorded.stage.pid("child");
        run.watch_over(child);
        run.expect_finding("unreaped-child").about(child).parent(parent).once();
        recorded.stage.step("wait");
        recorded.stage.hears("reaped");
        recorded.stage.closes();
        assert_eq!(recorded.ends(), code, "{args:?}: {}", recorded.said());
        let lines = recorded.replay(&["--scope", "tree"]);
        let [finding] = of_rule(&lines, "unreaped-child")[..] else { panic!("{args:?}: {lines:?}") };
        assert_eq!((finding.process.pid, finding.parent.as_ref().map(|parent| parent.pid)), (child, Some(parent)));
    }
}

fn only_what_the_command_does_counts() {
    let mut run = Run::options().unreaped_after("500ms").start();
    let mut recorded = Recorded::act(&["--fail-on", "warning", "--scope", "tree"], &["listener"]);
    recorded.stage.pid("listener");
    let mut beside = run.stage(&["parent", "never-waits"]);
    beside.step("child");
    let child = beside.pid("child");
    run.expect_finding("unreaped-child").about(child).once();
    kill(recorded.stage.id(), Signal::TERM);
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());
    let about = |lines: &[Line]| findings(lines).filter(|finding| finding.process.pid == child).count();
    for scope in ["tree", "command"] {
        assert_eq!(about(&recorded.replay(&["--scope", scope])), 0);
    }
    assert_eq!(about(&recorded.replay(&["--scope", "host"])), 1);
}

/// A container's processes descend from a daemon, not from the client that asks for it.
fn a_container_of_that_time_counts() {
    let mut run = Run::start();
    let mut recorded = Recorded::act(&["--fail-on", "init-ignored-signal"], &["listener"]);
    recorded.stage.pid("listener");
    let (_stage, init) = run.unshare(&["sleep", "1000"]);
    let inside = Command::new("nsenter").args(["-t", &init.to_string(), "-p", "-m", "kill", "-TERM", "1"]).status();
    assert!(inside.expect("nsenter runs").success());
    run.expect_finding("init-ignored-signal").about(init).signal("SIGTERM").once();
    kill(recorded.stage.id(), Signal::TERM);
    assert_eq!(recorded.ends(), 3, "{}", recorded.said());
    let about = |scope| {
        let lines = recorded.replay(&["--scope", scope]);
        of_rule(&lines, "init-ignored-signal").iter().filter(|finding| finding.process.pid == init).count()
    };
    assert_eq!((about("tree"), about("command"), about("host")), (0, 1, 1));
}

fn filters_leave_out_signals_only() {
    let mut recorded = Recorded::act(&["-s", "USR2"], &["listener"]);
    let listener = recorded.stage.pid("listener");
    for (signal, name) in [(Signal::WINCH, "SIGWINCH"), (Signal::USR2, "SIGUSR2"), (Signal::TERM, "SIGTERM")] {
        kill(listener, signal);
        recorded.stage.hears(name);
    }
    assert_eq!(recorded.ends(), 0, "{}", recorded.said());
    assert!(recorded.said().contains("left out, which the filters do not show"), "{}", recorded.said());
    let mut command = tracer(&["replay", "-o", "json", "--events"]);
    command.arg(recorded.file());
    let stdout = String::from_utf8(output(command).stdout).expect("UTF-8");
    let lines: Vec<Line> = stdout.lines().map(|line| Line::parse(line).expect("the contract")).collect();
    let signals: Vec<_> = events(&lines, "signal").filter_map(|event| event.signal.as_deref()).collect();
    assert!(signals.contains(&"SIGUSR2"), "{signals:?}");
    assert!(!signals.contains(&"SIGWINCH") && !signals.contains(&"SIGCHLD"), "{signals:?}");
    // Fatal signals are kept: a finding may depend on one.
    assert!(signals.contains(&"SIGTERM"), "{signals:?}");
    for kind in ["exec", "exit", "reap"] {
        let about = |event: &&tracer_tests::contract::Event| event.process.as_ref().is_some_and(|p| p.pid == listener);
        assert_eq!(events(&lines, kind).filter(about).count(), 1, "{kind}");
    }
}

fn files_are_not_replaced_unasked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name);
    let record = |name: &str, more: &[&str]| {
        let mut command = tracer(&["record", "-o"]);
        command.arg(path(name)).args(more).args(["--", "true"]);
        let output = output(command);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    fs::write(path("there"), "precious").expect("a file");
    fs::write(path("there.1"), "precious").expect("a file");
    symlink(path("there"), path("link")).expect("a link");
    symlink(path("nowhere"), path("dangling")).expect("a link");
    for (name, more) in [
        ("there", &[][..]),
        ("link", &[]),
        ("dangling", &[]),
        ("link", &["--overwrite"]),
        (".", &["--overwrite"]),
        ("there", &["--rotate", "1MiB"]),
        ("there", &["--snapshot-on", "unreaped-child"]),
        ("link", &["--rotate", "1MiB", "--overwrite"]),
    ] {
        let (code, stderr) = record(name, more);
        assert_eq!(code, Some(1), "{name} {more:?}: {stderr}");
        assert!(stderr.contains("give another name"), "{name} {more:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(path("there")).expect("it is there"), "precious");
    assert!(!path("nowhere").exists());
    let (code, stderr) = record("there", &["--overwrite"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(tracer_tests::recorded::records(&path("there")) > 0);
}

fn without_a_command_it_ends_when_asked() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("run.mcap");
        let mut command = tracer(&["record", "-o"]);
        command.arg(&file).stderr(Stdio::piped());
        let tracer = command.spawn().expect("it starts");
        // It has the first chunk when it is under way, and the signals are its own by then.
        while fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
            std::thread::yield_now();
        }
        kill(tracer.id() as i32, signal);
        let output = tracer.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let lines = tracer_tests::recorded::replay(&file, &[]);
        assert!(matches!(lines.last(), Some(Line::Summary(_))), "{lines:?}");
    }
}

fn closed_streams_change_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("run.mcap");
    let zombie = "exec 2>/dev/null; exit 7";
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = tracer(&["record", "--report", "github", "-o"]);
    command.arg(&file).args(["--", "sh", "-c", zombie]);
    command.stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
    assert_eq!(command.status().expect("it ends").code(), Some(7));
    tracer_tests::recorded::replay(&file, &[]);
}
