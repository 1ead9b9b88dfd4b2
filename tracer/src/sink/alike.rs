//! Findings that are alike: the first are told each, of the others only how many there were, and the last.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    finding::{Detail, Finding, Stage},
    signal::Sender,
    world::World,
};

/// So many are told each.
const EACH: u64 = 3;
/// How long others are counted before they are told, in nanoseconds; each time this many times as long as
/// the time before, up to an hour.
const COUNTED: u64 = 10_000_000_000;
const LONGER: u64 = 4;
const LONGEST: u64 = 3_600_000_000_000;
/// After so long without one the next are told each again, in nanoseconds.
const FORGOTTEN: u64 = 600_000_000_000;
/// Kinds that are remembered: names are chosen by attackers.
const MOST: usize = 4096;

/// What was told, by kind.
#[derive(Debug, Default)]
pub struct Alike(BTreeMap<String, Series>);

/// Findings of one kind.
#[derive(Debug)]
struct Series {
    told: u64,
    /// When the last of them came.
    seen: u64,
    /// For how long they are counted, the next time.
    counted: u64,
    open: Option<Open>,
}

/// Those that are counted at present.
#[derive(Debug)]
struct Open {
    count: u64,
    since: u64,
    until: u64,
    last: Finding,
}

impl Alike {
    /// Whether a finding is to be told by itself; if not, it is counted.
    pub fn tells(&mut self, world: &World, finding: &Finding) -> bool {
        let Some(kind) = kind(world, finding) else { return true };
        if self.0.len() >= MOST && !self.0.contains_key(&kind) {
            return true;
        }
        let now = finding.at;
        let series = self.0.entry(kind).or_insert(Series { told: 0, seen: now, counted: COUNTED, open: None });
        series.seen = now;
        if series.told < EACH {
            series.told += 1;
            return true;
        }
        match &mut series.open {
            Some(open) => {
                open.count += 1;
                open.last = finding.brief();
            }
            None => {
                let until = now.saturating_add(series.counted);
                series.open = Some(Open { count: 1, since: finding.since, until, last: finding.brief() });
                series.counted = series.counted.saturating_mul(LONGER).min(LONGEST);
            }
        }
        false
    }

    /// Those that were counted for long enough by then, in nanoseconds of the boot-time clock: the last of
    /// each kind, since the first, and how many there were. At the end of time all that were counted.
    pub fn due(&mut self, now: u64, is_end: bool) -> Vec<(Finding, u64)> {
        let mut due = Vec::new();
        self.0.retain(|_, series| {
            if let Some(Open { count, since, last, .. }) = series.open.take_if(|open| is_end || now >= open.until) {
                due.push((Finding { at: now, since, ..last }, count));
            }
            series.open.is_some() || now.saturating_sub(series.seen) < FORGOTTEN
        });
        due.sort_by_key(|(last, _)| last.since);
        due
    }
}

/// What a finding has in common with those that are like it; `None` for one that is told by itself in any
/// case: what lasts has its own way of not being told too often.
fn kind(world: &World, finding: &Finding) -> Option<String> {
    if finding.stage != Stage::New {
        return None;
    }
    let mut kind = format!("{} {}", finding.rule.name, finding.process.comm);
    // Writing into a string cannot fail.
    let _ = match &finding.detail {
        Detail::OrphanAdopted { adopter, dead_parent, .. } => write!(kind, " {:?} {}", adopter.key, dead_parent.comm),
        Detail::IgnoredSignal { signal, .. } => write!(kind, " {:?} {signal}", finding.process.key),
        Detail::KilledBy(kill) => {
            let sender = match &kill.sender {
                Sender::Process(sender) => sender.comm.to_string(),
                _ => String::new(),
            };
            let place = world.place_of(&finding.process);
            write!(kind, " {} {} {} {sender} {place}", kill.killer.id(), kill.signal, kill.count > 1)
        }
        // One signal to several.
        Detail::NamespaceKilled { kill: Some(kill), .. } if kill.namespaces > 1 => {
            write!(kind, " {} {} {:?}", kill.killer.id(), kill.signal, kill.sender)
        }
        // One that is started again and again is the same container each time.
        Detail::NamespaceKilled { status, .. } => {
            write!(kind, " {status:?} {}", world.place_of(&finding.process))
        }
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        signal::Signal,
        story::{Story, born, end, kill},
    };

    const SECOND: u64 = 1_000_000_000;

    /// A finding about a signal that ended one of many workers.
    fn killed(comm: &str) -> (Story, Finding) {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born(10, 1)).exec(10, comm).signal(kill(2, 10, Signal::TERM));
        let status = crate::event::ExitStatus(i32::from(Signal::TERM.0));
        story.exit(crate::event::Exit { status, ..end(10, 1, crate::event::Adopter::None) }).wait(200, &[]);
        let finding = story.only();
        (story, finding)
    }

    #[test]
    fn three_are_told_and_then_how_many_more_less_and_less_often() {
        let (story, finding) = killed("worker");
        let mut alike = Alike::default();
        let (mut each, mut together) = (Vec::new(), Vec::new());
        for second in 0..100 {
            let now = second * SECOND;
            if alike.tells(story.world(), &Finding { at: now, since: now, ..finding.clone() }) {
                each.push(second);
            }
            let due = alike.due(now + SECOND / 2, false);
            together.extend(due.iter().map(|(last, count)| (last.at / SECOND, last.since / SECOND, *count)));
        }
        assert_eq!(each, [0, 1, 2]);
        assert_eq!(together, [(13, 3, 11), (54, 14, 41)]);
        let rest: Vec<_> = alike.due(100 * SECOND, true).into_iter().map(|(_, count)| count).collect();
        assert_eq!(rest, [45], "nothing is hidden at the end");
        assert!(alike.due(101 * SECOND, true).is_empty());
    }

    #[test]
    fn other_names_are_another_kind_and_a_long_silence_ends_it() {
        let mut alike = Alike::default();
        for comm in ["worker", "helper"] {
            let (story, finding) = killed(comm);
            let told = (0..5).filter(|_| alike.tells(story.world(), &finding)).count();
            assert_eq!(told, 3);
        }
        assert_eq!(alike.due(20 * SECOND, false).len(), 2);
        assert!(alike.due(700 * SECOND, false).is_empty());
        let (story, finding) = killed("worker");
        assert!(alike.tells(story.world(), &finding));
    }

    #[test]
    fn what_lasts_is_not_counted_here() {
        let mut alike = Alike::default();
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).exit(end(20, 10, crate::event::Adopter::None));
        let finding = story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]).only();
        assert!((0..10).all(|_| alike.tells(story.world(), &finding)));
    }
}
