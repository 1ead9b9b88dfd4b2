//! The differential test of verdicts, as a program: prints the table of combinations, what
//! disagrees, and a closing line. The exit code is 0 only if nothing does. Needs root. With `--brief`
//! only one way of each sort is taken.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tracer_tests::verdicts::{
    judge::{self, Report},
    plan::Scope,
};

/// Disagreements that are shown in full.
const SHOWN: usize = 30;

/// Without a word for longer a virtual machine is taken for dead.
const WORD: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scope = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Scope::Whole,
        ["--brief"] => Scope::Brief,
        _ => bail!("usage: verdicts [--brief]"),
    };
    let mut told = Instant::now();
    let Report { cases, agreements, limits, disagreements, table } = judge::run(scope, |cases| {
        if told.elapsed() >= WORD {
            told = Instant::now();
            eprintln!("{cases} cases so far");
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
