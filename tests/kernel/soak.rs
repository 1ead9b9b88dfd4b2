//! The small form of `cargo xtask soak`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;
use tracer_tests::{
    machine::{self, await_that},
    stage::kill,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("two_turns", two_turns), live("it_ends_when_asked_and_leaves_nothing", it_ends_when_asked)]
}

fn soak(arguments: &[&str]) -> Child {
    let mut command = Command::new(machine::program_path("soak"));
    command.args(arguments).args(["--every", "1", "--no-containers"]).env("TRACER_BIN", machine::tracer_path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("soak runs")
}

fn two_turns() {
    let output = soak(&["--turns", "2"]).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 of 2") && said.contains("soak: nothing wrong (2 turns in"), "{said}");
}

/// The tree below a process.
fn below(pid: i32) -> Vec<i32> {
    let all = machine::processes();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|process| process.ppid == parent).map(|process| process.pid));
        at += 1;
    }
    found
}

fn it_ends_when_asked() {
    let mut soak = soak(&[]);
    let id = soak.id() as i32;
    let mut lines = BufReader::new(soak.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("text");
    while !next().contains("tree equals kernel") {}
    await_that("the agent runs, and a storm", || below(id).len() > 5);
    let there: Vec<_> = below(id).into_iter().filter_map(machine::stat).collect();
    kill(id, Signal::INT);
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    let said = rest.join("\n");
    assert!(soak.wait().expect("it ends").success(), "{said}");
    assert!(said.contains("and was stopped"), "{said}");
    for process in there {
        let is_it = |stat: machine::Stat| stat.start_ticks == process.start_ticks && stat.state != 'Z';
        await_that(&format!("process {} has gone", process.pid), || !machine::stat(process.pid).is_some_and(is_it));
        assert!(!Path::new("/run/tracer").join(process.pid.to_string()).exists());
    }
}
