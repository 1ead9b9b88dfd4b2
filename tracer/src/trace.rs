//! The trace file: an MCAP container in which the records lie as they came. `docs/trace-format.md` is
//! its specification.
//!
//! [`writer`] and [`reader`] know the container, and nothing of what the records mean; the sink and
//! the source of the same name put them to use.

pub use tracer_model::wire::{FORMAT, Records, layout, parts};

pub mod file;
mod index;
pub mod reader;
pub mod writer;

/// What the container's header calls its contents: this, and the version of the format.
pub const PROFILE: &str = "tracer/";

/// The key of the metadata under which the first record's contents stand, as JSON.
const START: &str = "start";

/// And the key of the CRC-32 of that, a decimal number: nothing else guards it.
const START_SUM: &str = "start_crc32";

/// The channel of the records, in the order of the stream.
pub const RECORDS: u16 = 1;

/// The channel of images of the world, which make it possible to begin in the middle.
pub const KEYFRAMES: u16 = 2;

/// The most bytes of a chunk, packed or not, that a reader takes: whatever claims more is damaged, or
/// wants to harm. Writers stay far below.
pub const CHUNK_MAX: usize = 16 << 20;

/// How many times as many bytes as its packed ones a chunk may unpack to, besides [`UNPACKED_FREE`]. Records
/// have times and keys, which never pack that well: 70 times at the most, those of processes with the same
/// long command line.
const UNPACKED_TIMES: usize = 256;
const UNPACKED_FREE: usize = 4 << 10;

/// The most bytes of the container's records before the first chunk, which say what was recorded.
const BEGINNING_MAX: usize = 4 << 20;
