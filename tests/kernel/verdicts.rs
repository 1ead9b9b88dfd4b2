//! Every signal, to targets in every disposition: the verdict must be what the target saw. One way of each sort; `cargo
//! xtask verdicts` takes all ways.

use std::time::{Duration, Instant};

use tracer_tests::verdicts::{
    judge::{self, Report},
    plan::Scope,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("every_signal", every_signal)]
}

/// A virtual machine that prints nothing for longer counts as dead.
const WORD: Duration = Duration::from_secs(30);

fn every_signal() {
    let mut told = Instant::now();
    let report = judge::run(Scope::Brief, |cases| {
        if told.elapsed() >= WORD {
            told = Instant::now();
            eprintln!("{cases} cases so far");
        }
    });
    let Report { cases, agreements, limits, disagreements, table: _ } =
        report.unwrap_or_else(|error| panic!("{error:#}"));
    let beyond: usize = limits.values().sum();
    eprintln!("{cases} cases: {agreements} agreements, {beyond} beyond what can be known");
    if let Some((case, what)) = disagreements.first() {
        panic!("{} of {cases} disagree; the first: {case}: {what}", disagreements.len());
    }
    assert!(cases > 15_000, "only {cases} cases were staged");
}
