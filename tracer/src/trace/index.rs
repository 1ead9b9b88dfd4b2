//! Where the chunks of a trace file are: from the index at its end or, if there is none that can be trusted, from a
//! scan of the file.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use mcap::{
    MAGIC,
    records::{Record, op},
};

use super::{
    CHANGES, CHUNK_MAX, KEYFRAMES,
    reader::{Frame, Next, frame},
};

/// The place of a chunk. Small, because a file can claim many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes from the beginning of the file; the highest bit says whether it has a keyframe, or part of one, and the
    /// next one, whether it has changes.
    place: u64,
    /// Nanoseconds since 1970 of its first message.
    pub begins: u64,
}

const HAS_KEYFRAME: u64 = 1 << 63;
const HAS_CHANGES: u64 = 1 << 62;

impl Place {
    fn new(offset: u64, begins: u64) -> Self {
        Self { place: offset & !(HAS_KEYFRAME | HAS_CHANGES), begins }
    }

    /// It has messages of that channel.
    fn mark(&mut self, channel: u16) {
        match channel {
            KEYFRAMES => self.place |= HAS_KEYFRAME,
            CHANGES => self.place |= HAS_CHANGES,
            _ => {}
        }
    }

    pub fn offset(self) -> u64 {
        self.place & !(HAS_KEYFRAME | HAS_CHANGES)
    }

    pub fn has_changes(self) -> bool {
        self.place & HAS_CHANGES != 0
    }

    pub fn has_keyframe(self) -> bool {
        self.place & HAS_KEYFRAME != 0
    }
}

/// How many chunks of a file are read: five weeks of an idle machine, and a bound on what a file can make its reader
/// remember (64 MiB).
const PLACES: usize = 1 << 22;

/// The footer and the magic bytes that end a file: type, length, two offsets and a checksum.
const FOOTER: usize = 1 + 8 + 8 + 8 + 4 + MAGIC.len();

/// What the index at the end of a file says; `None` if there is none, or its checksum is wrong.
pub(super) fn index(file: &mut File) -> io::Result<Option<Vec<Place>>> {
    let size = file.metadata()?.len();
    let Some(end) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
    let mut footer = Vec::with_capacity(FOOTER);
    file.seek(SeekFrom::Start(end))?;
    file.take(FOOTER as u64).read_to_end(&mut footer)?;
    let has_footer = footer.first() == Some(&op::FOOTER) && number(&footer, 1) == Some(20) && footer.ends_with(MAGIC);
    let Some(begin) = number(&footer, 9).filter(|&begin| has_footer && begin <= end) else { return Ok(None) };
    file.seek(SeekFrom::Start(begin))?;
    let mut summed = Summed { from: BufReader::new(file).take(end - begin), sum: crc32fast::Hasher::new() };
    let mut places: Vec<Place> = Vec::new();
    let mut body = Vec::new();
    loop {
        match frame(&mut summed, &mut body)? {
            Frame::Record(op::CHUNK_INDEX) => {
                let Ok(Record::ChunkIndex(chunk)) = mcap::parse_record(op::CHUNK_INDEX, &body) else { return Ok(None) };
                let mut place = Place::new(chunk.chunk_start_offset, chunk.message_start_time);
                chunk.message_index_offsets.keys().for_each(|&channel| place.mark(channel));
                // They must be in file order, or a chunk could be played again and again.
                let is_after = places.last().is_none_or(|last| last.offset() < place.offset());
                if !is_after || chunk.chunk_start_offset >= begin || places.len() == PLACES {
                    return Ok(None);
                }
                places.push(place);
            }
            Frame::Record(_) => {}
            Frame::End(0) => break,
            Frame::End(_) | Frame::Nonsense(..) => return Ok(None),
        }
    }
    // The checksum covers the footer up to its own place.
    let (covered, sum) = footer.split_at(1 + 8 + 8 + 8);
    summed.sum.update(covered);
    let is_right = sum.starts_with(&summed.sum.finalize().to_le_bytes());
    Ok(is_right.then_some(places))
}

/// A reader that computes the checksum of what it reads.
struct Summed<R> {
    from: R,
    sum: crc32fast::Hasher,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.sum.update(&to[..read]);
        Ok(read)
    }
}

/// Scans record by record, for a trace whose recorder was killed or is still at work; also returns how many bytes
/// follow the last whole record. Where the beginning of a record is damaged, or a power cut has left zeros, it searches
/// for the next chunk.
pub(super) fn scan(file: &mut File) -> io::Result<(Vec<Place>, Next)> {
    let size = file.metadata()?.len();
    let mut places: Vec<Place> = Vec::new();
    let mut head = Vec::new();
    let mut from = MAGIC.len() as u64;
    let end = loop {
        // Type, length and the beginning of the body: the two times of a chunk, the channel of an index.
        file.seek(SeekFrom::Start(from))?;
        head.clear();
        file.take(9 + 8).read_to_end(&mut head)?;
        let next = next_record(&head, from).filter(|&next| next <= size);
        match (head.first(), next) {
            (Some(&(op::DATA_END | op::FOOTER)), Some(_)) => break Next::End,
            (None, _) => break Next::Cut(0),
            (Some(&op::CHUNK), Some(_)) if places.len() == PLACES => {
                break Next::Damaged(format!("it has more than {PLACES} chunks, and the rest is not read"));
            }
            (Some(&op::CHUNK), Some(_)) => {
                let begins = number(&head, 9).unwrap_or_default();
                places.push(Place::new(from, begins));
            }
            // The indexes of a chunk's channels follow it.
            (Some(&op::MESSAGE_INDEX), Some(_)) => {
                if let (Some(place), Some(&[low, high])) = (places.last_mut(), head.get(9..11)) {
                    place.mark(u16::from_le_bytes([low, high]));
                }
            }
            (Some(_), Some(_)) => {}
            (Some(_), None) => match find_chunk(file, from + 1)? {
                // What is in between counts as one damaged chunk.
                Some(found) if places.len() < PLACES => {
                    places.push(Place::new(from, 0));
                    from = found;
                    continue;
                }
                _ => break Next::Cut(size - from),
            },
        }
        from = next.unwrap_or(size);
    };
    Ok((places, end))
}

/// Where the record ends that begins with these bytes; `None` if there can be no such record.
fn next_record(head: &[u8], from: u64) -> Option<u64> {
    let length = number(head, 1).filter(|&length| length <= CHUNK_MAX as u64)?;
    // No record has type 0: see `frame`.
    (head[0] != 0).then_some(from + 9 + length)
}

/// What is in a chunk between its head and its messages, as `tracer` writes it: the name of the compression. Then
/// follow the compressed length, and the magic bytes of zstd.
const ZSTD: &[u8] = b"\x04\0\0\0zstd";
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Bytes of a chunk before that: type, length, two times, size, checksum.
const BEFORE: usize = 1 + 8 + 8 + 8 + 8 + 4;
/// All bytes by which a chunk is recognised.
const HEAD: usize = BEFORE + ZSTD.len() + 8 + ZSTD_MAGIC.len();

/// The next place from there on that looks like a chunk. Its checksum will show whether it is one.
fn find_chunk(file: &mut File, from: u64) -> io::Result<Option<u64>> {
    let size = file.metadata()?.len();
    let mut at = from;
    let mut window = Vec::new();
    // Small at first, or many short gaps would take long.
    let mut width = 4 << 10;
    loop {
        file.seek(SeekFrom::Start(at))?;
        window.clear();
        file.take(width as u64).read_to_end(&mut window)?;
        let found = window.windows(HEAD).enumerate().find(|(i, head)| is_chunk(head, size - (at + *i as u64)));
        if let Some((i, _)) = found {
            return Ok(Some(at + i as u64));
        }
        if window.len() < width {
            return Ok(None);
        }
        // The windows overlap, so that nothing is missed between them.
        at += (width - HEAD) as u64;
        width = (width * 2).min(1 << 20);
    }
}

/// Whether these are the first bytes of a chunk that fits into as many bytes as are left.
fn is_chunk(head: &[u8], left: u64) -> bool {
    let length = number(head, 1).filter(|&length| length <= CHUNK_MAX as u64 && 9 + length <= left);
    let packed = number(head, BEFORE + ZSTD.len());
    let before_packed = (BEFORE - 9 + ZSTD.len() + 8) as u64;
    head[0] == op::CHUNK
        && head[BEFORE..].starts_with(ZSTD)
        && head.ends_with(&ZSTD_MAGIC)
        && packed.and_then(|packed| packed.checked_add(before_packed)) == length
        && length.is_some()
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
