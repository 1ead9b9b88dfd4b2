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
}

struct Fault {
    rule: &'static str,
    pid: i32,
    told: u32,
}

impl Planted {
    /// How many they are.
    pub const COUNT: usize = 2;

    /// Makes them.
    pub fn now(own: &Rc<RefCell<Own>>) -> Self {
        let mut parent = Stage::act(&["parent", "never-waits"], own);
        parent.step("child");
        let zombie = Fault { rule: "unreaped-child", pid: parent.pid("child"), told: 0 };
        let mut namespace = Stage::act(&["init", "plain"], own);
        let init = Fault { rule: "init-ignored-signal", pid: namespace.pid("init"), told: 0 };
        kill(init.pid, Signal::TERM);
        Self { _parent: parent, _namespace: namespace, zombie, init }
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

    /// Whether all that there is to tell was told.
    pub fn is_told(&self) -> bool {
        self.zombie.told > 0 && self.init.told > 0
    }

    /// How many of them were told, and told once.
    pub fn told(&self) -> usize {
        [&self.zombie, &self.init].into_iter().filter(|fault| fault.told == 1).count()
    }
}
