//! Processes of real engines' containers carry the container's name, wherever they live.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use tracer_tests::{
    Run,
    contract::{Container, Event, Finding, Line, Process},
    engine::{CONTAINERD_NAMESPACE, Docker, Engine, IMAGE, Podman, root_file_system},
    machine::{Control, Group, Need},
    run::{events, output},
    stage::kill,
};

use crate::{Test, kubernetes, live};

mod ordinary;
mod troubles;

/// A test with containers of busybox, by the engine of that name.
fn engine_test(name: &'static str, body: fn(), program: &'static str) -> Test {
    live(name, body).needs(Need::Program(program)).needs(Need::Program("busybox"))
}

pub fn trials() -> Vec<Test> {
    let engine = engine_test;
    let mut trials = vec![
        engine("docker_names", docker_names, "dockerd"),
        engine("docker_before_tracing", docker_before_tracing, "dockerd"),
        engine("docker_in_shared_pid_namespaces", docker_in_shared_pid_namespaces, "dockerd"),
        engine("docker_with_an_init", docker_with_an_init, "dockerd").needs(Need::Program("docker-init")),
        engine("docker_with_a_shell_that_does_not_forward", docker_with_a_shell_that_does_not_forward, "dockerd"),
        engine("docker_audit", docker_audit, "dockerd"),
        engine("docker_filters", docker_filters, "dockerd"),
        engine("docker_that_does_not_answer", docker_that_does_not_answer, "dockerd"),
        engine("podman", podman, "podman"),
        engine("containerd", containerd, "dockerd"),
        engine("containerd_image", containerd_image, "dockerd"),
        engine("containerd_pod", containerd_pod, "dockerd"),
        engine("runc_alone", runc_alone, "runc"),
        live("unit_of_systemd", unit_of_systemd).needs(Need::CgroupKill),
        engine("ordinary_life", ordinary::ordinary_life, "dockerd")
            .needs(Need::Program("docker-init"))
            .needs(Need::Program("dpkg-deb")),
    ];
    trials.extend(troubles::trials());
    trials.extend(kubernetes::trials());
    trials
}

/// Starts a reader that knows where this dockerd listens.
fn beside(docker: &Docker, arguments: &[&str]) -> Run {
    let options = Run::options().events("fork,exit,signal").slow_stop_after("900ms").args(arguments);
    options.environment("DOCKER_HOST", docker.host()).start()
}

/// Waits until a container is known like that; what is known of it.
fn known(run: &mut Run, what: &str, is_it: impl Fn(&Container) -> bool) -> Container {
    run.find(what, |line| match line {
        Line::Container(container) if is_it(container) => Some(container.clone()),
        _ => None,
    })
}

/// Waits for the exec of a program in a container; returns the process. The engine's name for the container may be
/// known a moment later than its id.
fn executes(run: &mut Run, container: &str, comm: &str) -> Process {
    let mut others: Vec<Process> = Vec::new();
    run.find(&format!("the exec of {comm} in {container}"), |line| match line {
        Line::Event(event) => {
            let process = event.process.as_ref().filter(|process| event.kind == "exec" && process.comm == comm)?;
            if process.container.as_deref() == Some(container) {
                return Some(process.clone());
            }
            others.push(process.clone());
            None
        }
        Line::Container(known) if known.name.as_deref() == Some(container) => {
            let is_in = |process: &Process| process.container.as_deref().is_some_and(|id| known.id.starts_with(id));
            others.iter().rfind(|process| is_in(process)).cloned()
        }
        _ => None,
    })
}

/// The engine waited for a second, in vain.
fn wasted_a_second(run: &mut Run, init: i32, container: &'static str, signal: &'static str) -> Finding {
    let slow = run.expect_finding("slow-stop").about(init).in_container(container).signal(signal).certain().once();
    assert_eq!(slow.verdict.as_deref(), Some("no-handler"));
    assert!(slow.wasted_ns.is_some_and(|ns| (900_000_000..3_000_000_000).contains(&ns)), "{slow:?}");
    assert!(slow.killer.is_some() && slow.evidence.len() == 3, "{slow:?}");
    slow
}

/// Acts in time: nothing is slow, nothing was dropped.
fn docker_with_an_init() {
    let docker = Docker::start();
    let mut run = beside(&docker, &[]);
    let init = docker.start_container("web", &["--init", IMAGE, "sleep", "1000"]);
    run.watch_over(init);
    executes(&mut run, "web", "sleep");
    docker.run(&["stop", "-t", "5", "web"]);
    run.finish();
}

/// A shell with a trap that it cannot run, because it waits for its command.
fn docker_with_a_shell_that_does_not_forward() {
    let docker = Docker::start();
    let mut run = beside(&docker, &[]);
    let shell =
        docker.start_container("web", &[IMAGE, "sh", "-c", "trap 'exit 0' TERM; cat /dev/zero > /dev/null; true"]);
    executes(&mut run, "web", "sh");
    docker.run(&["stop", "-t", "1", "web"]);
    let slow = run.expect_finding("slow-stop").about(shell).in_container("web").signal("SIGTERM").once();
    // The end of its child belongs to it.
    assert_eq!((slow.verdict.as_deref(), slow.left), (Some("delivered"), Some(1)));
    run.finish();
}

/// A container that lives for a moment, one that is stopped in vain, and a program brought into that one.
fn docker_names() {
    let docker = Docker::start();
    let mut run = beside(&docker, &[]);
    docker.run(&["run", "--rm", "--network", "none", "--name", "short", IMAGE, "true"]);
    let short = executes(&mut run, "short", "true");
    assert_eq!((short.ns_level, short.ns_pid), (1, 1));

    let web = docker.start_container("web", &["--stop-signal", "INT", IMAGE, "sleep", "1000"]);
    assert_eq!(executes(&mut run, "web", "sleep").pid, web);
    let container = known(&mut run, "all of the container web", |container| {
        container.name.as_deref() == Some("web") && container.stop_signal.is_some()
    });
    assert_eq!((container.engine.as_str(), container.label.as_str()), ("docker", "web"));
    assert_eq!((container.image.as_deref(), container.stop_signal.as_deref()), (Some(IMAGE), Some("INT")));
    assert_eq!((container.pid_mode.as_deref(), container.init), (None, Some(false)));

    docker.run(&["exec", "web", "true"]);
    assert_eq!(executes(&mut run, "web", "true").container_id, Some(container.id));

    docker.run(&["stop", "-t", "1", "web"]);
    let dropped = run.expect_finding("init-ignored-signal").about(web).signal("SIGINT").in_container("web").once();
    let slow = wasted_a_second(&mut run, web, "web", "SIGINT");
    assert!([dropped, slow].iter().all(|finding| is_asked_by(finding, "docker")));
    let finished = run.finish();
    // From its first moment to its last.
    let of_short = |event: &&Event| event.process.as_ref().is_some_and(|process| process.pid == short.pid);
    let ends: Vec<_> = events(&finished.lines, "exit").filter(of_short).collect();
    assert!(!ends.is_empty(), "the end of the short one was not seen");
    assert!(ends.iter().all(|end| end.process.as_ref().is_some_and(|process| process.container == short.container)));
}

/// Whether a client of that name, started here, asked the engine for it.
pub(crate) fn is_asked_by(finding: &Finding, client: &str) -> bool {
    let me = std::process::id() as i32;
    finding.asked_by.as_deref().is_some_and(|asked_by| match asked_by {
        [first, then, ..] => first.comm == client && then.pid == me,
        _ => false,
    })
}

fn docker_before_tracing() {
    let docker = Docker::start();
    let old = docker.start_container("old", &[IMAGE, "sh", "-c", "sleep 1000; true"]);
    let mut client = docker.command(&["exec", "old", "sleep", "999"]).spawn().expect("docker can be started");
    let inside = || docker.run(&["top", "old", "-o", "pid,args"]);
    while !inside().contains("sleep 999") {}
    let mut run = beside(&docker, &[]);
    known(&mut run, "the name of the container old", |container| container.name.as_deref() == Some("old"));
    let mut tree = tracer_tests::tracer(&["tree", "-o", "json"]);
    tree.env("DOCKER_HOST", docker.host());
    let tree = String::from_utf8(output(tree).stdout).expect("JSON is UTF-8");
    let members: Vec<_> = tree
        .lines()
        .map(|line| match Line::parse(line) {
            Ok(Line::Process(process)) => process,
            other => panic!("{other:?}"),
        })
        .filter(|process| process.container.as_deref() == Some("old"))
        .map(|process| process.argv.join(" "))
        .collect();
    assert_eq!(members.len(), 3, "{members:?}");
    assert!(["sleep 1000", "sleep 999"].iter().all(|line| members.contains(&(*line).to_owned())), "{members:?}");

    docker.run(&["stop", "-t", "1", "old"]);
    run.expect_finding("init-ignored-signal").about(old).in_container("old").once();
    wasted_a_second(&mut run, old, "old", "SIGTERM");
    client.wait().expect("docker can be waited for");
    run.finish();
}

fn docker_in_shared_pid_namespaces() {
    let docker = Docker::start();
    let mut run = beside(&docker, &[]);
    let web = docker.start_container("web", &[IMAGE, "sleep", "1000"]);
    docker.start_container("joined", &["--pid", "container:web", IMAGE, "sleep", "1001"]);
    docker.start_container("hosty", &["--pid", "host", IMAGE, "sleep", "1002"]);
    let joined = executes(&mut run, "joined", "sleep");
    assert_eq!(joined.ns_level, 1);
    let hosty = executes(&mut run, "hosty", "sleep");
    assert_eq!(hosty.ns_level, 0);
    known(&mut run, "the pid mode of hosty", |container| container.pid_mode.as_deref() == Some("host"));
    docker.run(&["kill", "-s", "KILL", "web"]);
    // A process that joined dies with it.
    run.expect_finding("namespace-killed").about(web).in_container("web").killed(1).once();
    run.wait_until("the end of the one that joined", |line| {
        let Line::Event(event) = line else { return false };
        event.kind == "exit" && event.process.as_ref().is_some_and(|process| process.pid == joined.pid)
    });
    run.finish();
}

fn docker_filters() {
    let docker = Docker::start();
    let mut run = beside(&docker, &["--container", "one"]);
    docker.start_container("one", &[IMAGE, "sleep", "1000"]);
    docker.start_container("two", &[IMAGE, "sleep", "1000"]);
    docker.run(&["kill", "-s", "TERM", "two"]);
    docker.run(&["kill", "-s", "TERM", "one"]);
    run.wait_until(
        "the signal to the one",
        |line| matches!(line, Line::Event(event) if event.signal.as_deref() == Some("SIGTERM")),
    );
    let of_one = |process: &Option<Process>| process.as_ref().is_some_and(|p| p.container.as_deref() == Some("one"));
    for line in run.lines() {
        let is_shown = match line {
            Line::Event(event) => {
                let Event { process, parent, target, owed_by, adopter, .. } = &**event;
                [process, parent, target, owed_by, adopter].into_iter().any(of_one)
                    || matches!(&event.sender, Some(tracer_tests::contract::Sender::Process(sender)) if of_one(&Some(sender.clone())))
            }
            Line::Finding(finding) => of_one(&Some(finding.process.clone())),
            Line::Container(container) => container.label != "two",
            _ => true,
        };
        assert!(is_shown, "{line:?}");
    }
    // The markers that `finish` waits for are in no container.
    run.end_with(Signal::INT);
}

/// A socket that nobody serves: containers go by their ids, and nothing waits.
fn docker_that_does_not_answer() {
    let docker = Docker::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let host = format!("unix://{}", socket.display());
    let mut run = Run::options().events("fork").environment("DOCKER_HOST", host).start();
    let web = docker.start_container("web", &[IMAGE, "sleep", "1000"]);
    let id = docker.run(&["inspect", "-f", "{{.Id}}", "web"]);
    assert_eq!(executes(&mut run, &id[..12], "sleep").pid, web);
    run.finish();
}

fn podman() {
    let podman = Podman::new();
    let mut run = Run::options().events("fork,signal").slow_stop_after("900ms").start();
    let web = podman.start_container("web", &["--stop-signal", "INT", IMAGE, "sleep", "1000"]);
    let container = known(&mut run, "the name of the container", |container| container.name.as_deref() == Some("web"));
    assert_eq!(container.engine, "podman");
    assert!(container.image.as_deref().is_some_and(|image| image.ends_with(IMAGE)), "{container:?}");
    podman.run(&["exec", "web", "true"]);
    executes(&mut run, "web", "true");
    podman.run(&["stop", "-t", "1", "web"]);
    run.expect_finding("init-ignored-signal").about(web).signal("SIGINT").in_container("web").once();
    wasted_a_second(&mut run, web, "web", "SIGINT");
    run.finish();
}

/// By its own client, as `ctr` does it: the id is the name. A stop in vain, and an exec whose client dies.
fn containerd() {
    let docker = Docker::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = root_file_system(directory.path());
    let ctr = |arguments: &[&str]| ctr(&docker, arguments);
    let options = Run::options().events("fork").slow_stop_after("900ms");
    let mut run = options.args(&["--exec-leftover-after", "500ms"]).start();
    let root = root.to_str().expect("a path of letters");
    ctr(&["run", "-d", "--rootfs", root, "web", "/bin/sleep", "1000"]);
    let web = executes(&mut run, "web", "sleep").pid;
    assert_eq!(known(&mut run, "the container", |container| container.id == "web").engine, "containerd");

    let mut exec = ctr_command(&docker, &["task", "exec", "--exec-id", "one", "web", "/bin/cat", "/dev/zero"]);
    let mut exec = exec.stdout(Stdio::null()).spawn().expect("ctr can be started");
    let inside = executes(&mut run, "web", "cat").pid;
    run.watch_over(inside);
    kill(exec.id() as i32, Signal::KILL);
    exec.wait().expect("ctr can be waited for");
    let left = run.expect_finding("exec-leftover").about(inside).in_container("web").certain().once();
    assert_eq!(left.client.map(|client| client.comm), Some("ctr".to_owned()));

    ctr(&["task", "kill", "--signal", "SIGTERM", "web"]);
    run.expect_finding("init-ignored-signal").about(web).signal("SIGTERM").in_container("web").once();
    std::thread::sleep(std::time::Duration::from_secs(1));
    ctr(&["task", "kill", "--signal", "SIGKILL", "web"]);
    wasted_a_second(&mut run, web, "web", "SIGTERM");
    ctr_removes(&docker, "web");
    run.finish();
}

/// Only containerd itself knows the image of one of `ctr`'s containers.
fn containerd_image() {
    const NAME: &str = "docker.io/library/small:1";
    let docker = Docker::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let archive = directory.path().join("image.tar");
    let archive = archive.to_str().expect("a path of letters");
    docker.run(&["save", "-o", archive, IMAGE]);
    let ctr = |arguments: &[&str]| ctr(&docker, arguments);
    ctr(&["images", "import", "--snapshotter", "native", archive]);
    let mut run = Run::options().events("fork").start();
    ctr(&["run", "-d", "--snapshotter", "native", NAME, "web", "/bin/sleep", "1000"]);
    let container = known(&mut run, "the image", |container| container.id == "web" && container.image.is_some());
    assert_eq!((container.engine.as_str(), container.image.as_deref()), ("containerd", Some(NAME)));
    ctr_removes(&docker, "web");
    ctr(&["images", "remove", "--sync", NAME]);
    run.finish();
}

/// What containerd writes into the bundle of a container of a pod, and a filter by that.
fn containerd_pod() {
    let docker = Docker::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = root_file_system(directory.path());
    let root = root.to_str().expect("a path of letters");
    let mut run = Run::options().events("fork,exit").args(&["--pod", "shop-1"]).start();
    let start = |id: &str, pod: &str| {
        let annotations = [
            format!("io.kubernetes.cri.sandbox-name={pod}"),
            "io.kubernetes.cri.sandbox-namespace=prod".to_owned(),
            format!("io.kubernetes.cri.container-name={id}-app"),
            "io.kubernetes.cri.image-name=registry/shop:1".to_owned(),
        ];
        let annotations = annotations.iter().flat_map(|one| ["--annotation", one]);
        let words = ["run", "-d", "--rootfs"].into_iter().chain(annotations);
        ctr(&docker, &words.chain([root, id, "/bin/sleep", "1000"]).collect::<Vec<_>>());
    };
    start("other", "shop-2");
    start("web", "shop-1");
    let found = known(&mut run, "the pod", |container| container.id == "web" && container.pod.is_some());
    assert_eq!((found.label.as_str(), found.pod.as_deref()), ("web-app", Some("shop-1")));
    let of_pod = (found.pod_namespace.as_deref(), found.image.as_deref());
    assert_eq!(of_pod, (Some("prod"), Some("registry/shop:1")));
    for id in ["other", "web"] {
        ctr_removes(&docker, id);
    }
    let in_container = |line: &Line| match line {
        Line::Event(event) if event.kind == "exit" => event.process.as_ref()?.container.clone(),
        _ => None,
    };
    assert_eq!(run.find("the end of one of them", in_container), "web-app");
    let others = run.lines().iter().filter_map(in_container).filter(|container| container != "web-app");
    assert_eq!(others.count(), 0);
    // The markers that `finish` waits for are in no container.
    run.end_with(Signal::INT);
}

fn ctr_command(docker: &Docker, arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(docker.containerd()).args(["--namespace", CONTAINERD_NAMESPACE]).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn ctr(docker: &Docker, arguments: &[&str]) {
    let mut command = ctr_command(docker, arguments);
    let output = command.output().expect("ctr can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ctr_removes(docker: &Docker, id: &str) {
    ctr(docker, &["task", "delete", "--force", id]);
    ctr(docker, &["container", "delete", id]);
}

/// A process in no container belongs to a unit: to a control group with a unit's name.
fn unit_of_systemd() {
    let unit = format!("tracer-test-{}.service", std::process::id());
    let group = Group::named(Control::Kill, &unit).expect("it was there before");
    let mut shell = Command::new("sh");
    shell.args(["-c", "read line; sleep 0; read line"]).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("sh can be started");
    group.takes(shell.id() as i32);
    let mut run = Run::start();
    assert_eq!(known(&mut run, "the unit", |container| container.id == unit).engine, "systemd");
    let mut stdin = shell.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, b"go\n").expect("the shell reads");
    executes(&mut run, &unit, "sleep");
    drop(stdin);
    shell.wait().expect("the shell can be waited for");
    run.finish();
}

fn runc_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    root_file_system(directory.path());
    let runc = |arguments: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(directory.path().join("state")).args(arguments).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("runc can be started").success(), "{command:?}");
    };
    runc(&["spec"]);
    let config = directory.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("a specification");
    let mut specification: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    specification["process"]["terminal"] = false.into();
    specification["process"]["args"] = ["sleep", "1000"].as_slice().into();
    std::fs::write(&config, specification.to_string()).expect("a file");

    let mut run = Run::options().events("fork").start();
    runc(&["run", "--detach", "lonely"]);
    let lonely = executes(&mut run, "lonely", "sleep").pid;
    assert_eq!(known(&mut run, "the container", |container| container.id == "lonely").engine, "oci");
    runc(&["exec", "lonely", "true"]);
    executes(&mut run, "lonely", "true");
    runc(&["delete", "--force", "lonely"]);
    // Without a shim it came to this process.
    rustix::process::waitpid(rustix::process::Pid::from_raw(lonely), rustix::process::WaitOptions::empty())
        .expect("it can be waited for");
    run.finish();
}

/// Each container by its name, asked with its own stop signal.
fn docker_audit() {
    let docker = Docker::start();
    // Has a handler for the one signal, and none for the other.
    let script = "trap 'exit 0' USR1; while :; do sleep 0.1; done";
    docker.start_container("right", &["--stop-signal", "USR1", IMAGE, "sh", "-c", script]);
    docker.start_container("wrong", &["--stop-signal", "USR2", IMAGE, "sh", "-c", script]);
    let audit = || {
        let mut command = tracer_tests::tracer(&["audit", "-o", "json", "--fail-on", "init-ignored-signal"]);
        command.env("DOCKER_HOST", docker.host());
        let output = output(command);
        let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        // The machine may have other namespaces.
        let is_any_deaf = lines.iter().any(|line| line["acts"] == false && line["sure"] != "guess");
        assert_eq!(output.status.code(), Some(if is_any_deaf { 3 } else { 0 }), "{text}");
        let lines = lines.into_iter().filter(|line| line["container"]["name"].is_string());
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let told = |line: serde_json::Value| {
            let is_guess = line["sure"] == "guess";
            (word(&line["container"]["name"]), (word(&line["signal"]), line["acts"].as_bool(), is_guess))
        };
        lines.map(told).collect::<BTreeMap<_, _>>()
    };
    let right = ("right".to_owned(), ("SIGUSR1".to_owned(), Some(true), false));
    let wrong = ("wrong".to_owned(), ("SIGUSR2".to_owned(), Some(false), false));
    // A program that has just begun may still set up its handlers.
    while audit().values().any(|&(.., is_guess)| is_guess) {}
    assert_eq!(audit(), [right.clone(), wrong].into());
    docker.run(&["rm", "-f", "wrong"]);
    assert_eq!(audit(), [right].into());
}
