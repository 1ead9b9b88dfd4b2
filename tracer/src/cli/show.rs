//! What to show: the options that `watch` and `replay` share.

use clap::{Args, builder::TypedValueParser};

use super::word;
use crate::{filter::Options, kind::Kind};

/// What to show, live or from a recording.
#[derive(Args, Clone, Debug, Default)]
pub struct Show {
    /// Show events too: all, or those of the kinds named
    #[arg(long, value_parser = kind(), value_name = "KIND,…", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    pub events: Option<Vec<Kind>>,

    /// Report each finding by itself, not only the first three similar ones and then how many more
    #[arg(long)]
    pub each: bool,

    /// The filter.
    #[command(flatten)]
    pub filter: Options,
}

impl Show {
    /// The kinds of events to show.
    pub fn kinds(&self) -> &[Kind] {
        match self.events.as_deref() {
            None => &[],
            Some([]) => &Kind::ALL,
            Some(kinds) => kinds,
        }
    }
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    word(&Kind::ALL, Kind::id, Kind::summary)
}
