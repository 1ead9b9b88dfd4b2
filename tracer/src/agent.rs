//! What runs as a service: where its findings go, what it tells its supervisor, and what it may still do.

use std::io;

use crate::{
    console::outlet::Outlet,
    filter::{Filter, Missing},
    lake::Lake,
    serve::Counter,
    sink::{Sink, json::Json, trace::Recorder},
    step::Step,
    summary::Summary,
    time::BootNs,
    world::World,
};

mod address;
pub mod confine;
pub mod courier;
mod http;
pub mod journal;
pub mod messenger;
mod parcel;
pub mod reaction;
pub mod supervisor;
pub mod telemetry;

use journal::Journal;
use reaction::Reaction;
use telemetry::Telemetry;

/// Where findings go.
pub enum Findings {
    /// To standard output, as lines of JSON.
    Lines(Box<Json<Outlet>>),
    /// To the journal.
    Journal(Box<Journal>),
    /// Nowhere.
    None,
}

impl Findings {
    fn sink(&mut self) -> Option<&mut dyn Sink> {
        match self {
            Self::Lines(json) => Some(&mut **json),
            Self::Journal(journal) => Some(&mut **journal),
            Self::None => None,
        }
    }

    fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        match self {
            Self::Lines(json) => json.refilter(filter, world),
            Self::Journal(journal) => journal.refilter(filter, world),
            Self::None => Ok(()),
        }
    }
}

/// All that takes the steps of an agent.
pub struct Sinks {
    /// Where findings go.
    pub findings: Findings,
    /// For whoever is to do something about them, if anybody is.
    pub reaction: Option<Reaction>,
    /// For a receiver of OTLP, if there is one.
    pub telemetry: Option<Telemetry>,
    /// Numbers, if somebody may ask for them.
    pub counter: Option<Counter>,
    /// The last minutes, if they are kept.
    pub recorder: Option<Recorder>,
    /// Tables, if there are some.
    pub lake: Option<Lake>,
}

impl Sinks {
    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        let Self { findings, reaction, telemetry, counter, recorder, lake } = self;
        let reaction = reaction.as_mut().map(|sink| sink as _);
        let all = [
            findings.sink(),
            reaction,
            telemetry.as_mut().map(|sink| sink as _),
            counter.as_mut().map(|sink| sink as _),
            recorder.as_mut().map(|sink| sink as _),
            lake.as_mut().map(|sink| sink as _),
        ];
        all.into_iter().flatten().try_for_each(|sink: &mut dyn Sink| act(sink))
    }

    /// From now on shows what another filter does.
    ///
    /// # Errors
    /// If it names what does not exist.
    pub fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        self.findings.refilter(filter.clone(), world)?;
        self.reaction.as_mut().map_or(Ok(()), |reaction| reaction.refilter(filter.clone(), world))?;
        self.telemetry.as_mut().map_or(Ok(()), |telemetry| telemetry.refilter(filter, world))
    }
}

impl Sink for Sinks {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.each(|sink| sink.step(world, step))
    }

    fn show_from(&mut self, from: BootNs) {
        // Nothing here fails.
        let _ = self.each(|sink| {
            sink.show_from(from);
            Ok(())
        });
    }

    fn flush(&mut self) -> io::Result<()> {
        self.each(|sink| sink.flush())
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        self.each(|sink| sink.finish(world, summary))
    }
}
