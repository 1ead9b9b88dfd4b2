//! The pictures of a terminal in the README, drawn from recordings in this repository: what the program prints now.
//!
//! That of the report is no part of this: it depends on the browser and on the fonts of the machine. `cargo xtask
//! pictures` makes all of them.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::channel},
    thread,
    time::Duration,
};

use jiff::tz::TimeZone;
use ratatui::{buffer::Buffer, layout::Rect};
use tracer::{
    console::style::Screen,
    detector::Detector,
    filter::Filter,
    sink::{Sink, text::Text},
    source::trace::Trace,
    step::Step,
    time::{BootNs, Span},
    top::{
        ansi,
        board::{Ask, Board},
        deck::Deck,
        draw::Canvas,
        scene::Scene,
        state::State,
        tape::{Place, Tape},
    },
    why::{
        page::print_recorded,
        recorded::{Follow, Provenance},
    },
    world::World,
};

use super::{compare, root};

mod svg;

/// Columns of a terminal on which lines run down.
const COLUMNS: usize = 100;
const SCREEN: Screen = Screen { colour: true, width: Some(COLUMNS) };
/// Columns and lines of a full screen.
const SIZE: (u16, u16) = (124, 34);

/// A dropped SIGTERM, and the second that a stop took for that reason.
fn stop() -> PathBuf {
    root().join("tests/traces/rules/slow-stop.fires.mcap")
}

/// Zombies, an orphan, and the end of a namespace.
fn demo() -> PathBuf {
    root().join("tracer/src/commands/demo/demo.mcap")
}

#[test]
fn watch() {
    let mut sink = Text::new(Vec::new(), SCREEN, TimeZone::UTC, Filter::default(), &[]).few();
    played(&stop(), |world, step| sink.step(world, step).unwrap());
    sink.flush().unwrap();
    let said = String::from_utf8(sink.into_inner()).unwrap();
    compare("docs/pictures/watch.svg", &svg::drawn("tracer watch", &printed("sudo tracer watch", &said)));
}

#[test]
fn why() {
    // Whoever did not stop; in another recording, it has another pid.
    let mut slow = None;
    played(&stop(), |_, step| {
        let finding = step.findings.iter().find(|finding| finding.rule.name == "slow-stop");
        slow = finding.map(|finding| finding.process.key).or(slow);
    });
    let mut follow = Follow::of(slow.unwrap());
    let detector = played(&stop(), |world, step| follow.step(world, step));
    let world = detector.world();
    let page = follow.page(world, &Provenance::File("run.mcap".to_owned())).unwrap();
    let mut said = Vec::new();
    print_recorded(world, &page, SCREEN, &TimeZone::UTC, &mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    compare("docs/pictures/why.svg", &svg::drawn("tracer why", &printed("tracer why sleep run.mcap", &said)));
}

#[test]
fn top() {
    let (width, height) = SIZE;
    let mut state = State { area: Rect::new(0, 0, width, height), ..State::default() };
    state.take(scene(Span::ms(300)));
    let mut screen = Buffer::empty(state.area);
    Canvas { colour: true, zone: &TimeZone::UTC, title: "run.mcap" }.draw(&state, &mut screen);
    compare("docs/pictures/top.svg", &svg::drawn("tracer top", &screen));
}

/// The world at the end of a recording, each step of which is seen.
fn played(file: &Path, mut see: impl FnMut(&World, &Step<'_>)) -> Detector {
    let mut trace = Trace::open(file).unwrap();
    let mut detector = Detector::new(&trace.start().thresholds);
    let mut see = |world: &World, step: &Step<'_>| {
        see(world, step);
        Ok(ControlFlow::Continue(()))
    };
    trace.detect(&mut detector, BootNs::MAX, &mut see).unwrap();
    detector
}

/// A command and what it prints, on as many lines as it takes.
fn printed(command: &str, said: &str) -> Buffer {
    let command = format!("\x1b[2m$\x1b[0m {command}\n");
    let lines = ansi::lines(&(command + said));
    let area = Rect::new(0, 0, COLUMNS as u16, u16::try_from(lines.len()).unwrap());
    let mut out = Buffer::empty(area);
    for (y, line) in (0..).zip(&lines) {
        assert!(line.width() <= COLUMNS, "{line}");
        out.set_line(0, y, line, area.width);
    }
    out
}

/// The demo, so long before its end, once all of it has been read.
fn scene(before_end: Span) -> Arc<Scene> {
    let mut trace = Trace::open(&demo()).unwrap();
    let (_, until) = trace.span().unwrap().unwrap();
    let tape = Tape { thresholds: trace.start().thresholds, place: Place::File(demo()) };
    let (board, (asks, heard)) = (Arc::new(Board::default()), channel());
    let mut deck = Deck::open(tape, Some(until - before_end), false, board.clone(), heard).unwrap();
    let playing = thread::spawn(move || deck.run().unwrap());
    let scene = loop {
        match board.scene().filter(|scene| scene.notes.is_empty()) {
            Some(scene) => break scene,
            None => {
                assert!(!playing.is_finished(), "it left before it had read everything");
                thread::sleep(Duration::from_millis(5));
            }
        }
    };
    asks.send(Ask::Leave).unwrap();
    playing.join().unwrap();
    scene
}
