//! Text that is coloured for a terminal, as lines for the screen: what the pages of other commands print.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};

/// Reads what [`anstyle`] writes. Nothing else can stand in it: the pages escape whatever others have chosen.
pub fn lines(text: &str) -> Vec<Line<'static>> {
    let mut style = Style::new();
    text.lines().map(|line| line_of(line, &mut style)).collect()
}

fn line_of(line: &str, style: &mut Style) -> Line<'static> {
    let mut spans = Vec::new();
    for (i, piece) in line.split("\x1b[").enumerate() {
        let text = if i == 0 {
            piece
        } else {
            let (codes, text) = piece.split_once('m').unwrap_or((piece, ""));
            codes.split(';').for_each(|code| *style = apply(*style, code));
            text
        };
        if !text.is_empty() {
            spans.push(Span::styled(text.to_owned(), *style));
        }
    }
    Line::from(spans)
}

fn apply(style: Style, code: &str) -> Style {
    match code {
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "36" => style.fg(Color::Cyan),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::style::{BAD, CALM, DIM, GOOD, Screen, WARN};

    #[test]
    fn each_of_our_styles_is_read() {
        let screen = Screen { colour: true, width: None };
        for (style, fg) in [(BAD, Color::Red), (WARN, Color::Yellow), (GOOD, Color::Green), (CALM, Color::Cyan)] {
            let [line] = &lines(&format!("a {} c", screen.paint(style, "b")))[..] else { panic!("one line") };
            let [before, word, after] = &line.spans[..] else { panic!("{line:?}") };
            assert_eq!((&*before.content, &*word.content, &*after.content), ("a ", "b", " c"));
            assert_eq!((word.style.fg, after.style), (Some(fg), Style::new()));
        }
        let dim = &lines(&screen.paint(DIM, "x").to_string())[0];
        assert!(dim.spans[0].style.add_modifier.contains(Modifier::DIM));
    }
}
