//! Signals, each with its fate: thinned evenly where there are too many, the least telling first.

use rustc_hash::FxHashMap;

use crate::{
    change::Signalled,
    ident::ProcKey,
    signal::{KernelSender, Sender, Signal, Verdict},
    time::{BootNs, Seq},
};

/// Signals that are kept at most.
const MOST: usize = 60_000;
/// A class that has come down to this is thinned no further before the next one is.
const FEW: usize = 256;

/// A signal that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: BootNs,
    /// Which.
    pub signal: Signal,
    /// Who sent it.
    pub from: SentBy,
    /// Whom it was for.
    pub to: ProcKey,
    /// What became of it when it was sent.
    pub verdict: Verdict,
    /// When it was taken from the queue, and what became of it then, if that was recorded.
    pub taken: Option<(BootNs, Verdict)>,
    /// It is not known when it was sent: the times are those of its taking.
    pub is_sending_unknown: bool,
    /// How many of its class were sent before it.
    number: u64,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBy {
    /// A process.
    Process(ProcKey),
    /// The kernel, on its own account.
    Kernel(KernelSender),
    /// It is not known.
    Unknown,
}

impl Sent {
    fn of(at: BootNs, signalled: &Signalled) -> Self {
        let from = match &signalled.sender {
            Sender::Process(sender) => SentBy::Process(sender.key),
            Sender::Kernel(why) => SentBy::Kernel(*why),
            Sender::Unknown => SentBy::Unknown,
        };
        let Signalled { signal, target, verdict, .. } = signalled;
        let (signal, to, verdict) = (*signal, target.key, *verdict);
        Self { at, signal, from, to, verdict, taken: None, is_sending_unknown: false, number: 0 }
    }

    /// What became of it in the end.
    pub fn fate(&self) -> Verdict {
        self.taken.map_or(self.verdict, |(_, verdict)| verdict)
    }

    /// It is one of thousands that say nothing.
    pub fn is_routine(&self) -> bool {
        is_routine(self.signal, self.verdict)
    }

    fn class(&self) -> usize {
        match self.verdict {
            verdict if verdict.is_loss() => 2,
            _ => usize::from(!self.is_routine()),
        }
    }
}

/// Whether a signal is one of thousands that say nothing: by its number nobody expects an effect, or it found nobody.
pub(super) fn is_routine(signal: Signal, verdict: Verdict) -> bool {
    signal.is_ignored_by_default() || matches!(verdict, Verdict::IgnoredByDefault | Verdict::KernelThread)
}

/// Signals in the order in which they were sent, by class: routine, others, lost.
#[derive(Clone, Debug)]
pub struct Signals {
    kept: Vec<Sent>,
    /// How many there were of each class.
    seen: [u64; 3],
    /// How many of them came before those that are still of interest.
    forgotten: [u64; 3],
    /// Of each class, one of so many is kept.
    every: [u64; 3],
    /// Those that wait to be taken, by the number of the event that sent them, and their place.
    waiting: FxHashMap<Seq, usize>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { kept: Vec::new(), seen: [0; 3], forgotten: [0; 3], every: [1; 3], waiting: FxHashMap::default() }
    }
}

impl Signals {
    /// Those that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.kept.iter()
    }

    /// How many were kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none was kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there were, without those that were forgotten.
    pub fn seen(&self) -> u64 {
        self.seen.iter().sum::<u64>() - self.forgotten.iter().sum::<u64>()
    }

    /// Drops those that were sent before then, and keeps all again of a class of which none is left.
    pub(super) fn forget(&mut self, before: BootNs) {
        if self.kept.first().is_none_or(|first| first.at >= before) {
            return;
        }
        self.retain(|sent| sent.at >= before);
        for class in 0..self.seen.len() {
            let first = self.kept.iter().find(|sent| sent.class() == class).map(|sent| sent.number);
            self.forgotten[class] = first.unwrap_or(self.seen[class]);
            if first.is_none() {
                self.every[class] = 1;
            }
        }
    }

    pub(super) fn sent(&mut self, at: BootNs, signalled: &Signalled) {
        self.add(Sent::of(at, signalled), signalled.sent_seq);
    }

    pub(super) fn taken(&mut self, at: BootNs, taken: &Signalled) {
        match taken.sent_seq {
            Some(seq) => {
                if let Some(place) = self.waiting.remove(&seq) {
                    self.kept[place].taken = Some((at, taken.verdict));
                }
            }
            // What takes its course was told when it was sent; what does not is news.
            None if taken.verdict.is_loss() => self.add(Sent { is_sending_unknown: true, ..Sent::of(at, taken) }, None),
            None => {}
        }
    }

    fn add(&mut self, mut sent: Sent, seq: Option<Seq>) {
        let class = sent.class();
        sent.number = self.seen[class];
        self.seen[class] += 1;
        if sent.number.is_multiple_of(self.every[class]) {
            if let Some(seq) = seq {
                self.waiting.insert(seq, self.kept.len());
            }
            self.kept.push(sent);
        }
        if self.kept.len() > MOST {
            self.thin();
        }
    }

    /// Keeps every second one of the least telling class that has more than a few.
    pub fn thin(&mut self) {
        let mut count = [0; 3];
        self.kept.iter().for_each(|sent| count[sent.class()] += 1);
        let class = count.iter().position(|&count| count > FEW).unwrap_or(2);
        self.every[class] *= 2;
        let every = self.every[class];
        self.retain(|sent| sent.class() != class || sent.number.is_multiple_of(every));
    }

    fn retain(&mut self, is_kept: impl Fn(&Sent) -> bool) {
        // Where those are that wait: they are taken a moment later as a rule, so few are.
        let mut places = Vec::with_capacity(self.kept.len());
        let mut next = 0;
        self.kept.retain(|sent| {
            let is_kept = is_kept(sent);
            places.push(is_kept.then_some(next));
            next += usize::from(is_kept);
            is_kept
        });
        self.waiting.retain(|_, place| match places[*place] {
            Some(now) => {
                *place = now;
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::key;

    fn sent(n: u64, signal: Signal, verdict: Verdict) -> Sent {
        let from = SentBy::Process(key(2));
        Sent { at: BootNs(n), signal, from, to: key(3), verdict, taken: None, is_sending_unknown: false, number: 0 }
    }

    #[test]
    fn what_is_lost_is_kept_and_routine_is_thinned_evenly_and_counted() {
        let mut signals = Signals::default();
        for n in 0..3 * MOST as u64 {
            signals.add(sent(n, Signal::CHLD, Verdict::IgnoredByDefault), None);
            if n % 1_000 == 0 {
                signals.add(sent(n, Signal::TERM, Verdict::InitNoHandler), None);
            }
        }
        assert!(signals.len() <= MOST);
        assert_eq!(signals.seen(), 3 * MOST as u64 + 180);
        assert_eq!(signals.iter().filter(|sent| sent.verdict.is_loss()).count(), 180);
        let (first, second): (Vec<_>, Vec<_>) = signals.iter().partition(|sent| sent.at.0 < 3 * MOST as u64 / 2);
        assert!(first.len().abs_diff(second.len()) < 100, "{} {}", first.len(), second.len());
    }

    #[test]
    fn when_a_storm_is_forgotten_all_are_kept_again() {
        let mut signals = Signals::default();
        for n in 0..2 * MOST as u64 {
            signals.add(sent(n, Signal::CHLD, Verdict::IgnoredByDefault), None);
        }
        signals.forget(BootNs(10 * MOST as u64));
        assert_eq!((signals.len(), signals.seen()), (0, 0));
        for n in 0..10 {
            signals.add(sent(20 * MOST as u64 + n, Signal::CHLD, Verdict::IgnoredByDefault), None);
        }
        assert_eq!((signals.len(), signals.seen()), (10, 10));
        signals.forget(BootNs(20 * MOST as u64 + 4));
        assert_eq!((signals.len(), signals.seen()), (6, 6));
    }

    #[test]
    fn who_waits_is_found_again_after_thinning() {
        let mut signals = Signals::default();
        for n in 0..1_001 {
            signals.add(sent(n, Signal::TERM, Verdict::Queued), Some(Seq(n)));
        }
        signals.thin();
        let place = signals.waiting[&Seq(1_000)];
        assert_eq!((signals.len(), signals.kept[place].at), (501, BootNs(1_000)));
        assert!(!signals.waiting.contains_key(&Seq(999)));
    }
}
