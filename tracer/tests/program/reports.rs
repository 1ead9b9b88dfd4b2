//! The reports, read by parsers that were not written here.

use std::fs;

use tracer::{
    filter::Filter,
    finding::Severity,
    report::{self, Report},
    rules::RULES,
    sink::gate::{FailOn, Gate},
};

use crate::story::{endings, everything, live};

/// What was found in all stories.
fn gate(fail_on: Vec<FailOn>) -> Gate {
    let mut gate = Gate::new(Filter::default(), fail_on);
    live(&everything(), &mut [&mut gate]);
    let mut other = Gate::new(Filter::default(), Vec::new());
    live(&endings(), &mut [&mut other]);
    for finding in other.findings {
        *gate.counts.entry(finding.rule.name).or_default() += 1;
        gate.findings.push(finding);
    }
    gate
}

/// The text of a report.
fn written(kind: fn(std::path::PathBuf) -> Report, gate: &Gate) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    report::write(&kind(path.clone()), gate, "a b/run.mcap".as_ref(), &mut Vec::new()).unwrap();
    fs::read_to_string(path).unwrap()
}

#[test]
fn junit_has_a_case_for_each_finding_and_each_quiet_rule() {
    for (fail_on, least) in [(Vec::new(), Severity::Warning), (vec![FailOn::Severity(Severity::Info)], Severity::Info)]
    {
        let gate = gate(fail_on);
        let text = written(Report::Junit, &gate);
        let read = junit_parser::from_reader(text.as_bytes()).unwrap();
        let [suite] = &read.suites[..] else { panic!("{read:?}") };
        let quiet = RULES.iter().filter(|rule| !gate.counts.contains_key(rule.name)).count();
        assert_eq!(suite.cases.len(), gate.findings.len() + quiet);
        let failures = suite.cases.iter().filter(|case| case.status.is_failure()).count();
        let expected = gate.findings.iter().filter(|finding| finding.rule.severity >= least).count();
        assert_eq!((failures, suite.failures as usize), (expected, expected));
        assert!(expected > 3, "too few findings to mean something");
        for (case, finding) in suite.cases.iter().filter(|case| case.status.is_failure()).zip(sorted(&gate, least)) {
            let failure = case.status.failure_as_ref();
            assert_eq!(
                (failure.failure_type.as_str(), failure.message.as_str()),
                (finding.rule.name, &*finding.headline)
            );
        }
    }
}

/// In the order of the rules, as the report has them.
fn sorted(gate: &Gate, least: Severity) -> Vec<&tracer::finding::Finding> {
    let of = |name| gate.findings.iter().filter(move |finding| finding.rule.name == name);
    RULES.iter().filter(|rule| rule.severity >= least).flat_map(|rule| of(rule.name)).collect()
}

#[test]
fn sarif_follows_its_schema() {
    let gate = gate(Vec::new());
    let text = written(Report::Sarif, &gate);
    // Types that were made from the schema.
    let read: serde_sarif::sarif::Sarif = serde_json::from_str(&text).unwrap();
    let [run] = &read.runs[..] else { panic!("{text}") };
    let rules = run.tool.driver.rules.as_ref().unwrap();
    assert_eq!(rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), names());
    let results = run.results.as_ref().unwrap();
    assert_eq!(results.len(), gate.findings.len());
    for (result, finding) in results.iter().zip(&gate.findings) {
        let index = usize::try_from(result.rule_index.unwrap()).unwrap();
        assert_eq!((result.rule_id.as_deref(), rules[index].id.as_str()), (Some(finding.rule.name), finding.rule.name));
        let place = result.locations.as_ref().unwrap()[0].physical_location.as_ref().unwrap();
        let uri = place.artifact_location.as_ref().unwrap().uri.as_deref();
        assert_eq!(uri, Some("a%20b/run.mcap"));
    }
    // What the types of that crate do not look at: words that the schema lists.
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["version"], "2.1.0");
    for result in json["runs"][0]["results"].as_array().unwrap() {
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()), "{result}");
    }
}

fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}
