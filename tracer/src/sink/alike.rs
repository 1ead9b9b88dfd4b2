//! Folding of similar findings: the first few are reported, of the others only the last and how many there were.

use std::collections::BTreeMap;

use crate::{
    finding::{Finding, Part, Role, Stage, Value},
    signal::Signal,
    time::{BootNs, Span},
};

/// How many are reported one by one.
const EACH: u64 = 3;
/// How long others are counted before they are reported; each time this many times as long as the time before, up to an
/// hour.
const COUNTED: Span = Span::seconds(10);
const LONGER: u64 = 4;
const LONGEST: Span = Span::seconds(3_600);
/// After this long without one, the next ones are reported one by one again.
const FORGOTTEN: Span = Span::seconds(600);
/// How many kinds are remembered: attackers choose names. Findings of other kinds are reported one by one.
const MOST: usize = 4096;

/// What similar findings have in common: their rule, and the parts that it declares. Anybody can choose a name, so the
/// owner of the processes is part of it: what one user stages stands for nothing about another user or a container.
type Likeness = (&'static str, Vec<Part>);

/// What was reported, by kind.
#[derive(Clone, Debug, Default)]
pub struct Alike(BTreeMap<Likeness, Series>);

/// Findings of one kind.
#[derive(Clone, Debug)]
struct Series {
    told: u64,
    /// When the last of them came.
    seen: BootNs,
    /// How long the next ones will be counted.
    counted: Span,
    open: Option<Open>,
}

/// Those being counted now.
#[derive(Clone, Debug)]
struct Open {
    count: Together,
    since: BootNs,
    until: BootNs,
    last: Finding,
}

/// How many findings are reported together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// Of all.
    pub count: u64,
    /// For ends: by the signal that ended them.
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
    /// Whether to report a finding by itself; if not, it is counted.
    pub fn tells(&mut self, finding: &Finding) -> bool {
        let Some(kind) = kind(finding) else { return true };
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
                let until = now + series.counted;
                let mut count = Together::default();
                count.add(finding);
                series.open = Some(Open { count, since: finding.since, until, last: finding.brief() });
                series.counted = (series.counted * LONGER).min(LONGEST);
            }
        }
        false
    }

    /// The kinds that were counted for long enough by then: the last finding of each, when the first was, and how many
    /// there were. At the end of time, all of them.
    pub fn due(&mut self, now: BootNs, is_end: bool) -> Vec<(Finding, Together)> {
        let mut due = Vec::new();
        self.0.retain(|_, series| {
            if let Some(Open { count, since, last, .. }) = series.open.take_if(|open| is_end || now >= open.until) {
                due.push((Finding { at: now, since, ..last }, count));
            }
            series.open.is_some() || now - series.seen < FORGOTTEN
        });
        due.sort_by_key(|(last, _)| last.since);
        due
    }
}

/// `None` for a finding that is always reported by itself: a lasting one has its own way of not repeating too often.
fn kind(finding: &Finding) -> Option<Likeness> {
    match finding.facts.own(Role::Alike)? {
        Value::Key(key) if finding.stage == Stage::New => Some((finding.rule.name, key.clone())),
        _ => None,
    }
}

/// The signal of an end, which can differ within a kind.
fn signal(finding: &Finding) -> Option<Signal> {
    if let Some(Value::Signal(signal)) = finding.facts.own(Role::FatalSignal) { Some(*signal) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventKind,
        story::{Story, after_boot, born, born_in, end, key, kill},
    };

    /// A finding about a signal that ended one of many workers.
    fn killed(comm: &str) -> Finding {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born(10, 1)).exec(10, comm).signal(kill(2, 10, Signal::TERM));
        let status = crate::event::ExitStatus(i32::from(Signal::TERM.0));
        story.exit(crate::event::Exit { status, ..end(10, 1, crate::event::Adopter::None) }).wait(200, &[]);
        story.only()
    }

    #[test]
    fn three_are_told_and_then_how_many_more_less_and_less_often() {
        let finding = killed("worker");
        let mut alike = Alike::default();
        let (mut each, mut together) = (Vec::new(), Vec::new());
        for second in 0..100 {
            let now = after_boot(second * 1_000);
            if alike.tells(&Finding { at: now, since: now, ..finding.clone() }) {
                each.push(second);
            }
            let due = alike.due(now + Span::ms(500), false);
            let second = |at: BootNs| (at - BootNs::ZERO) / Span::SECOND;
            together.extend(due.iter().map(|(last, count)| (second(last.at), second(last.since), count.count)));
        }
        assert_eq!(each, [0, 1, 2]);
        assert_eq!(together, [(13, 3, 11), (54, 14, 41)]);
        let rest: Vec<_> = alike.due(after_boot(100_000), true).into_iter().map(|(_, count)| count.count).collect();
        assert_eq!(rest, [45], "nothing is hidden at the end");
        assert!(alike.due(after_boot(101_000), true).is_empty());
    }

    #[test]
    fn other_names_are_another_kind_and_a_long_silence_ends_it() {
        let mut alike = Alike::default();
        for comm in ["worker", "helper"] {
            let finding = killed(comm);
            let told = (0..5).filter(|_| alike.tells(&finding)).count();
            assert_eq!(told, 3);
        }
        assert_eq!(alike.due(after_boot(20_000), false).len(), 2);
        assert!(alike.due(after_boot(700_000), false).is_empty());
        let finding = killed("worker");
        assert!(alike.tells(&finding));
    }

    #[test]
    fn ends_by_other_signals_are_told_together_and_by_which() {
        let finding = killed("worker");
        let by = |signal| Finding { facts: finding.facts.with("signal", Value::Signal(signal)), ..finding.clone() };
        let mut alike = Alike::default();
        let told = [Signal::TERM, Signal::KILL, Signal::INT, Signal::KILL, Signal::TERM, Signal::KILL]
            .map(|signal| alike.tells(&by(signal)));
        assert_eq!(told, [true, true, true, false, false, false]);
        let due = alike.due(BootNs::ZERO, true);
        let signals = [(Signal::KILL, 2), (Signal::TERM, 1)].into();
        assert_eq!(due[0].1, Together { count: 3, signals });
    }

    /// Three findings that somebody stages must not suppress somebody else's, whatever the names.
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
        let told: Vec<_> = ends.iter().map(|finding| alike.tells(finding)).collect();
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
            assert_eq!([(); 5].map(|()| alike.tells(&finding)), want);
        }
    }

    const NS: u32 = 4_026_532_500;

    #[test]
    fn what_lasts_is_not_counted_here() {
        let mut alike = Alike::default();
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).exit(end(20, 10, crate::event::Adopter::None));
        let finding = story.wait(3_000, &[(20, b'Z', 10), (10, b'S', 1)]).only();
        assert!((0..10).all(|_| alike.tells(&finding)));
    }
}
