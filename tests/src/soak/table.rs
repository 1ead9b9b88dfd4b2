//! The table of a run, and its verdict.

use std::time::{Duration, Instant};

use super::{
    plant::Planted,
    usage::{Process, Usage},
};
use crate::contract::Summary;

/// One quiet moment.
pub struct Row {
    /// What the agent took until then.
    pub usage: Usage,
    /// Whether the tree was the kernel's; `None` if it could not be said.
    pub same: Result<Option<Same>, String>,
    /// How many of the planted faults were told.
    pub told: usize,
    /// What else was wrong, a sentence each.
    pub wrong: Vec<String>,
}

/// The tree was the kernel's.
pub struct Same {
    /// After that time.
    pub after: Duration,
    /// For so many processes.
    pub processes: usize,
}

/// All rows so far.
pub struct Table {
    began: Instant,
    names: Vec<&'static str>,
    usages: Vec<Usage>,
    /// How often the tree was the kernel's.
    same: usize,
    wrong: usize,
}

impl Table {
    /// Prints the head; the processes of the agent have these names.
    pub fn begin(names: Vec<&'static str>) -> Self {
        println!("RSS, descriptors and threads are those of {}", names.join(", "));
        println!(
            "{:>6} {:>20} {:>12} {:>8} {:>6} {:>11} {:>9} {:>22} {:>8} {:>6}",
            "time",
            "RSS (MiB)",
            "descriptors",
            "threads",
            "CPU",
            "events",
            "lost",
            "tree equals kernel",
            "planted",
            "wrong"
        );
        Self { began: Instant::now(), names, usages: Vec::new(), same: 0, wrong: 0 }
    }

    /// Adds a row.
    pub fn print(&mut self, row: Row) {
        let Row { usage, same, told, wrong } = row;
        let each = |of: &dyn Fn(&Process) -> String| {
            let all = usage.processes.iter().map(|process| process.as_ref().map_or("gone".to_owned(), of));
            all.collect::<Vec<_>>().join("/")
        };
        let seconds = self.began.elapsed().as_secs();
        let tree = match &same {
            Ok(Some(Same { after, processes })) => format!("{processes} after {:.1} s", after.as_secs_f64()),
            Ok(None) => "flooded by others".to_owned(),
            Err(_) => "NO".to_owned(),
        };
        println!(
            "{:>6} {:>20} {:>12} {:>8} {:>6} {:>11} {:>9} {tree:>22} {:>8} {:>6}",
            format!("{}:{:02}", seconds / 60, seconds % 60),
            each(&|process| format!("{:.1}", mebibytes(process.rss))),
            each(&|process| process.descriptors.to_string()),
            each(&|process| process.threads.to_string()),
            format!("{:.1} %", 100.0 * usage.busy.as_secs_f64() / usage.passed.as_secs_f64()),
            usage.events,
            usage.lost,
            format!("{told} of {}", Planted::COUNT),
            wrong.len(),
        );
        self.same += usize::from(matches!(same, Ok(Some(_))));
        let differences = same.err().map(|differences| format!("the tree is not the kernel's:\n  {differences}"));
        for wrong in differences.into_iter().chain(wrong) {
            println!("WRONG: {wrong}");
            self.wrong += 1;
        }
        self.usages.push(usage);
    }

    /// Prints it; true if nothing was wrong.
    pub fn verdict(&self, summary: &Summary, is_stopped: bool) -> bool {
        println!();
        let mut grown = 0;
        for (i, name) in self.names.iter().enumerate() {
            let all: Option<Vec<Process>> = self.usages.iter().map(|usage| usage.processes.get(i).copied()?).collect();
            let Some(all) = all else {
                println!("WRONG: {name} has ended, or was started anew");
                grown += 1;
                continue;
            };
            let kinds: [Kind; 3] = [
                ("KiB of RSS", |process| process.rss, RSS_VARIES),
                ("descriptors", |process| process.descriptors, 0),
                ("threads", |process| process.threads, 0),
            ];
            for (kind, of, varies) in kinds {
                let values: Vec<u64> = all.iter().map(of).collect();
                let growth = Growth::of(&values);
                let is_growing = growth.is_more_than(varies);
                grown += usize::from(is_growing);
                println!("{}{name}: {}", if is_growing { "WRONG: " } else { "" }, growth.sentence(kind));
            }
        }
        let Summary { events, lost, findings, .. } = summary;
        println!(
            "events {}, lost {}, findings {}",
            events.values().sum::<u64>(),
            lost.get("total").copied().unwrap_or_default(),
            findings.values().sum::<u64>()
        );
        let wrong = self.wrong + grown;
        let turns = self.usages.len();
        let end = if is_stopped { ", and was stopped" } else { "" };
        println!(
            "soak: {} ({turns} turns in {} s{end}; the tree was the kernel's in {})",
            if wrong == 0 { "nothing wrong".to_owned() } else { format!("{wrong} WRONG") },
            self.began.elapsed().as_secs(),
            self.same
        );
        wrong == 0 && self.same > 0
    }
}

/// What is counted of a process, how, and how far it may differ from one quiet moment to the next.
type Kind = (&'static str, fn(&Process) -> u64, u64);

/// How far memory that is there may differ from one quiet moment to the next, in KiB: what is kept of the past depends
/// on what happened in it.
const RSS_VARIES: u64 = 4 << 10;

/// How a number has changed over the turns.
#[derive(Debug, PartialEq, Eq)]
enum Growth {
    /// There were too few turns to say so.
    Unknown(u64),
    /// The least and the most of the first turns after the warm-up, and of the last ones; and the most before those.
    Known { first: (u64, u64), last: (u64, u64), before: u64 },
}

impl Growth {
    /// The first fifth of the turns is for warming up; a third of the others is compared with the last third.
    fn of(values: &[u64]) -> Self {
        let warm = &values[values.len() / 5..];
        let third = warm.len() / 3;
        let range = |part: &[u64]| Some((*part.iter().min()?, *part.iter().max()?));
        let (earlier, latest) = warm.split_at(warm.len() - third);
        match (range(&warm[..third]), range(latest), range(earlier)) {
            (Some(first), Some(last), Some((_, before))) => Self::Known { first, last, before },
            _ => Self::Unknown(values.last().copied().unwrap_or_default()),
        }
    }

    /// Whether the least at the end is more than the most after the warm-up, by more than so much, and more than ever.
    fn is_more_than(&self, varies: u64) -> bool {
        matches!(self, Self::Known { first, last, before } if last.0 > first.1 + varies && last.0 > *before)
    }

    fn sentence(&self, kind: &str) -> String {
        match self {
            Self::Unknown(now) => format!("{now} {kind}, and too few turns to tell whether they grow"),
            Self::Known { first, last, .. } if first == last => {
                format!("{} to {} {kind} all the time", first.0, first.1)
            }
            Self::Known { first, last, .. } => {
                format!("{} to {} {kind} after the warm-up, {} to {} at the end", first.0, first.1, last.0, last.1)
            }
        }
    }
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::Growth;

    #[test]
    fn what_warms_up_or_goes_to_and_fro_does_not_grow() {
        let grows = |values: &[u64]| Growth::of(values).is_more_than(0);
        assert!(grows(&[5, 5, 6, 7, 8, 9, 10, 11, 12, 13]));
        assert!(!grows(&[1, 5, 9, 9, 9, 9, 9, 9, 9, 9]));
        assert!(!grows(&[9, 9, 7, 9, 8, 9, 7, 9, 8, 9]));
        assert!(!grows(&[50, 50, 49, 49, 49, 50, 50, 49, 50, 50]));
        assert!(!grows(&[5, 9]) && !grows(&[]));
        assert!(!Growth::of(&[10, 10, 11, 12, 13, 14]).is_more_than(4));
    }
}
