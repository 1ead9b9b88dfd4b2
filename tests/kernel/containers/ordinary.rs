//! Ordinary life: containers start, are inspected, and end; one is built, and a package is installed. Every finding
//! must be true, and none may come twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
};

use tracer_tests::{
    Run,
    contract::{Finding, Line},
    engine::{Docker, Engine, IMAGE},
    run::findings,
};

use crate::me;

/// Containers, if `TRACER_TESTS_CONTAINERS` does not say otherwise.
const MANY: usize = 100;
/// How many containers live at a time.
const TOGETHER: usize = 4;

/// What a container's pid 1 is, and whether it will end when it is asked to.
const KINDS: [(&str, &[&str], bool); 4] = [
    ("deaf", &[IMAGE, "sleep", "1000"], false),
    ("below-an-init", &["--init", IMAGE, "sleep", "1000"], true),
    ("trapping", &[IMAGE, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"], true),
    ("shell-below-an-init", &["--init", IMAGE, "sh", "-c", "sleep 1000; true"], true),
];

pub fn ordinary_life() {
    let many = std::env::var("TRACER_TESTS_CONTAINERS").ok().and_then(|many| many.parse().ok()).unwrap_or(MANY);
    let docker = Docker::start();
    let options = Run::options().unreaped_after("2s").slow_stop_after("900ms").zombie_leak_at("10");
    let mut run = options.environment("DOCKER_HOST", docker.host()).start();
    let mut inits = BTreeMap::new();
    let mut deaf = BTreeSet::new();
    for first in (0..many).step_by(TOGETHER) {
        let names: Vec<_> =
            (first..many.min(first + TOGETHER)).map(|i| (format!("c{i}"), KINDS[i % KINDS.len()])).collect();
        for (name, (_, arguments, acts)) in &names {
            let init = docker.start_container(name, arguments);
            inits.insert(init, name.clone());
            if !acts {
                deaf.insert(init);
            }
        }
        // Health checks.
        for (name, _) in &names {
            docker.run(&["exec", name, "true"]);
            docker.run(&["exec", name, "sh", "-c", "ps | cat > /dev/null; true"]);
        }
        let all: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        docker.run(&[&["stop", "-t", "1"], &all[..]].concat());
        docker.run(&[&["rm"], &all[..]].concat());
    }
    build(&docker);
    install();
    run.settle();

    let mut told = BTreeMap::new();
    for finding in findings(run.lines()) {
        *told.entry((finding.rule.clone(), finding.process.pid)).or_insert(0_usize) += 1;
    }
    let mut table: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for finding in findings(run.lines()) {
        *table.entry(&finding.rule).or_default() += 1;
        if let Some(why) = is_wrong(finding, &inits, &deaf) {
            wrong.push(format!("{} about {}: {why}: {}", finding.rule, finding.process.comm, finding.message));
        }
    }
    let twice: Vec<_> = told.iter().filter(|&(_, &times)| times > 1).collect();
    let lost = run.lines().iter().filter(|line| matches!(line, Line::Lost(_))).count();
    let lines: usize = table.values().sum();
    println!("{many} containers, {} of them deaf; {lines} findings: {table:?}; lost: {lost}", deaf.len());
    assert!(wrong.is_empty(), "false: {wrong:#?}");
    assert!(twice.is_empty(), "told twice: {twice:?}");
    // And none is missing.
    for rule in ["init-ignored-signal", "slow-stop"] {
        assert_eq!(table.get(rule).copied().unwrap_or(0), deaf.len(), "{rule}");
    }
    run.end_with(rustix::process::Signal::INT);
}

/// Why a finding is false, as far as this test knows what it did.
fn is_wrong(finding: &Finding, inits: &BTreeMap<i32, String>, deaf: &BTreeSet<i32>) -> Option<&'static str> {
    let pid = finding.process.pid;
    match finding.rule.as_str() {
        "init-ignored-signal" | "slow-stop" if deaf.contains(&pid) => None,
        "init-ignored-signal" | "slow-stop" => Some("it ends when it is asked to"),
        // The loop's `sleep` may be there when its shell ends.
        "namespace-killed" | "stopped-by" if inits.contains_key(&pid) && !deaf.contains(&pid) => None,
        "killed-by" if finding.how.as_deref() != Some("unknown") => None,
        // Orphans come to this program, which reaps them when it gets round to it.
        "unreaped-child" if finding.parent.as_ref().is_some_and(|parent| parent.pid == me()) => None,
        // What an exec leaves behind for a moment.
        "orphan-adopted" if finding.confidence == "certain" => None,
        _ => Some("nothing of the kind was done"),
    }
}

/// An image of two layers.
fn build(docker: &Docker) {
    let context = tempfile::tempdir().expect("a temporary directory");
    let file = format!("FROM {IMAGE}\nRUN echo built > /built && cat /built\nCMD [\"sleep\", \"1\"]\n");
    fs::write(context.path().join("Dockerfile"), file).expect("a file");
    let mut command = docker.command(&["build", "--network", "none", "-t", "built:1"]);
    command.arg(context.path()).env("DOCKER_BUILDKIT", "0");
    let output = command.output().expect("docker can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A package with a script, installed and removed.
fn install() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let control = directory.path().join("tracer-test/DEBIAN");
    fs::create_dir_all(&control).expect("a directory");
    let text = "Package: tracer-test\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: nothing\n";
    fs::write(control.join("control"), text).expect("a file");
    let script = control.join("postinst");
    fs::write(&script, "#!/bin/sh\nsh -c 'true; ls /' > /dev/null\n").expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    let package = directory.path().join("tracer-test.deb");
    let source = directory.path().join("tracer-test");
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        let output = Command::new(program).args(arguments).output().expect("dpkg is there");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("dpkg-deb", &["--build".as_ref(), source.as_os_str(), package.as_os_str()]);
    run("dpkg", &["--install".as_ref(), package.as_os_str()]);
    run("dpkg", &["--purge".as_ref(), "tracer-test".as_ref()]);
}
