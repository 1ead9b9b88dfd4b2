//! `tracer why`: its pages about this machine, and about a recording of it.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tracer_tests::{
    Stage,
    contract::Line,
    engine::{Docker, Engine, IMAGE},
    machine::{self, Control, Group, Need},
    recorded::Recorded,
    run::{output, tracer},
    stage::kill,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    let seen = |name, body| Test { name, body, needs: vec![Need::Tracer, Need::Root, Need::HostPidNamespace] };
    vec![
        seen("an_init_without_a_handler", an_init_without_a_handler).needs(Need::Program("unshare")),
        seen("a_parent_that_never_waits", a_parent_that_never_waits),
        seen("who_came_from_outside", who_came_from_outside),
        seen("a_program_by_its_name", a_program_by_its_name),
        seen("what_is_expected_happens", what_is_expected_happens),
        seen("a_container", a_container).needs(Need::Program("dockerd")).needs(Need::Program("busybox")),
        live("a_recording", a_recording).needs(Need::Program("unshare")),
        live("a_unit_of_a_recording", a_unit_of_a_recording).needs(Need::CgroupKill),
        live("each_of_many_victims", each_of_many_victims),
        live("what_a_flight_recorder_has_kept", what_a_flight_recorder_has_kept).needs(Need::HostPidNamespace),
    ]
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn page(args: &[&str]) -> (String, Value) {
    let said = text(&output(tracer(&[&["why"], args].concat())));
    let line = text(&output(tracer(&[&["why", "-o", "json"], args].concat())));
    match Line::parse(line.trim_end()) {
        Ok(Line::Why(page)) => (said, page),
        other => panic!("{other:?}: {line}"),
    }
}

/// A `sleep` that is pid 1 of a namespace, and its parent. Dropping it ends both.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "sleep", "1000"]).stdin(Stdio::null());
        Self(command.spawn().expect("unshare runs"))
    }

    /// The host pid of pid 1, once it is `sleep`.
    fn init(&self) -> i32 {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        loop {
            let children = fs::read_to_string(&children).expect("unshare lives");
            if let Some(Ok(init)) = children.split_ascii_whitespace().next().map(str::parse)
                && fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|comm| comm == "sleep\n")
            {
                return init;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn an_init_without_a_handler() {
    let sleeper = Sleeper::start();
    let init = sleeper.init();
    // Until then it may still set up a handler.
    thread::sleep(Duration::from_secs(3));
    let (said, page) = page(&[&init.to_string()]);
    assert_eq!((&page["signal"], &page["acts"], &page["sure"]), (&"SIGTERM".into(), &false.into(), &"sure".into()));
    assert!(page["why"].as_str().expect("a sentence").contains("the kernel drops it"), "{page}");
    assert_eq!(page["process"]["ns_pid"], 1);
    assert_eq!(page["pid_ns"].as_u64(), machine::pid_ns(init).map(u64::from));
    assert_eq!(page["parents"][0]["pid"], sleeper.0.id());
    assert!(said.contains("it is its init") && said.contains("will NOT act"), "{said}");

    kill(init, Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    assert!(machine::stat(init).is_some_and(|stat| stat.state != 'Z'), "it said so");
}

fn a_parent_that_never_waits() {
    let mut stage = Stage::act(&["parent", "never-waits"], &Default::default());
    stage.step("child");
    let [parent, child] = ["parent", "child"].map(|name| stage.pid(name));
    while machine::stat(child).is_none_or(|stat| stat.state != 'Z') {
        thread::sleep(Duration::from_millis(10));
    }
    let (said, of_parent) = page(&[&parent.to_string()]);
    let zombies: Vec<_> = of_parent["zombies"].as_array().expect("a list").iter().map(|one| &one["pid"]).collect();
    assert_eq!(zombies, [&Value::from(child)]);
    assert!(said.contains("owes a wait") && said.contains(&format!("(pid {child})")), "{said}");

    let (said, of_child) = page(&[&child.to_string()]);
    assert_eq!((&of_child["state"], &of_child["acts"]), (&"zombie".into(), &false.into()));
    assert!(said.contains(&format!("(pid {parent}) has to wait for it")), "{said}");
}

fn who_came_from_outside() {
    let mut namespace = Stage::act(&["init", "plain"], &Default::default());
    let init = namespace.pid("init");
    let mut stage = Stage::act(&["inside", &init.to_string()], &Default::default());
    let inside = stage.pid("inside");
    let (said, page) = page(&[&inside.to_string()]);
    assert_eq!((&page["outsider"], &page["init"]["pid"]), (&true.into(), &init.into()));
    assert!(said.contains("came into its pid namespace from outside"), "{said}");
    // Pids inside are not pids on the host.
    let ns_pid = page["process"]["ns_pid"].to_string();
    if machine::stat(ns_pid.parse().expect("a pid")).is_none() {
        let refused = output(tracer(&["why", &ns_pid]));
        let why = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{why}");
        assert!(why.contains("inside of pid namespaces") && why.contains(&format!("(pid {inside})")), "{why}");
    }
}

fn a_program_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("a: b {}", std::process::id() % 100_000);
    let program = folder.path().join(&name);
    std::os::unix::fs::symlink("/bin/sleep", &program).expect("a link");
    let start = || {
        let ours = Ours(Command::new(&program).arg("1000").process_group(0).spawn().expect("sleep runs"));
        let comm = format!("/proc/{}/comm", ours.0.id());
        while fs::read_to_string(&comm).is_ok_and(|comm| comm.trim_end() != name) {
            thread::sleep(Duration::from_millis(10));
        }
        ours
    };
    let first = start();
    let (_, page) = page(&[&name]);
    assert_eq!((&page["process"]["pid"], &page["process"]["comm"]), (&first.0.id().into(), &(&*name).into()));
    // Of two that have nothing to do with each other none is taken for the one that is meant.
    let second = start();
    let refused = output(tracer(&["why", &name]));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    for ours in [&first, &second] {
        assert!(why.contains(&format!("(pid {})", ours.0.id())), "{why}");
    }
}

/// A process of this test, with a group of its own. Dropping it ends all of that.
struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// The predictions for processes that are not pid 1, against the effect of SIGTERM.
fn what_is_expected_happens() {
    let kinds = [
        ("default", "exec sleep 1000", true),
        ("ignoring", "trap '' TERM; exec sleep 1000", false),
        ("handler", "trap 'exit 7' TERM; while :; do sleep 0.1; done", true),
        ("child in front", "trap 'exit 7' TERM; sleep 1000; true", false),
        ("stopped", "exec sleep 1000", false),
    ];
    let started = kinds.map(|(name, script, acts)| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).process_group(0);
        (name, Ours(command.spawn().expect("sh runs")), acts)
    });
    let pid = |ours: &Ours| ours.0.id() as i32;
    // Until then they may still set up handlers.
    thread::sleep(Duration::from_secs(3));
    for (_, ours, _) in started.iter().filter(|(name, ..)| *name == "stopped") {
        kill(pid(ours), Signal::STOP);
    }
    for (name, ours, acts) in &started {
        let (said, page) = page(&[&pid(ours).to_string()]);
        assert_eq!(page["acts"].as_bool(), Some(*acts), "{name}: {said}");
        kill(pid(ours), Signal::TERM);
    }
    thread::sleep(Duration::from_millis(1_500));
    for (name, ours, acts) in &started {
        let has_ended = machine::stat(pid(ours)).is_none_or(|stat| stat.state == 'Z');
        assert_eq!(has_ended, *acts, "{name}");
    }
    // The rest of the sentence.
    for (_, ours, _) in started.iter().filter(|(name, ..)| *name == "stopped") {
        kill(pid(ours), Signal::CONT);
        while machine::stat(pid(ours)).is_some_and(|stat| stat.state != 'Z') {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn a_container() {
    let docker = Docker::start();
    let script = "trap 'exit 0' USR1; while :; do sleep 0.1; done";
    let init = docker.start_container("shop", &["--stop-signal", "USR1", IMAGE, "sh", "-c", script]);
    let why = |who: &str| {
        let mut command = tracer(&["why", who, "-o", "json"]);
        command.env("DOCKER_HOST", docker.host());
        let line = text(&output(command));
        match Line::parse(line.trim_end()) {
            Ok(Line::Why(page)) => page,
            other => panic!("{other:?}: {line}"),
        }
    };
    let id = docker.run(&["inspect", "-f", "{{.Id}}", "shop"]);
    for who in ["shop", &id, &id[..8], &init.to_string()] {
        let page = why(who);
        assert_eq!((&page["process"]["pid"], &page["container"]["name"]), (&init.into(), &"shop".into()), "{who}");
        assert_eq!((&page["signal"], &page["acts"]), (&"SIGUSR1".into(), &true.into()), "{who}");
    }
    let mut command = tracer(&["why", "shoe"]);
    command.env("DOCKER_HOST", docker.host());
    let refused = output(command);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("is called shoe; containers are"), "{said}");
    assert!(said.contains("shop (small:1, docker "), "{said}");
}

fn a_recording() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("run.mcap");
    let file = file.to_str().expect("UTF-8");
    let script = "unshare --pid --fork --kill-child sleep 1000 & sleep 0.5; \
                  init=$(cat /proc/$!/task/$!/children); echo $init; kill $init; sleep 0.2; kill -9 $init; wait";
    let recorded = output(tracer(&["record", "-o", file, "--", "sh", "-c", script]));
    let init = text(&recorded).trim().to_owned();

    let (said, page) = page(&[&init, file]);
    assert_eq!((&page["state"], &page["ended"]["status"]["signal"]), (&"gone".into(), &"SIGKILL".into()));
    assert_eq!((&page["stop"]["signal"], &page["stop"]["verdict"]), (&"SIGTERM".into(), &"no-handler".into()));
    let rules = page["findings"].as_array().expect("a list").iter().map(|found| &found["finding"]["rule"]);
    assert!(rules.clone().any(|rule| rule == "init-ignored-signal"), "{page}");
    assert_eq!(page["programs"].as_array().expect("a list").last().expect("one")["comm"], "sleep");
    assert!(said.contains("DROPPED: it is pid 1 of its namespace and has no handler for it"), "{said}");
}

/// By the name of its unit, as it is and as `tracer` would print it.
fn a_unit_of_a_recording() {
    let unit = format!("tracer-why-{}.service", std::process::id());
    let group = Group::named(Control::Kill, &unit).expect("it was there before");
    let ours = Ours(Command::new("sleep").arg("1000").process_group(0).spawn().expect("sleep runs"));
    let pid = ours.0.id();
    group.takes(pid as i32);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("run.mcap");
    let file = file.to_str().expect("UTF-8");
    text(&output(tracer(&["record", "-o", file, "--", "sh", "-c", &format!("kill -9 {pid}")])));
    drop(ours);
    for name in [unit.as_str(), unit.trim_end_matches(".service"), &format!("\"{unit}\"")] {
        let (said, page) = page(&[name, file]);
        assert_eq!((&page["process"]["pid"], &page["ended"]["status"]["signal"]), (&pid.into(), &"SIGKILL".into()));
        assert!(said.contains(&format!("unit          {unit}")), "{said}");
    }
    let refused = output(tracer(&["why", &unit[1..], file]));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && why.contains(&format!("names that are like it are {unit}")), "{why}");
}

/// However many one `kill` ends, each finds it on its page; and the page of their program is about one of them.
fn each_of_many_victims() {
    const VICTIMS: usize = 50;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let name = format!("victim-{}", std::process::id() % 100_000);
    let program = folder.path().join(&name);
    std::os::unix::fs::symlink("/bin/sleep", &program).expect("a link");
    let file = folder.path().join("run.mcap");
    let file = file.to_str().expect("UTF-8");
    let script = format!(
        "for i in $(seq {VICTIMS}); do '{}' 1000 & pids=\"$pids $!\"; done
         for pid in $pids; do until [ $(cat /proc/$pid/comm) = {name} ]; do sleep 0.01; done; done
         kill -9 $pids; wait; echo $pids",
        program.display()
    );
    let recorded = text(&output(tracer(&["record", "-o", file, "--", "sh", "-c", &script])));
    let pids: Vec<_> = recorded.split_whitespace().collect();
    assert_eq!(pids.len(), VICTIMS, "{recorded}");
    let rules = |page: &Value| -> Vec<_> {
        let found = page["findings"].as_array().expect("a list").iter();
        found.map(|found| found["finding"]["rule"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for pid in [pids[0], pids[10], pids[VICTIMS - 1]] {
        let (_, page) = page(&[pid, file]);
        assert!(rules(&page).contains(&"killed-by".to_owned()), "{page}");
    }
    let (said, page) = page(&[&name, file]);
    assert_eq!((&page["chosen"], &page["others_left_out"]), (&"killed".into(), &39.into()), "{said}");
    assert_eq!(page["others"][0]["status"]["signal"], "SIGKILL");
    assert!(rules(&page).contains(&"killed-by".to_owned()), "{page}");
}

/// Nothing was found, so there is no file: what is known is in the recorder's memory.
fn what_a_flight_recorder_has_kept() {
    let mut recorded = Recorded::act(&["--snapshot-on", "left-behind", "--scope", "tree"], &["listener"]);
    let listener = recorded.stage.pid("listener");
    let recorder = recorded.stage.id();
    let mut victim = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep runs");
    victim.kill().expect("it runs");
    victim.wait().expect("it can be waited for");
    let pid = victim.id().to_string();
    let (said, killed) = page(&[&pid]);
    assert!(said.contains(&format!("as the flight recorder (pid {recorder}) has it in memory")), "{said}");
    assert_eq!((&killed["recorder"], &killed["file"]), (&recorder.into(), &Value::Null));
    let status = &killed["ended"]["status"]["signal"];
    let sender = &killed["signals"][0]["sender"]["pid"];
    assert_eq!((status, sender), (&"SIGKILL".into(), &std::process::id().into()), "{killed}");
    // Who lives is seen, too.
    let said = text(&output(tracer(&["why", &listener.to_string()])));
    let (seen, told) = said.split_once("as the flight recorder").unwrap_or_else(|| panic!("{said}"));
    assert!(seen.contains("as /proc shows it now") && !seen.contains("does not say"), "{seen}");
    assert!(told.contains("Life"), "{told}");
    // Of whom neither knows anything.
    let nobody = output(tracer(&["why", "no-program-has-this-name"]));
    let error = String::from_utf8_lossy(&nobody.stderr);
    assert!(error.contains(&format!("nor has the flight recorder (pid {recorder})")), "{error}");
    // Without it, nobody can tell.
    kill(listener, Signal::TERM);
    recorded.ends();
    let gone = output(tracer(&["why", &pid]));
    assert!(!gone.status.success() && !String::from_utf8_lossy(&gone.stderr).contains("recorder"), "{gone:?}");
}
