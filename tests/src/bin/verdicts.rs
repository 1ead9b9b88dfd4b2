//! The differential test of verdicts, as a program: prints the table of combinations, what
//! disagrees, and a closing line. The exit code is 0 only if nothing does. Needs root.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use tracer_tests::verdicts::judge::{self, Report};

/// Disagreements that are shown in full.
const SHOWN: usize = 30;

fn main() -> Result<ExitCode> {
    let is_watched = std::io::stderr().is_terminal();
    let mut told = 0;
    let Report { cases, agreements, limits, disagreements, table } = judge::run(|cases| {
        if is_watched && cases >= told + 1_000 {
            told = cases;
            eprint!("\r{cases} cases");
        }
    })?;
    println!("{table}");
    for (heading, count) in &limits {
        println!("beyond what can be known: {count} cases, see docs/what-can-be-known.md, \"{heading}\"");
    }
    for (case, what) in disagreements.iter().take(SHOWN) {
        println!("DISAGREEMENT {case}: {what}");
    }
    for (case, _) in disagreements.iter().skip(SHOWN) {
        println!("DISAGREEMENT {case}");
    }
    println!(
        "{cases} cases: {agreements} agreements, {} beyond what can be known, {} disagreements",
        limits.values().sum::<usize>(),
        disagreements.len()
    );
    Ok(if disagreements.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
