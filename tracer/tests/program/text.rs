//! The text of `tracer watch`, over the same events as the JSON.

use jiff::tz::TimeZone;
use tracer::{console::style::Screen, event::EventKind, filter::Filter, kind::Kind, signal::Signal, sink::text::Text};
use tracer_common::record::signal_flags;

use crate::story::{self, everything, live};

fn text(screen: Screen, kinds: &[Kind]) -> String {
    let mut sink = Text::new(Vec::new(), screen, TimeZone::UTC, Filter::default(), kinds);
    live(&everything(), &mut [&mut sink]);
    String::from_utf8(sink.into_inner()).unwrap()
}

/// A signal to a container's init, and a child born there.
fn contained() -> Vec<EventKind> {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend(story::container());
    events.extend([
        story::fork(story::inner(130, 9, 60, "sh")),
        story::signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1),
    ]);
    events
}

#[test]
fn containers_have_names() {
    let mut sink = Text::new(Vec::new(), FILE, TimeZone::UTC, Filter::default(), &Kind::ALL);
    live(&contained(), &mut [&mut sink]);
    let text = String::from_utf8(sink.into_inner()).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    insta::assert_snapshot!(text);
}

#[test]
fn what_lasts_is_told_again_and_when_it_is_over() {
    let mut sink = Text::new(Vec::new(), FILE, TimeZone::UTC, Filter::default(), &[]);
    story::live_at(&story::troubles(), &mut [&mut sink]);
    insta::assert_snapshot!(String::from_utf8(sink.into_inner()).unwrap());
}

#[test]
fn of_those_that_are_alike_the_first_are_told() {
    let mut sink = Text::new(Vec::new(), FILE, TimeZone::UTC, Filter::default(), &[]).few();
    let term = story::signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1);
    let events: Vec<_> = contained().into_iter().chain(std::iter::repeat_n(term, 9)).collect();
    live(&events, &mut [&mut sink]);
    let text = String::from_utf8(sink.into_inner()).unwrap();
    assert_eq!(text.matches("[init-ignored-signal] SIGTERM").count(), 3);
    insta::assert_snapshot!(text);
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
