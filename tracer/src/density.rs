//! How much happened when: signals, ends of processes and zombies per stretch of time, in bounded memory.
//!
//! The stretches ([`Bucket`]) are equally long, and as short as the memory allows: when there is no room for a later
//! one, each two neighbours become one.

use crate::{
    change::Change,
    event::EventKind,
    step::Step,
    time::{BootNs, Span},
    world::World,
};

/// How long a bucket is as long as there is room.
const SHORTEST: Span = Span::MS;

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Signals that were sent, of those in the stream: see [`StartInfo::lacks`](crate::host::StartInfo::lacks).
    pub signals: u64,
    /// Processes that ended.
    pub exits: u64,
    /// The most zombies that there were at a time.
    pub zombies: u64,
}

impl Bucket {
    /// Both together.
    fn join(self, other: Self) -> Self {
        Self {
            signals: self.signals.saturating_add(other.signals),
            exits: self.exits.saturating_add(other.exits),
            zombies: self.zombies.max(other.zombies),
        }
    }

    /// What of a bucket of that length belongs to a part of it.
    fn share(self, part: Span, width: Span) -> Self {
        let share = |n: u64| (u128::from(n) * u128::from(part.0)).div_ceil(u128::from(width.0)) as u64;
        Self { signals: share(self.signals), exits: share(self.exits), ..self }
    }

    /// Whether nothing happened and nothing was there.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The buckets of a stream, from its first event on.
#[derive(Clone, Debug)]
pub struct Density {
    /// Boot time of the first event; `None` before it.
    from: Option<BootNs>,
    /// How long each bucket is.
    width: Span,
    buckets: Vec<Bucket>,
    /// How many there are at the most.
    most: usize,
    /// Zombies at the last count.
    zombies: u64,
}

impl Density {
    /// Nothing has happened. There will be at most that many buckets, and at least half as many once it has been full.
    pub fn new(most: usize) -> Self {
        Self { from: None, width: SHORTEST, buckets: Vec::new(), most: most.max(2), zombies: 0 }
    }

    /// Counts what a step brought. Zombies are counted at ticks.
    pub fn step(&mut self, world: &World, step: &Step<'_>) {
        let at = step.event.at;
        for change in step.changes {
            match change {
                Change::Signalled(_) => self.signal(at),
                // Of others it is not known when they ended.
                Change::Died { .. } if matches!(step.event.kind, EventKind::Exit(_)) => self.exit(at),
                _ => {}
            }
        }
        if step.event.kind == EventKind::Tick {
            self.zombies(at, world.zombie_count() as u64);
        }
    }

    /// A signal was sent.
    pub fn signal(&mut self, at: BootNs) {
        let bucket = self.bucket(at);
        bucket.signals = bucket.signals.saturating_add(1);
    }

    /// A process ended.
    pub fn exit(&mut self, at: BootNs) {
        let bucket = self.bucket(at);
        bucket.exits = bucket.exits.saturating_add(1);
    }

    /// There are so many zombies from then on.
    pub fn zombies(&mut self, at: BootNs, count: u64) {
        let bucket = self.bucket(at);
        bucket.zombies = bucket.zombies.max(count);
        self.zombies = count;
    }

    /// Drops buckets that end before then.
    pub fn forget(&mut self, before: BootNs) {
        let Some(from) = self.from else { return };
        let past = (((before - from) / self.width) as usize).min(self.buckets.len());
        self.buckets.drain(..past);
        self.from = Some(from + self.width * past as u64);
        if self.buckets.is_empty() {
            (self.from, self.width) = (None, SHORTEST);
        }
    }

    /// The stretch of time that is covered; `None` if nothing has happened.
    pub fn span(&self) -> Option<(BootNs, BootNs)> {
        let from = self.from?;
        Some((from, from + self.width * self.buckets.len() as u64))
    }

    /// How long each bucket is.
    pub fn width(&self) -> Span {
        self.width
    }

    /// The buckets, from the beginning of the [span](Self::span) on.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// A stretch of time in that many equal columns. A column gets its share of a bucket that reaches beyond it, rounded
    /// up, so that nothing that happened is invisible.
    pub fn columns(&self, from: BootNs, until: BootNs, columns: usize) -> Vec<Bucket> {
        let mut out = vec![Bucket::default(); columns];
        let (Some(begin), length) = (self.from, until - from) else { return out };
        if length == Span::ZERO || columns == 0 {
            return out;
        }
        let edge = |i: usize| from + Span((u128::from(length.0) * i as u128 / columns as u128) as u64);
        for (i, column) in out.iter_mut().enumerate() {
            let (left, right) = (edge(i), edge(i + 1));
            let first = (left - begin) / self.width;
            for (bucket, n) in self.buckets.iter().skip(first as usize).zip(first..) {
                let (starts, ends) = (begin + self.width * n, begin + self.width * (n + 1));
                if starts >= right {
                    break;
                }
                let overlap = ends.min(right) - starts.max(left);
                if overlap > Span::ZERO {
                    *column = column.join(bucket.share(overlap, self.width));
                }
            }
        }
        out
    }

    /// The bucket of a moment. What comes late counts where it belongs; what is from before the first event counts
    /// with it.
    fn bucket(&mut self, at: BootNs) -> &mut Bucket {
        let from = *self.from.get_or_insert(at);
        while (at - from) / self.width >= self.most as u64 {
            self.buckets =
                self.buckets.chunks(2).map(|two| two.iter().fold(Bucket::default(), |a, &b| a.join(b))).collect();
            self.width = self.width * 2;
        }
        let place = ((at - from) / self.width) as usize;
        if place >= self.buckets.len() {
            let idle = Bucket { zombies: self.zombies, ..Bucket::default() };
            self.buckets.resize(place + 1, idle);
        }
        &mut self.buckets[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, Event, EventKind, Fork, TaskInfo},
        signal::Signal,
        story::{after_boot, born, end, kill},
    };

    const MS: Span = Span::MS;

    fn total(buckets: &[Bucket]) -> (u64, u64) {
        buckets.iter().fold((0, 0), |(signals, exits), bucket| (signals + bucket.signals, exits + bucket.exits))
    }

    #[test]
    fn neighbours_become_one_when_there_is_no_room_and_nothing_is_lost() {
        let mut density = Density::new(8);
        for ms in 0..1_000 {
            density.signal(after_boot(ms));
            if ms % 10 == 0 {
                density.exit(after_boot(ms));
            }
            assert!(density.buckets().len() <= 8);
        }
        assert_eq!((density.width(), density.span()), (128 * MS, Some((after_boot(0), after_boot(1_024)))));
        assert_eq!(total(density.buckets()), (1_000, 100));
        assert_eq!(density.buckets()[0], Bucket { signals: 128, exits: 13, zombies: 0 });
    }

    #[test]
    fn zombies_stay_until_there_are_fewer_and_the_most_of_them_count() {
        let mut density = Density::new(100);
        for (ms, zombies) in [(0, 0), (2, 7), (3, 2), (6, 0)] {
            density.zombies(after_boot(ms), zombies);
        }
        density.signal(after_boot(8));
        let zombies: Vec<_> = density.buckets().iter().map(|bucket| bucket.zombies).collect();
        // As many as there were at its beginning count for a bucket, too.
        assert_eq!(zombies, [0, 0, 7, 7, 2, 2, 2, 0, 0]);
        let columns = density.columns(after_boot(0), after_boot(8), 2);
        assert_eq!(columns.iter().map(|column| column.zombies).collect::<Vec<_>>(), [7, 2]);
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let mut density = Density::new(8);
        for ms in 0..1_000 {
            density.signal(after_boot(ms));
            density.forget(after_boot(ms.saturating_sub(5)));
        }
        // The buckets never had to be longer than the time that is kept.
        assert_eq!((density.width(), total(density.buckets())), (Span::MS, (6, 0)));
        assert_eq!(density.span(), Some((after_boot(994), after_boot(1_000))));
        density.forget(after_boot(5_000));
        assert!(density.buckets().is_empty() && density.span().is_none());
        density.signal(after_boot(5_001));
        assert_eq!(density.span(), Some((after_boot(5_001), after_boot(5_002))));
    }

    #[test]
    fn what_comes_late_or_claims_any_time_has_its_place() {
        let mut density = Density::new(4);
        for at in [after_boot(5), after_boot(1), BootNs::MAX, after_boot(6)] {
            density.signal(at);
        }
        assert!(density.buckets().len() <= 4);
        assert_eq!(total(density.buckets()), (4, 0));
        assert!(total(&density.columns(BootNs::ZERO, BootNs::MAX, 10)).0 >= 4);
    }

    #[test]
    fn columns_wider_and_narrower_than_buckets_show_all_that_happened() {
        let mut density = Density::new(1_000);
        for ms in 0..100 {
            density.signal(after_boot(500 + ms));
        }
        let (from, until) = (after_boot(500), after_boot(600));
        let wide: Vec<_> = density.columns(from, until, 4).iter().map(|column| column.signals).collect();
        assert_eq!(wide, [25; 4]);
        // A bucket in four columns is seen in each.
        let narrow: Vec<_> = density.columns(from, after_boot(502), 8).iter().map(|column| column.signals).collect();
        assert_eq!(narrow, [1; 8]);
        // Before and after the stream there is nothing.
        let around = density.columns(from - 100 * MS, until + 100 * MS, 3);
        assert_eq!(around.iter().map(|column| column.signals).collect::<Vec<_>>(), [0, 100, 0]);
        assert!(density.columns(until, from, 3).iter().all(Bucket::is_empty));
        assert!(Density::new(4).columns(from, until, 3).iter().all(Bucket::is_empty));
    }

    #[test]
    fn a_stream_is_counted_by_what_it_changes() {
        let mut detector = crate::detector::Detector::new(&crate::thresholds::Thresholds::default());
        let mut density = Density::new(100);
        let fork = |task: TaskInfo| EventKind::Fork(Box::new(Fork { task, creator: task.parent }));
        let events = [
            fork(born(2, 1)),
            fork(born(3, 2)),
            EventKind::Signal(kill(2, 3, Signal::TERM)),
            EventKind::Exit(Box::new(end(3, 2, Adopter::None))),
            EventKind::Tick,
        ];
        for (ms, kind) in (1..).zip(events) {
            let event = Event { at: after_boot(ms), cpu: 0, kind };
            let (step, world) = detector.step(&event, &[]);
            density.step(world, &step);
        }
        assert_eq!(density.span(), Some((after_boot(3), after_boot(6))));
        let [signal, exit, tick] = density.buckets() else { panic!("{density:?}") };
        assert_eq!((signal.signals, exit.exits, tick.zombies), (1, 1, 1));
    }
}
