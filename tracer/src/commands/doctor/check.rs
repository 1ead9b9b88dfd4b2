//! One line of the report: what was checked, and the result.

use std::{borrow::Cow, error::Error};

use serde::Serialize;

use crate::source::load::LoadError;

/// Checks that belong together.
pub(super) struct Section {
    /// What they have in common.
    pub title: &'static str,
    /// In the order in which they are read.
    pub checks: Vec<Check>,
}

/// What was checked, and the result. The fields are those of the JSON line.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "check")]
pub(super) struct Check {
    /// A stable name for scripts.
    pub name: Cow<'static, str>,
    /// The result.
    pub status: Status,
    /// What was found, in words.
    pub detail: String,
    /// What to do about it, where there is something to do.
    pub next_step: Option<String>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// Fine, or without consequence.
    Ok,
    /// Something works less well than it could, or will soon not work.
    Warn,
    /// Live tracing cannot work.
    Fail,
}

impl Check {
    /// A check that is fine.
    pub(super) fn ok(name: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, detail: detail.into(), next_step: None }
    }

    /// Something worth knowing, and what to do about it.
    pub(super) fn warn(
        name: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self { status: Status::Warn, next_step: Some(next_step.into()), ..Self::ok(name, detail) }
    }

    /// Something that prevents live tracing, and what to do about it.
    pub(super) fn fail(
        name: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self { status: Status::Fail, ..Self::warn(name, detail, next_step) }
    }

    /// A failure as the loader tells it: `what is wrong; what to do`.
    pub(super) fn failed(name: impl Into<Cow<'static, str>>, error: &LoadError) -> Self {
        let sentence = sentence(error);
        match sentence.rsplit_once("; ") {
            Some((detail, next_step)) => Self::fail(name, detail, next_step),
            None => Self { status: Status::Fail, ..Self::ok(name, sentence) },
        }
    }
}

/// An error with its root cause. A verifier's log can have a thousand lines; only the line that says why is kept.
pub(super) fn sentence(error: &LoadError) -> String {
    let root = std::iter::successors(error.source(), |&cause| cause.source()).last();
    match root {
        None => error.to_string(),
        Some(root) => format!("{error}: {}", last_useful_line(&root.to_string())),
    }
}

/// The verifier ends its log with statistics; its complaint stands above them.
fn last_useful_line(text: &str) -> &str {
    const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "max_states"];
    text.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_is_wrong_and_what_to_do_are_told_apart() {
        let error = LoadError::NoCapability { missing: "CAP_BPF".into() };
        let check = Check::failed("x", &error);
        assert_eq!(check.status, Status::Fail);
        assert_eq!(check.detail, "live tracing needs root, or the capabilities CAP_BPF");
        assert_eq!(check.next_step.as_deref(), Some("run it with sudo"));
    }

    #[test]
    fn a_verifier_log_is_one_line() {
        let log = "the BPF_PROG_LOAD syscall returned EINVAL. Verifier output: 0: R1=ctx\n1: (85) call 9\n\
                   R1 type=ctx expected=fp\nprocessed 2 insns (limit 1000000)\nverification time 8 usec\n\n";
        let error = LoadError::Other { what: "the program".into(), source: Box::new(io::Error::other(log)) };
        assert_eq!(sentence(&error), "cannot load the program: R1 type=ctx expected=fp");
        assert_eq!(last_useful_line(""), "");
    }

    #[test]
    fn the_json_line_has_all_fields() {
        let line = serde_json::to_string(&Check::ok("kernel", "6.18")).unwrap();
        assert_eq!(line, r#"{"type":"check","name":"kernel","status":"ok","detail":"6.18","next_step":null}"#);
    }
}
