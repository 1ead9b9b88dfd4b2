//! What happened as one HTML page: what was found, who was asked to stop, and a time line and a tree to look around in. Of
//! a recording it needs nothing else; of a run that goes on it is filled again and again.
//!
//! Names on it are an attacker's. They come escaped from the model, the template escapes them once more, and the policy of
//! the page lets nothing run or load but its own script and style. What the script draws stands in one packed block.

use std::io::{self, Write};

use askama::Template;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::Compression;
use sha2::{Digest, Sha256};

use crate::{history::History, host::StartInfo, source::trace::Trace, zone};

mod clock;
mod data;
mod facts;
mod findings;
pub mod live;
mod stops;

pub use clock::Clock;

/// Everything that there is to draw; see `templates/report/`.
#[derive(Default, Template)]
#[template(path = "report/page.html")]
struct Page<'a> {
    policy: String,
    title: &'a str,
    told: Option<Told>,
    /// What makes a page live.
    live: Option<live::Frame<'a>>,
    style: &'a str,
    script: &'a str,
    data: String,
}

impl Page<'_> {
    /// Findings of one rule that can be read without a click; those of fifty containers would bury the time line.
    const UNFOLDED: usize = 5;
}

/// What the page says, as far as no script draws it.
struct Told {
    lead: Vec<findings::Sentence>,
    lead_more: u64,
    facts: Vec<facts::Fact>,
    sections: Vec<findings::Section>,
    stops: Vec<stops::Row>,
    stops_more: u64,
    left_out: Vec<String>,
    /// Nothing more can come.
    is_over: bool,
    /// It is a part of what happened.
    is_narrowed: bool,
}

impl Told {
    fn of(history: &History, about: &About<'_>, left_out: Vec<String>) -> Self {
        let sections = findings::sections(history, &about.clock);
        let (lead, lead_more) = findings::lead(&sections);
        Self {
            lead,
            lead_more,
            facts: facts::of(history, about),
            sections,
            stops: history.stops.iter().map(|stop| stops::row(history, stop, &about.clock)).collect(),
            stops_more: history.stops.more(),
            left_out,
            is_over: about.is_over,
            is_narrowed: history.is_narrowed(),
        }
    }
}

/// The looks.
const STYLE: &str = include_str!("../templates/report/page.css");

/// The script of a page: what draws, in the order of its parts, and what begins.
macro_rules! script {
    ($begin:literal) => {
        concat!(
            "\"use strict\";\n",
            include_str!("../templates/report/data.js"),
            include_str!("../templates/report/view.js"),
            include_str!("../templates/report/draw.js"),
            include_str!("../templates/report/timeline.js"),
            include_str!("../templates/report/tree.js"),
            include_str!("../templates/report/drawings.js"),
            include_str!(concat!("../templates/report/", $begin)),
        )
    };
}

/// That of a recording.
const SCRIPT: &str = script!("main.js");

/// That of a run that goes on.
const LIVE_SCRIPT: &str = script!("live.js");

/// What the page says of the recording itself.
pub struct About<'a> {
    /// The file, as a person calls it.
    pub file: String,
    /// How it was recorded.
    pub start: &'a StartInfo,
    /// What is wrong with the file, a sentence each.
    pub complaints: Vec<String>,
    /// How times of day are written.
    pub clock: Clock,
    /// Nothing more can come.
    pub is_over: bool,
}

impl<'a> About<'a> {
    /// A recording that has been played to its end, by that name.
    pub fn new(file: String, trace: &'a Trace, history: &History) -> Self {
        let start = trace.start();
        let clock = Clock::new(&zone::local(), start.wall_offset_ns, history.summary.began);
        Self { file, start, complaints: trace.end().sentences(), clock, is_over: true }
    }
}

/// Writes the page. The history is thinned until it fits.
///
/// # Errors
/// Only from writing.
pub fn write(out: &mut impl Write, history: &mut History, about: &About<'_>) -> io::Result<()> {
    let data = data::packed(history, about, Compression::best())?;
    let page = Page {
        policy: policy(SCRIPT, ""),
        title: &about.file,
        told: Some(Told::of(history, about, data.left_out)),
        live: None,
        style: STYLE,
        script: SCRIPT,
        data: data.packed,
    };
    page.write_into(out)
}

/// Nothing may load, and nothing may run but what this program has put there.
fn policy(script: &str, more: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (hash(STYLE), hash(script));
    format!("default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'{more}")
}
