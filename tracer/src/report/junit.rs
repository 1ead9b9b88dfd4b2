//! JUnit XML: a test case for each rule that found nothing, and one for each finding.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    diagnostic::plain,
    finding::{Finding, Severity},
    rules::RULES,
    sink::gate::Gate,
};

/// Writes the report.
pub fn write(out: &mut impl Write, gate: &Gate) -> io::Result<()> {
    let mut suite = TestSuite::new("tracer");
    for rule in RULES {
        let found = gate.findings.iter().filter(|finding| finding.rule.name == rule.name);
        let cases: Vec<_> = found.map(|finding| case(gate, finding)).collect();
        if cases.is_empty() {
            let mut quiet = TestCase::new(rule.name, TestCaseStatus::success());
            quiet.set_classname("tracer");
            suite.add_test_case(quiet);
        }
        suite.add_test_cases(cases);
    }
    if gate.not_kept() > 0 {
        suite.set_system_out(format!("{} more findings", gate.not_kept()));
    }
    let mut report = Report::new("tracer");
    report.add_test_suite(suite);
    report.serialize(&mut *out).map_err(io::Error::other)
}

/// A failure if `--fail-on` names it; without `--fail-on`, if it is at least a warning.
fn case(gate: &Gate, finding: &Finding) -> TestCase {
    let Finding { rule, process, headline, .. } = finding;
    let is_failure = if gate.has_fail_on() { gate.is_hit(finding) } else { rule.severity >= Severity::Warning };
    let text = format!("{}\nsee: tracer explain {}", plain(finding), rule.name);
    let status = if is_failure {
        let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
        failure.set_type(rule.name).set_message(headline.as_str()).set_description(text.as_str());
        failure
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new(format!("{}: {process}", rule.name), status);
    case.set_classname("tracer");
    if !is_failure {
        case.set_system_out(text);
    }
    case
}
