//! What was recorded: where, when, how much of it, and what is missing.

use super::About;
use crate::{
    console::style::count,
    history::History,
    host::StartInfo,
    ident::{Args, escape, quote, tame},
    kind::Kind,
    sink::text::kinds_lost,
    summary::{Summary, seconds},
};

/// A labelled line.
pub struct Fact {
    pub label: &'static str,
    pub text: String,
    /// It says that something is missing.
    pub is_warning: bool,
}

impl Fact {
    fn new(label: &'static str, text: impl Into<String>) -> Self {
        Self { label, text: text.into(), is_warning: false }
    }

    fn warning(label: &'static str, text: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::new(label, text) }
    }
}

/// All of them.
pub fn of(history: &History, about: &About<'_>) -> Vec<Fact> {
    let About { file, start, complaints, clock } = about;
    let StartInfo { version, kernel, host, degraded, arguments, .. } = start;
    let Summary { began, ended_at, duration_ns, signals_seen, lost, walks_cut, unwritten: _, .. } = &history.summary;
    let mut facts = vec![
        Fact::new("file", file),
        Fact::new("host", format!("{}, Linux {}", quote(host), quote(kernel))),
        Fact::new("from", clock.date(*began)),
        Fact::new("to", format!("{} ({})", clock.date(*ended_at), seconds(*duration_ns))),
        Fact::new("recorded by", format!("tracer {}: {}", quote(version), Args::of(arguments))),
        Fact::new(
            "seen",
            format!(
                "{}, {} generated on the machine",
                count(history.lives.seen(), "process"),
                count(*signals_seen, "signal")
            ),
        ),
    ];
    facts.push(if lost.total() == 0 {
        Fact::new("lost", "nothing")
    } else {
        Fact::warning("lost", format!("{} ({})", count(lost.total(), "record"), kinds_lost(lost)))
    });
    if *walks_cut > 0 {
        facts.push(Fact::warning("cut", format!("{} over threads or ancestors cut short", count(*walks_cut, "walk"))));
    }
    if start.lacks(&[Kind::Signal]) {
        facts.push(Fact::warning("signals", "only those were recorded that findings can depend on"));
    }
    let sentences = complaints.iter().map(|sentence| ("damaged", tame(sentence)));
    let limits = degraded.iter().map(|sentence| ("limited", escape(sentence.as_bytes())));
    let limits = limits.chain(history.limits.iter().map(|sentence| ("limited", sentence.clone())));
    facts.extend(sentences.chain(limits).map(|(label, text)| Fact::warning(label, text)));
    facts
}
