//! Perfetto's protocol buffers: a track per process, grouped by pid namespace, with slices for its life and its time as
//! a zombie; arrows from the sender of a signal to its target; findings as instants.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use rustc_hash::FxHashMap;

use crate::{
    change::{Change, Signalled},
    event::EventKind,
    finding::{Confidence, Finding},
    host::{Container, StartInfo},
    ident::{Args, Identity, PidNs, ProcKey, escape},
    signal::{Sender, Verdict},
    sink::Sink,
    step::Step,
    summary::Summary,
    time::{BootNs, Seq},
    world::{Process, World},
};

mod proto;
mod tracks;

use tracks::{Facts, Mark, Track, Tracks};

const LIFE: &str = "life";
const ZOMBIE: &str = "zombie";
const SIGNAL: &str = "signal";
const FINDING: &str = "finding";
const NAMESPACE: &str = "namespace";
const LOSS: &str = "loss";
const COMMAND: &str = "command";

/// Writes each packet as soon as it is known; keeps only a few words per living process.
pub struct Perfetto<W: Write> {
    tracks: Tracks<W>,
    lives: FxHashMap<ProcKey, Life>,
    /// The last processes that are gone but have tracks: a finding may refer to one a moment later, when its namespace
    /// number is another's.
    gone: VecDeque<ProcKey>,
    /// What is held for the track of a pid 1 that has not executed its program yet. The program that sets up a
    /// container has another name; name and container are known with that first exec.
    held: FxHashMap<ProcKey, Vec<Mark>>,
    /// The last track of each number of a namespace, for those that the world no longer knows.
    namespaces: FxHashMap<PidNs, Track>,
    /// Namespaces that are ending: their tracks, and since when.
    ending: FxHashMap<PidNs, (Track, BootNs)>,
}

/// A process that is in the process table.
struct Life {
    /// The last time that was written to its track: slices must not run backwards, even if events overtake each other.
    last: BootNs,
    phase: Phase,
}

/// What the open slice of a process shows.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// No slice is open: only the birth is known, and whether it was seen. The track gets the name that the process
    /// takes with its first exec.
    Unborn { before: Option<Identity>, born: BootNs, is_seen: bool },
    /// It lives.
    Alive,
    /// It has ended, and waits for its namespace to end.
    Exiting,
    /// It has ended, and waits to be reaped.
    Zombie,
    /// It has ended, and nobody must wait for it.
    Over,
}

/// How many processes that are gone are remembered.
const MOST_GONE: usize = 8192;
/// How many instants are held for a process, and for how many processes.
const MOST_HELD: usize = 64;

impl<W: Write> Perfetto<W> {
    /// Into that output, which should be buffered.
    pub fn new(out: W) -> Self {
        Self {
            tracks: Tracks::new(out),
            lives: FxHashMap::default(),
            gone: VecDeque::new(),
            held: FxHashMap::default(),
            namespaces: FxHashMap::default(),
            ending: FxHashMap::default(),
        }
    }

    fn start(&mut self, at: BootNs, info: &StartInfo) -> io::Result<()> {
        let StartInfo { version, kernel, boot_id, host, wall_offset_ns, arguments, .. } = info;
        self.tracks.begin(at, at.0.saturating_add_signed(*wall_offset_ns))?;
        self.tracks.root(Track::Tracer, "tracer")?;
        let facts = vec![
            ("version", escape(version.as_bytes()).into()),
            ("kernel", escape(kernel.as_bytes()).into()),
            ("boot_id", escape(boot_id.as_bytes()).into()),
            ("host", escape(host.as_bytes()).into()),
            ("arguments", Args::of(arguments).to_string().into()),
        ];
        self.tracks.instant(Mark { facts, ..Mark::new(at, Track::Tracer, LIFE, "tracing begins") })
    }

    fn change(&mut self, world: &World, step: &Step<'_>, change: &Change) -> io::Result<()> {
        let at = step.event.at;
        match change {
            Change::Born(key) | Change::Learned(key) => {
                let is_seen = matches!(change, Change::Born(_));
                let phase = Phase::Unborn { before: None, born: at, is_seen };
                self.lives.entry(*key).or_insert(Life { last: at, phase });
                if matches!(change, Change::Learned(_)) { self.died(world, at, *key) } else { Ok(()) }
            }
            Change::Execed { key, before } => self.execed(world, at, *key, before),
            Change::LeaderDied(key) => {
                let track = self.track(world, at, *key)?;
                self.instant(world, Mark::new(at, track, LIFE, "main thread exited"))
            }
            Change::Died { key, .. } => self.died(world, at, *key),
            Change::Reaped { identity, by, .. } => self.reaped(world, at, identity, *by),
            Change::Signalled(signalled) => self.signal(world, at, step.seq, signalled),
            Change::Taken(taken) => self.taken(world, at, taken),
            Change::Adopted { child, adoption } => {
                let track = self.track(world, at, *child)?;
                let name = format!("adopted by {}", adoption.to);
                let facts = vec![("from", adoption.from.to_string().into()), ("why", adoption.class.id().into())];
                self.instant(world, Mark { facts, ..Mark::new(at, track, LIFE, name) })
            }
            Change::NamespaceEnding(ns) => {
                let track = self.namespace(world, *ns)?;
                self.ending.insert(*ns, (track, at));
                self.tracks.slice(Mark::new(at, track, NAMESPACE, "ending"))
            }
            Change::NamespaceEnded(ns) => match self.ending.remove(ns) {
                Some((track, since)) => self.tracks.slice_end(at.max(since), track),
                None => Ok(()),
            },
            Change::Looked(key) => self.released(world, at, *key),
            Change::Continued { .. }
            | Change::FoundStopped(_)
            | Change::StatusLost(_)
            | Change::Killed(_)
            | Change::Masked(_)
            | Change::Measured(_)
            | Change::ClientEnded(_)
            | Change::ClientBack(_)
            | Change::CommandStarted(_)
            | Change::CommandEnded(_)
            | Change::Gap
            | Change::Synced => Ok(()),
        }
    }

    fn execed(&mut self, world: &World, at: BootNs, key: ProcKey, before: &Identity) -> io::Result<()> {
        if let Some(Life { phase: Phase::Unborn { before: name @ None, .. }, .. }) = self.lives.get_mut(&key) {
            *name = Some(*before);
        }
        self.release(world, at, &world.identity(key))?;
        let track = self.track(world, at, key)?;
        self.phase(world, at, key, track, Phase::Alive)
    }

    fn died(&mut self, world: &World, at: BootNs, key: ProcKey) -> io::Result<()> {
        let Some(death) = world.get(key).and_then(Process::death) else { return Ok(()) };
        let phase = match death {
            death if death.autoreap => Phase::Over,
            death if death.tearing_down => Phase::Exiting,
            _ => Phase::Zombie,
        };
        self.release(world, at, &world.identity(key))?;
        let track = self.track(world, at, key)?;
        self.phase(world, at, key, track, phase)
    }

    /// An init whose namespace has ended is a zombie from then on.
    fn released(&mut self, world: &World, at: BootNs, key: ProcKey) -> io::Result<()> {
        let is_exiting = self.lives.get(&key).is_some_and(|life| life.phase == Phase::Exiting);
        if is_exiting && world.get(key).is_some_and(Process::is_zombie) {
            return self.phase(world, at, key, Track::Process(key), Phase::Zombie);
        }
        Ok(())
    }

    fn reaped(&mut self, world: &World, at: BootNs, identity: &Identity, by: Option<ProcKey>) -> io::Result<()> {
        let key = identity.key;
        self.release(world, at, identity)?;
        // The world does not know it any more.
        let track = self.track_of(world, at, identity)?;
        let mut mark = Mark::new(at, track, LIFE, "reaped");
        if let Some(by) = by {
            mark.facts.push(("by", world.identity(by).to_string().into()));
        }
        self.phase(world, at, key, track, Phase::Over)?;
        self.lives.remove(&key);
        if self.gone.len() >= MOST_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(key);
        self.instant(world, mark)
    }

    /// Ends the open slice of a process, and begins one for the new phase.
    fn phase(&mut self, world: &World, at: BootNs, key: ProcKey, track: Track, phase: Phase) -> io::Result<()> {
        let Some(life) = self.lives.get_mut(&key) else { return Ok(()) };
        life.last = life.last.max(at);
        let (at, was) = (life.last, std::mem::replace(&mut life.phase, phase.clone()));
        if matches!(was, Phase::Alive | Phase::Exiting | Phase::Zombie) {
            self.tracks.slice_end(at, track)?;
        }
        let identity = world.identity(key);
        match phase {
            Phase::Alive => self.tracks.slice(alive(world, at, track, &identity)),
            Phase::Exiting => self.tracks.slice(Mark::new(at, track, LIFE, "exiting: its namespace ends")),
            Phase::Zombie => {
                let owed_by = world.owed_by(key).map(|key| ("owed_by", world.identity(key).to_string().into()));
                let facts = owed_by.into_iter().collect();
                self.tracks.slice(Mark { facts, ..Mark::new(at, track, ZOMBIE, "zombie") })
            }
            Phase::Unborn { .. } | Phase::Over => Ok(()),
        }
    }

    fn signal(&mut self, world: &World, at: BootNs, seq: Seq, signalled: &Signalled) -> io::Result<()> {
        let Signalled { signal, sender, target, verdict, .. } = signalled;
        let to = self.track_of(world, at, target)?;
        let mut arrives = Mark::new(at, to, SIGNAL, format!("{signal} {}", verdict.id()));
        arrives.facts = facts(signalled);
        // 0 would mean no arrow.
        let flow = seq.next().0;
        if let Sender::Process(from) = sender
            && from.key != target.key
        {
            // An arrow must begin before it ends, in the file too.
            self.release(world, at, from)?;
            let from = self.make(world, at, from)?;
            let mut sent = Mark::new(at, from, SIGNAL, format!("sends {signal}"));
            sent.facts = vec![("to", target.to_string().into())];
            sent.flow = Some(flow);
            self.instant(world, sent)?;
            match verdict {
                // The signal may be taken later, and the arrow continue to that point.
                Verdict::Queued => arrives.flow = Some(flow),
                _ => arrives.last_of_flow = Some(flow),
            }
        }
        self.instant(world, arrives)
    }

    fn taken(&mut self, world: &World, at: BootNs, taken: &Signalled) -> io::Result<()> {
        let track = self.track_of(world, at, &taken.target)?;
        let mut mark = Mark::new(at, track, SIGNAL, format!("takes {} {}", taken.signal, taken.verdict.id()));
        mark.facts = facts(taken);
        // Only where an arrow has begun.
        let is_from_another = matches!(&taken.sender, Sender::Process(from) if from.key != taken.target.key);
        mark.last_of_flow = taken.sent_seq.filter(|_| is_from_another).map(|seq| seq.next().0);
        self.instant(world, mark)
    }

    fn finding(&mut self, world: &World, finding: &Finding) -> io::Result<()> {
        let Finding { rule, stage, at, since, process, confidence, .. } = finding;
        let track = self.track_of(world, *at, process)?;
        let mut mark = Mark::new(*at, track, FINDING, rule.name);
        mark.facts = vec![
            ("severity", rule.severity.id().into()),
            ("stage", stage.id().into()),
            ("headline", finding.headline.as_str().into()),
            ("message", finding.message().into()),
            ("fix", finding.fix().into()),
            ("since_boot_ns", since.0.into()),
        ];
        if let Confidence::Incomplete(why) = confidence {
            mark.facts.push(("incomplete", why.as_str().into()));
        }
        self.instant(world, mark)
    }

    /// The track of a process that is in the world, or was never seen.
    fn track(&mut self, world: &World, at: BootNs, key: ProcKey) -> io::Result<Track> {
        self.track_of(world, at, &world.identity(key))
    }

    /// The track of a process, created if necessary.
    fn track_of(&mut self, world: &World, at: BootNs, identity: &Identity) -> io::Result<Track> {
        let key = identity.key;
        let is_held = self.held.contains_key(&key);
        if is_held || (self.is_being_set_up(world, key) && self.held.len() < MOST_HELD) {
            self.held.entry(key).or_default();
            return Ok(Track::Process(key));
        }
        self.make(world, at, identity)
    }

    /// Whether a process is pid 1 of a namespace, was just born, and has not executed anything.
    fn is_being_set_up(&self, world: &World, key: ProcKey) -> bool {
        let is_new = self
            .lives
            .get(&key)
            .is_some_and(|life| matches!(life.phase, Phase::Unborn { before: None, born: _, is_seen: true }));
        let is_init = |process: &Process| process.is_init_of_namespace() && process.death().is_none();
        is_new && world.get(key).is_some_and(is_init)
    }

    /// Creates the track that was held back, and writes what was held for it.
    fn release(&mut self, world: &World, at: BootNs, identity: &Identity) -> io::Result<()> {
        let Some(marks) = self.held.remove(&identity.key) else { return Ok(()) };
        self.make(world, at, identity)?;
        marks.into_iter().try_for_each(|mark| self.tracks.instant(mark))
    }

    fn instant(&mut self, world: &World, mark: Mark) -> io::Result<()> {
        if let Track::Process(key) = mark.track
            && let Some(held) = self.held.get_mut(&key)
        {
            let at = mark.at;
            held.push(mark);
            return if held.len() < MOST_HELD { Ok(()) } else { self.release(world, at, &world.identity(key)) };
        }
        self.tracks.instant(mark)
    }

    /// Makes the track of a process, unless it is there.
    fn make(&mut self, world: &World, at: BootNs, identity: &Identity) -> io::Result<Track> {
        let key = identity.key;
        let track = Track::Process(key);
        let (before, born) = match self.lives.get_mut(&key) {
            None if self.gone.contains(&key) => return Ok(track),
            None => (None, None),
            Some(life) => match &life.phase {
                &Phase::Unborn { before, born, is_seen: _ } => (before, Some(born)),
                _ => return Ok(track),
            },
        };
        let group = self.namespace(world, identity.pid_ns)?;
        self.tracks.member(track, group, key.tgid, name_of(world, identity))?;
        match (born, self.lives.get_mut(&key)) {
            (Some(born), Some(life)) => {
                life.phase = Phase::Alive;
                life.last = born;
                let mut first = alive(world, born, track, &before.unwrap_or(*identity));
                if before.is_some() {
                    // That is the name of the next slice.
                    first.facts.retain(|(name, _)| *name != COMMAND);
                }
                self.tracks.slice(first)?;
            }
            // It was gone before anything was on its track, or was never seen.
            _ if world.get(key).is_none() => {}
            _ => {
                self.lives.insert(key, Life { last: at, phase: Phase::Alive });
                self.tracks.slice(alive(world, at, track, identity))?;
            }
        }
        Ok(track)
    }

    /// The track of a namespace, by the name of its init.
    fn namespace(&mut self, world: &World, ns: PidNs) -> io::Result<Track> {
        let Some(namespace) = world.namespace(ns) else {
            if let Some(&track) = self.namespaces.get(&ns) {
                return Ok(track);
            }
            let track = Track::Namespace(ns, BootNs::ZERO);
            self.tracks.group(track, 0, || format!("pid namespace {ns}"))?;
            return Ok(track);
        };
        let init = match (namespace.init, namespace.ending) {
            (Some(init), _) => Some(world.identity(init)),
            (None, ending) => ending.map(|ending| ending.init),
        };
        let track = Track::Namespace(ns, init.map_or(BootNs::ZERO, |init| init.key.start));
        self.namespaces.insert(ns, track);
        self.tracks.group(track, namespace.level, || match init {
            Some(init) => {
                let container = label(world, &init).map_or_else(String::new, |label| format!(", container {label}"));
                format!("pid namespace {ns}: init {} (pid {}){container}", init.comm, init.key.tgid)
            }
            None => format!("pid namespace {ns}"),
        })?;
        Ok(track)
    }
}

/// The slice of a life up to the next exec.
fn alive(world: &World, at: BootNs, track: Track, identity: &Identity) -> Mark {
    let Identity { key, comm, pid_ns: _, ns_pid, ns_level, container: _ } = *identity;
    let mut facts = vec![("pid", key.tgid.into())];
    if ns_level > 0 {
        facts.push(("pid_in_namespace", ns_pid.into()));
    }
    if let Some(container) = world.container_of(identity) {
        facts.push(("container", escape(container.label().as_bytes()).into()));
        facts.push(("container_id", escape(container.id.as_bytes()).into()));
    }
    if let Some(parent) = world.parent(key) {
        facts.push(("parent", parent.identity().to_string().into()));
    }
    let args = world.get(key).map(|process| &process.args).filter(|args| !Args::is_empty(args));
    if let Some(args) = args {
        facts.push((COMMAND, args.to_string().into()));
    }
    Mark { facts, ..Mark::new(at, track, LIFE, comm.escaped()) }
}

fn name_of(world: &World, identity: &Identity) -> String {
    let Identity { key, comm, pid_ns: _, ns_pid, ns_level, container: _ } = identity;
    let container = label(world, identity).map_or_else(String::new, |label| format!(" @{label}"));
    match ns_level {
        0 => format!("{comm} {}{container}", key.tgid),
        _ => format!("{comm} {} [{ns_pid}]{container}", key.tgid),
    }
}

/// The name of the container that a process belongs to, as far as it is known by then. Quoted.
fn label(world: &World, identity: &Identity) -> Option<String> {
    world.container_of(identity).map(Container::shown)
}

/// What a signal's slice says at its target, besides arrow, track and name.
fn facts(signalled: &Signalled) -> Facts {
    let mut facts = vec![("from", signalled.sender.to_string().into()), ("code", signalled.seen_code().into())];
    facts.extend(signalled.result_id().map(|result| ("result", result.into())));
    facts
}

impl<W: Write> Sink for Perfetto<W> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        match &step.event.kind {
            EventKind::Start(info) => self.start(step.event.at, info)?,
            EventKind::Lost(loss) => {
                let name = format!("{} events are missing here", loss.total());
                self.tracks.instant(Mark::new(step.event.at, Track::Tracer, LOSS, name))?;
            }
            _ => {}
        }
        for change in step.changes {
            self.change(world, step, change)?;
        }
        if let EventKind::Notify(notify) = &step.event.kind {
            self.released(world, step.event.at, notify.task.key)?;
        }
        for finding in step.findings {
            self.finding(world, finding)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tracks.flush()
    }

    fn finish(&mut self, world: &World, _summary: &Summary) -> io::Result<()> {
        let end = world.now();
        for process in world.processes() {
            // Kernel threads number in the hundreds, and most do nothing.
            if !process.roles.kthread {
                self.release(world, end, &process.identity())?;
                self.make(world, end, &process.identity())?;
            }
        }
        let mut keys: Vec<_> = self.lives.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.phase(world, end, key, Track::Process(key), Phase::Over)?;
        }
        let mut ending: Vec<_> = self.ending.drain().collect();
        ending.sort_unstable_by_key(|&(ns, _)| ns);
        for (_, (track, since)) in ending {
            self.tracks.slice_end(end.max(since), track)?;
        }
        self.tracks.flush()
    }
}
