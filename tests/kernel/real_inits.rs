//! Scenario 4: programs made to be pid 1, and a shell that does it right. A SIGTERM to them causes no finding, whoever
//! sends it, although the masks in /proc make some look as if they ignored it.

use std::{os::unix::fs::PermissionsExt, process::Command};

use rustix::process::Signal;
use tracer_tests::{Run, machine::Need, stage::kill};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    let unshare = Need::Program("unshare");
    vec![
        live("shell_with_a_trap", shell_with_a_trap).needs(unshare),
        live("tini", || quiet_as_init(&["tini", "--"])).needs(unshare).needs(Need::Program("tini")),
        live("dumb_init", || quiet_as_init(&["dumb-init"])).needs(unshare).needs(Need::Program("dumb-init")),
        live("catatonit", || quiet_as_init(&["catatonit", "--"])).needs(unshare).needs(Need::Program("catatonit")),
        live("s6_svscan", s6_svscan).needs(unshare).needs(Need::Program("s6-svscan")),
    ]
}

/// Each sets up its signals before it starts its child, which announces itself when it runs.
const CHILD: [&str; 3] = ["sh", "-c", "echo ready 0; exec sleep 100"];

fn quiet_as_init(init: &[&str]) {
    for from_inside in [false, true] {
        let mut run = Run::start();
        let (mut namespace, pid) = run.unshare(&[init, &CHILD].concat());
        namespace.hears("ready");
        terminate(&run, pid, from_inside);
        namespace.ends();
        if from_inside {
            // The end can come so soon that the kernel kills the sender with the namespace.
            run.allow("namespace-killed");
        }
        run.finish();
    }
}

fn shell_with_a_trap() {
    for from_inside in [false, true] {
        let mut run = Run::start();
        let script = "trap 'exit 7' TERM; echo ready 0; while :; do sleep 0.1; done";
        let (mut namespace, pid) = run.unshare(&["sh", "-c", script]);
        namespace.hears("ready");
        terminate(&run, pid, from_inside);
        namespace.ends();
        // The sleep may be left when the shell goes.
        run.allow("namespace-killed");
        run.finish();
    }
}

fn s6_svscan() {
    let services = tempfile::tempdir().expect("a temporary directory");
    let service = services.path().join("app");
    std::fs::create_dir(&service).expect("a directory");
    let program = service.join("run");
    std::fs::write(&program, "#!/bin/sh\necho ready 0\nexec sleep 100\n").expect("a file");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");

    let mut run = Run::start();
    let (mut namespace, pid) = run.unshare(&["s6-svscan", services.path().to_str().expect("UTF-8")]);
    namespace.hears("ready");
    terminate(&run, pid, false);
    namespace.ends();
    run.allow("namespace-killed");
    run.finish();
}

fn terminate(run: &Run, init: i32, from_inside: bool) {
    if from_inside {
        let mut command = Command::new("nsenter");
        command.args(["-t", &init.to_string(), "-p", "-m", "sh", "-c", "kill -TERM 1"]);
        run.program(command).ends();
    } else {
        kill(init, Signal::TERM);
    }
}
