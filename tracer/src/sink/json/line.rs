//! The lines of `tracer watch -o json`, one struct per type. Fields are printed in the order in which they are
//! declared.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Serialize, Serializer};
use tracer_common::RecordKind;

use crate::{
    change::{AdopterClass, Signalled},
    event::{ExitStatus, Loss, WaitCall},
    host::{Container, StartInfo},
    ident::{Args, Comm, Identity, PidNs},
    kind::Kind,
    occurrence::Occurrence,
    signal::{self, Sender},
    sink::select::Moment,
    summary::{Summary, less},
    thresholds::Fields,
    time::{BootNs, Seq, Span},
    world::World,
};

/// Nanoseconds of the boot-time clock, as a string: after 104 days of uptime they no longer fit
/// the numbers of JavaScript and jq.
pub(crate) struct Digits(pub BootNs);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// RFC 3339, UTC, nine digits of a second.
pub(crate) struct Wall(i128);

impl Wall {
    pub(crate) fn new(world: &World, at: BootNs) -> Self {
        Self(at.since_1970(world.wall_offset_ns()))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // RFC 3339 ends with the year 9999; a broken clock is no reason to stop.
        let time = jiff::Timestamp::from_nanosecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{time:.9}"))
    }
}

/// A program's name; bytes that are not UTF-8 become U+FFFD.
pub(crate) struct Name(pub Comm);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0.bytes()))
    }
}

#[derive(Serialize)]
pub(crate) struct Process<'a> {
    pid: u32,
    start_boot_ns: Digits,
    comm: Name,
    pid_ns: u32,
    ns_pid: u32,
    ns_level: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<&'a str>,
}

impl<'a> Process<'a> {
    pub(crate) fn new(world: &'a World, identity: &Identity) -> Self {
        let Identity { key, comm, pid_ns: PidNs(pid_ns), ns_pid, ns_level, container: _ } = *identity;
        let container = world.container_of(identity);
        Self {
            pid: key.tgid,
            start_boot_ns: Digits(key.start),
            comm: Name(comm),
            pid_ns,
            ns_pid,
            ns_level,
            container: container.map(Container::label),
            container_id: container.map(|container| container.id.as_str()),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Origin<'a> {
    Process(Process<'a>),
    Kernel { kernel: &'static str },
}

pub(crate) fn sender<'a>(world: &'a World, sender: &Sender) -> Option<Origin<'a>> {
    match sender {
        Sender::Process(identity) => Some(Origin::Process(Process::new(world, identity))),
        Sender::Kernel(kernel) => Some(Origin::Kernel { kernel: kernel.id() }),
        Sender::Unknown => None,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Code(i32),
    Signal(String),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Code(status.code()), |signal| Self::Signal(signal.to_string()))
    }
}

pub(crate) fn argv(args: &Args) -> Vec<Cow<'_, str>> {
    args.iter().map(String::from_utf8_lossy).collect()
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "start")]
pub(super) struct Start<'a> {
    version: &'a str,
    kernel: &'a str,
    boot_id: &'a str,
    host: &'a str,
    at: Wall,
    at_boot_ns: Digits,
    hooks: &'a [String],
    degraded: &'a [String],
    ring_size: u32,
    all_signals: bool,
    processes: usize,
    namespaces: usize,
    zombies: usize,
    thresholds: Fields<'a>,
}

pub(super) fn start<'a>(world: &World, moment: Moment, info: &'a StartInfo) -> Start<'a> {
    let StartInfo {
        version,
        kernel,
        boot_id,
        host,
        // It is in `at` already.
        wall_offset_ns: _,
        hooks,
        degraded,
        ring_size,
        all_signals,
        fatal_signals: _,
        forwarded_signals: _,
        all_deliveries: _,
        arguments: _,
        has_command: _,
        thresholds,
    } = info;
    Start {
        version,
        kernel,
        boot_id,
        host,
        at: Wall::new(world, moment.at),
        at_boot_ns: Digits(moment.at),
        hooks,
        degraded,
        ring_size: *ring_size,
        all_signals: *all_signals,
        processes: world.process_count(),
        namespaces: world.namespace_count(),
        zombies: world.zombie_count(),
        thresholds: Fields(thresholds),
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "event")]
pub(super) struct Event<'a> {
    kind: &'static str,
    at: Wall,
    at_boot_ns: Digits,
    cpu: u16,
    seq: Seq,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Fork {
        process: Process<'a>,
        parent: Option<Process<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        creator: Option<Process<'a>>,
    },
    Exec {
        process: Process<'a>,
        before: Name,
        argv: Vec<Cow<'a, str>>,
        argv_cut: bool,
    },
    Exit {
        process: Process<'a>,
        status: Status,
        leader_only: bool,
        autoreap: bool,
        owed_by: Option<Process<'a>>,
        adopter: Option<Process<'a>>,
        adopter_class: Option<&'static str>,
    },
    Reap {
        process: Process<'a>,
        by: Option<Process<'a>>,
        by_tid: Option<u32>,
        call: Option<&'static str>,
        reaped_at_most: bool,
        zombie_for_ns: Option<Span>,
    },
    Signal(Fate<'a>),
    Deliver {
        #[serde(flatten)]
        fate: Fate<'a>,
        sent_at_boot_ns: Option<Digits>,
        sent_seq: Option<Seq>,
    },
}

#[derive(Serialize)]
struct Fate<'a> {
    sender: Option<Origin<'a>>,
    target: Process<'a>,
    target_tid: u32,
    signal: String,
    code: i32,
    code_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    verdict: &'static str,
}

fn fate<'a>(world: &'a World, signalled: &Signalled) -> Fate<'a> {
    let Signalled {
        signal,
        code: _,
        sender: from,
        asked_by: _,
        target,
        target_tid,
        to_init: _,
        from_outside: _,
        verdict,
        result: _,
        sent_at: _,
        sent_seq: _,
    } = signalled;
    let code = signalled.seen_code();
    Fate {
        sender: sender(world, from),
        target: Process::new(world, target),
        target_tid: *target_tid,
        signal: signal.to_string(),
        code,
        code_name: signal::code_name(*signal, code),
        result: signalled.result_id(),
        verdict: verdict.id(),
    }
}

pub(super) fn event<'a>(world: &'a World, moment: Moment, event: &'a Occurrence<'a>) -> Event<'a> {
    let Moment { at, cpu, seq } = moment;
    let one = |identity: &Identity| Process::new(world, identity);
    let name = |identity: &Option<Identity>| identity.as_ref().map(one);
    let what = match event {
        Occurrence::Fork { process, parent, creator } => {
            What::Fork { process: one(process), parent: name(parent), creator: name(creator) }
        }
        Occurrence::Exec { process, before, args } => {
            What::Exec { process: one(process), before: Name(before.comm), argv: argv(args), argv_cut: args.cut }
        }
        Occurrence::Exit { process, owed_by, status, leader_only, autoreap, adopter } => What::Exit {
            process: one(process),
            status: (*status).into(),
            leader_only: *leader_only,
            autoreap: *autoreap,
            owed_by: name(owed_by),
            adopter: adopter.as_ref().map(|(_, adopter)| one(adopter)),
            adopter_class: adopter.map(|(class, _)| AdopterClass::id(class)),
        },
        Occurrence::Reap { process, by, zombie_for, exact } => What::Reap {
            process: one(process),
            by: name(by),
            by_tid: exact.filter(|_| by.is_some()).map(|exact| exact.tid),
            call: exact.and_then(|exact| exact.call).map(WaitCall::id),
            reaped_at_most: exact.is_none(),
            zombie_for_ns: *zombie_for,
        },
        Occurrence::Signal(signalled) => What::Signal(fate(world, signalled)),
        Occurrence::Deliver(signalled) => What::Deliver {
            fate: fate(world, signalled),
            sent_at_boot_ns: signalled.sent_at.map(Digits),
            sent_seq: signalled.sent_seq,
        },
    };
    Event { kind: event.kind().id(), at: Wall::new(world, at), at_boot_ns: Digits(at), cpu, seq, what }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "container")]
pub(super) struct ContainerLine<'a> {
    at: Wall,
    at_boot_ns: Digits,
    seq: Seq,
    label: Cow<'a, str>,
    #[serde(flatten)]
    container: &'a Container,
}

pub(super) fn container<'a>(world: &World, moment: Moment, container: &'a Container) -> ContainerLine<'a> {
    let Moment { at, cpu: _, seq } = moment;
    ContainerLine { at: Wall::new(world, at), at_boot_ns: Digits(at), seq, label: container.label(), container }
}

/// Lost records by the kind of what they would have reported.
#[derive(Serialize)]
pub(crate) struct Counts {
    fork: u64,
    exec: u64,
    exit: u64,
    reap: u64,
    signal: u64,
    deliver: u64,
    adopt: u64,
    notify: u64,
    rename: u64,
    snapshot: u64,
    undecodable: u64,
    missed: u64,
    unreadable: u64,
    total: u64,
}

impl From<&Loss> for Counts {
    fn from(loss: &Loss) -> Self {
        let Loss { ring, undecodable, missed, unreadable } = loss;
        let of = |kind: RecordKind| ring[kind as usize];
        Self {
            fork: of(RecordKind::New),
            exec: of(RecordKind::Exec),
            exit: of(RecordKind::Exit),
            reap: of(RecordKind::Reap).saturating_add(of(RecordKind::Free)),
            signal: of(RecordKind::Signal),
            deliver: of(RecordKind::Deliver),
            adopt: of(RecordKind::Adopt),
            notify: of(RecordKind::Notify),
            rename: of(RecordKind::Rename),
            snapshot: of(RecordKind::Row),
            undecodable: *undecodable,
            missed: *missed,
            unreadable: *unreadable,
            total: loss.total(),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "lost")]
pub(super) struct Lost {
    at: Wall,
    at_boot_ns: Digits,
    seq: Seq,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) fn lost(world: &World, moment: Moment, loss: &Loss) -> Lost {
    let Moment { at, cpu: _, seq } = moment;
    Lost { at: Wall::new(world, at), at_boot_ns: Digits(at), seq, counts: loss.into() }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "limited")]
pub(super) struct Limited<'a> {
    at: Wall,
    at_boot_ns: Digits,
    seq: Seq,
    what: &'a str,
}

pub(super) fn limited<'a>(world: &World, moment: Moment, what: &'a str) -> Limited<'a> {
    let Moment { at, cpu: _, seq } = moment;
    Limited { at: Wall::new(world, at), at_boot_ns: Digits(at), seq, what }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "unwritten")]
struct Unwritten {
    lines: u64,
}

/// The line, with its line end, that stands for so many that nobody read in time.
pub fn unwritten_line(lines: u64) -> String {
    // A struct of one number, which JSON can always represent.
    serde_json::to_string(&Unwritten { lines }).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(super) struct SummaryLine<'a> {
    at: Wall,
    at_boot_ns: Digits,
    duration_ns: Span,
    events: &'a BTreeMap<Kind, u64>,
    findings: &'a BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    findings_not_shown: BTreeMap<&'static str, u64>,
    signals_seen: u64,
    lost: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    unwritten: Option<u64>,
    walks_cut: u64,
    cpu_ns: Span,
    processes: u64,
    namespaces: u64,
    zombies: usize,
}

pub(super) fn summary<'a>(
    world: &World,
    summary: &'a Summary,
    shown: &'a BTreeMap<&'static str, u64>,
) -> SummaryLine<'a> {
    let Summary {
        began: _,
        duration_ns,
        ended_at,
        events,
        findings,
        signals_seen,
        lost,
        unwritten,
        walks_cut,
        cpu_ns,
        processes,
        namespaces,
    } = summary;
    SummaryLine {
        at: Wall::new(world, *ended_at),
        at_boot_ns: Digits(*ended_at),
        duration_ns: *duration_ns,
        events,
        findings: shown,
        findings_not_shown: less(findings, shown),
        signals_seen: *signals_seen,
        lost: lost.into(),
        unwritten: Some(*unwritten).filter(|lines| *lines > 0),
        walks_cut: *walks_cut,
        cpu_ns: *cpu_ns,
        processes: *processes,
        namespaces: *namespaces,
        zombies: world.zombie_count(),
    }
}
