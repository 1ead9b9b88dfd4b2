//! Events as bytes: the records that the kernel writes and that a trace keeps.

use tracer_common::Header;
use zerocopy::FromBytes;

pub mod decode;
pub mod encode;
pub mod layout;

/// The version of the format. A reader knows all versions up to its own.
pub const FORMAT: u32 = 1;

/// Records in sequence, up to the first that does not fit.
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

/// Records in sequence, in parts of whole records, each but the last of at least so many bytes.
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
