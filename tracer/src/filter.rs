//! Narrows what is shown. The world stays complete: a filter never changes what is concluded.

use rustc_hash::FxHashSet;

use crate::{
    change::{Change, Signalled},
    event::EventKind,
    finding::{Finding, Role, RuleDef, Severity, Value},
    host::Container,
    ident::{Identity, PidNs, ProcKey, escape},
    occurrence::Occurrence,
    scope::Scope,
    signal::{Sender, Signal, Verdict},
    world::{Process, World, descent::Descent},
};

mod options;

pub use options::{NsArg, Options, PID_MAX, Side, SignalArg, parse_ns, parse_signal, rule};

/// What to show. With nothing set it shows everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Takes part, as sender or target.
    party: Option<Named>,
    /// Sends the signal.
    from: Option<Named>,
    /// Is sent the signal; for a finding, the process that it is about.
    to: Option<Named>,
    ns: Option<Ns>,
    tree: Option<Tree>,
    container: Option<InContainer>,
    /// Only these, if not empty.
    signals: Vec<Signal>,
    not_signals: Vec<Signal>,
    lost: bool,
    rules: Vec<&'static RuleDef>,
    min_severity: Option<Severity>,
    /// For a stream about a command: show only this part of it (`--scope`).
    scope: Scope,
    /// For a recording: what the command line names and has not appeared yet.
    awaited: Option<Awaited>,
}

/// A process or namespace that the command line names does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No process has this pid on the host.
    #[error("there is no process with pid {0} on this host; `tracer tree` lists all processes with their host pids")]
    Pid(u32),
    /// No process lives in a pid namespace of this inode number.
    #[error("there is no pid namespace {0}; `tracer tree` lists all of them")]
    Namespace(u32),
    /// No process had this pid.
    #[error(
        "the recording, as far as it was played, has no process with pid {0} on its host; `tracer tree FILE` lists \
         all of its end, with `--at WHEN` those of a moment"
    )]
    PidInRecording(u32),
    /// No process lived in such a namespace.
    #[error(
        "the recording, as far as it was played, has no pid namespace {0}; `tracer tree FILE` lists those of its end, \
         with `--at WHEN` those of a moment"
    )]
    NamespaceInRecording(u32),
    /// No process has this pid at the moment of the recording that is shown.
    #[error(
        "there is no process with pid {0} at that moment of the recording; --at WHEN shows another one, and \
         `tracer why {0} FILE` tells when it lived"
    )]
    PidAtMoment(u32),
    /// No process lives in such a namespace then.
    #[error("there is no pid namespace {0} at that moment of the recording; --at WHEN shows another one")]
    NamespaceAtMoment(u32),
    /// No container of that name was seen.
    #[error(
        "the recording, as far as it was played, has no container, image or pod {0}; `tracer tree FILE` names those \
             of its end, with `--at WHEN` those of a moment"
    )]
    ContainerInRecording(String),
}

/// Processes by host pid. On this machine a pid is looked up once, so that a later owner of it does not count. In a
/// recording, where nobody can know who was there at its start, every process that ever had it counts.
#[derive(Clone, Debug)]
struct Named {
    pids: Vec<u32>,
    keys: FxHashSet<ProcKey>,
    is_each: bool,
}

/// Names from the command line that have not appeared in a recording yet: an error if that is still so at its end.
#[derive(Clone, Debug)]
struct Awaited {
    pids: Vec<u32>,
    namespace: Option<PidNs>,
    /// Names of containers, images and pods.
    containers: Vec<String>,
}

/// A namespace and what is nested in it.
#[derive(Clone, Debug)]
struct Ns {
    asked: NsArg,
    /// All that were seen inside: the last findings of a namespace come after its end.
    inside: FxHashSet<PidNs>,
}

/// The containers that are asked for.
#[derive(Clone, Debug)]
struct InContainer {
    names: Vec<String>,
    images: Vec<String>,
    pods: Vec<String>,
    side: Side,
}

impl InContainer {
    fn named(&self) -> impl Iterator<Item = &String> {
        [&self.names, &self.images, &self.pods].into_iter().flatten()
    }

    fn has(&self, container: &Container) -> bool {
        let Self { names, images, pods, side: _ } = self;
        let Container { image, pod, .. } = container;
        let of = |all: &[String], one: &Option<String>| one.as_ref().is_some_and(|one| all.contains(one));
        names.iter().any(|name| container.is_called(name)) || of(images, image) || of(pods, pod)
    }
}

/// A process and all that were seen below it, by present parent or by birth.
#[derive(Clone, Debug)]
struct Tree {
    root: u32,
    /// The last process that had that pid.
    last: Option<ProcKey>,
    descent: Descent,
}

impl From<&Options> for Filter {
    fn from(options: &Options) -> Self {
        let Options {
            pids,
            from_pids,
            to_pids,
            ns,
            tree,
            containers,
            images,
            pods,
            side,
            signals,
            lost,
            rules,
            min_severity,
        } = options;
        let container =
            InContainer { names: containers.clone(), images: images.clone(), pods: pods.clone(), side: *side };
        let is_asked = [containers, images, pods].iter().any(|names| !names.is_empty());
        Self {
            party: Named::new(pids),
            from: Named::new(from_pids),
            to: Named::new(to_pids),
            ns: ns.map(|asked| Ns { asked, inside: FxHashSet::default() }),
            tree: tree.map(|root| Tree { root, last: None, descent: Descent::default() }),
            container: is_asked.then_some(container),
            signals: signals.iter().filter_map(|arg| arg.only()).collect(),
            not_signals: signals.iter().filter_map(|arg| arg.except()).collect(),
            lost: *lost,
            rules: rules.clone(),
            min_severity: *min_severity,
            scope: Scope::Host,
            awaited: None,
        }
    }
}

impl SignalArg {
    fn only(self) -> Option<Signal> {
        match self {
            Self::Only(signal) => Some(signal),
            Self::Except(_) => None,
        }
    }

    fn except(self) -> Option<Signal> {
        match self {
            Self::Except(signal) => Some(signal),
            Self::Only(_) => None,
        }
    }
}

impl Named {
    fn new(pids: &[u32]) -> Option<Self> {
        (!pids.is_empty()).then(|| Self { pids: pids.to_vec(), keys: FxHashSet::default(), is_each: false })
    }

    fn has(&self, key: ProcKey) -> bool {
        if self.is_each { self.pids.contains(&key.tgid) } else { self.keys.contains(&key) }
    }

    fn resolve(&mut self, world: &World) -> Result<(), Missing> {
        for &pid in &self.pids {
            self.keys.insert(world.by_pid(pid).ok_or(Missing::Pid(pid))?.key);
        }
        Ok(())
    }
}

impl Tree {
    /// Whether a process has that pid.
    fn root_is(&mut self, world: &World, key: ProcKey) {
        if self.last.replace(key) != Some(key) {
            self.descent.add(world, key);
        }
    }
}

impl Ns {
    /// Whether a namespace is the one that is asked for, or nested in it.
    fn add(&mut self, world: &World, outer: PidNs) {
        if self.inside.insert(outer) {
            self.inside.extend(world.namespaces().map(|ns| ns.id).filter(|&id| world.is_in(id, outer)));
        }
    }

    fn follow(&mut self, world: &World, process: &Process, is_born: bool) {
        let outer = world.namespace(process.pid_ns).and_then(|ns| ns.parent);
        if outer.is_some_and(|outer| self.inside.contains(&outer)) {
            self.inside.insert(process.pid_ns);
        } else if is_born && process.roles.init {
            // Inode numbers are reused: this is a later namespace of the same number.
            self.inside.remove(&process.pid_ns);
        }
    }
}

/// The namespace that the command line names.
///
/// # Errors
/// If it does not exist, or the process whose namespace is meant does not.
pub fn find_ns(world: &World, asked: NsArg) -> Result<PidNs, Missing> {
    match asked {
        NsArg::Inode(inode) => Ok(world.namespace(PidNs(inode)).ok_or(Missing::Namespace(inode))?.id),
        NsArg::Pid(pid) => Ok(world.by_pid(pid).ok_or(Missing::Pid(pid))?.pid_ns),
    }
}

impl Missing {
    /// The same, at a moment of a recording.
    #[must_use]
    pub fn at_moment(self) -> Self {
        match self {
            Self::Pid(pid) => Self::PidAtMoment(pid),
            Self::Namespace(inode) => Self::NamespaceAtMoment(inode),
            other => other,
        }
    }
}

impl Filter {
    /// The same; of a stream about a command, only this part of it (`--scope`).
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same for a recording: a pid means each process of it that ever had it, whenever it was born.
    #[must_use]
    pub fn of_recording(mut self) -> Self {
        let Self { party, from, to, ns, tree, container, .. } = &mut self;
        let mut pids = Vec::new();
        for named in [party, from, to].into_iter().flatten() {
            named.is_each = true;
            pids.extend(&named.pids);
        }
        pids.extend(tree.as_ref().map(|tree| tree.root));
        let mut namespace = None;
        match ns.as_ref().map(|ns| ns.asked) {
            Some(NsArg::Pid(pid)) => pids.push(pid),
            Some(NsArg::Inode(inode)) => namespace = Some(PidNs(inode)),
            None => {}
        }
        let containers = container.as_ref().map_or_else(Vec::new, |container| container.named().cloned().collect());
        self.awaited = Some(Awaited { pids, namespace, containers });
        self
    }

    /// Whether it may hide a signal.
    pub fn narrows_signals(&self) -> bool {
        let Self {
            party,
            from,
            to,
            ns,
            tree,
            container,
            signals,
            not_signals,
            lost,
            rules: _,
            min_severity: _,
            scope: _,
            awaited: _,
        } = self;
        let ends = [party, from, to].into_iter().any(Option::is_some);
        ends || ns.is_some()
            || tree.is_some()
            || container.is_some()
            || !signals.is_empty()
            || !not_signals.is_empty()
            || *lost
    }

    /// Looks up the pids and namespaces that the command line names, once the world is complete.
    ///
    /// # Errors
    /// If one of them does not exist. In a recording it may still appear: see [`Filter::conclude`].
    pub fn resolve(&mut self, world: &World) -> Result<(), Missing> {
        if self.awaited.is_some() {
            self.meet(world);
            return Ok(());
        }
        for named in [&mut self.party, &mut self.from, &mut self.to].into_iter().flatten() {
            named.resolve(world)?;
        }
        if let Some(ns) = &mut self.ns {
            let outer = find_ns(world, ns.asked)?;
            ns.add(world, outer);
        }
        if let Some(tree) = &mut self.tree {
            let root = world.by_pid(tree.root).ok_or(Missing::Pid(tree.root))?.key;
            tree.root_is(world, root);
        }
        Ok(())
    }

    /// Whether it is for a recording.
    pub fn is_of_recording(&self) -> bool {
        self.awaited.is_some()
    }

    /// Keeps up with births in a namespace or a tree. Must be called with each change after [`Filter::resolve`], before
    /// the change is judged; in a recording from the first change on.
    pub fn follow(&mut self, world: &World, change: &Change) {
        if let Some(tree) = &mut self.tree {
            tree.descent.follow(world, change);
        }
        if let Some(ns) = &mut self.ns
            && let &(Change::Born(key) | Change::Learned(key)) = change
            && let Some(process) = world.get(key)
        {
            ns.follow(world, process, matches!(change, Change::Born(_)));
        }
        if self.awaited.is_some() {
            self.meet(world);
        }
    }

    /// Looks for what the command line names in a recording, as the world is now.
    fn meet(&mut self, world: &World) {
        let Self { ns, tree, awaited: Some(Awaited { pids, namespace, .. }), .. } = self else { return };
        pids.retain(|&pid| world.by_pid(pid).is_none());
        if namespace.is_some_and(|ns| world.namespace(ns).is_some()) {
            *namespace = None;
        }
        if let Some(tree) = tree
            && let Some(root) = world.by_pid(tree.root)
        {
            tree.root_is(world, root.key);
        }
        if let Some(ns) = ns
            && let Ok(outer) = find_ns(world, ns.asked)
        {
            ns.add(world, outer);
        }
    }

    /// Notes an event of a recording that names a container.
    pub fn hear(&mut self, event: &EventKind) {
        let Some(Awaited { containers, .. }) = &mut self.awaited else { return };
        match event {
            _ if containers.is_empty() => {}
            EventKind::Container(container) => {
                let Container { image, pod, .. } = &**container;
                containers.retain(|name| {
                    !container.is_called(name) && [image, pod].iter().all(|known| known.as_ref() != Some(name))
                });
            }
            EventKind::Contained(_, id) => containers.retain(|name| !id.starts_with(name.as_str())),
            _ => {}
        }
    }

    /// To be called at the end of a recording: checks that all that the command line names was there.
    ///
    /// # Errors
    /// If something never was.
    pub fn conclude(&mut self, world: &World) -> Result<(), Missing> {
        self.meet(world);
        let Some(Awaited { pids, namespace, containers }) = &self.awaited else { return Ok(()) };
        match (pids.first(), namespace, containers.first()) {
            (Some(&pid), ..) => Err(Missing::PidInRecording(pid)),
            (_, Some(PidNs(inode)), _) => Err(Missing::NamespaceInRecording(*inode)),
            (.., Some(name)) => Err(Missing::ContainerInRecording(escape(name.as_bytes()))),
            _ => Ok(()),
        }
    }

    /// Whether an event is to be shown. A filter for signals hides all other events.
    pub fn shows_event(&self, world: &World, event: &Occurrence<'_>) -> bool {
        match event {
            Occurrence::Signal(signalled) | Occurrence::Deliver(signalled) => {
                let Signalled { signal, sender, target, verdict, .. } = &**signalled;
                self.shows_sending(world, *signal, *verdict, process(sender), target)
            }
            Occurrence::Fork { process, parent, creator } => {
                self.shows_quiet(world, &[Some(process), parent.as_ref(), creator.as_ref()])
            }
            Occurrence::Exec { process, before: _, args: _ } => self.shows_quiet(world, &[Some(process)]),
            Occurrence::Exit { process, owed_by, status: _, leader_only: _, autoreap: _, adopter } => self
                .shows_quiet(world, &[Some(process), owed_by.as_ref(), adopter.as_ref().map(|(_, adopter)| adopter)]),
            Occurrence::Reap { process, by, zombie_for: _, exact: _ } => {
                self.shows_quiet(world, &[Some(process), by.as_ref()])
            }
        }
    }

    /// Whether a signal with that fate is to be shown.
    pub fn shows_sending(
        &self,
        world: &World,
        signal: Signal,
        verdict: Verdict,
        sender: Option<&Identity>,
        target: &Identity,
    ) -> bool {
        self.shows_signal(Some(signal))
            && (!self.lost || verdict.is_loss())
            && self.shows_ends(sender, Some(target))
            && self.shows_parties(world, &[sender, Some(target)])
            && self.shows_containers(world, sender, Some(target), &[])
    }

    /// Whether to show what is known about a container.
    pub fn shows_container(&self, container: &Container) -> bool {
        self.container.as_ref().is_none_or(|asked| asked.has(container))
    }

    /// Whether a finding is to be shown.
    pub fn shows_finding(&self, world: &World, finding: &Finding) -> bool {
        let (facts, subject) = (&finding.facts, Some(&finding.process));
        let (lost, fatal) = (facts.own(Role::Signal), facts.own(Role::FatalSignal));
        let signal =
            lost.or(fatal).and_then(|value| if let Value::Signal(signal) = value { Some(*signal) } else { None });
        let sender = facts.own(Role::Sender).and_then(|sender| sender.processes().first());
        let mut others = facts.processes(&[Role::Debtor, Role::Adopter, Role::Client, Role::Party, Role::Victims]);
        if facts.own(Role::Sender).is_none() {
            // The fact belongs to a part of the finding.
            others.extend(facts.processes(&[Role::Sender]));
        }
        let is_about_loss = lost.is_some();
        // The processes that a kill ended are its targets, all of them.
        let mut targets = others.iter().copied().filter(|_| fatal.is_some()).chain(subject);
        let client = facts.first(Role::AskedBy).and_then(|asked| asked.processes().first());
        let parties: Vec<_> = [subject, sender, client].into_iter().chain(others.iter().copied().map(Some)).collect();
        (self.rules.is_empty() || self.rules.iter().any(|rule| rule.name == finding.rule.name))
            && self.min_severity.is_none_or(|least| finding.rule.severity >= least)
            && (!self.lost || is_about_loss)
            && self.shows_signal(signal)
            && self.shows_parties(world, &parties)
            && targets.any(|target| {
                self.shows_ends(sender, Some(target)) && self.shows_containers(world, sender, Some(target), &parties)
            })
    }

    /// Whether to list a process: what can be said of it alone, as it takes part in anything.
    pub fn shows_process(&self, world: &World, who: &Identity) -> bool {
        let ends = [&self.from, &self.to].into_iter().flatten();
        let container = world.container_of(who);
        self.shows_parties(world, &[Some(who)])
            && ends.into_iter().all(|named| named.has(who.key))
            && self.container.as_ref().is_none_or(|asked| container.is_some_and(|container| asked.has(container)))
    }

    /// Not about a signal, so it has no sender and no target.
    fn shows_quiet(&self, world: &World, parties: &[Option<&Identity>]) -> bool {
        !self.lost
            && self.shows_signal(None)
            && self.shows_ends(None, None)
            && self.shows_parties(world, parties)
            && self.shows_containers(world, None, None, parties)
    }

    /// Whether a process belongs to the containers that are asked for, on the side that is asked for. Whatever has no
    /// sides (all but signals) counts all who take part.
    fn shows_containers(
        &self,
        world: &World,
        sender: Option<&Identity>,
        target: Option<&Identity>,
        others: &[Option<&Identity>],
    ) -> bool {
        let Some(asked) = &self.container else { return true };
        let has = |who: Option<&Identity>| {
            who.and_then(|who| world.container_of(who)).is_some_and(|container| asked.has(container))
        };
        match asked.side {
            Side::From if sender.is_some() => has(sender),
            Side::To if target.is_some() => has(target),
            _ => has(sender) || has(target) || others.iter().any(|&who| has(who)),
        }
    }

    fn shows_signal(&self, signal: Option<Signal>) -> bool {
        match signal {
            Some(signal) => {
                (self.signals.is_empty() || self.signals.contains(&signal)) && !self.not_signals.contains(&signal)
            }
            None => self.signals.is_empty(),
        }
    }

    fn shows_ends(&self, sender: Option<&Identity>, target: Option<&Identity>) -> bool {
        let fits = |named: &Option<Named>, end: Option<&Identity>| {
            named.as_ref().is_none_or(|named| end.is_some_and(|end| named.has(end.key)))
        };
        fits(&self.from, sender) && fits(&self.to, target)
    }

    fn shows_parties(&self, world: &World, parties: &[Option<&Identity>]) -> bool {
        let any = |test: &dyn Fn(&Identity) -> bool| parties.iter().copied().flatten().any(test);
        self.party.as_ref().is_none_or(|named| any(&|party| named.has(party.key)))
            && self.ns.as_ref().is_none_or(|ns| any(&|party| ns.inside.contains(&party.pid_ns)))
            && self.tree.as_ref().is_none_or(|tree| any(&|party| tree.descent.has(party.key)))
            && (self.scope == Scope::Host || any(&|party| world.is_in_scope(party, self.scope)))
    }
}

/// The process that has sent a signal.
pub fn process(sender: &Sender) -> Option<&Identity> {
    match sender {
        Sender::Process(identity) => Some(identity),
        Sender::Kernel(_) | Sender::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, Exit, ExitStatus},
        story::{Story, born, end, kill},
    };

    #[test]
    fn each_that_a_signal_ended_is_found_by_those_who_ask_for_it() {
        let mut story = Story::new();
        for pid in [2, 3].into_iter().chain(100..130) {
            story.fork(born(pid, 1));
        }
        let of = |party: &[u32], to: &[u32]| {
            let mut filter = Filter { party: Named::new(party), to: Named::new(to), ..Filter::default() };
            filter.resolve(story.world()).unwrap();
            filter
        };
        let shown = [of(&[129], &[]), of(&[], &[115]), of(&[100], &[]), of(&[2], &[])];
        let hidden = [of(&[3], &[]), of(&[], &[2])];
        for pid in 100..130 {
            story.signal(kill(2, pid, Signal::KILL));
            story.exit(Exit { status: ExitStatus(9), ..end(pid, 1, Adopter::None) });
        }
        let finding = story.wait(200, &[]).only();
        for (i, filter) in shown.iter().enumerate() {
            assert!(filter.shows_finding(story.world(), &finding), "{i}");
        }
        for (i, filter) in hidden.iter().enumerate() {
            assert!(!filter.shows_finding(story.world(), &finding), "{i}");
        }
    }
}
