//! `cargo xtask traces`: records the traces that the tests read, and that of `tracer demo`, in a booted
//! machine where nobody else is.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::{
    process::shown,
    vm::{self, Job},
    workspace::Workspace,
};

/// Its hooks are the exact ones, so that every kind of record is in the traces.
const KERNEL: &str = "6.18";
/// Seconds that all of it may take.
const AT_MOST: u64 = 900;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// That of the format, and that of `tracer demo`.
    Format,
    /// Two for each rule.
    Rules,
}

impl Which {
    fn job(self) -> Job {
        match self {
            Self::Format => Job::Script("traces", include_str!("../../tests/traces/record.sh")),
            Self::Rules => Job::Script("rules", include_str!("../../tests/traces/rules.sh")),
        }
    }
}

/// The sub-command; everything if nothing is named.
pub fn traces(which: &[Which]) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let which = if which.is_empty() { Which::value_variants() } else { which };
    let jobs: Vec<_> = which.iter().map(|which| which.job()).collect();
    let code = vm::run(&[KERNEL.to_owned()], |_| jobs.clone(), AT_MOST)?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    let log = workspace.target.join("vm").join(format!("{KERNEL}.log"));
    let console = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let traces = workspace.root.join("tests/traces");
    // The kernel may have begun the line.
    let files = console.lines().filter_map(|line| Some(line.split_once("vm: file ")?.1));
    for file in files.filter(|file| *file != "ends") {
        let to = match file {
            "demo.mcap" => workspace.root.join("tracer/src/commands/demo/demo.mcap"),
            "format.mcap" => traces.join("new.mcap"),
            "live.json" => workspace.target.join("vm/live.json"),
            file => traces.join(file),
        };
        unpack(&console, file, &to).with_context(|| format!("{file} did not come out of the machine whole"))?;
        println!("traces: {}", to.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds a file that the machine has printed.
fn unpack(console: &str, file: &str, to: &Path) -> Result<()> {
    let begin = format!("vm: file {file}\n");
    let text = console.split_once(&begin).and_then(|(_, rest)| rest.split_once("vm: file ends"));
    let (text, _) = text.context("it was not printed")?;
    let mut command = Command::new("sh");
    command.args(["-c", "base64 -d | gzip -dc"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let text = text.to_owned();
    let feed = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    feed.join().map_err(|_| anyhow::anyhow!("the thread that feeds it has panicked"))??;
    ensure!(output.status.success(), "the console has garbled it; try again");
    fs::write(to, output.stdout).with_context(|| format!("cannot write {}", to.display()))
}
