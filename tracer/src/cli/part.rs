//! Which part of a recording: the options that `replay` and `report` share.

use clap::{Args, builder::TypedValueParser};

use super::word;
use crate::{scope::Scope, when::When};

/// When, and whose.
#[derive(Args, Clone, Copy, Debug)]
pub struct Part {
    /// Only what happened from this moment on
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<When>,

    /// Only what happened up to this moment
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub until: Option<When>,

    /// Only what happened within a second of this moment
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, conflicts_with_all = ["from", "until"])]
    pub at: Option<When>,

    /// Whose events to show, if a command was recorded: see `tracer record --help`
    #[arg(long, value_parser = scope(), value_name = "WHOSE", default_value_t)]
    pub scope: Scope,
}

/// Whose events.
pub(super) fn scope() -> impl TypedValueParser<Value = Scope> {
    word(&Scope::ALL, Scope::id, Scope::summary)
}
