//! What a person reads below the headline of a finding: labelled lines.

use std::borrow::Cow;

/// A line with a label: `sent by  runc (pid 4324)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A word or two, escaped.
    pub label: Cow<'static, str>,
    /// No sentence: it does not begin with a capital letter, and has no full stop. Escaped.
    pub text: String,
}

impl Note {
    /// A line.
    pub fn new(label: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into() }
    }

    /// A line, if there is anything to say.
    pub fn maybe(label: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Option<Self> {
        Some(Self::new(label, text)).filter(|note| !note.text.is_empty())
    }
}
