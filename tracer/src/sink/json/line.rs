//! The lines of `tracer watch -o json`, one struct a type. The order of the fields is the order
//! in which they are printed.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Serialize, Serializer};
use tracer_common::record::kind;

use crate::{
    change::{AdopterClass, Signalled},
    event::{ExitStatus, Loss, WaitCall},
    finding::{Confidence, Detail, Finding, Left},
    host::StartInfo,
    ident::{Args, Comm, Identity, PidNs},
    occurrence::Occurrence,
    rules::Thresholds,
    signal::{self, Sender},
    sink::select::Moment,
    summary::Summary,
    world::{Kill, World},
};

/// Nanoseconds of the boot-time clock, as a string: after 104 days of uptime they no longer fit
/// the numbers of JavaScript and jq.
pub(super) struct BootNs(pub u64);

impl Serialize for BootNs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// RFC 3339, UTC, nine digits of a second.
pub(in crate::sink) struct Wall(i128);

impl Wall {
    pub(in crate::sink) fn new(world: &World, at: u64) -> Self {
        Self(i128::from(at) + i128::from(world.wall_offset_ns()))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond the year 9999 there is no RFC 3339; a broken clock is no reason to stop.
        let time = jiff::Timestamp::from_nanosecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        serializer.collect_str(&format_args!("{time:.9}"))
    }
}

/// A program's name; bytes that are not UTF-8 become U+FFFD.
pub(super) struct Name(Comm);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0.bytes()))
    }
}

#[derive(Serialize)]
pub(super) struct Process {
    pid: u32,
    start_boot_ns: BootNs,
    comm: Name,
    pid_ns: u32,
    ns_pid: u32,
    ns_level: u32,
}

impl From<Identity> for Process {
    fn from(identity: Identity) -> Self {
        let Identity { key, comm, pid_ns: PidNs(pid_ns), ns_pid, ns_level } = identity;
        Self { pid: key.tgid, start_boot_ns: BootNs(key.start), comm: Name(comm), pid_ns, ns_pid, ns_level }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Origin {
    Process(Process),
    Kernel { kernel: &'static str },
}

fn sender(sender: &Sender) -> Option<Origin> {
    match sender {
        Sender::Process(identity) => Some(Origin::Process((*identity).into())),
        Sender::Kernel(kernel) => Some(Origin::Kernel { kernel: kernel.id() }),
        Sender::Unknown => None,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Code(i32),
    Signal(String),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Code(status.code()), |signal| Self::Signal(signal.to_string()))
    }
}

pub(super) fn argv(args: &Args) -> Vec<Cow<'_, str>> {
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
    at_boot_ns: BootNs,
    hooks: &'a [String],
    degraded: &'a [String],
    ring_size: u32,
    all_signals: bool,
    processes: usize,
    namespaces: usize,
    zombies: usize,
    thresholds: Limits,
}

#[derive(Serialize)]
struct Limits {
    unreaped_after_ns: u64,
    zombie_leader_after_ns: u64,
    namespace_stuck_after_ns: u64,
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
        all_deliveries: _,
        arguments: _,
        has_command: _,
        thresholds: Thresholds { unreaped_after, zombie_leader_after, namespace_stuck_after },
    } = info;
    Start {
        version,
        kernel,
        boot_id,
        host,
        at: Wall::new(world, moment.at),
        at_boot_ns: BootNs(moment.at),
        hooks,
        degraded,
        ring_size: *ring_size,
        all_signals: *all_signals,
        processes: world.process_count(),
        namespaces: world.namespace_count(),
        zombies: world.zombie_count(),
        thresholds: Limits {
            unreaped_after_ns: *unreaped_after,
            zombie_leader_after_ns: *zombie_leader_after,
            namespace_stuck_after_ns: *namespace_stuck_after,
        },
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "event")]
pub(super) struct Event<'a> {
    kind: &'static str,
    at: Wall,
    at_boot_ns: BootNs,
    cpu: u16,
    seq: u64,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Fork {
        process: Process,
        parent: Option<Process>,
        #[serde(skip_serializing_if = "Option::is_none")]
        creator: Option<Process>,
    },
    Exec {
        process: Process,
        before: Name,
        argv: Vec<Cow<'a, str>>,
        argv_cut: bool,
    },
    Exit {
        process: Process,
        status: Status,
        leader_only: bool,
        autoreap: bool,
        owed_by: Option<Process>,
        adopter: Option<Process>,
        adopter_class: Option<&'static str>,
    },
    Reap {
        process: Process,
        by: Option<Process>,
        by_tid: Option<u32>,
        call: Option<&'static str>,
        reaped_at_most: bool,
        zombie_for_ns: Option<u64>,
    },
    Signal(Fate),
    Deliver {
        #[serde(flatten)]
        fate: Fate,
        sent_at_boot_ns: Option<BootNs>,
        sent_seq: Option<u64>,
    },
}

#[derive(Serialize)]
struct Fate {
    sender: Option<Origin>,
    target: Process,
    target_tid: u32,
    signal: String,
    code: i32,
    code_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    verdict: &'static str,
}

fn fate(signalled: &Signalled) -> Fate {
    let Signalled {
        signal,
        code: _,
        sender: from,
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
        sender: sender(from),
        target: (*target).into(),
        target_tid: *target_tid,
        signal: signal.to_string(),
        code,
        code_name: signal::code_name(*signal, code),
        result: signalled.result_id(),
        verdict: verdict.id(),
    }
}

pub(super) fn event<'a>(world: &World, moment: Moment, event: &'a Occurrence<'a>) -> Event<'a> {
    let Moment { at, cpu, seq } = moment;
    let name = |identity: &Option<Identity>| identity.map(Process::from);
    let what = match event {
        Occurrence::Fork { process, parent, creator } => {
            What::Fork { process: (*process).into(), parent: name(parent), creator: name(creator) }
        }
        Occurrence::Exec { process, before, args } => {
            What::Exec { process: (*process).into(), before: Name(before.comm), argv: argv(args), argv_cut: args.cut }
        }
        Occurrence::Exit { process, owed_by, status, leader_only, autoreap, adopter } => What::Exit {
            process: (*process).into(),
            status: (*status).into(),
            leader_only: *leader_only,
            autoreap: *autoreap,
            owed_by: name(owed_by),
            adopter: adopter.map(|(_, adopter)| adopter.into()),
            adopter_class: adopter.map(|(class, _)| AdopterClass::id(class)),
        },
        Occurrence::Reap { process, by, zombie_for, exact } => What::Reap {
            process: (*process).into(),
            by: name(by),
            by_tid: exact.filter(|_| by.is_some()).map(|exact| exact.tid),
            call: exact.and_then(|exact| exact.call).map(WaitCall::id),
            reaped_at_most: exact.is_none(),
            zombie_for_ns: *zombie_for,
        },
        Occurrence::Signal(signalled) => What::Signal(fate(signalled)),
        Occurrence::Deliver(signalled) => What::Deliver {
            fate: fate(signalled),
            sent_at_boot_ns: signalled.sent_at.map(BootNs),
            sent_seq: signalled.sent_seq,
        },
    };
    Event { kind: event.kind().id(), at: Wall::new(world, at), at_boot_ns: BootNs(at), cpu, seq, what }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "finding")]
pub(super) struct FindingLine<'a> {
    rule: &'static str,
    severity: &'static str,
    at: Wall,
    at_boot_ns: BootNs,
    since: Wall,
    since_boot_ns: BootNs,
    process: Process,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_note: Option<&'a str>,
    message: &'a str,
    fix: &'a str,
    evidence: &'a [u64],
    #[serde(flatten)]
    detail: Particulars,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Particulars {
    IgnoredSignal { signal: String, sender: Option<Origin>, reason: &'static str },
    UnreapedChild { parent: Process, age_ns: u64, age_is_lower_bound: bool, blame: &'static str },
    OrphanAdopted { adopter: Process, adopter_class: &'static str, adopter_known: &'static str, dead_parent: Process },
    NamespaceKilled { killed: u64, took_ns: u64, status: Status, left: u64 },
    ZombieLeader { threads: u32, age_ns: u64 },
    KilledBy(Box<Killed>),
    LeftBehind { status: Status, running: u64, zombies: u64, processes: Vec<Remnant> },
}

#[derive(Serialize)]
struct Killed {
    signal: String,
    code: i32,
    code_name: Option<&'static str>,
    killer: &'static str,
    sender: Option<Origin>,
    ancestors: Vec<Process>,
    count: u64,
    victims: Vec<Process>,
    raised_again: u64,
    core_dumps: u64,
}

impl From<&Kill> for Killed {
    fn from(kill: &Kill) -> Self {
        let Kill {
            signal,
            code,
            killer,
            sender: from,
            ancestors,
            // They are in `since`.
            sent_at: _,
            died_at: _,
            // It is said by the signal and the core dumps.
            status: _,
            count,
            victims,
            raised_again,
            cores,
            evidence: _,
        } = kill;
        let named = |all: &[Identity]| all.iter().copied().map(Process::from).collect();
        Self {
            signal: signal.to_string(),
            code: *code,
            code_name: signal::code_name(*signal, *code),
            killer: killer.id(),
            sender: sender(from),
            ancestors: named(ancestors),
            count: *count,
            victims: named(victims),
            raised_again: *raised_again,
            core_dumps: *cores,
        }
    }
}

#[derive(Serialize)]
struct Remnant {
    process: Process,
    parent: Option<Process>,
    state: &'static str,
}

impl From<Left> for Remnant {
    fn from(Left { process, parent, is_zombie }: Left) -> Self {
        let state = if is_zombie { "zombie" } else { "running" };
        Self { process: process.into(), parent: parent.map(Process::from), state }
    }
}

pub(super) fn finding<'a>(world: &World, finding: &'a Finding) -> FindingLine<'a> {
    let Finding { rule, at, since, process, confidence, message, fix, evidence, detail } = finding;
    let (confidence, confidence_note) = match confidence {
        Confidence::Certain => ("certain", None),
        Confidence::Incomplete(note) => ("incomplete", Some(note.as_str())),
    };
    FindingLine {
        rule: rule.name,
        severity: rule.severity.id(),
        at: Wall::new(world, *at),
        at_boot_ns: BootNs(*at),
        since: Wall::new(world, *since),
        since_boot_ns: BootNs(*since),
        process: (*process).into(),
        confidence,
        confidence_note,
        message,
        fix,
        evidence,
        detail: match detail {
            Detail::IgnoredSignal { signal, sender: from, reason } => {
                Particulars::IgnoredSignal { signal: signal.to_string(), sender: sender(from), reason }
            }
            Detail::UnreapedChild { parent, age_ns, age_is_lower_bound, blame } => Particulars::UnreapedChild {
                parent: (*parent).into(),
                age_ns: *age_ns,
                age_is_lower_bound: *age_is_lower_bound,
                blame,
            },
            Detail::OrphanAdopted { adopter, adopter_class, dead_parent, known } => Particulars::OrphanAdopted {
                adopter: (*adopter).into(),
                adopter_class: adopter_class.id(),
                adopter_known: known.id(),
                dead_parent: (*dead_parent).into(),
            },
            Detail::NamespaceKilled { killed, took_ns, status, left } => Particulars::NamespaceKilled {
                killed: *killed,
                took_ns: *took_ns,
                status: (*status).into(),
                left: *left,
            },
            Detail::ZombieLeader { threads, age_ns } => {
                Particulars::ZombieLeader { threads: *threads, age_ns: *age_ns }
            }
            Detail::KilledBy(kill) => Particulars::KilledBy(Box::new((&**kill).into())),
            Detail::LeftBehind { status, running, zombies, left } => Particulars::LeftBehind {
                status: (*status).into(),
                running: *running,
                zombies: *zombies,
                processes: left.iter().copied().map(Remnant::from).collect(),
            },
        },
    }
}

/// Lost records by what they would have told.
#[derive(Serialize)]
struct Counts {
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
        let of = |kind: u8| ring[usize::from(kind)];
        Self {
            fork: of(kind::NEW),
            exec: of(kind::EXEC),
            exit: of(kind::EXIT),
            reap: of(kind::REAP).saturating_add(of(kind::FREE)),
            signal: of(kind::SIGNAL),
            deliver: of(kind::DELIVER),
            adopt: of(kind::ADOPT),
            notify: of(kind::NOTIFY),
            rename: of(kind::RENAME),
            snapshot: of(kind::ROW),
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
    at_boot_ns: BootNs,
    seq: u64,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) fn lost(world: &World, moment: Moment, loss: &Loss) -> Lost {
    let Moment { at, cpu: _, seq } = moment;
    Lost { at: Wall::new(world, at), at_boot_ns: BootNs(at), seq, counts: loss.into() }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(super) struct SummaryLine<'a> {
    at: Wall,
    at_boot_ns: BootNs,
    duration_ns: u64,
    events: &'a BTreeMap<&'static str, u64>,
    findings: &'a BTreeMap<&'static str, u64>,
    signals_seen: u64,
    lost: Counts,
    walks_cut: u64,
    cpu_ns: u64,
    processes: u64,
    namespaces: u64,
    zombies: usize,
}

pub(super) fn summary<'a>(world: &World, summary: &'a Summary) -> SummaryLine<'a> {
    let Summary {
        began: _,
        duration_ns,
        ended_at,
        events,
        findings,
        signals_seen,
        lost,
        walks_cut,
        cpu_ns,
        processes,
        namespaces,
    } = summary;
    SummaryLine {
        at: Wall::new(world, *ended_at),
        at_boot_ns: BootNs(*ended_at),
        duration_ns: *duration_ns,
        events,
        findings,
        signals_seen: *signals_seen,
        lost: lost.into(),
        walks_cut: *walks_cut,
        cpu_ns: *cpu_ns,
        processes: *processes,
        namespaces: *namespaces,
        zombies: world.zombie_count(),
    }
}
