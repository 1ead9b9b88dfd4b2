//! Two sinks that are shown the same.

use std::io;

use crate::{sink::Sink, step::Step, summary::Summary, time::BootNs, world::World};

/// Shows each step to one, then to the other.
pub struct Tee<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.0.step(world, step)?;
        self.1.step(world, step)
    }

    fn show_from(&mut self, from: BootNs) {
        self.0.show_from(from);
        self.1.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        self.0.finish(world, summary)?;
        self.1.finish(world, summary)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        (**self).step(world, step)
    }

    fn show_from(&mut self, from: BootNs) {
        (**self).show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        (**self).finish(world, summary)
    }
}
