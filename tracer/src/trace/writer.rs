//! Writes a trace: records into messages, messages into compressed chunks, an index at the end.
//!
//! Only whole chunks reach the file, one write each: however the program or the machine ends, what was flushed before
//! can be read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use mcap::{
    McapError, WriteOptions,
    records::{MessageHeader, Metadata},
    write::NoSeek,
};
use rustix::fs::FallocateFlags;

use crate::{
    host::StartInfo,
    time::BootNs,
    trace::{CHANGES, FORMAT, KEYFRAMES, PROFILE, RECORDS, START, START_SUM, file, layout, parts},
};

/// Bytes of records after which a message is closed.
const MESSAGE: usize = 64 << 10;
/// Bytes of messages after which a chunk is closed.
const CHUNK: usize = 1 << 20;
/// Disk space that is reserved while a chunk is filled, so that the file can be closed properly when the disk is full:
/// that chunk at its largest, and an index.
const RESERVE: u64 = 2 << 20;
/// zstd's fastest level: higher ones save nothing here and cost more.
const LEVEL: u32 = 1;

/// A trace that is being written. Dropping it closes it, but only [`Writer::finish`] reports errors.
pub struct Writer {
    mcap: mcap::Writer<NoSeek<Out>>,
    /// Another handle of the same file.
    file: File,
    /// To be added to a boot time to get the time since 1970, in nanoseconds.
    wall_offset: i64,
    /// Records that are not in a message yet.
    batch: Vec<u8>,
    /// Boot time of the first of them.
    batch_at: BootNs,
    /// Records in `batch`.
    batch_records: u32,
    /// Bytes that went into the chunk that is being filled.
    chunk: usize,
    /// Number of the next record.
    next: u32,
    /// Bytes in the file, as of the last chunk.
    size: u64,
}

impl Writer {
    /// Begins a trace in an empty file; `start` becomes its first record.
    ///
    /// # Errors
    /// From writing.
    pub fn create(file: File, start: &StartInfo) -> io::Result<Self> {
        let out = Out(BufWriter::with_capacity(CHUNK, file.try_clone()?));
        let mut mcap = WriteOptions::new()
            .profile(format!("{PROFILE}{FORMAT}"))
            .library(concat!("tracer ", env!("CARGO_PKG_VERSION")))
            .chunk_size(None)
            .compression_level(LEVEL)
            .compression_threads(0)
            // A chunk is written when it is complete, never patched afterwards.
            .disable_seeking(true)
            .create(NoSeek::new(out))
            .map_err(io_error)?;
        mcap.write_metadata(&metadata(start)).map_err(io_error)?;
        let schema = mcap.add_schema("tracer.records", "tracer", layout::table().to_string().as_bytes());
        let schema = schema.map_err(io_error)?;
        for (id, topic) in
            [(RECORDS, "/tracer/records"), (KEYFRAMES, "/tracer/keyframes"), (CHANGES, "/tracer/changes")]
        {
            mcap.add_channel_with_id(id, schema, topic, "tracer", &BTreeMap::new()).map_err(io_error)?;
        }
        let mut writer = Self {
            mcap,
            file,
            wall_offset: start.wall_offset_ns,
            batch: Vec::with_capacity(2 * MESSAGE),
            batch_at: BootNs::ZERO,
            batch_records: 0,
            chunk: 0,
            next: 0,
            size: 0,
        };
        writer.reserve()?;
        Ok(writer)
    }

    /// Appends a record; `at` is the boot time that the world has reached.
    ///
    /// # Errors
    /// From writing; see [`Writer::flush`].
    pub fn record(&mut self, at: BootNs, record: &[u8]) -> io::Result<()> {
        if self.batch.is_empty() {
            self.batch_at = at;
        }
        self.batch.extend_from_slice(record);
        self.batch_records = self.batch_records.wrapping_add(1);
        if self.batch.len() >= MESSAGE { self.close_message() } else { Ok(()) }
    }

    /// Appends the last record, in a chunk of its own: if the one before it is damaged, it shows how much is missing.
    ///
    /// # Errors
    /// From writing; see [`Writer::flush`].
    pub fn last_record(&mut self, at: BootNs, record: &[u8]) -> io::Result<()> {
        self.flush()?;
        self.record(at, record)
    }

    /// Appends an image of the world after the last record, at that boot time: records in sequence.
    ///
    /// # Errors
    /// From writing; see [`Writer::flush`].
    pub fn keyframe(&mut self, at: BootNs, image: &[u8]) -> io::Result<()> {
        self.image(KEYFRAMES, at, image)
    }

    /// Appends what has changed since the last image of the world, or since the last change, likewise.
    ///
    /// # Errors
    /// From writing; see [`Writer::flush`].
    pub fn changes(&mut self, at: BootNs, records: &[u8]) -> io::Result<()> {
        self.image(CHANGES, at, records)
    }

    fn image(&mut self, channel: u16, at: BootNs, records: &[u8]) -> io::Result<()> {
        // At the beginning of a chunk, so that a reader who starts there unpacks nothing else.
        self.flush()?;
        for part in parts(records, MESSAGE) {
            self.message(channel, self.next, at, part)?;
        }
        Ok(())
    }

    /// Writes everything so far into the file.
    ///
    /// # Errors
    /// From writing. [`io::ErrorKind::StorageFull`] comes while there is still room to
    /// [`finish`](Writer::finish).
    pub fn flush(&mut self) -> io::Result<()> {
        self.close_message()?;
        self.close_chunk()
    }

    /// Closes the file properly, with an index.
    ///
    /// # Errors
    /// From writing.
    pub fn finish(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        self.mcap.finish().map_err(io_error)?;
        // Releases the reserved space.
        self.size = self.file.metadata()?.len();
        self.file.set_len(self.size)?;
        // Nothing more needs room.
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the file still has that name.
    pub fn is_at(&self, path: &Path) -> bool {
        file::is_at(&self.file, path)
    }

    /// Bytes in the file: all but what is still in memory.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn close_message(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let written = self.message(RECORDS, self.next, self.batch_at, &batch);
        self.next = self.next.wrapping_add(std::mem::take(&mut self.batch_records));
        self.batch = batch;
        self.batch.clear();
        written
    }

    fn message(&mut self, channel_id: u16, sequence: u32, at: BootNs, data: &[u8]) -> io::Result<()> {
        let time = at.0.saturating_add_signed(self.wall_offset);
        let header = MessageHeader { channel_id, sequence, log_time: time, publish_time: time };
        self.mcap.write_to_known_channel(&header, data).map_err(io_error)?;
        self.chunk += data.len();
        if self.chunk >= CHUNK { self.close_chunk() } else { Ok(()) }
    }

    fn close_chunk(&mut self) -> io::Result<()> {
        if self.chunk > 0 {
            self.chunk = 0;
            self.mcap.flush().map_err(io_error)?;
            self.reserve()?;
        }
        Ok(())
    }

    /// Ensures that the next chunk, and the end of the file after it, will find room.
    fn reserve(&mut self) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        self.size = end;
        // The index takes some 150 bytes per chunk, and a chunk a thousand times that.
        let room = RESERVE + end / 512;
        // On tmpfs, a signal such as Ctrl-C interrupts it (`shmem_fallocate()`).
        let reserve = || rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, end, room);
        match rustix::io::retry_on_intr(reserve) {
            // A file system that cannot reserve room: then the end may be missing.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Callers that care have called `finish` before.
        let _ = self.finish();
    }
}

/// What the container itself says about the run, for readers that look no further.
fn metadata(start: &StartInfo) -> Metadata {
    let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let StartInfo { version, kernel, boot_id, host, wall_offset_ns, .. } = start;
    // A struct of strings and numbers, which JSON can always represent.
    let json = serde_json::to_string(start).unwrap_or_default();
    let metadata = BTreeMap::from([
        text("version", version),
        text("kernel", kernel),
        text("boot_id", boot_id),
        text("host", host),
        text("wall_offset_ns", &wall_offset_ns.to_string()),
        text(START_SUM, &crc32fast::hash(json.as_bytes()).to_string()),
        text(START, &json),
    ]);
    Metadata { name: "tracer".to_owned(), metadata }
}

/// The file as the container sees it.
struct Out(BufWriter<File>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn io_error(error: McapError) -> io::Error {
    match error {
        McapError::Io(error) => error,
        other => io::Error::other(other),
    }
}
