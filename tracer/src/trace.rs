//! The trace file: an MCAP container that holds the records as they came. `docs/trace-format.md` is its specification.
//!
//! [`writer`] and [`reader`] know the container, but not what the records mean; the sink and the source named `trace`
//! use them.

pub use tracer_model::wire::{FORMAT, Records, layout, parts};

pub mod difference;
pub mod file;
mod index;
pub mod kept;
pub mod reader;
pub mod writer;

/// The profile in the container's header: this, and the version of the format.
pub const PROFILE: &str = "tracer/";

/// The key of the metadata that holds the contents of the first record, as JSON.
const START: &str = "start";

/// The key of its CRC-32, a decimal number: nothing else protects it.
const START_SUM: &str = "start_crc32";

/// The channel of the records, in the order of the stream.
pub const RECORDS: u16 = 1;

/// The channel of images of the world, which make it possible to begin in the middle.
pub const KEYFRAMES: u16 = 2;

/// The channel of what has changed in such an image since the last one, or the last change. Who does not know it reads
/// on from the image.
pub const CHANGES: u16 = 3;

/// The most bytes of an image, with all its changes, that a reader puts together: of half a million processes. A larger
/// one is read where it is.
const JOINED_MAX: usize = 128 << 20;

/// The most bytes of a chunk, compressed or not, that a reader accepts: a chunk that claims more is damaged or hostile.
/// Writers stay far below.
pub const CHUNK_MAX: usize = 16 << 20;

/// To how many times its compressed size a chunk may expand, besides [`UNPACKED_FREE`]. Records have times and keys,
/// which never compress that well: at most 70 times, for processes with the same long command line.
const UNPACKED_TIMES: usize = 256;
const UNPACKED_FREE: usize = 4 << 10;

/// The most bytes of container records before the first chunk, which say what was recorded.
const BEGINNING_MAX: usize = 4 << 20;
