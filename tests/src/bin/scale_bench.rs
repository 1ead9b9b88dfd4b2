//! What a large world costs, inside of one process. For `cargo xtask bench scale`.
//!
//! `scale_bench churn PROCESSES EVENTS FILE` makes a trace of so many processes that live, while others are born,
//! execute a program, get signals, end and are reaped. `scale_bench grow PROCESSES BYTES FILE` does the same until the
//! file has that size. `scale_bench zombies COUNT FILE` makes one of so many zombies of one parent. `scale_bench play
//! FILE` plays one through world and rules, and says how many records came after the list of processes, their
//! processor time in nanoseconds, and the most memory it had, in KiB. `scale_bench images FILE` says how many bytes of
//! a file are images of the world, and how many it has; `scale_bench span FILE`, how many seconds it lasts.

use std::{env, fs, ops::ControlFlow, path::Path};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use tracer::{
    detector::Detector,
    event::{
        End, Event, EventKind, Exec, ExitStatus, Fork, Notify, Reap, Row, SignalTaken, Survey, TaskInfo, WaitCall,
    },
    ident::{Args, Comm, ProcKey},
    signal::Signal,
    sink::{Sink, trace::Recorder},
    source::{encode::encode, live, trace::Trace},
    summary::Summary,
    thresholds::Thresholds,
    time::{BootNs, Span},
    trace::{
        RECORDS,
        reader::{Next, Reader},
    },
};
use tracer_common::record::signal_flags;
use tracer_tests::made::{exit, leader, signal, task};

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["churn", processes, events, file] => churn(processes.parse()?, 4, events.parse()?, u64::MAX, Path::new(file)),
        ["grow", processes, bytes, file] => churn(processes.parse()?, 64, u64::MAX, bytes.parse()?, Path::new(file)),
        ["zombies", count, file] => zombies(count.parse()?, Path::new(file)),
        ["play", file] => play(Path::new(file)),
        ["images", file] => images(Path::new(file)),
        ["span", file] => span(Path::new(file)),
        _ => bail!(
            "say what: churn PROCESSES EVENTS FILE, grow PROCESSES BYTES FILE, zombies COUNT FILE, play FILE, \
             images FILE or span FILE"
        ),
    }
}

/// When the recording begins.
const BEGIN: BootNs = BootNs(1_000_000_000_000);
/// Events come this far apart: 20,000 a second.
const APART: Span = Span(50_000);
/// How often time passes for the rules, and how often who is traced is surveyed, as live.
const TICK: Span = Span::ms(50);
const SURVEY: Span = Span::SECOND;
/// How many children a process of the tree has.
const CHILDREN: usize = 8;
/// The first pid that is given to those that are born later.
const LATER: u32 = 2_000_000;

/// A trace that is being made.
struct Maker {
    recorder: Recorder,
    detector: Detector,
    now: BootNs,
    events: u64,
    record: Vec<u8>,
    ticked: BootNs,
    surveyed: BootNs,
}

impl Maker {
    /// Begins one with its list of processes.
    fn begin(file: &Path, rows: impl Iterator<Item = (Row, Args)>) -> Result<Self> {
        let recorder = Recorder::new(Recorder::single(file, true)?);
        let detector = Detector::new(&Thresholds::default());
        let (now, events, record) = (BEGIN, 0, Vec::new());
        let mut maker = Self { recorder, detector, now, events, record, ticked: now, surveyed: now };
        let start = serde_json::json!({
            "version": "0", "kernel": "6.18", "boot_id": "", "host": "scale",
            "wall_offset_ns": 1_700_000_000_000_000_000_i64, "hooks": [], "degraded": [], "ring_size": 0, "all_signals": true, "fatal_signals": true,
            "forwarded_signals": true, "all_deliveries": true, "arguments": [], "thresholds": Thresholds::default(),
        });
        maker.put(EventKind::Start(serde_json::from_value(start).context("the fields of a start")?))?;
        maker.put(EventKind::SnapshotBegin)?;
        let mut lines = Vec::new();
        for (row, args) in rows {
            lines.push((row.task.key, args));
            maker.put(EventKind::Row(Box::new(row)))?;
        }
        maker.put(EventKind::SnapshotEnd)?;
        for (key, args) in lines {
            maker.put(EventKind::CommandLine(key, args))?;
        }
        Ok(maker)
    }

    /// Adds an event at the present time.
    fn put(&mut self, kind: EventKind) -> Result<()> {
        let Self { recorder, detector, now, record, .. } = self;
        let event = Event { at: *now, cpu: 0, kind };
        record.clear();
        encode(&event, record);
        let (step, world) = detector.step(&event, record);
        Ok(recorder.step(world, &step)?)
    }

    /// The next event, with all that user space adds meanwhile.
    fn event(&mut self, kind: EventKind) -> Result<()> {
        self.now += APART;
        self.events += 1;
        self.put(kind)?;
        if self.now - self.ticked >= TICK {
            self.ticked = self.now;
            if self.now - self.surveyed >= SURVEY {
                self.surveyed = self.now;
                self.put(EventKind::Survey(Box::new(Survey { began: self.now, found: Vec::new() })))?;
            }
            self.put(EventKind::Tick)?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        let end = End { began: BEGIN, cpu_ns: Span::ZERO, signals: 0, walks_cut: 0 };
        self.put(EventKind::End(end))?;
        Ok(self.recorder.finish(self.detector.world(), &Summary::default())?)
    }
}

/// A process that was there before: the older, the smaller its number.
fn there(number: u32) -> ProcKey {
    ProcKey { start: BootNs(u64::from(number) * 100_000), tgid: number }
}

fn running(task: TaskInfo) -> Row {
    Row { task, tracer: None, idle: Some(Span::ZERO), status: ExitStatus(0), leader_dead: false, live: 1 }
}

fn words(line: &str) -> Args {
    Args { bytes: (line.replace(' ', "\0") + "\0").into_bytes().into(), ..Args::default() }
}

/// Half of the processes are children of pid 1, the others a tree of services with workers. One in so many of those
/// that come and go takes the place of one that was there; the others live for a moment.
fn churn(processes: u32, one_in: u32, events: u64, bytes: u64, file: &Path) -> Result<()> {
    let inner = processes as usize / CHILDREN + 1;
    let parent = |i: usize| match i {
        0 => None,
        _ if i.is_multiple_of(2) => Some(there(1)),
        _ => Some(there((i / CHILDREN) as u32 + 1)),
    };
    let args =
        |i: usize| words(&format!("/usr/lib/service/worker-{i} --config /etc/service/worker-{i}.conf --level info"));
    let rows = (0..processes as usize).map(|i| {
        let task = task(there(i as u32 + 1), parent(i), if i == 0 { "init" } else { "worker" });
        (running(task), args(i))
    });
    let mut maker = Maker::begin(file, rows)?;
    let mut alive: Vec<_> = (0..processes as usize).map(|i| (there(i as u32 + 1), parent(i))).collect();
    let mut rng = Rng::with_seed(1);
    for number in 0.. {
        if maker.events >= events || file.metadata()?.len() >= bytes {
            break;
        }
        let place = rng.usize(inner..alive.len().max(inner + 1));
        let is_lasting = number % one_in == 0 && place < alive.len();
        let Some(above) = (if is_lasting { alive[place].1 } else { Some(alive[rng.usize(0..alive.len())].0) }) else {
            continue;
        };
        let born = ProcKey { start: maker.now, tgid: LATER + number % 2_000_000 };
        let creator = Some(leader(above));
        maker.event(EventKind::Fork(Box::new(Fork { task: task(born, Some(above), "sh"), creator })))?;
        maker.event(EventKind::Exec(Box::new(Exec {
            task: leader(born),
            comm: Comm::from("worker"),
            old_tid: born.tgid,
            args: args(number as usize),
            mount_ns: 0,
            ignored: Some(0),
        })))?;
        maker.event(EventKind::Signal(signal(above, born, Signal::USR1)))?;
        let (target, usr1) = (leader(born), Signal::USR1);
        maker.event(EventKind::Deliver(SignalTaken { target, signal: usr1, code: 0, flags: signal_flags::HANDLER }))?;
        let (gone, of) = match is_lasting {
            true => std::mem::replace(&mut alive[place], (born, Some(above))),
            false => (born, Some(above)),
        };
        let of = of.unwrap_or_default();
        maker.event(EventKind::Exit(Box::new(exit(gone, of))))?;
        let (task, to) = (leader(gone), leader(of));
        maker.event(EventKind::Notify(Notify { task, to, traced: false, signal: 17 }))?;
        maker.event(EventKind::Reap(Reap { task, reaper: to, call: Some(WaitCall::Wait4) }))?;
        maker.event(EventKind::Free(task))?;
    }
    maker.end()
}

/// Two seconds after the start the rules are asked about them.
fn zombies(count: u32, file: &Path) -> Result<()> {
    let server = there(2);
    let living = [running(task(there(1), None, "init")), running(task(server, Some(there(1)), "server"))];
    let dead = (0..count).map(|i| Row {
        leader_dead: true,
        live: 0,
        idle: Some(Span::SECOND),
        ..running(task(there(i + 3), Some(server), "worker"))
    });
    let mut maker = Maker::begin(file, living.into_iter().chain(dead).map(|row| (row, Args::default())))?;
    for _ in 0..100 {
        maker.now += TICK;
        maker.put(EventKind::Tick)?;
    }
    maker.end()
}

fn play(file: &Path) -> Result<()> {
    let mut trace = Trace::open(file)?;
    let mut detector = Detector::new(&trace.start().thresholds);
    let (mut records, mut before) = (0_u64, None);
    trace.play(|event, record| {
        // The command lines follow the list.
        let is_listed = detector.world().was_listed() && !matches!(event.kind, EventKind::CommandLine(..));
        if is_listed {
            before.get_or_insert_with(live::cpu_time);
            records += 1;
        }
        detector.step(event, record);
        Ok(ControlFlow::Continue(()))
    })?;
    let took = before.map_or(Span::ZERO, |before| live::cpu_time() - before);
    println!("{records} {} {}", took, peak()?);
    Ok(())
}

/// The most memory that this process has had, in KiB.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    Ok(field.context("the kernel says no VmHWM")?.parse()?)
}

/// How many bytes of a file are images of the world, packed, and how many there are in all. A chunk that has records,
/// too, counts in proportion.
fn images(file: &Path) -> Result<()> {
    let mut reader = Reader::open(file)?;
    let bytes = fs::read(file)?;
    let summary = mcap::Summary::read(&bytes)?.context("the file was not closed")?;
    let mut images = 0.0;
    for chunk in &summary.chunk_indexes {
        let Next::Chunk(messages) = reader.read_on()? else { bail!("the file is damaged") };
        let size = |is_counted: fn(u16) -> bool| -> f64 {
            messages.iter().filter(|message| is_counted(message.channel)).map(|message| message.data.len() as f64).sum()
        };
        images += chunk.compressed_size as f64 * size(|channel| channel != RECORDS) / size(|_| true).max(1.0);
    }
    println!("{images:.0} {}", bytes.len());
    Ok(())
}

/// How many seconds a recording lasts.
fn span(file: &Path) -> Result<()> {
    let (first, last) = Trace::open(file)?.span()?.context("an empty trace")?;
    println!("{}", (last - first).0 as f64 / 1e9);
    Ok(())
}
