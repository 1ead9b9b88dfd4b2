//! What an agent says of the storm, and whether it is so.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use tracer::{ident::ProcKey, time::BootNs};

use super::{LOST, plant::Planted};
use crate::{
    agent::{Agent, SAID_WITHIN},
    contract::{Finding, Line},
    fidelity::kernel::Life,
    sameness::Moment,
    stage::Own,
};

/// What is true of a storm at any time: its processes are killed at the end of a phase, some with their namespaces, and
/// leave children to others.
const TRUE: [&str; 4] = ["killed-by", "stopped-by", "namespace-killed", "orphan-adopted"];

/// Everything that was said, and what is to be made of it.
#[derive(Default)]
pub struct Judge {
    /// New findings of this turn that no one has claimed yet.
    new: Vec<Finding>,
    /// Those that later events have proved wrong.
    withdrawn: Vec<Finding>,
    /// Zombies that are told to be so, and were not told to be over.
    open: BTreeMap<ProcKey, String>,
    /// Those that the storm left on purpose, in this turn.
    left: BTreeSet<i32>,
    /// The pid 1 that was planted in the last turn: that its stop was slow is told when it has ended.
    slow: Option<i32>,
    wrong: Vec<String>,
}

impl Judge {
    /// Takes in what the agent has said.
    pub fn listen(&mut self, agent: &Agent) {
        for line in agent.said() {
            let Line::Finding(finding) = line else { continue };
            let key = ProcKey { start: BootNs(finding.process.start_boot_ns), tgid: finding.process.pid as u32 };
            match (finding.stage.as_str(), finding.rule.as_str()) {
                ("new", rule) => {
                    if rule == "unreaped-child" {
                        self.open.insert(key, finding.message.clone());
                    }
                    self.new.push(*finding);
                }
                ("resolved", "unreaped-child") => {
                    self.open.remove(&key);
                }
                ("withdrawn", _) => {
                    self.open.remove(&key);
                    self.withdrawn.push(*finding);
                }
                _ => {}
            }
        }
    }

    /// Listens until each of these zombies was told to be one, for as long as that may take.
    pub fn expect_zombies(&mut self, agent: &Agent, zombies: &[i32]) {
        self.left.extend(zombies);
        let until = Instant::now() + SAID_WITHIN;
        let mut untold: BTreeSet<i32> = zombies.iter().copied().collect();
        while !untold.is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
            self.listen(agent);
            let of_zombies = self.new.iter().filter(|finding| finding.rule == "unreaped-child");
            for finding in of_zombies {
                untold.remove(&finding.process.pid);
            }
        }
        self.wrong.extend(untold.iter().map(|pid| format!("it does not tell of the zombie {pid}")));
    }

    /// Listens until what was planted was told, for as long as that may take. A signal that was sent while records were
    /// lost is sent again.
    pub fn wait_for(&mut self, agent: &Agent, planted: &mut Planted) {
        let began = Instant::now();
        let mut lost = planted.lost;
        while began.elapsed() < SAID_WITHIN {
            let again = Instant::now() + SAID_WITHIN / 6;
            while Instant::now() < again {
                self.listen(agent);
                self.new.retain(|finding| !planted.hears(finding));
                if planted.told() == Planted::COUNT {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
            let lost_now = agent.number(LOST);
            if lost_now > lost {
                lost = lost_now;
                planted.signal_again();
            }
        }
    }

    /// Zombies of anybody that are told to be there, and are not.
    pub fn stale(&self, moment: &Moment) -> Vec<String> {
        let is_gone =
            |key: &ProcKey| moment.life(*key).is_none_or(|life| !matches!(life, Life::Zombie(_) | Life::Held));
        let stale = self.open.iter().filter(|(key, _)| is_gone(key));
        stale.map(|(_, message)| format!("it is over, and that was not told: {message}")).collect()
    }

    /// Ends a turn: what was wrong in it.
    pub fn close(&mut self, own: &Own, planted: &Planted) -> Vec<String> {
        let is_own = |pid: i32, ns: u32| own.pids.contains(&pid) || own.namespaces.contains(&ns);
        let slow = [self.slow, Some(planted.init())];
        let is_ours = |finding: &Finding| {
            let parent = finding.parent.as_ref();
            [Some(&finding.process), parent].into_iter().flatten().any(|process| is_own(process.pid, process.pid_ns))
        };
        let withdrawn = self.withdrawn.drain(..).filter(is_ours);
        self.wrong.extend(withdrawn.map(|finding| format!("it takes back {}: {}", finding.rule, finding.message)));
        for finding in self.new.drain(..) {
            let process = &finding.process;
            let is_known = match finding.rule.as_str() {
                "unreaped-child" => self.left.contains(&process.pid),
                "slow-stop" => slow.contains(&Some(process.pid)),
                rule => TRUE.contains(&rule),
            };
            if is_ours(&finding) && !is_known {
                self.wrong.push(format!("{}: {}", finding.rule, finding.message));
            }
        }
        self.wrong.extend(planted.untold());
        self.left.clear();
        self.slow = Some(planted.init());
        std::mem::take(&mut self.wrong)
    }
}
