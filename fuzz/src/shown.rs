//! Every presenter, with everything shown.

use std::io;

use jiff::tz::TimeZone;
use tracer::{
    console::style::Screen,
    detector::Detector,
    event::Event,
    filter::Filter,
    kind::Kind,
    sink::{Counted, Sink, json::Json, tee::Tee, text::Text},
    thresholds::Thresholds,
    tree::{self, Extract},
};

/// A detector, and presenters that write to nowhere.
pub struct Shown {
    detector: Detector,
    sink: Box<dyn Sink>,
}

impl Default for Shown {
    fn default() -> Self {
        let screen = Screen { colour: true, width: Some(80) };
        let text = Text::new(io::sink(), screen, TimeZone::UTC, Filter::default(), &Kind::ALL);
        let json = Json::new(io::sink(), Filter::default(), &Kind::ALL);
        Self { detector: Detector::new(&Thresholds::default()), sink: Box::new(Tee(text, json)) }
    }
}

impl Shown {
    /// Plays events, then shows the end and the tree.
    pub fn play(mut self, play: impl FnOnce(&mut dyn FnMut(&Event, &[u8]))) {
        let Self { detector, sink } = &mut self;
        let mut counted = Counted::new(&mut **sink);
        play(&mut |event, record| {
            let (step, world) = detector.step(event, record);
            counted.step(world, &step).expect("nowhere takes everything");
        });
        let world = detector.world();
        counted.finish(world).expect("nowhere takes everything");
        let screen = Screen { colour: false, width: None };
        tree::print_text(world, Extract::default(), screen, io::sink()).expect("nowhere takes everything");
        tree::print_json(world, Extract::default(), io::sink()).expect("nowhere takes everything");
        for event in world.image() {
            std::hint::black_box(event);
        }
    }
}
