//! The text of `tracer watch`, over the same events as the JSON.

use jiff::tz::TimeZone;
use tracer::{
    filter::Filter,
    occurrence::Kind,
    sink::{style::Screen, text::Text},
};

use crate::story::{everything, live};

fn text(screen: Screen, kinds: &[Kind]) -> String {
    let mut sink = Text::new(Vec::new(), screen, TimeZone::UTC, Filter::default(), kinds);
    live(&everything(), &mut [&mut sink]);
    String::from_utf8(sink.into_inner()).unwrap()
}

const FILE: Screen = Screen { colour: false, width: None };

#[test]
fn all_kinds() {
    insta::assert_snapshot!(text(FILE, &Kind::ALL));
}

#[test]
fn findings_on_a_narrow_screen() {
    insta::assert_snapshot!(text(Screen { colour: false, width: Some(72) }, &[]));
}

#[test]
fn hostile_names_bring_no_control_characters() {
    let text = text(FILE, &Kind::ALL);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let coloured = text(Screen { colour: true, width: None }, &Kind::ALL);
    assert!(coloured.contains("\x1b["));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), text(FILE, &Kind::ALL));
}

#[test]
fn lines_fit_a_narrow_screen() {
    let text = text(Screen { colour: false, width: Some(72) }, &[]);
    // The start line names the host and the kernel, which cannot be broken.
    for line in text.lines().skip(3).filter(|line| line.starts_with(' ')) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
