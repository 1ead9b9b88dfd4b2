//! Traces that were cut or changed: what is whole is played, what is missing is counted, and nothing is
//! made up.

use std::{fs, io::Write, ops::ControlFlow, path::Path};

use tempfile::{NamedTempFile, TempDir};
use tracer::{
    detector::Detector,
    event::{self, EventKind, Loss},
    host::StartInfo,
    source::{
        encode::image,
        trace::{FileEnd, Trace},
    },
    thresholds::Thresholds,
    time::BootNs,
    trace::writer::Writer,
};
use tracer_common::Header;
use zerocopy::IntoBytes;

use crate::{
    made::record,
    story::{fork, info, row, start, task},
};

fn start_info() -> StartInfo {
    let EventKind::Start(info) = start() else { panic!("a story begins with its start") };
    *info
}

/// The records of a machine on which processes come and go, each with its time.
fn records(count: u32) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    let mut made = |at, kind| records.push((at, record(at, &kind)));
    made(1_000, start());
    made(1_000, EventKind::SnapshotBegin);
    made(1_000, row(info(1, 0, "init")));
    made(1_001, EventKind::SnapshotEnd);
    let mut at = 2_000_000_000;
    for n in 0..count {
        let pid = 100 + n;
        made(at, fork(info(pid, 1, "worker")));
        // Some stay.
        if n % 50 != 0 {
            made(at + 5_000, EventKind::Free(task(pid)));
        }
        at += 10_000;
    }
    made(at, EventKind::End(event::End::default()));
    records
}

/// A trace of them with many chunks and some images of the world.
fn trace(path: &Path, records: &[(u64, Vec<u8>)]) {
    let file = fs::File::create_new(path).unwrap();
    let mut writer = Writer::create(file, &start_info()).unwrap();
    let mut detector = Detector::new(&Thresholds::default());
    let (last, rest) = records.split_last().unwrap();
    for (n, (at, record)) in rest.iter().enumerate() {
        let event = tracer::source::decode::decode(record).unwrap();
        detector.step(&event, record);
        writer.record(BootNs(*at), record).unwrap();
        if n % 25 == 24 {
            writer.flush().unwrap();
        }
        if n % 100 == 99 || n + 2 == records.len() {
            writer.keyframe(detector.world().now(), &image(detector.world())).unwrap();
        }
    }
    writer.last_record(BootNs(last.0), &last.1).unwrap();
    writer.finish().unwrap();
}

/// What a replay of a file comes to.
struct Played {
    records: u64,
    lost: Loss,
    end: FileEnd,
    processes: usize,
}

/// Plays a file; the reason if it is not read at all.
fn play(path: &Path) -> Result<Played, String> {
    let mut trace = Trace::open(path).map_err(|error| format!("{error:#}"))?;
    let mut detector = Detector::new(&Thresholds::default());
    let (mut records, mut lost, mut in_image) = (0, Loss::default(), false);
    trace
        .play(|event, record| {
            match &event.kind {
                EventKind::Lost(loss) => lost.add(loss),
                // An image is played after a loss only, and is not among what was recorded.
                EventKind::SnapshotBegin if lost.total() > 0 => in_image = true,
                EventKind::SnapshotEnd if in_image => in_image = false,
                _ if in_image => {}
                _ => records += 1,
            }
            detector.step(event, record);
            Ok(ControlFlow::Continue(()))
        })
        .map_err(|error| format!("{error:#}"))?;
    Ok(Played { records, lost, end: trace.end().clone(), processes: detector.world().process_count() })
}

/// The ends of the container's records, each with its type.
fn frames(bytes: &[u8]) -> Vec<(usize, u8)> {
    let mut frames = Vec::new();
    let mut from = 8;
    while let Some(length) = bytes.get(from + 1..from + 9) {
        let end = from + 9 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
        if end > bytes.len() {
            break;
        }
        frames.push((end, bytes[from]));
        from = end;
    }
    frames
}

struct Example {
    folder: TempDir,
    bytes: Vec<u8>,
    total: u64,
    processes: usize,
}

impl Example {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("whole.mcap");
        let records = records(500);
        trace(&path, &records);
        let whole = play(&path).unwrap();
        assert_eq!((whole.records, whole.lost.total(), &whole.end), (records.len() as u64, 0, &FileEnd::default()));
        Self { bytes: fs::read(&path).unwrap(), folder, total: whole.records, processes: whole.processes }
    }

    fn play(&self, bytes: &[u8]) -> Result<Played, String> {
        let mut file = NamedTempFile::new_in(self.folder.path()).unwrap();
        file.write_all(bytes).unwrap();
        play(file.path())
    }
}

/// Magic bytes, header and metadata.
const BEGINNING: usize = 2;

#[test]
fn a_trace_that_is_cut_anywhere_is_read_to_its_last_whole_chunk() {
    let example = Example::new();
    let frames = frames(&example.bytes);
    let data_end = frames.iter().position(|&(_, op)| op == 0x0f).unwrap();
    // How many records are in the first so many chunks: what is read where the next one begins.
    let mut known = Vec::new();
    for &(end, op) in &frames[..data_end] {
        if op == 0x06 {
            known.push((end, example.play(&example.bytes[..end]).unwrap().records));
        }
    }
    assert!(known.len() > 40 && known.is_sorted_by_key(|(_, records)| *records));
    assert_eq!(known.last().unwrap().1, example.total);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..1_000 {
        let cut = random.usize(..example.bytes.len());
        let whole = frames.iter().take_while(|&&(end, _)| end <= cut).count();
        let played = example.play(&example.bytes[..cut]);
        if whole < BEGINNING {
            // Before the first chunk nothing can be told, and that is said.
            let error = played.err().unwrap_or_else(|| panic!("cut at {cut} and read"));
            assert!(error.contains("cannot read the trace"), "cut at {cut}: {error}");
            continue;
        }
        let played = played.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let records = known.iter().take_while(|&&(end, _)| end <= cut).last().map_or(0, |&(_, records)| records);
        assert_eq!((played.records, played.lost.total()), (records, 0), "cut at {cut}");
        let cut_off = (whole <= data_end).then(|| (cut - frames[whole - 1].0) as u64);
        assert_eq!(played.end.cut, cut_off, "cut at {cut}");
    }
}

#[test]
fn what_a_changed_byte_spoils_is_counted() {
    let example = Example::new();
    let frames = frames(&example.bytes);
    let header = frames[0].0;
    let begins = [0].into_iter().chain(frames.iter().map(|&(end, _)| end));
    let chunks: Vec<_> =
        begins.zip(&frames).filter(|&(_, &(_, op))| op == 0x06).map(|(begin, &(end, _))| begin..end).collect();
    let mut random = fastrand::Rng::with_seed(5);
    let mut damaged = 0;
    for round in 0..1_000 {
        let mut bytes = example.bytes.clone();
        let place = random.usize(..bytes.len());
        let mut until = place + 1;
        if round % 2 == 0 {
            bytes[place] ^= 1 << random.u8(..8);
        } else {
            until = (place + random.usize(1..100)).min(bytes.len());
            bytes[place..until].fill_with(|| random.u8(..));
        }
        // With the records before an image the image can go, too.
        let is_mended = chunks.iter().filter(|chunk| chunk.start < until && place < chunk.end).count() < 2;
        match example.play(&bytes) {
            Err(error) => {
                // What was recorded is said twice: before the first chunk, and first thing in it.
                let is_said = place >= chunks[0].start || until <= chunks[0].start;
                assert!(place < header || !is_said, "changed at {place}, and nothing is read: {error}");
                assert!(error.contains("cannot read the trace"), "{error}");
            }
            Ok(Played { records, lost, end, processes }) => {
                assert_eq!(records + lost.unreadable, example.total, "changed at {place}: {end:?}");
                assert_eq!(lost.total(), lost.unreadable, "changed at {place}");
                assert!(processes == example.processes || !is_mended, "changed at {place}: {processes}");
                assert!(lost.unreadable == 0 || !end.damage.is_empty(), "changed at {place}");
                damaged += usize::from(lost.unreadable > 0);
            }
        }
    }
    // The table of all fields is the rest of so small a trace.
    assert!(damaged > 300, "a good part of a trace are its records: {damaged}");
}

#[test]
fn without_an_index_the_next_chunk_after_a_gap_is_found() {
    let example = Example::new();
    let frames = frames(&example.bytes);
    let data_end = frames.iter().position(|&(_, op)| op == 0x0f).unwrap();
    // The recorder was killed.
    let bytes = &example.bytes[..frames[data_end - 1].0];
    let chunks: Vec<_> = frames[..data_end].windows(2).filter(|pair| pair[1].1 == 0x06).map(|pair| pair[0].0).collect();
    for gap in [1, 9, 1_000] {
        for &begin in &chunks[1..chunks.len() - 4] {
            let mut bytes = bytes.to_vec();
            let until = (begin + gap).min(chunks[chunks.len() - 3]);
            bytes[begin..until].fill(0);
            let played = example.play(&bytes).unwrap();
            assert_eq!(played.records + played.lost.unreadable, example.total, "{gap} zeros at {begin}");
            assert!(played.lost.unreadable > 0 || gap < 1_000, "{gap} zeros at {begin}");
            assert_eq!(played.processes, example.processes, "{gap} zeros at {begin}");
        }
    }
}

#[test]
fn damaged_metadata_are_known_from_the_first_record() {
    let example = Example::new();
    let frames = frames(&example.bytes);
    for place in frames[0].0..frames[1].0 {
        let mut bytes = example.bytes.clone();
        bytes[place] ^= 0x10;
        let played = example.play(&bytes).unwrap_or_else(|error| panic!("changed at {place}: {error}"));
        assert_eq!((played.records, played.lost.total()), (example.total, 0), "changed at {place}");
    }
}

#[test]
fn what_is_written_comes_back_record_for_record() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("trace.mcap");
        let mut writer = Writer::create(fs::File::create_new(&path).unwrap(), &start_info()).unwrap();
        let mut written = Vec::new();
        for n in 0..random.u64(1..3_000) {
            // Small, large, and larger than a message or a chunk.
            let most = *random.choice([17, 200, 2_000, 100_000, 2_000_000].iter()).unwrap();
            let length = if n % 50 == 0 { random.usize(16..most.max(17)) } else { random.usize(16..200) };
            let mut record = vec![0; length];
            random.fill(&mut record[16..]);
            record[..16].copy_from_slice(
                Header { at: n, kind: random.u8(..), reserved: 0, cpu: 1, len: length as u32 }.as_bytes(),
            );
            writer.record(BootNs(n), &record).unwrap();
            written.push(record);
            if random.u8(..) < 3 {
                writer.flush().unwrap();
            }
        }
        writer.finish().unwrap();
        let mut read = Vec::new();
        let mut trace = Trace::open(&path).unwrap();
        let mut take = |record: &[u8]| {
            read.push(record.to_vec());
            Ok(ControlFlow::Continue(()))
        };
        trace.play_records(&mut take).unwrap();
        assert_eq!(trace.end(), &FileEnd::default());
        assert!(read == written, "{} records were written, {} read", written.len(), read.len());
    }
}
