//! What the script of the page draws: columns of numbers as JSON, deflated and in base64. Times are microseconds since the
//! beginning of the recording.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use rustc_hash::FxHashMap;
use serde::Serialize;

use super::{About, findings::anchor};
use crate::{
    console::style::{count, cut},
    density::Bucket,
    event::ExitStatus,
    history::{Gap, History, Life, Place, SentBy},
    ident::ProcKey,
    signal::{KernelSender, Signal, Verdict},
    time::BootNs,
};

/// The block is at most so large; the rest of the page is bounded by the number of findings.
const MOST_BYTES: usize = 1 << 20;
/// Columns of a command line, and of all together.
const LINE: usize = 240;
const LINES: usize = 256 << 10;

/// The block, and what is not in it, a sentence each.
pub struct Packed {
    pub packed: String,
    pub left_out: Vec<String>,
}

/// Thins the history until it fits.
pub fn packed(history: &mut History, about: &About<'_>, compression: Compression) -> io::Result<Packed> {
    loop {
        let (data, left_out) = Data::of(history, about);
        let packed = pack(&serde_json::to_vec(&data)?, compression)?;
        if packed.len() <= MOST_BYTES || history.lives.len() <= 1 {
            return Ok(Packed { packed, left_out });
        }
        // Signals first: there are more of them, and many are alike.
        if history.signals.len() > 2 * history.lives.len() {
            history.signals.thin();
        } else {
            history.lives.thin(history.lives.len() / 2);
        }
    }
}

/// Deflated, in base64.
pub fn pack(bytes: &[u8], compression: Compression) -> io::Result<String> {
    let mut deflated = ZlibEncoder::new(Vec::new(), compression);
    deflated.write_all(bytes)?;
    Ok(BASE64_STANDARD.encode(deflated.finish()?))
}

/// The block; `data.js` reads it.
#[derive(Serialize)]
struct Data<'a> {
    /// Milliseconds since 1970 of the beginning.
    began: i64,
    offset: i32,
    /// It is no recording.
    is_run: bool,
    /// Nothing more can come.
    is_over: bool,
    span: i64,
    /// What was over before that is not drawn.
    from: i64,
    lanes: Vec<Lane>,
    names: Vec<String>,
    lines: Vec<String>,
    lives: Lives,
    /// Names that a process took later: the process, when, the name.
    renamed: [Vec<i64>; 3],
    /// Parents that it got later: the process, when, the parent.
    moved: [Vec<i64>; 3],
    signals: Signals,
    signal_names: BTreeMap<u8, String>,
    fates: Vec<Fate>,
    kernel: Vec<&'static str>,
    marks: Vec<Mark<'a>>,
    gaps: Vec<[i64; 3]>,
    density: Density,
}

/// A container, a pid namespace, or the host.
#[derive(Serialize)]
struct Lane {
    name: String,
    kind: &'static str,
}

/// Columns of processes, by birth.
#[derive(Default, Serialize)]
struct Lives {
    lane: Vec<usize>,
    pid: Vec<u32>,
    /// Its pid in its own namespace; 0 on the host.
    inner: Vec<u32>,
    name: Vec<usize>,
    line: Vec<i64>,
    parent: Vec<i64>,
    /// Since the birth of the one before.
    born: Vec<i64>,
    /// -1: it lives.
    died: Vec<i64>,
    /// Since when it was a zombie; -1: it never was.
    zombie: Vec<i64>,
    /// -1: it is in the process table.
    gone: Vec<i64>,
    /// -1: not known.
    reaper: Vec<i64>,
    /// The wait status, as a sentence of `names`; -1: not known.
    status: Vec<i64>,
    /// 1: its birth was seen; 2: its end was; 4: somebody has to reap it; 8: nobody saw it go; 16: a finding names it.
    flags: Vec<u8>,
}

/// Columns of signals.
#[derive(Default, Serialize)]
struct Signals {
    /// Since the one before.
    at: Vec<i64>,
    /// A process; -1: not known; -2 and below: the kernel, by its reason.
    from: Vec<i64>,
    to: Vec<usize>,
    signal: Vec<u8>,
    fate: Vec<usize>,
    /// How long it waited to be taken; -1: that is not known; -2: it was
    /// taken then, and when it was sent is not known.
    waited: Vec<i64>,
    /// 1: one of thousands that say nothing.
    routine: Vec<u8>,
}

/// What became of a signal, and how to draw that.
#[derive(Serialize)]
struct Fate {
    id: &'static str,
    class: &'static str,
}

/// A finding on the time line.
#[derive(Serialize)]
struct Mark<'a> {
    life: usize,
    at: i64,
    since: i64,
    severity: &'static str,
    anchor: String,
    headline: &'a str,
}

#[derive(Serialize)]
struct Density {
    from: i64,
    width: i64,
    signals: Vec<u64>,
    exits: Vec<u64>,
    zombies: Vec<u64>,
}

/// Verdicts in the order of their numbers here.
const FATES: [Verdict; 12] = [
    Verdict::Delivered,
    Verdict::Queued,
    Verdict::Merged,
    Verdict::IgnoredByChoice,
    Verdict::IgnoredByDefault,
    Verdict::InitNoHandler,
    Verdict::KillFromInside,
    Verdict::DroppedAtDelivery,
    Verdict::QueueOverflow,
    Verdict::InfoLost,
    Verdict::TargetExiting,
    Verdict::KernelThread,
];

/// Reasons of the kernel, likewise.
const KERNEL: [KernelSender; 6] = [
    KernelSender::Timer,
    KernelSender::Terminal,
    KernelSender::Fault,
    KernelSender::Oom,
    KernelSender::NamespaceEnd,
    KernelSender::Other,
];

/// Each class has a colour and a shape of its own.
fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "taken",
        Verdict::Queued | Verdict::Merged => "waits",
        Verdict::IgnoredByChoice | Verdict::IgnoredByDefault => "ignored",
        Verdict::TargetExiting | Verdict::KernelThread => "late",
        Verdict::InitNoHandler
        | Verdict::KillFromInside
        | Verdict::DroppedAtDelivery
        | Verdict::QueueOverflow
        | Verdict::InfoLost => "lost",
    }
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: String) -> usize {
        *self.places.entry(text).or_insert_with_key(|text| {
            self.all.push(text.clone());
            self.all.len() - 1
        })
    }
}

/// What has been put together so far.
struct Build<'a> {
    history: &'a History,
    began: BootNs,
    /// Places of processes.
    lives: FxHashMap<ProcKey, usize>,
    names: Texts,
    lines: Texts,
    /// Bytes that are left for command lines.
    room: usize,
    lines_cut: u64,
    lines_left_out: u64,
}

impl<'a> Data<'a> {
    /// And what is not in it.
    fn of(history: &'a History, about: &About<'_>) -> (Self, Vec<String>) {
        let began = history.summary.began;
        let all: Vec<_> = history.lives.iter().collect();
        let mut build = Build {
            history,
            began,
            lives: all.iter().enumerate().map(|(place, life)| (life.process.key, place)).collect(),
            names: Texts::default(),
            lines: Texts::default(),
            room: LINES,
            lines_cut: 0,
            lines_left_out: 0,
        };
        let (lanes, lane_of) = build.lanes(&all);
        let (lives, renamed, moved) = build.lives(&all, &lane_of);
        let (signals, drawn) = build.signals(history);
        let at = |at: BootNs| since(began, at);
        let marks = history.findings.iter().filter(|found| !found.is_withdrawn());
        let marks = marks.filter_map(|found| {
            Some(Mark {
                life: *build.lives.get(&found.finding.process.key)?,
                at: at(found.finding.at),
                since: at(found.finding.since),
                severity: found.finding.rule.severity.id(),
                anchor: anchor(found),
                headline: &found.finding.headline,
            })
        });
        let density = &history.density;
        let column = |of: fn(&Bucket) -> u64| density.buckets().iter().map(of).collect();
        let data = Self {
            began: i64::try_from(began.since_1970(history.wall_offset_ns) / 1_000_000).unwrap_or(0),
            offset: about.clock.offset_seconds(),
            is_run: history.is_of_late(),
            is_over: about.is_over,
            span: at(history.summary.ended_at).max(1),
            from: at(history.kept_from()),
            marks: marks.collect(),
            lanes,
            lives,
            renamed,
            moved,
            signal_names: signals.signal.iter().map(|&number| (number, Signal(number).to_string())).collect(),
            signals,
            fates: FATES.iter().map(|&verdict| Fate { id: verdict.id(), class: class(verdict) }).collect(),
            kernel: KERNEL.iter().map(|why| why.id()).collect(),
            gaps: history
                .gaps
                .iter()
                .map(|&Gap { from, until, records }| [at(from), at(until), records.cast_signed()])
                .collect(),
            density: Density {
                from: at(density.span().map_or(began, |(from, _)| from)),
                width: (density.width().0 / 1_000).cast_signed(),
                signals: column(|bucket| bucket.signals),
                exits: column(|bucket| bucket.exits),
                zombies: column(|bucket| bucket.zombies),
            },
            names: build.names.all,
            lines: build.lines.all,
        };
        let mut left_out = Vec::new();
        let forgotten = history.lives.forgotten();
        if history.is_narrowed() {
            left_out.push(format!(
                "{} have to do with what this page was asked for; of the others, the facts at the top and the strip \
                 above the time line count what they did, and nothing else is told",
                count(history.lives.seen() - history.lives.hidden(), "process")
            ));
        }
        if forgotten > 0 {
            left_out.push(format!(
                "What was over before the time line begins is not drawn any more: {}, and the signals of that time",
                count(forgotten, "process")
            ));
        }
        let (kept, seen) = (history.lives.len() as u64, history.lives.seen() - forgotten - history.lives.hidden());
        if kept < seen {
            left_out.push(format!(
                "{kept} of {} are drawn: those that findings name, then those with signals that say something, \
                 then zombies, then those that lived longest. Children of those left out stand at the top of the tree",
                count(seen, "process")
            ));
        }
        if drawn < history.signals.seen() {
            left_out.push(format!(
                "{drawn} of {} are drawn, evenly over time; first are left out those that are ignored by default, last \
                 those that were lost. The strip above the time line counts all",
                count(history.signals.seen(), "signal")
            ));
        }
        if build.lines_cut > 0 {
            left_out.push(format!("{} end after {LINE} columns", count(build.lines_cut, "command line")));
        }
        if build.lines_left_out > 0 {
            left_out.push(format!("{} are left out", count(build.lines_left_out, "command line")));
        }
        (data, left_out)
    }
}

impl Build<'_> {
    /// Containers first, then pid namespaces, then the host; in the order of their first processes.
    fn lanes(&self, all: &[&Life]) -> (Vec<Lane>, FxHashMap<Place, usize>) {
        let mut places: Vec<(Place, &Life)> = Vec::new();
        let mut known = FxHashMap::default();
        for life in all {
            known.entry(life.place).or_insert_with(|| places.push((life.place, life)));
        }
        places.sort_by_key(|(place, _)| match place {
            Place::Container(_) => 0,
            Place::Namespace(..) => 1,
            Place::Host => 2,
        });
        let lanes = places.iter().map(|&(place, first)| self.lane(place, first)).collect();
        (lanes, places.iter().enumerate().map(|(n, &(place, _))| (place, n)).collect())
    }

    fn lane(&self, place: Place, first: &Life) -> Lane {
        let container = self.history.container_of(&first.process);
        match (place, container) {
            (Place::Host, _) => Lane { name: "host".to_owned(), kind: "host" },
            (Place::Container(_), Some(container)) => {
                Lane { name: container.described(), kind: container.engine.noun() }
            }
            (Place::Container(_), None) => Lane { name: "a container that is forgotten".to_owned(), kind: "container" },
            (Place::Namespace(ns, _), _) => {
                let init = if first.process.ns_pid == 1 { format!(": {}", first.process.comm) } else { String::new() };
                Lane { name: format!("{ns}{init}"), kind: "pid namespace" }
            }
        }
    }

    fn lives(&mut self, all: &[&Life], lane_of: &FxHashMap<Place, usize>) -> (Lives, [Vec<i64>; 3], [Vec<i64>; 3]) {
        let mut lives = Lives::default();
        let (mut renamed, mut moved): ([Vec<i64>; 3], [Vec<i64>; 3]) = Default::default();
        let lines = self.lines_of(all);
        let mut before = 0;
        for (place, life) in all.iter().enumerate() {
            let Life { process, names, parents, end, gone, is_seen, is_missed, is_found, .. } = life;
            let born = since(self.began, process.key.start);
            lives.lane.push(lane_of[&life.place]);
            lives.pid.push(process.key.tgid);
            lives.inner.push(if process.ns_level > 0 { process.ns_pid } else { 0 });
            lives.born.push(born - before);
            before = born;
            let [(_, name), later @ ..] = &names[..] else { continue };
            lives.name.push(self.names.place(name.to_string()));
            for (at, name) in later {
                let name = self.names.place(name.to_string());
                turn(&mut renamed, [place as i64, since(self.began, *at), name as i64]);
            }
            let [(_, parent), later @ ..] = &parents[..] else { continue };
            lives.parent.push(self.life(*parent));
            for (at, parent) in later {
                turn(&mut moved, [place as i64, since(self.began, *at), self.life(*parent)]);
            }
            lives.line.push(lines[place]);
            lives.died.push(end.map_or(-1, |end| since(self.began, end.at).max(0)));
            let zombie = end.and_then(|end| end.zombie);
            lives.zombie.push(zombie.map_or(-1, |at| since(self.began, at).max(0)));
            lives.gone.push(gone.map_or(-1, |(at, _)| since(self.began, at).max(0)));
            lives.reaper.push(self.life(gone.and_then(|(_, by)| by)));
            let status = end.map(|end| self.names.place(how(end.status)) as i64);
            lives.status.push(status.unwrap_or(-1));
            let is_exact = end.is_some_and(|end| end.is_exact);
            let is_owed = end.is_some_and(|end| end.is_owed);
            let flags = [*is_seen, is_exact, is_owed, *is_missed, *is_found];
            lives.flags.push(flags.iter().rev().fold(0, |flags, &flag| flags << 1 | u8::from(flag)));
        }
        (lives, renamed, moved)
    }

    /// The command lines, by their places; those of processes that findings name come first.
    fn lines_of(&mut self, all: &[&Life]) -> Vec<i64> {
        let mut lines = vec![-1; all.len()];
        let (first, others): (Vec<_>, Vec<_>) = (0..all.len()).partition(|&place| all[place].is_found);
        for place in first.into_iter().chain(others) {
            let line = all[place].args.to_string();
            if line.is_empty() {
                continue;
            }
            let short = cut(&line, LINE);
            let is_known = self.lines.places.contains_key(&short);
            if !is_known && short.len() > self.room {
                self.lines_left_out += 1;
                continue;
            }
            self.lines_cut += u64::from(short != line);
            if !is_known {
                self.room -= short.len();
            }
            lines[place] = self.lines.place(short) as i64;
        }
        lines
    }

    fn signals(&self, history: &History) -> (Signals, u64) {
        let mut signals = Signals::default();
        let mut before = 0;
        for sent in history.signals.iter() {
            let Some(&to) = self.lives.get(&sent.to) else { continue };
            let at = since(self.began, sent.at);
            signals.at.push(at - before);
            before = at;
            signals.from.push(match sent.from {
                SentBy::Process(key) => self.life(Some(key)),
                SentBy::Kernel(why) => -2 - place_in(&KERNEL, &why) as i64,
                SentBy::Unknown => -1,
            });
            signals.to.push(to);
            signals.signal.push(sent.signal.0);
            signals.fate.push(place_in(&FATES, &sent.fate()));
            signals.routine.push(u8::from(sent.is_routine()));
            signals.waited.push(match sent.taken {
                _ if sent.is_sending_unknown => -2,
                Some((taken, _)) => since(sent.at, taken),
                None => -1,
            });
        }
        let drawn = signals.to.len() as u64;
        (signals, drawn)
    }

    /// The place of a process; -1, if it is not known, or left out.
    fn life(&self, key: Option<ProcKey>) -> i64 {
        key.and_then(|key| self.lives.get(&key)).map_or(-1, |&place| place as i64)
    }
}

fn turn(columns: &mut [Vec<i64>; 3], turn: [i64; 3]) {
    for (column, value) in columns.iter_mut().zip(turn) {
        column.push(value);
    }
}

fn place_in<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().position(|other| other == one).unwrap_or_default()
}

/// Microseconds from one time to another.
fn since(began: BootNs, at: BootNs) -> i64 {
    let distance = |span: u64| i64::try_from(span / 1_000).unwrap_or(i64::MAX);
    if at >= began { distance((at - began).0) } else { -distance((began - at).0) }
}

/// How a process ended.
fn how(status: ExitStatus) -> String {
    status.signal().map_or_else(|| format!("code {}", status.code()), |signal| format!("killed by {signal}"))
}
