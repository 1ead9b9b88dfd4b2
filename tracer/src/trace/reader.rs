//! Reads a trace chunk by chunk: reports and skips what is damaged, and checks whatever a file claims before believing
//! it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use mcap::{
    MAGIC, McapError,
    records::{ChunkHeader, Record, op},
};
use tracer_common::{Header, RecordKind};
use zerocopy::FromBytes;

use crate::{
    host::StartInfo,
    ident::quote,
    trace::{
        BEGINNING_MAX, CHANGES, CHUNK_MAX, FORMAT, JOINED_MAX, KEYFRAMES, PROFILE, Records, START, START_SUM,
        UNPACKED_FREE, UNPACKED_TIMES,
        difference::joined,
        index::{Place, index, number, scan},
    },
    wire::decode::JSON_MAX,
};

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a format that can be read.
    #[error("it is a directory, and a trace is one file")]
    Directory,
    /// There is nothing in it.
    #[error("it is empty: nothing was recorded, or the recorder was stopped at once")]
    Empty,
    /// Its first bytes are not those of the container.
    #[error("it is no trace (a trace is an MCAP file, as `tracer record` writes it)")]
    NotATrace,
    /// The container is right, but its contents are not ours.
    #[error("it is an MCAP file of another tool (its profile is {}); tracer reads its own traces only", quote(.0))]
    OtherTool(String),
    /// A format that is not known yet.
    #[error("it has version {0} of the format, and this tracer reads up to version {FORMAT}; use a newer tracer")]
    Newer(u32),
    /// The first records of the container make no sense.
    #[error("its beginning is damaged, so that nothing can be made of the rest: {0}; is there a copy of it?")]
    BadBeginning(String),
}

/// A message of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// [`RECORDS`](crate::trace::RECORDS) or [`KEYFRAMES`].
    pub channel: u16,
    /// Number of its first record.
    pub sequence: u32,
    /// Nanoseconds since 1970.
    pub at: u64,
    /// Where its records are among the bytes of the chunk.
    pub data: Range<usize>,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// A chunk: its messages, and the bytes that they point to ([`Reader::part`]).
    Chunk(Vec<Message>),
    /// Something that cannot be read, and why.
    Damaged(String),
    /// The end; the trace was closed properly.
    End,
    /// The end, but the trace was not closed: so many bytes after the last chunk belong to no chunk.
    Cut(u64),
}

/// A trace that is being read.
pub struct Reader {
    input: Input,
    /// What its metadata says of the run; `None` if it is damaged.
    start: Option<StartInfo>,
    /// The chunk at hand, unpacked.
    bytes: Vec<u8>,
    packed: Vec<u8>,
    unpacker: zstd::bulk::Decompressor<'static>,
}

enum Input {
    /// A file whose chunks are located: damage to one does not hide the next.
    File { file: File, places: Vec<Place>, next: usize, end: Option<Next> },
    /// A pipe: one after the other.
    Pipe { from: Box<dyn Read>, done: bool },
}

impl Reader {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        if path == Path::new("-") {
            return Self::pipe(Box::new(io::stdin()));
        }
        Self::file(File::open(path)?)
    }

    /// Reads a trace from an open file, or from the pipe behind it.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn file(mut file: File) -> Result<Self, TraceError> {
        // open(2) accepts a directory; read(2) then fails.
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(TraceError::Directory);
        }
        if !kind.is_file() {
            return Self::pipe(Box::new(file));
        }
        let start = beginning(&mut file)?;
        let (places, end) = match index(&mut file)? {
            Some(places) => (places, Next::End),
            None => scan(&mut file)?,
        };
        Self::new(Input::File { file, places, next: 0, end: Some(end) }, start)
    }

    /// Reads a trace from somewhere that cannot be rewound.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn pipe(mut from: Box<dyn Read>) -> Result<Self, TraceError> {
        let start = beginning(&mut from)?;
        Self::new(Input::Pipe { from, done: false }, start)
    }

    fn new(input: Input, start: Option<StartInfo>) -> Result<Self, TraceError> {
        let unpacker = zstd::bulk::Decompressor::new()?;
        Ok(Self { input, start, bytes: Vec::new(), packed: Vec::new(), unpacker })
    }

    /// What the metadata say of the run; `None` if they are damaged.
    pub fn start(&self) -> Option<&StartInfo> {
        self.start.as_ref()
    }

    /// The records of a message of the last [`Next::Chunk`].
    pub fn part(&self, message: &Message) -> &[u8] {
        self.bytes.get(message.data.clone()).unwrap_or_default()
    }

    /// The messages of the first or the last chunk that can be read, whatever is read next; `None` for a pipe.
    ///
    /// # Errors
    /// Only what read(2) says.
    pub fn outermost(&mut self, from_the_back: bool) -> io::Result<Vec<Message>> {
        let Self { input: Input::File { file, places, .. }, bytes, packed, unpacker, .. } = self else {
            return Ok(Vec::new());
        };
        for i in 0..places.len() {
            let place = places[if from_the_back { places.len() - 1 - i } else { i }];
            match chunk_at(file, place, packed, unpacker, bytes)? {
                Next::Chunk(messages) if !messages.is_empty() => return Ok(messages),
                _ => {}
            }
        }
        Ok(Vec::new())
    }

    /// Continues at the last chunk that begins with a complete image of the world and is not later than a time, in
    /// nanoseconds since 1970; or behind it, where its changes end. Returns the image that they lead to, as records, or
    /// nothing of one that is too large: it is what is read next. Returns `None`, and changes nothing, if there is no
    /// image or the input is a pipe.
    ///
    /// # Errors
    /// Only what read(2) says.
    pub fn seek(&mut self, time: u64) -> io::Result<Option<Vec<u8>>> {
        let Self { input: Input::File { file, places, next, .. }, bytes, packed, unpacker, .. } = self else {
            return Ok(None);
        };
        let mut read = |places: &[Place], channel| image_at(file, places, channel, packed, unpacker, bytes);
        let mut before = places.len();
        while let Some(i) = places[..before].iter().rposition(|place| place.has_keyframe() && place.begins <= time) {
            before = i;
            let Some((image, chunks)) = read(&places[i..], KEYFRAMES)? else { continue };
            *next = i;
            if image.is_empty() {
                return Ok(Some(image));
            }
            // Each follows the one before: where one is missing, the way ends.
            let (mut size, mut changes, mut j) = (image.len(), Vec::new(), i + chunks);
            while let Some(place) = places.get(j).filter(|place| place.begins <= time && !place.has_keyframe()) {
                if !place.has_changes() {
                    j += 1;
                    continue;
                }
                let Some((change, chunks)) = read(&places[j..], CHANGES)? else { break };
                size += change.len();
                if change.is_empty() || size > JOINED_MAX {
                    break;
                }
                changes.push(change);
                *next = j;
                j += chunks;
            }
            return Ok(Some(if changes.is_empty() { image } else { joined(&image, &changes) }));
        }
        Ok(None)
    }

    /// Reads the next item.
    ///
    /// # Errors
    /// Only what read(2) says.
    pub fn read_on(&mut self) -> io::Result<Next> {
        let Self { input, bytes, packed, unpacker, .. } = self;
        match input {
            Input::File { file, places, next, end } => {
                let Some(place) = places.get(*next) else { return Ok(end.take().unwrap_or(Next::End)) };
                *next += 1;
                chunk_at(file, *place, packed, unpacker, bytes)
            }
            Input::Pipe { done: true, .. } => Ok(Next::End),
            Input::Pipe { from, done } => loop {
                match frame(from, packed)? {
                    Frame::Record(op::CHUNK) => return Ok(unpack(packed, unpacker, bytes)),
                    Frame::Record(op::DATA_END | op::FOOTER) => {
                        *done = true;
                        return Ok(Next::End);
                    }
                    Frame::Record(_) => {}
                    Frame::End(rest) => {
                        *done = true;
                        return Ok(Next::Cut(rest));
                    }
                    Frame::Nonsense(op, length) => {
                        *done = true;
                        return Ok(Next::Damaged(format!(
                            "something of {length} bytes is no record (type {op}): where the next one begins is known \
                             in a file, not in a pipe"
                        )));
                    }
                }
            },
        }
    }
}

/// Checks magic bytes, header and metadata: that it is a trace, of a known version, and of which run (`None` if only
/// that is damaged).
fn beginning(from: &mut dyn Read) -> Result<Option<StartInfo>, TraceError> {
    let mut magic = Vec::new();
    from.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    if magic.is_empty() {
        return Err(TraceError::Empty);
    }
    if magic != MAGIC {
        return Err(TraceError::NotATrace);
    }
    let bad = |why: &str| TraceError::BadBeginning(why.to_owned());
    let mut body = Vec::new();
    let Frame::Record(op::HEADER) = frame_of(from, &mut body, BEGINNING_MAX)? else {
        return Err(bad("its header is missing"));
    };
    let Ok(Record::Header(header)) = mcap::parse_record(op::HEADER, &body) else {
        return Err(bad("its header cannot be read"));
    };
    let Some(version) = header.profile.strip_prefix(PROFILE) else {
        return Err(TraceError::OtherTool(header.profile));
    };
    match version.parse() {
        Ok(1..=FORMAT) => {}
        Ok(newer) if newer > FORMAT => return Err(TraceError::Newer(newer)),
        _ => return Err(bad("its header names no version")),
    }
    let Frame::Record(op::METADATA) = frame_of(from, &mut body, BEGINNING_MAX)? else { return Ok(None) };
    let Ok(Record::Metadata(metadata)) = mcap::parse_record(op::METADATA, &body) else { return Ok(None) };
    Ok(metadata_start(&metadata.metadata))
}

/// What the metadata say of the run, if their checksum is right.
fn metadata_start(metadata: &BTreeMap<String, String>) -> Option<StartInfo> {
    let start = metadata.get(START).filter(|start| start.len() <= JSON_MAX)?;
    let sum = crc32fast::hash(start.as_bytes()).to_string();
    (metadata.get(START_SUM) == Some(&sum)).then(|| serde_json::from_str(start).ok())?
}

/// A record of the container.
pub(super) enum Frame {
    /// It is whole, and this is its type.
    Record(u8),
    /// No whole record is left, only so many bytes.
    End(u64),
    /// It cannot be a record: its type is 0, or it cannot be that long.
    Nonsense(u8, u64),
}

/// Reads one record of the container: a type, a length, and a body of that length.
pub(super) fn frame(from: &mut (impl Read + ?Sized), body: &mut Vec<u8>) -> io::Result<Frame> {
    frame_of(from, body, CHUNK_MAX)
}

/// Likewise, of at most so many bytes.
fn frame_of(from: &mut (impl Read + ?Sized), body: &mut Vec<u8>, most: usize) -> io::Result<Frame> {
    let mut head = Vec::with_capacity(9);
    from.take(9).read_to_end(&mut head)?;
    let Some((&op, length)) = head.split_first() else { return Ok(Frame::End(0)) };
    let Ok(length) = length.try_into().map(u64::from_le_bytes) else { return Ok(Frame::End(head.len() as u64)) };
    // Zeros are what a file system shows in place of what it never wrote.
    if op == 0 || length > most as u64 {
        return Ok(Frame::Nonsense(op, length));
    }
    body.clear();
    // Memory grows as bytes arrive: a false length takes none.
    from.take(length).read_to_end(body)?;
    let whole = body.len() as u64 == length;
    Ok(if whole { Frame::Record(op) } else { Frame::End(9 + body.len() as u64) })
}

/// Reads the chunk that should be at a place.
fn chunk_at(
    file: &mut File,
    place: Place,
    packed: &mut Vec<u8>,
    unpacker: &mut zstd::bulk::Decompressor<'_>,
    bytes: &mut Vec<u8>,
) -> io::Result<Next> {
    file.seek(SeekFrom::Start(place.offset()))?;
    Ok(match frame(file, packed)? {
        Frame::Record(op::CHUNK) => unpack(packed, unpacker, bytes),
        _ => Next::Damaged("there is no chunk where one should be".to_owned()),
    })
}

/// The image of the world, or the changes of one, with which the first of these chunks begins, if it is complete. A
/// large one spans many messages, all of the same number, and many chunks: how many, is returned, too. Of one that is
/// too large, nothing is kept.
fn image_at(
    file: &mut File,
    places: &[Place],
    wanted: u16,
    packed: &mut Vec<u8>,
    unpacker: &mut zstd::bulk::Decompressor<'_>,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<(Vec<u8>, usize)>> {
    let (mut number, mut is_too_large) = (None, false);
    let mut image = Vec::new();
    for (i, &place) in places.iter().enumerate() {
        let Next::Chunk(messages) = chunk_at(file, place, packed, unpacker, bytes)? else { return Ok(None) };
        for Message { channel, sequence, data, .. } in messages {
            let part = bytes.get(data).unwrap_or_default();
            let mut kinds = kinds(part);
            let goes_on = match number {
                None => kinds.next() == Some(RecordKind::SnapshotBegin as u8),
                Some(before) => before == sequence && kinds.clone().next() != Some(RecordKind::SnapshotBegin as u8),
            };
            if channel != wanted || !goes_on {
                return Ok(None);
            }
            is_too_large |= image.len() + part.len() > JOINED_MAX;
            if is_too_large {
                image = Vec::new();
            } else {
                image.extend_from_slice(part);
            }
            if kinds.any(|kind| kind == RecordKind::SnapshotEnd as u8) {
                return Ok(Some((image, i + 1)));
            }
            number = Some(sequence);
        }
    }
    Ok(None)
}

/// The kinds of records, in their order.
pub fn kinds(records: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    Records(records).filter_map(|record| Some(Header::read_from_prefix(record).ok()?.0.kind))
}

/// Unpacks a chunk and finds its messages.
fn unpack(body: &[u8], unpacker: &mut zstd::bulk::Decompressor<'_>, bytes: &mut Vec<u8>) -> Next {
    match try_unpack(body, unpacker, bytes) {
        Ok(messages) => Next::Chunk(messages),
        Err(why) => Next::Damaged(why),
    }
}

fn try_unpack(
    body: &[u8],
    unpacker: &mut zstd::bulk::Decompressor<'_>,
    bytes: &mut Vec<u8>,
) -> Result<Vec<Message>, String> {
    let (header, packed) = match mcap::parse_record(op::CHUNK, body) {
        Ok(Record::Chunk { header, data }) => (header, data),
        Ok(_) => return Err("a chunk is none".to_owned()),
        Err(error) => return Err(said(&error)),
    };
    let ChunkHeader { uncompressed_size, uncompressed_crc, compression, .. } = header;
    let size = usize::try_from(uncompressed_size).ok().filter(|&size| size <= CHUNK_MAX);
    let size = size.ok_or_else(|| format!("a chunk claims to unpack to {uncompressed_size} bytes"))?;
    if size > UNPACKED_FREE + packed.len().saturating_mul(UNPACKED_TIMES) {
        let packed = packed.len();
        return Err(format!("a chunk claims to unpack from {packed} to {size} bytes, more than records can"));
    }
    bytes.clear();
    match compression.as_str() {
        "" => bytes.extend_from_slice(&packed),
        "zstd" => {
            bytes.reserve(size);
            unpacker
                .decompress_to_buffer(&packed, bytes)
                .map_err(|error| format!("a chunk cannot be unpacked: {error}"))?;
        }
        other => return Err(format!("a chunk is packed with {}, which is not known here", quote(other))),
    }
    if bytes.len() != size || (uncompressed_crc != 0 && crc32fast::hash(bytes) != uncompressed_crc) {
        return Err("the checksum of a chunk is wrong".to_owned());
    }
    messages(bytes)
}

/// The messages of an unpacked chunk; other records in it are skipped.
fn messages(bytes: &[u8]) -> Result<Vec<Message>, String> {
    /// Channel, sequence, and two times.
    const HEAD: usize = 2 + 4 + 8 + 8;
    let mut messages = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let rest = &bytes[from..];
        let whole = number(rest, 1).and_then(|length| rest[9..].get(..usize::try_from(length).ok()?));
        let body = whole.ok_or("a chunk ends in the middle of a record")?;
        let end = from + 9 + body.len();
        if rest[0] == op::MESSAGE {
            let Ok(Record::Message { header, data: _ }) = mcap::parse_record(op::MESSAGE, body) else {
                return Err("a message cannot be read".to_owned());
            };
            messages.push(Message {
                channel: header.channel_id,
                sequence: header.sequence,
                at: header.log_time,
                data: (from + 9 + HEAD).min(end)..end,
            });
        }
        from = end;
    }
    Ok(messages)
}

fn said(error: &McapError) -> String {
    format!("a chunk cannot be read: {error}")
}
