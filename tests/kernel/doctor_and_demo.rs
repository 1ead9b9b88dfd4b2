//! What a newcomer runs first: `tracer doctor` and `tracer demo`.

use std::{
    os::unix::process::CommandExt,
    time::{Duration, Instant},
};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use serde_json::Value;
use tracer::source::load::HOOKS;
use tracer_tests::{
    machine::{self, Need},
    run::{output, tracer},
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("doctor_as_root", doctor_as_root),
        Test { name: "doctor_as_nobody", body: doctor_as_nobody, needs: vec![Need::Tracer, Need::Root] },
        live("demo", demo),
    ]
}

fn doctor_as_root() {
    let output = output(tracer(&["doctor", "-o", "json"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (checks, verdict) = report(&output.stdout);
    assert_eq!(verdict["live_tracing"], true);
    let hooks = checks.iter().filter(|check| check["name"].as_str().is_some_and(|name| name.starts_with("hook:")));
    assert_eq!(hooks.count(), HOOKS.len());
}

fn doctor_as_nobody() {
    let mut doctor = tracer(&["doctor", "-o", "json"]);
    // SAFETY: only system calls between fork and exec.
    unsafe {
        doctor.pre_exec(|| {
            setgroups(&[])?;
            setgid(Gid::from_raw(65534))?;
            Ok(setuid(Uid::from_raw(65534))?)
        });
    }
    let output = output(doctor);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (checks, verdict) = report(&output.stdout);
    assert_eq!(verdict["live_tracing"], false);
    let capabilities = checks.iter().find(|check| check["name"] == "capabilities").expect("it looks at capabilities");
    assert_eq!(capabilities["status"], "fail");
    assert_eq!(capabilities["next_step"], "run it with sudo");
}

/// The lines: checks, then one verdict.
fn report(stdout: &[u8]) -> (Vec<Value>, Value) {
    let text = std::str::from_utf8(stdout).expect("UTF-8");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let verdict = lines.pop().expect("a last line");
    assert_eq!(verdict["type"], "verdict");
    assert!(verdict["sentences"].as_array().is_some_and(|sentences| !sentences.is_empty()), "{verdict}");
    for line in &lines {
        let fields: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut wanted = ["type", "name", "status", "detail", "next_step"];
        wanted.sort_unstable();
        assert_eq!(fields, wanted, "{line}");
        assert_eq!(line["type"], "check");
        assert!(["ok", "warn", "fail"].iter().any(|status| line["status"] == *status), "{line}");
    }
    let names: std::collections::BTreeSet<_> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(names.len(), lines.len(), "each name once");
    (lines, verdict)
}

fn demo() {
    let namespaces =
        || machine::pids().into_iter().filter_map(machine::pid_ns).collect::<std::collections::BTreeSet<_>>();
    let before = namespaces();
    let began = Instant::now();
    let output = output(tracer(&["demo"]));
    assert!(began.elapsed() < machine::patience(Duration::from_secs(10)), "a newcomer has no more patience");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut rest = text.as_str();
    for rule in ["init-ignored-signal", "unreaped-child", "orphan-adopted", "unreaped-child", "namespace-killed"] {
        let at = rest.find(rule).unwrap_or_else(|| panic!("{rule} is not where it should be in:\n{text}"));
        rest = &rest[at + rule.len()..];
    }
    assert!(text.contains("killed the 4 processes left"), "{text}");
    assert!(namespaces().is_subset(&before), "something is left of the stage");
}
