//! Faults that are made on purpose, once a turn: a zombie that nobody reaps, and a SIGTERM that pid 1 of a namespace has
//! no handler for.

use std::{cell::RefCell, rc::Rc};

use rustix::process::Signal;

use crate::{
    contract::Finding,
    stage::{Own, Stage, kill},
};

/// Both, for as long as this lives.
pub struct Planted {
    _parent: Stage,
    _namespace: Stage,
    zombie: Fault,
    init: Fault,
    /// How many records had been lost before.
    pub lost: u64,
}

struct Fault {
    rule: &'static str,
    pid: i32,
    made: u32,
    told: u32,
}

impl Fault {
    fn new(rule: &'static str, pid: i32) -> Self {
        Self { rule, pid, made: 1, told: 0 }
    }

    fn is_told(&self) -> bool {
        (1..=self.made).contains(&self.told)
    }
}

impl Planted {
    /// How many they are.
    pub const COUNT: usize = 2;

    /// Makes them; so many records have been lost by now.
    pub fn now(own: &Rc<RefCell<Own>>, lost: u64) -> Self {
        let mut parent = Stage::act(&["parent", "never-waits"], own);
        parent.step("child");
        let zombie = Fault::new("unreaped-child", parent.pid("child"));
        let mut namespace = Stage::act(&["init", "plain"], own);
        let init = Fault::new("init-ignored-signal", namespace.pid("init"));
        kill(init.pid, Signal::TERM);
        Self { _parent: parent, _namespace: namespace, zombie, init, lost }
    }

    /// Pid 1 of the namespace.
    pub fn init(&self) -> i32 {
        self.init.pid
    }

    /// Whether a finding is about one of them.
    pub fn hears(&mut self, finding: &Finding) -> bool {
        let about = [&mut self.zombie, &mut self.init]
            .into_iter()
            .find(|fault| (fault.rule, fault.pid) == (finding.rule.as_str(), finding.process.pid));
        about.map(|fault| fault.told += 1).is_some()
    }

    /// Sends the signal once more, of which the record may be among those that were lost.
    pub fn signal_again(&mut self) {
        kill(self.init.pid, Signal::TERM);
        self.init.made += 1;
    }

    /// How many of them were told, and not more often than they were made.
    pub fn told(&self) -> usize {
        [&self.zombie, &self.init].into_iter().filter(|fault| fault.is_told()).count()
    }

    /// Which were not.
    pub fn untold(&self) -> impl Iterator<Item = String> {
        let untold = [&self.zombie, &self.init].into_iter().filter(|fault| !fault.is_told());
        untold.map(|fault| {
            let Fault { rule, pid, made, told } = fault;
            format!("{rule} about {pid}, which was planted, is told {told} times, and made {made} times")
        })
    }
}
