//! What a rule is, apart from how it judges: its name, how urgent its findings are, and what they mean.

use crate::finding::{FactDef, Severity};

/// What a rule is, for `--rule`, `tracer rules`, `tracer explain` and the documentation.
#[derive(Debug)]
pub struct RuleDef {
    /// Its stable name.
    pub name: &'static str,
    /// How urgent its findings are.
    pub severity: Severity,
    /// What it says, in one line.
    pub summary: &'static str,
    /// What it finds goes on until it is over: it is told of again at longer and longer intervals, and
    /// when it has ended.
    pub lasts: bool,
    /// What is particular to its findings.
    pub facts: &'static [FactDef],
    /// What it means, why the kernel does so, how to see it, what to do: Markdown.
    pub explanation: &'static str,
}
