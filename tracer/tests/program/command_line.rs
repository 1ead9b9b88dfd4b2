//! The program as a person starts it: help, wrong usage, exit codes, closed pipes.

use std::{
    io::Read,
    process::{Command, Output, Stdio},
};

pub fn tracer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command
        .args(args)
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LIB_BACKTRACE")
        .env("COLUMNS", "100")
        .env("TZ", "UTC");
    command
}

pub fn run(args: &[&str]) -> Output {
    tracer(args).output().unwrap()
}

pub fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help() {
    insta::assert_snapshot!(stdout(&["--help"]));
}

#[test]
fn help_of_watch() {
    insta::assert_snapshot!(stdout(&["watch", "-h"]));
}

#[test]
fn help_of_record() {
    insta::assert_snapshot!(stdout(&["record", "-h"]));
}

#[test]
fn help_of_export() {
    insta::assert_snapshot!(stdout(&["export", "--help"]));
}

#[test]
fn help_of_tree() {
    insta::assert_snapshot!(stdout(&["tree", "-h"]));
}

#[test]
fn help_of_why() {
    insta::assert_snapshot!(stdout(&["why", "--help"]));
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    for (args, wanted) in [
        (&[][..], "Usage: tracer <COMMAND>"),
        (&["wach"], "'watch'"),
        (&["watch", "--ring-size", "5MiB"], "the nearest are 4MiB and 8MiB"),
        (&["watch", "--rule", "unreaped-chld"], "'unreaped-child'"),
        (&["watch", "-s", "TREM"], "there are HUP, INT, QUIT"),
        (&["watch", "--events=sinal"], "'signal'"),
        (&["watch", "--min-severity", "loud"], "[possible values: info, warning, error]"),
        (&["watch", "--duration", "30"], "give a number and a unit"),
        (&["watch", "--ns", "x"], "give a host pid, or an inode number"),
        (&["watch", "-o", "yaml"], "[possible values: text, json]"),
        (&["record"], "--output <FILE>"),
        (&["record", "-o", "x", "--fail-on", "grave"], "there are info, warning, error, init-ignored-signal"),
        (&["record", "-o", "x", "--report", "html=x"], "there are junit=FILE, sarif=FILE and github"),
        (&["record", "-o", "x", "--rotate", "1KiB"], "256 KiB is too little"),
        (&["record", "-o", "x", "--rotate", "1MiB", "--snapshot-on", "unreaped-child"], "cannot be used with"),
        (&["record", "-o", "x", "--keep", "3"], "--rotate <SIZE>"),
        (&["record", "-o", "x", "--before", "3s"], "--snapshot-on"),
        (&["export", "x", "--to", "xml"], "[possible values: perfetto, jsonl, parquet, lake, csv]"),
        (&["explain", "nonsense"], "init-ignored-signal"),
        (&["man", "wach"], "no command is called wach; there are watch, top,"),
        (&["why"], "<PID|NAME>"),
        (&["why", "0"], "there is no pid 0"),
        (&["why", "1", "--at", "-10s"], "<FILE>"),
    ] {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
}

#[test]
fn every_rule_is_listed_and_explained() {
    let list = stdout(&["rules"]);
    for rule in tracer::rules::RULES {
        assert!(list.contains(rule.name), "{list}");
        let explanation = stdout(&["explain", rule.name]);
        assert!(explanation.starts_with(&format!("{} ({})\n", rule.name, rule.severity)), "{explanation}");
        assert!(explanation.contains(rule.explanation.trim()), "{explanation}");
    }
    for line in stdout(&["rules", "-o", "json"]).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["type"], "rule");
        assert!(tracer::rules::find(line["name"].as_str().unwrap()).is_some());
    }
}

#[test]
fn a_pipe_gets_no_colours() {
    for args in [&["rules"][..], &["explain", "unreaped-child"], &["--help"]] {
        assert!(!stdout(args).contains('\x1b'), "{args:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for args in [&["rules"][..], &["rules", "-o", "json"], &["explain", "unreaped-child"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = tracer(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {stderr}");
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = tracer(&["rules"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "tracer: cannot write to standard output: No space left on device (os error 28)\n");
}

#[test]
fn version() {
    assert_eq!(stdout(&["--version"]), format!("tracer {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_report_does_not_replace_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::os::unix::fs::symlink(".", dir.path().join("link")).unwrap();
    for (args, why) in [
        (&["--report", "junit=run.mcap"][..], "would replace the recording"),
        (&["--report", "github,sarif=sub/../link/run.mcap"], "would replace the recording"),
        (&["--report", "junit=run.7.mcap", "--rotate", "1MiB"], "would replace the recording"),
        (&["--report", "junit=./run.2.mcap", "--snapshot-on", "left-behind"], "would replace the recording"),
        (&["--report", "junit=x,sarif=link/x"], "two reports cannot both be"),
        (&["--report", "junit=nowhere/x"], "the report nowhere/x cannot be written: No such file"),
    ] {
        let mut record = Command::new(env!("CARGO_BIN_EXE_tracer"));
        record.current_dir(&dir).args(["record", "-o", "run.mcap"]).args(args).args(["--", "echo", "it runs"]);
        let output = record.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{args:?}: {stderr}");
        assert!(stderr.contains(why), "{args:?}: {stderr}");
    }
}
