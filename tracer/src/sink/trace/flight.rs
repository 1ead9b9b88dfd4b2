//! A flight recorder: keeps the recent past in memory, and writes a trace when a rule finds something. Of files with one
//! name, no two overlap; in a folder, each has all of the past, which stays in memory. Whoever asks
//! ([`kept`](crate::trace::kept)) gets what is in memory, which stays there.

use std::{
    io,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    console::{stderr::say, style},
    event::{End, Event, EventKind},
    host::StartInfo,
    ident::file_name,
    sink::trace::{
        Store, View,
        memory::{Extent, MEMORY, Memory},
        part::{Part, naming},
        rotate::numbered,
        shelf::Shelf,
    },
    source::live,
    summary::seconds,
    time::{BootNs, Span},
    trace::{
        file,
        kept::{Door, Guest},
    },
};

/// How long the trace continues after a finding: its consequences belong to it.
const AFTER: Span = Span::seconds(5);

/// How many written files are remembered: an agent may write very many.
const REMEMBERED: usize = 256;

/// Keeps records, and writes them when a rule has found something.
pub struct Flight {
    place: Place,
    memory: Memory,
    /// The file that is being written.
    shot: Option<Shot>,
    /// Files that were written, and what each is about.
    written: Vec<Written>,
    /// Findings whose files could not be written.
    failed: Option<&'static str>,
    /// Where others ask for what is in memory.
    door: Option<Door>,
    /// The thread that answers. How that went is of no interest to the recording.
    answering: Option<JoinHandle<io::Result<()>>>,
}

/// Where files go.
enum Place {
    /// Under this name, and later ones with a number.
    File { path: PathBuf, overwrite: bool },
    /// Into a folder in which the oldest make room. Without a folder, nothing is written. What cannot be written is
    /// said, and the recording goes on.
    Shelf(Option<Shelf>),
}

impl Place {
    /// The name of the next file, which is the one after so many; `None` if there is to be none.
    fn next(&self, written: usize, view: View<'_>, rule: &str) -> io::Result<Option<PathBuf>> {
        match self {
            Self::File { path, overwrite } => {
                let names = (written as u32 + 1..).map(|n| if n == 1 { path.clone() } else { numbered(path, n) });
                let mut free = names.filter(|path| *overwrite || path.symlink_metadata().is_err());
                Ok(Some(free.next().unwrap_or_else(|| path.clone())))
            }
            Self::Shelf(None) => Ok(None),
            Self::Shelf(Some(shelf)) => shelf.next(view.wall_ns(), rule).map(Some),
        }
    }

    /// What is written stays in memory as well.
    fn keeps_on(&self) -> bool {
        matches!(self, Self::Shelf(_))
    }

    fn overwrites(&self) -> bool {
        matches!(self, Self::File { overwrite: true, .. })
    }
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
        Ok(Self::at(Place::File { path: path.to_owned(), overwrite }, before))
    }

    /// Writes into a folder, if there is one, and goes on whatever becomes of that.
    pub fn shelved(shelf: Option<Shelf>, before: Duration) -> Self {
        Self::at(Place::Shelf(shelf), before)
    }

    fn at(place: Place, before: Duration) -> Self {
        Self {
            place,
            memory: Memory::new(before.into()),
            shot: None,
            written: Vec::new(),
            failed: None,
            door: None,
            answering: None,
        }
    }

    /// The same, and whoever comes to that door gets what is in memory.
    #[must_use]
    pub fn with_door(self, door: Option<Door>) -> Self {
        Self { door, ..self }
    }

    /// Writes what is kept, and drops it.
    fn shoot(&mut self, view: View<'_>, rule: &'static str) -> io::Result<()> {
        let (Some(info), Some(extent)) = (self.memory.info(), self.memory.extent()) else { return Ok(()) };
        let Some(path) = self.place.next(self.written.len(), view, rule)? else { return Ok(()) };
        let (now, Extent { began, signals, cpu_before }) = (view.now(), extent);
        let mut part = Part::at(&path, self.place.overwrites(), began, &info)?;
        self.memory.write(&mut part)?;
        if !self.place.keeps_on() {
            self.memory.clear();
        }
        if self.written.len() >= REMEMBERED {
            self.written.remove(0);
        }
        self.written.push(Written { path, rule, before: now - began, size: part.size(), is_gone: false });
        self.shot = Some(Shot { part, until: now + AFTER, began, signals, cpu_before });
        Ok(())
    }

    /// What could not be written ends the recording, if it was made for that file; else it is said.
    fn stumble(&mut self, error: io::Error) -> io::Result<()> {
        if !self.place.keeps_on() {
            return Err(error);
        }
        // What has come so far stays in the file.
        if let Some(mut shot) = self.shot.take() {
            // There was an error already.
            let _ = shot.part.close(None);
        }
        say(format_args!("a trace could not be written: {error}"));
        Ok(())
    }

    /// Takes a record into the file that is being written.
    fn write(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        let Some(shot) = &mut self.shot else { return Ok(()) };
        shot.signals += u64::from(matches!(view.event.kind, EventKind::Signal(_)));
        let named = |error| match self.written.last() {
            Some(written) => naming(&written.path, error),
            None => error,
        };
        shot.part.record(view, record).map_err(named)?;
        if now >= shot.until && view.can_cut(now >= shot.until + AFTER) {
            self.land(now, 0)?;
            if !self.place.keeps_on() {
                self.memory.begin_segment(now, &view.image())?;
            }
        }
        Ok(())
    }

    /// Answers whoever asks, beside the recording: packing and unpacking all of it can take seconds.
    fn answer(&mut self, now: BootNs) -> io::Result<()> {
        if self.answering.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let Some(guest) = self.door.as_ref().and_then(Door::knock) else { return Ok(()) };
        if let Some(shot) = &mut self.shot {
            shot.part.flush()?;
        }
        let written: Vec<_> = self.written.iter().filter_map(|file| std::path::absolute(&file.path).ok()).collect();
        let memory = self.memory.clone();
        self.answering = thread::Builder::new().spawn(move || answer(guest, &written, memory, now)).ok();
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
        if let Place::Shelf(Some(shelf)) = &self.place {
            shelf.make_room()?;
        }
        ended
    }
}

fn answer(guest: Guest, written: &[PathBuf], mut memory: Memory, now: BootNs) -> io::Result<()> {
    let file = memory.extent().map(|_| file::in_memory()).transpose()?;
    if let Some(file) = &file {
        memory.save(file.try_clone()?, now)?;
    }
    guest.answer(written, file)
}

impl Store for Flight {
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()> {
        self.memory.start(view.event.at, info)
    }

    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let now = view.now();
        if matches!(view.event.kind, EventKind::Tick) {
            self.answer(now)?;
        }
        if self.shot.is_none() || self.place.keeps_on() {
            self.memory.record(view, record)?;
        }
        self.memory.hear(&view.event.kind);
        self.write(view, record).or_else(|error| self.stumble(error))
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
        let shot = self.shoot(view, rule).inspect_err(|_| self.failed = Some(rule));
        shot.or_else(|error| self.stumble(error))
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
            let name = match &self.place {
                Place::File { path, .. } => file_name(path),
                Place::Shelf(_) => "trace".to_owned(),
            };
            sentences.push(format!("nothing was found, so there is no {name}"));
        }
        if self.memory.cut() > 0 {
            let memory = style::rough_size(MEMORY as u64);
            sentences.push(format!("{memory} of memory, packed, were not enough for all that was asked for"));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Seek as _, ops::ControlFlow};

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
        take_off(Flight::new(path, false, Duration::from_secs(1)).unwrap(), processes, before)
    }

    fn take_off(mut flight: Flight, processes: u32, before: impl Fn()) -> (Flight, Option<File>, io::Result<()>) {
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
                let file = file::in_memory().unwrap();
                flight.memory.clone().save(file.try_clone().unwrap(), at).unwrap();
                kept = Some(file);
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
    fn on_a_shelf_each_file_has_all_of_the_past_and_so_has_memory() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path(), 1 << 30);
        let flight = Flight::shelved(Some(shelf), Duration::from_secs(60));
        let (mut flight, _, result) = take_off(flight, 5, || {});
        result.unwrap();
        assert_eq!(flight.written.len(), 1);
        let mut memory = file::in_memory().unwrap();
        flight.memory.save(memory.try_clone().unwrap(), after_boot(5_000)).unwrap();
        memory.rewind().unwrap();
        for mut trace in [Trace::open(&flight.written[0].path).unwrap(), Trace::of(memory).unwrap()] {
            let (began, _) = trace.span().unwrap().unwrap();
            assert_eq!(began, after_boot(1_000));
        }
        // A folder that is gone is said, and nothing else comes of it.
        let gone = Shelf::new(&folder.path().join("none"), 1 << 30);
        let (flight, kept, result) = take_off(Flight::shelved(Some(gone), Duration::from_secs(60)), 5, || {});
        assert!(result.is_ok() && flight.written.is_empty() && kept.is_some());
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
