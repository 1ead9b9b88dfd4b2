//! What has happened to processes a moment ago: signals of the last seconds, ends and adoptions. For eyes, which need
//! longer than processes.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::{
    change::Change,
    event::{EventKind, ExitStatus, Loss},
    ident::{Identity, ProcKey},
    step::Step,
    time::{BootNs, Span},
    world::World,
};

/// How long the end or the adoption of a process can be seen.
pub const SHOWN: Span = Span::seconds(4);
/// How many seconds of signals are kept for each process.
pub const SECONDS: usize = 8;
/// How many processes are followed: a bound on what a stream can make its reader hold.
const MOST: usize = 1 << 14;
/// How many ends are kept: more than a screen has lines.
const ENDS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Lately {
    signals: FxHashMap<ProcKey, Signals>,
    all: Signals,
    /// How those ended that are not reaped yet.
    statuses: FxHashMap<ProcKey, ExitStatus>,
    gone: VecDeque<Gone>,
    adopted: VecDeque<(BootNs, ProcKey, Identity)>,
    lost: Loss,
    now: BootNs,
}

/// A process that was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When.
    pub at: BootNs,
    /// Who it was.
    pub identity: Identity,
    /// Who reaped it, if that is known.
    pub by: Option<Identity>,
    /// How it ended, if that was seen.
    pub status: Option<ExitStatus>,
}

/// How many signals there were in each of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Signals {
    /// The second of the last one.
    last: u64,
    counts: [u32; SECONDS],
}

impl Signals {
    fn add(&mut self, second: u64) {
        self.pass(second);
        let count = &mut self.counts[SECONDS - 1];
        *count = count.saturating_add(1);
    }

    /// Time passes up to that second.
    fn pass(&mut self, second: u64) {
        let passed = second.saturating_sub(self.last).min(SECONDS as u64) as usize;
        self.counts.rotate_left(passed % SECONDS);
        self.counts[SECONDS - passed..].fill(0);
        self.last = self.last.max(second);
    }

    fn until(mut self, second: u64) -> [u32; SECONDS] {
        self.pass(second);
        self.counts
    }
}

fn second(at: BootNs) -> u64 {
    (at - BootNs::ZERO) / Span::SECOND
}

impl Lately {
    /// Takes a step in; `world` is as it is after it.
    pub fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        self.now = world.now();
        for change in step.changes {
            match change {
                Change::Signalled(signalled) => {
                    self.all.add(second(at));
                    let key = signalled.target.key;
                    if self.signals.len() >= MOST && !self.signals.contains_key(&key) {
                        self.forget();
                    }
                    if self.signals.len() < MOST {
                        self.signals.entry(key).or_default().add(second(at));
                    }
                }
                &Change::Died { key, status } if self.statuses.len() < MOST => {
                    self.statuses.insert(key, status);
                }
                &Change::Reaped { identity, by, .. } => {
                    let status = self.statuses.remove(&identity.key);
                    self.signals.remove(&identity.key);
                    keep(&mut self.gone, Gone { at, identity, by: by.map(|by| world.identity(by)), status });
                }
                Change::Adopted { child, adoption } => {
                    keep(&mut self.adopted, (at, *child, adoption.from));
                }
                _ => {}
            }
        }
        match &step.event.kind {
            EventKind::Lost(loss) => self.lost.add(loss),
            EventKind::Tick => self.age(),
            _ => {}
        }
    }

    fn age(&mut self) {
        let now = self.now;
        while self.gone.front().is_some_and(|gone| gone.at + SHOWN < now) {
            self.gone.pop_front();
        }
        while self.adopted.front().is_some_and(|&(at, ..)| at + SHOWN < now) {
            self.adopted.pop_front();
        }
    }

    /// Drops processes that got no signal for a while.
    fn forget(&mut self) {
        let now = second(self.now);
        self.signals.retain(|_, signals| signals.last + SECONDS as u64 > now);
    }

    /// Signals to a process in each of the last seconds, oldest first.
    pub fn signals(&self, key: ProcKey) -> [u32; SECONDS] {
        self.signals.get(&key).map(|signals| signals.until(second(self.now))).unwrap_or_default()
    }

    /// Signals of the last whole second.
    pub fn rate(&self) -> u64 {
        u64::from(self.all.until(second(self.now))[SECONDS - 2])
    }

    /// Those that have just been reaped.
    pub fn gone(&self) -> impl Iterator<Item = &Gone> {
        self.gone.iter().filter(|gone| gone.at + SHOWN >= self.now)
    }

    /// From whom a process was adopted just now.
    pub fn adopted(&self) -> FxHashMap<ProcKey, Identity> {
        let fresh = self.adopted.iter().filter(|(at, ..)| *at + SHOWN >= self.now);
        fresh.map(|&(_, child, from)| (child, from)).collect()
    }

    /// Records that were lost.
    pub fn lost(&self) -> u64 {
        self.lost.total()
    }
}

fn keep<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() >= ENDS {
        list.pop_front();
    }
    list.push_back(one);
}
