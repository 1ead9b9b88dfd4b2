//! One run of stress-ng, bounded in time.

use std::{
    fs::{self, File},
    os::unix::{fs::fchown, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// What stress-ng does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    /// One process queues signals to another as fast as that takes them.
    Signals,
    /// One process forks a child that exits, waits for it, and so on.
    Forks,
    /// The child executes a program first.
    Execs,
}

impl Storm {
    /// The stressor's name, which is its option too.
    pub fn stressor(self) -> &'static str {
        match self {
            Self::Signals => "sigq",
            Self::Forks => "fork",
            Self::Execs => "exec",
        }
    }

    /// What is counted.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Forks => "forks",
            Self::Execs => "execs",
        }
    }

    /// The tracepoint that fires once for each.
    pub fn tracepoint(self) -> &'static str {
        match self {
            Self::Signals => "signal_generate",
            Self::Forks | Self::Execs => "task_newtask",
        }
    }

    /// The same as perf names it.
    pub fn event(self) -> &'static str {
        match self {
            Self::Signals => "signal:signal_generate",
            Self::Forks | Self::Execs => "task:task_newtask",
        }
    }
}

/// How fast a storm was.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Operations a second.
    pub per_second: f64,
    /// Operations a second of the processor time of whoever does them, as stress-ng counts it
    /// (without the process that receives the signals): other programs disturb this much less.
    pub per_cpu_second: f64,
    /// Part of the machine's processors that other programs used just before.
    pub others: f64,
}

/// The user and group without any rights of Debian (`base-passwd`).
const NOBODY: u32 = 65534;

/// Runs a storm of so many workers for that long.
pub fn run(storm: Storm, workers: u32, seconds: u32, scratch: &Path) -> Result<Speed> {
    let stressor = storm.stressor();
    let file = scratch.join("stress-ng.yaml");
    let mut command = Command::new("stress-ng");
    command.args([
        &format!("--{stressor}"),
        &workers.to_string(),
        "--timeout",
        &format!("{seconds}s"),
        "--metrics-brief",
        "--yaml",
    ]);
    // As standard output, for someone who may not enter the scratch directory.
    let figures = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
    if storm == Storm::Execs {
        // That stressor refuses to be root's.
        fchown(&figures, Some(NOBODY), Some(NOBODY)).context("cannot give stress-ng its file")?;
        command.uid(NOBODY).gid(NOBODY).current_dir(std::env::temp_dir());
    }
    command.arg("/dev/stdout").stdin(Stdio::null()).stdout(figures).stderr(Stdio::null());
    let others = others()?;
    let mut child = command.spawn().context("cannot start stress-ng")?;
    wait(&mut child, Duration::from_secs(u64::from(seconds) + 30))?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let field = |name| field(&text, stressor, name).with_context(|| format!("stress-ng says no {name} of {stressor}"));
    Ok(Speed {
        per_second: field("bogo-ops-per-second-real-time")?,
        per_cpu_second: field("bogo-ops-per-second-usr-sys-time")?,
        others,
    })
}

/// Waits for a process of ours; one that takes too long is ended.
pub fn wait(child: &mut Child, at_most: Duration) -> Result<()> {
    let end = Instant::now() + at_most;
    loop {
        match child.try_wait().context("cannot wait for a process")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("pid {} failed ({status})", child.id()),
            None if Instant::now() > end => {
                child.kill().and_then(|()| child.wait()).context("cannot end a process")?;
                bail!("pid {} did not end within {} s and was killed", child.id(), at_most.as_secs());
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A number of one stressor in the YAML that stress-ng writes.
fn field(yaml: &str, stressor: &str, name: &str) -> Option<f64> {
    yaml.lines()
        .map(|line| line.trim().trim_start_matches("- "))
        .skip_while(|line| line.strip_prefix("stressor:").map(str::trim) != Some(stressor))
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

/// Looks for a moment what part of the processors is in use.
fn others() -> Result<f64> {
    let before = Processors::now()?;
    thread::sleep(Duration::from_millis(300));
    let after = Processors::now()?;
    Ok((after.busy - before.busy) as f64 / (after.all - before.all).max(1) as f64)
}

/// Time that all processors have spent since boot, in ticks.
struct Processors {
    busy: u64,
    all: u64,
}

impl Processors {
    fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let first = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let ticks: Vec<u64> = first.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self { busy: all - idle, all })
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    const YAML: &str = "metrics:\n    - stressor: sigq\n      bogo-ops: 7\n      user-time: 0.25\n    \
                        - stressor: fork\n      bogo-ops: 8\n      user-time: 0.5\n";

    #[test]
    fn a_figure_is_the_stressors_own() {
        assert_eq!(field(YAML, "sigq", "user-time"), Some(0.25));
        assert_eq!(field(YAML, "fork", "bogo-ops"), Some(8.0));
        assert_eq!(field(YAML, "vm", "bogo-ops"), None);
        assert_eq!(field(YAML, "fork", "system-time"), None);
    }
}
