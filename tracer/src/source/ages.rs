//! How long ago the main thread of a process that has ended ran last, for those that ended before tracing began.
//!
//! The kernel keeps when a task last ran (`se.exec_start`) by the clock of the processor that it ran on
//! (`rq_clock_task()`). That clock leaves out stolen time and interrupts, so two processors can be seconds apart. So
//! the time is compared with the clock of that very processor: this thread moves there for a moment. As that clock is
//! the slower one, the result is a lower bound.
//! one, what comes out is a lower bound.

use std::{collections::BTreeMap, fs, time::Duration};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::{source::procfs::text, time::Span};

/// How many processes are asked about at a time; each costs some microseconds.
const MOST: usize = 1_024;
/// Per mille: how far the clocks of a processor and of the machine may drift apart.
const DRIFT: u64 = 1;

/// A process to ask about: its host pid, and whether all of it has ended, not only its main thread.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The host pid.
    pub pid: u32,
    /// No thread of it lives.
    pub is_whole: bool,
}

/// At least how long ago each of them ended, by host pid. Those for which this is not known are left out.
pub fn at_least(ended: &[Ended]) -> BTreeMap<u32, Span> {
    let mut by_processor: BTreeMap<usize, Vec<(u32, u64)>> = BTreeMap::new();
    for &Ended { pid, is_whole } in ended.iter().take(MOST) {
        // If another thread was the last, nothing shows when it ended.
        if is_whole && !had_one_thread(pid) {
            continue;
        }
        let known = processor(pid).zip(ran_at(&pid.to_string()));
        if let Some((processor, at)) = known {
            by_processor.entry(processor).or_default().push((pid, at));
        }
    }
    if by_processor.is_empty() {
        return BTreeMap::new();
    }
    let Ok(home) = sched_getaffinity(None) else { return BTreeMap::new() };
    let mut ages = BTreeMap::new();
    for (processor, all) in by_processor {
        let mut only = CpuSet::new();
        if processor >= CpuSet::MAX_CPU {
            continue;
        }
        only.set(processor);
        if sched_setaffinity(None, &only).is_err() || sched_getcpu() != processor {
            continue;
        }
        let Some(now) = ran_at("thread-self") else { continue };
        ages.extend(all.into_iter().map(|(pid, at)| (pid, bound(now, at))));
    }
    // It was allowed to run there before.
    _ = sched_setaffinity(None, &home);
    ages
}

fn bound(now: u64, at: u64) -> Span {
    let age = Span(now.saturating_sub(at));
    age - age / 1_000 * DRIFT
}

/// The processor that it last ran on: field 39 of `/proc/PID/stat`, whose second field, the name, can contain anything.
fn processor(pid: u32) -> Option<usize> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(end + 2..)?).ok()?;
    // The state is field 3.
    rest.split_ascii_whitespace().nth(39 - 3)?.parse().ok()
}

/// When it ran last, in nanoseconds of the clock of its processor: milliseconds with six digits behind the point.
fn ran_at(whose: &str) -> Option<u64> {
    parse_ran_at(&text(&format!("/proc/{whose}/sched")))
}

fn parse_ran_at(sched: &str) -> Option<u64> {
    let line = sched.lines().find(|line| line.starts_with("se.exec_start "))?;
    let (ms, ns) = line.rsplit_once(' ')?.1.split_once('.')?;
    let (ms, ns): (u64, u64) = (ms.parse().ok()?, (ns.len() == 6).then(|| ns.parse().ok())??);
    ms.checked_mul(1_000_000)?.checked_add(ns).filter(|&at| at > 0)
}

/// Whether all the processor time that the process has used is its main thread's.
fn had_one_thread(pid: u32) -> bool {
    let own = text(&format!("/proc/{pid}/schedstat")).split(' ').next().and_then(|ns| ns.parse().ok());
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32)).and_then(clock_gettime);
    clock.is_ok_and(|all| own == Some(Duration::from(all).as_nanos()))
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread::sleep, time::Instant};

    use super::*;

    #[test]
    fn a_zombie_is_at_least_as_old_as_said_whatever_processor_it_was_on() {
        let began = Instant::now();
        let mut child = Command::new("true").spawn().unwrap();
        // Until it is a zombie: nothing has reaped it yet.
        while text(&format!("/proc/{}/stat", child.id())).rsplit(')').next().is_some_and(|rest| !rest.starts_with(" Z"))
        {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(50));
        let ages = at_least(&[Ended { pid: child.id(), is_whole: true }]);
        let at_most = began.elapsed();
        child.wait().unwrap();
        // If the kernel does not show it, there is no answer.
        assert!(ages.values().all(|&age| Duration::from(age) <= at_most), "{ages:?} of {at_most:?}");
        assert!(ages.len() <= 1);
    }

    #[test]
    fn what_the_file_says_is_read_to_the_nanosecond() {
        let sched = "cat (1, #threads: 1)\n---\nse.exec_start                                :        658185.475190\n";
        assert_eq!(parse_ran_at(sched), Some(658_185_475_190));
        for strange in ["", "se.exec_start : x", "se.exec_start : 1", "se.exec_start : 0.000000", "se.exec_start : 1.5"]
        {
            assert_eq!(parse_ran_at(strange), None, "{strange}");
        }
    }

    #[test]
    fn clocks_that_drift_apart_make_no_age_too_long() {
        assert_eq!((bound(2_000_000, 1_000_000), bound(1, 2)), (Span(999_000), Span::ZERO));
    }
}
