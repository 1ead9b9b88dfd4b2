//! `pid-pressure`: the pids of a control group, or of the machine, are running out.

use std::collections::BTreeMap;

use crate::{
    change::{Change, Measured},
    finding::{Confidence, Detail, Finding, Severity, Stage},
    host::Room,
    ident::{Identity, ProcKey},
    rules::{NOBODY, Rule, RuleDef, Verdict},
    world::{Process, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "pid-pressure",
    severity: Severity::Warning,
    summary: "the pids of a control group or of the machine are running out, or have run out",
    lasts: true,
    explanation: include_str!("pid_pressure.md"),
    make: |thresholds| Box::new(PidPressure { at: thresholds.pressure_at }),
};

struct PidPressure {
    /// Of a hundred.
    at: u64,
}

/// Parents that are named, by how many pids their children have.
const NAMED: usize = 3;

impl Rule for PidPressure {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        let Change::Measured(measured) = change else { return Verdict::Quiet };
        let Some(pids) = Pids::of(world, measured) else { return Verdict::Quiet };
        let Pids { process, whose, room, failed, .. } = &pids;
        if room.is_short(self.at) || *failed > 0 {
            return found(world, pids, seq);
        }
        Verdict::Over(process.key, format!("{whose} uses {} of {} pids again.", room.used, room.most))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let Change::Died { key, .. } = *change else { return None };
        let process = open.process;
        // Others of a group can stand for it; with pid 1 all end.
        (key == process.key && world.is_ending(process.pid_ns))
            .then(|| format!("{} has ended.", whose(world, &process)))
    }
}

/// Pids that are counted together.
struct Pids<'a> {
    /// Who stands for them.
    process: Identity,
    /// Escaped, as the beginning of a sentence.
    whose: String,
    /// Whose they are; all processes', if it is the machine.
    members: Option<&'a [ProcKey]>,
    room: Room,
    /// Forks that have failed.
    failed: u64,
}

impl<'a> Pids<'a> {
    fn of(world: &'a World, measured: &Measured) -> Option<Self> {
        match *measured {
            Measured::Group(key) => {
                let (process, (group, failed)) = world.get(key).zip(world.group(key))?;
                let process = process.identity();
                let whose = whose(world, &process);
                Some(Self { process, whose, members: Some(&group.members), room: group.room, failed })
            }
            Measured::Pids => {
                let init = world.by_pid(1).map_or_else(|| world.identity(NOBODY), Process::identity);
                Some(Self { process: init, whose: "The machine".into(), members: None, room: world.pids()?, failed: 0 })
            }
            Measured::Ptys => None,
        }
    }
}

/// What a process stands for, as the beginning of a sentence.
fn whose(world: &World, process: &Identity) -> String {
    match world.container_of(process) {
        Some(container) => {
            let place = container.place();
            // Both of its words begin with an ASCII letter.
            place[..1].to_ascii_uppercase() + &place[1..]
        }
        None => format!("The control group of {process}"),
    }
}

fn found(world: &World, pids: Pids<'_>, seq: u64) -> Verdict {
    let Pids { process, whose, members, room, failed } = pids;
    let Room { used, most } = room;
    let of_machine = members.is_none();
    let members: Vec<&Process> = match members {
        Some(keys) => keys.iter().filter_map(|&key| world.get(key)).collect(),
        None => world.processes().filter(|process| process.death().is_none()).collect(),
    };
    // Where they were started.
    let zombies = members.iter().flat_map(|member| world.unreaped(member.key, 0)).map(|(zombie, _)| zombie);
    let zombies: Vec<_> = zombies.collect();
    let holders = holders(world, members.iter().chain(&zombies).copied());
    let zombies = zombies.len() as u64;
    let named: Vec<_> = holders.iter().map(|(parent, n)| format!("{n} are children of {parent}")).collect();
    let who = if named.is_empty() { String::new() } else { format!(" {}.", named.join(", ")) };
    let zombie_text = match zombies {
        0 => String::new(),
        1 => " 1 of them is a zombie.".to_owned(),
        n => format!(" {n} of them are zombies."),
    };
    let failure = match failed {
        0 => String::new(),
        1 => " A process or thread could not be started for want of one (EAGAIN) just now.".to_owned(),
        n => format!(" {n} processes or threads could not be started for want of one (EAGAIN) just now."),
    };
    let limit = if of_machine { "kernel.pid_max or kernel.threads-max" } else { "pids.max: docker run --pids-limit" };
    let fix = if zombies * 2 >= used {
        "most of them are zombies: have their parent wait for them (see `tracer explain zombie-leak`)".to_owned()
    } else {
        format!("find out why there are so many processes and threads, or raise the limit ({limit})")
    };
    Verdict::Found(Box::new(Finding {
        rule: &DEF,
        stage: Stage::New,
        at: world.now(),
        since: world.now(),
        process,
        confidence: Confidence::Certain,
        message: format!(
            "{whose} uses {used} of {most} pids; each process, thread and zombie takes one.{failure}{who}{zombie_text}"
        ),
        fix,
        evidence: vec![seq],
        detail: Detail::Pressure { room, of_machine, failed, holders, zombies },
    }))
}

/// Whose children have most of the pids.
fn holders<'a>(world: &World, members: impl Iterator<Item = &'a Process>) -> Vec<(Identity, u64)> {
    let mut counts: BTreeMap<ProcKey, u64> = BTreeMap::new();
    for process in members {
        if let Some(parent) = process.parent {
            *counts.entry(parent.key).or_default() += u64::from(process.threads.max(1));
        }
    }
    let mut holders: Vec<_> = counts.into_iter().filter(|&(_, n)| n > 1).collect();
    holders.sort_by_key(|&(key, n)| (std::cmp::Reverse(n), key));
    holders.truncate(NAMED);
    holders.into_iter().map(|(key, n)| (world.identity(key), n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind},
        host::{GroupRoom, Rooms},
        story::{Story, born_in, end, key},
    };

    const NS: u32 = 4_026_532_500;

    fn measured(story: &mut Story, used: u64, failed: u64) {
        let members = (10..15).map(key).collect();
        let group = GroupRoom { process: key(10), room: Room { used, most: 100 }, failed, members };
        story.event(EventKind::Rooms(Box::new(Rooms { groups: vec![group], ..Rooms::default() })));
    }

    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1));
        for pid in 11..15 {
            story.fork(born_in(NS, pid, pid, 10));
        }
        story
    }

    #[test]
    fn four_fifths_are_a_finding_until_there_are_fewer() {
        let mut story = container();
        measured(&mut story, 79, 0);
        assert_eq!(story.rules(), [""; 0]);
        measured(&mut story, 80, 0);
        let finding = story.only();
        assert!(finding.message.contains("uses 80 of 100 pids"), "{}", finding.message);
        assert!(finding.message.contains("4 are children of p10 (pid 10"), "{}", finding.message);
        measured(&mut story, 95, 0);
        assert_eq!(story.rules(), [""; 0], "it was told");
        measured(&mut story, 20, 0);
        assert_eq!(story.only().stage, Stage::Resolved);
        measured(&mut story, 90, 0);
        assert_eq!(story.only().stage, Stage::New);
    }

    #[test]
    fn the_end_of_the_container_is_the_end_of_it() {
        let mut story = container();
        measured(&mut story, 90, 0);
        story.only();
        story.exit(end(10, 1, Adopter::None));
        let over = story.only();
        assert_eq!((over.stage, over.process.key), (Stage::Resolved, key(10)));
        assert!(over.message.ends_with("has ended."), "{}", over.message);
    }

    #[test]
    fn a_fork_that_failed_is_a_finding_however_few_there_are_now() {
        let mut story = container();
        measured(&mut story, 3, 7);
        assert_eq!(story.rules(), [""; 0], "that may be long ago");
        measured(&mut story, 5, 9);
        assert!(story.only().message.contains("2 processes or threads could not be started"));
    }

    #[test]
    fn the_machine_has_a_limit_too() {
        let mut story = container();
        let rooms = Rooms { pids: Some(Room { used: 30_000, most: 32_768 }), ..Rooms::default() };
        story.event(EventKind::Rooms(Box::new(rooms)));
        assert!(story.only().message.starts_with("The machine uses 30000 of 32768 pids"));
    }
}
