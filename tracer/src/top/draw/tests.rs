//! Each part of the screen alone, as a terminal shows it: a moment of the demo, with zombies.

use insta::assert_snapshot;
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::{
    time::Span,
    top::{
        state::Focus,
        tests::{demo, press, state},
    },
};

/// The whole screen, of which a part is drawn alone.
const SIZE: (u16, u16) = (160, 50);

fn moment() -> State {
    state(demo(Span::ms(300), None).0, SIZE.0, SIZE.1)
}

/// What is drawn on a terminal of that size.
fn alone((width, height): (u16, u16), draw: impl FnOnce(&Canvas<'_>, Rect, &mut Buffer)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let canvas = Canvas { colour: true, zone: &TimeZone::UTC, title: "demo.mcap" };
    terminal.draw(|frame| draw(&canvas, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_head_says_when_how_much_and_what_is_worst() {
    let state = moment();
    assert_snapshot!("head", alone((100, 3), |canvas, part, out| canvas.head(&state, part, out)));
}

#[test]
fn processes_have_their_pids_inside_where_there_is_room() {
    let mut state = moment();
    state.focus = Focus::Tree;
    for (name, width) in [("tree-wide", 80), ("tree-narrow", 40)] {
        assert_snapshot!(name, alone((width, 14), |canvas, part, out| canvas.tree(&state, part, out)));
    }
}

#[test]
fn headlines_take_two_lines_each() {
    let state = moment();
    assert_snapshot!("findings", alone((60, 11), |canvas, part, out| canvas.findings(&state, part, out)));
}

#[test]
fn a_story_that_is_longer_says_how_much() {
    let state = moment();
    for (name, height) in [("story", 12), ("story-cut", 6)] {
        assert_snapshot!(name, alone((70, height), |canvas, part, out| canvas.story(&state, part, out)));
    }
}

#[test]
fn the_time_line_marks_findings_and_the_moment() {
    let state = moment();
    let draw = |canvas: &Canvas<'_>, line, out: &mut Buffer| {
        canvas.timeline(&state, &Parts { line, ..Parts::default() }, out);
    };
    assert_snapshot!("timeline", alone((80, 6), draw));
}

#[test]
fn the_foot_names_keys_or_asks() {
    let mut state = moment();
    let foot = |state: &State| {
        alone((80, 1), |canvas, part, out| {
            canvas.foot(state, part, out);
        })
    };
    let mut feet = foot(&state);
    for keys in ["z", "/--rul"] {
        press(&mut state, keys);
        feet += &foot(&state);
    }
    assert_snapshot!("foot", feet);
}
