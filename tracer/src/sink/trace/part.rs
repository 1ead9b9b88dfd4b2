//! One trace file that is being written: records, images of the world, and flushes when they are due.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::{
    console::style,
    event::{End, Event, EventKind},
    host::StartInfo,
    ident::file_name,
    sink::trace::{Store, View},
    source::encode::encode,
    time::{BootNs, Span},
    trace::{difference::Known, file, writer::Writer},
};

/// How many records until an image of the world is due; a reader takes a tenth of a second for them.
const KEYFRAME_RECORDS: u64 = 250_000;
/// How many times as much is written between two images as an image has, so that those of very many processes take no
/// more than a fiftieth of a file (they pack less well than records); in between, there is what has changed.
const IMAGE_SHARE: usize = 64;
/// Likewise of the changes.
const CHANGES_SHARE: usize = 32;
/// An image of so many bytes is never put off: on an idle machine, a recording consists of one a minute.
const SMALL: usize = 512 << 10;
/// The longest time without an image.
const KEYFRAME_TIME: Span = Span::seconds(60);
/// The longest time that records stay in memory: what may be missing from the file if the recorder is killed.
const FLUSH_TIME: Span = Span::ms(800);

/// A file.
pub struct Part {
    writer: Writer,
    /// Boot time of the last flush.
    flushed: BootNs,
    /// Boot time of the last image.
    imaged: BootNs,
    /// Records since that, or since the last changes of it.
    since_image: u64,
    /// Bytes since the last whole image.
    bytes_since_image: usize,
    /// Bytes since the last changes of it.
    bytes_since_changes: usize,
    /// Bytes of that image; 0 if there was none.
    image: usize,
    /// What can be read of the world in the file, if that is so much that only changes are written.
    known: Option<Known>,
}

impl Part {
    /// Creates a file of that name, and begins a trace in it, at that boot time. Leaves none behind if that
    /// fails.
    ///
    /// # Errors
    /// From creating and writing.
    pub fn at(path: &Path, overwrite: bool, at: BootNs, info: &StartInfo) -> io::Result<Self> {
        let created = file::create(path, overwrite)?;
        Self::create(created, at, info).map_err(|error| {
            // If it cannot be removed either, that shows when it is used.
            let _ = file::remove(path);
            naming(path, error)
        })
    }

    /// Begins a trace in an empty file, at that boot time.
    ///
    /// # Errors
    /// From writing.
    pub fn create(file: File, at: BootNs, info: &StartInfo) -> io::Result<Self> {
        let mut writer = Writer::create(file, info)?;
        writer.record(at, &record_of(at, EventKind::Start(Box::new(info.clone()))))?;
        Ok(Self {
            writer,
            flushed: at,
            imaged: at,
            since_image: 0,
            bytes_since_image: 0,
            bytes_since_changes: 0,
            image: 0,
            known: None,
        })
    }

    /// Takes a record.
    ///
    /// # Errors
    /// From writing; [`io::ErrorKind::StorageFull`] comes while there is room to close the file.
    pub fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        self.writer.record(now, record)?;
        self.since_image += 1;
        self.bytes_since_image += record.len();
        self.bytes_since_changes += record.len();
        let is_old = now - self.imaged >= KEYFRAME_TIME;
        if self.since_image >= KEYFRAME_RECORDS || is_old {
            self.show_world(now, &view.image())?;
        }
        if now - self.flushed >= FLUSH_TIME {
            self.flush()?;
            self.flushed = now;
        }
        Ok(())
    }

    /// An image of the world is due: writes it, or what has changed since the last one if that takes much less room, or
    /// nothing yet if that is a lot, too.
    fn show_world(&mut self, now: BootNs, image: &[u8]) -> io::Result<()> {
        let is_affordable = image.len() <= SMALL || self.bytes_since_image / IMAGE_SHARE >= self.image.max(image.len());
        let Some(known) = self.known.as_mut().filter(|_| !is_affordable) else { return self.keyframe(now, image) };
        let difference = known.difference(image);
        (self.imaged, self.since_image) = (now, 0);
        if difference.records.len() > self.bytes_since_changes / CHANGES_SHARE {
            return Ok(());
        }
        self.bytes_since_changes = 0;
        self.writer.changes(now, &difference.records)?;
        known.learn(difference);
        Ok(())
    }

    /// From here on, what was taken can be read.
    ///
    /// # Errors
    /// See [`Part::record`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Takes records as they are, in sequence; the last one is from that boot time.
    ///
    /// # Errors
    /// See [`Part::record`].
    pub fn records(&mut self, at: BootNs, records: &[u8]) -> io::Result<()> {
        crate::trace::Records(records).try_for_each(|record| self.writer.record(at, record))
    }

    /// Takes an image of the world as it was at that boot time, after the last record.
    ///
    /// # Errors
    /// See [`Part::record`].
    pub fn keyframe(&mut self, at: BootNs, image: &[u8]) -> io::Result<()> {
        (self.imaged, self.since_image, self.image) = (at, 0, image.len());
        (self.bytes_since_image, self.bytes_since_changes) = (0, 0);
        self.known = (image.len() > SMALL).then(|| Known::of(image));
        self.writer.keyframe(at, image)
    }

    /// Takes the last record, and closes the file.
    ///
    /// # Errors
    /// From writing.
    pub fn end(&mut self, at: BootNs, end: End) -> io::Result<()> {
        self.writer.last_record(at, &record_of(at, EventKind::End(end)))?;
        self.writer.finish()
    }

    /// Closes the file after an error, with the last record if there is one.
    ///
    /// # Errors
    /// From writing.
    pub fn close(&mut self, end: Option<&Event>) -> io::Result<()> {
        if let Some(end) = end {
            // In the chunk for which room was reserved.
            self.writer.record(end.at, &record_of(end.at, end.kind.clone()))?;
        }
        self.writer.finish()
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.writer.size()
    }

    /// Whether the file still has that name.
    pub fn is_at(&self, path: &Path) -> bool {
        self.writer.is_at(path)
    }
}

/// An error of writing, with the file that it is about.
pub fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", file_name(path)))
}

/// The record of an event that user space makes.
pub fn record_of(at: BootNs, kind: EventKind) -> Vec<u8> {
    let mut record = Vec::new();
    encode(&Event { at, cpu: 0, kind }, &mut record);
    record
}

/// One file for all.
pub struct Single {
    path: PathBuf,
    overwrite: bool,
    part: Option<Part>,
    /// Bytes in the file once it is closed; `None` if there is none.
    size: Option<u64>,
    /// It had lost its name by then.
    is_gone: bool,
}

impl Single {
    /// Writes into a file of that name, from the first step on.
    ///
    /// # Errors
    /// See [`file::check`].
    pub fn new(path: &Path, overwrite: bool) -> Result<Self, file::CreateError> {
        file::check(path, overwrite)?;
        Ok(Self { path: path.to_owned(), overwrite, part: None, size: None, is_gone: false })
    }

    fn closed(&mut self, result: io::Result<()>) -> io::Result<()> {
        if let Some(part) = self.part.take() {
            (self.size, self.is_gone) = (Some(part.size()), !part.is_at(&self.path));
        }
        result.map_err(|error| naming(&self.path, error))
    }
}

impl Store for Single {
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()> {
        self.part = Some(Part::at(&self.path, self.overwrite, view.event.at, info)?);
        Ok(())
    }

    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let Self { part, path, .. } = self;
        part.as_mut().map_or(Ok(()), |part| part.record(view, record)).map_err(|error| naming(path, error))
    }

    fn end(&mut self, view: View<'_>, end: End) -> io::Result<()> {
        let ended = self.part.as_mut().map_or(Ok(()), |part| part.end(view.event.at, end));
        self.closed(ended)
    }

    fn close(&mut self, end: Option<&Event>) -> io::Result<()> {
        let closed = self.part.as_mut().map_or(Ok(()), |part| part.close(end));
        self.closed(closed)
    }

    fn size(&self) -> u64 {
        self.part.as_ref().map(Part::size).or(self.size).unwrap_or_default()
    }

    fn sentences(&self) -> Vec<String> {
        let path = file_name(&self.path);
        vec![match self.size {
            _ if self.is_gone => file::gone(&self.path),
            Some(size) => format!("{path}: {}", style::rough_size(size)),
            None => format!("there is no {path}"),
        }]
    }
}
