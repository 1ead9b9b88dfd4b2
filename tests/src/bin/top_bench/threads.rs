//! Processor time of the threads of one process, by their names.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;

/// Ticks that each name has used, in user space and in the kernel.
pub struct Threads(BTreeMap<String, u64>);

impl Threads {
    /// As it is now.
    pub fn of(pid: u32) -> Result<Self> {
        let mut ticks = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task")).context("it has ended")? {
            // A thread that has just ended is none.
            let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
            let (name, used) = line(&stat).with_context(|| format!("what the kernel says of a thread: {stat}"))?;
            *ticks.entry(name).or_default() += used;
        }
        Ok(Self(ticks))
    }

    /// What each has used since, in parts of one processor.
    pub fn since(&self, before: &Self, time: Duration) -> BTreeMap<String, f64> {
        let all = clock_ticks_per_second() as f64 * time.as_secs_f64();
        let used = |(name, &ticks): (&String, &u64)| {
            let before = before.0.get(name).copied().unwrap_or(0);
            (name.clone(), ticks.saturating_sub(before) as f64 / all)
        };
        self.0.iter().map(used).collect()
    }
}

/// Name and processor time in a line of `/proc/PID/task/TID/stat`; fields 14 and 15 of proc(5).
fn line(stat: &str) -> Option<(String, u64)> {
    let (begin, rest) = stat.rsplit_once(") ")?;
    let (_, name) = begin.split_once(" (")?;
    let ticks: Vec<u64> = rest.split(' ').skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    let [user, kernel] = ticks[..] else { return None };
    Some((name.to_owned(), user + kernel))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let stat = "7 (a) S (b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(line(stat), Some(("a) S (b".to_owned(), 300)));
        assert_eq!(line("7 (a) S 1 7"), None);
    }
}
