//! Into a trace file: the record of each step as it came, and now and then an image of the world.

use std::{fs::File, io};

use crate::{engine::Step, event::EventKind, sink::Sink, summary::Summary, trace::writer::Writer, world::World};

/// Records after which an image of the world is due: a reader needs a tenth of a second for as many.
const KEYFRAME_RECORDS: u64 = 250_000;
/// And the longest time without one, in nanoseconds.
const KEYFRAME_TIME: u64 = 60_000_000_000;
/// The longest time for which records are kept in memory, in nanoseconds: what may be missing from the
/// file when the recorder is killed.
const FLUSH_TIME: u64 = 800_000_000;

/// Writes every step.
pub struct Recorder {
    /// Until the first step says what is recorded.
    file: Option<File>,
    writer: Option<Writer>,
    /// Boot time of the last flush.
    flushed: u64,
    /// Boot time of the last image.
    imaged: u64,
    /// Records since.
    since_image: u64,
}

impl Recorder {
    /// Writes into an empty file.
    pub fn new(file: File) -> Self {
        Self { file: Some(file), writer: None, flushed: 0, imaged: 0, since_image: 0 }
    }
}

impl Sink for Recorder {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        if let EventKind::Start(info) = &step.event.kind
            && let Some(file) = self.file.take()
        {
            self.writer = Some(Writer::create(file, info)?);
            (self.flushed, self.imaged) = (world.now(), world.now());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match step.event.kind {
            EventKind::End(_) => writer.last_record(world.now(), step.record)?,
            _ => writer.record(world.now(), step.record)?,
        }
        self.since_image += 1;
        let is_old = world.now().saturating_sub(self.imaged) >= KEYFRAME_TIME;
        if self.since_image >= KEYFRAME_RECORDS || is_old {
            writer.keyframe(world)?;
            (self.imaged, self.since_image) = (world.now(), 0);
        }
        if world.now().saturating_sub(self.flushed) >= FLUSH_TIME {
            writer.flush()?;
            self.flushed = world.now();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // By time: see `step`.
        Ok(())
    }

    fn finish(&mut self, _world: &World, _summary: &Summary) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.finish(),
            None => Ok(()),
        }
    }
}
