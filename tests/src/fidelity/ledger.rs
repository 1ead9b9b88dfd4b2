//! The counts of records: what came and what was said to be lost are together what the world that
//! loses nothing was told.

use anyhow::Result;
use tracer_common::RecordKind;

use super::{follower::Follower, truth::Truth};

/// What tracepoints tell, in every world alike. The exact hooks are not the same everywhere; and of an
/// exit each world's program finds out for itself whether that thread was the last one, which of two
/// that exit together one program may answer otherwise than the next.
const KINDS: [(&str, RecordKind); 6] = [
    ("fork", RecordKind::New),
    ("exec", RecordKind::Exec),
    ("release", RecordKind::Free),
    ("signal", RecordKind::Signal),
    ("delivery", RecordKind::Deliver),
    ("rename", RecordKind::Rename),
];

type Counts = [u64; KINDS.len()];

/// How often the worlds are asked until nothing happens in between: others live on this machine too.
const TRIES: u32 = 50;

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    /// By how much each world is behind the witness: it was there first. And how many programs the
    /// kernel had skipped by then.
    behind: Option<(Vec<Counts>, u64)>,
}

fn counts(follower: &Follower) -> Counts {
    KINDS.map(|(_, kind)| follower.watch.told[kind as usize])
}

fn missed(followers: &[Follower]) -> u64 {
    followers.iter().map(|follower| follower.watch.missed).sum()
}

/// By how much the others are behind the first, at a moment at which nothing happens.
fn behind(followers: &mut [Follower], truth: &mut Truth) -> Result<Option<Vec<Counts>>> {
    for _ in 0..TRIES {
        let [witness, others @ ..] = &mut *followers else { return Ok(None) };
        witness.catch_up(truth)?;
        let before = counts(witness);
        for other in &mut *others {
            other.catch_up(truth)?;
        }
        witness.catch_up(truth)?;
        if counts(witness) == before {
            let behind = |other: &Follower| {
                let mut behind = before;
                for (behind, told) in behind.iter_mut().zip(counts(other)) {
                    *behind = behind.wrapping_sub(told);
                }
                behind
            };
            return Ok(Some(others.iter().map(behind).collect()));
        }
    }
    Ok(None)
}

impl Ledger {
    /// Begins to count, where the first of them is a witness of what the others lose.
    ///
    /// # Errors
    /// If the kernel side cannot be read.
    pub fn open(followers: &mut [Follower], truth: &mut Truth) -> Result<Self> {
        let is_losing = followers.iter().any(|follower| follower.watch.is_losing);
        let behind = if is_losing { behind(followers, truth)? } else { None };
        Ok(Self { behind: behind.map(|behind| (behind, missed(followers))) })
    }

    /// Compares the counts, if there is a quiet moment for it; what is wrong with them.
    ///
    /// # Errors
    /// If the kernel side cannot be read.
    pub fn check(&mut self, followers: &mut [Follower], truth: &mut Truth) -> Result<Option<Result<(), String>>> {
        let Some((before, missed_before)) = &self.behind else { return Ok(None) };
        // A record may be on its way into one buffer, and not be in the other yet.
        let mut last = None;
        for _ in 0..3 {
            let Some(now) = behind(followers, truth)? else { continue };
            let missed = missed(followers);
            if missed != *missed_before {
                // Nobody can say of which kind they would have been.
                self.behind = Some((now, missed));
                return Ok(None);
            }
            if now == *before {
                return Ok(Some(Ok(())));
            }
            last = Some(now);
        }
        let Some(now) = last else { return Ok(None) };
        let mut text = String::new();
        for (follower, (before, now)) in followers[1..].iter().zip(before.iter().zip(&now)) {
            for ((kind, _), (before, now)) in KINDS.iter().zip(before.iter().zip(now)) {
                let short = now.wrapping_sub(*before) as i64;
                if short != 0 {
                    text += &format!(
                        "by {}: {short} {kind} records have neither come nor been counted as lost\n",
                        follower.name
                    );
                }
            }
        }
        Ok(Some(Err(text)))
    }
}
