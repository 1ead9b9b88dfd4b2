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
    let About { file, start, complaints, clock, is_over } = about;
    let StartInfo { version, kernel, host, degraded, arguments, .. } = start;
    let Summary { began, ended_at, duration_ns, signals_seen, lost, walks_cut, unwritten: _, .. } = &history.summary;
    let is_file = !history.is_of_late();
    let signals = count(*signals_seen, "signal");
    // The kernel's own count comes with the end.
    let signals = if *is_over {
        format!("{signals} generated on the machine")
    } else {
        format!("{signals} in the stream so far")
    };
    let mut facts = vec![
        Fact::new("host", format!("{}, Linux {}", quote(host), quote(kernel))),
        Fact::new("from", clock.date(*began)),
        Fact::new("to", format!("{} ({})", clock.date(*ended_at), seconds(*duration_ns))),
        Fact::new(
            if is_file { "recorded by" } else { "traced by" },
            format!("tracer {}: {}", quote(version), Args::of(arguments)),
        ),
        Fact::new("seen", format!("{}, {signals}", count(history.lives.seen(), "process"))),
    ];
    if is_file {
        facts.insert(0, Fact::new("file", file));
    }
    if history.is_narrowed() {
        let asked: Vec<_> = history.asked.iter().map(|words| escape(words.as_bytes())).collect();
        facts.insert(0, Fact::warning("shown", format!("only {}", asked.join(" "))));
    }
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
