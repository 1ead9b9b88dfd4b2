//! How often the eBPF programs of one process run, and for how long. For `cargo xtask bench`.
//!
//! `run_times PID` has the kernel keep statistics, says `counting`, and when its standard input
//! ends prints a line per program: name, runs, nanoseconds. The statistics are on only as long
//! as this process lives (`BPF_ENABLE_STATS`), so nothing has to be put back, whatever happens.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
};

use anyhow::{Context, Result};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use tracer::source::load::HOOKS;

fn main() -> Result<()> {
    let pid: u32 =
        std::env::args().nth(1).and_then(|pid| pid.parse().ok()).context("say which process: run_times PID")?;
    let _on = enable_stats(Stats::RunTime).context("the kernel does not count what programs cost (since 5.8)")?;
    let before = counts(pid)?;
    println!("counting");
    io::stdin().read_to_end(&mut Vec::new())?;
    let after = counts(pid)?;
    let names: BTreeMap<u32, String> = loaded_programs()
        .flatten()
        .map(|program| (program.id(), String::from_utf8_lossy(program.name()).into_owned()))
        .collect();
    let mut full_names: Vec<&str> = HOOKS.to_vec();
    for (id, Counts { runs, ns }) in after {
        let Counts { runs: runs_before, ns: ns_before } = before.get(&id).copied().unwrap_or_default();
        let Some(name) = names.get(&id) else { continue };
        // The kernel keeps 15 bytes of a name. Ids are in the order of loading, as the hooks are.
        let full = full_names.iter().position(|full| full.starts_with(name)).map(|i| full_names.remove(i));
        println!("{} {} {}", full.unwrap_or(name), runs - runs_before, ns - ns_before);
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Counts {
    runs: u64,
    ns: u64,
}

/// By program id: what `/proc/PID/fdinfo` says of the programs that the process holds.
fn counts(pid: u32) -> Result<BTreeMap<u32, Counts>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut counts = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(file?.path()) else { continue };
        let field = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        if let (Some(id), Some(runs), Some(ns)) = (field("prog_id"), field("run_cnt"), field("run_time_ns")) {
            counts.insert(u32::try_from(id)?, Counts { runs, ns });
        }
    }
    Ok(counts)
}
