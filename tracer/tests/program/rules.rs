//! What each rule says of a situation that was recorded for it, and that it says nothing of an ordinary one
//! near by.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::Value;
use tracer::rules::RULES;

use crate::{command_line::stdout, json};

/// A trace of the rule; `tests/traces/rules.sh` says what happens in it.
fn trace(rule: &str, kind: &str) -> String {
    let traces = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/rules");
    let trace = traces.join(format!("{rule}.{kind}.mcap"));
    assert!(trace.exists(), "there is no {}: `cargo xtask traces rules` records it", trace.display());
    trace.into_os_string().into_string().unwrap()
}

/// What the rule finds in its trace.
fn findings(rule: &str, kind: &str) -> Vec<Value> {
    let said = stdout(&["replay", &trace(rule, kind), "-o", "json"]);
    // Each line keeps the contract, and the schema with it.
    said.lines().for_each(|line| drop(json::parse(line)));
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["type"] == "finding" && line["rule"] == rule).collect()
}

/// How the first of them reads.
fn reads(rule: &str) -> String {
    let said = stdout(&["replay", &trace(rule, "fires")]);
    let first = |line: &&str| !line.contains(&format!("[{rule}] ")) || line.contains(&format!("resolved[{rule}]"));
    let mut lines = said.lines().skip_while(first);
    let headline = lines.next().unwrap_or_else(|| panic!("{rule} is not shown"));
    let rest = lines.take_while(|line| line.starts_with("  "));
    let rest: Vec<_> = rest.collect();
    // Into a pipe each is a line; alternatives to the fix have none of their own.
    let notes =
        rest.iter().take_while(|line| !line.starts_with("  fix ") && !line.starts_with("  incomplete ")).count();
    assert!(notes <= tracer::finding::MOST_NOTES, "{rule} has {notes} lines");
    // The time of day says nothing.
    let headline = headline.split_once(' ').map_or(headline, |(_, rest)| rest);
    std::iter::once(headline).chain(rest).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_fires_where_it_should() {
    let mut said = String::new();
    for rule in RULES {
        let found = findings(rule.name, "fires");
        assert!(found.iter().any(|finding| finding["stage"] == "new"), "{} does not fire", rule.name);
        for finding in &found {
            let headline = finding["headline"].as_str().unwrap();
            assert!(headline.chars().count() <= 100, "a headline fits in a line: {headline}");
        }
        writeln!(said, "{}\n", reads(rule.name)).unwrap();
    }
    insta::assert_snapshot!(said);
}

#[test]
fn each_is_quiet_where_all_is_well() {
    for rule in RULES {
        assert_eq!(findings(rule.name, "quiet"), [Value::Null; 0], "{}", rule.name);
    }
}
