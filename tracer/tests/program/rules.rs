//! What each rule says of a situation that was recorded for it, and that it says nothing of an ordinary one
//! near by.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::Value;
use tracer::rules::RULES;

use crate::command_line::stdout;

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
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["type"] == "finding" && line["rule"] == rule).collect()
}

#[test]
fn each_fires_where_it_should() {
    let mut said = String::new();
    for rule in RULES {
        let found = findings(rule.name, "fires");
        let first = found.iter().find(|finding| finding["stage"] == "new");
        let first = first.unwrap_or_else(|| panic!("{} does not fire", rule.name));
        let [message, fix] = ["message", "fix"].map(|field| first[field].as_str().unwrap());
        writeln!(said, "{}\n  {message}\n  fix: {fix}\n", rule.name).unwrap();
    }
    insta::assert_snapshot!(said);
}

#[test]
fn each_is_quiet_where_all_is_well() {
    for rule in RULES {
        assert_eq!(findings(rule.name, "quiet"), [Value::Null; 0], "{}", rule.name);
    }
}
