//! How text looks: colours, columns, lines that fit the terminal, sizes and counts for people.

use std::{
    fmt,
    io::{self, IsTerminal},
    os::fd::AsFd,
};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::host::Container;

/// What the reader's screen can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// It shows colours, and the reader wants them.
    pub colour: bool,
    /// Its columns; `None` for a file or a pipe, where lines are not wrapped.
    pub width: Option<usize>,
}

impl Screen {
    /// Standard output as it is. Colours as anstream decides: a terminal, no `NO_COLOR`, no
    /// `TERM=dumb`.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        Self { colour: AutoStream::choice(&stdout) != ColorChoice::Never, width: width(&stdout) }
    }

    /// Standard error, likewise.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        Self { colour: AutoStream::choice(&stderr) != ColorChoice::Never, width: width(&stderr) }
    }

    /// A value in a style, if the screen shows colours. Widths of the format apply to the value.
    pub fn paint<T>(self, style: Style, value: T) -> Painted<T> {
        Painted { style: if self.colour { style } else { Style::new() }, value }
    }
}

/// Columns of a terminal.
fn width(out: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let columns = || rustix::termios::tcgetwinsize(out).ok().map(|size| usize::from(size.ws_col));
    // A serial line says 0.
    out.is_terminal().then(columns).flatten().filter(|&columns| columns >= 20)
}

/// See [`Screen::paint`].
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.value.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// Secondary: good to know, or in the background.
pub const DIM: Style = Style::new().dimmed();
/// What the eye should find first.
pub const BOLD: Style = Style::new().bold();
/// Information.
pub const CALM: Style = AnsiColor::Cyan.on_default();
/// Something does not work as its owner believes.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Something is broken.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something works, or what makes it work.
pub const GOOD: Style = AnsiColor::Green.on_default();

/// How many columns a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text and as many blanks as it takes to fill that many columns.
pub fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// As much of a text as fits, with `…` for the rest.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut out: String = text
        .chars()
        .take_while(|c| {
            let columns = c.width().unwrap_or(0);
            let fits = columns <= left;
            left = left.saturating_sub(columns);
            fits
        })
        .collect();
    if width > 0 {
        out.push('…');
    }
    out
}

/// Breaks a text between words into lines that fit; a word that is too long stands alone.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A size in bytes, exact: `4 KiB`, `8 MiB`, `1 GiB`; `4097 bytes` where no unit fits.
pub fn size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}

/// A size as a person says it: `43.3 KiB`.
pub fn rough_size(bytes: u64) -> String {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| bytes >= 1 << shift);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(shift, unit)| format!("{:.1} {unit}", bytes as f64 / f64::from(1_u32 << shift)),
    )
}

/// A container for a person: `web (nginx:1.25, docker 0123456789ab)`. Quoted.
pub fn container(container: &Container) -> String {
    container.described()
}

/// A number with its noun: `1 zombie`, `2 zombies`, `3 processes`.
pub fn count(n: u64, noun: &str) -> String {
    match (n, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{n} {noun}es"),
        (_, false) => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_gets_wider_than_asked() {
        assert_eq!(cut("sleep 1000", 20), "sleep 1000");
        assert_eq!(cut("sleep 1000", 7), "sleep …");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("sleep", 0), "");
        assert_eq!(wrap("a bb ccc dddddddd e", Some(6)), ["a bb", "ccc", "dddddddd", "e"]);
        assert_eq!(wrap("a bb", None), ["a bb"]);
        assert_eq!(pad("日", 4), "日  ");
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(size(8 << 20), "8 MiB");
        assert_eq!(size(1 << 30), "1 GiB");
        assert_eq!(size(4097), "4097 bytes");
        assert_eq!(count(1, "process"), "1 process");
        assert_eq!(count(0, "zombie"), "0 zombies");
        assert_eq!(count(2, "process"), "2 processes");
    }

    #[test]
    fn paint_is_plain_without_colour() {
        let text = |colour| format!("{:>4}|", Screen { colour, width: None }.paint(BAD, "ab"));
        assert_eq!(text(false), "  ab|");
        assert_eq!(text(true), "\x1b[1m\x1b[31m  ab\x1b[0m|");
    }
}
