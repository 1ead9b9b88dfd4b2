//! Where steps go: one presenter a file, all fed with the same [`Step`].

use std::io;

use crate::{engine::Step, summary::Summary, world::World};

pub mod json;
pub mod select;
pub mod stdout;
pub mod style;
pub mod text;
pub mod tree;

/// A presenter.
pub trait Sink {
    /// Called once for each event, with the world as it is after it. The first call comes with
    /// [`EventKind::Start`](crate::event::EventKind::Start); the world is complete with the first
    /// [`Change::Synced`](crate::change::Change::Synced).
    ///
    /// # Errors
    /// Only from writing; [`io::ErrorKind::BrokenPipe`] ends the run quietly.
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()>;

    /// Called when a batch of steps is through: the time to flush.
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
