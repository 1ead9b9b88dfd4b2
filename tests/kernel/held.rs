//! Processes that cannot go on (killed, stopped), and parents that cannot learn what they wait for.

use std::fs;

use rustix::process::Signal;
use tracer_tests::{Run, machine::await_that, stage::kill};

use crate::{Test, leaks::over, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("who_is_killed_and_held_by_its_tracer_cannot_die", who_is_killed_and_held_by_its_tracer_cannot_die),
        live("who_dies_in_time_is_quiet", who_dies_in_time_is_quiet),
        live("a_reader_in_the_background_is_stopped", a_reader_in_the_background_is_stopped),
        live("a_reader_in_front_is_not", a_reader_in_front_is_not),
        live("who_is_stopped_by_another_is_over_when_it_is_continued", stopped_and_continued),
        live("a_status_is_lost_to_who_ignores_sigchld", || status_is_lost("inherited", "ignored-from-start")),
        live("a_status_is_lost_to_who_chose_to_and_waits", || status_is_lost("ignored", "ignored")),
        live("a_status_that_is_had_is_not_lost", a_status_that_is_had_is_not_lost),
        live("a_pipe_that_keeps_a_parent_from_waiting", a_pipe_that_keeps_a_parent_from_waiting),
    ]
}

/// Waits until a process waits for a child: its main thread sleeps in `do_wait()`.
fn await_wait(pid: i32) {
    let wchan = format!("/proc/{pid}/wchan");
    let waits = || fs::read_to_string(&wchan).is_ok_and(|at| at.contains("wait"));
    await_that(&format!("process {pid} waits"), waits);
}

fn who_is_killed_and_held_by_its_tracer_cannot_die() {
    let mut run = Run::options().args(&["--cannot-die-after", "500ms"]).start();
    let mut stage = run.stage(&["held-at-its-exit"]);
    let [process, tracer] = ["process", "tracer"].map(|name| stage.pid(name));
    kill(process, Signal::KILL);
    let found = run.expect_finding("cannot-die").about(process).signal("SIGKILL").reason("traced").once();
    assert_eq!(found.tracer.map(|tracer| tracer.pid), Some(tracer));
    stage.step("let-go");
    stage.hears("reaped");
    let how = over(&mut run, "cannot-die", process);
    assert!(how.contains("has died, "), "{how}");
    run.finish();
}

fn who_dies_in_time_is_quiet() {
    let mut run = Run::options().args(&["--cannot-die-after", "1ms"]).start();
    for _ in 0..3 {
        let mut stage = run.stage(&["held-at-its-exit"]);
        let process = stage.pid("process");
        stage.hears("tracer");
        stage.step("let-go");
        kill(process, Signal::KILL);
        stage.hears("reaped");
    }
    run.settle();
    run.finish();
}

fn a_reader_in_the_background_is_stopped() {
    let mut run = Run::options().args(&["--stopped-after", "500ms"]).start();
    let mut stage = run.stage(&["background-reader", "background"]);
    let process = stage.pid("process");
    let found = run.expect_finding("stopped-job").about(process).signal("SIGTTIN").once();
    assert!(found.pty.is_some_and(|pty| pty.starts_with("/dev/pts/")));
    run.finish();
}

fn a_reader_in_front_is_not() {
    let mut run = Run::options().args(&["--stopped-after", "1ms"]).start();
    let mut stage = run.stage(&["background-reader", "front"]);
    stage.hears("process");
    run.settle();
    run.finish();
}

fn stopped_and_continued() {
    let mut run = Run::options().args(&["--stopped-after", "500ms"]).start();
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    kill(parent, Signal::STOP);
    let me = std::process::id() as i32;
    run.expect_finding("stopped-job").about(parent).signal("SIGSTOP").sender(me).once();
    kill(parent, Signal::CONT);
    let how = over(&mut run, "stopped-job", parent);
    assert!(how.contains(&format!("(pid {me}) after ")), "{how}");
    run.finish();
}

fn status_is_lost(how: &str, reason: &'static str) {
    let mut run = Run::start();
    let mut stage = run.stage(&["status", how]);
    let [child, parent] = ["child", "parent"].map(|name| stage.pid(name));
    await_wait(parent);
    stage.step("end");
    stage.hears("lost");
    let found = run.expect_finding("status-lost").about(child).parent(parent).reason(reason).certain().once();
    assert_eq!(found.waiter_tid, Some(parent));
    run.finish();
}

fn a_status_that_is_had_is_not_lost() {
    let mut run = Run::start();
    let mut stage = run.stage(&["status", "plainly"]);
    let [_, parent] = ["child", "parent"].map(|name| stage.pid(name));
    await_wait(parent);
    stage.step("end");
    stage.hears("got");
    run.settle();
    run.finish();
}

fn a_pipe_that_keeps_a_parent_from_waiting() {
    for holder in ["with", "without"] {
        let mut run = Run::start();
        run.allow("orphan-adopted");
        let mut stage = run.stage(&["reads-to-the-end", holder]);
        let [child, daemon] = ["child", "daemon"].map(|name| stage.pid(name));
        if holder == "without" {
            // Nobody has the writing end: the parent waits, and gets its child.
            run.settle();
            run.finish();
            continue;
        }
        let found = run.expect_finding("unreaped-child").about(child).once();
        assert_eq!(found.pipe_writer.map(|writer| writer.pid), Some(daemon));
        run.finish();
    }
}
