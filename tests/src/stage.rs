//! The workload: programs that a test starts, talks to, and removes again whatever happens.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, ChildStdin, Command, Stdio},
    rc::Rc,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use nix::sys::{prctl, signal::Signal};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal as RawSignal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};

use crate::machine;

/// How long a workload may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The processes and pid namespaces that belong to a test.
#[derive(Debug, Default)]
pub struct Own {
    /// By pid on the host.
    pub pids: BTreeSet<i32>,
    /// By inode number; the machine's own is not among them.
    pub namespaces: BTreeSet<u32>,
}

impl Own {
    /// Adds a process, and its namespace.
    pub fn add(&mut self, pid: i32) {
        self.pids.insert(pid);
        let ours = machine::pid_ns(std::process::id() as i32);
        self.namespaces.extend(machine::pid_ns(pid).filter(|&namespace| Some(namespace) != ours));
    }
}

/// A program that stages something, and every process that it told of.
pub struct Stage {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<String>,
    heard: Vec<(String, i32)>,
    held: Vec<OwnedFd>,
    own: Rc<RefCell<Own>>,
}

impl Stage {
    /// Starts the workload program with that act.
    pub fn act(act: &[&str], own: &Rc<RefCell<Own>>) -> Self {
        let mut command = Command::new(machine::workload_path());
        command.args(act);
        Self::program(command, own)
    }

    /// Starts any program. What it writes in lines `NAME PID` is heard.
    pub fn program(mut command: Command, own: &Rc<RefCell<Own>>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: prctl(2) is safe to call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        own.borrow_mut().add(child.id() as i32);
        let to = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (send, from) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, to, from, heard: Vec::new(), held: Vec::new(), own: Rc::clone(own) }
    }

    /// The pid of the program itself.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until `name` says that it is ready; its pid.
    pub fn pid(&mut self, name: &str) -> i32 {
        loop {
            if let Some(at) = self.heard.iter().position(|(heard, _)| heard == name) {
                return self.heard.remove(at).1;
            }
            let line = self.from.recv_timeout(machine::patience(ANSWER_WITHIN)).unwrap_or_else(|_| {
                panic!("the workload did not say {name:?}, only {:?}", self.heard);
            });
            let (heard, pid) = parse(&line).unwrap_or_else(|| panic!("the workload said {line:?}"));
            self.heard.push((heard.to_owned(), pid));
            self.hold(pid);
        }
    }

    /// Waits until so many processes of that name are ready; their pids.
    pub fn pids(&mut self, name: &str, count: usize) -> Vec<i32> {
        (0..count).map(|_| self.pid(name)).collect()
    }

    /// Waits until the workload says that something has happened.
    pub fn hears(&mut self, what: &str) {
        self.pid(what);
    }

    /// The only child of the program: what `unshare --fork` or `nsenter` has started.
    pub fn only_child(&mut self) -> i32 {
        let id = self.id();
        let children: Vec<i32> =
            machine::processes().into_iter().filter(|process| process.ppid == id).map(|process| process.pid).collect();
        let [child] = children[..] else { panic!("{id} has the children {children:?}") };
        self.hold(child);
        child
    }

    /// Waits for the next thing that the workload says, which must not have been waited for before.
    pub fn next_word(&mut self) -> String {
        if self.heard.is_empty() {
            let line = self.from.recv_timeout(machine::patience(ANSWER_WITHIN)).expect("the workload says something");
            let (heard, pid) = parse(&line).unwrap_or_else(|| panic!("the workload said {line:?}"));
            self.heard.push((heard.to_owned(), pid));
            self.hold(pid);
        }
        self.heard.remove(0).0
    }

    /// Wants no more of it.
    pub fn closes(&mut self) {
        self.to = None;
    }

    /// Asks for the next step.
    pub fn step(&mut self, name: &str) {
        let to = self.to.as_mut().expect("stdin is open");
        writeln!(to, "{name}").unwrap_or_else(|e| panic!("the workload has ended before {name:?}: {e}"));
    }

    /// Waits until the program itself ends, and reaps it.
    pub fn ends(&mut self) {
        await_end_of(self.id());
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until the program itself ends, and reaps it: its exit code, 128 and its number for a signal.
    pub fn exit_code(&mut self) -> i32 {
        self.ends();
        let status = self.child.wait().expect("what a child has said once it says again");
        status.code().or_else(|| Some(128 + status.signal()?)).expect("it has ended")
    }

    /// Takes over a process that the workload has started.
    pub fn hold(&mut self, pid: i32) {
        // 0 is nobody's: the workload only wanted to say something.
        if pid <= 1 {
            return;
        }
        self.own.borrow_mut().add(pid);
        // A process that has gone already needs no care.
        self.held.extend(pidfd_open(to_pid(pid), PidfdFlags::empty()).ok());
    }
}

impl Drop for Stage {
    /// Ends every process that belongs to the workload, and reaps those that have come to this
    /// test, which is a subreaper. A descriptor of a process cannot mean another one.
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.kill();
        self.kill_held();
        // Whoever lives has the pipe open, and says so before it rests: this ends with the last.
        while let Ok(line) = self.from.recv_timeout(machine::patience(ANSWER_WITHIN)) {
            if let Some((_, pid)) = parse(&line) {
                self.hold(pid);
            }
            self.kill_held();
        }
        // The end of one process can bring us the children of it, and an init ends after all others of
        // its namespace are reaped: whoever was brought in there from outside, by us. So none is waited for.
        while !matches!(self.child.try_wait(), Ok(Some(_))) || self.held.iter().any(is_ours) {
            reap_strangers_of(&self.own.borrow().namespaces);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether that process is a child of this one, and not reaped; reaps it if it has ended.
fn is_ours(process: &OwnedFd) -> bool {
    waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_ok()
}

/// Reaps the zombies of these namespaces whose parent is this process by adoption. Children of its own are
/// in its own namespace.
fn reap_strangers_of(namespaces: &BTreeSet<u32>) {
    let me = std::process::id() as i32;
    let is_stranger = |pid: &i32| {
        machine::parent_of(*pid) == Some(me) && machine::pid_ns(*pid).is_some_and(|ns| namespaces.contains(&ns))
    };
    for pid in machine::pids().into_iter().filter(is_stranger) {
        let _ = waitid(WaitId::Pid(to_pid(pid)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

impl Stage {
    fn kill_held(&self) {
        for process in &self.held {
            let _ = pidfd_send_signal(process, RawSignal::KILL);
        }
    }
}

/// Reads a line `NAME PID`.
fn parse(line: &str) -> Option<(&str, i32)> {
    let (name, pid) = line.rsplit_once(' ')?;
    Some((name, pid.parse().ok()?))
}

/// Sends a signal, in the name of this test.
pub fn kill(pid: i32, signal: RawSignal) {
    rustix::process::kill_process(to_pid(pid), signal).unwrap_or_else(|e| panic!("kill {pid}: {e}"));
}

/// Waits until a process has ended; a zombie has.
pub fn await_end_of(pid: i32) {
    let Ok(process) = pidfd_open(to_pid(pid), PidfdFlags::empty()) else { return };
    let limit = Timespec { tv_sec: machine::patience(ANSWER_WITHIN).as_secs() as i64, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).expect("poll");
    assert_eq!(ended, 1, "{pid} did not end");
}

fn to_pid(pid: i32) -> Pid {
    Pid::from_raw(pid).expect("no pid is 0")
}
