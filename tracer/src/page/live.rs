//! The page of a run that goes on: a frame, which the script fills, and the updates that it is filled with.

use std::io;

use askama::Template as _;
use flate2::Compression;

use super::{About, LIVE_SCRIPT, Page, STYLE, Told, data, policy};
use crate::history::History;

/// What the frame has besides the page of a recording.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// By this the script knows that it is still this program that answers.
    pub countersign: &'a str,
}

/// The page as it is before the first update. The script asks for `events` beside it, and believes who knows the
/// countersign.
///
/// # Errors
/// Only from writing.
pub fn frame(title: &str, countersign: &str) -> io::Result<String> {
    let live = Some(Frame { countersign });
    let page = Page { policy: content_policy(), title, live, style: STYLE, script: LIVE_SCRIPT, ..Page::default() };
    page.render().map_err(io::Error::other)
}

/// The Content-Security-Policy of the frame.
pub fn content_policy() -> String {
    policy(LIVE_SCRIPT, "; connect-src 'self'")
}

/// An update: what is told, as the same page without a script, and what is drawn. The history is thinned until it fits.
pub struct Update {
    /// HTML.
    pub told: String,
    /// As on the page of a recording.
    pub drawn: String,
}

/// The update that shows everything up to now. Both parts are deflated, in base64. Readers are near, so speed counts more
/// than size.
///
/// # Errors
/// Only from writing.
pub fn update(history: &mut History, about: &About<'_>) -> io::Result<Update> {
    let data = data::packed(history, about, Compression::fast())?;
    let told = Some(Told::of(history, about, data.left_out));
    let page = Page { title: &about.file, told, ..Page::default() };
    let told = page.render().map_err(io::Error::other)?;
    Ok(Update { told: data::pack(told.as_bytes(), Compression::fast())?, drawn: data.packed })
}
