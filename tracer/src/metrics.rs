//! Numbers for systems that watch machines: what happened since the start as counters, and what is the case now as gauges.
//!
//! Whoever reads them gets them between two steps, so they belong together. What processes and containers choose (their
//! names) makes labels; there is a bound for how many sets of labels there are ([`bounded`]).

use std::{cmp::Reverse, collections::BTreeMap, io};

use rustix::time::{ClockId, clock_gettime};

use crate::{
    change::Change,
    finding::Stage,
    history::{Outcome, Stop},
    ident::{Identity, escape},
    sink::Sink,
    step::Step,
    summary::Summary,
    time::{BootNs, Span},
    world::World,
};

mod bounded;
pub mod delivery;
pub mod family;
pub mod own;
pub mod text;

use bounded::Bounded;
use family::{Family, Histogram, Labels, Unit, Values};
use own::Own;

/// Before the names of all metrics.
pub const PREFIX: &str = "tracer";
/// Sets of labels with names that others choose, for each metric.
const MOST: usize = 500;
/// What stands for those that are too many.
const OTHERS: &str = "(others)";
/// From what a person does not notice to ten times the patience of `docker stop`.
static STOPS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 100.0];
/// From what is usual to what nobody will reap any more.
static AGES: [f64; 9] = [0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0];

/// See the module.
pub struct Metrics {
    from: BootNs,
    lost: Bounded<Lost>,
    adopted: BTreeMap<&'static str, u64>,
    found: BTreeMap<(&'static str, &'static str), u64>,
    withdrawn: BTreeMap<&'static str, u64>,
    stops: Histogram,
    wasted: Histogram,
    ages: Histogram,
    own: Own,
}

/// A signal that did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lost {
    signal: String,
    reason: &'static str,
    container: String,
}

impl bounded::Labels for Lost {
    fn others() -> Self {
        Self { signal: OTHERS.into(), reason: OTHERS, container: OTHERS.into() }
    }
}

/// Whose zombies they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    container: String,
    namespace: String,
    parent_comm: String,
}

/// How many zombies there are, and how old the oldest is.
#[derive(Default)]
struct Zombies {
    count: i64,
    oldest: Span,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            from: BootNs::ZERO,
            lost: Bounded::new(MOST),
            adopted: BTreeMap::new(),
            found: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            stops: Histogram::new(&STOPS),
            wasted: Histogram::new(&STOPS),
            ages: Histogram::new(&AGES),
            own: Own::default(),
        }
    }
}

impl Metrics {
    /// With what the tracer knows about itself.
    pub fn with_own(self, own: Own) -> Self {
        Self { own, ..self }
    }

    /// All of them. `summary` counts the same steps.
    pub fn families(&self, world: &World, summary: &Summary) -> Vec<Family> {
        let mut families = self.counted(summary);
        families.extend(self.own.families());
        families.extend(now(world));
        families
    }

    /// What happened since the start.
    fn counted(&self, summary: &Summary) -> Vec<Family> {
        let Self { from: _, lost, adopted, found, withdrawn, stops, wasted, ages, own: _ } = self;
        let by = |label, counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(&word, &count)| (labels([(label, word)]), count)).collect()
        };
        let lost = lost.counts().map(|(Lost { signal, reason, container }, count)| {
            (vec![("signal", signal), ("reason", reason.to_owned()), ("container", container)], count)
        });
        let found =
            found.iter().map(|(&(rule, severity), &count)| (labels([("rule", rule), ("severity", severity)]), count));
        let events = summary.events.iter().map(|(kind, &count)| (labels([("kind", kind.id())]), count));
        let counters = [
            ("events", "Events by kind", events.collect()),
            ("events_dropped", "Events that were lost, by the place where they were", dropped(summary).collect()),
            ("signals_lost", "Signals that the kernel dropped, or whose siginfo it dropped", lost.collect()),
            (
                "orphans_adopted",
                "Children whose parent ended, by the kind of who adopted them",
                by("adopter_class", adopted),
            ),
            ("findings", "Findings by rule", found.collect()),
            ("findings_withdrawn", "Findings that later events proved wrong", by("rule", withdrawn)),
        ];
        let counters = counters.map(|(name, help, counts)| (name, help, Unit::One, Values::Counters(counts)));
        let histograms = [
            (
                "stop",
                "From the request to stop to the end, of containers and of what had to be killed, in seconds",
                stops,
            ),
            ("stop_wasted", "How long a stop waited in vain before the kill, in seconds", wasted),
            ("zombie_age", "How long children had been zombies when they were reaped, in seconds", ages),
        ];
        let histograms =
            histograms.map(|(name, help, all)| (name, help, Unit::Seconds, Values::Histogram(all.clone())));
        let all = counters.into_iter().chain(histograms);
        all.map(|(name, help, unit, values)| Family { name, help, unit, values }).collect()
    }

    fn stopped(&mut self, stop: &Stop) {
        self.stops.observe(seconds(stop.ended - stop.asked));
        if let Outcome::Killed(wasted) = stop.outcome {
            self.wasted.observe(seconds(wasted));
        }
    }
}

impl Sink for Metrics {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        if step.event.at < self.from {
            return Ok(());
        }
        for change in step.changes {
            match change {
                Change::Signalled(sent) | Change::Taken(sent) if sent.verdict.is_loss() => {
                    let container = container(world, &sent.target);
                    self.lost.add(Lost { signal: sent.signal.to_string(), reason: sent.verdict.id(), container });
                }
                Change::Adopted { adoption, .. } => *self.adopted.entry(adoption.class.id()).or_default() += 1,
                Change::Reaped { zombie_for: Some(age), .. } => self.ages.observe(seconds(*age)),
                Change::Died { key, .. } => {
                    if let Some(stop) = Stop::of(world, *key) {
                        self.stopped(&stop);
                    }
                }
                _ => {}
            }
        }
        for finding in step.findings {
            let rule = finding.rule.name;
            match finding.stage {
                Stage::New => *self.found.entry((rule, finding.rule.severity.id())).or_default() += 1,
                Stage::Withdrawn => *self.withdrawn.entry(rule).or_default() += 1,
                Stage::Ongoing | Stage::Resolved => {}
            }
        }
        Ok(())
    }

    fn show_from(&mut self, from: BootNs) {
        self.from = from;
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _world: &World, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// What is the case now.
fn now(world: &World) -> Vec<Family> {
    let (mut counts, mut ages) = (Vec::new(), Vec::new());
    for (Owner { container, namespace, parent_comm }, Zombies { count, oldest }) in zombies(world) {
        let labels = vec![("container", container), ("namespace", namespace), ("parent_comm", parent_comm)];
        counts.push((labels.clone(), count));
        ages.push((labels, (oldest.0 / 1_000_000_000) as i64));
    }
    let is_whole = i64::from(world.is_whole());
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    let one = |value| Values::Gauges(vec![(Labels::new(), value)]);
    let all = [
        ("zombies", "Children that have ended and that nobody has reaped", Unit::One, Values::Gauges(counts)),
        ("zombie_oldest", "How long the oldest of them has been one, in seconds", Unit::Seconds, Values::Gauges(ages)),
        ("processes", "Processes that are known, zombies included", Unit::One, one(world.process_count() as i64)),
        ("pid_namespaces", "Pid namespaces", Unit::One, one(world.namespace_count() as i64)),
        ("containers", "Containers that are known", Unit::One, one(world.containers().count() as i64)),
        (
            "is_whole",
            "1 unless events were lost and the processes have not been compared with the kernel since",
            Unit::One,
            one(is_whole),
        ),
        ("cpu", "Processor time that tracer has used itself", Unit::Seconds, Values::Time(used)),
    ];
    all.map(|(name, help, unit, values)| Family { name, help, unit, values }).into()
}

fn labels<const N: usize>(all: [(&'static str, &str); N]) -> Labels {
    all.map(|(name, what)| (name, what.to_owned())).into()
}

/// By whose they are: those with most of them, and the rest as one.
fn zombies(world: &World) -> BTreeMap<Owner, Zombies> {
    let mut all = BTreeMap::<_, Zombies>::new();
    for zombie in world.processes().filter(|process| process.is_zombie()) {
        let owner = Owner {
            container: container(world, &zombie.identity()),
            namespace: zombie.pid_ns.to_string(),
            parent_comm: world.parent(zombie.key).map_or_else(String::new, |parent| escape(parent.comm.bytes())),
        };
        let age = zombie.death().map_or(Span::ZERO, |death| world.now() - zombie.owed_since(death));
        let zombies = all.entry(owner).or_default();
        zombies.count += 1;
        zombies.oldest = zombies.oldest.max(age);
    }
    if all.len() <= MOST {
        return all;
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, zombies)| Reverse(zombies.count));
    let mut others = Zombies::default();
    for (_, Zombies { count, oldest }) in all.drain(MOST - 1..) {
        others.count += count;
        others.oldest = others.oldest.max(oldest);
    }
    let names = [(); 3].map(|()| OTHERS.to_owned());
    let [container, namespace, parent_comm] = names;
    all.into_iter().chain([(Owner { container, namespace, parent_comm }, others)]).collect()
}

/// Where records were lost, and of which kind they were, if that is known.
fn dropped(summary: &Summary) -> impl Iterator<Item = (Labels, u64)> {
    summary.lost.places().map(|(place, kind, count)| (labels([("place", place), ("kind", kind)]), count))
}

/// The container of a process; empty for one of the host.
fn container(world: &World, who: &Identity) -> String {
    world.container_of(who).map_or_else(String::new, |container| escape(container.label().as_bytes()))
}

fn seconds(Span(ns): Span) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Adopter,
        story::{born, end},
    };

    /// The numbers of the lines that begin so.
    fn numbers(text: &str, name: &str) -> Vec<i64> {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn zombies_of_very_many_parents_are_all_counted_and_labels_are_bounded() {
        let mut story = crate::story::Story::new();
        // Later than the starts of all of them.
        story.snapshot(&[born(1, 0)]).wait(20_000, &[]);
        let parents = MOST as u32 + 100;
        let mut zombies = Vec::new();
        for parent in 1000..1000 + parents {
            let child = parent + 10_000;
            story.fork(born(parent, 1)).fork(born(child, parent)).exit(end(child, parent, Adopter::None));
            zombies.push((child, b'Z', parent));
        }
        story.wait(3_000, &zombies);
        let text = text::text(Metrics::default().families(story.world(), &Summary::default())).unwrap();
        let zombies = numbers(&text, "tracer_zombies{");
        assert_eq!((zombies.len(), zombies.iter().sum()), (MOST, i64::from(parents)));
        assert_eq!(numbers(&text, "tracer_zombies{container=\"(others)\""), [101]);
        assert!(numbers(&text, "tracer_zombie_oldest_seconds{").iter().all(|&age| age >= 3), "{text}");
        assert_eq!(numbers(&text, "tracer_processes "), [i64::from(parents) * 2 + 1]);
    }
}
