//! The trace as a source: the events of a recording, in their order, with what could not be read back
//! as a loss in its place.

use std::{ops::ControlFlow, path::Path};

use anyhow::{Context, Result};
use tracer_common::{Header, note};
use zerocopy::FromBytes;

use crate::{
    event::{Event, EventKind, Loss},
    host::StartInfo,
    source::{decode::decode, encode::encode},
    trace::{
        KEYFRAMES, RECORDS, Records,
        reader::{Message, Next, Reader},
    },
};

/// A recording that is being played.
pub struct Trace {
    reader: Reader,
    /// Number of the next record, if one is expected.
    next: Option<u32>,
    /// Something is missing, so that the next image of the world is welcome.
    is_torn: bool,
    /// A chunk could not be read, and no message since says how much was in it.
    is_uncounted: bool,
    /// Where the stream is, in nanoseconds of the boot-time clock.
    now: u64,
    end: End,
}

/// How a trace ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Bytes after the last chunk that belong to none, if the trace was not closed as it should be.
    pub cut: Option<u64>,
    /// What is wrong with the file, a sentence each.
    pub damage: Vec<String>,
}

impl End {
    /// What there is to say about the file, a sentence each.
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
}

/// Sentences about damage that are kept.
const DAMAGE_KEPT: usize = 8;

impl Trace {
    /// Opens a trace; `-` is standard input.
    ///
    /// # Errors
    /// If there is none, with the file and the reason.
    pub fn open(path: &Path) -> Result<Self> {
        let reader = Reader::open(path).with_context(|| format!("cannot read the trace {}", path.display()))?;
        Ok(Self::new(reader))
    }

    /// Plays what a reader reads.
    pub fn new(reader: Reader) -> Self {
        Self { reader, next: None, is_torn: false, is_uncounted: false, now: 0, end: End::default() }
    }

    /// What was recorded, and how.
    pub fn start(&self) -> &StartInfo {
        self.reader.start()
    }

    /// How it ended, once it has been played.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// The boot times, in nanoseconds, of the first and the last record that can be read; `None` for a
    /// pipe, which must be played to know.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn span(&mut self) -> Result<Option<(u64, u64)>> {
        let mut ends = [None, None];
        for (end, from_the_back) in ends.iter_mut().zip([false, true]) {
            let messages = self.reader.outermost(from_the_back).context("cannot read on")?;
            let records = messages.iter().flat_map(|message| Records(self.reader.part(message)));
            let times = records.filter_map(|record| Some(Header::read_from_prefix(record).ok()?.0.at));
            *end = if from_the_back { times.max() } else { times.min() };
        }
        Ok(ends[0].zip(ends[1]))
    }

    /// Begins with the last image of the world that is not later than a boot time, so that
    /// [`Trace::play`] needs to go but a short way to it. Where there is none it begins at the
    /// beginning.
    pub fn seek(&mut self, at: u64) {
        let time = at.saturating_add_signed(self.start().wall_offset_ns);
        self.is_torn = self.reader.seek(time);
    }

    /// Hands over each event with its record, until `take` breaks off or the trace ends.
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn play(&mut self, mut take: impl FnMut(&Event, &[u8]) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut undecodable = 0;
        let mut made = Vec::new();
        self.play_records(&mut |record| {
            let event = match decode(record) {
                Ok(event) => event,
                Err(_) => {
                    undecodable += 1;
                    return Ok(ControlFlow::Continue(()));
                }
            };
            if undecodable > 0 {
                let loss = Loss { undecodable: std::mem::take(&mut undecodable), ..Loss::default() };
                let lost = Event { at: event.at, cpu: 0, kind: EventKind::Lost(loss) };
                made.clear();
                encode(&lost, &mut made);
                if take(&lost, &made)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            take(&event, record)
        })
    }

    /// Hands over each record as it is in the file, whatever it means; in the place of what cannot be
    /// read, a record that says how much is missing.
    ///
    /// # Errors
    /// If the file cannot be read, and what `take` returns.
    pub fn play_records(&mut self, take: &mut Take<'_>) -> Result<()> {
        // An image of the world does not say what was recorded.
        if self.is_torn && self.make(EventKind::Start(Box::new(self.start().clone())), take)?.is_break() {
            return Ok(());
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
                    if self.end.damage.len() < DAMAGE_KEPT {
                        self.end.damage.push(why);
                    }
                    // How much is missing the next message says; the first has number 0.
                    self.next.get_or_insert(0);
                    self.is_uncounted = true;
                }
                Next::End => break,
                Next::Cut(bytes) => {
                    self.end.cut = Some(bytes);
                    break;
                }
            }
        }
        if self.is_uncounted {
            // At least one: the trace's end.
            let _ = self.make(EventKind::Lost(Loss { unreadable: 1, ..Loss::default() }), take)?;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, take: &mut Take<'_>) -> Result<ControlFlow<()>> {
        let Message { channel, sequence, at, data: _ } = *message;
        let missing = self.next.map_or(0, |next| sequence.wrapping_sub(next));
        match channel {
            RECORDS => {}
            // What it shows is known, if nothing is missing.
            KEYFRAMES if self.is_torn || missing > 0 => {}
            _ => return Ok(ControlFlow::Continue(())),
        }
        self.now = self.now.max(at.saturating_add_signed(self.start().wall_offset_ns.saturating_neg()));
        if missing > 0 {
            self.is_torn = true;
            let loss = Loss { unreadable: u64::from(missing), ..Loss::default() };
            if self.make(EventKind::Lost(loss), take)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.is_uncounted = false;
        self.next = Some(sequence);
        for record in Records(self.reader.part(message)) {
            let Ok((Header { at, kind, .. }, _)) = Header::read_from_prefix(record) else { break };
            self.now = self.now.max(at);
            match channel {
                RECORDS => self.next = self.next.map(|next| next.wrapping_add(1)),
                _ if kind == note::kind::SNAPSHOT_END => self.is_torn = false,
                _ => {}
            }
            if take(record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
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

/// Takes a record.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>> + 'a;
