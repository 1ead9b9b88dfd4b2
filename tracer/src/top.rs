//! `tracer top`: processes, findings and their history on a full screen, live or from a recording.
//!
//! Two threads. The model's plays the stream through the detector ([`live`], [`deck`]) and hands over a [`scene`] ten
//! times a second at the most; it never waits for the screen. The screen's ([`screen`]) turns keys into questions to
//! the model ([`state`], [`keys`]) and draws the last scene ([`draw`]).

pub mod ansi;
pub mod board;
mod clock;
pub mod deck;
pub mod draw;
pub mod found;
pub mod keep;
pub mod keys;
pub mod lately;
pub mod layout;
pub mod live;
pub mod query;
pub mod rows;
pub mod scene;
pub mod screen;
pub mod state;
pub mod story;
pub mod survey;
pub mod tape;
pub mod terminal;
#[cfg(test)]
mod tests;
