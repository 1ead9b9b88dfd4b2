//! `tracer agent`: what it finds, keeps and answers, what it may do meanwhile, and how it takes another configuration.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, SAID_WITHIN, status},
    contract::Line,
    machine::await_that,
    recorded::replay,
    run::{output, tracer},
};

use crate::{Test, live};

/// The user and the group of nobody.
const NOBODY: &str = "65534\t65534\t65534\t65534";

pub fn trials() -> Vec<Test> {
    vec![
        live("it_works_without_any_right", it_works_without_any_right),
        live("another_configuration", another_configuration),
        live("its_helper_ends_with_it_and_it_with_its_helper", its_helper_ends_with_it_and_it_with_its_helper),
        live("what_is_done_about_findings", what_is_done_about_findings),
        live("its_part_of_a_lake", its_part_of_a_lake),
        live("otlp_to_a_receiver_in_trouble", otlp_to_a_receiver_in_trouble),
        live("what_it_is_told_wrongly", what_it_is_told_wrongly),
    ]
}

/// A zombie of this process, which reaps it when this is dropped.
struct Zombie(Child);

impl Zombie {
    fn new() -> Self {
        Self(Command::new("true").stdin(Stdio::null()).spawn().expect("true runs"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Zombie {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

/// It is nobody, can do nothing, and finds, counts, keeps and answers all the same.
fn it_works_without_any_right() {
    let agent = Agent::start(
        "[thresholds]\nunreaped-after = \"300ms\"\n[recorder]\ntraces = \"TRACES\"\nsnapshot-on = [\"unreaped-child\"]\n",
    );
    let (pid, helper) = (agent.pid(), agent.runs("agent-helper"));
    assert_eq!((status(pid, "Uid"), status(pid, "Gid")), (NOBODY.to_owned(), NOBODY.to_owned()));
    let kept = u64::from_str_radix(&status(pid, "CapEff"), 16).expect("capabilities");
    // CAP_PERFMON and CAP_BPF, where the kernel asks for them at each use of a map.
    assert_eq!((kept & !(0b11 << 38), status(pid, "CapPrm")), (0, status(pid, "CapEff")));
    assert_eq!((status(pid, "NoNewPrivs").as_str(), status(pid, "Seccomp").as_str()), ("1", "2"));
    // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.
    assert_eq!(status(helper, "CapEff"), "0000000000080004");
    assert_eq!((status(helper, "NoNewPrivs").as_str(), status(helper, "Seccomp").as_str()), ("1", "2"));

    let zombie = Zombie::new();
    let found = agent.finds("unreaped-child", zombie.pid());
    assert_eq!(found.parent.map(|parent| parent.pid), Some(std::process::id() as i32));
    let numbers = agent.numbers();
    assert!(numbers.starts_with("HTTP/1.1 200"), "{numbers}");
    assert!(numbers.contains("tracer_findings_total{rule=\"unreaped-child\""), "{numbers}");
    // It has what it was told to keep, and tells whoever asks.
    await_that("there is a trace", || agent.traces().len() == 1);
    let why = output(tracer(&["why", &zombie.pid().to_string()]));
    let told = String::from_utf8_lossy(&why.stdout);
    let by = format!("flight recorder (pid {})", agent.child.id());
    assert!(told.contains(&by), "{told}\n{}", String::from_utf8_lossy(&why.stderr));
    let trace = agent.traces().remove(0);
    let (name, pid) = (trace.file_name().expect("a name").to_string_lossy().into_owned(), zombie.pid());
    assert!(name.ends_with("Z-unreaped-child.mcap"), "{name}");
    let folder = agent.folder.path().to_owned();
    drop(zombie);
    agent.says(|line| {
        matches!(line, Line::Finding(found) if found.stage == "resolved" && found.process.pid == pid).then_some(())
    });
    kill_process(agent.pid(), Signal::TERM).expect("it lives");
    agent.says(|line| matches!(line, Line::Summary(_)).then_some(()));
    assert!(finds_again(&trace, pid), "{}", folder.display());
}

/// Whether a trace tells of that zombie.
fn finds_again(trace: &Path, pid: i32) -> bool {
    let lines = replay(trace, &[]);
    lines
        .iter()
        .any(|line| matches!(line, Line::Finding(one) if one.rule == "unreaped-child" && one.process.pid == pid))
}

/// It may write nowhere but there, and all that it has seen is there at its end.
fn its_part_of_a_lake() {
    let mut agent = Agent::start("[thresholds]\nunreaped-after = \"300ms\"\n[lake]\nlake = \"TRACES\"\n");
    let zombie = Zombie::new();
    let pid = zombie.pid();
    agent.finds("unreaped-child", pid);
    drop(zombie);
    agent.says(|line| {
        matches!(line, Line::Finding(found) if found.stage == "resolved" && found.process.pid == pid).then_some(())
    });
    kill_process(agent.pid(), Signal::TERM).expect("it lives");
    agent.says(|line| matches!(line, Line::Summary(_)).then_some(()));
    assert!(agent.child.wait().expect("it ends").success());
    let files = files(&agent.folder.path().join("traces"));
    for table in ["findings", "processes", "hosts"] {
        let name = format!("table={table}/");
        assert!(files.iter().any(|file| file.to_string_lossy().contains(&name)), "no {table} in {files:?}");
    }
    assert!(files.iter().all(|file| fs::metadata(file).expect("it is there").uid() == 65534), "{files:?}");
    let is_unfinished = |file: &PathBuf| file.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
    assert!(!files.iter().any(is_unfinished), "{files:?}");
}

/// The files below a folder; none if it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// SIGHUP changes filters and thresholds; a wrong configuration changes nothing.
fn another_configuration() {
    let agent = Agent::start("[thresholds]\nunreaped-after = \"10m\"\n");
    let zombie = Zombie::new();
    agent.reload("[thresholds]\nunreaped-aftr = \"300ms\"\n");
    let why = agent.complains("stays as it was");
    assert!(why.ends_with("tracer.toml:2: [thresholds] has no key unreaped-aftr; is it unreaped-after?"), "{why}");
    agent.reload("[thresholds]\nunreaped-after = \"300ms\"\n[recorder]\nbefore = \"5s\"\n");
    let said = agent.complains("was read again");
    assert!(said.ends_with("for before to change, the agent must be restarted"), "{said}");
    let young = Zombie::new();
    agent.finds("unreaped-child", young.pid());
    drop((zombie, young));
    // And it no longer says what it is not asked for.
    agent.reload(
        "[findings]\nrule = [\"killed-by\"]\n[thresholds]\nunreaped-after = \"300ms\"\n[recorder]\nbefore = \"5s\"\n",
    );
    agent.complains("was read again");
    let silent = Zombie::new();
    await_that("it has found it", || {
        agent.numbers().contains("tracer_findings_total{rule=\"unreaped-child\",severity=\"warning\"} 2")
    });
    let (pid, mut victim) =
        (silent.pid(), Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep runs"));
    victim.kill().expect("it lives");
    victim.wait().expect("it ends");
    agent.says(|line| match line {
        Line::Finding(found) => {
            assert_ne!((found.rule.as_str(), found.process.pid), ("unreaped-child", pid));
            (found.rule == "killed-by" && found.process.pid == victim.id() as i32).then_some(())
        }
        _ => None,
    });
    agent.end();
}

/// Neither outlives the other.
fn its_helper_ends_with_it_and_it_with_its_helper() {
    // Whoever adopts it may not reap it at once.
    let is_there = |pid: Pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        status.is_ok_and(|status| !status.contains("\nState:\tZ"))
    };
    let agent = Agent::start("");
    let helper = agent.runs("agent-helper");
    // systemd sends its request to all processes of a service.
    kill_process(helper, Signal::TERM).expect("it lives");
    drop(Zombie::new());
    assert!(is_there(helper));
    agent.end();
    await_that("the helper has ended", || !is_there(helper));

    let mut agent = Agent::start("");
    kill_process(agent.runs("agent-helper"), Signal::KILL).expect("it lives");
    let zombie = Zombie::new();
    let said = agent.complains("the helper that looks as root is gone");
    assert!(said.starts_with("tracer: agent: "), "{said}");
    assert_eq!(agent.child.wait().expect("it ends").code(), Some(1));
    drop(zombie);
}

/// A server that says yes to all that is posted, and hands it on: the head and the body.
fn server() -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (posted, posts) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let head = head_of(&mut stream).expect("a head");
            let body = body_of(&mut stream, &head).expect("a body");
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("it waits");
            // The test may have ended.
            let _ = posted.send((head, serde_json::from_slice(&body).expect("JSON")));
        }
    });
    (port, posts)
}

/// Reads the head of a request, unless the connection ends before.
fn head_of(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).ok().filter(|&length| length > 0)?;
    }
    Some(head)
}

/// Reads the body of a request, likewise.
fn body_of(stream: &mut BufReader<TcpStream>, head: &str) -> Option<Vec<u8>> {
    let length = head.to_lowercase().split_once("content-length: ").expect("a length").1.to_owned();
    let length = length.lines().next().and_then(|line| line.parse().ok()).expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok().map(|()| body)
}

/// A program is run as an ordinary user, and a server is told, with a signature.
fn what_is_done_about_findings() {
    let place = tempfile::tempdir().expect("a folder");
    let everybody = |mode| PermissionsExt::from_mode(mode);
    fs::set_permissions(place.path(), everybody(0o777)).expect("it is ours");
    let at = |name: &str| place.path().join(name).to_str().expect("a name").to_owned();
    let (program, key, told) = (at("program"), at("key"), at("told"));
    fs::write(&program, format!("#!/bin/sh\nread -r line\necho \"$(id -u) $line\" >> {told}\n")).expect("a file");
    fs::set_permissions(&program, everybody(0o755)).expect("it is ours");
    fs::write(&key, "secret").expect("a file");
    // Nobody but root can read it.
    fs::set_permissions(&key, everybody(0o600)).expect("it is ours");
    let (port, posts) = server();
    let agent = Agent::start(&format!(
        "[findings]\nrule = [\"unreaped-child\"]\n[thresholds]\nunreaped-after = \"300ms\"\n\
         [reactions]\non-finding = \"{program}\"\nwebhook = \"http://127.0.0.1:{port}/found?by=tracer\"\nwebhook-key = \"{key}\"\n",
    ));
    let zombie = Zombie::new();
    let pid = zombie.pid();
    let post = |stage: &str| loop {
        let (head, body) = posts.recv_timeout(SAID_WITHIN).expect("it is posted");
        if body["stage"] == stage && body["process"]["pid"] == pid {
            break head;
        }
    };
    let head = post("new");
    assert!(head.starts_with("POST /found?by=tracer HTTP/1.1\r\n"), "{head}");
    let signed = head.lines().find_map(|line| line.strip_prefix("x-tracer-signature: sha256="));
    assert_eq!(signed.map(str::len), Some(64), "{head}");
    drop(zombie);
    post("resolved");
    let told = fs::read_to_string(told).expect("the program has run");
    let is_told = |line: &str| {
        let (user, line) = line.split_once(' ').expect("a user");
        let line: Value = serde_json::from_str(line).expect("JSON");
        user == "65534" && line["rule"] == "unreaped-child" && line["process"]["pid"] == pid && line["stage"] == "new"
    };
    assert!(told.lines().any(is_told), "{told}");
    agent.end();
}

/// How a receiver of OTLP treats whoever posts to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It reads, and never answers.
    Silent,
    /// It ends the connection.
    Rude,
    /// It wants to be asked later.
    Busy,
    /// It does not want that.
    Refuses,
    /// It takes it.
    Takes,
}

/// A receiver over HTTP.
struct Receives {
    port: u16,
    /// How it is now, and connections that it does not answer.
    state: Arc<Mutex<(Manner, Vec<TcpStream>)>>,
    /// How each request with findings was treated.
    posts: Receiver<Manner>,
}

impl Receives {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new((Manner::Silent, Vec::new())));
        let (posted, posts) = channel();
        let of_thread = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                // Whoever asks may have given up.
                let Some(head) = head_of(&mut stream) else { continue };
                let (manner, unanswered) = &mut *of_thread.lock().expect("nobody panics");
                let status = match manner {
                    Manner::Silent | Manner::Rude => None,
                    Manner::Busy => Some("503 Service Unavailable\r\nRetry-After: 1"),
                    Manner::Refuses => Some("400 Bad Request"),
                    Manner::Takes => Some("200 OK"),
                };
                if let Some(status) = status {
                    let _ = body_of(&mut stream, &head);
                    let _ = write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                }
                if *manner == Manner::Silent {
                    unanswered.push(stream.into_inner());
                }
                if head.starts_with("POST /v1/logs ") {
                    // The test may have ended.
                    let _ = posted.send(*manner);
                }
            }
        });
        Self { port, state, posts }
    }

    fn becomes(&self, manner: Manner) {
        *self.state.lock().expect("nobody panics") = (manner, Vec::new());
    }

    /// Waits for a request that was treated so.
    fn treats(&self, manner: Manner) {
        while self.posts.recv_timeout(SAID_WITHIN).expect("it is asked") != manner {}
    }
}

/// A receiver that does not answer, goes away, is busy and refuses: findings come as fast as without it, nothing is lost
/// that it would have taken, and everything is counted.
fn otlp_to_a_receiver_in_trouble() {
    let receiver = Receives::start();
    let agent = Agent::start(&format!(
        "[findings]\nrule = [\"unreaped-child\"]\n[thresholds]\nunreaped-after = \"300ms\"\n\
         [otlp]\notlp = \"http://127.0.0.1:{}\"\notlp-protocol = \"http\"\notlp-interval = \"200ms\"\n",
        receiver.port
    ));
    let finds = || {
        let zombie = Zombie::new();
        agent.finds("unreaped-child", zombie.pid());
    };
    finds();
    receiver.treats(Manner::Silent);
    // It answers nothing; the next ones are found all the same.
    finds();
    receiver.becomes(Manner::Rude);
    receiver.treats(Manner::Rude);
    agent.complains("the OTLP receiver does not take findings, and is tried again");
    receiver.becomes(Manner::Busy);
    receiver.treats(Manner::Busy);
    finds();
    assert_eq!(agent.sent("record", "dropped"), 0, "{}", agent.numbers());
    receiver.becomes(Manner::Takes);
    receiver.treats(Manner::Takes);
    // The start, and of each zombie that it is one and that it is none any more.
    await_that("everything is delivered", || agent.sent("record", "delivered") >= 7);
    await_that("numbers are delivered", || agent.sent("numbers", "delivered") >= 1);
    assert_eq!(agent.sent("record", "dropped"), 0, "{}", agent.numbers());
    receiver.becomes(Manner::Refuses);
    finds();
    receiver.treats(Manner::Refuses);
    agent.complains("the OTLP receiver refuses findings: it answers 400 Bad Request");
    await_that("what is refused is counted", || agent.sent("record", "dropped") >= 1);
    // Whoever runs as the courier's user can do this.
    let dropped = agent.sent("record", "dropped");
    kill_process(agent.runs("agent-courier"), Signal::KILL).expect("it lives");
    agent.complains("the courier of findings and numbers has ended");
    finds();
    await_that("what cannot be sent is counted", || agent.sent("record", "dropped") > dropped);
    agent.end();
}

/// What cannot be had is an error before anything is traced.
fn what_it_is_told_wrongly() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, why) in [
        (&["--user", "no-such-user"][..], "there is no user no-such-user; `useradd --system no-such-user` makes one"),
        (&["--group", "no-such-group"], "there is no group no-such-group"),
        (&["--config", "/none/tracer.toml"], "cannot read /none/tracer.toml: No such file"),
        (&["--metrics", "192.0.2.1:9469"], "cannot serve metrics on 192.0.2.1:9469"),
        (&["--snapshot-on", "slow-stop"], "give a folder in traces"),
        (&["--on-finding", "notify"], "notify is no program: give its whole path in on-finding"),
        (&["--traces", "/none/traces", "--snapshot-on", "slow-stop"], "cannot create /none/traces: No such file"),
    ] {
        // That of the arguments, if they have one.
        let user = if arguments[0] == "--user" { &[][..] } else { &["--user", "nobody"] };
        let said = output(tracer(&[&["agent"], arguments, user].concat()));
        let said = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
        assert!(said.0 == Some(1) && said.1.contains(why), "{arguments:?}: {said:?}");
    }
    // A folder that is another's.
    let path = folder.path().to_str().expect("a name");
    let said = output(tracer(&["agent", "--user", "nobody", "--traces", path, "--snapshot-on", "slow-stop"]));
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("nobody cannot write traces; make it the owner of the folder"), "{said}");
    let helper = output(tracer(&["agent-helper"]));
    assert_eq!(helper.status.code(), Some(1));
    let said = String::from_utf8_lossy(&helper.stderr).into_owned();
    assert!(said.contains("this is for `tracer agent` to start"), "{said}");
}
