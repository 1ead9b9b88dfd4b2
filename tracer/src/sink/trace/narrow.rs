//! Leaves unwanted signals out of a trace; but never one that the world or a finding depends on, so that a replay
//! concludes and finds the same.

use std::io;

use tracer_common::record::signal_flags;

use crate::{
    event::{EventKind, SignalSent},
    filter::Filter,
    kind::Kind,
    signal::{Signal, killer::could_end},
    sink::select::{Item, Select},
    step::Step,
    world::World,
};

/// Picks the records of signals.
pub struct Narrow {
    select: Select,
    left_out: u64,
}

impl Narrow {
    /// Keeps what the filter shows.
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
        let matters = match &step.event.kind {
            EventKind::Signal(sent) => matters(sent),
            EventKind::Deliver(taken) => taken.flags & signal_flags::UNKILLABLE != 0,
            _ => return Ok(true),
        };
        let takes = is_shown || matters;
        self.left_out += u64::from(!takes);
        Ok(takes)
    }

    /// Signals and deliveries that were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// The rule of the programs in the kernel: what happens to an init, what an init passes on, what could end a process,
/// what the queue had no room for, and SIGCHLDs that merge.
fn matters(sent: &SignalSent) -> bool {
    let has = |bit: u16| sent.flags & bit != 0;
    has(signal_flags::UNKILLABLE | signal_flags::SENDER_INIT)
        || could_end(sent)
        || matches!(sent.result, 3 | 4)
        || (sent.signal == Signal::CHLD && sent.result == 2)
}
