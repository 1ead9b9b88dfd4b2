//! The trace as a source: the events of a recording in their order, with a loss in place of what could not be read.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    ops::ControlFlow,
    path::Path,
};

use anyhow::{Context, Result};
use rustc_hash::FxHashMap;
use tracer_common::{Header, RecordKind};
use zerocopy::FromBytes;

use crate::{
    detector::Detector,
    event::{Event, EventKind, Loss},
    host::{Container, StartInfo},
    ident::file_name,
    source::{
        decode::{DecodeError, decode},
        encode::encode,
        until::{Side, Until},
    },
    step::Step,
    time::BootNs,
    trace::{
        KEYFRAMES, RECORDS, Records,
        reader::{Message, Next, Reader, TraceError, kinds},
    },
    world::World,
};

/// A recording that is being played.
pub struct Trace {
    reader: Reader,
    start: StartInfo,
    /// Number of the next record; `None` where it began in the middle.
    next: Option<u32>,
    /// Something is missing, so the next image of the world is needed.
    is_torn: bool,
    /// The number of the image of the world that is being read: a large one spans many messages.
    image: Option<u32>,
    /// The image with which to begin in the middle.
    first: Option<Vec<u8>>,
    /// A chunk could not be read, and no message since has shown how much was in it.
    is_uncounted: bool,
    /// Which part of the stream is being read.
    now: BootNs,
    end: FileEnd,
}

/// How a trace ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEnd {
    /// Bytes after the last chunk that belong to no chunk, if the trace was not closed properly.
    pub cut: Option<u64>,
    /// What is wrong with the file, a sentence each.
    pub damage: Vec<String>,
}

impl FileEnd {
    /// What there is to report about the file, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let Self { cut, damage } = self;
        let cut = cut.map(|bytes| {
            format!(
                "the recording was not closed: the recorder was killed, or is still at work; \
                 {bytes} bytes at its end cannot be used"
            )
        });
        damage.iter().cloned().chain(cut).collect()
    }

    fn damaged(&mut self, why: String) {
        if self.damage.len() < DAMAGE_KEPT {
            self.damage.push(why);
        }
    }
}

/// How many sentences about damage are kept.
const DAMAGE_KEPT: usize = 8;

impl Trace {
    /// Opens a trace; `-` is standard input.
    ///
    /// # Errors
    /// If there is none, with the file and the reason.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || Self::new(Reader::open(path)?);
        open().with_context(|| format!("cannot read the trace {}", file_name(path)))
    }

    /// Reads an open file.
    ///
    /// # Errors
    /// If it is no trace, with the reason.
    pub fn of(file: File) -> Result<Self> {
        Ok(Self::new(Reader::file(file)?)?)
    }

    /// Plays what a reader provides.
    ///
    /// # Errors
    /// If it does not say what was recorded.
    pub fn new(mut reader: Reader) -> Result<Self, TraceError> {
        let mut end = FileEnd::default();
        let start = match reader.start() {
            Some(start) => start.clone(),
            None => {
                let start = first_record(&mut reader)?;
                end.damage.push("its metadata are damaged; the first record says the same".to_owned());
                start
            }
        };
        Ok(Self {
            reader,
            start,
            next: Some(0),
            is_torn: false,
            image: None,
            first: None,
            is_uncounted: false,
            now: BootNs::ZERO,
            end,
        })
    }

    /// What was recorded, and how.
    pub fn start(&self) -> &StartInfo {
        &self.start
    }

    /// How it ended, once it has been played.
    pub fn end(&self) -> &FileEnd {
        &self.end
    }

    /// The boot times of the first and the last record that can be read; `None` for a
    /// pipe, which must be played to know.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn span(&mut self) -> Result<Option<(BootNs, BootNs)>> {
        let mut ends = [None, None];
        for (end, from_the_back) in ends.iter_mut().zip([false, true]) {
            let messages = self.reader.outermost(from_the_back).context("cannot read on")?;
            let records = messages.iter().flat_map(|message| Records(self.reader.part(message)));
            let times = records.filter_map(|record| Some(BootNs(Header::read_from_prefix(record).ok()?.0.at)));
            *end = if from_the_back { times.max() } else { times.min() };
        }
        Ok(ends[0].zip(ends[1]))
    }

    /// Begins with the last image of the world that is not later than a boot time, so that [`Trace::play`] has only a
    /// short way to go. Without one, it begins at the beginning.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn seek(&mut self, at: BootNs) -> Result<()> {
        let time = at.0.saturating_add_signed(self.start().wall_offset_ns);
        if let Some(image) = self.reader.seek(time).context("cannot read on")? {
            (self.is_torn, self.next, self.first) = (true, None, (!image.is_empty()).then_some(image));
        }
        Ok(())
    }

    /// Hands over each event with its record, until `take` breaks off or the trace ends.
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn play(&mut self, mut take: impl FnMut(&Event, &[u8]) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut undecodable = 0;
        let mut is_over = false;
        let (mut containers, mut too_much) = (ContainersText::default(), None);
        let played = self.play_records(&mut |record| {
            let event = match decode(record) {
                Ok(event) if containers.has_room_for(&event.kind) => event,
                Ok(_) => {
                    let most = ContainersText::MOST >> 20;
                    too_much
                        .get_or_insert(format!("it tells more than {most} MiB of containers; the rest is left out"));
                    undecodable += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                Err(error) => {
                    if let DecodeError::Long { .. } = error {
                        too_much.get_or_insert(format!("{error}; it is left out"));
                    }
                    undecodable += 1;
                    return Ok(ControlFlow::Continue(()));
                }
            };
            let mut flow = match std::mem::take(&mut undecodable) {
                0 => ControlFlow::Continue(()),
                lost => take_undecodable(lost, event.at, &mut take)?,
            };
            if flow.is_continue() {
                flow = take(&event, record)?;
            }
            is_over = flow.is_break();
            Ok(flow)
        });
        too_much.into_iter().for_each(|sentence| self.end.damaged(sentence));
        played?;
        if undecodable > 0 && !is_over {
            let _ = take_undecodable(undecodable, self.now, &mut take)?;
        }
        Ok(())
    }

    /// Hands over what had happened by a boot time, until `take` breaks off. That is not simply the beginning of the
    /// stream: see [`Until`].
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn play_until(
        &mut self,
        at: BootNs,
        mut take: impl FnMut(&Event, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut until = Until::new(at);
        self.play(|event, record| match until.judge(event) {
            Side::Before => take(event, record),
            Side::Early => take(&Event { at, ..event.clone() }, record),
            Side::After => Ok(ControlFlow::Continue(())),
            Side::Over => Ok(ControlFlow::Break(())),
        })
    }

    /// Plays it through a detector up to a boot time, until `take` breaks off: the one loop of all that read a recording
    /// for what it means.
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn detect(
        &mut self,
        detector: &mut Detector,
        until: BootNs,
        mut take: impl FnMut(&World, &Step<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.play_until(until, |event, record| {
            let (step, world) = detector.step(event, record);
            take(world, &step)
        })
    }

    /// Hands over each record as it is in the file, whatever it means; in place of what cannot be read, a record that
    /// says how much is missing.
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn play_records(&mut self, take: &mut Take<'_>) -> Result<()> {
        // An image of the world does not say what was recorded.
        if self.is_torn && self.make(EventKind::Start(Box::new(self.start.clone())), take)?.is_break() {
            return Ok(());
        }
        if let Some(image) = self.first.take() {
            // What the file has of it is known then.
            self.is_torn = false;
            for record in Records(&image) {
                self.now = self.now.max(BootNs(Header::read_from_prefix(record).map_or(0, |(header, _)| header.at)));
                if take(record)?.is_break() {
                    return Ok(());
                }
            }
        }
        loop {
            match self.reader.read_on().context("cannot read on")? {
                Next::Chunk(messages) => {
                    for message in messages {
                        if self.message(&message, take)?.is_break() {
                            return Ok(());
                        }
                    }
                }
                Next::Damaged(why) => {
                    self.end.damaged(why);
                    // The next message shows how much is missing. An image with a gap is dropped: its end would declare
                    // the world complete.
                    (self.is_uncounted, self.image) = (true, None);
                }
                Next::End => break,
                Next::Cut(bytes) => {
                    self.end.cut = Some(bytes);
                    break;
                }
            }
        }
        if self.is_uncounted {
            // At least one: the end of the trace.
            let _ = self.make(EventKind::Lost(Loss { unreadable: 1, ..Loss::default() }), take)?;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, take: &mut Take<'_>) -> Result<ControlFlow<()>> {
        let Message { channel, sequence, at, data: _ } = *message;
        // If nothing shows how many, at least one is missing.
        let missing = self.next.map_or(u32::from(self.is_uncounted), |next| sequence.wrapping_sub(next));
        let is_wanted = match channel {
            RECORDS => true,
            // What the image shows is already known, if nothing is missing.
            KEYFRAMES if kinds(self.reader.part(message)).next() == Some(RecordKind::SnapshotBegin as u8) => {
                self.is_torn || missing > 0
            }
            KEYFRAMES => self.image == Some(sequence),
            _ => return Ok(ControlFlow::Continue(())),
        };
        if !is_wanted && missing == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        self.image = (channel == KEYFRAMES && is_wanted).then_some(sequence);
        self.now = self.now.max(BootNs(at.saturating_add_signed(self.start().wall_offset_ns.saturating_neg())));
        if missing > 0 {
            self.is_torn = true;
            let loss = Loss { unreadable: u64::from(missing), ..Loss::default() };
            if self.make(EventKind::Lost(loss), take)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.is_uncounted = false;
        self.next = Some(sequence);
        if !is_wanted {
            return Ok(ControlFlow::Continue(()));
        }
        let mut records = Records(self.reader.part(message));
        for record in records.by_ref() {
            let Ok((Header { at, kind, .. }, _)) = Header::read_from_prefix(record) else { break };
            self.now = self.now.max(BootNs(at));
            match channel {
                RECORDS => self.next = self.next.map(|next| next.wrapping_add(1)),
                _ if kind == RecordKind::SnapshotEnd as u8 => (self.is_torn, self.image) = (false, None),
                _ => {}
            }
            if take(record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if !records.0.is_empty() {
            let rest = records.0.len();
            self.end.damaged(format!("a record is longer than the {rest} bytes that are left for it"));
            self.is_uncounted = true;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Hands over a record that is not in the trace.
    fn make(&mut self, kind: EventKind, take: &mut Take<'_>) -> Result<ControlFlow<()>> {
        let mut record = Vec::new();
        encode(&Event { at: self.now, cpu: 0, kind }, &mut record);
        take(&record)
    }
}

/// How much a trace has said about containers: the world keeps it for each of them.
#[derive(Default)]
struct ContainersText {
    /// Bytes of each, by a hash of its id.
    each: FxHashMap<u64, usize>,
    hasher: RandomState,
    all: usize,
}

impl ContainersText {
    /// How many bytes are accepted: some hundred thousand containers.
    const MOST: usize = 48 << 20;
    /// Bytes that each takes besides its text.
    const FIXED: usize = 64;

    /// Counts what is said; false if it is too much.
    fn has_room_for(&mut self, kind: &EventKind) -> bool {
        let EventKind::Container(container) = kind else { return true };
        let Container { id, name, image, pod, pod_namespace, stop_signal, pid_mode, .. } = &**container;
        let others = [name, image, pod, pod_namespace, stop_signal, pid_mode].into_iter().flatten();
        let bytes = Self::FIXED + id.len() + others.map(String::len).sum::<usize>();
        let hash = self.hasher.hash_one(id);
        let before = self.each.get(&hash).copied().unwrap_or_default();
        let all = self.all - before + bytes;
        if all > Self::MOST {
            return false;
        }
        self.all = all;
        self.each.insert(hash, bytes);
        true
    }
}

/// The run as the first record describes it, when the metadata are damaged.
fn first_record(reader: &mut Reader) -> Result<StartInfo, TraceError> {
    let messages = reader.outermost(false)?;
    let first = messages.first().and_then(|message| Records(reader.part(message)).next());
    match first.map(decode) {
        Some(Ok(Event { kind: EventKind::Start(start), .. })) => Ok(*start),
        _ => Err(TraceError::BadBeginning("it does not say what was recorded".to_owned())),
    }
}

/// Reports that so many records could not be decoded.
fn take_undecodable(
    undecodable: u64,
    at: BootNs,
    take: &mut impl FnMut(&Event, &[u8]) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    let lost = Event { at, cpu: 0, kind: EventKind::Lost(Loss { undecodable, ..Loss::default() }) };
    let mut record = Vec::new();
    encode(&lost, &mut record);
    take(&lost, &record)
}

/// Takes a record.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>> + 'a;
