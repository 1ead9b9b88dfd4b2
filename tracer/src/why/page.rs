//! The page of `tracer why`, for a person and for a program.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anstyle::Style;

use crate::{
    console::style::{self, BOLD, CALM, Screen},
    sink::json::Lines,
    why::{
        json::{live_page, recorded_page},
        live, recorded,
    },
    world::World,
};

mod live_text;
mod recorded_text;
pub(super) mod words;

pub use live_text::print as print_live;
pub use recorded_text::print as print_recorded;

/// Prints one JSON object; see `docs/json.md`.
///
/// # Errors
/// Only from writing.
pub fn print_recorded_json(world: &World, page: &recorded::Page, out: impl Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    lines.print(&recorded_page(world, page))?;
    lines.flush()
}

/// Likewise.
///
/// # Errors
/// Only from writing.
pub fn print_live_json(page: &live::Page, out: impl Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    lines.print(&live_page(page))?;
    lines.flush()
}

/// Reading gets hard on lines that are longer.
const WIDEST: usize = 100;
/// Columns before what an entry says: two blanks, a time of day or a word, two blanks.
const MARGIN: usize = 16;

/// A page that is being written.
struct Sheet<W> {
    out: W,
    screen: Screen,
}

impl<W: Write> Sheet<W> {
    fn new(out: W, screen: Screen) -> Self {
        Self { out, screen: Screen { width: screen.width.map(|columns| columns.min(WIDEST)), ..screen } }
    }

    fn title(&mut self, title: impl Display) -> io::Result<()> {
        writeln!(self.out, "{}", self.screen.paint(BOLD, title))
    }

    fn heading(&mut self, heading: impl Display) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.screen.paint(BOLD, heading))
    }

    /// `lead` in a column of its own, beside a text that is broken where the screen ends.
    fn entry(&mut self, style: Style, lead: &str, text: &str) -> io::Result<()> {
        let columns = MARGIN - 4;
        write!(self.out, "  {}  ", self.screen.paint(style, style::pad(lead, columns)))?;
        self.rest(text)
    }

    /// A word and what it says.
    fn word(&mut self, lead: &str, text: &str) -> io::Result<()> {
        self.entry(CALM, lead, text)
    }

    /// Text from the margin on, where the pen is already.
    fn rest(&mut self, text: &str) -> io::Result<()> {
        for (i, line) in style::wrap(text, self.width()).iter().enumerate() {
            match i {
                0 => writeln!(self.out, "{line}")?,
                _ => writeln!(self.out, "{:MARGIN$}{line}", "")?,
            }
        }
        Ok(())
    }

    fn width(&self) -> Option<usize> {
        self.screen.width.map(|width| width.saturating_sub(MARGIN).max(20))
    }

    /// A paragraph below a heading.
    fn text(&mut self, text: &str) -> io::Result<()> {
        const INDENT: usize = 2;
        for line in style::wrap(text, self.screen.width.map(|width| width - INDENT)) {
            writeln!(self.out, "{:INDENT$}{line}", "")?;
        }
        Ok(())
    }
}
