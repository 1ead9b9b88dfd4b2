//! The end of a recording: its summary, its reports, and its exit code.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};

use crate::{
    cli,
    console::{
        outlet::Outlet,
        stderr::{self, say},
        style::{self, BAD, DIM, Screen},
    },
    diagnostic::Diagnostic,
    finding::Severity,
    report,
    sink::{gate::Gate, text::kinds_lost, trace::Redact},
    summary::seconds,
};

use super::{recording::Recording, signals::Signals};

/// The exit code for a finding that `--fail-on` names.
pub(in crate::commands) const HIT: u8 = 3;
/// The exit code for a failure of the recording.
const FAILED: u8 = 1;
/// From how many records an average means something.
const MANY: u64 = 10_000;
/// How many findings are printed in full.
const TOLD: usize = 20;

/// Prints the summary, writes the reports, and chooses the exit code.
pub async fn conclude(options: &cli::Record, recording: &Recording, command: Option<u8>, signals: &Signals) -> u8 {
    let gate = recording.gate();
    let mut said = Vec::new();
    // Writing to memory cannot fail.
    let _ = print(&mut said, options, recording);
    stderr::print(String::from_utf8_lossy(&said).trim_end());
    let mut code = command.unwrap_or_default();
    if recording.failure().is_some() {
        if let Some(command) = command {
            say(format_args!("the command's own exit code was {command}"));
        }
        code = FAILED;
    }
    for report in &options.report {
        let mut out = Vec::new();
        let written = match report::write(report, gate, &options.output, &mut out) {
            Ok(()) => put_out(&out, signals).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            say(format_args!("{error:#}"));
            code = FAILED;
        }
    }
    if gate.hits > 0 { HIT } else { code }
}

/// Standard output. Waits for its reader until a signal asks not to.
async fn put_out(text: &[u8], signals: &Signals) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = Outlet::new(rustix::stdio::stdout(), usize::MAX, |_| String::new())?;
    let drain = out.drain();
    let written = match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => drain.end(signals.next(), false).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(0) => Ok(()),
        Ok(lines) => bail!("{} of the report were not written, as nobody read them", style::count(lines, "line")),
        // The reader closed it, and does not want more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

fn print(out: &mut impl Write, options: &cli::Record, recording: &Recording) -> io::Result<()> {
    let (gate, recorder) = (recording.gate(), recording.recorder());
    for finding in gate.findings.iter().filter(|finding| finding.rule.severity > Severity::Info).take(TOLD) {
        Diagnostic::new(finding).print(out, Screen { colour: true, ..Screen::stderr() })?;
    }
    let (records, size) = (recorder.records(), recorder.size());
    // The header is most of a small trace.
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

fn counts(gate: &Gate) -> String {
    let counts: Vec<_> = gate.counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
