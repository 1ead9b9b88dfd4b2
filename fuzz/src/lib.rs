//! What the targets of traces and records do with events: world, rules, and every presenter with everything shown.

use std::io;

use jiff::tz::TimeZone;
use tracer::{
    console::style::Screen,
    engine::Engine,
    event::Event,
    filter::Filter,
    kind::Kind,
    sink::{Counted, Sink, json::Json, tee::Tee, text::Text},
    thresholds::Thresholds,
    tree::{self, Scope},
};

/// An engine, and presenters that write to nowhere.
pub struct Shown {
    engine: Engine,
    sink: Box<dyn Sink>,
}

impl Default for Shown {
    fn default() -> Self {
        let screen = Screen { colour: true, width: Some(80) };
        let text = Text::new(io::sink(), screen, TimeZone::UTC, Filter::default(), &Kind::ALL);
        let json = Json::new(io::sink(), Filter::default(), &Kind::ALL);
        Self { engine: Engine::new(&Thresholds::default()), sink: Box::new(Tee(text, json)) }
    }
}

impl Shown {
    /// Plays events, then shows the end and the tree.
    pub fn play(mut self, play: impl FnOnce(&mut dyn FnMut(&Event, &[u8]))) {
        let Self { engine, sink } = &mut self;
        let mut counted = Counted::new(&mut **sink);
        play(&mut |event, record| {
            let (step, world) = engine.step(event, record);
            counted.step(world, &step).expect("nowhere takes everything");
        });
        let world = engine.world();
        counted.finish(world).expect("nowhere takes everything");
        let screen = Screen { colour: false, width: None };
        tree::print_text(world, Scope::default(), screen, io::sink()).expect("nowhere takes everything");
        tree::print_json(world, Scope::default(), io::sink()).expect("nowhere takes everything");
        for event in world.image() {
            std::hint::black_box(event);
        }
    }
}
