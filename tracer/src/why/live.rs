//! What can be seen of one process now, in `/proc` alone: no eBPF, and no root for one's own processes.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    audit::{
        self,
        facts::{self, Facts},
        stop::Forecast,
    },
    console::style,
    foreign::cgroup,
    host::Container,
    signal::Signal,
    source::{containers, procfs},
    summary::seconds,
    time::Span,
    why::{Missing, NAMED, Name, WhoArg, hints, nearest::Nearest, unit, who::Fit},
};

/// All of it. Pids are as seen from this process.
#[derive(Clone, Debug)]
pub struct Page {
    /// The process.
    pub process: Facts,
    /// Its container, if it is known to belong to one.
    pub container: Option<Container>,
    /// Pid 1 of its pid namespace, if that is below the one that `tracer` runs in.
    pub init: Option<Facts>,
    /// It entered its pid namespace from outside: its parent has no pid there.
    pub is_outsider: bool,
    /// Its parent, grandparent and so on, as far as they can be seen.
    pub parents: Vec<Facts>,
    /// Its ptrace tracer.
    pub tracer: Option<Facts>,
    /// Zombies that it must wait for.
    pub zombies: Vec<Facts>,
    /// Its children that live.
    pub children: Vec<Facts>,
    /// The signal that would ask it to end: that of its container if it is the first process there, else SIGTERM.
    pub signal: Signal,
    /// What it would do then.
    pub forecast: Forecast,
}

const PLACE: &str = "on this host";

/// The longest chain of parents that is shown.
const MOST_PARENTS: usize = 64;

/// Looks once; at a shell that waits for a child a second time, one second later.
///
/// # Errors
/// If there is no such process, or it is not clear which one is meant.
pub fn page(who: &WhoArg) -> Result<Page, Missing> {
    let mut all = facts::all();
    let (pid, container) = match who {
        // At what moment somebody had it says nothing of now.
        WhoArg::Pid(pid, _) => (by_pid(&all, *pid)?.pid, None),
        WhoArg::Name(name) => by_name(&all, name)?,
    };
    facts::look_closer(&mut all, [pid]);
    let mut world = audit::Relations::of(&all);
    let process = &all[&pid];
    let is_asked = container.is_some();
    let container = container.or_else(|| container_of(&all, &world, process));
    let init = world.init_of(process);
    let is_first = process.is_init() || is_asked;
    let signal = audit::own(container.as_ref().filter(|_| is_first));
    let forecast = world.forecast(process, signal);
    let children = world.children(process.pid);
    let owes = |one: &&Facts| one.is_zombie() && debtor(one) == process.pid;
    Ok(Page {
        container,
        init: init.cloned(),
        is_outsider: init.is_some_and(|init| world.came_in(process, init)),
        parents: parents(&all, process).cloned().collect(),
        tracer: all.get(&process.tracer).cloned(),
        zombies: all.values().filter(owes).cloned().collect(),
        children: children.into_iter().filter(|child| !child.has_ended()).cloned().collect(),
        signal,
        forecast,
        process: process.clone(),
    })
}

/// The process that must wait for a process: its tracer if there is one, else its parent.
fn debtor(one: &Facts) -> i32 {
    if one.tracer == 0 { one.ppid } else { one.tracer }
}

fn parents<'a>(all: &'a BTreeMap<i32, Facts>, process: &'a Facts) -> impl Iterator<Item = &'a Facts> {
    std::iter::successors(all.get(&process.ppid), |parent| all.get(&parent.ppid)).take(MOST_PARENTS)
}

fn by_pid(all: &BTreeMap<i32, Facts>, pid: u32) -> Result<&Facts, Missing> {
    // PID_MAX_LIMIT is far below.
    let here = pid as i32;
    if let Some(process) = all.get(&here) {
        return Ok(process);
    }
    let inside: Vec<_> = all.values().filter(|one| one.ns_pids.iter().skip(1).any(|&pid| pid == here)).collect();
    let Some(first) = inside.first() else {
        let next = "`tracer tree` lists all processes; if it has ended, only a recording can tell of it: \
                    tracer record -o FILE, then tracer why PID FILE";
        return Err(Missing::Pid { pid, place: PLACE.into(), next: next.into() });
    };
    let named = |one: &&Facts| {
        let ns = one.pid_ns.map_or_else(String::new, |ns| format!(" in pid namespace {ns}"));
        format!("{}{ns}", one.name())
    };
    Err(Missing::Inside {
        pid,
        place: PLACE.into(),
        candidates: inside.iter().take(NAMED).map(named).collect(),
        count: inside.len() as u64,
        first: first.pid as u32,
        file: String::new(),
    })
}

/// The process that a name means: the first of a container of that name, then that of a program or a unit, then that of
/// a container whose id begins so.
fn by_name(all: &BTreeMap<i32, Facts>, name: &Name) -> Result<(i32, Option<Container>), Missing> {
    let containers = known(all);
    let by_container = |called: Vec<&Container>| match called[..] {
        [] => None,
        _ => Some(first_of(all, &containers, &called, name).map(|(pid, container)| (pid, Some(container)))),
    };
    let units = || by_unit(all, name);
    let programs = || Ok(all.values().filter(|one| name.is_program(one.comm.as_bytes(), &one.argv)).collect());
    if let Some(found) = by_container(name.containers(containers.values())) {
        return found;
    }
    let (first, second) = if name.says_unit() { (units()?, programs()?) } else { (programs()?, units()?) };
    if let Some(found) = [first, second].into_iter().find(|called: &Vec<_>| !called.is_empty()) {
        return Ok((top(found, name)?.pid, None));
    }
    by_container(name.begins(containers.values())).unwrap_or_else(|| Err(unknown(all, &containers, name)))
}

/// The first process of the container that is called so.
fn first_of(
    all: &BTreeMap<i32, Facts>,
    known: &BTreeMap<u32, Container>,
    called: &[&Container],
    name: &Name,
) -> Result<(i32, Container), Missing> {
    let (candidates, count) = distinct(called.iter().copied());
    let (name, place) = (name.to_string(), PLACE.to_owned());
    if count > 1 {
        return Err(Missing::Ambiguous { name, place, candidates, count });
    }
    // All of them are the same one.
    let members = known.iter().filter(|(_, one)| called.iter().any(|called| called.id == one.id));
    let members = members.filter_map(|(&pid, one)| Some((all.get(&(pid as i32))?, one)));
    let first = members.min_by_key(|(one, _)| (!one.is_init(), one.ns_pids.len(), Reverse(one.age), one.pid));
    let next = "it has ended meanwhile";
    let (first, container) = first.ok_or(Missing::Empty { name, place, next })?;
    Ok((first.pid, container.clone()))
}

/// The containers that there are, by their first processes and those that were brought into them.
fn known(all: &BTreeMap<i32, Facts>) -> BTreeMap<u32, Container> {
    containers::of(ways_in(all).map(|one| (one.pid as u32, one.ppid as u32)))
}

/// Some of them as a person is told of them, and how many there are.
fn distinct<'a>(containers: impl Iterator<Item = &'a Container>) -> (Vec<String>, u64) {
    let by_id: BTreeMap<_, _> = containers.map(|one| (one.id.clone(), style::container(one))).collect();
    let count = by_id.len() as u64;
    (by_id.into_values().take(NAMED).collect(), count)
}

/// The processes of the unit that is called so.
fn by_unit<'a>(all: &'a BTreeMap<i32, Facts>, name: &Name) -> Result<Vec<&'a Facts>, Missing> {
    let fits = |one: &'a Facts| {
        let unit = cgroup::unit(&group(one.pid))?;
        Some((name.fits_unit(&unit)?, unit, one))
    };
    let called: Vec<(Fit, String, &Facts)> = all.values().filter_map(fits).collect();
    let unit = unit(name, PLACE, called.iter().map(|(fit, unit, _)| (*fit, unit)))?;
    Ok(called.iter().filter(|(_, of, _)| Some(of) == unit).map(|(.., one)| *one).collect())
}

/// Of several processes the only one, else the one that started all others.
fn top<'a>(called: Vec<&'a Facts>, name: &Name) -> Result<&'a Facts, Missing> {
    let called: BTreeMap<i32, &Facts> = called.into_iter().map(|one| (one.pid, one)).collect();
    let tops: Vec<_> = called.values().filter(|one| !called.contains_key(&one.ppid)).collect();
    match tops[..] {
        [one] => Ok(one),
        _ => Err(Missing::Programs {
            name: name.to_string(),
            place: PLACE.into(),
            candidates: called.values().take(NAMED).map(|one| candidate(one)).collect(),
            count: called.len() as u64,
            first: called.keys().next().map_or(0, |&pid| pid as u32),
        }),
    }
}

/// Nobody is called so.
fn unknown(all: &BTreeMap<i32, Facts>, containers: &BTreeMap<u32, Container>, name: &Name) -> Missing {
    let next = "if it has ended, only a recording can tell of it: tracer record -o FILE, then tracer why NAME FILE";
    let (known, count) = distinct(containers.values());
    let mut nearest = Nearest::new(name.read());
    all.values().for_each(|one| nearest.offer(one.comm.as_bytes()));
    containers.values().for_each(|one| nearest.offer(one.label().as_bytes()));
    all.keys().filter_map(|&pid| cgroup::unit(&group(pid))).for_each(|unit| nearest.offer(unit.as_bytes()));
    let hints = hints(&known, count, nearest, next);
    Missing::Name { name: name.to_string(), place: PLACE.into(), hints }
}

/// One of several of a name.
fn candidate(one: &Facts) -> String {
    let age = seconds(Span::seconds(one.age));
    let command = if one.argv.is_empty() { String::new() } else { format!(": {}", one.argv) };
    let state = if one.has_ended() { "a zombie, begun" } else { "begun" };
    format!("{}, {state} {age} ago{command}", one.name())
}

/// Processes that may be the first of a container, or have been brought into one: pid 1 of a namespace, or in another
/// control group than the parent.
fn ways_in(all: &BTreeMap<i32, Facts>) -> impl Iterator<Item = &Facts> {
    let groups: BTreeMap<i32, String> = all.keys().map(|&pid| (pid, group(pid))).collect();
    all.values().filter(move |one| {
        let is_elsewhere = groups.get(&one.ppid).is_some_and(|parent| Some(parent) != groups.get(&one.pid));
        !one.has_ended() && !one.is_kthread && (one.is_init() || is_elsewhere)
    })
}

fn group(pid: i32) -> String {
    procfs::text(&format!("/proc/{pid}/cgroup"))
}

/// The container of a process: by its control group, or by the shim that is the parent of pid 1 of its namespace. The
/// shim of the first process in that group knows the name.
fn container_of(all: &BTreeMap<i32, Facts>, world: &audit::Relations<'_>, process: &Facts) -> Option<Container> {
    let own = group(process.pid);
    let top = parents(all, process).take_while(|parent| group(parent.pid) == own).last();
    let init = world.init_of(process);
    // What is asked for last is believed.
    let asked = [Some(process), top, init].into_iter().flatten();
    let mut found = containers::of(asked.map(|one| (one.pid as u32, one.ppid as u32)));
    let mut take = |one: Option<&Facts>| found.remove(&(one?.pid as u32));
    take(Some(process)).or_else(|| take(init))
}
