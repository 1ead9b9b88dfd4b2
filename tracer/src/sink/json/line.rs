//! The lines of `tracer watch -o json`, one struct a type. The order of the fields is the order
//! in which they are printed.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Serialize, Serializer};
use tracer_common::record::kind;

use crate::{
    change::{AdopterClass, Signalled},
    event::{ExitStatus, Loss, WaitCall},
    finding::{Confidence, Detail, Finding, Left, Reached},
    host::{Container, StartInfo},
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
pub(super) struct Name(pub Comm);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0.bytes()))
    }
}

#[derive(Serialize)]
pub(super) struct Process<'a> {
    pid: u32,
    start_boot_ns: BootNs,
    comm: Name,
    pid_ns: u32,
    ns_pid: u32,
    ns_level: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<&'a str>,
}

impl<'a> Process<'a> {
    pub(super) fn new(world: &'a World, identity: &Identity) -> Self {
        let Identity { key, comm, pid_ns: PidNs(pid_ns), ns_pid, ns_level, container: _ } = *identity;
        let container = world.container_of(identity);
        Self {
            pid: key.tgid,
            start_boot_ns: BootNs(key.start),
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
pub(super) enum Origin<'a> {
    Process(Process<'a>),
    Kernel { kernel: &'static str },
}

pub(super) fn sender<'a>(world: &'a World, sender: &Sender) -> Option<Origin<'a>> {
    match sender {
        Sender::Process(identity) => Some(Origin::Process(Process::new(world, identity))),
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
    slow_stop_after_ns: u64,
    zombie_leak_at: u64,
    stuck_blocked_after_ns: u64,
    not_forwarded_after_ns: u64,
    exec_leftover_after_ns: u64,
    thread_adoptions: bool,
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
        thresholds:
            Thresholds {
                unreaped_after,
                zombie_leader_after,
                namespace_stuck_after,
                slow_stop_after,
                zombie_leak_at,
                stuck_blocked_after,
                not_forwarded_after,
                exec_leftover_after,
                thread_adoptions,
            },
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
            slow_stop_after_ns: *slow_stop_after,
            zombie_leak_at: *zombie_leak_at,
            stuck_blocked_after_ns: *stuck_blocked_after,
            not_forwarded_after_ns: *not_forwarded_after,
            exec_leftover_after_ns: *exec_leftover_after,
            thread_adoptions: *thread_adoptions,
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
        zombie_for_ns: Option<u64>,
    },
    Signal(Fate<'a>),
    Deliver {
        #[serde(flatten)]
        fate: Fate<'a>,
        sent_at_boot_ns: Option<BootNs>,
        sent_seq: Option<u64>,
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
    stage: &'static str,
    at: Wall,
    at_boot_ns: BootNs,
    since: Wall,
    since_boot_ns: BootNs,
    process: Process<'a>,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_note: Option<&'a str>,
    message: &'a str,
    fix: &'a str,
    evidence: &'a [u64],
    #[serde(flatten)]
    detail: Particulars<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Particulars<'a> {
    IgnoredSignal {
        signal: String,
        sender: Option<Origin<'a>>,
        reason: &'static str,
    },
    UnreapedChild {
        parent: Process<'a>,
        age_ns: u64,
        age_is_lower_bound: bool,
        blame: &'static str,
    },
    OrphanAdopted {
        adopter: Process<'a>,
        adopter_class: &'static str,
        adopter_known: &'static str,
        dead_parent: Process<'a>,
    },
    NamespaceKilled {
        killed: u64,
        took_ns: u64,
        status: Status,
        left: u64,
    },
    KilledBy(Box<Killed<'a>>),
    QueueOverflow {
        signal: String,
        sender: Option<Origin<'a>>,
        lost: u64,
        siginfo_lost: u64,
    },
    ZombieLeader {
        threads: u32,
        age_ns: u64,
    },
    SlowStop {
        signal: String,
        sender: Option<Origin<'a>>,
        ancestors: Vec<Process<'a>>,
        verdict: &'static str,
        children_told: Option<u64>,
        children_not_told: Option<u64>,
        killer: Option<Origin<'a>>,
        killer_ancestors: Vec<Process<'a>>,
        wasted_ns: u64,
        took_ns: u64,
    },
    ZombieLeak {
        zombies: u64,
        per_hour: u64,
        names: Vec<Named>,
        limit: Option<Limit>,
    },
    Pressure {
        used: u64,
        most: u64,
        of_machine: bool,
        failed: u64,
        holders: Vec<Holder<'a>>,
        zombies: u64,
    },
    StuckBlocked {
        signal: String,
        sender: Option<Origin<'a>>,
        age_ns: u64,
    },
    Coalesced {
        zombies: u64,
        merged: u64,
        reaped: u64,
    },
    NotForwarded {
        signal: String,
        sender: Option<Origin<'a>>,
        count: u64,
        children: Vec<Process<'a>>,
        has_ended: bool,
    },
    ExecLeftover {
        client: Option<Process<'a>>,
        client_status: Option<Status>,
        pty: Option<String>,
        age_ns: u64,
    },
    LeftBehind {
        status: Status,
        running: u64,
        zombies: u64,
        processes: Vec<Remnant<'a>>,
    },
}

#[derive(Serialize)]
struct Named {
    comm: Name,
    count: u64,
}

#[derive(Serialize)]
struct Limit {
    used: u64,
    most: u64,
    of_machine: bool,
    in_ns: u64,
}

#[derive(Serialize)]
struct Holder<'a> {
    process: Process<'a>,
    count: u64,
}

#[derive(Serialize)]
struct Killed<'a> {
    signal: String,
    code: i32,
    code_name: Option<&'static str>,
    how: &'static str,
    sender: Option<Origin<'a>>,
    ancestors: Vec<Process<'a>>,
    count: u64,
    victims: Vec<Process<'a>>,
    raised_again: u64,
    core_dumps: u64,
}

impl<'a> Killed<'a> {
    fn new(world: &'a World, kill: &Kill) -> Self {
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
            // Of that another rule tells.
            wasted_ns: _,
            evidence: _,
        } = kill;
        let named = |all: &[Identity]| all.iter().map(|one| Process::new(world, one)).collect();
        Self {
            signal: signal.to_string(),
            code: *code,
            code_name: signal::code_name(*signal, *code),
            how: killer.id(),
            sender: sender(world, from),
            ancestors: named(ancestors),
            count: *count,
            victims: named(victims),
            raised_again: *raised_again,
            core_dumps: *cores,
        }
    }
}

#[derive(Serialize)]
struct Remnant<'a> {
    process: Process<'a>,
    parent: Option<Process<'a>>,
    state: &'static str,
}

impl<'a> Remnant<'a> {
    fn new(world: &'a World, Left { process, parent, is_zombie }: &Left) -> Self {
        let one = |identity: &Identity| Process::new(world, identity);
        let state = if *is_zombie { "zombie" } else { "running" };
        Self { process: one(process), parent: parent.as_ref().map(one), state }
    }
}

pub(super) fn finding<'a>(world: &'a World, finding: &'a Finding) -> FindingLine<'a> {
    let Finding { rule, stage, at, since, process, confidence, message, fix, evidence, detail } = finding;
    let one = |identity: &Identity| Process::new(world, identity);
    let (confidence, confidence_note) = match confidence {
        Confidence::Certain => ("certain", None),
        Confidence::Incomplete(note) => ("incomplete", Some(note.as_str())),
    };
    FindingLine {
        rule: rule.name,
        severity: rule.severity.id(),
        stage: stage.id(),
        at: Wall::new(world, *at),
        at_boot_ns: BootNs(*at),
        since: Wall::new(world, *since),
        since_boot_ns: BootNs(*since),
        process: one(process),
        confidence,
        confidence_note,
        message,
        fix,
        evidence,
        detail: match detail {
            Detail::IgnoredSignal { signal, sender: from, reason } => {
                Particulars::IgnoredSignal { signal: signal.to_string(), sender: sender(world, from), reason }
            }
            Detail::UnreapedChild { parent, age_ns, age_is_lower_bound, blame } => Particulars::UnreapedChild {
                parent: one(parent),
                age_ns: *age_ns,
                age_is_lower_bound: *age_is_lower_bound,
                blame,
            },
            Detail::OrphanAdopted { adopter, adopter_class, dead_parent, known } => Particulars::OrphanAdopted {
                adopter: one(adopter),
                adopter_class: adopter_class.id(),
                adopter_known: known.id(),
                dead_parent: one(dead_parent),
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
            Detail::ZombieLeak { zombies, per_hour, names, limit } => Particulars::ZombieLeak {
                zombies: *zombies,
                per_hour: *per_hour,
                names: names.iter().map(|&(comm, count)| Named { comm: Name(comm), count }).collect(),
                limit: limit.map(|Reached { room, of_machine, in_ns }| Limit {
                    used: room.used,
                    most: room.most,
                    of_machine,
                    in_ns,
                }),
            },
            Detail::Pressure { room, of_machine, failed, holders, zombies } => Particulars::Pressure {
                used: room.used,
                most: room.most,
                of_machine: *of_machine,
                failed: *failed,
                holders: holders.iter().map(|(holder, count)| Holder { process: one(holder), count: *count }).collect(),
                zombies: *zombies,
            },
            Detail::StuckBlocked { signal, sender: from, age_ns } => {
                Particulars::StuckBlocked { signal: signal.to_string(), sender: sender(world, from), age_ns: *age_ns }
            }
            Detail::Coalesced { zombies, merged, reaped } => {
                Particulars::Coalesced { zombies: *zombies, merged: *merged, reaped: *reaped }
            }
            Detail::NotForwarded { signal, sender: from, count, children, has_ended } => Particulars::NotForwarded {
                signal: signal.to_string(),
                sender: sender(world, from),
                count: *count,
                children: children.iter().map(one).collect(),
                has_ended: *has_ended,
            },
            Detail::ExecLeftover { client, client_status, pts, age_ns } => Particulars::ExecLeftover {
                client: client.as_ref().map(one),
                client_status: client_status.map(Into::into),
                pty: pts.map(|pts| format!("/dev/pts/{pts}")),
                age_ns: *age_ns,
            },
            Detail::KilledBy(kill) => Particulars::KilledBy(Box::new(Killed::new(world, kill))),
            Detail::QueueOverflow { signal, sender: from, lost, siginfo_lost } => Particulars::QueueOverflow {
                signal: signal.to_string(),
                sender: sender(world, from),
                lost: *lost,
                siginfo_lost: *siginfo_lost,
            },
            Detail::SlowStop {
                signal,
                sender: from,
                ancestors,
                fate,
                told,
                killer,
                killer_ancestors,
                wasted_ns,
                took_ns,
            } => Particulars::SlowStop {
                signal: signal.to_string(),
                sender: sender(world, from),
                ancestors: ancestors.iter().map(one).collect(),
                verdict: fate.id(),
                children_told: told.as_ref().map(|told| told.told),
                children_not_told: told.as_ref().map(|told| told.not_told),
                killer: sender(world, killer),
                killer_ancestors: killer_ancestors.iter().map(one).collect(),
                wasted_ns: *wasted_ns,
                took_ns: *took_ns,
            },
            Detail::LeftBehind { status, running, zombies, left } => Particulars::LeftBehind {
                status: (*status).into(),
                running: *running,
                zombies: *zombies,
                processes: left.iter().map(|left| Remnant::new(world, left)).collect(),
            },
        },
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "container")]
pub(super) struct ContainerLine<'a> {
    at: Wall,
    at_boot_ns: BootNs,
    seq: u64,
    label: &'a str,
    #[serde(flatten)]
    container: &'a Container,
}

pub(super) fn container<'a>(world: &World, moment: Moment, container: &'a Container) -> ContainerLine<'a> {
    let Moment { at, cpu: _, seq } = moment;
    ContainerLine { at: Wall::new(world, at), at_boot_ns: BootNs(at), seq, label: container.label(), container }
}

/// Lost records by what they would have told.
#[derive(Serialize)]
pub(super) struct Counts {
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
