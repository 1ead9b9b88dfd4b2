//! Interprets the lines of a console.

use std::time::Instant;

use serde_json::Value;

use super::{Job, boot::End};

/// What was heard of one kernel so far.
#[derive(Debug)]
pub struct Verdict {
    series: String,
    began: Instant,
    phase: Phase,
    doctor: Option<i32>,
    /// What is to run, and the exit code of what has.
    jobs: Vec<(&'static str, Option<i32>)>,
    /// Tests may be listed without any of them being run.
    is_list: bool,
    running: Option<String>,
    /// What the running test said of its failure, a panic's message; none if nothing was said.
    why: Vec<String>,
    /// The lines that follow belong to a panic's message.
    is_panicking: bool,
    passed: usize,
    failed: usize,
    ignored: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Boot,
    Doctor,
    Tests,
    Reports,
    Program,
}

/// What the tests are called in the script.
const TESTS: &str = "tests";

impl Verdict {
    /// Nothing was heard, and these are to run.
    pub fn new(series: &str, jobs: &[Job]) -> Self {
        let name = |job: &Job| match job {
            Job::Tests(_) => TESTS,
            Job::Program(name, _) | Job::Script(name, _) => name,
        };
        Self {
            jobs: jobs.iter().map(|job| (name(job), None)).collect(),
            is_list: jobs.iter().any(Job::is_list),
            series: series.to_owned(),
            began: Instant::now(),
            phase: Phase::Boot,
            doctor: None,
            running: None,
            why: Vec::new(),
            is_panicking: false,
            passed: 0,
            failed: 0,
            ignored: 0,
        }
    }

    /// Takes a line of the console in; what there is to be said about it.
    pub fn hear(&mut self, line: &str) -> Option<String> {
        if let Some(at) = line.find("vm: ")
            && self.own(&line[at + 4..])
        {
            let doctor = self.doctor.filter(|_| self.phase == Phase::Doctor)?;
            self.phase = Phase::Boot;
            let verdict = if doctor == 0 { "ok".to_owned() } else { format!("FAILED ({doctor})") };
            return Some(self.line("doctor", &verdict));
        }
        match self.phase {
            Phase::Boot | Phase::Reports => None,
            Phase::Doctor => {
                let (name, why) = line.trim_start().strip_prefix("FAIL")?.trim_start().split_once(' ')?;
                Some(self.line(&format!("doctor::{name}"), &format!("FAILED: {}", why.trim())))
            }
            Phase::Tests => self.test(line),
            Phase::Program => Some(self.line(line, "").trim_end().to_owned()),
        }
    }

    /// A line of init's own; false if it is none.
    fn own(&mut self, line: &str) -> bool {
        let code = |text: &str| text.trim().parse().ok();
        if line.starts_with("doctor begins") {
            self.phase = Phase::Doctor;
        } else if let Some(text) = line.strip_prefix("doctor ended with ") {
            self.doctor = code(text);
        } else if line.starts_with("tests begin") {
            self.phase = Phase::Tests;
        } else if line.starts_with("report ") || line.starts_with("file ") {
            self.phase = Phase::Reports;
        } else if line.trim_end().ends_with(" begins") {
            self.phase = Phase::Program;
        } else if let Some((name, text)) = line.split_once(" ended with ") {
            self.phase = Phase::Boot;
            if let Some((_, end)) = self.jobs.iter_mut().find(|(job, end)| *job == name && end.is_none()) {
                *end = code(text);
            }
        } else {
            return false;
        }
        true
    }

    fn test(&mut self, line: &str) -> Option<String> {
        if line.contains(" panicked at ") {
            self.is_panicking = true;
            return None;
        }
        // The kernel may have begun the line.
        let Some(json) = line.find(r#"{ "type": "test""#).or_else(|| line.find(r#"{"type":"test""#)) else {
            self.is_panicking &= !line.starts_with("note: run with `RUST_BACKTRACE");
            if self.is_panicking && !line.trim().is_empty() {
                self.why.push(line.trim_end().to_owned());
            }
            return None;
        };
        self.is_panicking = false;
        let json = &line[json..];
        let json: Value = serde_json::from_str(json).ok()?;
        let name = json["name"].as_str()?.to_owned();
        let verdict = match json["event"].as_str()? {
            "started" => {
                self.running = Some(name);
                self.why.clear();
                return None;
            }
            "ok" => {
                self.passed += 1;
                "ok".to_owned()
            }
            "ignored" => {
                self.ignored += 1;
                "ignored".to_owned()
            }
            _ => {
                self.failed += 1;
                if self.why.is_empty() { "FAILED".to_owned() } else { format!("FAILED: {}", self.why.join("\n      ")) }
            }
        };
        self.running = None;
        Some(self.line(&name, &verdict))
    }

    fn line(&self, name: &str, verdict: &str) -> String {
        format!("{:<5} {name} {verdict}", self.series)
    }

    /// The kernel's own verdict, and whether it is a good one.
    pub fn end(&self, end: &End) -> (bool, String) {
        let Self { doctor, jobs, is_list, running, passed, failed, ignored, began, .. } = self;
        let has_tests = jobs.iter().any(|(name, _)| *name == TESTS);
        // A name that no test has would make everything pass.
        let is_empty = has_tests && !is_list && passed + failed + ignored == 0;
        let bad = jobs.iter().find(|(_, code)| *code != Some(0));
        let is_passed = *end == End::Off && *doctor == Some(0) && bad.is_none() && *failed == 0 && !is_empty;
        let how = match (end, bad) {
            (End::Off, _) if is_passed => "PASSED".to_owned(),
            (End::Off, Some((name, None))) => format!("FAILED: it went off before `{name}` had ended"),
            (End::Off, Some((name, Some(code)))) if *name != TESTS => format!("FAILED: `{name}` ended with {code}"),
            (End::Off, None) if is_empty => "FAILED: no test has such a name".to_owned(),
            (End::Off, _) => "FAILED".to_owned(),
            (End::Broken(line), _) => format!("FAILED: the kernel said: {}", line.trim()),
            (End::Silent, _) => "FAILED: it hangs: no output for too long".to_owned(),
            (End::Late, _) => "FAILED: the time was up".to_owned(),
        };
        let during = running.as_ref().map(|name| format!(" during {name}")).unwrap_or_default();
        let doctor = match doctor {
            Some(0) => "ok".to_owned(),
            Some(code) => format!("failed ({code})"),
            None => "no verdict".to_owned(),
        };
        let seconds = began.elapsed().as_secs();
        let tests =
            if has_tests { format!("{passed} ok, {failed} failed, {ignored} ignored; ") } else { String::new() };
        let counts = format!("{tests}doctor: {doctor}; {seconds} s");
        (is_passed, self.line(&how, &format!("({counts}){during}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = r#"Booting
vm: doctor begins on 6.1.0
  ok    btf              type information
  FAIL  hook:x           refused (R3)
vm: doctor ended with 1
vm: tests begin
{ "type": "test", "event": "started", "name": "a::b" }
{ "type": "test", "name": "a::b", "event": "ok" }
{ "type": "test", "event": "started", "name": "a::c" }

thread 'main' (1) panicked at tests/x.rs:1:1:
it is not so
  but so
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
[    1.0] noise{ "type": "test", "name": "a::c", "event": "failed" }
{ "type": "test", "event": "started", "name": "a::d" }"#;

    fn heard(console: &str) -> (Verdict, Vec<String>) {
        let mut verdict = Verdict::new("6.1", &[Job::Tests(Vec::new())]);
        let said = console.lines().filter_map(|line| verdict.hear(line)).collect();
        (verdict, said)
    }

    #[test]
    fn each_test_and_each_complaint_has_a_line() {
        let said = heard(CONSOLE).1;
        let wanted = [
            "6.1   doctor::hook:x FAILED: refused (R3)",
            "6.1   doctor FAILED (1)",
            "6.1   a::b ok",
            "6.1   a::c FAILED: it is not so\n        but so",
        ];
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_kernel_passes_only_by_its_last_line() {
        let (verdict, _) = heard(CONSOLE);
        let (is_passed, line) = verdict.end(&End::Broken("Kernel panic - not syncing: x".to_owned()));
        assert!(!is_passed);
        assert!(line.contains("Kernel panic - not syncing: x") && line.ends_with("during a::d"), "{line}");
        assert!(!heard("vm: doctor ended with 0\nvm: tests begin").0.end(&End::Off).0);
        let one = r#"{ "type": "test", "name": "a::b", "event": "ok" }"#;
        let good = format!("vm: doctor ended with 0\nvm: tests begin\n{one}\nvm: tests ended with 0");
        assert!(heard(&good).0.end(&End::Off).0);
        assert!(!heard(&good).0.end(&End::Late).0);
        assert!(!heard("vm: doctor ended with 0\nvm: tests ended with 0").0.end(&End::Off).0, "no test was run");
    }

    #[test]
    fn programs_speak_for_themselves() {
        let jobs = [Job::Program("verifier", Vec::new())];
        let mut verdict = Verdict::new("6.1", &jobs);
        let console = "vm: doctor ended with 0\nvm: verifier begins\n12 instructions\nvm: verifier ended with 0";
        let said: Vec<_> = console.lines().filter_map(|line| verdict.hear(line)).collect();
        assert_eq!(said, ["6.1   12 instructions"]);
        assert!(verdict.end(&End::Off).0);
        let mut verdict = Verdict::new("6.1", &jobs);
        let console = console.replace("verifier ended with 0", "verifier ended with 3");
        console.lines().for_each(|line| drop(verdict.hear(line)));
        let (is_passed, line) = verdict.end(&End::Off);
        assert!(!is_passed && line.contains("`verifier` ended with 3"), "{line}");
    }
}
