//! `pid-pressure`: the pids of a control group, or of the machine, are running out.

use std::collections::BTreeMap;

use crate::{
    change::{Change, Measured, Topic},
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity, Subject, Value},
    host::{GroupKey, GroupRoom, Room},
    ident::{Identity, ProcKey, quote},
    rules::{NOBODY, Opinion, Rule, words},
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("used", Kind::Count, "pids in use"),
    FactDef::new("most", Kind::Count, "how many there can be"),
    FactDef::new(
        "of_machine",
        Kind::Flag,
        "true: the machine's pids, and `process` is pid 1; false: a control group's, and `process` is the oldest in it",
    ),
    FactDef::new("failed", Kind::Count, "processes or threads that could not be started just now: no pid was free")
        .role(Role::Size),
    FactDef::new("holders", Kind::List(HOLDER), "the processes whose children hold most of them"),
    FactDef::new("zombies", Kind::Count, "zombies that hold one"),
    FactDef::new(
        "group",
        Kind::Group,
        "the path of the control group below the root of its hierarchy; absent in old recordings",
    )
    .optional()
    .subject(),
];

/// A process that holds much of what is running out.
pub(super) const HOLDER: &[FactDef] =
    &[FactDef::new("process", Kind::Process, "who").role(Role::Party), FactDef::new("count", Kind::Count, "how many")];

/// Holders as a fact, each with how many it holds.
pub(super) fn holder_facts(holders: &[(Identity, u64)]) -> Value {
    let facts =
        |&(process, count): &(Identity, u64)| Facts::of(HOLDER, [("process", process.into()), ("count", count.into())]);
    holders.iter().map(facts).collect::<Vec<_>>().into()
}

pub(super) static DEF: RuleDef = RuleDef {
    name: "pid-pressure",
    severity: Severity::Warning,
    about: About::Limit,
    summary: "the pids of a control group or of the machine are running out, or have run out",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("pid_pressure.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(PidPressure { at: thresholds.pressure_at })
}

struct PidPressure {
    /// Percent in use from which the rule reports.
    at: u64,
}

/// How many parents are named, those whose children hold most pids.
const NAMED: usize = 3;

impl Rule for PidPressure {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Measured]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let Change::Measured(measured) = change else { return Opinion::Quiet };
        let Some(pids) = Pids::of(world, measured) else { return Opinion::Quiet };
        let Pids { process, whose, group, room, failed, .. } = &pids;
        if room.is_short(self.at) || *failed > 0 {
            return found(world, pids, seq);
        }
        let subject = group.map_or(Subject::Process(process.key), |(group, _)| Subject::Group(group));
        let how = || format!("{whose} is back below the threshold: it uses {} of {} pids", room.used, room.most);
        Opinion::Settle(subject, room.is_relieved(self.at).then(how))
    }

    fn over(&self, _world: &World, change: &Change, open: &Finding) -> Option<String> {
        let Change::Measured(Measured::Gone(key)) = *change else { return None };
        Some(match (key, open.facts.get("group")) {
            (GroupKey::Id(_), Value::Group(_, Some(path))) => {
                format!("control group {} has no processes or no limit any more", shown(path))
            }
            _ => format!("{} is gone", words::short(&open.process)),
        })
    }
}

/// The pids of a control group or of the machine, which share a limit.
struct Pids<'a> {
    /// The process that the finding is about: the oldest of the group, or pid 1.
    process: Identity,
    /// The name of the group or the machine, escaped.
    whose: String,
    /// The control group; `None` for the machine.
    group: Option<(GroupKey, &'a GroupRoom)>,
    room: Room,
    /// Forks that failed since the last look.
    failed: u64,
}

impl<'a> Pids<'a> {
    fn of(world: &'a World, measured: &Measured) -> Option<Self> {
        match *measured {
            Measured::Group(key) => {
                let (group, failed) = world.group(key)?;
                let process = world.get(group.process)?.identity();
                let whose = whose(world, &process, &group.path);
                Some(Self { process, whose, group: Some((key, group)), room: group.room, failed })
            }
            Measured::Pids => {
                let init = world.by_pid(1).map_or_else(|| world.identity(NOBODY), Process::identity);
                Some(Self { process: init, whose: "the machine".into(), group: None, room: world.pids()?, failed: 0 })
            }
            Measured::Ptys | Measured::Gone(_) | Measured::GroupsLeftOut => None,
        }
    }
}

/// How a group is named: as its container if its own name holds the container's id. The groups around that one can
/// have the same oldest process.
fn whose(world: &World, process: &Identity, path: &str) -> String {
    let own = world.container_of(process).filter(|container| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.is_empty() || (name.contains(&container.id) && !container.id.is_empty())
    });
    match own {
        Some(container) => container.place(),
        None if path.is_empty() => format!("the control group of {}", words::short(process)),
        None => format!("control group {}", shown(path)),
    }
}

/// A path, quoted and cut: others chose it, it can be long, and its end says most.
fn shown(path: &str) -> String {
    let from = path.len().saturating_sub(LONGEST_PATH);
    match path.get(from..) {
        Some(end) if from > 0 => quote(format!("…{end}")),
        _ => quote(path),
    }
}

/// Bytes of a path that fit into a headline.
const LONGEST_PATH: usize = 50;

fn found(world: &World, pids: Pids<'_>, seq: Seq) -> Opinion {
    let Pids { process, whose, group, room, failed } = pids;
    let Room { used, most } = room;
    let of_machine = group.is_none();
    let members: Vec<&Process> = match group {
        Some((_, group)) => group.members.iter().filter_map(|&key| world.get(key)).collect(),
        None => world.processes().filter(|process| process.death().is_none()).collect(),
    };
    // A zombie counts in the group that it was started in.
    let zombies = members.iter().flat_map(|member| world.unreaped(member.key, Span::ZERO)).map(|(zombie, _)| zombie);
    let zombies: Vec<_> = zombies.collect();
    let holders = holders(world, members.iter().chain(&zombies).copied());
    let zombies = zombies.len() as u64;
    let named: Vec<_> = holders.iter().map(|(parent, n)| format!("{n} of {}", words::who(parent))).collect();
    let (headline, failure) = match failed {
        0 => (format!("{whose} uses {used} of {most} pids"), String::new()),
        n => (
            format!(
                "{whose} ran out of pids: {} could not be started",
                words::count(n, "process or thread", "processes or threads")
            ),
            format!("{used} of {most}; fork() and clone() just failed with EAGAIN"),
        ),
    };
    let oldest = group.map(|(_, group)| match &group.path[..] {
        "" => words::who(&process),
        path => format!("{}, whose oldest process is {}", quote(path), words::who(&process)),
    });
    let notes = [
        Note::maybe("in use", failure),
        oldest.map(|oldest| Note::new("group", oldest)),
        Note::maybe("children", named.join(", ")),
        (zombies > 0).then(|| Note::new("zombies", format!("{zombies} of these pids"))),
        Some(Note::new("counted", "every process, thread and zombie")),
    ];
    let limit = if of_machine { "kernel.pid_max or kernel.threads-max" } else { "pids.max: docker run --pids-limit" };
    let fixes = if zombies * 2 >= used {
        vec!["most of them are zombies: have their parent wait for them (see `tracer explain zombie-leak`)".to_owned()]
    } else {
        vec![
            "find out why there are so many processes and threads (ps -eLf lists both)".to_owned(),
            format!("raise the limit ({limit})"),
        ]
    };
    let confidence = match group {
        Some((_, group)) if failed > 0 && group.failed_is_inferred => Confidence::Incomplete(
            "the control groups around it have limits too, and the kernel does not say which limit was reached: this \
             one has the least room"
                .into(),
        ),
        _ => Confidence::Certain,
    };
    Opinion::Found(Box::new(Finding {
        confidence,
        headline,
        notes: notes.into_iter().flatten().collect(),
        fixes,
        evidence: vec![seq],
        facts: Facts::of(
            FACTS,
            [
                ("used", used.into()),
                ("most", most.into()),
                ("of_machine", of_machine.into()),
                ("failed", failed.into()),
                ("holders", holder_facts(&holders)),
                ("zombies", zombies.into()),
                (
                    "group",
                    group.map_or(Value::None, |(key, group)| {
                        Value::Group(key, (!group.path.is_empty()).then(|| group.path.clone()))
                    }),
                ),
            ],
        ),
        ..Finding::new(&DEF, world.now(), world.now(), process)
    }))
}

/// The processes whose children hold most of the pids.
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
    use crate::finding::Stage;
    use crate::{
        event::{Adopter, EventKind},
        host::{Container, Rooms},
        story::{Story, born_in, end, key},
    };

    const NS: u32 = 4_026_532_500;

    /// A group by its number, with its oldest process.
    fn group(id: u64, path: &str, oldest: u32, used: u64, failed_now: u64) -> GroupRoom {
        GroupRoom {
            process: key(oldest),
            room: Room { used, most: 100 },
            failed: failed_now,
            failed_now: Some(failed_now),
            members: (10..15).map(key).collect(),
            id,
            path: path.to_owned(),
            ..GroupRoom::default()
        }
    }

    fn told(story: &mut Story, rooms: Rooms) {
        story.event(EventKind::Rooms(Box::new(rooms)));
    }

    fn measured(story: &mut Story, used: u64, failed: u64) {
        told(story, Rooms { groups: vec![group(7, "/jobs", 10, used, failed)], ..Rooms::default() });
    }

    /// All go on living.
    fn pass(story: &mut Story, ms: u64) {
        story.wait(ms, &[(10, b'S', 1), (11, b'S', 10), (12, b'S', 10)]);
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
    fn four_fifths_are_a_finding_until_there_are_fewer_for_a_while() {
        let mut story = container();
        measured(&mut story, 79, 0);
        assert_eq!(story.rules(), [""; 0]);
        measured(&mut story, 80, 0);
        let finding = story.only();
        assert_eq!(finding.headline, "control group /jobs uses 80 of 100 pids");
        let message = finding.message();
        assert!(message.contains("/jobs, whose oldest process is p10 (pid 10, pid 1 inside)"), "{message}");
        assert!(message.contains("Children: 4 of p10 (pid 10"), "{message}");
        measured(&mut story, 95, 0);
        assert_eq!(story.rules(), [""; 0], "it was told");
        measured(&mut story, 20, 0);
        pass(&mut story, 4_000);
        assert_eq!(story.rules(), [""; 0], "it may come back");
        pass(&mut story, 1_001);
        assert_eq!(story.only().stage, Stage::Resolved);
        measured(&mut story, 90, 0);
        assert_eq!(story.only().stage, Stage::New);
    }

    #[test]
    fn what_goes_up_and_down_is_told_once() {
        for (high, low) in [(80, 79), (95, 71), (90, 10)] {
            let mut story = container();
            measured(&mut story, high, 0);
            assert_eq!(story.only().stage, Stage::New);
            for _ in 0..10 {
                measured(&mut story, low, 0);
                pass(&mut story, 2_000);
                measured(&mut story, high, 0);
                pass(&mut story, 2_000);
            }
            assert_eq!(story.rules(), [""; 0], "{high} and {low}");
        }
    }

    #[test]
    fn what_stays_just_below_the_threshold_has_not_become_better() {
        let mut story = container();
        measured(&mut story, 81, 0);
        assert_eq!(story.only().stage, Stage::New);
        measured(&mut story, 75, 0);
        pass(&mut story, 20_000);
        assert_eq!(story.rules(), [""; 0]);
        measured(&mut story, 60, 0);
        pass(&mut story, 2_000);
        measured(&mut story, 72, 0);
        pass(&mut story, 20_000);
        assert_eq!(story.rules(), [""; 0], "and not for a moment either");
        measured(&mut story, 69, 0);
        pass(&mut story, 5_001);
        assert_eq!(story.only().stage, Stage::Resolved);
    }

    #[test]
    fn a_group_in_a_group_is_another_one() {
        let mut story = container();
        let both = |outer, inner| vec![group(7, "/outer", 10, outer, 0), group(8, "/outer/inner", 10, inner, 0)];
        told(&mut story, Rooms { groups: both(10, 90), ..Rooms::default() });
        assert!(story.only().headline.contains("/outer/inner "));
        told(&mut story, Rooms { groups: vec![group(7, "/outer", 10, 11, 0)], ..Rooms::default() });
        pass(&mut story, 20_000);
        assert_eq!(story.rules(), [""; 0], "nothing has changed in the inner one");
        told(&mut story, Rooms { groups: both(91, 90), ..Rooms::default() });
        assert!(story.only().headline.contains("/outer "));
        told(&mut story, Rooms { groups: both(91, 1), ..Rooms::default() });
        pass(&mut story, 5_001);
        assert!(story.only().headline.contains("/outer/inner "));
    }

    #[test]
    fn a_group_outlives_its_oldest_process() {
        let mut story = container();
        measured(&mut story, 90, 0);
        story.only();
        story.exit(end(11, 10, Adopter::None)).free(11);
        told(&mut story, Rooms { groups: vec![group(7, "/jobs", 12, 90, 0)], ..Rooms::default() });
        story.wait(6_000, &[(10, b'S', 1)]);
        assert_eq!(story.rules(), [""; 0]);
        told(&mut story, Rooms { groups_gone: vec![7], ..Rooms::default() });
        let over = story.only();
        assert_eq!(
            (over.stage, over.headline.as_str()),
            (Stage::Resolved, "control group /jobs has no processes or no limit any more")
        );
    }

    #[test]
    fn an_old_trace_knows_a_group_by_its_oldest_process() {
        let mut story = container();
        let old = |used, failed| {
            let group = GroupRoom { id: 0, path: String::new(), failed, failed_now: None, ..group(0, "", 10, used, 0) };
            Rooms { groups: vec![group], ..Rooms::default() }
        };
        told(&mut story, old(3, 7));
        assert_eq!(story.rules(), [""; 0], "that may be long ago");
        told(&mut story, old(5, 9));
        let finding = story.only();
        let said = "the control group of p10 (pid 10) ran out of pids: 2 processes or threads could not be started";
        assert_eq!(finding.headline, said);
        story.exit(end(10, 1, Adopter::None)).free(10);
        story.found.retain(|finding| finding.rule.name == DEF.name);
        assert!(story.only().headline.ends_with("is gone"));
    }

    #[test]
    fn a_fork_that_failed_is_a_finding_however_few_there_are_now() {
        let mut story = container();
        measured(&mut story, 3, 0);
        assert_eq!(story.rules(), [""; 0]);
        measured(&mut story, 5, 2);
        assert!(story.only().headline.contains("2 processes or threads could not be started"));
        measured(&mut story, 5, 0);
        pass(&mut story, 5_001);
        assert_eq!(story.only().stage, Stage::Resolved);
    }

    #[test]
    fn which_limit_was_in_the_way_is_not_certain_where_the_kernel_does_not_say() {
        let mut story = container();
        let inferred = GroupRoom { failed_is_inferred: true, ..group(7, "/a/b", 10, 5, 2) };
        told(&mut story, Rooms { groups: vec![inferred], ..Rooms::default() });
        assert!(matches!(story.only().confidence, Confidence::Incomplete(_)));
    }

    #[test]
    fn an_image_of_the_world_tells_no_old_failure_as_new() {
        let mut story = container();
        measured(&mut story, 5, 2);
        story.only();
        for event in story.world().image() {
            story.event(event.kind);
        }
        story.found.retain(|finding| finding.rule.name == DEF.name);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn only_a_groups_own_container_is_named_for_it() {
        let mut story = container();
        let id = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let web = Container { id: id.to_owned(), name: Some("web".to_owned()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), id.to_owned()));
        let groups = [(7, "/kubepods"), (8, &format!("/kubepods/cri-containerd-{id}.scope"))];
        let groups = groups.map(|(number, path)| group(number, path, 10, 90, 0));
        told(&mut story, Rooms { groups: groups.to_vec(), ..Rooms::default() });
        let said: Vec<_> =
            story.found.iter().map(|finding| finding.headline.split(' ').take(3).collect::<Vec<_>>()).collect();
        assert_eq!(said, [["control", "group", "/kubepods"], ["container", "web", "uses"]]);
    }

    #[test]
    fn the_machine_has_a_limit_too() {
        let mut story = container();
        let rooms = Rooms { pids: Some(Room { used: 30_000, most: 32_768 }), ..Rooms::default() };
        story.event(EventKind::Rooms(Box::new(rooms)));
        assert_eq!(story.only().headline, "the machine uses 30000 of 32768 pids");
    }
}
