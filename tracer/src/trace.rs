//! The trace file: an MCAP container in which the records lie as they came. `docs/trace-format.md` is
//! its specification.
//!
//! [`writer`] and [`reader`] know the container, and nothing of what the records mean; the sink and
//! the source of the same name put them to use.

use tracer_common::Header;
use zerocopy::FromBytes;

pub mod file;
mod index;
pub mod layout;
pub mod reader;
pub mod writer;

/// The version of the format. A reader knows all versions up to its own.
pub const FORMAT: u32 = 1;

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

/// Records that lie one after the other, to the first that does not fit.
#[derive(Clone)]
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (header, _) = Header::read_from_prefix(self.0).ok()?;
        let length = (header.len as usize).max(size_of::<Header>());
        let (record, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(record)
    }
}
