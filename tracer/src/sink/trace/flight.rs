//! A flight recorder: keeps the recent past in memory, and writes a trace when a rule finds something. No two files
//! overlap. Who asks (`trace::kept`) gets what is in memory, which stays there.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    console::style,
    event::{End, Event, EventKind},
    host::StartInfo,
    ident::file_name,
    sink::trace::{
        Store, View,
        part::{Part, naming},
        rotate::numbered,
    },
    source::live,
    summary::seconds,
    time::{BootNs, Span},
    trace::{
        CHUNK_MAX, file,
        kept::{self, Door},
        parts,
    },
};

/// How long the trace continues after a finding: its consequences belong to it.
const AFTER: Span = Span::seconds(5);
/// How many bytes, compressed, are kept in memory: some seven million events.
const MEMORY: usize = 64 << 20;
/// How many bytes of records are compressed at a time.
const BLOCK: usize = 1 << 20;
/// zstd's fastest, as in the file.
const LEVEL: i32 = 1;

/// Keeps records, and writes them when a rule has found something.
pub struct Flight {
    path: PathBuf,
    overwrite: bool,
    /// How long records are kept, in nanoseconds.
    before: Span,
    info: Option<StartInfo>,
    segments: VecDeque<Segment>,
    /// Bytes of all segments.
    kept: usize,
    /// Records of the last segment that are not compressed yet.
    open: Vec<u8>,
    /// Boot time of the last of them.
    open_at: BootNs,
    /// The file that is being written.
    shot: Option<Shot>,
    /// Files that were written, and what each is about.
    written: Vec<Written>,
    /// What was to be kept for a file but found no room in memory.
    cut: u64,
    /// Findings whose files could not be written.
    failed: Option<&'static str>,
    /// Where others ask for what is in memory.
    door: Option<Door>,
    /// The thread that answers. How that went is of no interest to the recording.
    answering: Option<JoinHandle<io::Result<()>>>,
}

/// A stretch of the stream that can be read without what came before. A clone shares its bytes.
#[derive(Clone)]
struct Segment {
    /// Boot time of its beginning.
    at: BootNs,
    /// The world at that time, compressed, in parts, because it can be large; empty for the first segment, which begins
    /// with a snapshot.
    image: Vec<Bytes>,
    /// Records, compressed in blocks, with the boot time of the last record of each.
    blocks: Vec<(BootNs, Bytes)>,
    size: usize,
    /// Signals that were generated in it.
    signals: u64,
    /// Processor time that had been used by then.
    cpu_before: Span,
}

struct Shot {
    part: Part,
    /// Boot time of its end.
    until: BootNs,
    began: BootNs,
    signals: u64,
    cpu_before: Span,
}

struct Written {
    path: PathBuf,
    rule: &'static str,
    /// How long before the finding it begins, in nanoseconds.
    before: Span,
    size: u64,
    /// Its name was gone when it was closed.
    is_gone: bool,
}

impl Flight {
    /// Writes into that file, and later ones with a number, what happened up to `before` a finding.
    ///
    /// # Errors
    /// If the name is taken, and is not to be replaced.
    pub fn new(path: &Path, overwrite: bool, before: Duration) -> Result<Self, file::CreateError> {
        file::check(path, overwrite)?;
        Ok(Self {
            path: path.to_owned(),
            overwrite,
            before: before.into(),
            info: None,
            segments: VecDeque::new(),
            kept: 0,
            open: Vec::new(),
            open_at: BootNs::ZERO,
            shot: None,
            written: Vec::new(),
            cut: 0,
            failed: None,
            door: None,
            answering: None,
        })
    }

    /// The same, and whoever comes to that door gets what is in memory.
    #[must_use]
    pub fn with_door(self, door: Option<Door>) -> Self {
        Self { door, ..self }
    }

    fn begin_segment(&mut self, at: BootNs, image: &[u8]) -> io::Result<()> {
        self.pack()?;
        let packed = parts(image, BLOCK).map(|part| zstd::bulk::compress(part, LEVEL).map(Bytes::from));
        let image = packed.collect::<io::Result<Vec<_>>>()?;
        let size = image.iter().map(Bytes::len).sum();
        self.kept += size;
        let cpu_before = live::cpu_time();
        self.segments.push_back(Segment { at, image, blocks: Vec::new(), size, signals: 0, cpu_before });
        Ok(())
    }

    /// Compresses what has come since.
    fn pack(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.back_mut().filter(|_| !self.open.is_empty()) else { return Ok(()) };
        let block = Bytes::from(zstd::bulk::compress(&self.open, LEVEL)?);
        segment.size += block.len();
        self.kept += block.len();
        segment.blocks.push((self.open_at, block));
        self.open.clear();
        Ok(())
    }

    /// Drops what is too old, or too much.
    fn forget(&mut self, now: BootNs) {
        while let [_, next, ..] = &*self.segments.make_contiguous() {
            let is_old = next.at + self.before <= now;
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
    fn segment_time(&self) -> Span {
        (self.before / 8).clamp(Span::ms(500), Span::seconds(10))
    }

    /// The next name: the given one, then the same with a number.
    fn next_path(&self) -> PathBuf {
        let names =
            (self.written.len() as u32 + 1..).map(|n| if n == 1 { self.path.clone() } else { numbered(&self.path, n) });
        let mut free = names.filter(|path| self.overwrite || path.symlink_metadata().is_err());
        free.next().unwrap_or_else(|| self.path.clone())
    }

    /// Writes what is kept, and drops it.
    fn shoot(&mut self, view: View<'_>, rule: &'static str) -> io::Result<()> {
        self.pack()?;
        let (Some(info), Some(first)) = (&self.info, self.segments.front()) else { return Ok(()) };
        let path = self.next_path();
        let (now, began, cpu_before) = (view.now(), first.at, first.cpu_before);
        let mut part = Part::at(&path, self.overwrite, began, info)?;
        let signals = write(&mut part, &self.segments)?;
        self.segments.clear();
        self.kept = 0;
        self.written.push(Written { path, rule, before: now - began, size: part.size(), is_gone: false });
        self.shot = Some(Shot { part, until: now + AFTER, began, signals, cpu_before });
        Ok(())
    }

    /// Answers whoever asks, beside the recording: packing and unpacking all of it can take seconds.
    fn answer(&mut self, now: BootNs) -> io::Result<()> {
        if self.answering.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let (Some(guest), Some(info)) = (self.door.as_ref().and_then(Door::knock), self.info.clone()) else {
            return Ok(());
        };
        self.pack()?;
        if let Some(shot) = &mut self.shot {
            shot.part.flush()?;
        }
        let written: Vec<_> = self.written.iter().filter_map(|file| std::path::absolute(&file.path).ok()).collect();
        let segments = self.segments.clone();
        let answer = move || guest.answer(&written, copy(&info, &segments, now)?);
        self.answering = thread::Builder::new().spawn(answer).ok();
        Ok(())
    }

    /// Closes the file that is being written.
    fn land(&mut self, at: BootNs, walks_cut: u64) -> io::Result<()> {
        let Some(Shot { mut part, began, signals, cpu_before, until: _ }) = self.shot.take() else { return Ok(()) };
        let cpu_ns = live::cpu_time() - cpu_before;
        let ended = part.end(at, End { began, cpu_ns, signals, walks_cut });
        if let Some(written) = self.written.last_mut() {
            (written.size, written.is_gone) = (part.size(), !part.is_at(&written.path));
        }
        ended
    }
}

/// A trace in memory of what is kept, if anything is.
fn copy(info: &StartInfo, segments: &VecDeque<Segment>, now: BootNs) -> io::Result<Option<File>> {
    let Some(first) = segments.front() else { return Ok(None) };
    let file = kept::memory()?;
    let mut part = Part::create(file.try_clone()?, first.at, info)?;
    let signals = write(&mut part, segments)?;
    part.end(now, End { began: first.at, cpu_ns: live::cpu_time() - first.cpu_before, signals, walks_cut: 0 })?;
    Ok(Some(file))
}

/// Writes segments, one after the other, and returns how many signals were generated in them.
fn write(part: &mut Part, segments: &VecDeque<Segment>) -> io::Result<u64> {
    for (i, segment) in segments.iter().enumerate() {
        let image = segment.image.iter().map(|part| unpack(part)).collect::<io::Result<Vec<_>>>()?.concat();
        if i == 0 {
            part.records(segment.at, &image)?;
        } else {
            part.keyframe(segment.at, &image)?;
        }
        for (at, block) in &segment.blocks {
            part.records(*at, &unpack(block)?)?;
        }
    }
    Ok(segments.iter().map(|segment| segment.signals).sum())
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::decompress(packed, CHUNK_MAX)
}

impl Store for Flight {
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()> {
        self.info = Some(info.clone());
        self.begin_segment(view.event.at, &[])
    }

    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        if matches!(view.event.kind, EventKind::Tick) {
            self.answer(now)?;
        }
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
        if can_cut && (now - segment.at >= segment_time || segment.size >= MEMORY / 8) {
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
        self.shoot(view, rule).inspect_err(|_| self.failed = Some(rule))
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
            .map(|Written { path, rule, before, size, is_gone }| match is_gone {
                true => file::gone(path),
                false => format!(
                    "{}: {rule}, with the {} before; {}",
                    file_name(path),
                    seconds(*before),
                    style::rough_size(*size)
                ),
            })
            .collect();
        if let Some(rule) = self.failed {
            sentences.push(format!("{rule} was found, and what came before it could not be written"));
        }
        if sentences.is_empty() {
            sentences.push(format!("nothing was found, so there is no {}", file_name(&self.path)));
        }
        if self.cut > 0 {
            let memory = style::rough_size(MEMORY as u64);
            sentences.push(format!("{memory} of memory, packed, were not enough for all that was asked for"));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Seek as _, ops::ControlFlow};

    use super::*;
    use crate::{
        detector::Detector,
        ident::Args,
        sink::trace::redact::Redactor,
        source::{encode::encode, trace::Trace},
        story::{after_boot, born, running},
        thresholds::Thresholds,
    };

    fn info() -> StartInfo {
        StartInfo {
            version: String::new(),
            kernel: String::new(),
            boot_id: String::new(),
            host: String::new(),
            wall_offset_ns: 0,
            hooks: Vec::new(),
            degraded: Vec::new(),
            ring_size: 0,
            all_signals: true,
            fatal_signals: true,
            forwarded_signals: true,
            all_deliveries: true,
            arguments: Vec::new(),
            has_command: false,
            thresholds: Thresholds::default(),
        }
    }

    /// With a rule that finds something after three seconds, on a machine with that many processes; `before` that
    /// something else happens, and somebody asks.
    fn fly(path: &Path, processes: u32, before: impl Fn()) -> (Flight, Option<File>, io::Result<()>) {
        let mut flight = Flight::new(path, false, Duration::from_secs(1)).unwrap();
        let (mut detector, redactor, mut record) =
            (Detector::new(&Thresholds::default()), Redactor::default(), Vec::new());
        let args = Args { bytes: vec![b'x'; 400].into(), ..Args::default() };
        let list = (1..=processes).flat_map(|pid| {
            let task = born(pid, u32::from(pid > 1));
            let line = EventKind::CommandLine(task.key, args.clone());
            [EventKind::Row(Box::new(running(task))), line]
        });
        let list = std::iter::once(EventKind::SnapshotBegin).chain(list).chain([EventKind::SnapshotEnd]);
        let ticks = [2_000, 3_000].map(|at| (after_boot(at), EventKind::Tick));
        let (mut kept, mut result) = (None, Ok(()));
        for (i, (at, kind)) in list.map(|kind| (after_boot(1_000), kind)).chain(ticks).enumerate() {
            let event = Event { at, cpu: 0, kind };
            record.clear();
            encode(&event, &mut record);
            let world = detector.step(&event, &record).1;
            let view = View { world, redactor: &redactor, event: &event };
            if i == 0 {
                flight.start(view, &info()).unwrap();
            }
            flight.record(view, &record).unwrap();
            if at == after_boot(3_000) {
                before();
                flight.pack().unwrap();
                kept = copy(&info(), &flight.segments, at).unwrap();
                result = flight.found(view, "killed-by");
            }
        }
        let event = Event { at: after_boot(4_000), cpu: 0, kind: EventKind::Tick };
        flight.end(View { world: detector.world(), redactor: &redactor, event: &event }, End::default()).unwrap();
        (flight, kept, result)
    }

    #[test]
    fn a_large_world_is_written_whole_and_given_whole() {
        const PROCESSES: u32 = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.mcap");
        let (flight, kept, result) = fly(&path, PROCESSES, || {});
        result.unwrap();
        assert!(
            flight.sentences()[0].contains("run.mcap: killed-by, with the 1.0 s before"),
            "{:?}",
            flight.sentences()
        );
        let mut kept = kept.unwrap();
        kept.rewind().unwrap();
        for mut trace in [Trace::open(&path).unwrap(), Trace::of(kept).unwrap()] {
            trace.seek(BootNs::MAX).unwrap();
            let mut detector = Detector::new(&Thresholds::default());
            let play = trace.play(|event, record| {
                detector.step(event, record);
                Ok(ControlFlow::Continue(()))
            });
            play.unwrap();
            assert_eq!(trace.end().sentences(), [""; 0]);
            let world = detector.world();
            assert_eq!((world.process_count(), world.is_whole()), (PROCESSES as usize, true));
            assert!(world.processes().all(|process| process.args.bytes.len() == 400));
        }
    }

    #[test]
    fn what_could_not_be_written_was_found_and_what_was_removed_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        // By the time of the finding, the folder is gone.
        let place = folder.path().join("none");
        std::fs::create_dir(&place).unwrap();
        let (flight, _, result) = fly(&place.join("run.mcap"), 1, || std::fs::remove_dir(&place).unwrap());
        assert!(result.is_err());
        assert_eq!(flight.sentences(), ["killed-by was found, and what came before it could not be written"]);

        let path = folder.path().join("run.mcap");
        let (mut flight, ..) = fly(&path, 1, || {});
        assert!(!flight.sentences()[0].contains("removed"), "{:?}", flight.sentences());
        // Closed after it was removed.
        let written = flight.written.remove(0);
        let file = File::open(&path).unwrap();
        assert!(file::is_at(&file, &written.path));
        std::fs::rename(&path, folder.path().join("moved.mcap")).unwrap();
        assert!(!file::is_at(&file, &written.path));
    }
}
