//! The options of `tracer record`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

use super::{Probes, ThresholdArgs, parse_duration, part::scope, rule};
use crate::{
    console::style,
    filter::Options,
    finding::RuleDef,
    report::Report,
    rules::{self, RULES},
    scope::Scope,
    sink::{gate::FailOn, trace::Redact},
};

/// Options of `tracer record`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer record -o run.mcap                               until Ctrl-C
  sudo tracer record -o run.mcap -- make test                  while it runs, as who called sudo
  sudo tracer record -o run.mcap --fail-on warning --report junit=tracer.xml -- make test
  sudo tracer record -o run.mcap --rotate 100MiB --keep 5      run.mcap, run.1.mcap, …
  sudo tracer record -o flight.mcap --snapshot-on unreaped-child --before 60s

Everything on the host is recorded. Filters leave out signals only, and never one that a finding
could rest on. Findings count towards --fail-on, --report and the summary if somebody of the --scope
takes part. Who else starts containers on the machine meanwhile had better choose --scope tree.

Signals to tracer (INT, TERM, HUP, QUIT, USR1, USR2) are passed on to the command, but for those that
the terminal sends, which reach it anyway, and those that come from the command itself.

Exit code: that of the command (128+N if signal N killed it, 127 if there is no such program, 126 if
it cannot be run), else 0; 3 if --fail-on was hit; 1 if the recording failed, 2 for wrong usage.")]
pub struct Record {
    /// The file, which must not exist yet; only its owner can read it: the user who called sudo
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Replace the file if it is there
    #[arg(long)]
    pub overwrite: bool,

    /// Stop recording after this time, such as 30s or 5m; the command goes on
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Stop recording at this size, such as 1GiB; the command goes on
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_size: Option<u64>,

    /// Begin a new file at this size; the last ones stay as run.1.mcap and so on, each a complete trace
    #[arg(long, value_name = "SIZE", value_parser = parse_size, conflicts_with = "snapshot_on")]
    pub rotate: Option<u64>,

    /// How many of those are kept
    #[arg(long, value_name = "N", default_value_t = 5, requires = "rotate", value_parser = clap::value_parser!(u32).range(1..=9999))]
    pub keep: u32,

    /// Write nothing until one of these rules finds something (of the --scope); then what came before, and 5 s more
    #[arg(long, value_name = "RULE,…", value_parser = rule(), value_delimiter = ',', hide_possible_values = true)]
    pub snapshot_on: Vec<&'static RuleDef>,

    /// How much of what came before is kept in memory for that, at most 64 MiB
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "snapshot_on", value_parser = parse_duration)]
    pub before: Duration,

    /// Keep this out of the file
    #[arg(long, value_enum, value_name = "WHAT")]
    pub redact: Option<Redact>,

    /// Exit with 3 on findings of these rules, or at least this urgent: info, warning or error
    #[arg(long, value_name = "RULE,…|SEVERITY", value_parser = parse_fail_on, value_delimiter = ',')]
    pub fail_on: Vec<FailOn>,

    /// Report the findings: junit=FILE, sarif=FILE, github (workflow commands on standard output)
    #[arg(long, value_name = "REPORT,…", value_parser = parse_report, value_delimiter = ',')]
    pub report: Vec<Report>,

    /// Whose findings count, if there is a command
    #[arg(long, value_parser = scope(), value_name = "WHOSE", default_value_t)]
    pub scope: Scope,

    /// How to trace.
    #[command(flatten)]
    pub probes: Probes,

    /// The command to run and record
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,

    /// Which signals to record, and which findings count.
    #[command(flatten)]
    pub filter: Options,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wanted = "give a size, such as 500KiB, 100MiB or 2GiB";
    let bytes = parse_size::Config::new().with_binary().parse_size(text).map_err(|_| wanted)?;
    if bytes < SIZE_MIN {
        Err(format!("less than {} is too little; {wanted}", style::size(SIZE_MIN)))
    } else {
        Ok(bytes)
    }
}

/// A trace of a quiet minute on a big machine.
const SIZE_MIN: u64 = 256 << 10;

fn parse_fail_on(text: &str) -> Result<FailOn, String> {
    if let Ok(severity) = text.parse() {
        return Ok(FailOn::Severity(severity));
    }
    rules::find(text).map(FailOn::Rule).ok_or_else(|| {
        let known: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        format!("no rule or severity is called {text:?}; there are info, warning, error, {}", known.join(", "))
    })
}

fn parse_report(text: &str) -> Result<Report, String> {
    match text.split_once('=') {
        None if text == "github" => Ok(Report::Github),
        Some(("junit", file)) if !file.is_empty() => Ok(Report::Junit(file.into())),
        Some(("sarif", file)) if !file.is_empty() => Ok(Report::Sarif(file.into())),
        _ => Err("there are junit=FILE, sarif=FILE and github".to_owned()),
    }
}
