//! The differences between two pictures, as a person reads them.

use std::{collections::BTreeSet, fmt};

use tracer::{
    ident::{ProcKey, TaskRef},
    world::World,
};

use super::kernel::{Facts, Life, NsFacts, Picture};

/// One thing in which the world is not as the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// About whom, and whom they believe to be concerned.
    pub keys: Vec<ProcKey>,
    /// The pids, or the namespace.
    pub who: String,
    /// In what.
    pub field: &'static str,
    /// The kernel's word.
    pub kernel: String,
    /// The world's word.
    pub world: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys: _, who, field, kernel, world } = self;
        write!(f, "{who}: {field}: the kernel says {kernel}, the world says {world}")
    }
}

/// What differs, by process and field.
pub fn differences(kernel: &Picture, world: &Picture) -> Vec<Difference> {
    let mut found = Vec::new();
    for (&key, facts) in &kernel.processes {
        match world.processes.get(&key) {
            Some(known) => found.extend(fields(key, facts, known)),
            None => found.push(existence(key, facts, true)),
        }
    }
    let extra = world.processes.iter().filter(|(key, _)| !kernel.processes.contains_key(key));
    found.extend(extra.map(|(&key, facts)| existence(key, facts, false)));
    for (ns, facts) in &kernel.namespaces {
        let known = world.namespaces.get(ns);
        if known != Some(facts) {
            found.push(namespace(ns.0, Some(facts), known));
        }
    }
    let extra = world.namespaces.iter().filter(|(ns, _)| !kernel.namespaces.contains_key(ns));
    found.extend(extra.map(|(ns, facts)| namespace(ns.0, None, Some(facts))));
    found
}

fn fields(key: ProcKey, kernel: &Facts, world: &Facts) -> Vec<Difference> {
    if kernel == world {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut check = |field, kernel_says: String, world_says: String| {
        if kernel_says != world_says {
            let mut keys = vec![key];
            keys.extend(kernel.parent.into_iter().chain(world.parent).filter(|_| field == "parent"));
            found.push(Difference { keys, who: who(key, kernel), field, kernel: kernel_says, world: world_says });
        }
    };
    check("parent", name(kernel.parent), name(world.parent));
    check("tracer", thread(kernel.tracer), thread(world.tracer));
    check("name", kernel.comm.to_string(), world.comm.to_string());
    check("namespace", kernel.pid_ns.to_string(), world.pid_ns.to_string());
    check("pids inside", pids(kernel), pids(world));
    // The world does not know dead threads: either word is right about a process that they keep.
    if !(kernel.life == Life::Held && matches!(world.life, Life::Exiting | Life::Zombie(_))) {
        check("state", state(kernel.life), state(world.life));
    }
    check("init", kernel.is_init.to_string(), world.is_init.to_string());
    check("outsider", kernel.is_outsider.to_string(), world.is_outsider.to_string());
    check("subreaper", kernel.is_subreaper.to_string(), world.is_subreaper.to_string());
    found
}

/// The zombies that no finding was about, `unreaped` being all that were, and parents of which all were. None is due for one whose
/// parent or tracer is ending itself.
pub fn unsaid(kernel: &Picture, unreaped: &BTreeSet<ProcKey>) -> Vec<Difference> {
    let is_due = |facts: &Facts| {
        let debtor = facts.tracer.map(|tracer| tracer.key).or(facts.parent);
        let debtor = debtor.and_then(|key| kernel.processes.get(&key));
        matches!(facts.life, Life::Zombie(_))
            && debtor.is_none_or(|debtor| matches!(debtor.life, Life::Running | Life::LeaderDead))
    };
    let is_said =
        |key, facts: &Facts| unreaped.contains(key) || facts.parent.is_some_and(|key| unreaped.contains(&key));
    let unsaid = kernel.processes.iter().filter(|(key, facts)| is_due(facts) && !is_said(key, facts));
    unsaid
        .map(|(&key, facts)| Difference {
            keys: vec![key],
            who: who(key, facts),
            field: "finding",
            kernel: format!("{}, child of {}", state(facts.life), name(facts.parent)),
            world: "no unreaped-child".to_owned(),
        })
        .collect()
}

fn existence(key: ProcKey, facts: &Facts, in_kernel: bool) -> Difference {
    let is = format!("it is there ({}, child of {})", state(facts.life), name(facts.parent));
    let (kernel, world) = if in_kernel { (is, "nothing".to_owned()) } else { ("nothing".to_owned(), is) };
    Difference { keys: vec![key], who: who(key, facts), field: "existence", kernel, world }
}

fn namespace(ns: u32, kernel: Option<&NsFacts>, world: Option<&NsFacts>) -> Difference {
    let say = |facts: Option<&NsFacts>| match facts {
        None => "nothing".to_owned(),
        Some(NsFacts { level, parent, init }) => {
            let parent = parent.map_or_else(|| "nothing".to_owned(), |parent| parent.to_string());
            format!("level {level} in {parent}, pid 1 is {}", name(*init))
        }
    };
    let keys = kernel.into_iter().chain(world).filter_map(|facts| facts.init).collect();
    let who = format!("pid namespace {ns}");
    Difference { keys, who, field: "namespace", kernel: say(kernel), world: say(world) }
}

fn who(key: ProcKey, facts: &Facts) -> String {
    format!("pid {} ({}, started at {})", pids(facts), facts.comm, key.start)
}

fn pids(facts: &Facts) -> String {
    facts.pids.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
}

fn name(key: Option<ProcKey>) -> String {
    key.map_or_else(|| "nobody".to_owned(), |key| format!("{} (started at {})", key.tgid, key.start))
}

fn thread(task: Option<TaskRef>) -> String {
    task.map_or_else(|| "nobody".to_owned(), |task| format!("thread {} of {}", task.tid, name(Some(task.key))))
}

fn state(life: Life) -> String {
    match life {
        Life::Running => "alive".to_owned(),
        Life::Exiting => "exiting, and not dead yet".to_owned(),
        Life::Held => "dead, and held by one of its threads".to_owned(),
        Life::LeaderDead => "alive, its leader dead".to_owned(),
        Life::Zombie(status) => match status.signal() {
            Some(signal) => format!("a zombie, by {signal}"),
            None => format!("a zombie, with code {}", status.code()),
        },
    }
}

/// Whether the world has a process below the root that is in none of the sets that are compared:
/// what it takes for a part of the workload without being told of its birth.
pub fn strangers(world: &World, root: ProcKey, kernel: &Picture) -> Vec<ProcKey> {
    let mut next = vec![root];
    let mut found = Vec::new();
    while let Some(key) = next.pop() {
        if !kernel.processes.contains_key(&key) {
            found.push(key);
        }
        next.extend(world.children(key).map(|child| child.key));
    }
    found
}
