//! Scenarios 11 to 27 in containers of real engines: common problems, reported with the container's name, and silence
//! where nothing is wrong.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use tracer_tests::{
    Run,
    contract::{Finding, Line, Process, Sender},
    engine::{Docker, Engine, IMAGE, Podman},
    machine::{self, Control, Group, Need},
    stage::{await_end_of, kill},
};

use super::{engine_test, executes, is_asked_by, known};
use crate::Test;

pub fn trials() -> Vec<Test> {
    vec![
        engine_test("docker_orphans", docker_orphans, "dockerd"),
        engine_test("docker_orphans_below_an_init", docker_orphans_below_an_init, "dockerd")
            .needs(Need::Program("docker-init")),
        engine_test("docker_orphans_of_the_host", docker_orphans_of_the_host, "dockerd"),
        engine_test("docker_a_parent_that_never_waits", docker_a_parent_that_never_waits, "dockerd"),
        engine_test("docker_merged_signals", docker_merged_signals, "dockerd"),
        engine_test("docker_a_namespace_in_a_container", docker_a_namespace_in_a_container, "dockerd"),
        engine_test("docker_leak", docker_leak, "dockerd").needs(Need::PidsLimit),
        engine_test("docker_exec_leftover", docker_exec_leftover, "dockerd"),
        engine_test("docker_end_of_a_namespace", docker_end_of_a_namespace, "dockerd"),
        engine_test("docker_kill", docker_kill, "dockerd"),
        engine_test("docker_cgroup_kill", docker_cgroup_kill, "dockerd").needs(Need::CgroupKill),
        engine_test("docker_out_of_memory", docker_out_of_memory, "dockerd").needs(Need::MemoryLimit),
        engine_test("docker_ends_from_inside", docker_ends_from_inside, "dockerd"),
        engine_test("docker_ends_without_its_child", docker_ends_without_its_child, "dockerd"),
        engine_test("podman_orphans", podman_orphans, "podman"),
        engine_test("podman_exec_leftover", podman_exec_leftover, "podman"),
    ]
}

fn beside(docker: &Docker) -> Run {
    let options = Run::options().events("fork").slow_stop_after("900ms");
    options.environment("DOCKER_HOST", docker.host()).start()
}

/// A command that leaves a child to its adopter; the child ends a moment later.
const LEAVES_ONE: [&str; 3] = ["sh", "-c", "(sleep 0.3 &)"];

/// Scenarios 12 and 23: what an exec leaves behind goes to a pid 1 that was not made for that.
fn orphans(engine: &impl Engine, run: &mut Run) {
    let web = engine.start_container("web", &[IMAGE, "sleep", "1000"]);
    run.watch_over(web);
    executes(run, "web", "sleep");
    engine.run(&[&["exec", "web"], &LEAVES_ONE[..]].concat());
    let adopted = run.expect_finding("orphan-adopted").adopter(web, "namespace-init").in_container("web").once();
    let orphan = adopted.process.pid;
    run.watch_over(orphan);
    let blame = "adopted by an init that never waits";
    run.expect_finding("unreaped-child").about(orphan).parent(web).blame(blame).in_container("web").once();
}

fn docker_orphans() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    orphans(&docker, &mut run);
    run.finish();
}

fn podman_orphans() {
    let podman = Podman::new();
    let mut run = Run::options().events("fork").start();
    orphans(&podman, &mut run);
    run.finish();
}

fn docker_orphans_below_an_init() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let init = docker.start_container("web", &["--init", IMAGE, "sleep", "1000"]);
    run.watch_over(init);
    let told = known(&mut run, "that it has an init", |one| one.name.as_deref() == Some("web") && one.init.is_some());
    assert_eq!(told.init, Some(true));
    executes(&mut run, "web", "sleep");
    docker.run(&[&["exec", "web"], &LEAVES_ONE[..]].concat());
    let adopted = run.expect_finding("orphan-adopted").adopter(init, "namespace-init").in_container("web").once();
    run.watch_over(adopted.process.pid);
    thread::sleep(Duration::from_millis(500));
    run.finish();
}

/// Scenario 13: in the host's pid namespace it is the shim that adopts, as a subreaper, and reaps.
fn docker_orphans_of_the_host() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let script = "(sleep 0.3 &); exec sleep 1000";
    docker.start_container("hosty", &["--pid", "host", IMAGE, "sh", "-c", script]);
    let is_in_hosty = |f: &Finding| f.process.container.as_deref() == Some("hosty");
    let adopted = run.expect_finding("orphan-adopted").so_that("in hosty", is_in_hosty).once();
    assert_eq!(adopted.adopter_class.as_deref(), Some("subreaper"), "{adopted:?}");
    assert!(adopted.adopter.is_some_and(|shim| shim.comm.starts_with("containerd-shim")));
    run.watch_over(adopted.process.pid);
    thread::sleep(Duration::from_millis(500));
    run.finish();
}

/// Scenario 11: the child of a program that is not pid 1 and does not reap.
fn docker_a_parent_that_never_waits() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let script = "sh -c 'true & exec /bin/sleep 1000' & wait";
    docker.start_container("web", &[IMAGE, "sh", "-c", script]);
    let parent = executes(&mut run, "web", "sleep");
    let by_parent = run.expect_finding("unreaped-child").parent(parent.pid).in_container("web");
    let found = by_parent.blame("parent alive and never waits").certain().once();
    run.watch_over(found.process.pid);
    docker.run(&["kill", "web"]);
    run.allow("namespace-killed");
    run.finish();
}

/// Scenario 16: a handler that waits once for several children.
fn docker_merged_signals() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let workload = machine::program_path("workload");
    let script = format!("(sleep 1; echo end; sleep 1000) | chroot /host {} together once", workload.display());
    docker.start_container("web", &["-v", "/:/host", IMAGE, "sh", "-c", &script]);
    let parent = executes(&mut run, "web", "workload");
    let found = run.expect_finding("coalesced-sigchld").about(parent.pid).in_container("web").certain().once();
    assert_eq!((found.zombies, found.reaped), (Some(7), Some(1)));
    docker.run(&["kill", "web"]);
    run.allow("namespace-killed");
    run.finish();
}

/// Scenario 26: pid 1 of a namespace within that of the container, and in no other container.
fn docker_a_namespace_in_a_container() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let script = "exec chroot /host /usr/bin/unshare -p -f /bin/sleep 1000";
    docker.start_container("web", &["--cap-add", "SYS_ADMIN", "-v", "/:/host", IMAGE, "sh", "-c", script]);
    let init = executes(&mut run, "web", "sleep");
    assert_eq!((init.ns_level, init.ns_pid), (2, 1));
    docker.run(&["exec", "web", "sh", "-c", "kill -TERM -1"]);
    let found = run.expect_finding("init-ignored-signal").about(init.pid).signal("SIGTERM");
    let found = found.in_container("web").certain().once();
    assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.ns_level == 1), "{found:?}");
    docker.run(&["kill", "web"]);
    run.allow("namespace-killed");
    run.finish();
}

/// Scenario 15: one more zombie in each round of a script, until no pid is left.
fn docker_leak() {
    const LIMIT: u64 = 40;
    let docker = Docker::start();
    let options = Run::options().slow_stop_after("900ms").zombie_leak_at("10");
    let mut run = options.environment("DOCKER_HOST", docker.host()).start();
    let script = "while :; do (sleep 0.1 &) ; sleep 0.2; done";
    let web = docker.start_container("web", &["--pids-limit", "40", IMAGE, "sleep", "1000"]);
    executes(&mut run, "web", "sleep");
    docker.run(&["exec", "-d", "web", "sh", "-c", script]);
    let leak = run.expect_finding("zombie-leak").about(web).in_container("web").once();
    assert!(leak.message.contains("container web runs out of pids in"), "{}", leak.message);
    let limit = leak.limit.expect("it has one");
    assert_eq!((limit.most, limit.of_machine), (LIMIT, false));
    let is_full = |f: &Finding| f.most == Some(LIMIT) && f.used.is_some_and(|used| used >= LIMIT * 4 / 5);
    let pressure = run.expect_finding("pid-pressure").about(web).so_that("of the container", is_full).once();
    assert!(pressure.zombies.is_some_and(|zombies| zombies > LIMIT / 2), "{pressure:?}");
    // The forecast comes true: a fork fails there.
    run.wait_until("a fork that fails", |line| match line {
        Line::Finding(finding) => finding.rule == "pid-pressure" && finding.failed.is_some_and(|failed| failed > 0),
        _ => false,
    });
    docker.run(&["kill", "web"]);
    run.find("the end of the leak", |line| match line {
        Line::Finding(finding) => (finding.rule == "zombie-leak" && finding.stage == "resolved").then_some(()),
        _ => None,
    });
    for rule in ["unreaped-child", "orphan-adopted", "namespace-killed"] {
        run.allow(rule);
    }
    run.finish();
}

/// Reports that it has a terminal, reports it again on request, and then becomes `cat`.
const WHILE_ASKED: &str = "trap 'echo again; exec /bin/cat' USR1; echo ready; while :; do sleep 0.1; done";

/// Scenario 22: the program does not learn that its client was killed.
///
/// Whoever watches over the program (conmon) ends, and its terminal with it, if it cannot tell the client which pid the
/// program has: it does so right after the runtime has ended, and hands on what the program says from then on.
fn leftover(engine: &impl Engine, run: &mut Run, client_of: &'static str) -> (Child, Process) {
    engine.start_container("web", &[IMAGE, "sleep", "1000"]);
    executes(run, "web", "sleep");
    let mut client = engine.command(&["exec", "-t", "web", "sh", "-c", WHILE_ASKED]);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().expect("a client can be started");
    let mut said = BufReader::new(client.stdout.take().expect("it is piped")).lines();
    let mut hears = |word: &str| {
        let is_it = |line: std::io::Result<String>| line.is_ok_and(|line| line.trim_end() == word);
        assert!(said.by_ref().any(is_it), "the client never said {word:?}");
    };
    let shell = executes(run, "web", "sh");
    hears("ready");
    let parent = machine::parent_of(shell.pid).expect("it lives");
    if fs::read_to_string(format!("/proc/{parent}/comm")).is_ok_and(|comm| comm.trim_end() == "runc") {
        await_end_of(parent);
    }
    kill(shell.pid, Signal::USR1);
    hears("again");
    let inside = executes(run, "web", "cat");
    run.watch_over(inside.pid);
    kill(client.id() as i32, Signal::KILL);
    let found = run.expect_finding("exec-leftover").about(inside.pid).in_container("web").certain().once();
    assert_eq!(found.client.as_ref().map(|client| client.comm.as_str()), Some(client_of), "{found:?}");
    assert_eq!(found.client_status, Some(serde_json::json!({"signal": "SIGKILL"})));
    assert!(found.pty.is_some_and(|pty| pty.starts_with("/dev/pts/")));
    (client, inside)
}

/// The end of the leftover is reported, too.
fn ends(run: &mut Run, mut client: Child, inside: &Process) {
    let _ = client.wait();
    kill(inside.pid, Signal::KILL);
    run.find("the end of what was left", |line| match line {
        Line::Finding(finding) => (finding.rule == "exec-leftover" && finding.stage == "resolved").then_some(()),
        _ => None,
    });
}

fn docker_exec_leftover() {
    let docker = Docker::start();
    let options = Run::options().events("fork").args(&["--exec-leftover-after", "500ms"]);
    let mut run = options.environment("DOCKER_HOST", docker.host()).start();
    let (client, inside) = leftover(&docker, &mut run, "docker");
    ends(&mut run, client, &inside);
    // With -d, it was left alone on purpose; and a health check ends before its client.
    docker.run(&["exec", "-d", "web", "sleep", "500"]);
    let detached = executes(&mut run, "web", "sleep");
    run.watch_over(detached.pid);
    docker.run(&["exec", "web", "true"]);
    thread::sleep(Duration::from_millis(800));
    run.finish();
}

fn podman_exec_leftover() {
    let podman = Podman::new();
    let mut run = Run::options().events("fork").args(&["--exec-leftover-after", "500ms"]).start();
    let (client, inside) = leftover(&podman, &mut run, "podman");
    ends(&mut run, client, &inside);
    run.finish();
}

/// Scenario 24: the entrypoint ends and takes its background job along.
fn docker_end_of_a_namespace() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    docker.start_container("web", &[IMAGE, "sh", "-c", "sleep 1000 & sleep 1001 & sleep 1; true"]);
    let found = run.expect_finding("namespace-killed").in_container("web").killed(2).certain().once();
    assert_eq!((found.process.comm.as_str(), found.process.ns_pid), ("sh", 1));
    run.finish();
}

/// Scenario 27: a person, by way of the engine.
fn docker_kill() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    run.judge_kills();
    let web = docker.start_container("web", &[IMAGE, "sleep", "1000"]);
    executes(&mut run, "web", "sleep");
    docker.run(&["kill", "web"]);
    let by_process = |f: &Finding| f.how.as_deref() == Some("process") && is_asked_by(f, "docker");
    let found = run.expect_finding("killed-by").about(web).in_container("web").signal("SIGKILL");
    let found = found.so_that("by a process, for a docker", by_process).certain().once();
    assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.comm == "runc"), "{found:?}");
    let ancestors = found.ancestors.expect("the contract says so");
    assert!(ancestors.iter().any(|one| one.comm.starts_with("containerd-shim")), "{ancestors:?}");
    run.finish();
}

/// Scenario 27: all of a control group at once.
fn docker_cgroup_kill() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    run.judge_kills();
    let web = docker.start_container("web", &[IMAGE, "sleep", "1000"]);
    executes(&mut run, "web", "sleep");
    let group = Group::new(Control::Kill).expect("it was there before");
    group.takes(web);
    fs::write(group.file(Control::Kill).expect("it was there before"), "1").expect("cgroup.kill");
    let found = run.expect_finding("killed-by").about(web).in_container("web").signal("SIGKILL").certain();
    let found = found.so_that("cgroup-kill", |f| f.how.as_deref() == Some("cgroup-kill")).once();
    assert!(matches!(&found.sender, Some(Sender::Process(sender)) if sender.pid == std::process::id() as i32));
    run.finish();
}

/// Scenario 27: more memory than the container may have.
fn docker_out_of_memory() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    run.judge_kills();
    let hog = "BEGIN { s = \"0123456789abcdef\"; while (1) s = s s }";
    docker.start_container("hog", &["-m", "32m", IMAGE, "sh", "-c", &format!("sleep 1; awk '{hog}'")]);
    let found = run.expect_finding("killed-by").in_container("hog").signal("SIGKILL");
    let found = found.so_that("for want of memory", |f| f.how.as_deref() == Some("oom")).once();
    let memory = found.out_of_memory.as_ref().expect("the log of the kernel can be read");
    let id = found.process.container_id.as_ref().expect("it is in a container");
    assert!(memory.whose == "group" && memory.group.as_ref().is_some_and(|path| path.contains(id)), "{memory:?}");
    assert!(found.message.contains("at its memory limit"), "{}", found.message);
    run.finish();
}

/// Scenario 27: for what a program did, and because its parent ended.
fn docker_ends_from_inside() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    run.judge_kills();
    let workload = machine::program_path("workload");
    let ends =
        [("faulty", "end by-fault", "SIGSEGV", "fault"), ("orphaned", "death-of-a-parent", "SIGKILL", "parent-death")];
    for (name, act, signal, how) in ends {
        // The workload ends when it is asked to; a core dump would be the host's.
        let asked = format!("(sleep 1; echo end; sleep 1) | chroot /host {} {act}", workload.display());
        let script = format!("ulimit -c 0; {asked}; sleep 1000");
        docker.start_container(name, &["-v", "/:/host", IMAGE, "sh", "-c", &script]);
        let found = run.expect_finding("killed-by").in_container(name).signal(signal).certain();
        found.so_that(how, move |f| f.how.as_deref() == Some(how)).once();
    }
    docker.run(&["kill", "faulty", "orphaned"]);
    for rule in ["namespace-killed", "orphan-adopted", "unreaped-child"] {
        run.allow(rule);
    }
    run.finish();
}

/// Scenario 9: a shell that acts on the signal, but does not pass it on to the program that it runs.
fn docker_ends_without_its_child() {
    let docker = Docker::start();
    let mut run = beside(&docker);
    let script = "sleep 1000 & trap 'exit 0' TERM; wait";
    let web = docker.start_container("web", &[IMAGE, "sh", "-c", script]);
    executes(&mut run, "web", "sh");
    // A child that has only just begun does not count.
    thread::sleep(Duration::from_millis(1_500));
    docker.run(&["stop", "-t", "5", "web"]);
    let found = run.expect_finding("signal-not-forwarded").about(web).in_container("web").signal("SIGTERM").once();
    assert_eq!((found.count, found.has_ended), (Some(1), Some(true)), "{found:?}");
    run.allow("namespace-killed");
    run.finish();
}
