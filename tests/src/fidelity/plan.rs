//! The operations of an episode: a pure function of the seed.
//!
//! Every actor has a name of its own (the index of its slot), and an operation names actors. So
//! the plan does not depend on what happens, and any part of it can be carried out alone: an
//! operation whose actors are not there is left out. That this is rare is the [`Model`]'s merit,
//! which foresees roughly who will live.

use std::ops::Range;

use nix::libc;

use super::{
    actor::NAMES,
    arena::{ActorId, ROOT, SLOTS},
    model::Model,
    order::{Birth, OnChildEnd, Order},
};

/// Something that an actor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// The number by which `--only` calls it.
    pub number: u64,
    /// Who.
    pub by: ActorId,
    /// What.
    pub act: Act,
}

/// What an actor is to do: an order, or something to another actor, whose pids only the driver
/// finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// No pid is needed.
    Plain(Order),
    /// Send a signal to the other's process.
    Kill(ActorId, u8),
    /// waitid(2) for the other's process, with these flags.
    WaitFor(ActorId, i32),
    /// setns(2) into the other's pid namespace.
    Join(ActorId),
    /// `PTRACE_SEIZE`, with `PTRACE_O_EXITKILL` or not.
    Seize(ActorId, bool),
    /// `PTRACE_ATTACH`.
    Attach(ActorId),
    /// `PTRACE_DETACH`.
    Detach(ActorId),
}

/// A step of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Give the order, and do not wait.
    Op(Op),
    /// Wait until all orders are carried out.
    Barrier,
    /// Compare.
    Rest,
}

/// Numbers of operations from one episode to the next.
pub const NUMBERS: u64 = 10_000;

/// The most that an episode asks for; an operation can make hundreds of actors.
const MAX_OPS: u64 = 1_200;

impl Act {
    /// The other actor, whose process it is about.
    pub fn target(self) -> Option<ActorId> {
        match self {
            Self::Plain(_) => None,
            Self::Kill(target, _)
            | Self::WaitFor(target, _)
            | Self::Join(target)
            | Self::Seize(target, _)
            | Self::Attach(target)
            | Self::Detach(target) => Some(target),
        }
    }

    /// The actors that it makes.
    pub fn makes(self) -> Range<ActorId> {
        match self {
            Self::Plain(Order::Make { child, count, .. }) => child..child + count,
            Self::Plain(Order::Spawn { child, .. } | Order::Thread(child) | Order::Reuse(child, _)) => child..child + 1,
            _ => 0..0,
        }
    }

    /// What the report counts it as.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Plain(order) => match order {
                Order::Make { deep: true, .. } => "chain of processes",
                Order::Make { count: 2.., .. } => "crowd of children",
                Order::Make { birth, .. } => match birth {
                    Birth::Fork => "fork",
                    Birth::Vfork => "vfork",
                    Birth::Sibling => "clone (CLONE_PARENT)",
                    Birth::Signal(_) => "clone (other exit signal)",
                    Birth::NewNamespace => "clone (CLONE_NEWPID)",
                },
                Order::Spawn { .. } | Order::SpawnNothing => "vfork and exec or exit",
                Order::Thread(_) => "thread",
                Order::ExitThread => "exit of a thread",
                Order::Exit(_) => "exit",
                Order::Crash => "crash",
                Order::Exec(_) => "exec",
                Order::Rename(_) => "rename",
                Order::KillGroup(_) => "kill group",
                Order::KillAll(_) => "kill namespace (-1)",
                Order::KillSelf(..) => "kill self",
                Order::Wait(..) => "wait for any",
                Order::OnChildEnd(_) => "SIGCHLD disposition",
                Order::Subreaper(_) => "subreaper on or off",
                Order::DeathSignal(_) => "parent-death signal",
                Order::OwnGroup => "new process group",
                Order::Unshare => "unshare (CLONE_NEWPID)",
                Order::Resume => "resume tracees",
                Order::TraceMe => "ptrace traceme",
                Order::Reuse(..) => "fork with a pid used before",
                Order::Nothing
                | Order::Kill(..)
                | Order::KillPid(..)
                | Order::Join(_)
                | Order::Seize(..)
                | Order::Attach(_)
                | Order::Detach(_)
                | Order::Sweep => "other",
            },
            Self::Kill(_, signal) if i32::from(signal) == libc::SIGSTOP => "stop",
            Self::Kill(_, signal) if i32::from(signal) == libc::SIGCONT => "continue",
            Self::Kill(..) => "kill",
            Self::WaitFor(..) => "wait for one",
            Self::Join(_) => "setns",
            Self::Seize(..) => "ptrace seize",
            Self::Attach(_) => "ptrace attach",
            Self::Detach(_) => "ptrace detach",
        }
    }
}

/// The steps of an episode.
pub fn episode(seed: u64, episode: u64) -> Vec<Step> {
    // Neighbouring seeds must not give neighbouring episodes.
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ episode.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let mut planner = Planner {
        rng: fastrand::Rng::with_seed(mixed),
        model: Model::new(),
        number: episode * NUMBERS,
        steps: Vec::new(),
        population: 0,
    };
    planner.run();
    planner.steps
}

struct Planner {
    rng: fastrand::Rng,
    model: Model,
    number: u64,
    steps: Vec<Step>,
    /// How many actors there should be.
    population: usize,
}

/// Actors that the largest single operation makes.
const CROWD: u16 = 300;

impl Planner {
    fn run(&mut self) {
        self.population = *self.pick(&[6, 15, 40, 100, 200]);
        let ops = *self.pick(&[60, 120, 300, 600, MAX_OPS]);
        let first = self.number;
        let longest = *self.pick(&[60, 200, 600, 2_000]);
        while self.number < first + ops && usize::from(self.model.next_actor()) + usize::from(CROWD) + 8 < SLOTS {
            let until = self.number + self.rng.u64(50..=longest.max(51));
            while self.number < until && self.number < first + ops {
                let burst = *self.pick(&[1, 2, 8, 32, 128]);
                for _ in 0..burst {
                    self.one();
                    if usize::from(self.model.next_actor()) + usize::from(CROWD) + 8 >= SLOTS {
                        break;
                    }
                }
                self.steps.push(Step::Barrier);
                if usize::from(self.model.next_actor()) + usize::from(CROWD) + 8 >= SLOTS {
                    break;
                }
            }
            self.steps.push(Step::Rest);
        }
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.usize(..of.len())]
    }

    fn op(&mut self, by: ActorId, act: Act) {
        self.model.foresee(by, act);
        self.steps.push(Step::Op(Op { number: self.number, by, act }));
        self.number += 1;
    }

    fn plain(&mut self, by: ActorId, order: Order) {
        self.op(by, Act::Plain(order));
    }

    /// Anybody who can do something, the root too if asked for.
    fn anybody(&mut self) -> ActorId {
        let ready = self.model.ready();
        if ready.is_empty() || self.rng.u8(..) < 10 { ROOT } else { ready[self.rng.usize(..ready.len())] }
    }

    /// Anybody but the root who can do something.
    fn actor(&mut self) -> Option<ActorId> {
        let ready = self.model.ready();
        (!ready.is_empty()).then(|| ready[self.rng.usize(..ready.len())])
    }

    /// Anybody but the root who lives, stopped or not.
    fn target(&mut self) -> Option<ActorId> {
        let alive = self.model.alive();
        (!alive.is_empty()).then(|| alive[self.rng.usize(..alive.len())])
    }

    fn new_actors(&mut self, count: u16) -> ActorId {
        self.model.name(count)
    }

    /// One operation, or a few that belong together.
    fn one(&mut self) {
        let is_crowded = self.model.alive().len() >= self.population;
        let done = match self.rng.u32(..100) {
            0..30 if is_crowded => self.end_one(),
            0..30 => self.make_one(),
            30..42 => self.end_one(),
            42..62 => self.wait(),
            62..70 => self.signal(),
            70..77 => self.settings(),
            77..83 => self.namespaces(),
            83..89 => self.trace(),
            89..93 => self.exec(),
            93..96 => self.families(),
            _ => self.settings(),
        };
        if done.is_none() {
            self.fork(ROOT, Birth::Fork);
        }
    }

    fn fork(&mut self, by: ActorId, birth: Birth) -> ActorId {
        let child = self.new_actors(1);
        self.plain(by, Order::Make { child, count: 1, deep: false, birth });
        child
    }

    fn make_one(&mut self) -> Option<()> {
        match self.rng.u32(..100) {
            0..40 => {
                let by = self.anybody();
                self.fork(by, Birth::Fork);
            }
            40..60 => {
                let by = self.actor()?;
                let child = self.new_actors(1);
                self.plain(by, Order::Thread(child));
            }
            60..68 => {
                let by = self.actor()?;
                self.fork(by, Birth::Sibling);
            }
            68..76 => {
                let by = self.actor()?;
                let signal = *self.pick(&[0, libc::SIGURG, libc::SIGWINCH, libc::SIGUSR1]) as u8;
                self.fork(by, Birth::Signal(signal));
            }
            76..82 => {
                let by = self.actor()?;
                self.fork(by, Birth::Vfork);
            }
            82..88 => {
                let by = self.actor()?;
                if self.rng.bool() {
                    let (child, name) = (self.new_actors(1), self.name());
                    self.plain(by, Order::Spawn { child, name });
                } else {
                    self.plain(by, Order::SpawnNothing);
                }
            }
            _ => {
                let by = self.model.nested_ready(&mut self.rng)?;
                let child = self.new_actors(1);
                let pid = self.rng.i32(2..24);
                self.plain(by, Order::Reuse(child, pid));
            }
        }
        Some(())
    }

    fn end_one(&mut self) -> Option<()> {
        let by = self.actor()?;
        match self.rng.u32(..100) {
            0..30 => self.plain(by, Order::Exit(self.model.some_code())),
            30..50 => self.plain(by, Order::ExitThread),
            50..56 => self.plain(by, Order::Crash),
            56..66 => {
                let signal = *self.pick(&[libc::SIGTERM, libc::SIGKILL, libc::SIGABRT, libc::SIGINT]) as u8;
                let thread = self.rng.bool();
                self.plain(by, Order::KillSelf(signal, thread));
            }
            _ => {
                let by = self.anybody();
                let target = self.target()?;
                let signal = *self.pick(&[libc::SIGTERM, libc::SIGKILL, libc::SIGKILL, libc::SIGHUP]) as u8;
                self.op(by, Act::Kill(target, signal));
            }
        }
        Some(())
    }

    fn wait(&mut self) -> Option<()> {
        const ALL: i32 = libc::WEXITED | libc::__WALL;
        let by = self.anybody();
        match self.rng.u32(..100) {
            0..55 => self.plain(by, Order::Wait(0, ALL | libc::WNOHANG)),
            55..65 => self.plain(by, Order::Wait(0, libc::WEXITED | libc::WNOHANG)),
            65..70 => self.plain(by, Order::Wait(0, libc::WEXITED | libc::WNOHANG | libc::__WCLONE)),
            70..76 => self.plain(by, Order::Wait(0, ALL | libc::WNOHANG | libc::WNOWAIT)),
            76..82 => self.plain(by, Order::Wait(0, ALL | libc::WNOHANG | libc::__WNOTHREAD)),
            82..90 => {
                let child = self.model.child_of(by, &mut self.rng)?;
                self.op(by, Act::WaitFor(child, ALL | libc::WNOHANG));
            }
            _ => {
                // Its end and the wait for it race.
                let child = self.model.child_of(by, &mut self.rng)?;
                self.op(ROOT, Act::Kill(child, libc::SIGKILL as u8));
                // The root sweeps at the end, so it never blocks: a child with a dead thread that the
                // root itself traces cannot be reaped before that thread (delay_group_leader()).
                let patience = if by == ROOT { libc::WNOHANG } else { 0 };
                self.op(by, Act::WaitFor(child, ALL | patience));
            }
        }
        Some(())
    }

    fn signal(&mut self) -> Option<()> {
        match self.rng.u32(..100) {
            0..35 => {
                let by = self.anybody();
                let target = self.target()?;
                self.op(by, Act::Kill(target, libc::SIGSTOP as u8));
                // Mostly not for long: who is stopped can do nothing.
                if self.rng.u8(..) < 180 {
                    self.op(by, Act::Kill(target, libc::SIGCONT as u8));
                }
            }
            35..60 => {
                let by = self.anybody();
                let target = self.model.stopped(&mut self.rng).or_else(|| self.model.alive().first().copied())?;
                self.op(by, Act::Kill(target, libc::SIGCONT as u8));
            }
            60..75 => {
                let by = self.anybody();
                let target = self.target()?;
                let signal = *self.pick(&[libc::SIGUSR1, libc::SIGCHLD, libc::SIGWINCH]) as u8;
                self.op(by, Act::Kill(target, signal));
            }
            75..95 => {
                let by = self.actor()?;
                let signal = *self.pick(&[libc::SIGTERM, libc::SIGKILL, libc::SIGCONT, libc::SIGUSR1]) as u8;
                self.plain(by, Order::KillGroup(signal));
            }
            _ => {
                let by = self.model.nested_ready(&mut self.rng)?;
                let signal = *self.pick(&[libc::SIGTERM, libc::SIGKILL]) as u8;
                self.plain(by, Order::KillAll(signal));
            }
        }
        Some(())
    }

    fn settings(&mut self) -> Option<()> {
        let by = self.actor()?;
        let order = match self.rng.u32(..100) {
            0..25 => {
                let what = [OnChildEnd::Default, OnChildEnd::Ignore, OnChildEnd::NoWait, OnChildEnd::Handle];
                Order::OnChildEnd(*self.pick(&what))
            }
            25..55 => Order::Subreaper(self.rng.u8(..) < 170),
            55..70 => Order::DeathSignal(*self.pick(&[libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1, 0]) as u8),
            70..85 => Order::OwnGroup,
            _ => Order::Rename(self.name()),
        };
        self.plain(by, order);
        Some(())
    }

    fn namespaces(&mut self) -> Option<()> {
        match self.rng.u32(..100) {
            0..25 => {
                let by = self.actor()?;
                if self.model.level(by) >= 4 {
                    return None;
                }
                self.plain(by, Order::Unshare);
                self.fork(by, Birth::Fork);
            }
            25..50 => {
                let by = self.actor()?;
                if self.model.level(by) >= 4 {
                    return None;
                }
                self.fork(by, Birth::NewNamespace);
            }
            50..80 => {
                let by = self.actor()?;
                let target = self.target()?;
                self.op(by, Act::Join(target));
                self.fork(by, Birth::Fork);
            }
            _ => {
                let init = self.model.init(&mut self.rng)?;
                match self.rng.u32(..4) {
                    0 => self.plain(init, Order::Exit(3)),
                    1 => self.plain(init, Order::Crash),
                    _ => self.op(ROOT, Act::Kill(init, libc::SIGKILL as u8)),
                }
            }
        }
        Some(())
    }

    fn trace(&mut self) -> Option<()> {
        match self.rng.u32(..100) {
            0..40 => {
                let by = self.actor()?;
                let target = match self.model.child_of(by, &mut self.rng) {
                    Some(child) if self.rng.bool() => child,
                    _ => self.target()?,
                };
                let exit_kill = self.rng.u8(..) < 60;
                self.op(by, Act::Seize(target, exit_kill));
            }
            40..48 => {
                let by = self.actor()?;
                let target = self.target()?;
                self.op(by, Act::Attach(target));
                if self.rng.bool() {
                    self.plain(by, Order::Resume);
                } else {
                    self.op(by, Act::Detach(target));
                }
            }
            48..70 => {
                let (tracer, tracee) = self.model.traced(&mut self.rng)?;
                self.op(tracer, Act::Detach(tracee));
            }
            70..92 => {
                let (tracer, _) = self.model.traced(&mut self.rng)?;
                self.plain(tracer, Order::Resume);
            }
            92..96 => {
                let by = self.actor()?;
                self.plain(by, Order::TraceMe);
            }
            _ => {
                // A tracee that ends, and whose tracer may wait before its parent does.
                let (tracer, tracee) = self.model.traced(&mut self.rng)?;
                self.op(ROOT, Act::Kill(tracee, libc::SIGKILL as u8));
                if self.rng.bool() {
                    self.plain(tracer, Order::Wait(0, libc::WEXITED | libc::WNOHANG | libc::__WALL));
                }
            }
        }
        Some(())
    }

    fn exec(&mut self) -> Option<()> {
        let by = self.actor()?;
        let name = self.name();
        if self.rng.bool() {
            // From a thread of its own making.
            let thread = self.new_actors(1);
            self.plain(by, Order::Thread(thread));
            self.plain(thread, Order::Exec(name));
        } else {
            self.plain(by, Order::Exec(name));
        }
        Some(())
    }

    /// Shapes that chance alone would seldom make.
    fn families(&mut self) -> Option<()> {
        match self.rng.u32(..100) {
            // The double fork of a daemon.
            0..50 => {
                let by = self.anybody();
                let middle = self.fork(by, Birth::Fork);
                self.fork(middle, Birth::Fork);
                self.plain(middle, Order::Exit(0));
                if self.rng.bool() {
                    self.plain(by, Order::Wait(0, libc::WEXITED | libc::WNOHANG | libc::__WALL));
                }
            }
            // A leader that exits before its threads, which have children.
            50..70 => {
                let by = self.anybody();
                let leader = self.fork(by, Birth::Fork);
                let thread = self.new_actors(1);
                self.plain(leader, Order::Thread(thread));
                self.fork(thread, Birth::Fork);
                self.plain(leader, Order::ExitThread);
                if self.rng.bool() {
                    self.plain(thread, Order::ExitThread);
                }
            }
            // Ancestors, a hundred of them, and one in the middle that ends.
            70..82 if !self.is_full() => {
                let by = self.anybody();
                let count = self.rng.u16(3..=100);
                let child = self.new_actors(count);
                self.plain(by, Order::Make { child, count, deep: true, birth: Birth::Fork });
                for _ in 0..self.rng.u32(1..4) {
                    let middle = child + self.rng.u16(..count);
                    self.op(ROOT, Act::Kill(middle, libc::SIGKILL as u8));
                }
            }
            // Hundreds of children.
            82..90 if !self.is_full() => {
                let by = self.anybody();
                let count = self.rng.u16(20..=CROWD);
                let child = self.new_actors(count);
                self.plain(by, Order::Make { child, count, deep: false, birth: Birth::Fork });
                // Most of them end together.
                for i in 0..count {
                    if self.rng.u8(..) < 230 {
                        self.plain(child + i, Order::Exit(0));
                    }
                }
            }
            // Namespaces in one another.
            _ => {
                let mut by = self.actor()?;
                for _ in self.model.level(by)..4 {
                    by = self.fork(by, Birth::NewNamespace);
                    if self.rng.bool() {
                        by = self.fork(by, Birth::Fork);
                    }
                }
            }
        }
        Some(())
    }

    fn is_full(&self) -> bool {
        self.model.alive().len() > 2 * self.population.max(100)
    }

    fn name(&mut self) -> u8 {
        self.rng.u8(..NAMES.len() as u8)
    }
}
