//! The driver's side of the actors: gives orders, notices births, completions and ends, and removes all actors in the
//! end, whatever happens.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::ErrorKind,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::symlink, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::{FdFlags, fcntl_setfd},
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, setrlimit},
};
use tempfile::TempDir;

use super::{
    actor::{ACTOR, NAMES},
    arena::{self, ActorId, Arena, ROOT, SLOTS},
    order::{Birth, Order},
    plan::{Act, Op},
    tasks::{Rest, is_unreaped, numbers, rest_of},
};

/// What the driver does while it waits for actors.
pub type Meanwhile<'a> = &'a mut dyn FnMut() -> Result<()>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody was asked to make it.
    Unnamed,
    /// Somebody was.
    Expected,
    /// Requested, but its creator can hardly do it any more: it has ended, or sleeps. Nothing waits for it.
    Late,
    /// It has done what it was told.
    Idle,
    /// It is carrying out an order: its number, and the operation's kind.
    Busy(u32, &'static str),
    /// It has taken so long that nothing waits for it any more: asleep, stopped, traced.
    Stuck(u32, &'static str),
    /// It has ended, or never came.
    Gone,
}

struct Actor {
    state: State,
    process: Option<usize>,
    /// Who makes it.
    creator: ActorId,
    /// And has said that it did.
    is_made: bool,
    /// What [`Crew::sleeps`] saw, and when.
    look: Option<(Instant, u64)>,
}

impl Actor {
    fn new(state: State) -> Self {
        Self { state, process: None, creator: ROOT, is_made: false, look: None }
    }

    fn is_awaited(&self) -> bool {
        matches!(self.state, State::Expected | State::Busy(..))
    }
}

struct Process {
    pid: u32,
    descriptor: OwnedFd,
    has_ended: bool,
    members: Vec<ActorId>,
}

/// Operations of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Carried out.
    pub done: u64,
    /// Of these, refused by the kernel: nobody to wait for, a namespace that has ended.
    pub refused: u64,
    /// Left out, because an actor that they name was not there.
    pub left_out: u64,
}

/// All actors of an episode, and the root, which outlives it.
pub struct Crew {
    arena: &'static Arena,
    root: Child,
    bell: OwnedFd,
    epoll: OwnedFd,
    actors: Vec<Actor>,
    processes: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    /// Operations that are not given yet.
    line: Vec<Op>,
    /// Expected or busy.
    awaited: Vec<ActorId>,
    stuck: Vec<ActorId>,
    /// How long nothing may happen before nobody waits any more.
    grace: Duration,
    /// Who sleeps for longer is not about to go on.
    nap: Duration,
    /// How long nothing happens before it is looked at why.
    pause: Duration,
    /// By kind.
    pub counts: BTreeMap<&'static str, Count>,
    /// Files of the actors' names.
    _folder: TempDir,
    _memory: OwnedFd,
    _driver: OwnedFd,
}

/// Marks the bell among the processes of the epoll set.
const BELL: u64 = u64::MAX;

impl Crew {
    /// Starts the root.
    ///
    /// # Errors
    /// If the kernel refuses any of it.
    pub fn start(grace: Duration) -> Result<Self> {
        // One for every process of an episode, and the programs and maps of every world.
        let descriptors = Some(2 * SLOTS as u64);
        setrlimit(Resource::Nofile, Rlimit { current: descriptors, maximum: descriptors })
            .context("cannot raise the limit of open files")?;
        let memory = arena::create().context("memory for the actors")?;
        let arena = arena::map(std::os::fd::AsFd::as_fd(&memory)).context("memory for the actors")?;
        let bell = eventfd(0, EventfdFlags::NONBLOCK).context("eventfd")?;
        let own = Pid::from_raw(std::process::id() as i32).context("no pid is 0")?;
        let driver = pidfd_open(own, PidfdFlags::empty()).context("pidfd_open (since Linux 5.3)")?;
        // It is meant for the actors.
        fcntl_setfd(&driver, FdFlags::empty()).context("fcntl")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN).context("epoll")?;
        arena.driver.store(std::process::id() as i32, Ordering::Release);

        let folder = TempDir::with_prefix("fidelity-").context("a folder for the actors' names")?;
        let program = std::env::current_exe().context("the path of this program")?;
        for name in NAMES {
            symlink(&program, folder.path().join(name)).context("a file with an actor's name")?;
        }
        let mut command = Command::new(program);
        command.arg0("root").arg(ACTOR).arg(ROOT.to_string());
        for descriptor in [&memory, &bell, &driver] {
            command.arg(descriptor.as_raw_fd().to_string());
        }
        command.arg(folder.path()).stdin(Stdio::null());
        let root = command.spawn().context("cannot start the root of the actors")?;
        let mut crew = Self {
            arena,
            root,
            bell,
            epoll,
            actors: (0..SLOTS).map(|_| Actor::new(State::Unnamed)).collect(),
            processes: Vec::new(),
            by_pid: HashMap::new(),
            line: Vec::new(),
            awaited: Vec::new(),
            stuck: Vec::new(),
            grace,
            nap: grace / 10,
            pause: grace / 60,
            counts: BTreeMap::new(),
            _folder: folder,
            _memory: memory,
            _driver: driver,
        };
        crew.expect(ROOT, ROOT);
        let until = Instant::now() + Duration::from_secs(30);
        while crew.actors[0].state == State::Expected {
            ensure!(Instant::now() < until, "the root of the actors does not come up");
            crew.listen(Duration::from_millis(100))?;
        }
        Ok(crew)
    }

    /// The root's pid on the host.
    pub fn root(&self) -> u32 {
        self.root.id()
    }

    /// The actor whose thread led that process when it was last seen.
    pub fn actor_of(&self, pid: u32) -> Option<ActorId> {
        self.processes[*self.by_pid.get(&pid)?].members.first().copied()
    }

    fn count(&mut self, kind: &'static str) -> &mut Count {
        self.counts.entry(kind).or_default()
    }

    fn expect(&mut self, actor: ActorId, creator: ActorId) {
        let one = &mut self.actors[usize::from(actor)];
        (one.state, one.creator, one.is_made) = (State::Expected, creator, false);
        self.awaited.push(actor);
    }

    /// Waits for something to happen, and takes in what has; whether anything has.
    fn listen(&mut self, patience: Duration) -> Result<bool> {
        self.beat();
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 64];
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        let (events, _) = match epoll::wait(&self.epoll, &mut events[..], Some(&patience)) {
            Ok(events) => events,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error).context("epoll"),
        };
        let mut is_news = false;
        for event in &*events {
            match event.data.u64() {
                BELL => {
                    // What it counts does not matter.
                    let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                }
                process => self.ended(process as usize)?,
            }
            is_news = true;
        }
        for actor in std::mem::take(&mut self.awaited) {
            if !self.look_at(actor)? {
                self.awaited.push(actor);
            }
        }
        for actor in std::mem::take(&mut self.stuck) {
            if !self.look_at(actor)? {
                self.stuck.push(actor);
            }
        }
        Ok(is_news)
    }

    /// Takes in what has become of an actor; false if there is nothing new.
    fn look_at(&mut self, actor: ActorId) -> Result<bool> {
        let slot = self.arena.slot(actor);
        match self.actors[usize::from(actor)].state {
            State::Expected | State::Late => {
                let Some((pid, _)) = slot.lives_at() else { return Ok(false) };
                self.appeared(actor, pid)?;
                Ok(true)
            }
            State::Busy(number, kind) | State::Stuck(number, kind) => {
                let Some(result) = slot.result(number) else { return Ok(false) };
                self.done(actor, kind, result);
                Ok(true)
            }
            State::Unnamed | State::Idle | State::Gone => Ok(true),
        }
    }

    fn appeared(&mut self, actor: ActorId, pid: u32) -> Result<()> {
        let known = self.by_pid.get(&pid).copied().filter(|&process| !self.processes[process].has_ended);
        let process = match known {
            Some(process) => process,
            None => {
                let Some(name) = Pid::from_raw(pid as i32) else { return Ok(()) };
                // It may have been reaped already.
                let Ok(descriptor) = pidfd_open(name, PidfdFlags::empty()) else {
                    self.actors[usize::from(actor)].state = State::Gone;
                    return Ok(());
                };
                let process = self.processes.len();
                let data = epoll::EventData::new_u64(process as u64);
                epoll::add(&self.epoll, &descriptor, data, epoll::EventFlags::IN).context("epoll")?;
                self.processes.push(Process { pid, descriptor, has_ended: false, members: Vec::new() });
                self.by_pid.insert(pid, process);
                process
            }
        };
        self.processes[process].members.push(actor);
        let one = &mut self.actors[usize::from(actor)];
        (one.state, one.process) = (State::Idle, Some(process));
        // From now on its creator sleeps.
        let creator = one.creator;
        if matches!(self.arena.slot(creator).order(), Order::Make { birth: Birth::Vfork, .. }) {
            self.give_up_on(creator);
        }
        Ok(())
    }

    fn ended(&mut self, process: usize) -> Result<()> {
        let one = &mut self.processes[process];
        one.has_ended = true;
        epoll::delete(&self.epoll, &one.descriptor).context("epoll")?;
        for actor in one.members.clone() {
            self.gone(actor);
        }
        Ok(())
    }

    /// An actor that ends while it is about an order has carried that out, as far as one can.
    fn gone(&mut self, actor: ActorId) {
        if let State::Busy(_, kind) | State::Stuck(_, kind) = self.actors[usize::from(actor)].state {
            self.count(kind).done += 1;
        }
        self.actors[usize::from(actor)].state = State::Gone;
    }

    fn done(&mut self, actor: ActorId, kind: &'static str, result: i32) {
        let count = self.count(kind);
        count.done += 1;
        count.refused += u64::from(result < 0);
        let order = self.arena.slot(actor).order();
        let is_done = result >= 0;
        self.actors[usize::from(actor)].state = State::Idle;
        match order {
            Order::Exit(_) | Order::ExitThread => self.actors[usize::from(actor)].state = State::Gone,
            // The other threads are gone.
            Order::Exec(_) if is_done => {
                let Some(process) = self.actors[usize::from(actor)].process else { return };
                for other in std::mem::replace(&mut self.processes[process].members, vec![actor]) {
                    if other != actor {
                        self.gone(other);
                    }
                }
            }
            Order::Make { child, count, .. } if !is_done => {
                for child in child..child + count {
                    // Of a crowd the first may have been made.
                    if matches!(self.actors[usize::from(child)].state, State::Expected | State::Late)
                        && self.arena.slot(child).lives_at().is_none()
                    {
                        self.actors[usize::from(child)].state = State::Gone;
                    }
                }
            }
            Order::Make { child, count, deep, .. } => {
                for child in child..child + if deep { 1 } else { count } {
                    self.actors[usize::from(child)].is_made = true;
                }
            }
            Order::Spawn { child, .. } | Order::Thread(child) | Order::Reuse(child, _) => {
                let one = &mut self.actors[usize::from(child)];
                one.is_made = is_done;
                if !is_done {
                    one.state = State::Gone;
                }
            }
            _ => {}
        }
    }

    /// Whether there is no use in waiting for an actor that is expected or busy.
    fn does_not_come(&mut self, actor: ActorId) -> bool {
        let mut next = actor;
        loop {
            let one = &self.actors[usize::from(next)];
            match one.state {
                State::Expected if one.is_made => return false,
                // In a chain everybody waits for the one before.
                State::Expected if next != ROOT => next = one.creator,
                State::Busy(..) => return next == actor && self.sleeps(actor),
                // It may be about its part of a chain.
                State::Expected | State::Idle => return false,
                State::Unnamed | State::Late | State::Stuck(..) | State::Gone => return true,
            }
        }
    }

    /// Whether an actor is stopped, or has been asleep since the last look at it: in a wait, in an
    /// init that waits for its namespace. A short sleep does not count, such as for a lock.
    fn sleeps(&mut self, actor: ActorId) -> bool {
        let one = &mut self.actors[usize::from(actor)];
        if one.look.is_some_and(|(at, _)| at.elapsed() < self.nap) {
            return false;
        }
        let tid = self.arena.slot(actor).lives_at().map_or(0, |(_, tid)| tid);
        let before = one.look.take();
        match rest_of(tid) {
            Rest::None => false,
            Rest::Stopped => true,
            Rest::Asleep { switches } => {
                one.look = Some((Instant::now(), switches));
                before.is_some_and(|(_, before)| before == switches)
            }
        }
    }

    fn give_up_on(&mut self, actor: ActorId) {
        let state = &mut self.actors[usize::from(actor)].state;
        match *state {
            State::Busy(number, kind) => {
                *state = State::Stuck(number, kind);
                self.stuck.push(actor);
            }
            // Killed before it could say that it lives, or its creator was.
            State::Expected => {
                *state = State::Late;
                self.stuck.push(actor);
            }
            State::Unnamed | State::Late | State::Idle | State::Stuck(..) | State::Gone => {}
        }
        self.awaited.retain(|&other| other != actor);
    }

    /// Puts an operation in line.
    pub fn plan(&mut self, op: Op) {
        self.line.push(op);
    }

    /// Has the operations in line carried out, and waits until nobody is about an order any more,
    /// but for those who sleep on. The numbers of those that were not left out.
    ///
    /// # Errors
    /// What `meanwhile` returns.
    pub fn settle(&mut self, meanwhile: Meanwhile<'_>) -> Result<Vec<u64>> {
        let mut given = Vec::new();
        let mut quiet_since = Instant::now();
        loop {
            self.give_what_can_be(&mut given);
            if self.line.is_empty() && self.awaited.is_empty() {
                return Ok(given);
            }
            let is_news = self.listen(self.pause)?;
            meanwhile()?;
            if is_news {
                quiet_since = Instant::now();
                continue;
            }
            let is_over = quiet_since.elapsed() > self.grace;
            for actor in self.awaited.clone() {
                if is_over || self.does_not_come(actor) {
                    self.give_up_on(actor);
                }
            }
        }
    }

    /// Gives the orders in line whose actors are ready. What concerns the same actor is done in the
    /// order of the plan, everything else side by side.
    fn give_what_can_be(&mut self, given: &mut Vec<u64>) {
        let mut held_up = BTreeSet::new();
        for op in std::mem::take(&mut self.line) {
            let Op { number, by, act } = op;
            let is_awaited = |actor: ActorId| self.actors[usize::from(actor)].is_awaited();
            // It may be about to be born.
            let is_unborn = |actor: ActorId| self.actors[usize::from(actor)].state == State::Expected;
            // It may hit anybody.
            let is_broad = matches!(act, Act::Plain(Order::KillGroup(_) | Order::KillAll(_)));
            let is_early = (is_broad && !held_up.is_empty())
                || held_up.contains(&by)
                || is_awaited(by)
                || act.target().is_some_and(|target| held_up.contains(&target) || is_unborn(target));
            if is_early {
                held_up.extend([by].into_iter().chain(act.target()).chain(act.makes()));
                self.line.push(op);
            } else if self.perform(by, act) {
                given.push(number);
            }
        }
    }

    /// Gives an order; false if it is left out, because the actor is not there or does not come
    /// back.
    fn perform(&mut self, by: ActorId, act: Act) -> bool {
        let kind = act.kind();
        let order = if self.is_ready(by) { self.resolve(by, act) } else { None };
        let Some(order) = order else {
            self.count(kind).left_out += 1;
            return false;
        };
        let first = act.makes().start;
        for child in act.makes() {
            let is_next = matches!(order, Order::Make { deep: true, .. }) && child > first;
            self.expect(child, if is_next { child - 1 } else { by });
        }
        self.give(by, order, kind);
        true
    }

    fn is_ready(&self, actor: ActorId) -> bool {
        let Actor { state, process, .. } = self.actors[usize::from(actor)];
        state == State::Idle && process.is_some_and(|process| !self.processes[process].has_ended)
    }

    fn give(&mut self, actor: ActorId, order: Order, kind: &'static str) {
        let number = self.arena.slot(actor).give(order);
        let one = &mut self.actors[usize::from(actor)];
        (one.state, one.look) = (State::Busy(number, kind), None);
        self.awaited.push(actor);
    }

    /// The order with the pids that it needs; `None` if the other actor is not there.
    fn resolve(&self, by: ActorId, act: Act) -> Option<Order> {
        if let Act::Plain(order) = act {
            return Some(order);
        }
        let target = act.target()?;
        let other = &self.processes[self.actors[usize::from(target)].process?];
        // As long as it is not reaped, its pids mean nobody else.
        if !is_unreaped(&other.descriptor) {
            return None;
        }
        let tid = self.arena.slot(target).lives_at().map_or(other.pid, |(_, tid)| tid);
        let inside = |tid| self.number_inside(by, tid);
        match act {
            Act::Kill(_, signal) => match self.number_inside(by, other.pid) {
                // By number where numbers are the workload's own.
                Some((pid, true)) if target % 2 == 0 => Some(Order::KillPid(pid, signal)),
                _ => Some(Order::Kill(other.descriptor.as_raw_fd(), signal)),
            },
            Act::WaitFor(_, flags) => inside(other.pid).map(|(pid, _)| Order::Wait(pid, flags)),
            Act::Join(_) => Some(Order::Join(other.pid)),
            Act::Seize(_, exit_kill) => inside(tid).map(|(pid, _)| Order::Seize(pid, exit_kill)),
            Act::Attach(_) => inside(tid).map(|(pid, _)| Order::Attach(pid)),
            Act::Detach(_) => inside(tid).map(|(pid, _)| Order::Detach(pid)),
            Act::Plain(order) => Some(order),
        }
    }

    /// The number of a task in the actor's namespace, and whether that is nested. For a task that
    /// is elsewhere it may be another's number in that namespace.
    fn number_inside(&self, actor: ActorId, tid: u32) -> Option<(i32, bool)> {
        let own = self.processes[self.actors[usize::from(actor)].process?].pid;
        let level = numbers(own)?.len() - 1;
        let number = numbers(tid)?.get(level).copied()?;
        Some((number, level > 0))
    }

    /// Ends the episode: nobody is left but the root, and all names are free again.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn end_episode(&mut self, meanwhile: Meanwhile<'_>) -> Result<()> {
        self.settle(meanwhile)?;
        for process in self.processes.iter().skip(1).filter(|process| !process.has_ended) {
            // It may have ended just now.
            let _ = pidfd_send_signal(&process.descriptor, Signal::KILL);
        }
        let until = Instant::now() + Duration::from_secs(60);
        self.give(ROOT, Order::Sweep, "sweep");
        while matches!(self.actors[0].state, State::Busy(..)) {
            ensure!(Instant::now() < until, "the actors of an episode do not end");
            ensure!(!self.processes[0].has_ended, "the root of the actors was killed");
            self.listen(Duration::from_millis(2))?;
            meanwhile()?;
        }
        self.counts.remove("sweep");
        self.awaited.clear();
        self.stuck.clear();
        for actor in &mut self.actors[1..] {
            *actor = Actor::new(State::Unnamed);
        }
        for process in self.processes.drain(1..) {
            if !process.has_ended {
                epoll::delete(&self.epoll, &process.descriptor).context("epoll")?;
            }
        }
        let root = self.processes[0].pid;
        self.by_pid.retain(|&pid, _| pid == root);
        self.processes[0].members = vec![ROOT];
        self.arena.clear();
        Ok(())
    }

    /// Tells the actors that the driver lives.
    pub fn beat(&self) {
        self.arena.heartbeat.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Crew {
    /// The root takes everybody away when its parent is not the driver any more; here it is told
    /// to, and then killed.
    fn drop(&mut self) {
        let _ = self.end_episode(&mut || Ok(()));
        let _ = self.root.kill();
        let _ = self.root.wait();
    }
}
