//! A recording as one HTML page that needs nothing else: what was found, who was asked to stop, and a time line and a tree
//! to look around in.
//!
//! Names on it are an attacker's. They come escaped from the model, the template escapes them once more, and the policy of
//! the page lets nothing run or load but its own script and style. What the script draws stands in one packed block.

use std::io::{self, Write};

use askama::Template;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::{history::History, host::StartInfo, source::trace::Trace, world::World, zone};

mod clock;
mod data;
mod facts;
mod findings;
mod stops;

pub use clock::Clock;

/// Everything that there is to draw; see `templates/report/`.
#[derive(Template)]
#[template(path = "report/page.html")]
struct Page<'a> {
    policy: String,
    title: String,
    lead: Vec<findings::Sentence>,
    lead_more: u64,
    facts: Vec<facts::Fact>,
    sections: Vec<findings::Section>,
    stops: Vec<stops::Row>,
    stops_more: u64,
    left_out: Vec<String>,
    style: &'a str,
    script: &'a str,
    data: String,
}

/// The looks.
const STYLE: &str = include_str!("../templates/report/page.css");

/// The parts of the script, in their order.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("../templates/report/data.js"),
    include_str!("../templates/report/view.js"),
    include_str!("../templates/report/draw.js"),
    include_str!("../templates/report/timeline.js"),
    include_str!("../templates/report/tree.js"),
    include_str!("../templates/report/main.js"),
);

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
}

impl<'a> About<'a> {
    /// A recording that has been played to its end, by that name.
    pub fn new(file: String, trace: &'a Trace, history: &History) -> Self {
        let start = trace.start();
        let clock = Clock::new(&zone::local(), start.wall_offset_ns, history.summary.began);
        Self { file, start, complaints: trace.end().sentences(), clock }
    }
}

/// Writes the page. `world` is the one at the end of the history, which is thinned until it fits.
///
/// # Errors
/// Only from writing.
pub fn write(out: &mut impl Write, world: &World, history: &mut History, about: &About<'_>) -> io::Result<()> {
    let data = data::packed(world, history, about.clock.offset_seconds())?;
    let sections = findings::sections(history, &about.clock);
    let (lead, lead_more) = findings::lead(&sections);
    let page = Page {
        policy: policy(),
        title: about.file.clone(),
        lead,
        lead_more,
        facts: facts::of(history, about),
        sections,
        stops: history.stops.iter().map(|stop| stops::row(world, stop, &about.clock)).collect(),
        stops_more: history.stops.more(),
        left_out: data.left_out,
        style: STYLE,
        script: SCRIPT,
        data: data.packed,
    };
    page.write_into(out)
}

/// Nothing may load, and nothing may run but what this program has put there.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!("default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'")
}
