//! Where steps go: one presenter per file, all fed with the same [`Step`].

use std::io;

use crate::{step::Step, summary::Summary, time::BootNs, world::World};

pub mod alike;
pub mod export;
pub mod gate;
pub mod json;
pub mod select;
pub mod tee;
pub mod text;
pub mod trace;

/// A presenter.
pub trait Sink {
    /// Called once for each event, with the world after it. The first call comes with
    /// [`EventKind::Start`](crate::event::EventKind::Start); the world is complete with the first
    /// [`Change::Synced`](crate::change::Change::Synced).
    ///
    /// # Errors
    /// Only from writing; [`io::ErrorKind::BrokenPipe`] ends the run quietly.
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()>;

    /// Called before the first step: shows nothing from before a boot time, but must follow those steps all the same.
    fn show_from(&mut self, _from: BootNs) {}

    /// Called at the end of a batch of steps: the time to flush.
    ///
    /// # Errors
    /// Only from writing.
    fn flush(&mut self) -> io::Result<()>;

    /// Called once, at the end.
    ///
    /// # Errors
    /// Only from writing.
    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()>;
}

/// A sink, and the count of what it was shown.
pub struct Counted<'a, S: ?Sized = dyn Sink> {
    sink: &'a mut S,
    summary: Summary,
    /// Boot time from which steps are counted and shown; the sink only follows earlier ones.
    from: BootNs,
}

impl<'a, S: Sink + ?Sized> Counted<'a, S> {
    /// Nothing was shown yet.
    pub fn new(sink: &'a mut S) -> Self {
        Self::from(sink, BootNs::ZERO)
    }

    /// Shows and counts only what happens from a boot time on.
    pub fn from(sink: &'a mut S, from: BootNs) -> Self {
        sink.show_from(from);
        Self { sink, summary: Summary::default(), from }
    }

    /// See [`Sink::step`].
    ///
    /// # Errors
    /// Only from writing.
    pub fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.summary.count(step, self.from);
        self.sink.step(world, step)
    }

    /// See [`Sink::flush`].
    ///
    /// # Errors
    /// Only from writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    /// The sink itself.
    pub fn inner(&mut self) -> &mut S {
        self.sink
    }

    /// So many lines were dropped because nobody read them in time: the end says so.
    pub fn unwritten(&mut self, lines: u64) {
        self.summary.unwritten = lines;
    }

    /// See [`Sink::finish`]; returns the count.
    ///
    /// # Errors
    /// Only from writing.
    pub fn finish(self, world: &World) -> io::Result<Summary> {
        let Self { sink, mut summary, from: _ } = self;
        summary.conclude(world);
        sink.finish(world, &summary)?;
        sink.flush()?;
        Ok(summary)
    }
}
