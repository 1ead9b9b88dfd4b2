//! The signals and the reaped processes of one minute, counted by what they have in common: a host sends millions of
//! signals a day, and questions to many hosts are about how many there were, of which kind, and where.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{
    Source,
    place::Place,
    rows::{ProcessRow, SignalRow},
};
use crate::{
    change::{Change, Signalled},
    event::ExitStatus,
    ident::{Comm, ContainerNo, Identity, ProcKey},
    signal::{Sender, Signal},
    sink::export::{name, signed, status, table::Micros},
    time::{BootNs, Span},
    world::World,
};

/// Rows of a minute in each table: a process can choose a new name each time. What is too much is one row.
const MOST: usize = 1_024;
/// The name in that row.
const OTHERS: &str = "(others)";

/// See the module.
#[derive(Default)]
pub(super) struct Minute {
    signals: BTreeMap<SignalKey, Signals>,
    reaped: BTreeMap<ReapedKey, Reaped>,
    /// How processes ended that have not been reaped yet.
    ended: FxHashMap<ProcKey, ExitStatus>,
}

/// What signals of a row have in common. `None` as a name stands for those that are too many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SignalKey {
    signal: Signal,
    verdict: &'static str,
    is_lost: bool,
    sender: Option<[u8; 16]>,
    sender_kernel: Option<&'static str>,
    sender_container: Option<ContainerNo>,
    target: Option<[u8; 16]>,
    target_is_init: bool,
    container: Option<ContainerNo>,
}

struct Signals {
    count: u64,
    first: BootNs,
    last: BootNs,
    from: Who,
    to: Who,
}

/// One of the processes of a row, and where it lived by then.
struct Who(Option<Identity>, Place);

impl Who {
    fn new(world: &World, process: Option<&Identity>) -> Self {
        Self(process.copied(), process.map_or_else(Place::default, |process| Place::of(world, process)))
    }

    /// A name may have become known meanwhile; a container that has ended may be forgotten.
    fn place(self, world: &World) -> Place {
        let now = self.0.and_then(|process| world.container_of(&process)).map(Place::from);
        now.unwrap_or(self.1)
    }
}

/// What reaped processes of a row have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ReapedKey {
    comm: Option<[u8; 16]>,
    container: Option<ContainerNo>,
    reaper: Option<[u8; 16]>,
    status: Option<i32>,
}

struct Reaped {
    count: u64,
    zombie: Span,
    longest: Span,
    who: Who,
}

impl Minute {
    /// Counts what a step has changed.
    pub(super) fn count(&mut self, world: &World, at: BootNs, changes: &[Change]) {
        for change in changes {
            match change {
                // What was taken was counted when it was sent.
                Change::Signalled(sent) => self.sent(world, at, sent),
                Change::Taken(taken) if taken.verdict.is_loss() => self.sent(world, at, taken),
                Change::Died { key, status } => {
                    self.ended.insert(*key, *status);
                }
                Change::Reaped { identity, by, zombie_for, .. } => {
                    self.reaped(world, identity, *by, zombie_for.unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, world: &World, at: BootNs, sent: &Signalled) {
        let Signalled { signal, sender, target, verdict, .. } = sent;
        let from = if let Sender::Process(from) = sender { Some(from) } else { None };
        let key = SignalKey {
            signal: *signal,
            verdict: verdict.id(),
            is_lost: verdict.is_loss(),
            sender: from.map(|from| from.comm.0),
            sender_kernel: if let Sender::Kernel(why) = sender { Some(why.id()) } else { None },
            sender_container: from.and_then(|from| from.container),
            target: Some(target.comm.0),
            target_is_init: target.is_init_of_namespace(),
            container: target.container,
        };
        let is_full = self.signals.len() >= MOST && !self.signals.contains_key(&key);
        let (key, from, to) = if is_full {
            let key = SignalKey {
                sender: None,
                sender_container: None,
                target: None,
                target_is_init: false,
                container: None,
                ..key
            };
            (key, None, None)
        } else {
            (key, from, Some(target))
        };
        let signals = self.signals.entry(key).or_insert_with(|| {
            let (from, to) = (Who::new(world, from), Who::new(world, to));
            Signals { count: 0, first: at, last: at, from, to }
        });
        signals.count += 1;
        (signals.first, signals.last) = (signals.first.min(at), signals.last.max(at));
    }

    fn reaped(&mut self, world: &World, process: &Identity, by: Option<ProcKey>, zombie: Span) {
        let key = ReapedKey {
            comm: Some(process.comm.0),
            container: process.container,
            reaper: by.and_then(|by| world.get(by)).map(|by| by.comm.0),
            status: self.ended.remove(&process.key).map(|status| status.0),
        };
        let is_full = self.reaped.len() >= MOST && !self.reaped.contains_key(&key);
        let (key, who) = if is_full {
            (ReapedKey { comm: None, container: None, reaper: None, status: None }, None)
        } else {
            (key, Some(process))
        };
        let reaped = self.reaped.entry(key).or_insert_with(|| {
            let who = Who::new(world, who);
            Reaped { count: 0, zombie: Span::ZERO, longest: Span::ZERO, who }
        });
        reaped.count += 1;
        reaped.zombie = Span(reaped.zombie.0.saturating_add(zombie.0));
        reaped.longest = reaped.longest.max(zombie);
    }

    /// The rows of the minute that began then, and begins another one.
    pub(super) fn take(&mut self, world: &World, source: &Source, began_ns: i64) -> (Vec<SignalRow>, Vec<ProcessRow>) {
        let signals = std::mem::take(&mut self.signals).into_iter();
        let signals = signals.map(|(key, signals)| signal_row(world, source, began_ns, key, signals));
        let reaped = std::mem::take(&mut self.reaped).into_iter();
        let reaped = reaped.map(|(key, reaped)| process_row(world, source, began_ns, key, reaped));
        (signals.collect(), reaped.collect())
    }
}

fn signal_row(world: &World, source: &Source, began_ns: i64, key: SignalKey, signals: Signals) -> SignalRow {
    let Signals { count, first, last, from, to } = signals;
    let sender_comm = match (key.sender, key.sender_kernel) {
        (Some(comm), _) => Some(name(Comm(comm))),
        (None, None) if key.target.is_none() => Some(OTHERS.to_owned()),
        (None, _) => None,
    };
    let to = to.place(world);
    SignalRow {
        time: Micros(began_ns),
        time_ns: began_ns,
        first_ns: source.wall(first),
        last_ns: source.wall(last),
        host: source.host.clone(),
        boot_id: source.boot_id.clone(),
        signal: key.signal.to_string(),
        verdict: key.verdict,
        is_lost: key.is_lost,
        sender_comm,
        sender_kernel: key.sender_kernel,
        sender_container: from.place(world).container,
        target_comm: named(key.target),
        target_is_init: key.target_is_init,
        container: to.container,
        image: to.image,
        pod_namespace: to.pod_namespace,
        signals: signed(count),
    }
}

fn process_row(world: &World, source: &Source, began_ns: i64, key: ReapedKey, reaped: Reaped) -> ProcessRow {
    let Reaped { count, zombie, longest, who } = reaped;
    let place = who.place(world);
    let (status_code, status_signal) = key.status.map(|code| status(ExitStatus(code))).unwrap_or_default();
    ProcessRow {
        time: Micros(began_ns),
        time_ns: began_ns,
        host: source.host.clone(),
        boot_id: source.boot_id.clone(),
        comm: named(key.comm),
        container: place.container,
        image: place.image,
        pod_namespace: place.pod_namespace,
        reaper_comm: key.reaper.map(|comm| name(Comm(comm))),
        status_code,
        status_signal,
        processes: signed(count),
        zombie_ns: signed(zombie),
        longest_zombie_ns: signed(longest),
    }
}

fn named(comm: Option<[u8; 16]>) -> String {
    comm.map_or_else(|| OTHERS.to_owned(), |comm| name(Comm(comm)))
}
