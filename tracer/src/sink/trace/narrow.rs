//! Leaves signals out of a trace that nobody wants to see; but never what the world or a finding
//! rests on, so that a replay believes and finds the same.

use std::io;

use tracer_common::record::signal_flags;

use crate::{
    engine::Step,
    event::EventKind,
    filter::Filter,
    occurrence::Kind,
    signal::killer::could_end,
    sink::select::{Item, Select},
    world::World,
};

/// Picks the records of signals.
pub struct Narrow {
    select: Select,
    left_out: u64,
}

impl Narrow {
    /// Takes what the filter shows.
    pub fn new(filter: Filter) -> Self {
        Self { select: Select::new(filter, &[Kind::Signal, Kind::Deliver]), left_out: 0 }
    }

    /// Whether a step is to be recorded.
    ///
    /// # Errors
    /// If the filter names what does not exist.
    pub fn takes(&mut self, world: &World, step: &Step<'_>) -> io::Result<bool> {
        let mut is_shown = false;
        self.select.step(world, step, |_, item| {
            is_shown |= matches!(item, Item::Event(_));
            Ok(())
        })?;
        // The rule of the programs in the kernel: what befalls an init can be a finding, and so can what
        // could end a process, or what the queue had no room for.
        let (flags, matters) = match &step.event.kind {
            EventKind::Signal(sent) => (sent.flags, could_end(sent) || matches!(sent.result, 3 | 4)),
            EventKind::Deliver(taken) => (taken.flags, false),
            _ => return Ok(true),
        };
        let takes = is_shown || matters || flags & signal_flags::UNKILLABLE != 0;
        self.left_out += u64::from(!takes);
        Ok(takes)
    }

    /// Signals and deliveries that were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
