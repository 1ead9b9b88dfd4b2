//! The smallest part of an episode that still shows a difference (delta debugging: Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input").

use std::time::{Duration, Instant};

use anyhow::Result;

/// Leaves out what is not needed: `fails` says whether a part still shows the difference. Ends
/// early when the time is up, with the smallest part so far.
///
/// # Errors
/// What `fails` returns.
pub fn shrink(all: &[u64], time: Duration, mut fails: impl FnMut(&[u64]) -> Result<bool>) -> Result<Vec<u64>> {
    let until = Instant::now() + time;
    let mut smallest = all.to_vec();
    let mut parts = 2;
    while smallest.len() > 1 && Instant::now() < until {
        let size = smallest.len().div_ceil(parts);
        let mut is_smaller = false;
        for at in (0..smallest.len()).step_by(size) {
            if Instant::now() >= until {
                break;
            }
            let end = (at + size).min(smallest.len());
            let rest: Vec<u64> = smallest[..at].iter().chain(&smallest[end..]).copied().collect();
            if !rest.is_empty() && fails(&rest)? {
                smallest = rest;
                parts = (parts - 1).max(2);
                is_smaller = true;
                break;
            }
        }
        if !is_smaller {
            if size == 1 {
                break;
            }
            parts = (parts * 2).min(smallest.len());
        }
    }
    Ok(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_stays() {
        let all: Vec<u64> = (0..500).collect();
        let needed = [17, 18, 333];
        let mut tries = 0;
        let smallest = shrink(&all, Duration::from_secs(10), |part| {
            tries += 1;
            Ok(needed.iter().all(|one| part.contains(one)))
        });
        assert_eq!(smallest.unwrap(), needed);
        assert!(tries < 200, "{tries} tries");
    }

    #[test]
    fn what_cannot_be_shown_again_stays_whole() {
        assert_eq!(shrink(&[1, 2, 3], Duration::from_secs(10), |_| Ok(false)).unwrap(), [1, 2, 3]);
    }
}
