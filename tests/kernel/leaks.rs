//! Scenarios 15 and 16: lasting situations: growing numbers of zombies, pids and ptys that run out, and signals that
//! nobody takes or passes on. Reported once, and again when over.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    process::Signal,
    pty::{OpenptFlags, openpt},
};
use tracer_tests::{
    Options, Run, Stage,
    contract::{Finding, Line},
    machine::{Control, Group, Need},
    stage::kill,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    let unshare = Need::Program("unshare");
    vec![
        live("zombies_of_one_parent", zombies_of_one_parent),
        live("pids_of_a_group_run_out", pids_of_a_group_run_out).needs(Need::PidsLimit),
        live("control_groups_that_lie_too_deep", control_groups_that_lie_too_deep).needs(Need::PidsLimit),
        live("sigchlds_merge", sigchlds_merge),
        live("a_later_child_is_waited_for_by_its_pid", a_later_child_is_waited_for_by_its_pid),
        live("a_handler_that_waits_for_all", a_handler_that_waits_for_all),
        live("a_blocked_signal", a_blocked_signal),
        live("a_shell_keeps_the_signal", a_shell_keeps_the_signal).needs(unshare),
        live("a_shell_passes_the_signal_on", a_shell_passes_the_signal_on).needs(unshare),
        live("a_child_that_ignores_the_signal", a_child_that_ignores_the_signal).needs(unshare),
        live("a_thread_dump_is_no_stop", a_thread_dump_is_no_stop).needs(unshare),
        live("a_shell_leaves_its_child_to_the_kernel", a_shell_leaves_its_child_to_the_kernel).needs(unshare),
        live("brought_in_and_left_alone", brought_in_and_left_alone).needs(unshare).needs(Need::Program("nsenter")),
        live("ptys_run_out", ptys_run_out),
    ]
}

/// Waits until a finding about that process is over; how, in words.
pub fn over(run: &mut Run, rule: &str, pid: i32) -> String {
    run.find(&format!("the end of {rule} about {pid}"), |line| match line {
        Line::Finding(finding) if finding.stage == "resolved" && finding.rule == rule && finding.process.pid == pid => {
            Some(finding.message.clone())
        }
        _ => None,
    })
}

fn leak(run: &Run, interval: &str, children: usize) -> (Stage, i32) {
    let mut stage = run.stage(&["leak", interval]);
    let parent = stage.pid("parent");
    for _ in 0..children {
        stage.step("child");
        assert_ne!(stage.pid("child"), 0);
    }
    (stage, parent)
}

fn zombies_of_one_parent() {
    let mut run = Run::options().zombie_leak_at("10").start();
    let (mut stage, parent) = leak(&run, "100", 20);
    let leak = run.expect_finding("zombie-leak").about(parent).certain().once();
    // At this rate, the machine's limit is far away.
    assert!(leak.zombies.is_some_and(|zombies| (10..=20).contains(&zombies)), "{leak:?}");
    let per_hour = leak.per_hour.expect("the contract says so");
    assert!((1_800..=36_000).contains(&per_hour), "{per_hour}");
    // The first zombies may have been reported one by one.
    run.allow("unreaped-child");
    stage.step("reap");
    stage.hears("reaped");
    let said = over(&mut run, "zombie-leak", parent);
    assert!(said.starts_with("all zombies of workload"), "{said}");
    run.finish();
}

fn pids_of_a_group_run_out() {
    const LIMIT: u64 = 30;
    let mut run = Run::options().zombie_leak_at("10").start();
    let group = Group::new(Control::Pids).expect("it was there before");
    fs::write(group.file(Control::Pids).expect("it was there before"), LIMIT.to_string()).expect("a limit");
    let mut stage = run.stage(&["leak", "200"]);
    let parent = stage.pid("parent");
    group.takes(parent);
    let mut failed = 0;
    while failed < 3 {
        stage.step("child");
        failed += u32::from(stage.pid("child") == 0);
    }
    run.allow("unreaped-child");
    let is_of_group = |f: &Finding| f.of_machine == Some(false) && f.most == Some(LIMIT);
    run.expect_finding("pid-pressure").about(parent).so_that("of the group", is_of_group).once();
    let leak = run.expect_finding("zombie-leak").about(parent).once();
    let limit = leak.limit.expect("it is reached soon");
    assert_eq!((limit.most, limit.of_machine), (LIMIT, false));
    stage.step("reap");
    stage.hears("reaped");
    over(&mut run, "zombie-leak", parent);
    over(&mut run, "pid-pressure", parent);
    let said_of_failure = run.lines().iter().any(|line| match line {
        Line::Finding(finding) => finding.rule == "pid-pressure" && finding.message.contains("could not be started"),
        _ => false,
    });
    assert!(said_of_failure, "nothing was said of the forks that failed");
    drop(stage);
    run.finish();
}

/// Groups in one another, each removed at the end.
struct Nested(Vec<PathBuf>);

impl Nested {
    fn below(group: &Group, levels: usize) -> Self {
        let limit = group.file(Control::Pids).expect("it was there before");
        let mut at = limit.parent().expect("it is a file in a folder").to_owned();
        let mut all = Self(Vec::new());
        for _ in 0..levels {
            at.push("x");
            fs::create_dir(&at).expect("a group in a group");
            all.0.push(at.clone());
        }
        all
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        for group in self.0.iter().rev() {
            // A group left here fails the next test that uses the name.
            _ = fs::remove_dir(group);
        }
    }
}

fn control_groups_that_lie_too_deep() {
    let group = Group::named(Control::Pids, &format!("tracer-deep-{}", std::process::id())).expect("a group");
    let _nested = Nested::below(&group, 80);
    let mut run = Run::start();
    run.find("that they are not looked at", |line| matches!(line, Line::Limited(_)).then_some(()));
    run.finish();
}

fn sigchlds_merge() {
    let mut run = Run::start();
    let mut stage = run.stage(&["together", "once"]);
    let parent = stage.pid("parent");
    stage.step("end");
    stage.hears("unblocked");
    let found = run.expect_finding("coalesced-sigchld").about(parent).certain().once();
    // Of the eight that ended, one was reaped; merges at the same moment are reported once.
    assert_eq!((found.zombies, found.reaped), (Some(7), Some(1)));
    assert!(found.merged.is_some_and(|merged| merged >= 1), "{found:?}");
    run.finish();
}

fn a_later_child_is_waited_for_by_its_pid() {
    let mut run = Run::start();
    let mut stage = run.stage(&["together", "once"]);
    let parent = stage.pid("parent");
    stage.step("end");
    stage.hears("unblocked");
    run.expect_finding("coalesced-sigchld").about(parent).certain().once();
    stage.step("another");
    stage.hears("waited");
    let withdrawn = run.find("that merged signals are not why", |line| match line {
        Line::Finding(finding) if finding.stage == "withdrawn" => Some(finding.clone()),
        _ => None,
    });
    assert_eq!((&*withdrawn.rule, withdrawn.process.pid), ("coalesced-sigchld", parent));
    // Those that are left are reported for themselves now.
    let of_it = format!("(pid {parent})");
    run.find("that a child is left", |line| match line {
        Line::Finding(finding) if finding.rule == "unreaped-child" => finding.headline.contains(&of_it).then_some(()),
        _ => None,
    });
    run.allow("unreaped-child");
    drop(stage);
    run.finish();
}

fn a_handler_that_waits_for_all() {
    let run = Run::start();
    let mut stage = run.stage(&["together", "all"]);
    stage.pid("parent");
    stage.step("end");
    stage.hears("unblocked");
    run.finish();
}

fn a_blocked_signal() {
    let mut run = Run::options().args(&["--stuck-blocked-after", "300ms"]).start();
    let mut stage = run.stage(&["blocked-until"]);
    let process = stage.pid("process");
    kill(process, Signal::TERM);
    let found = run.expect_finding("signal-stuck-blocked").about(process).signal("SIGTERM").certain().once();
    assert!(found.message.contains("the process blocks it"), "{}", found.message);
    stage.step("unblock");
    stage.ends();
    over(&mut run, "signal-stuck-blocked", process);
    run.finish();
}

/// Starts a shell with that script as pid 1, lets its child live for a while, and asks it to end.
fn asked(run: &mut Run, script: &str) -> (Stage, i32) {
    let (mut namespace, shell) = run.unshare(&["sh", "-c", script]);
    namespace.hears("ready");
    // A child that has only just begun does not count.
    std::thread::sleep(std::time::Duration::from_millis(1_300));
    kill(shell, Signal::TERM);
    (namespace, shell)
}

fn not_forwarded(run: &mut Run, shell: i32, has_ended: bool) {
    let found = run.expect_finding("signal-not-forwarded").about(shell).signal("SIGTERM");
    let found = found.so_that("ended or not", move |f| f.has_ended == Some(has_ended)).once();
    assert_eq!(found.count, Some(1), "{found:?}");
    assert_eq!(found.children.map(|children| children.len()), Some(1));
}

fn soon() -> Options {
    Run::options().args(&["--not-forwarded-after", "1s"])
}

fn a_shell_keeps_the_signal() {
    let mut run = soon().start();
    let (mut namespace, shell) = asked(&mut run, "trap : TERM; echo ready 0; sleep 100");
    not_forwarded(&mut run, shell, false);
    kill(shell, Signal::KILL);
    run.allow("namespace-killed");
    // `unshare` waits for the shell: if it ended first, the shell would be an orphan.
    namespace.ends();
    run.finish();
}

fn a_shell_passes_the_signal_on() {
    let mut run = soon().start();
    let script = "sleep 100 & trap 'kill -TERM $!' TERM; echo ready 0; wait; wait";
    let (mut namespace, _) = asked(&mut run, script);
    namespace.ends();
    run.finish();
}

fn a_child_that_ignores_the_signal() {
    let mut run = soon().slow_stop_after("1us").start();
    let script = "sh -c 'trap \"\" TERM; echo ready 0; sleep 100; :' & \
                  trap 'kill -TERM $!; echo passed 0' TERM; while :; do wait; done";
    let (mut namespace, shell) = asked(&mut run, script);
    namespace.hears("passed");
    kill(shell, Signal::KILL);
    namespace.ends();
    let slow = run.expect_finding("slow-stop").about(shell).signal("SIGTERM").certain().once();
    assert_eq!((slow.children_told, slow.children_not_told), (Some(1), Some(0)), "{slow:?}");
    assert!(slow.message.contains("ignores it"), "{}", slow.message);
    run.finish();
}

fn a_thread_dump_is_no_stop() {
    let mut run = soon().slow_stop_after("1us").start();
    let (mut namespace, shell) =
        run.unshare(&["sh", "-c", "trap 'echo dumped 0' QUIT; echo ready 0; while :; do sleep 0.1; done"]);
    namespace.hears("ready");
    kill(shell, Signal::QUIT);
    namespace.hears("dumped");
    kill(shell, Signal::TERM);
    run.expect_finding("init-ignored-signal").about(shell).signal("SIGTERM").once();
    kill(shell, Signal::KILL);
    namespace.ends();
    run.expect_finding("slow-stop").about(shell).signal("SIGTERM").certain().once();
    run.finish();
}

fn a_shell_leaves_its_child_to_the_kernel() {
    let mut run = soon().start();
    let (mut namespace, shell) = asked(&mut run, "sleep 100 & trap 'exit 0' TERM; echo ready 0; wait");
    namespace.ends();
    not_forwarded(&mut run, shell, true);
    run.finish();
}

fn brought_in_and_left_alone() {
    let mut run = Run::options().args(&["--exec-leftover-after", "300ms"]).start();
    let (namespace, init) = run.unshare(&["sh", "-c", "echo ready 0; exec sleep 100"]);
    let mut command = Command::new("nsenter");
    // A process that is brought in must not keep its client's pipe open.
    command.args(["-t", &init.to_string(), "-p", "sh", "-c", "exec sleep 99 > /dev/null"]);
    let mut client = run.program(command);
    let id = client.id();
    let inside = run.find("the one that was brought in", |line| {
        let Line::Event(event) = line else { return None };
        let process = event.process.as_ref().filter(|_| event.kind == "exec")?;
        // The name depends on which `sleep` it is.
        (process.ns_level == 1 && process.pid != init).then_some(process.pid)
    });
    kill(id, Signal::KILL);
    client.ends();
    run.allow("orphan-adopted");
    let found = run.expect_finding("exec-leftover").about(inside).certain().once();
    assert_eq!(found.client.map(|client| client.pid), Some(id));
    kill(inside, Signal::KILL);
    over(&mut run, "exec-leftover", inside);
    // This process adopted it as a subreaper, and reaps it only now.
    run.allow("unreaped-child");
    // This process ends both, one right after the other.
    run.allow("namespace-killed");
    drop(namespace);
    run.finish();
}

/// A setting of the kernel, restored afterwards.
struct Setting(&'static str, String);

impl Setting {
    fn new(path: &'static str, value: u64) -> Self {
        let before = fs::read_to_string(path).expect("a setting");
        fs::write(path, value.to_string()).expect("root may change it");
        Self(path, before)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(self.0, self.1.trim());
    }
}

fn ptys_run_out() {
    const MORE: u64 = 20;
    let number = |name: &str| -> u64 {
        let text = fs::read_to_string(Path::new("/proc/sys/kernel/pty").join(name)).expect("a setting");
        text.trim().parse().expect("a number")
    };
    let mut run = Run::start();
    // Only the machine's own devpts instance may use these.
    let reserve = number("reserve");
    let most = reserve + number("nr") + MORE;
    let setting = Setting::new("/proc/sys/kernel/pty/max", most);
    let open = || openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there is room for a pty");
    let ptys: Vec<_> = (1..MORE).map(|_| open()).collect();
    let me = std::process::id() as i32;
    let is_mine = move |f: &Finding| f.holders.iter().flatten().any(|holder| holder.process.pid == me);
    let found = run.expect_finding("pty-pressure").so_that("held here", is_mine).once();
    assert!(found.used.zip(found.most).is_some_and(|(used, most)| used * 5 >= (most - reserve) * 4), "{found:?}");
    let about = found.process.pid;
    drop(ptys);
    over(&mut run, "pty-pressure", about);
    drop(setting);
    run.finish();
}
