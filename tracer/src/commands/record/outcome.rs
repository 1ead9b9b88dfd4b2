//! The end of a recording: what it says, its reports, and its exit code.

use std::io::{self, Write};

use crate::{
    cli::{self, Redact},
    finding::{Finding, Severity},
    report,
    sink::{
        gate::Gate,
        style::{self, BAD, CALM, DIM, WARN},
        text::kinds_lost,
    },
    summary::seconds,
};

use super::{recording::Recording, say};

/// The exit code for a finding that `--fail-on` names.
pub(in crate::commands) const HIT: u8 = 3;
/// And for a failure of the recording.
const FAILED: u8 = 1;
/// Records from which on an average means something.
const MANY: u64 = 10_000;
/// Findings that are told in full.
const TOLD: usize = 20;

/// Says what there is to say, writes the reports, and chooses the exit code.
pub fn conclude(options: &cli::Record, recording: &Recording, command: Option<u8>) -> u8 {
    let gate = recording.gate();
    // Who closed standard error does not want to read it; the exit code still counts.
    let _ = print(options, recording);
    let mut code = command.unwrap_or_default();
    if recording.failure().is_some() {
        if let Some(command) = command {
            say(&format!("the command's own exit code was {command}"));
        }
        code = FAILED;
    }
    for report in &options.report {
        if let Err(error) = report::write(report, gate, &options.output) {
            say(&format!("{error:#}"));
            code = FAILED;
        }
    }
    if gate.hits > 0 { HIT } else { code }
}

fn print(options: &cli::Record, recording: &Recording) -> io::Result<()> {
    let mut out = anstream::stderr().lock();
    let (gate, recorder) = (recording.gate(), recording.recorder());
    for finding in gate.findings.iter().filter(|finding| finding.rule.severity > Severity::Info).take(TOLD) {
        tell(&mut out, finding)?;
    }
    let (records, size) = (recorder.records(), recorder.size());
    // What a trace begins with is most of a small one.
    let each = match records {
        MANY.. => format!(", {:.1} bytes each", size as f64 / records as f64),
        _ => String::new(),
    };
    let time = seconds(gate.summary.duration_ns);
    let lost = match gate.summary.lost.total() {
        0 => "nothing lost".to_owned(),
        n => format!("{BAD}{} lost{BAD:#} ({})", style::count(n, "record"), kinds_lost(&gate.summary.lost)),
    };
    writeln!(out, "{DIM}tracer:{DIM:#} recorded {time}: {records} records{each}; {lost}")?;
    for sentence in recorder.sentences() {
        writeln!(out, "        {sentence}")?;
    }
    if recorder.left_out() > 0 {
        let signals = style::count(recorder.left_out(), "signal");
        writeln!(out, "        {signals} left out, which the filters do not show")?;
    }
    if let Some(what) = options.redact {
        let what = match what {
            Redact::Argv => "arguments",
            Redact::Names => "arguments and names",
        };
        writeln!(out, "        without {what} (--redact); what is said here and in reports is not redacted")?;
    }
    writeln!(out, "        findings: {}", counts(gate))?;
    if !options.fail_on.is_empty() {
        let hits = style::count(gate.hits, "finding");
        writeln!(out, "        --fail-on: {}", if gate.hits > 0 { format!("{BAD}{hits}{BAD:#}") } else { hits })?;
    }
    Ok(())
}

/// A finding in three lines.
fn tell(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let style = match finding.rule.severity {
        Severity::Info => CALM,
        Severity::Warning => WARN,
        Severity::Error => BAD,
    };
    let Finding { rule, message, fix, .. } = finding;
    writeln!(out, "{style}{}{style:#} {}: {message}", rule.severity, rule.name)?;
    writeln!(out, "        fix: {fix}")
}

fn counts(gate: &Gate) -> String {
    let counts: Vec<_> = gate.counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
