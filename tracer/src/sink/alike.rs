//! Findings that are alike: the first are told each, of the others only how many there were, and the last.

use std::collections::BTreeMap;

use crate::{
    finding::{Detail, Finding, Stage},
    ident::{Comm, ContainerNo, ProcKey},
    kill::{Family, Kill},
    signal::{Sender, Signal, killer::Killer},
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
/// Kinds that are remembered: names are chosen by attackers. What is of none of them is told each.
const MOST: usize = 4096;

/// What was told, by kind.
#[derive(Debug, Default)]
pub struct Alike(BTreeMap<Kind, Series>);

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
    count: Together,
    since: u64,
    until: u64,
    last: Finding,
}

/// How many findings are told together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// Of all.
    pub count: u64,
    /// Of ends, by the signal that ended them.
    pub signals: BTreeMap<Signal, u64>,
}

impl Together {
    fn add(&mut self, finding: &Finding) {
        self.count += 1;
        if let Some(signal) = signal(finding) {
            *self.signals.entry(signal).or_default() += 1;
        }
    }
}

impl Alike {
    /// Whether a finding is to be told by itself; if not, it is counted.
    pub fn tells(&mut self, world: &World, finding: &Finding) -> bool {
        let Some(kind) = Kind::of(world, finding) else { return true };
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
                open.count.add(finding);
                open.last = finding.brief();
            }
            None => {
                let until = now.saturating_add(series.counted);
                let mut count = Together::default();
                count.add(finding);
                series.open = Some(Open { count, since: finding.since, until, last: finding.brief() });
                series.counted = series.counted.saturating_mul(LONGER).min(LONGEST);
            }
        }
        false
    }

    /// Those that were counted for long enough by then, in nanoseconds of the boot-time clock: the last of
    /// each kind, since the first, and how many there were. At the end of time all that were counted.
    pub fn due(&mut self, now: u64, is_end: bool) -> Vec<(Finding, Together)> {
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

/// What a finding has in common with those that are like it. Names are chosen by whoever wants to, so whose the
/// processes are is part of it: what one user stages stands for nothing that concerns another, or a container.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Orphans that one process adopts.
    Adopted { orphan: Comm, dead_parent: Comm, family: Family, adopter: ProcKey },
    /// Signals that one pid 1 does not get.
    Ignored { init: ProcKey, signal: Signal, reason: &'static str, sender: Option<(Comm, Family)> },
    /// Ends by whatever signal.
    Killed { killer: Killer, victim: Comm, family: Family, sender: Option<(Comm, Option<Family>)>, is_many: bool },
    /// Ends of several namespaces by one signal.
    EndedTogether { killer: Killer, signal: Signal, sender: ProcKey },
    /// Ends of one container, which is started again and again.
    Ended { container: ContainerNo, init: Comm, status: i32, sender: Option<(Comm, Option<Family>)> },
}

impl Kind {
    /// `None` for a finding that is told by itself in any case: what lasts has its own way of not being told
    /// too often.
    fn of(world: &World, finding: &Finding) -> Option<Self> {
        if finding.stage != Stage::New {
            return None;
        }
        let process = &finding.process;
        let killer = |kill: &Kill| match &kill.sender {
            Sender::Process(sender) => Some((sender.comm, kill.sender_family)),
            Sender::Kernel(_) | Sender::Unknown => None,
        };
        match &finding.detail {
            Detail::OrphanAdopted { adopter, dead_parent, .. } => Some(Self::Adopted {
                orphan: process.comm,
                dead_parent: dead_parent.comm,
                family: world.family_of(process, &[]),
                adopter: adopter.key,
            }),
            Detail::IgnoredSignal { signal, sender, reason, .. } => Some(Self::Ignored {
                init: process.key,
                signal: *signal,
                reason,
                sender: match sender {
                    Sender::Process(sender) => Some((sender.comm, world.family_of(sender, &[]))),
                    Sender::Kernel(_) | Sender::Unknown => None,
                },
            }),
            Detail::KilledBy(kill) => Some(Self::Killed {
                killer: kill.killer,
                victim: process.comm,
                family: kill.family,
                sender: killer(kill),
                is_many: kill.count > 1,
            }),
            Detail::NamespaceKilled { kill: Some(kill), .. } if kill.namespaces > 1 => match &kill.sender {
                Sender::Process(sender) => {
                    Some(Self::EndedTogether { killer: kill.killer, signal: kill.signal, sender: sender.key })
                }
                Sender::Kernel(_) | Sender::Unknown => None,
            },
            // Who is in no container may be anybody's.
            Detail::NamespaceKilled { status, kill, .. } => Some(Self::Ended {
                container: process.container?,
                init: process.comm,
                status: status.0,
                sender: kill.as_ref().and_then(|kill| killer(kill)),
            }),
            _ => None,
        }
    }
}

/// The signal of an end, which may differ among those that are alike.
fn signal(finding: &Finding) -> Option<Signal> {
    match &finding.detail {
        Detail::KilledBy(kill) => Some(kill.signal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventKind,
        story::{Story, born, born_in, end, key, kill},
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
            together.extend(due.iter().map(|(last, count)| (last.at / SECOND, last.since / SECOND, count.count)));
        }
        assert_eq!(each, [0, 1, 2]);
        assert_eq!(together, [(13, 3, 11), (54, 14, 41)]);
        let rest: Vec<_> = alike.due(100 * SECOND, true).into_iter().map(|(_, count)| count.count).collect();
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
    fn ends_by_other_signals_are_told_together_and_by_which() {
        let (story, finding) = killed("worker");
        let by = |signal| {
            let Detail::KilledBy(kill) = &finding.detail else { panic!("another finding") };
            let kill = Kill { signal, ..(**kill).clone() };
            Finding { detail: Detail::KilledBy(Box::new(kill)), ..finding.clone() }
        };
        let mut alike = Alike::default();
        let told = [Signal::TERM, Signal::KILL, Signal::INT, Signal::KILL, Signal::TERM, Signal::KILL]
            .map(|signal| alike.tells(story.world(), &by(signal)));
        assert_eq!(told, [true, true, true, false, false, false]);
        let due = alike.due(0, true);
        let signals = [(Signal::KILL, 2), (Signal::TERM, 1)].into();
        assert_eq!(due[0].1, Together { count: 3, signals });
    }

    /// Three that somebody stages do not keep back what is somebody else's, whatever it is called.
    #[test]
    fn nobody_hides_what_is_of_another_family() {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born(3, 1));
        // Each of them kills its own workers.
        for (n, killer) in [2, 2, 2, 2, 3, 2].into_iter().enumerate() {
            let pid = 10 + n as u32;
            story.fork(born(pid, killer)).exec(pid, "worker").fork(born(100 + pid, killer)).exec(100 + pid, "kill");
            story.signal(kill(100 + pid, pid, Signal::TERM)).wait(1, &[]);
            let status = crate::event::ExitStatus(i32::from(Signal::TERM.0));
            story.exit(crate::event::Exit { status, ..end(pid, killer, crate::event::Adopter::None) });
            story.exit(end(100 + pid, killer, crate::event::Adopter::None)).free(100 + pid).free(pid).wait(200, &[]);
        }
        let mut alike = Alike::default();
        let ends: Vec<_> = story.found.iter().filter(|finding| finding.rule.name == "killed-by").collect();
        let told: Vec<_> = ends.iter().map(|finding| alike.tells(story.world(), finding)).collect();
        assert_eq!(told, [true, true, true, false, true, false]);
    }

    #[test]
    fn only_ends_of_one_container_are_alike() {
        let mut alike = Alike::default();
        for (id, want) in [(None, [true; 5]), (Some("a"), [true, true, true, false, false])] {
            let mut story = Story::new();
            story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
            if let Some(id) = id {
                story.event(EventKind::Contained(key(10), id.into()));
            }
            story.exit(end(10, 1, crate::event::Adopter::None));
            let status = crate::event::ExitStatus(9);
            story.exit(crate::event::Exit { status, ..end(11, 10, crate::event::Adopter::None) }).free(11).free(10);
            let finding = story.only();
            assert_eq!(finding.rule.name, "namespace-killed");
            assert_eq!([(); 5].map(|()| alike.tells(story.world(), &finding)), want);
        }
    }

    const NS: u32 = 4_026_532_500;

    #[test]
    fn what_lasts_is_not_counted_here() {
        let mut alike = Alike::default();
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).exit(end(20, 10, crate::event::Adopter::None));
        let finding = story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]).only();
        assert!((0..10).all(|_| alike.tells(story.world(), &finding)));
    }
}
