//! What `tracer audit` predicts, against what then happens: some forty kinds of pid 1 are started, asked
//! about, and sent SIGTERM from outside.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::{
    machine::{self, Need},
    run::{output, tracer},
};

use crate::Test;

pub fn trials() -> Vec<Test> {
    vec![Test {
        name: "table",
        body: table,
        needs: vec![Need::Tracer, Need::Root, Need::HostPidNamespace, Need::Program("unshare")],
    }]
}

/// How long a program gets to settle, and to act: a fraction of docker's grace of ten seconds, and far more than any of
/// them needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// A kind of pid 1: its label and its command line. `{}` is a folder of the test's own.
const KINDS: &[(&str, &[&str])] = &[
    ("sleep", &["sleep", "1000"]),
    ("sh -c", &["sh", "-c", "sleep 1000; true"]),
    ("bash -c", &["bash", "-c", "sleep 1000; true"]),
    ("sh -c exec", &["sh", "-c", "exec sleep 1000"]),
    ("sh, trap, child in front", &["sh", "-c", "trap 'exit 7' TERM; sleep 1000; true"]),
    ("bash, trap, child in front", &["bash", "-c", "trap 'exit 7' TERM; sleep 1000; true"]),
    ("sh, trap, loop", &["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.5; done"]),
    ("sh, trap, wait", &["sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait"]),
    ("bash, trap, wait", &["bash", "-c", "trap 'exit 7' TERM; sleep 1000 & wait"]),
    ("sh, ignoring", &["sh", "-c", "trap '' TERM; sleep 1000; true"]),
    ("busybox sh", &["busybox", "sh", "-c", "sleep 1000; true"]),
    ("busybox httpd", &["busybox", "httpd", "-f", "-p", "127.0.0.1:18081", "-h", "{}"]),
    ("tail -f", &["tail", "-f", "/dev/null"]),
    ("cat", &["cat"]),
    ("python", &["python3", "-c", "import time; time.sleep(1000)"]),
    (
        "python, handler",
        &["python3", "-c", "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(0))\nsignal.pause()"],
    ),
    (
        "python, sigwait",
        &["python3", "-c", "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [15])\nsignal.sigwait([15])"],
    ),
    ("perl", &["perl", "-e", "sleep 1000"]),
    ("perl, handler", &["perl", "-e", "$SIG{TERM} = sub { exit 0 }; sleep 1000 while 1"]),
    ("node", &["node", "-e", "setInterval(() => {}, 1000)"]),
    ("node, handler", &["node", "-e", "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)"]),
    ("node, wrapper", &["node", "-e", "require('child_process').spawn('sleep', ['1000'])"]),
    ("java", &["java", "{}/Sleep.java"]),
    ("nginx", &["nginx", "-c", "{}/nginx.conf"]),
    ("lighttpd", &["lighttpd", "-D", "-f", "{}/lighttpd.conf"]),
    ("redis", &["redis-server", "--port", "18084", "--bind", "127.0.0.1", "--save", "", "--dir", "{}"]),
    ("memcached", &["memcached", "-u", "root", "-p", "18085", "-l", "127.0.0.1"]),
    ("supervisord", &["/usr/bin/supervisord", "-n", "-c", "{}/supervisord.conf"]),
    ("cron", &["cron", "-f"]),
    ("sshd", &["/usr/sbin/sshd", "-D", "-p", "18086", "-o", "ListenAddress=127.0.0.1"]),
    ("socat", &["socat", "TCP-LISTEN:18087,bind=127.0.0.1", "EXEC:cat"]),
    (
        "containerd (Go)",
        &["containerd", "-c", "{}/containerd.toml", "--root", "{}/c", "--state", "{}/cs", "-a", "{}/c.sock"],
    ),
    ("tini", &["tini", "--", "sleep", "1000"]),
    ("tini -g", &["tini", "-g", "--", "sh", "-c", "sleep 1000; true"]),
    ("tini, child ignoring", &["tini", "--", "sh", "-c", "trap '' TERM; sleep 1000; true"]),
    ("dumb-init", &["dumb-init", "sleep", "1000"]),
    ("catatonit", &["catatonit", "--", "sleep", "1000"]),
    ("s6-svscan", &["s6-svscan", "{}/services"]),
];

fn table() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    furnish(folder.path());
    let mut kinds: Vec<_> = KINDS.iter().map(|&(name, words)| (name, start(words, folder.path()))).collect();
    let rust = machine::workload_path();
    kinds.push(("rust", start(&[rust.to_str().expect("UTF-8"), "idle"], folder.path())));

    let forecasts = settled(&kinds);
    let judged: Vec<_> = kinds
        .iter()
        .map(|(name, container)| {
            let forecast = container.as_ref().ok().and_then(|container| forecasts.get(&container.init()?));
            (*name, container, forecast)
        })
        .collect();
    for (_, container, forecast) in &judged {
        if let (Ok(container), Some(_)) = (container, forecast)
            && let Some(init) = container.init().and_then(Pid::from_raw)
        {
            kill_process(init, Signal::TERM).expect("it is there");
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
    }
    let (mut right, mut wrong, mut sure_and_wrong) = (0, 0, Vec::new());
    println!("{:28} {:6} {:7} {:6} why", "pid 1", "acts", "sure", "ended");
    for (name, container, forecast) in &judged {
        let (Ok(container), Some(forecast)) = (container, forecast) else {
            let why = container.as_ref().err().map_or("it did not stay", String::as_str);
            println!("{name:28} not tried: {why}");
            continue;
        };
        let (acts, sure) = (forecast["acts"] == true, forecast["sure"].as_str().unwrap_or_default());
        let ended = container.has_ended();
        let mark = if acts == ended { "" } else { "  WRONG" };
        println!("{name:28} {acts:<6} {sure:7} {ended:<6} {}{mark}", forecast["why"].as_str().unwrap_or_default());
        if acts == ended {
            right += 1;
        } else {
            wrong += 1;
            sure_and_wrong.extend((sure == "sure").then_some(*name));
        }
    }
    println!("{right} right, {wrong} wrong, {} of these where it was sure", sure_and_wrong.len());
    assert_eq!(sure_and_wrong, Vec::<&str>::new());
    assert!(wrong * 20 <= right + wrong, "more than 5 % were wrong");
    assert!(right >= if machine::is_emulated() { 5 } else { 25 }, "too few could be tried");
}

/// A program as pid 1 of a namespace of its own. Dropping it ends it.
struct Container(Child);

impl Container {
    fn init(&self) -> Option<i32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0.id())).ok()?;
        children.split_ascii_whitespace().next()?.parse().ok()
    }

    /// unshare waits for its child.
    fn has_ended(&self) -> bool {
        machine::stat(self.0.id() as i32).is_none_or(|stat| stat.state == 'Z')
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // This also ends its child (--kill-child), and so the namespace.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, or says why it cannot be.
fn start(words: &[&str], folder: &Path) -> Result<Container, String> {
    let folder = folder.to_str().expect("UTF-8");
    let words: Vec<_> = words.iter().map(|word| word.replace("{}", folder)).collect();
    let program = &words[0];
    if !machine::is_on_path(program) {
        return Err(format!("{program} is not installed"));
    }
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args(&words)
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: signal(2) is async-signal-safe. A test runner in the background ignores these signals, and a shell takes
    // that as the sign of a background child.
    unsafe {
        command.pre_exec(|| {
            for signal in [nix::libc::SIGINT, nix::libc::SIGQUIT] {
                nix::libc::signal(signal, nix::libc::SIG_DFL);
            }
            Ok(())
        });
    }
    command.spawn().map(Container).map_err(|error| error.to_string())
}

/// The predictions by host pid of the init, once all have settled: two audits in a row agree, and none says that a
/// process has only just begun.
fn settled(kinds: &[(&str, Result<Container, String>)]) -> BTreeMap<i32, Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut before = BTreeMap::new();
    loop {
        let now = audit(kinds);
        let is_young = |line: &Value| line["why"].as_str().is_some_and(|why| why.contains("only just begun"));
        if (now == before && !now.values().any(is_young)) || Instant::now() > deadline {
            return now;
        }
        before = now;
        thread::sleep(Duration::from_millis(500));
    }
}

fn audit(kinds: &[(&str, Result<Container, String>)]) -> BTreeMap<i32, Value> {
    let ours: Vec<_> = kinds.iter().filter_map(|(_, container)| container.as_ref().ok()?.init()).collect();
    let output = output(tracer(&["audit", "-o", "json"]));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let audits = lines.filter(|line| line["type"] == "audit");
    let by_init = audits.filter_map(|mut line| {
        // The number of processes can change all the time.
        line["processes"] = Value::Null;
        Some((i32::try_from(line["process"]["pid"].as_i64()?).ok()?, line))
    });
    by_init.filter(|(init, _)| ours.contains(init)).collect()
}

/// The files that some of the programs need.
fn furnish(folder: &Path) {
    let path = folder.display();
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    write(
        "Sleep.java",
        "class Sleep { public static void main(String[] a) throws Exception { Thread.sleep(1000000); } }".into(),
    );
    write(
        "nginx.conf",
        format!(
            "daemon off; pid {path}/nginx.pid; error_log /dev/null; events {{}} http {{ access_log off; server {{ listen 127.0.0.1:18082; }} }}"
        ),
    );
    write(
        "lighttpd.conf",
        format!("server.document-root = \"{path}\"\nserver.port = 18083\nserver.bind = \"127.0.0.1\"\n"),
    );
    write(
        "supervisord.conf",
        format!(
            "[supervisord]\nlogfile = /dev/null\nlogfile_maxbytes = 0\npidfile = {path}/supervisord.pid\n\
             [program:app]\ncommand = sleep 1000\n"
        ),
    );
    write("containerd.toml", "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n".into());
    let service = folder.join("services/app");
    fs::create_dir_all(&service).expect("a directory");
    let run = service.join("run");
    fs::write(&run, "#!/bin/sh\nexec sleep 1000\n").expect("a file");
    fs::set_permissions(&run, PermissionsExt::from_mode(0o755)).expect("a mode");
}
