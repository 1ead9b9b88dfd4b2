//! Reads a trace chunk by chunk: what is damaged is said and left out, and nothing that a file claims
//! is believed before it is checked.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use mcap::{
    MAGIC, McapError,
    records::{ChunkHeader, ChunkIndex, Record, op},
    sans_io::{SummaryReadEvent, SummaryReader, SummaryReaderOptions},
};

use crate::{
    host::StartInfo,
    trace::{CHUNK_MAX, FORMAT, KEYFRAMES, PROFILE},
};

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("it is empty: nothing was recorded, or the recorder was stopped at once")]
    Empty,
    /// Its first bytes are not those of the container.
    #[error("it is no trace (a trace is an MCAP file, as `tracer record` writes it)")]
    NotATrace,
    /// The container is right, its contents are not ours.
    #[error("it is an MCAP file of another tool (its profile is {0:?}); tracer reads its own traces only")]
    OtherTool(String),
    /// A format that is not known yet.
    #[error("it has version {0} of the format, and this tracer reads up to version {FORMAT}; use a newer tracer")]
    Newer(u32),
    /// The first records of the container make no sense.
    #[error("its beginning is damaged, so that nothing can be made of the rest: {0}")]
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
    /// Nothing; the trace was closed as it should be.
    End,
    /// Nothing, but the trace has no end: so many bytes after the last chunk belong to none.
    Cut(u64),
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    /// Nanoseconds since 1970 of its first message.
    begins: u64,
    has_keyframe: bool,
}

/// A trace that is being read.
pub struct Reader {
    input: Input,
    /// What its metadata says of the run.
    start: StartInfo,
    /// The chunk at hand, unpacked.
    bytes: Vec<u8>,
    packed: Vec<u8>,
    unpacker: zstd::bulk::Decompressor<'static>,
}

enum Input {
    /// A file, of which it is known where the chunks are: damage to one does not hide the next.
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
        let mut file = File::open(path)?;
        // `open` takes a directory, and read(2) then says so.
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        }
        if !kind.is_file() {
            return Self::pipe(Box::new(file));
        }
        let start = beginning(&mut file)?;
        let (places, end) = match index(&mut file) {
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

    fn new(input: Input, start: StartInfo) -> Result<Self, TraceError> {
        let unpacker = zstd::bulk::Decompressor::new()?;
        Ok(Self { input, start, bytes: Vec::new(), packed: Vec::new(), unpacker })
    }

    /// What the trace says of the run.
    pub fn start(&self) -> &StartInfo {
        &self.start
    }

    /// The records of a message of the last [`Next::Chunk`].
    pub fn part(&self, message: &Message) -> &[u8] {
        self.bytes.get(message.data.clone()).unwrap_or_default()
    }

    /// The messages of the first chunk that can be read, or of the last, whatever comes next; none of a
    /// pipe.
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

    /// Goes on at the last chunk that begins with an image of the world and is not later than a time,
    /// in nanoseconds since 1970. False where there is none, or the input is a pipe; then nothing has
    /// changed.
    pub fn seek(&mut self, time: u64) -> bool {
        let Input::File { places, next, .. } = &mut self.input else { return false };
        let found = places.iter().rposition(|place| place.has_keyframe && place.begins <= time);
        *next = found.unwrap_or(*next);
        found.is_some()
    }

    /// Reads on.
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
                    Frame::TooLong(length) => {
                        *done = true;
                        return Ok(lost_track(length));
                    }
                }
            },
        }
    }
}

/// Magic bytes, header and metadata: that it is a trace, of a version that is known, and of what run.
fn beginning(from: &mut dyn Read) -> Result<StartInfo, TraceError> {
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
    let mut has_header = false;
    loop {
        let Frame::Record(op) = frame(from, &mut body)? else {
            return Err(bad("it ends before it says what was recorded"));
        };
        match op {
            op::HEADER => {
                let Ok(Record::Header(header)) = mcap::parse_record(op, &body) else {
                    return Err(bad("its header cannot be read"));
                };
                let Some(version) = header.profile.strip_prefix(PROFILE) else {
                    return Err(TraceError::OtherTool(header.profile));
                };
                match version.parse() {
                    Ok(1..=FORMAT) => has_header = true,
                    Ok(newer) if newer > FORMAT => return Err(TraceError::Newer(newer)),
                    _ => return Err(bad("its header names no version")),
                }
            }
            op::METADATA if has_header => {
                let Ok(Record::Metadata(metadata)) = mcap::parse_record(op, &body) else {
                    return Err(bad("its metadata cannot be read"));
                };
                let start = metadata.metadata.get("start").map(|start| serde_json::from_str(start));
                return match start {
                    Some(Ok(start)) => Ok(start),
                    _ => Err(bad("its metadata does not say what was recorded")),
                };
            }
            _ => return Err(bad("its header is missing")),
        }
    }
}

/// A record of the container.
enum Frame {
    /// It is whole, and this is its type.
    Record(u8),
    /// There is no whole one left, only so many bytes.
    End(u64),
    /// It cannot be that long.
    TooLong(u64),
}

/// Reads one record of the container: a type, a length, and a body of that length.
fn frame(from: &mut (impl Read + ?Sized), body: &mut Vec<u8>) -> io::Result<Frame> {
    let mut head = Vec::with_capacity(9);
    from.take(9).read_to_end(&mut head)?;
    let Some((&op, length)) = head.split_first() else { return Ok(Frame::End(0)) };
    let Ok(length) = length.try_into().map(u64::from_le_bytes) else { return Ok(Frame::End(head.len() as u64)) };
    if length > CHUNK_MAX as u64 {
        return Ok(Frame::TooLong(length));
    }
    body.clear();
    // Room comes as bytes do: a length that is a lie takes none.
    from.take(length).read_to_end(body)?;
    let whole = body.len() as u64 == length;
    Ok(if whole { Frame::Record(op) } else { Frame::End(9 + body.len() as u64) })
}

/// Reads the chunk that should be in a place.
fn chunk_at(
    file: &mut File,
    place: Place,
    packed: &mut Vec<u8>,
    unpacker: &mut zstd::bulk::Decompressor<'_>,
    bytes: &mut Vec<u8>,
) -> io::Result<Next> {
    file.seek(SeekFrom::Start(place.offset))?;
    Ok(match frame(file, packed)? {
        Frame::Record(op::CHUNK) => unpack(packed, unpacker, bytes),
        _ => Next::Damaged("there is no chunk where one should be".to_owned()),
    })
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
    bytes.clear();
    match compression.as_str() {
        "" => bytes.extend_from_slice(&packed),
        "zstd" => {
            bytes.reserve(size);
            unpacker
                .decompress_to_buffer(&packed, bytes)
                .map_err(|error| format!("a chunk cannot be unpacked: {error}"))?;
        }
        other => return Err(format!("a chunk is packed with {other:?}, which is not known here")),
    }
    if bytes.len() != size || (uncompressed_crc != 0 && crc32fast::hash(bytes) != uncompressed_crc) {
        return Err("the checksum of a chunk is wrong".to_owned());
    }
    messages(bytes)
}

/// The messages of an unpacked chunk; other records in it are passed over.
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

/// Where the chunks are, as the index at the end of the file says; `None` if there is none that can be
/// believed.
fn index(file: &mut File) -> Option<Vec<Place>> {
    let size = file.metadata().ok()?.len();
    let options = SummaryReaderOptions::default().with_file_size(size).with_record_length_limit(CHUNK_MAX);
    let mut reader = SummaryReader::new_with_options(options);
    while let Some(event) = reader.next_event() {
        match event.ok()? {
            SummaryReadEvent::ReadRequest(most) => {
                let read = file.read(reader.insert(most)).ok()?;
                reader.notify_read(read);
            }
            SummaryReadEvent::SeekRequest(to) => reader.notify_seeked(file.seek(to).ok()?),
        }
    }
    let summary = reader.finish()?;
    let place = |chunk: &ChunkIndex| Place {
        offset: chunk.chunk_start_offset,
        begins: chunk.message_start_time,
        has_keyframe: chunk.message_index_offsets.contains_key(&KEYFRAMES),
    };
    Some(summary.chunk_indexes.iter().map(place).collect())
}

/// Where the chunks are, record by record, and what comes after the last: for a trace without an index,
/// whose recorder was killed or is still at work.
fn scan(file: &mut File) -> io::Result<(Vec<Place>, Next)> {
    let size = file.metadata()?.len();
    let mut places: Vec<Place> = Vec::new();
    let mut head = Vec::new();
    let mut from = MAGIC.len() as u64;
    let end = loop {
        // Type and length, and the beginning of the body: two times of a chunk, the channel of an index.
        file.seek(SeekFrom::Start(from))?;
        head.clear();
        file.take(9 + 8).read_to_end(&mut head)?;
        let (Some(&op), Some(length)) = (head.first(), number(&head, 1)) else { break Next::Cut(size - from) };
        if length > CHUNK_MAX as u64 {
            break lost_track(length);
        }
        let next = from + 9 + length;
        if next > size {
            break Next::Cut(size - from);
        }
        match op {
            op::CHUNK => {
                let begins = number(&head, 9).unwrap_or_default();
                places.push(Place { offset: from, begins, has_keyframe: false });
            }
            // The indexes of a chunk's channels follow it.
            op::MESSAGE_INDEX if head.get(9..11) == Some(&KEYFRAMES.to_le_bytes()) => {
                if let Some(place) = places.last_mut() {
                    place.has_keyframe = true;
                }
            }
            op::DATA_END | op::FOOTER => break Next::End,
            _ => {}
        }
        from = next;
    };
    Ok((places, end))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn lost_track(length: u64) -> Next {
    Next::Damaged(format!("a record claims {length} bytes, so that where the next one begins is not known"))
}

fn said(error: &McapError) -> String {
    format!("a chunk cannot be read: {error}")
}
