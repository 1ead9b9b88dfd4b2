//! Whose word about containers is believed: an ordinary user's claims change nothing about root's containers.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Stdio},
};

use rustix::process::{Pid, WaitOptions, waitpid};
use tempfile::TempDir;
use tracer_tests::{
    Run,
    contract::{Line, Process},
    engine::root_file_system,
    machine::Need,
};

use super::{NOBODY, fake};
use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    let test = |name, body| live(name, body).needs(Need::Program("runc")).needs(Need::Program("busybox"));
    vec![
        test("label_of_a_container", label_of_a_container),
        test("calls_without_a_container", calls_without_a_container),
    ]
}

/// A container called payments, of the real runc, with nothing but `sleep`.
struct Payments(TempDir);

impl Payments {
    fn bundle() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        root_file_system(directory.path());
        let payments = Self(directory);
        payments.runc(&["spec"]);
        let config = payments.0.path().join("config.json");
        let text = fs::read_to_string(&config).expect("a specification");
        let mut specification: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        specification["process"]["terminal"] = false.into();
        specification["process"]["args"] = ["sleep", "1000"].as_slice().into();
        fs::write(&config, specification.to_string()).expect("a file");
        payments
    }

    fn runc(&self, arguments: &[&str]) {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.0.path().join("state")).args(arguments).current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("runc can be started").success(), "{command:?}");
    }

    /// Starts it; returns the pid of its program, which is inside.
    fn start(&self, run: &mut Run) -> i32 {
        self.runc(&["run", "--detach", "payments"]);
        let init = execs(run, "1000");
        assert_eq!(init.container.as_deref(), Some("payments"));
        init.pid
    }

    fn end(self, init: i32) {
        self.runc(&["delete", "--force", "payments"]);
        // Without a shim, this process adopted it.
        waitpid(Pid::from_raw(init), WaitOptions::empty()).expect("it can be waited for");
    }
}

/// Waits for the exec of a command line that ends with this word; returns the process.
fn execs(run: &mut Run, last: &str) -> Process {
    run.find(&format!("the exec with {last}"), |line| {
        let Line::Event(event) = line else { return None };
        let is_it = event.kind == "exec" && event.argv.as_ref()?.last().is_some_and(|word| word == last);
        event.process.clone().filter(|_| is_it)
    })
}

/// A program named like a runtime at work, below one named like a runtime, is in no container.
fn label_of_a_container() {
    let payments = Payments::bundle();
    let mut run = Run::options().events("fork,exec").start();
    let init = payments.start(&mut run);
    let scripts = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(scripts.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::write(scripts.path().join("call"), "exec -a runc bash init\n").expect("a file");
    fs::write(scripts.path().join("init"), "exec sleep 0.317\n").expect("a file");
    let mut call = Command::new("bash");
    call.arg0("runc").args(["call", "exec", "payments"]).current_dir(scripts.path()).uid(NOBODY).gid(NOBODY);
    assert!(call.status().expect("bash can be started").success());
    assert_eq!(execs(&mut run, "0.317").container, None);
    payments.end(init);
    run.finish();
}

/// Calls that bring no process into a container introduce none, and change nothing about an existing one.
fn calls_without_a_container() {
    let payments = Payments::bundle();
    let mut run = Run::options().events("fork,exec").start();
    let init = payments.start(&mut run);
    fake("runc", &["create", "--bundle", "/nowhere", "payments"], NOBODY);
    fake("runc", &["create", "--bundle", "/nowhere", "nobodys"], NOBODY);
    execs(&mut run, "nobodys");
    payments.runc(&["exec", "payments", "sleep", "0.001"]);
    let inside = run.find("the program that was brought in", |line| {
        let Line::Event(event) = line else { return None };
        let process = event.process.clone().filter(|process| event.kind == "exec" && process.ns_level == 1)?;
        (event.argv.as_ref()?.last()? == "0.001" && process.comm == "sleep").then_some(process)
    });
    assert_eq!(inside.container.as_deref(), Some("payments"));
    let is_told = |line: &Line| matches!(line, Line::Container(container) if container.id == "nobodys");
    assert!(!run.lines().iter().any(is_told), "a container that is none was told of");
    payments.end(init);
    run.finish();
}
