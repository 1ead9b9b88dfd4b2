//! SARIF 2.1.0, the format of static analysis results that code hosts read. A finding is about a process, not a line of
//! a file, so its location is the trace.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    diagnostic::plain,
    finding::{Finding, Severity},
    rules::RULES,
    sink::gate::Gate,
    uri::uri,
    zone::timestamp,
};

/// Writes the report.
pub fn write(out: &mut impl Write, gate: &Gate, trace: &Path) -> io::Result<()> {
    let rules: Vec<_> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name,
                "shortDescription": { "text": rule.summary },
                "fullDescription": { "text": rule.summary },
                "help": { "text": rule.explanation, "markdown": rule.explanation },
                "defaultConfiguration": { "level": level(rule.severity) },
            })
        })
        .collect();
    let uri = uri(trace);
    let results: Vec<_> = gate.findings.iter().map(|finding| result(gate, finding, &uri)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "tracer", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": { "findingsNotKept": gate.not_kept() },
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log)?;
    out.write_all(b"\n")
}

fn result(gate: &Gate, finding: &Finding, uri: &str) -> Value {
    let Finding { rule, at, process, .. } = finding;
    let time = timestamp(*at, gate.wall_offset_ns);
    json!({
        "ruleId": rule.name,
        "ruleIndex": RULES.iter().position(|known| known.name == rule.name),
        "level": level(rule.severity),
        "message": { "text": plain(finding) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri } },
            "logicalLocations": [{ "name": process.comm.escaped(), "kind": "process" }],
        }],
        // The same process of the same run is the same finding, however it is worded.
        "partialFingerprints": { "process/v1": format!("{}:{}:{}", rule.name, process.key.tgid, process.key.start) },
        "properties": { "pid": process.key.tgid, "at": time.to_string() },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}
