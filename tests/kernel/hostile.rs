//! Scenario 30: names chosen to break the output.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::{
    Run, Stage,
    machine::{self, Need},
    run::{output, tracer},
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("json", json),
        live("text", text),
        live("tree", tree),
        live("the_name_of_the_machine", the_name_of_the_machine).needs(Need::Program("unshare")),
    ]
}

/// That every line keeps the contract is checked in every run.
fn json() {
    let me = std::process::id().to_string();
    let mut run = Run::options().events("fork,exit,reap,signal,deliver").args(&["--tree", &me]).start();
    let mut stage = run.stage(&["hostile"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    let found = run.expect_finding("unreaped-child").about(child).parent(parent).once();
    assert!(found.process.comm.contains("[2J"), "{:?}", found.process.comm);
    run.finish();
}

fn text() {
    let me = std::process::id().to_string();
    let mut watch = tracer(&["watch", "-o", "text", "--events", "--tree", &me, "--unreaped-after", "300ms"]);
    let mut watch = Watch::start(watch.stderr(Stdio::null()));
    watch.await_text("");
    let mut stage = Stage::act(&["hostile"], &Default::default());
    stage.hears("parent");
    stage.step("child");
    let child = stage.pid("child");
    watch.await_text("unreaped-child");
    watch.await_text(&format!("pid {child}"));
    kill_process(Pid::from_child(&watch.tracer), Signal::INT).expect("tracer lives");
    watch.text.extend(watch.from.iter().flatten());
    assert!(watch.tracer.wait().expect("a child can be waited for").success());
    assert_harmless(&watch.text);
}

/// Whoever is root of a container with the machine's name of its own chooses that.
pub const RENAMED: &str = "printf 'a\\033[2Jb' > /proc/sys/kernel/hostname; exec \"$@\"";
/// What is shown of it.
pub const SHOWN: &str = r#""a\x1b[2Jb""#;

fn the_name_of_the_machine() {
    let mut watch = Command::new("unshare");
    watch.args(["--uts", "sh", "-c", RENAMED, "sh"]).arg(machine::tracer_path());
    watch.args(["watch", "-o", "text", "--duration", "100ms"]);
    let output = output(watch);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(&format!(" on {SHOWN}, Linux ")), "{said}");
    assert_harmless(&output.stdout);
}

fn tree() {
    let mut stage = Stage::act(&["hostile"], &Default::default());
    stage.hears("parent");
    stage.step("child");
    let child = stage.pid("child");
    for format in ["text", "json"] {
        let output = output(tracer(&["tree", "-o", format]));
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(&child.to_string()));
        assert_harmless(&output.stdout);
    }
}

/// A `tracer` and what it has said.
struct Watch {
    tracer: Child,
    from: Receiver<Vec<u8>>,
    text: Vec<u8>,
}

impl Watch {
    fn start(command: &mut Command) -> Self {
        let mut tracer = command.stdout(Stdio::piped()).spawn().expect("tracer starts");
        let mut stdout = tracer.stdout.take().expect("stdout is piped");
        let (send, from) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { tracer, from, text: Vec::new() }
    }

    /// Waits until it has printed that; for an empty text, until it has printed anything.
    fn await_text(&mut self, what: &str) {
        while self.text.is_empty() || !String::from_utf8_lossy(&self.text).contains(what) {
            let Ok(more) = self.from.recv_timeout(Duration::from_secs(15)) else {
                panic!("{what:?} is not in {}", String::from_utf8_lossy(&self.text));
            };
            self.text.extend(more);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}

/// Text that a terminal only displays.
fn assert_harmless(output: &[u8]) {
    let text = str::from_utf8(output).expect("UTF-8");
    for line in text.lines() {
        let harms = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!line.contains(harms), "{line:?}");
    }
}
