//! Worlds that follow the kernel, a crew that gives them something to follow, and the points of
//! rest at which both must be the same.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::{self, Write as _},
    io, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tracer::{
    engine::Step as Stepped,
    event::{Event, EventKind, Exit},
    ident::{PidNs, ProcKey, TaskRef},
    pump::Pump,
    rules::Thresholds,
    source::{hooks::Hooks, live::Live, load::LoadOptions},
    world::World,
};

use super::{
    arena::ActorId,
    compare::{Difference, differences, strangers},
    crew::{Crew, Meanwhile},
    kernel::{Kernel, Life, Picture, against_proc, of_world},
    plan::{Op, Step},
};

/// What a run allows for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a difference may last.
    pub deadline: Duration,
    /// How long nothing may happen before nobody waits for an actor any more.
    pub grace: Duration,
}

/// What a run has seen, whatever came out of it.
#[derive(Debug, Default)]
pub struct Totals {
    /// Points of rest that count: no record was lost before them.
    pub rests: u64,
    /// Points of rest that do not.
    pub spoilt: u64,
    /// Processes that were compared, at all of them.
    pub processes: u64,
    /// Of these, zombies.
    pub zombies: u64,
    /// And zombies that nobody can reap, because a thread of theirs is held.
    pub held: u64,
    /// Pid namespaces likewise.
    pub namespaces: u64,
    /// The deepest of them.
    pub deepest: u32,
    /// The longest time that a difference lasted.
    pub longest: Duration,
    /// Time spent at rest.
    pub resting: Duration,
    /// Records that were lost.
    pub lost: u64,
    /// Events of all worlds.
    pub events: u64,
}

/// A world that is not as the kernel.
#[derive(Debug)]
pub struct Failure {
    /// The operations that were carried out in this episode until then.
    pub ops: Vec<u64>,
    /// For a person: all differences, and what the world was told of whom they are about.
    pub text: String,
}

/// One way to follow the kernel.
struct Follower {
    name: &'static str,
    pump: Pump,
    watch: Watch,
}

const WAYS: [(&str, Hooks); 3] =
    [("tracepoints", Hooks::Tracepoint), ("fentry", Hooks::Fentry), ("kprobes", Hooks::Kprobe)];

/// A rule looks at a process in `/proc` before it speaks, and what it finds goes into the world. That
/// would mend what is to be seen here, so no rule comes to speak.
const NO_FINDINGS: Thresholds =
    Thresholds { unreaped_after: NEVER, zombie_leader_after: NEVER, namespace_stuck_after: NEVER };
const NEVER: u64 = u64::MAX / 4;

/// What a follower's steps tell the test.
#[derive(Default)]
struct Watch {
    history: VecDeque<(u64, Event)>,
    /// Births that are still to be told to the session.
    births: Vec<(ProcKey, [Option<ProcKey>; 2], PidNs)>,
    lost: u64,
    events: u64,
}

/// Events that are kept to explain a difference.
const HISTORY: usize = 30_000;

impl Watch {
    fn step(&mut self, _: &World, step: &Stepped<'_>) -> io::Result<()> {
        match &step.event.kind {
            EventKind::Fork(fork) => {
                let from = [fork.task.parent, fork.creator].map(|task| task.map(|task| task.key));
                self.births.push((fork.task.key, from, fork.task.pid_ns));
            }
            EventKind::Lost(loss) => self.lost += loss.total(),
            EventKind::Tick | EventKind::Survey(_) | EventKind::CommandLine(..) => return Ok(()),
            _ => {}
        }
        self.events += 1;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((step.seq, step.event.clone()));
        Ok(())
    }
}

impl Follower {
    fn start(name: &'static str, live: Live, options: &LoadOptions) -> Result<Self> {
        let mut watch = Watch::default();
        let pump = Pump::start(live, options, &NO_FINDINGS, &mut |world, step| watch.step(world, step))?;
        Ok(Self { name, pump, watch })
    }

    /// One that needs no more than tracepoints, and one for each way to the exact hooks that this
    /// kernel allows.
    fn all() -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (name, hooks) in WAYS {
            let options = LoadOptions { hooks, ..LoadOptions::default() };
            match Live::attach(&options) {
                Ok(live) => all.push(Self::start(name, live, &options)?),
                Err(error) if hooks == Hooks::Tracepoint => return Err(error).context("cannot attach the programs"),
                Err(_) => {}
            }
        }
        Ok(all)
    }

    /// Until there is nothing more.
    fn catch_up(&mut self) -> Result<()> {
        let Self { name: _, pump, watch } = self;
        while pump.turn(&mut |world, step| watch.step(world, step))? > 0 {}
        Ok(())
    }

    fn survey(&mut self) -> Result<()> {
        let Self { name: _, pump, watch } = self;
        pump.survey(&mut |world, step| watch.step(world, step))
    }
}

/// See the module.
pub struct Session {
    crew: Crew,
    follow: Follow,
    limits: Limits,
    /// What was seen so far.
    pub totals: Totals,
}

/// The half that looks.
struct Follow {
    followers: Vec<Follower>,
    kernel: Kernel,
    root: ProcKey,
    /// Every process of this episode, dead or alive, and every namespace.
    ours: BTreeSet<ProcKey>,
    namespaces: BTreeSet<PidNs>,
    turned: Instant,
}

/// How long records may wait in the ring buffer while actors work.
const TURN: Duration = Duration::from_millis(3);

impl Follow {
    /// Takes in what has come up; often enough that no record is lost.
    fn turn(&mut self) -> Result<()> {
        if self.turned.elapsed() < TURN { Ok(()) } else { self.catch_up() }
    }

    fn catch_up(&mut self) -> Result<()> {
        for follower in &mut self.followers {
            follower.catch_up()?;
            for (key, from, ns) in follower.watch.births.drain(..) {
                if from.into_iter().flatten().any(|key| self.ours.contains(&key)) {
                    self.ours.insert(key);
                    self.namespaces.insert(ns);
                }
            }
        }
        self.turned = Instant::now();
        Ok(())
    }

    /// As [`Follow::catch_up`], and what no event tells.
    fn survey(&mut self) -> Result<()> {
        for follower in &mut self.followers {
            follower.survey()?;
        }
        self.catch_up()
    }

    fn forget(&mut self) {
        self.ours = BTreeSet::from([self.root]);
        self.namespaces.clear();
    }

    fn lost(&self) -> u64 {
        self.followers.iter().map(|follower| follower.watch.lost).sum()
    }

    /// All differences, by the follower's name.
    fn differences(&mut self, kernel: &Picture) -> Vec<(&'static str, Difference)> {
        self.ours.extend(kernel.processes.keys().copied());
        self.namespaces.extend(kernel.namespaces.keys().copied());
        let mut found = Vec::new();
        for Follower { name, pump, watch: _ } in &self.followers {
            self.ours.extend(strangers(pump.world(), self.root, kernel));
            let world = of_world(pump.world(), &self.ours, &self.namespaces);
            found.extend(differences(kernel, &world).into_iter().map(|difference| (*name, difference)));
        }
        found
    }

    fn kernel(&mut self) -> Result<Picture> {
        self.kernel.descendants(self.root.tgid)
    }
}

impl Session {
    /// Attaches everything.
    ///
    /// # Errors
    /// If something does not work at all.
    pub fn start(limits: Limits) -> Result<Self> {
        let crew = Crew::start(limits.grace)?;
        let followers = Follower::all()?;
        let mut kernel = Kernel::open()?;
        let root = *kernel
            .descendants(crew.root())?
            .processes
            .keys()
            .next()
            .context("the task iterator does not list the root of the actors")?;
        let namespaces = BTreeSet::new();
        let ours = BTreeSet::from([root]);
        let follow = Follow { followers, kernel, root, ours, namespaces, turned: Instant::now() };
        Ok(Self { crew, follow, limits, totals: Totals::default() })
    }

    /// The ways in which the kernel is followed.
    pub fn ways(&self) -> impl Iterator<Item = &'static str> {
        self.follow.followers.iter().map(|follower| follower.name)
    }

    /// The crew, for its counts.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Carries the operations out that `is_asked` for, and compares where the plan rests, and
    /// once more when all actors are gone.
    ///
    /// # Errors
    /// If the test itself does not work.
    pub fn episode(&mut self, steps: &[Step], is_asked: impl Fn(u64) -> bool) -> Result<Option<Failure>> {
        let mut ops = Vec::new();
        let mut compared = 0;
        for step in steps {
            match step {
                Step::Op(op) if is_asked(op.number) => self.perform(op, &mut ops)?,
                Step::Op(_) => {}
                Step::Barrier => {
                    let Self { crew, follow, .. } = self;
                    crew.settle(&mut || follow.turn())?;
                }
                // Nothing has happened since.
                Step::Rest if ops.len() == compared => {}
                Step::Rest => {
                    compared = ops.len();
                    if let Some(text) = self.rest()? {
                        return Ok(Some(Failure { ops, text }));
                    }
                }
            }
        }
        self.end_episode()?;
        let text = self.rest()?;
        self.follow.forget();
        Ok(text.map(|text| Failure { ops, text }))
    }

    /// Has all actors end.
    ///
    /// # Errors
    /// If they do not.
    pub fn end_episode(&mut self) -> Result<()> {
        let Self { crew, follow, .. } = self;
        crew.end_episode(&mut || follow.turn())
    }

    fn perform(&mut self, op: &Op, ops: &mut Vec<u64>) -> Result<()> {
        let Self { crew, follow, .. } = self;
        follow.turn()?;
        if crew.perform(op, &mut || follow.turn())? {
            ops.push(op.number);
        }
        Ok(())
    }

    /// Waits until nothing moves, and compares until there is no difference; what there is to say
    /// if one stays.
    fn rest(&mut self) -> Result<Option<String>> {
        let Self { crew, follow, limits, totals } = self;
        let meanwhile: Meanwhile<'_> = &mut || follow.turn();
        crew.settle(meanwhile)?;
        let lost_before = totals.lost;
        let began = Instant::now();
        let mut is_first = true;
        loop {
            crew.beat();
            follow.survey()?;
            let before = follow.kernel()?;
            let found = follow.differences(&before);
            let mut complaints = Vec::new();
            // What moves meanwhile is no rest.
            let is_still = |follow: &mut Follow| -> Result<bool> { Ok(follow.kernel()? == before) };
            if found.is_empty() {
                for (&key, facts) in &before.processes {
                    match against_proc(key, facts) {
                        Some(differences) => {
                            complaints.extend(differences.into_iter().map(|what| format!("pid {}: {what}", key.tgid)));
                        }
                        None => complaints.push(format!("pid {} is not in /proc", key.tgid)),
                    }
                }
                if complaints.is_empty() && is_still(follow)? {
                    totals.lost = follow.lost();
                    totals.events = follow.followers.iter().map(|follower| follower.watch.events).sum();
                    totals.spoilt += u64::from(totals.lost > lost_before);
                    totals.rests += u64::from(totals.lost == lost_before);
                    totals.processes += before.processes.len() as u64;
                    for facts in before.processes.values() {
                        totals.zombies += u64::from(matches!(facts.life, Life::Zombie(_)));
                        totals.held += u64::from(facts.life == Life::Held);
                    }
                    totals.namespaces += before.namespaces.len() as u64;
                    let deepest = before.namespaces.values().map(|ns| ns.level).max();
                    totals.deepest = totals.deepest.max(deepest.unwrap_or(0));
                    if !is_first {
                        totals.longest = totals.longest.max(began.elapsed());
                    }
                    totals.resting += began.elapsed();
                    return Ok(None);
                }
            }
            is_first = false;
            if began.elapsed() >= limits.deadline {
                if !is_still(follow)? {
                    bail!("the workload does not come to rest");
                }
                totals.lost = follow.lost();
                let mut text = String::new();
                for complaint in complaints {
                    let _ = writeln!(text, "the kernel contradicts itself: {complaint}");
                }
                explain(&mut text, &found, &follow.followers, |pid| crew.actor_of(pid));
                return Ok(Some(text));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Differences that are explained; the others are only counted.
const SHOWN: usize = 12;
/// Events about one process that are shown.
const EVENTS: usize = 12;

fn explain(
    text: &mut String,
    found: &[(&'static str, Difference)],
    followers: &[Follower],
    actor_of: impl Fn(u32) -> Option<ActorId>,
) {
    for (name, difference) in found.iter().take(SHOWN) {
        let actor = difference.keys.first().and_then(|key| actor_of(key.tgid));
        let actor = actor.map(|actor| format!(" [actor {actor}]")).unwrap_or_default();
        let _ = writeln!(text, "by {name}: {difference}{actor}");
        let Some(follower) = followers.iter().find(|follower| follower.name == *name) else { continue };
        let is_about = |event: &Event| {
            difference
                .keys
                .iter()
                .enumerate()
                .any(|(i, key)| if i == 0 { names(event, *key) } else { ends(event, *key) })
        };
        let about: Vec<_> = follower.watch.history.iter().filter(|(_, event)| is_about(event)).collect();
        for (seq, event) in &about[about.len().saturating_sub(EVENTS)..] {
            let _ = writeln!(text, "    event {seq} at {}: {}", event.at, Told(&event.kind));
        }
    }
    if found.len() > SHOWN {
        let _ = writeln!(text, "and {} more", found.len() - SHOWN);
    }
}

/// An event, as far as it matters to the tree.
struct Told<'a>(&'a EventKind);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = |task: Option<TaskRef>| match task {
            None => "nobody".to_owned(),
            Some(TaskRef { key, tid }) if tid == key.tgid => tid.to_string(),
            Some(TaskRef { key, tid }) => format!("thread {tid} of {}", key.tgid),
        };
        match self.0 {
            EventKind::Fork(fork) => {
                let (by, of) = (task(fork.creator), task(fork.task.parent));
                write!(f, "{by} makes {} as a child of {of}", fork.task.key.tgid)
            }
            EventKind::Exec(exec) => write!(f, "exec of {} by thread {}", exec.task.key.tgid, exec.old_tid),
            EventKind::Exit(exit) => {
                let Exit {
                    task: who,
                    parent,
                    tracer,
                    adopter,
                    status,
                    live,
                    leader: _,
                    group_dead,
                    autoreap,
                    adopter_ignores,
                } = &**exit;
                let (who, parent, tracer) = (task(Some(*who)), task(*parent), task(*tracer));
                write!(f, "exit of {who} (child of {parent}, traced by {tracer}), status {:#x}, ", status.0)?;
                write!(f, "{live} live, group dead {group_dead}, reaps itself {autoreap}, children to {adopter:?}")?;
                write!(f, "{}", if *adopter_ignores { ", which ignores them" } else { "" })
            }
            EventKind::Free(of) => write!(f, "release of {} (started at {})", task(Some(*of)), of.key.start),
            EventKind::Signal(sent) => {
                let (from, to) = (task(Some(sent.current)), task(Some(sent.target)));
                write!(f, "{} from {from} to {to}, result {}", sent.signal, sent.result)
            }
            EventKind::Adopt(adopt) => {
                let [child, from, to] = [adopt.child, adopt.from, adopt.to].map(|of| task(Some(of)));
                write!(f, "{child} goes from {from} to {to}")
            }
            EventKind::Reap(reap) => write!(f, "{} is reaped by {}", task(Some(reap.task)), task(Some(reap.reaper))),
            EventKind::Notify(notify) => {
                write!(f, "{} is a zombie of {}", task(Some(notify.task)), task(Some(notify.to)))
            }
            EventKind::Row(row) => write!(f, "listed as a child of {}", task(row.task.parent)),
            EventKind::Look(look) => write!(f, "looked at: {:?}", look.found),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whether an event tells of the end of that process, or of a thread of it.
fn ends(event: &Event, key: ProcKey) -> bool {
    match &event.kind {
        EventKind::Exit(exit) => exit.task.key == key,
        // The number alone, as this is what can be wrong with it.
        EventKind::Free(task) => task.key.tgid == key.tgid,
        _ => false,
    }
}

/// Whether an event tells of that process, or of a child that it gets.
fn names(event: &Event, key: ProcKey) -> bool {
    match &event.kind {
        EventKind::Fork(fork) => fork.task.key == key || fork.task.parent.is_some_and(|parent| parent.key == key),
        EventKind::Exec(exec) => exec.task.key == key,
        EventKind::Signal(sent) => sent.target.key == key,
        EventKind::Deliver(taken) => taken.target.key == key,
        EventKind::Row(row) => row.task.key == key,
        EventKind::Look(look) => look.key == key,
        EventKind::Adopt(adopt) => adopt.child.key == key,
        EventKind::Reap(reap) => reap.task.key == key,
        EventKind::Notify(notify) => notify.task.key == key,
        EventKind::Rename(of, _) => *of == key,
        EventKind::Lost(_) => true,
        _ => ends(event, key),
    }
}
