//! Every signal, in every way, to targets in every disposition: what is said of it is what the
//! target saw.

use std::time::{Duration, Instant};

use tracer_tests::verdicts::judge::{self, Report};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("every_signal_in_every_way", every_signal_in_every_way)]
}

/// Without a word for longer a virtual machine is taken for dead.
const WORD: Duration = Duration::from_secs(30);

fn every_signal_in_every_way() {
    let mut told = Instant::now();
    let report = judge::run(|cases| {
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
    assert!(cases > 40_000, "only {cases} cases were staged");
}
