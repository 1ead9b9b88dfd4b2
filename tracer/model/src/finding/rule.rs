//! What a rule is, apart from its logic: its name, the severity of its findings, and what they mean.

use crate::finding::{FactDef, Severity};

/// What a rule is, for `--rule`, `tracer rules`, `tracer explain` and the documentation.
#[derive(Debug)]
pub struct RuleDef {
    /// Its stable name.
    pub name: &'static str,
    /// How urgent its findings are.
    pub severity: Severity,
    /// What it reports, in one line.
    pub summary: &'static str,
    /// What it finds lasts until it is over: it is reported again at longer and longer intervals, and when it has
    /// ended.
    pub lasts: bool,
    /// The facts of its findings.
    pub facts: &'static [FactDef],
    /// What it means, why the kernel behaves like that, how to reproduce it, what to do: Markdown.
    pub explanation: &'static str,
}
