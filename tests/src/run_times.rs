//! How often the eBPF programs of a process have run, and for how long: what the kernel says in
//! `/proc/PID/fdinfo` while somebody has it count (`BPF_ENABLE_STATS`, since 5.8).

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use aya::programs::loaded_programs;
use tracer::source::load::HOOKS;

/// Of one program, since it was loaded and while somebody counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTime {
    /// Runs.
    pub runs: u64,
    /// Nanoseconds, all runs together.
    pub ns: u64,
}

impl RunTime {
    /// What has been added since an earlier look.
    pub fn since(self, before: Self) -> Self {
        Self { runs: self.runs - before.runs, ns: self.ns - before.ns }
    }
}

/// By program id, of those that the process holds.
///
/// # Errors
/// If there is no such process, or its descriptors cannot be read.
pub fn of_process(pid: u32) -> Result<BTreeMap<u32, RunTime>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut run_times = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(file?.path()) else { continue };
        let field = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        if let (Some(id), Some(runs), Some(ns)) = (field("prog_id"), field("run_cnt"), field("run_time_ns")) {
            run_times.insert(u32::try_from(id)?, RunTime { runs, ns });
        }
    }
    Ok(run_times)
}

/// The names of these programs.
pub fn names(ids: impl IntoIterator<Item = u32>) -> BTreeMap<u32, String> {
    let loaded: BTreeMap<u32, String> = loaded_programs()
        .flatten()
        .map(|program| (program.id(), String::from_utf8_lossy(program.name()).into_owned()))
        .collect();
    let mut full_names: Vec<&str> = HOOKS.to_vec();
    let named = ids.into_iter().filter_map(|id| {
        let name = loaded.get(&id)?;
        // The kernel keeps 15 bytes of a name. Ids are in the order of loading, as the hooks are.
        let full = full_names.iter().position(|full| full.starts_with(name)).map(|i| full_names.remove(i));
        Some((id, full.unwrap_or(name).to_owned()))
    });
    named.collect()
}
