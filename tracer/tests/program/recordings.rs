//! What old recordings tell, for ever: traces of each version of the format, and that of the demo.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use crate::command_line::{stdout, tracer};

/// A trace of that version of the format; `tests/traces/record.sh` says what happens in it.
pub fn format(version: u32) -> String {
    let traces = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces");
    traces.join(format!("format-{version}.mcap")).into_os_string().into_string().unwrap()
}

#[test]
fn format_1_as_text() {
    insta::assert_snapshot!(stdout(&["replay", &format(1), "--events"]));
}

#[test]
fn format_1_as_json() {
    insta::assert_snapshot!(stdout(&["replay", &format(1), "-o", "json"]));
}

#[test]
fn there_is_a_trace_of_each_version_of_the_format() {
    for version in 1..=tracer::trace::FORMAT {
        assert!(PathBuf::from(format(version)).exists(), "{version}");
    }
}

#[test]
fn the_recorded_demo() {
    insta::assert_snapshot!(stdout(&["demo", "--recorded"]));
}

/// As nobody where the tests run as root, and as whoever runs them elsewhere.
#[test]
fn the_demo_without_root_says_that_it_is_a_recording_and_why() {
    const NOBODY: u32 = 65_534;
    // The program may lie where nobody else can go.
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("tracer");
    fs::copy(env!("CARGO_BIN_EXE_tracer"), &copy).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let mut demo = tracer(&["demo"]);
    if rustix::process::geteuid().is_root() {
        demo = Command::new(&copy);
        demo.arg("demo").uid(NOBODY).gid(NOBODY);
    }
    let output = demo.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("This is a recording, made by tracer "), "{text}");
    let why = text.lines().nth(1).unwrap();
    assert!(why.starts_with("why: nothing can be staged here: "), "{why}");
    // Where the kernel part was not built, that is the reason.
    assert!(why.contains("root") || why.contains("eBPF"), "{why}");
    for rule in ["init-ignored-signal", "unreaped-child", "orphan-adopted", "namespace-killed"] {
        assert!(text.contains(rule), "{text}");
    }
}
