//! A flight recorder: the last while is kept in memory, and becomes a trace when a rule finds
//! something. What is in one file is not in the next.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    event::{End, Event, EventKind},
    host::StartInfo,
    ident::file_name,
    sink::{
        style,
        trace::{
            Store, View,
            part::{Part, naming},
            rotate::numbered,
        },
    },
    source::live,
    summary::seconds,
    trace::{CHUNK_MAX, file},
};

/// How long after a finding the trace goes on, in nanoseconds: its consequences belong to it.
const AFTER: u64 = 5_000_000_000;
/// The most bytes, packed, that are kept in memory: some seven million events.
const MEMORY: usize = 64 << 20;
/// Bytes of records that are packed at once.
const BLOCK: usize = 1 << 20;
/// zstd's fastest, as in the file.
const LEVEL: i32 = 1;

/// Keeps, and writes when there is something to write.
pub struct Flight {
    path: PathBuf,
    overwrite: bool,
    /// Nanoseconds that are kept.
    before: u64,
    info: Option<StartInfo>,
    segments: VecDeque<Segment>,
    /// Bytes of all segments.
    kept: usize,
    /// Records of the last segment that are not packed yet.
    open: Vec<u8>,
    /// Boot time of the last of them.
    open_at: u64,
    /// The file that is being written.
    shot: Option<Shot>,
    /// Files that were written, and what each is about.
    written: Vec<Written>,
    /// What was to be kept for a file, and found no room in memory.
    cut: u64,
    /// Something was found, and could not be written.
    has_failed: bool,
}

/// A stretch of the stream that can be understood without what came before.
struct Segment {
    /// Boot time of its beginning.
    at: u64,
    /// The world then, packed; nothing for the first one, which begins with a snapshot.
    image: Vec<u8>,
    /// Records, packed, and the boot time of the last in each.
    blocks: Vec<(u64, Vec<u8>)>,
    size: usize,
    /// Signals that were generated in it.
    signals: u64,
    /// Processor time that had been used by then.
    cpu_before: u64,
}

struct Shot {
    part: Part,
    /// Boot time of its end.
    until: u64,
    began: u64,
    signals: u64,
    cpu_before: u64,
}

struct Written {
    path: PathBuf,
    rule: &'static str,
    /// Nanoseconds before the finding that are in it.
    before: u64,
    size: u64,
}

impl Flight {
    /// Writes into that file, and later ones with a number, what happened so long before.
    ///
    /// # Errors
    /// If the name is taken, and is not to be replaced.
    pub fn new(path: &Path, overwrite: bool, before: Duration) -> Result<Self, file::CreateError> {
        file::check(path, overwrite)?;
        Ok(Self {
            path: path.to_owned(),
            overwrite,
            before: u64::try_from(before.as_nanos()).unwrap_or(u64::MAX),
            info: None,
            segments: VecDeque::new(),
            kept: 0,
            open: Vec::new(),
            open_at: 0,
            shot: None,
            written: Vec::new(),
            cut: 0,
            has_failed: false,
        })
    }

    fn begin_segment(&mut self, at: u64, image: &[u8]) -> io::Result<()> {
        self.pack()?;
        let image = if image.is_empty() { Vec::new() } else { zstd::bulk::compress(image, LEVEL)? };
        self.kept += image.len();
        let size = image.len();
        let cpu_before = live::cpu_time();
        self.segments.push_back(Segment { at, image, blocks: Vec::new(), size, signals: 0, cpu_before });
        Ok(())
    }

    /// Packs what has come since.
    fn pack(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.back_mut().filter(|_| !self.open.is_empty()) else { return Ok(()) };
        let block = zstd::bulk::compress(&self.open, LEVEL)?;
        segment.size += block.len();
        self.kept += block.len();
        segment.blocks.push((self.open_at, block));
        self.open.clear();
        Ok(())
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self, now: u64) {
        while let [_, next, ..] = &*self.segments.make_contiguous() {
            let is_old = next.at.saturating_add(self.before) <= now;
            if !is_old && self.kept + self.open.len() <= MEMORY {
                break;
            }
            if let Some(oldest) = self.segments.pop_front() {
                self.kept -= oldest.size;
                self.cut += u64::from(!is_old);
            }
        }
    }

    /// How long a segment lasts: long enough that the images of the world cost little.
    fn segment_time(&self) -> u64 {
        (self.before / 8).clamp(500_000_000, 10_000_000_000)
    }

    /// The next name: the one that was given, then the same with a number.
    fn next_path(&self) -> PathBuf {
        let names =
            (self.written.len() as u32 + 1..).map(|n| if n == 1 { self.path.clone() } else { numbered(&self.path, n) });
        let mut free = names.filter(|path| self.overwrite || path.symlink_metadata().is_err());
        free.next().unwrap_or_else(|| self.path.clone())
    }

    /// Writes what is kept, and forgets it.
    fn shoot(&mut self, view: View<'_>, rule: &'static str) -> io::Result<()> {
        self.pack()?;
        let (Some(info), Some(first)) = (&self.info, self.segments.front()) else { return Ok(()) };
        let path = self.next_path();
        let (now, began, cpu_before) = (view.now(), first.at, first.cpu_before);
        let mut part = Part::at(&path, self.overwrite, began, info)?;
        let mut signals = 0;
        for (i, segment) in self.segments.iter().enumerate() {
            let image = unpack(&segment.image)?;
            if i == 0 {
                part.records(segment.at, &image)?;
            } else {
                part.keyframe(segment.at, &image)?;
            }
            for (at, block) in &segment.blocks {
                part.records(*at, &unpack(block)?)?;
            }
            signals += segment.signals;
        }
        self.segments.clear();
        self.kept = 0;
        self.written.push(Written { path, rule, before: now.saturating_sub(began), size: part.size() });
        self.shot = Some(Shot { part, until: now.saturating_add(AFTER), began, signals, cpu_before });
        Ok(())
    }

    /// Closes the file that is being written.
    fn land(&mut self, at: u64, walks_cut: u64) -> io::Result<()> {
        let Some(Shot { mut part, began, signals, cpu_before, until: _ }) = self.shot.take() else { return Ok(()) };
        let cpu_ns = live::cpu_time().saturating_sub(cpu_before);
        let ended = part.end(at, End { began, cpu_ns, signals, walks_cut });
        if let Some(written) = self.written.last_mut() {
            written.size = part.size();
        }
        ended
    }
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    if packed.is_empty() { Ok(Vec::new()) } else { zstd::bulk::decompress(packed, CHUNK_MAX) }
}

impl Store for Flight {
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()> {
        self.info = Some(info.clone());
        self.begin_segment(view.event.at, &[])
    }

    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        let is_signal = u64::from(matches!(view.event.kind, EventKind::Signal(_)));
        let can_cut = view.world.is_whole() && view.world.command().is_none_or(|command| command.end.is_none());
        if let Some(shot) = &mut self.shot {
            shot.signals += is_signal;
            let path = self.written.last().map_or(&self.path, |written| &written.path);
            shot.part.record(view, record).map_err(|error| naming(path, error))?;
            if now >= shot.until && can_cut {
                self.land(now, 0)?;
                self.begin_segment(now, &view.image())?;
            }
            return Ok(());
        }
        self.open.extend_from_slice(record);
        self.open_at = now;
        if self.open.len() >= BLOCK {
            self.pack()?;
        }
        let segment_time = self.segment_time();
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        segment.signals += is_signal;
        if can_cut && (now.saturating_sub(segment.at) >= segment_time || segment.size >= MEMORY / 8) {
            self.begin_segment(now, &view.image())?;
            self.forget(now);
        }
        Ok(())
    }

    fn end(&mut self, view: View<'_>, end: End) -> io::Result<()> {
        self.land(view.event.at, end.walks_cut)
    }

    fn close(&mut self, end: Option<&Event>) -> io::Result<()> {
        self.shot.take().map_or(Ok(()), |mut shot| shot.part.close(end))
    }

    fn found(&mut self, view: View<'_>, rule: &'static str) -> io::Result<()> {
        if self.shot.is_some() {
            return Ok(());
        }
        let shot = self.shoot(view, rule);
        self.has_failed |= shot.is_err();
        shot
    }

    fn size(&self) -> u64 {
        let open = self.shot.as_ref().map(|shot| shot.part.size());
        let closed = self.written.len() - usize::from(open.is_some());
        self.written.iter().take(closed).map(|written| written.size).sum::<u64>() + open.unwrap_or_default()
    }

    fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<_> = self
            .written
            .iter()
            .map(|Written { path, rule, before, size }| {
                format!(
                    "{}: {rule}, with the {} before; {}",
                    file_name(path),
                    seconds(*before),
                    style::rough_size(*size)
                )
            })
            .collect();
        let path = file_name(&self.path);
        if sentences.is_empty() && self.has_failed {
            sentences.push(format!("what was found could not be written: there is no {path}"));
        } else if sentences.is_empty() {
            sentences.push(format!("nothing was found, so there is no {path}"));
        }
        if self.cut > 0 {
            let memory = style::rough_size(MEMORY as u64);
            sentences.push(format!("{memory} of memory, packed, were not enough for all that was asked for"));
        }
        sentences
    }
}
