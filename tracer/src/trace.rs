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

/// How many times as many bytes as its packed ones a chunk may unpack to, besides [`UNPACKED_FREE`]. Records
/// have times and keys, which never pack that well: 70 times at the most, those of processes with the same
/// long command line.
const UNPACKED_TIMES: usize = 256;
const UNPACKED_FREE: usize = 4 << 10;

/// The most bytes of the container's records before the first chunk, which say what was recorded.
const BEGINNING_MAX: usize = 4 << 20;

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

/// Records that lie one after the other in parts of whole ones, each but the last of at least so many bytes.
pub fn parts(records: &[u8], least: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut size = 0;
        for record in Records(rest) {
            size += record.len();
            if size >= least {
                break;
            }
        }
        let (part, after) = rest.split_at(if size == 0 { rest.len() } else { size });
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}
