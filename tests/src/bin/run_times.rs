//! How often the eBPF programs of one process run, and for how long. For `cargo xtask bench live`.
//!
//! `run_times PID` has the kernel keep statistics, says `counting`, and when its standard input
//! ends prints a line per program: name, runs, nanoseconds. The statistics are on only as long
//! as this process lives, so nothing has to be put back, whatever happens.

use std::io::{self, Read};

use anyhow::{Context, Result};
use aya::sys::{Stats, enable_stats};
use tracer_tests::run_times::{RunTime, names, of_process};

fn main() -> Result<()> {
    let pid: u32 =
        std::env::args().nth(1).and_then(|pid| pid.parse().ok()).context("say which process: run_times PID")?;
    let _on = enable_stats(Stats::RunTime).context("the kernel does not count what programs cost (since 5.8)")?;
    let before = of_process(pid)?;
    println!("counting");
    io::stdin().read_to_end(&mut Vec::new())?;
    let after = of_process(pid)?;
    for (id, name) in names(after.keys().copied()) {
        let RunTime { runs, ns } = after[&id].since(before.get(&id).copied().unwrap_or_default());
        println!("{name} {runs} {ns}");
    }
    Ok(())
}
