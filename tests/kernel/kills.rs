//! Ends by signals: who sent the signal, or what the process did to cause it.

use std::{fs, process::Command};

use rustix::process::{Pid, Signal, kill_process_group};
use tracer_tests::{
    Run, Stage,
    contract::{Finding, KernelSender, Sender},
    machine::{Control, Group, Need, stat},
    stage::{await_end_of, kill},
};

use crate::{Test, live, me};

pub fn trials() -> Vec<Test> {
    vec![
        live("by_another_process", by_another_process),
        live("by_itself_or_for_what_it_did", by_itself_or_for_what_it_did),
        live("raised_again", raised_again),
        live("many_at_once", many_at_once),
        live("at_the_end_of_a_parent", at_the_end_of_a_parent),
        live("at_the_end_of_a_tracer", at_the_end_of_a_tracer),
        live("from_a_terminal", from_a_terminal),
        live("at_the_end_of_a_session", at_the_end_of_a_session),
        live("blocked_at_first", blocked_at_first),
        live("the_end_of_a_namespace_is_not_told_twice", the_end_of_a_namespace_is_not_told_twice),
        live("who_ends_in_order_is_quiet", who_ends_in_order_is_quiet),
        live("by_cgroup_kill", by_cgroup_kill).needs(Need::CgroupKill),
        live("a_namespace_by_cgroup_kill", a_namespace_by_cgroup_kill).needs(Need::CgroupKill),
        live("several_namespaces_at_once", several_namespaces_at_once),
        live("of_several_that_wait", of_several_that_wait),
        live("for_want_of_memory", for_want_of_memory).needs(Need::MemoryLimit),
    ]
}

/// A run in which ends by a signal count.
pub fn start() -> Run {
    let mut run = Run::start();
    run.judge_kills();
    run
}

/// An act whose process is ready to end.
fn act(run: &Run, act: &[&str]) -> (Stage, i32) {
    let mut stage = run.stage(act);
    let process = stage.pid("process");
    (stage, process)
}

/// The certain finding about that process.
fn killed(run: &mut Run, process: i32, signal: &'static str, how: &'static str) -> Finding {
    let found = run.expect_finding("killed-by").about(process).signal(signal).certain();
    found.so_that(how, move |f| f.how.as_deref() == Some(how)).once()
}

fn pids(processes: Option<&Vec<tracer_tests::contract::Process>>) -> Vec<i32> {
    processes.expect("it is a killed-by").iter().map(|process| process.pid).collect()
}

fn is_sent_by(found: &Finding, pid: i32) -> bool {
    matches!(&found.sender, Some(Sender::Process(sender)) if sender.pid == pid)
}

fn by_another_process() {
    let mut run = start();
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::KILL, "SIGKILL"), (Signal::QUIT, "SIGQUIT")] {
        let (mut stage, process) = act(&run, &["end", "by-another"]);
        kill(process, signal);
        stage.ends();
        let found = killed(&mut run, process, name, "process");
        assert!(is_sent_by(&found, me()), "{found:?}");
        let parent = stat(me()).expect("this test lives").ppid;
        assert_eq!(pids(found.ancestors.as_ref()).first(), Some(&parent), "{found:?}");
        assert_eq!((found.count, found.raised_again), (Some(1), Some(0)));
        let says = format!(
            "< {} (pid {parent})",
            fs::read_to_string(format!("/proc/{parent}/comm")).expect("it is there").trim()
        );
        assert!(found.message.contains(&says), "{}", found.message);
    }
    run.finish();
}

fn by_itself_or_for_what_it_did() {
    let mut run = start();
    for (act_of, signal, how, says) in [
        ("by-abort", "SIGABRT", "itself", "called abort()"),
        ("by-raise", "SIGUSR1", "itself", "(raise(), or kill()"),
        ("by-fault", "SIGSEGV", "fault", "nothing is mapped"),
        ("by-pipe", "SIGPIPE", "broken-pipe", "nobody reads"),
        ("by-timer", "SIGALRM", "timer", "its own timer"),
        ("by-file-size", "SIGXFSZ", "file-size-limit", "RLIMIT_FSIZE"),
        ("by-seccomp", "SIGSYS", "seccomp", "seccomp filter"),
        ("by-strict-mode", "SIGKILL", "seccomp", "strict mode"),
    ] {
        let (mut stage, process) = act(&run, &["end", act_of]);
        stage.step("end");
        stage.ends();
        let found = killed(&mut run, process, signal, how);
        assert!(found.message.contains(says), "{}", found.message);
    }
    run.finish();
}

fn raised_again() {
    let mut run = start();
    let (mut stage, process) = act(&run, &["raise-again"]);
    kill(process, Signal::TERM);
    stage.ends();
    let found = killed(&mut run, process, "SIGTERM", "process");
    assert!(is_sent_by(&found, me()), "{found:?}");
    assert_eq!(found.raised_again, Some(1));
    assert!(found.message.contains("handled SIGTERM from"), "{}", found.message);
    run.finish();
}

fn many_at_once() {
    const MEMBERS: usize = 12;
    let mut run = start();
    let mut stage = run.stage(&["group", &MEMBERS.to_string()]);
    let process = stage.pid("process");
    let members = stage.pids("member", MEMBERS);
    // Whose parent ends beside them.
    run.allow("orphan-adopted");
    run.allow("unreaped-child");

    kill_process_group(Pid::from_raw(process).expect("no pid is 0"), Signal::TERM).expect("kill");
    stage.ends();
    members.iter().for_each(|&member| await_end_of(member));
    let found = run.expect_finding("killed-by").signal("SIGTERM").sender(me()).certain();
    let found = found.so_that("13 of them", |f| f.count == Some(MEMBERS as u64 + 1)).once();
    let named = pids(found.victims.as_ref());
    assert_eq!(named.len(), 10);
    assert!(named.iter().all(|pid| *pid == process || members.contains(pid)), "{found:?}");
    assert!(found.message.contains(" and 3 more."), "{}", found.message);
    run.finish();
}

fn at_the_end_of_a_parent() {
    let mut run = start();
    let mut stage = run.stage(&["death-of-a-parent"]);
    let process = stage.pid("process");
    let mut children = stage.pids("child", 2);
    children.sort_unstable();
    run.allow("orphan-adopted");
    run.allow("unreaped-child");

    stage.step("end");
    stage.ends();
    children.iter().for_each(|&child| await_end_of(child));
    let found = run.expect_finding("killed-by").signal("SIGKILL").sender(process).certain();
    let found = found.so_that("parent-death", |f| f.how.as_deref() == Some("parent-death")).once();
    let mut named = pids(found.victims.as_ref());
    named.sort_unstable();
    assert_eq!(named, children, "{found:?}");
    run.finish();
}

fn at_the_end_of_a_tracer() {
    let mut run = start();
    let mut stage = run.stage(&["death-of-a-tracer"]);
    let process = stage.pid("process");
    let tracer = stage.pid("tracer");
    run.allow("orphan-adopted");
    run.allow("unreaped-child");

    stage.step("end");
    stage.ends();
    let found = killed(&mut run, process, "SIGKILL", "tracer-exit");
    assert!(is_sent_by(&found, tracer), "{found:?}");
    run.finish();
}

fn from_a_terminal() {
    let mut run = start();
    for (step, signal, says) in [("interrupt", "SIGINT", "from /dev/pts/"), ("close", "SIGHUP", "hung up its terminal")]
    {
        let (mut stage, process) = act(&run, &["on-a-terminal"]);
        stage.step(step);
        stage.ends();
        let found = killed(&mut run, process, signal, "terminal");
        let is_of_kernel = found.sender == Some(Sender::Kernel { kernel: KernelSender::Terminal });
        // Nobody knows who pressed a key; it is the stage that has closed the other side.
        assert!(if step == "close" { is_sent_by(&found, stage.id()) } else { is_of_kernel }, "{found:?}");
        assert!(found.message.contains(says), "{}", found.message);
    }
    run.finish();
}

/// The leader of a session ends, and the kernel hangs up who is in the foreground of its terminal: which one.
fn at_the_end_of_a_session() {
    let mut run = start();
    let (mut stage, process) = act(&run, &["below-a-leader"]);
    let leader = stage.pid("leader");
    let terminal = fs::read_link(format!("/proc/{process}/fd/0")).expect("its standard input is the terminal");
    run.allow("orphan-adopted");
    stage.step("end");
    stage.ends();
    let found = killed(&mut run, process, "SIGHUP", "hang-up");
    assert!(is_sent_by(&found, leader), "{found:?}");
    let terminal = terminal.display().to_string();
    assert_eq!(found.terminal.as_deref(), Some(&*terminal), "{found:?}");
    assert!(found.headline.ends_with(&format!("its session at {terminal}")), "{}", found.headline);
    killed(&mut run, leader, "SIGKILL", "process");
    run.finish();
}

fn blocked_at_first() {
    let mut run = start();
    let (mut stage, process) = act(&run, &["blocked-until"]);
    kill(process, Signal::TERM);
    run.settle();
    stage.step("unblock");
    stage.ends();
    assert!(is_sent_by(&killed(&mut run, process, "SIGTERM", "process"), me()));
    run.finish();
}

/// Reports neither what the kernel kills with pid 1, nor who killed pid 1.
fn the_end_of_a_namespace_is_not_told_twice() {
    let mut run = start();
    let mut namespace = run.stage(&["family", "3"]);
    let init = namespace.pid("init");
    namespace.pids("member", 3);

    kill(init, Signal::KILL);
    namespace.hears("ended");
    let found = run.expect_finding("namespace-killed").about(init).killed(3).certain().once();
    let by = found.killed_by.expect("the contract says so");
    assert_eq!((&by["how"], by["sender"]["pid"].as_i64()), (&"process".into(), Some(me().into())), "{by}");
    run.finish();
}

fn who_ends_in_order_is_quiet() {
    let run = start();
    let [mut handler, mut ignoring] = ["handler", "ignoring"].map(|kind| run.stage(&["init", kind]));
    for stage in [&mut handler, &mut ignoring] {
        let init = stage.pid("init");
        kill(init, Signal::TERM);
        kill(init, Signal::WINCH);
    }
    // Stopped, continued, and then gone with its own code.
    let mut stage = run.stage(&["parent", "ignores-sigchld"]);
    let parent = stage.pid("parent");
    kill(parent, Signal::STOP);
    kill(parent, Signal::CONT);
    stage.closes();
    stage.ends();
    run.finish();
}

fn by_cgroup_kill() {
    let mut run = start();
    let group = Group::new(Control::Kill).expect("it was there before");
    let mut stages: Vec<_> = (0..3).map(|_| act(&run, &["end", "by-group"])).collect();
    let mut processes: Vec<_> = stages.iter().map(|&(_, process)| process).collect();
    processes.iter().for_each(|&process| group.takes(process));

    fs::write(group.file(Control::Kill).expect("it was there before"), "1").expect("cgroup.kill");
    stages.iter_mut().for_each(|(stage, _)| stage.ends());
    let found = run.expect_finding("killed-by").signal("SIGKILL").sender(me()).certain();
    let found = found.so_that("cgroup-kill", |f| f.how.as_deref() == Some("cgroup-kill")).once();
    let mut named = pids(found.victims.as_ref());
    named.sort_unstable();
    processes.sort_unstable();
    assert_eq!(named, processes);
    run.finish();
}

fn a_namespace_by_cgroup_kill() {
    let mut run = start();
    let group = Group::new(Control::Kill).expect("it was there before");
    let mut namespace = run.stage(&["family", "3"]);
    let init = namespace.pid("init");
    let members = namespace.pids("member", 3);
    members.iter().chain([&init]).for_each(|&process| group.takes(process));

    fs::write(group.file(Control::Kill).expect("it was there before"), "1").expect("cgroup.kill");
    namespace.hears("ended");
    let found = run.expect_finding("namespace-killed").about(init).killed(0).certain().once();
    let by = found.killed_by.expect("the contract says so");
    assert_eq!((&by["how"], by["sender"]["pid"].as_i64()), (&"cgroup-kill".into(), Some(me().into())), "{by}");
    assert_eq!(by["count"].as_i64(), Some(4), "{by}");
    run.finish();
}

fn several_namespaces_at_once() {
    let mut run = start();
    let mut namespaces: Vec<_> = (0..3).map(|_| run.stage(&["family", "2"])).collect();
    let inits: Vec<_> = namespaces.iter_mut().map(|namespace| namespace.pid("init")).collect();
    for namespace in &mut namespaces {
        namespace.pids("member", 2);
    }
    inits.iter().for_each(|&init| kill(init, Signal::KILL));
    for (namespace, &init) in namespaces.iter_mut().zip(&inits) {
        namespace.hears("ended");
        let found = run.expect_finding("namespace-killed").about(init).killed(2).certain().once();
        let by = found.killed_by.expect("the contract says so");
        assert_eq!(by["sender"]["pid"].as_i64(), Some(me().into()), "{by}");
    }
    run.finish();
}

/// Two signals to a stopped process, which takes the lower number first.
fn of_several_that_wait() {
    let mut run = start();
    let (mut stage, process) = act(&run, &["end", "by-another"]);
    kill(process, Signal::STOP);
    kill(process, Signal::USR1);
    let mut other = Command::new("sh");
    other.args(["-c", &format!("kill -TERM {process}")]);
    assert!(other.status().expect("there is a shell").success());
    kill(process, Signal::CONT);
    stage.ends();
    let found = killed(&mut run, process, "SIGUSR1", "process");
    assert!(is_sent_by(&found, me()), "{found:?}");
    run.finish();
}

fn for_want_of_memory() {
    let mut run = start();
    let group = Group::new(Control::Memory).expect("it was there before");
    let (mut stage, process) = act(&run, &["end", "by-memory"]);
    fs::write(group.file(Control::Memory).expect("it was there before"), "16M").expect("a limit");
    group.takes(process);

    stage.step("end");
    stage.ends();
    let found = killed(&mut run, process, "SIGKILL", "oom");
    assert_eq!(found.sender, Some(Sender::Kernel { kernel: KernelSender::Oom }));
    let memory = found.out_of_memory.expect("the log of the kernel can be read");
    assert_eq!((memory.whose.as_str(), memory.group.as_deref()), ("group", Some(group.path().as_str())));
    run.finish();
}
