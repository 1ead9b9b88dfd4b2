//! What happens between two quiet moments, one phase after another: forks, programs that are executed, signals, zombies
//! that are reaped late, pid namespaces, containers.

use std::{
    cell::RefCell,
    process::Command,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{engine::Containers, judge::Judge};
use crate::{
    agent::Agent,
    machine,
    stage::{Own, Stage, kill},
};

/// What a storm needs beside its own processes.
pub struct Beside<'a> {
    /// Who watches it.
    pub agent: &'a Agent,
    /// Who hears what is said of it.
    pub judge: &'a mut Judge,
    /// For the containers.
    pub containers: &'a mut Containers,
    /// For how long the watcher is stopped first, if it is.
    pub stopped: Option<Duration>,
}

/// Does its part once.
type Phase = fn(&mut Beside<'_>, &Rc<RefCell<Own>>);

/// In this order, so that the last, which says least, is what is in memory when the tree is asked for.
const PHASES: [Phase; 6] = [forks, execs, signals, late_reaps, namespaces, containers];
/// How long one lasts at the most, before the next has its turn.
const TURN: Duration = Duration::from_secs(8);
/// Forks of one process, and programs of one shell, before another is started.
const BATCH: u32 = 1_000;
/// Processes that storm beside each other.
const BESIDE: usize = 2;

/// Goes on for as long as that is so, with each phase once at the least.
pub fn blow(beside: &mut Beside<'_>, own: &Rc<RefCell<Own>>, go_on: &dyn Fn() -> bool) {
    if let Some(time) = beside.stopped {
        unwatched(beside, own, time, go_on);
    }
    loop {
        for phase in PHASES {
            let until = Instant::now() + TURN;
            loop {
                phase(beside, own);
                beside.judge.listen(beside.agent);
                if Instant::now() >= until || !go_on() {
                    break;
                }
            }
        }
        if !go_on() {
            return;
        }
    }
}

/// Goes on while the watcher is stopped, for so long at the most.
fn unwatched(beside: &mut Beside<'_>, own: &Rc<RefCell<Own>>, time: Duration, go_on: &dyn Fn() -> bool) {
    let watcher = beside.agent.child.id() as i32;
    let until = Instant::now() + time;
    kill(watcher, Signal::STOP);
    loop {
        forks(beside, own);
        if Instant::now() >= until || !go_on() {
            break;
        }
    }
    kill(watcher, Signal::CONT);
}

fn forks(_: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    let mut storms: Vec<_> = (0..BESIDE).map(|_| Stage::act(&["storm", &BATCH.to_string()], own)).collect();
    storms.iter_mut().for_each(|storm| storm.step("go"));
    storms.iter_mut().for_each(|storm| storm.hears("over"));
}

/// One shell waits for the others, so that none is a zombie for long.
fn execs(_: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    let run = format!("run() {{ i=0; while [ $i -lt {BATCH} ]; do /bin/true; i=$((i + 1)); done; }}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{run}; {} wait", "run & ".repeat(BESIDE))]);
    Stage::program(shell, own).ends();
}

/// Signals that are queued and taken, as fast as two processes can; where there is no stress-ng, such as are ignored.
fn signals(_: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    if machine::is_on_path("stress-ng") {
        let mut storm = Command::new("stress-ng");
        storm.args(["--quiet", "--sigq", "1", "--timeout", "2s"]);
        Stage::program(storm, own).ends();
    } else {
        let mut target = Stage::act(&["parent", "never-waits"], own);
        let pid = target.pid("parent");
        (0..BATCH).for_each(|_| kill(pid, Signal::WINCH));
    }
}

/// Zombies that are reaped as soon as it was said of each that nobody reaps it. They are fewer than a leak.
fn late_reaps(beside: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    const CHILDREN: usize = 3;
    let mut parents: Vec<_> = (0..BESIDE).map(|_| Stage::act(&["parent", "never-waits"], own)).collect();
    let mut zombies = Vec::new();
    for parent in &mut parents {
        for _ in 0..CHILDREN {
            parent.step("child");
            zombies.push(parent.pid("child"));
        }
    }
    beside.judge.expect_zombies(beside.agent, &zombies);
    for parent in &mut parents {
        for _ in 0..CHILDREN {
            parent.step("wait");
            parent.hears("reaped");
        }
    }
}

fn namespaces(_: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    let mut nested = Stage::act(&["nested", "3"], own);
    nested.hears("init3");
    let mut orphanage = Stage::act(&["orphanage"], own);
    orphanage.hears("leaf");
    let mut family = Stage::act(&["family", "5"], own);
    family.pids("member", 5);
    family.hears("init");
    family.step("exit");
    family.hears("ended");
    let mut crowd = Stage::act(&["crowd", "50"], own);
    crowd.hears("crowd");
}

fn containers(beside: &mut Beside<'_>, own: &Rc<RefCell<Own>>) {
    beside.containers.live_once(&mut own.borrow_mut());
}
