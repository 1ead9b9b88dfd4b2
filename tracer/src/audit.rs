//! What `/proc` alone says about pid 1 of each pid namespace, before anything happens: whether it will act on its stop
//! signal, whether it fails to reap, what execs have left in it, and how close ptys and pids are to their limits. Needs
//! no eBPF, and no root for one's own processes.

pub mod closer;
pub mod facts;
pub mod page;
pub mod stop;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use clap::ValueEnum;
use facts::Facts;
use stop::Forecast;

use crate::{
    host::{Container, Ptys, Room},
    signal::Signal,
    source::{containers, limits},
};

/// A pid namespace whose pid 1 can be seen.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its pid 1.
    pub init: Facts,
    /// Its container.
    pub container: Option<Container>,
    /// The signal that asks it to end.
    pub signal: Signal,
    /// What it will do at its stop signal.
    pub forecast: Forecast,
    /// Processes in it that can be seen, including those of nested namespaces.
    pub processes: usize,
    /// Zombies that pid 1 must reap.
    pub zombies: Vec<Facts>,
    /// Living processes that entered from outside (setns: `docker exec`, `nsenter`).
    pub outsiders: Vec<Facts>,
    /// Pids of its control group.
    pub pids: Option<Room>,
}

/// What an audit can fail on, named after the rules that report the same when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Gate {
    /// A pid 1 will not act on its stop signal, surely or likely
    InitIgnoredSignal,
    /// A pid 1 has zombies that it does not reap
    UnreapedChild,
    /// The pseudo-terminals are running out
    PtyPressure,
    /// The pids are running out, of the machine or of a container
    PidPressure,
    /// A process without a terminal is stopped
    StoppedJob,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Each pid namespace below the one that this runs in.
    pub namespaces: Vec<Namespace>,
    /// Processes that are stopped until somebody continues them, without those below one of them.
    pub stopped: Vec<Facts>,
    /// Pseudo-terminals of the machine.
    pub ptys: Option<Ptys>,
    /// Pids of the machine.
    pub pids: Option<Room>,
}

/// How long after the first look the second one comes: a shell's child that is gone by then is one of many, in a loop.
const SECOND_LOOK: Duration = Duration::from_millis(1_200);

/// Looks at every process that may be looked at. Without a given signal, the container's own is assumed.
pub fn audit(signal: Option<Signal>) -> Audit {
    let mut all = facts::all();
    let inits: Vec<_> = all.values().filter(|one| one.is_init() && !one.has_ended()).map(|one| one.pid).collect();
    facts::look_closer(&mut all, inits);
    let mut world = Relations::of(&all);
    let mut containers = containers::of(world.inits().map(|init| (init.pid as u32, init.ppid as u32)));
    let signals: BTreeMap<i32, Signal> = world
        .inits()
        .map(|init| (init.pid, signal.unwrap_or_else(|| own(containers.get(&(init.pid as u32))))))
        .collect();
    // A shell acts when its foreground child ends. A second look tells whether that happens often.
    if world.inits().any(|init| stop::waits_for_a_child(init, &world.children(init.pid), signals[&init.pid])) {
        thread::sleep(SECOND_LOOK);
        world.before = facts::all().into_keys().collect();
    }
    let namespaces = world.inits().map(|init| {
        let container = containers.remove(&(init.pid as u32));
        world.namespace(init, container, signals[&init.pid])
    });
    let namespaces = namespaces.collect();
    Audit { namespaces, stopped: world.stopped(), ptys: limits::ptys(), pids: limits::pids() }
}

/// The signal that a container is stopped with.
pub(crate) fn own(container: Option<&Container>) -> Signal {
    container.and_then(Container::own_stop_signal).unwrap_or(Signal::TERM)
}

/// All processes and their relations.
pub(crate) struct Relations<'a> {
    all: &'a BTreeMap<i32, Facts>,
    by_parent: BTreeMap<i32, Vec<&'a Facts>>,
    init_of: BTreeMap<u32, &'a Facts>,
    /// The processes that are still there at the second look; all of them, if there was none.
    before: BTreeSet<i32>,
}

impl Audit {
    /// Whether this was found anywhere. `pressure_at` is the percentage in use from which pids and ptys count as
    /// running out.
    pub fn has(&self, what: Gate, pressure_at: u64) -> bool {
        let Self { namespaces, stopped, ptys, pids } = self;
        let is_short = |room: &Option<Room>| room.is_some_and(|room| room.is_short(pressure_at));
        match what {
            Gate::InitIgnoredSignal => {
                namespaces.iter().any(|ns| !ns.forecast.acts && ns.forecast.sure != stop::Sure::Guess)
            }
            Gate::UnreapedChild => namespaces.iter().any(|ns| !ns.zombies.is_empty()),
            Gate::PtyPressure => is_short(&ptys.map(Ptys::of_containers)),
            Gate::StoppedJob => !stopped.is_empty(),
            Gate::PidPressure => is_short(pids) || namespaces.iter().any(|ns| is_short(&ns.pids)),
        }
    }
}

impl<'a> Relations<'a> {
    pub(crate) fn of(all: &'a BTreeMap<i32, Facts>) -> Self {
        let mut by_parent: BTreeMap<i32, Vec<&Facts>> = BTreeMap::new();
        for one in all.values() {
            by_parent.entry(one.ppid).or_default().push(one);
        }
        let init_of = all.values().filter(|one| one.is_init()).filter_map(|one| Some((one.pid_ns?, one))).collect();
        Self { all, by_parent, init_of, before: all.keys().copied().collect() }
    }

    fn inits(&self) -> impl Iterator<Item = &'a Facts> {
        self.all.values().filter(|one| one.is_init() && !one.has_ended())
    }

    fn stopped(&self) -> Vec<Facts> {
        let is_below = |one: &Facts| self.all.get(&one.ppid).is_some_and(Facts::is_stopped_for_good);
        self.all.values().filter(|one| one.is_stopped_for_good() && !is_below(one)).cloned().collect()
    }

    pub(crate) fn children(&self, pid: i32) -> Vec<&'a Facts> {
        self.by_parent.get(&pid).cloned().unwrap_or_default()
    }

    /// In the namespace of that init, or in one nested in it: the init of a nested one has its parent there.
    fn is_inside(&self, one: &Facts, init: &Facts) -> bool {
        let mut one = one;
        // At most MAX_PID_NS_LEVEL steps: a view that changes meanwhile must not lead in a circle.
        for _ in 0..32 {
            let Some(ns) = one.pid_ns else { return one.pid == init.pid };
            if init.pid_ns == Some(ns) {
                return true;
            }
            match self.init_of.get(&ns).and_then(|init| self.all.get(&init.ppid)) {
                Some(outer) => one = outer,
                None => return false,
            }
        }
        false
    }

    /// The pid 1 of a process's pid namespace, if that namespace is below the one that `tracer` runs in.
    pub(crate) fn init_of(&self, one: &Facts) -> Option<&'a Facts> {
        self.init_of.get(&one.pid_ns?).copied()
    }

    /// It lives in the namespace of that init, but its parent is outside.
    pub(crate) fn came_in(&self, one: &Facts, init: &Facts) -> bool {
        let parent = self.all.get(&one.ppid);
        one.pid != init.pid && one.pid_ns == init.pid_ns && parent.is_some_and(|parent| !self.is_inside(parent, init))
    }

    /// What a process will do at a signal, after a second look at a shell's children if that tells more.
    pub(crate) fn forecast(&mut self, process: &Facts, signal: Signal) -> Forecast {
        let children = self.children(process.pid);
        if stop::waits_for_a_child(process, &children, signal) {
            thread::sleep(SECOND_LOOK);
            self.before = facts::all().into_keys().collect();
        }
        let lasts = |child: &Facts| self.before.contains(&child.pid);
        // The kernel protects pid 1 of any namespace, this one's included.
        if (process.is_init() || process.pid == 1) && !process.has_ended() {
            stop::forecast(process, &children, &lasts, signal)
        } else {
            stop::forecast_of_other(process, &children, &lasts, signal)
        }
    }

    fn namespace(&self, init: &Facts, container: Option<Container>, signal: Signal) -> Namespace {
        let children = self.children(init.pid);
        let lasting = |child: &Facts| self.before.contains(&child.pid);
        let inside: Vec<_> = self.all.values().filter(|one| self.is_inside(one, init)).collect();
        let living = inside.iter().filter(|one| one.pid != init.pid && !one.has_ended());
        Namespace {
            init: init.clone(),
            container,
            signal,
            forecast: stop::forecast(init, &children, &lasting, signal),
            processes: inside.len(),
            zombies: children.iter().filter(|child| child.is_zombie()).map(|&child| child.clone()).collect(),
            outsiders: living.filter(|one| self.came_in(one, init)).map(|&one| one.clone()).collect(),
            pids: limits::pids_of(init.pid as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_that_are_stopped_the_topmost_are_named() {
        let of = |pid, ppid, state| (pid, Facts { pid, ppid, state, ..Facts::default() });
        let all = BTreeMap::from([of(1, 0, 'S'), of(2, 1, 'T'), of(3, 2, 'T'), of(4, 1, 'S'), of(5, 4, 'T')]);
        let stopped = Relations::of(&all).stopped();
        assert_eq!(stopped.iter().map(|one| one.pid).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn what_runs_out_is_a_matter_of_the_threshold() {
        let pids = Some(Room { used: 60, most: 100 });
        let audit = Audit { namespaces: Vec::new(), stopped: Vec::new(), ptys: None, pids };
        assert_eq!([60, 61].map(|at| audit.has(Gate::PidPressure, at)), [true, false]);
        assert!(!audit.has(Gate::PtyPressure, 1), "nothing is known of them");
    }
}
