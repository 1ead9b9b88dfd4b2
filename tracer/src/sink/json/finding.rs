//! The line of a finding: what all have in common, then what is particular to its rule.

use std::collections::BTreeMap;

use serde::Serialize;

use super::line::{BootNs, Name, Origin, Process, Status, Wall, sender};
use crate::{
    finding::{Confidence, Detail, Finding, Left, Reached},
    host::OutOfMemory,
    ident::Identity,
    kill::Kill,
    signal,
    sink::alike::Together,
    world::World,
};

#[derive(Serialize)]
#[serde(tag = "type", rename = "finding")]
pub(super) struct FindingLine<'a> {
    rule: &'static str,
    severity: &'static str,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    signals: BTreeMap<String, u64>,
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
        asked_by: Vec<Process<'a>>,
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
        killed_by: Option<Box<Killed<'a>>>,
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
        asked_by: Vec<Process<'a>>,
        verdict: &'static str,
        children_told: Option<u64>,
        children_not_told: Option<u64>,
        left: u64,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<&'a str>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_lives: Option<bool>,
    ancestors: Vec<Process<'a>>,
    asked_by: Vec<Process<'a>>,
    count: u64,
    victims: Vec<Process<'a>>,
    raised_again: u64,
    core_dumps: u64,
    out_of_memory: Option<Exhausted<'a>>,
}

#[derive(Serialize)]
struct Exhausted<'a> {
    whose: &'static str,
    group: Option<&'a str>,
}

impl<'a> Exhausted<'a> {
    fn new(which: &'a OutOfMemory) -> Self {
        match which {
            OutOfMemory::Machine => Self { whose: "machine", group: None },
            OutOfMemory::Group(path) => Self { whose: "group", group: path.as_deref() },
        }
    }
}

impl<'a> Killed<'a> {
    fn new(world: &'a World, kill: &'a Kill) -> Self {
        let Kill {
            signal,
            code,
            killer,
            sender: from,
            sender_lives,
            ancestors,
            chain: _,
            family: _,
            sender_family: _,
            asked_by,
            // They are in `since`.
            sent_at: _,
            died_at: _,
            // It is said by the signal and the core dumps.
            status: _,
            count,
            victims,
            // They are for filters.
            others: _,
            raised_again,
            cores,
            out_of_memory,
            // Of that another rule tells.
            wasted_ns: _,
            ending: _,
            namespaces: _,
            evidence: _,
        } = kill;
        let named = |all: &[Identity]| all.iter().map(|one| Process::new(world, one)).collect();
        Self {
            signal: signal.to_string(),
            code: *code,
            code_name: signal::code_name(*signal, *code),
            how: killer.id(),
            sender: sender(world, from),
            sender_lives: (*killer == signal::killer::Killer::ParentDeath).then_some(*sender_lives),
            ancestors: named(ancestors),
            asked_by: named(asked_by),
            count: *count,
            victims: named(victims),
            raised_again: *raised_again,
            core_dumps: *cores,
            out_of_memory: out_of_memory.as_ref().map(Exhausted::new),
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

/// So many that are like some that were told, by the last of them.
pub(super) fn repeated<'a>(world: &'a World, last: &'a Finding, all: &Together) -> FindingLine<'a> {
    let Together { count, signals } = all;
    let signals = signals.iter().map(|(signal, n)| (signal.to_string(), *n)).collect();
    FindingLine { stage: "repeated", times: Some(*count), signals, ..finding(world, last) }
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
        times: None,
        signals: BTreeMap::new(),
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
            Detail::IgnoredSignal { signal, sender: from, asked_by, reason } => Particulars::IgnoredSignal {
                signal: signal.to_string(),
                sender: sender(world, from),
                asked_by: asked_by.iter().map(one).collect(),
                reason,
            },
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
            Detail::NamespaceKilled { killed, took_ns, status, left, kill } => Particulars::NamespaceKilled {
                killed: *killed,
                took_ns: *took_ns,
                status: (*status).into(),
                left: *left,
                killed_by: kill.as_ref().map(|kill| Box::new(Killed::new(world, kill))),
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
            Detail::Pressure { room, of_machine, failed, holders, zombies, group } => Particulars::Pressure {
                used: room.used,
                most: room.most,
                of_machine: *of_machine,
                failed: *failed,
                holders: holders.iter().map(|(holder, count)| Holder { process: one(holder), count: *count }).collect(),
                zombies: *zombies,
                group: group.as_ref().and_then(|(_, path)| path.as_deref()),
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
                asked_by,
                fate,
                told,
                left,
                killer,
                killer_ancestors,
                wasted_ns,
                took_ns,
            } => Particulars::SlowStop {
                signal: signal.to_string(),
                sender: sender(world, from),
                ancestors: ancestors.iter().map(one).collect(),
                asked_by: asked_by.iter().map(one).collect(),
                verdict: fate.id(),
                children_told: told.as_ref().map(|told| told.told),
                children_not_told: told.as_ref().map(|told| told.not_told),
                left: *left,
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
