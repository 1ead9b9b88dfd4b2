//! `zombie-leak`: one parent collects zombies: how many, how fast, and when no pid will be left.

use std::collections::BTreeMap;

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    host::Room,
    ident::{Comm, ProcKey},
    rules::{
        Opinion, Rule, Wanted, coalesced_sigchld,
        unreaped_child::{Blame, is_leak, is_swept, undecided, unknown_fixes},
        words,
    },
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Death, Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("zombies", Kind::Count, "zombies that `process` does not wait for").role(Role::Size),
    FactDef::new(
        "per_hour",
        Kind::Count,
        "how many more there will be in an hour at this rate; 0 if their number does not grow",
    ),
    FactDef::new("names", Kind::List(NAMED), "the most frequent names among them"),
    FactDef::new(
        "limit",
        Kind::Record(LIMIT),
        "the limit that is reached first at this rate; null if none is within 30 days",
    )
    .nullable(),
];

const NAMED: &[FactDef] =
    &[FactDef::new("comm", Kind::Name, "the name"), FactDef::new("count", Kind::Count, "how many have it")];

const LIMIT: &[FactDef] = &[
    FactDef::new("used", Kind::Count, "pids in use"),
    FactDef::new("most", Kind::Count, "how many there can be"),
    FactDef::new("of_machine", Kind::Flag, "true: the machine's limit; false: a control group's"),
    FactDef::new("in_ns", Kind::Span, "how long until it is reached"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "zombie-leak",
    severity: Severity::Error,
    about: About::Zombie,
    summary: "one parent collects zombies, and each of them keeps a pid",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("zombie_leak.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(ZombieLeak { after: thresholds.unreaped_after, at: thresholds.zombie_leak_at })
}

struct ZombieLeak {
    after: Span,
    at: u64,
}

/// How many zombies are looked at before they are counted; beyond that, the count is certain enough.
const LOOKED_AT: usize = 64;
/// How many names of zombies are reported.
const NAMES: usize = 3;
/// How far ahead the rule forecasts.
const FORETOLD: Span = Span::seconds(30 * 86_400);
/// If the last zombie is older than this many average intervals, the leak has stopped.
const STOPPED: u64 = 10;

impl Rule for ZombieLeak {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Reaped, Topic::Died, Topic::Adopted]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        if let Change::Reaped { by: Some(by), .. } = *change
            && coalesced_sigchld::has_passed_over(world, by).next().is_some()
        {
            return Opinion::Recheck(world.now(), by);
        }
        let (Change::Died { key, .. } | Change::Adopted { child: key, .. }) = *change else { return Opinion::Quiet };
        let Some(process) = world.get(key).filter(|process| process.is_zombie()) else { return Opinion::Quiet };
        match (process.death(), process.parent) {
            (Some(death), Some(parent)) => Opinion::Recheck(death.zombie_since() + self.after, parent.key),
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        let zombies = world.unreaped(key, Span::ZERO).take(LOOKED_AT).map(|(zombie, _)| Wanted::Look(zombie.key));
        zombies.chain([Wanted::Room(key), Wanted::Held(key)]).collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(parent) = world.get(key).filter(|parent| parent.death().is_none()) else { return Opinion::Quiet };
        if !is_leak(world, key, self.after, self.at) {
            let due = world.unreaped(key, Span::ZERO).map(|(zombie, death)| zombie.owed_since(death) + self.after);
            // After a loss, the next list of all processes shows who is left.
            let is_unsure = world.unreaped(key, Span::ZERO).take(self.at as usize).count() as u64 >= self.at;
            let again = is_unsure.then(|| world.now() + self.after.max(Span::SECOND));
            return match due.filter(|&at| at > world.now()).chain(again).min() {
                Some(at) => Opinion::Recheck(at, key),
                None => Opinion::Quiet,
            };
        }
        let is_all = |merged: u64| world.unreaped(key, self.after).count() as u64 == merged;
        if coalesced_sigchld::left(world, key, self.after).is_some_and(|(_, _, merged)| is_all(merged)) {
            return Opinion::Ask(&coalesced_sigchld::DEF, key);
        }
        if let Some(again) = undecided(world, key, self.after) {
            return Opinion::Recheck(again, key);
        }
        let zombies: Vec<_> = world.surely_unreaped(key, Span::ZERO).collect();
        Opinion::Found(Box::new(finding(world, parent, &zombies, self.after)))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let parent = open.process;
        let name = words::short(&parent);
        let lasted = seconds(world.now() - open.since);
        match change {
            Change::Died { key, .. } if *key == parent.key => {
                if world.is_ending(parent.pid_ns) {
                    return Some(format!(
                        "{name} has ended, and its pid namespace with it: the kernel reaps what is left"
                    ));
                }
                // The kernel has given them away by now.
                Some(format!("{name} has ended; whoever adopts its zombies must reap them"))
            }
            Change::Reaped { identity, .. }
                if identity.key != parent.key && world.unreaped(parent.key, Span::ZERO).next().is_none() =>
            {
                Some(format!("all zombies of {name} were reaped, {lasted} after the first of them had ended"))
            }
            _ => None,
        }
    }

    fn speaks_for(&self, whole: &Finding, part: &Finding) -> bool {
        // Zombies that the parent adopts later belong to the leak as well.
        part.part_of() == Some(whole.process.key)
    }
}

fn finding(world: &World, parent: &Process, zombies: &[(&Process, &Death)], after: Span) -> Finding {
    let name = parent.identity();
    let count = zombies.len() as u64;
    let since = zombies.iter().map(|(_, death)| death.zombie_since()).min().unwrap_or(world.now());
    // Who reaps all of them every now and then runs into no limit.
    let is_late = zombies.iter().all(|(zombie, death)| is_swept(world, zombie, death, parent));
    let rate = Rate::of(world, zombies).filter(|_| !is_late);
    let limit = rate.as_ref().and_then(|rate| reached(world, parent, rate));
    let names = names(zombies);
    let mut called: Vec<_> = names.iter().map(|(comm, n)| format!("{n} {comm}")).collect();
    match count - names.iter().map(|(_, n)| n).sum::<u64>() {
        0 => {}
        others => called.push(words::count(others, "other", "others")),
    }
    let called = match &names[..] {
        [(comm, _)] => format!("all named {comm}"),
        _ => called.join(", "),
    };
    let growth = rate.as_ref().map_or_else(String::new, |rate| format!("one more every {}", seconds(rate.interval)));
    let is_adopted = |zombie: &Process| zombie.present_adoption().is_some();
    let adopted = zombies.iter().filter(|(zombie, _)| is_adopted(zombie)).count() as u64;
    let typical = zombies.iter().find(|(zombie, _)| is_adopted(zombie) == (adopted * 2 > count));
    let blame = typical.map_or(Blame::Parent, |(zombie, _)| Blame::of(world, zombie, Some(parent), after));
    // All of them, or it may know them.
    let former = zombies.iter().map(|(zombie, _)| zombie.started_by).reduce(|one, other| one.filter(|_| one == other));
    let former = former.flatten().filter(|_| blame == Blame::Parent);
    let is_mixed = matches!(blame, Blame::Parent | Blame::AdoptingInit | Blame::AdoptingSubreaper)
        && 0 < adopted
        && adopted < count;
    let reason = match former {
        Some(former) => format!("{former}, which it was before, started them, and it may not know of them"),
        None if is_mixed => {
            format!("it adopted {adopted} of them when their parents died, and started the others itself")
        }
        None => blame.of_many().to_owned(),
    };
    let foretold = match limit {
        Some(Reached { room, of_machine, in_ns }) => {
            let whose = match (of_machine, world.container_of(&name)) {
                (true, _) => "the machine".to_owned(),
                (false, Some(container)) => container.place(),
                (false, None) => "its control group".to_owned(),
            };
            format!(
                "{whose} runs out of pids in {} at this rate ({} of {} are in use); then nothing can be started there",
                seconds(in_ns),
                room.used,
                room.most
            )
        }
        None => String::new(),
    };
    let growing = if growth.is_empty() { String::new() } else { format!(", {growth}") };
    let notes = [
        Some(Note::new("parent", format!("{}: {reason}", words::who(&name)))),
        Some(Note::new("zombies", called)),
        Note::maybe("growth", growth),
        Note::maybe("limit", foretold),
    ];
    let named = |&(comm, count): &(Comm, u64)| Facts::of(NAMED, [("comm", comm.into()), ("count", count.into())]);
    Finding {
        headline: if is_late {
            format!("{} reaps late: it has {count} zombies", words::short(&name))
        } else {
            format!("{} does not reap its {count} zombies{growing}", words::short(&name))
        },
        notes: notes.into_iter().flatten().collect(),
        fixes: former.map_or_else(|| blame.fixes(world, &name), |former| unknown_fixes(former, &name)),
        evidence: zombies.iter().rev().take(1).map(|(_, death)| death.seq).collect(),
        facts: Facts::of(
            FACTS,
            [
                ("zombies", count.into()),
                ("per_hour", rate.map_or(0, |rate| HOUR / rate.interval.max(Span(1))).into()),
                ("names", names.iter().map(named).collect::<Vec<_>>().into()),
                ("limit", limit.map(Reached::facts).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), since, name)
    }
}

/// A limit that will be reached.
#[derive(Clone, Copy)]
struct Reached {
    /// Pids that are in use, and the most that there can be.
    room: Room,
    /// It is the machine's, not a control group's.
    of_machine: bool,
    in_ns: Span,
}

impl Reached {
    fn facts(self) -> Facts {
        let Self { room: Room { used, most }, of_machine, in_ns } = self;
        Facts::of(
            LIMIT,
            [("used", used.into()), ("most", most.into()), ("of_machine", of_machine.into()), ("in_ns", in_ns.into())],
        )
    }
}

const HOUR: Span = Span::seconds(3_600);

/// How fast the number of zombies grows.
struct Rate {
    /// The average time between two of them.
    interval: Span,
}

impl Rate {
    /// `None` if their number does not grow, or if that is not known.
    fn of(world: &World, zombies: &[(&Process, &Death)]) -> Option<Self> {
        let known = || zombies.iter().filter(|(_, death)| death.exact).map(|(_, death)| death.at);
        let (first, last, n) = (known().min()?, known().max()?, known().count() as u64);
        let interval = (last - first) / n.checked_sub(1).filter(|&n| n > 0)?;
        let since_last = world.now() - last;
        // Zombies that ended together give no rate.
        (interval > Span::MS && since_last < interval * STOPPED).then_some(Self { interval })
    }
}

/// The limit that is reached first, if that is soon.
fn reached(world: &World, parent: &Process, rate: &Rate) -> Option<Reached> {
    let group = world.pids_of(parent.key).map(|room| (room, false));
    let rooms = group.into_iter().chain(world.pids().map(|room| (room, true)));
    let reached = rooms.map(|(room, of_machine)| Reached { room, of_machine, in_ns: room.free() * rate.interval });
    reached.min_by_key(|reached| reached.in_ns).filter(|reached| reached.in_ns < FORETOLD)
}

/// What the zombies are called, the most frequent names first.
fn names(zombies: &[(&Process, &Death)]) -> Vec<(Comm, u64)> {
    let mut counts: BTreeMap<&[u8], (Comm, u64)> = BTreeMap::new();
    for (zombie, _) in zombies {
        counts.entry(zombie.comm.bytes()).or_insert((zombie.comm, 0)).1 += 1;
    }
    let mut names: Vec<_> = counts.into_values().collect();
    names.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    names.truncate(NAMES);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind},
        finding::Stage,
        host::{Room, Rooms},
        story::{Story, born, born_in, end, key, running, zombie},
    };

    /// So many children of 10 end, 100 ms after one another.
    fn leak(story: &mut Story, first: u32, many: u32) {
        for pid in first..first + many {
            story.fork(born(pid, 10)).exit(end(pid, 10, Adopter::None));
            story.now += Span::ms(100);
        }
    }

    /// Lets time pass, with all of them still there.
    fn wait(story: &mut Story, ms: u64) {
        let zombies: Vec<_> =
            story.world().unreaped(key(10), Span::ZERO).map(|(zombie, _)| (zombie.key.tgid, b'Z', 10)).collect();
        story.wait(ms, &[&[(10, b'S', 1)], zombies.as_slice()].concat());
    }

    fn told(story: &mut Story) -> Vec<(&'static str, Stage)> {
        story.found.drain(..).map(|finding| (finding.rule.name, finding.stage)).collect()
    }

    #[test]
    fn many_zombies_of_one_parent_are_one_finding() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "lazy");
        leak(&mut story, 100, 50);
        wait(&mut story, 1);
        let finding = story.only();
        let facts = &finding.facts;
        let (zombies, per_hour, names) = (facts.count("zombies"), facts.count("per_hour"), facts.list("names"));
        assert_eq!((finding.rule.name, finding.process.key, zombies), ("zombie-leak", key(10), 50));
        assert!((35_000..=36_000).contains(&per_hour), "{per_hour}");
        assert_eq!(names.len(), NAMES);
        assert_eq!(finding.headline, "lazy (pid 10) does not reap its 50 zombies, one more every 100 ms");
    }

    #[test]
    fn zombies_whose_release_may_have_been_lost_are_counted_when_they_were_seen() {
        let mut story = Story::with(&Thresholds { zombie_leak_at: 70, ..Thresholds::default() });
        story.fork(born(10, 1)).exec(10, "lazy");
        leak(&mut story, 100, 80);
        story.lose(5);
        story.now += Span::ms(3_000);
        (100..164).for_each(|pid| _ = story.look(pid, Some((b'Z', 10))));
        story.event(EventKind::Tick);
        assert!(!told(&mut story).contains(&("zombie-leak", Stage::New)), "not all of them were looked at");
        let mut rows = vec![running(born(1, 0)), running(born(10, 1))];
        rows.extend((100..180).map(|pid| zombie(born(pid, 10), None)));
        story.rows(&rows);
        wait(&mut story, 3_000);
        assert!(told(&mut story).contains(&("zombie-leak", Stage::New)));
    }

    #[test]
    fn a_few_are_named_one_by_one_until_it_is_a_leak_and_what_was_told_is_told_to_its_end() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        leak(&mut story, 100, 2);
        wait(&mut story, 2_000);
        assert_eq!(told(&mut story), [("unreaped-child", Stage::New); 2]);
        leak(&mut story, 150, 7);
        wait(&mut story, 2_000);
        assert_eq!(told(&mut story), [("unreaped-child", Stage::New)], "of several more some are told");
        leak(&mut story, 200, 1);
        wait(&mut story, 2_000);
        assert_eq!(told(&mut story), [("zombie-leak", Stage::New)]);
        // Twice as many is news, a few more are not.
        leak(&mut story, 300, 5);
        wait(&mut story, 2_000);
        assert_eq!(told(&mut story), []);
        leak(&mut story, 400, 5);
        wait(&mut story, 2_000);
        assert_eq!(told(&mut story), [("zombie-leak", Stage::Ongoing)]);
        let zombies: Vec<_> = story.world().unreaped(key(10), Span::ZERO).map(|(zombie, _)| zombie.key.tgid).collect();
        zombies.into_iter().for_each(|pid| _ = story.free(pid));
        let over = story.found.pop().unwrap();
        assert_eq!(over.stage, Stage::Resolved);
        assert!(over.headline.starts_with("all zombies of p10 (pid 10) were reaped"), "{}", over.headline);
        assert_eq!(told(&mut story), [("unreaped-child", Stage::Resolved); 3], "of the others nothing was told");
    }

    #[test]
    fn what_a_leak_adopts_is_no_news() {
        let mut story = Story::new();
        story.fork(born(9, 1)).fork(born(10, 9));
        let adopts = |story: &mut Story, pid| {
            story.fork(born(pid, 9)).fork(born(pid + 1, pid));
            story.exit(end(pid, 9, Adopter::Subreaper(crate::story::task(10)))).wait(20, &[(pid + 1, b'S', 10)]);
            told(story)
        };
        assert_eq!(adopts(&mut story, 500), [("orphan-adopted", Stage::New)]);
        leak(&mut story, 100, 12);
        wait(&mut story, 2_000);
        assert!(told(&mut story).contains(&("zombie-leak", Stage::New)));
        assert_eq!(adopts(&mut story, 510), []);
    }

    #[test]
    fn the_limit_that_is_reached_first_is_foretold() {
        let mut story = Story::new();
        let ns = 4_026_532_500;
        story.fork(born_in(ns, 10, 1, 1));
        let pids = Some(Room { used: 1_000, most: 4_000_000 });
        let of = Some((key(10), Room { used: 60, most: 100 }));
        story.event(EventKind::Rooms(Box::new(Rooms { pids, of, ..Rooms::default() })));
        for pid in 100..150 {
            story.fork(born_in(ns, pid, pid, 10)).exit(end(pid, 10, Adopter::None));
            story.now += Span::ms(500);
        }
        wait(&mut story, 1);
        let finding = story.only();
        let limit = finding.facts.record("limit").unwrap();
        assert_eq!((limit.flag("of_machine"), limit.count("in_ns") / 1_000_000_000), (false, 20));
        assert!(
            finding.message().contains("runs out of pids in 20.0 s at this rate (60 of 100 are in use)"),
            "{}",
            finding.message()
        );
    }

    #[test]
    fn the_end_of_the_parent_is_the_end_of_its_leak() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        leak(&mut story, 100, 20);
        wait(&mut story, 2_000);
        story.rules();
        story.exit(end(10, 1, Adopter::NamespaceInit(crate::story::task(1))));
        assert_eq!(told(&mut story), [("zombie-leak", Stage::Resolved)]);
    }

    #[test]
    fn children_that_are_reaped_in_time_are_no_leak() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        for pid in 100..200 {
            story.fork(born(pid, 10)).exit(end(pid, 10, Adopter::None)).free(pid);
        }
        story.wait(3_000, &[]);
        assert_eq!(told(&mut story), []);
    }

    #[test]
    fn who_reaps_late_runs_into_no_limit() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "sweeper");
        let room = Room { used: 60, most: 100 };
        let sweep = |story: &mut Story, first: u32| {
            leak(story, first, 40);
            let of = Some((key(10), room));
            story.event(EventKind::Rooms(Box::new(Rooms { of, ..Rooms::default() })));
            wait(story, 1);
            story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect::<Vec<_>>()
        };
        assert!(sweep(&mut story, 100)[0].facts.record("limit").is_some());
        (100..140).for_each(|pid| _ = story.free(pid));
        story.found.clear();
        let [finding] = &sweep(&mut story, 200)[..] else { panic!() };
        assert!(finding.facts.record("limit").is_none(), "{}", finding.message());
        assert!(!finding.message().contains("runs out"), "{}", finding.message());
    }

    #[test]
    fn children_of_its_former_program_are_told_with_that() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "entrypoint.sh");
        (100..112).for_each(|pid| _ = story.fork(born(pid, 10)));
        story.exec(10, "server");
        (100..112).for_each(|pid| _ = story.exit(end(pid, 10, Adopter::None)));
        wait(&mut story, 3_000);
        let finding = story.only();
        assert!(
            finding.message().contains("entrypoint.sh, which it was before, started them"),
            "{}",
            finding.message()
        );
        assert!(finding.fix().starts_with("have entrypoint.sh wait"), "{}", finding.fix());
    }

    #[test]
    fn its_own_children_and_those_that_it_has_adopted_are_told_apart() {
        let mut story = Story::new();
        story.fork(born(9, 1)).fork(born(10, 9)).fork(born(50, 10)).exit(end(50, 10, Adopter::None));
        for pid in (100..124).step_by(2) {
            story.fork(born(pid, 9)).fork(born(pid + 1, pid));
            story.exit(end(pid, 9, Adopter::Subreaper(crate::story::task(10)))).free(pid).wait(20, &[(50, b'Z', 10)]);
            story.exit(end(pid + 1, 10, Adopter::None));
            wait(&mut story, 20);
        }
        wait(&mut story, 3_000);
        let leak = story.found.iter().find(|finding| finding.rule.name == DEF.name).unwrap();
        let message = leak.message();
        assert!(!message.contains("they are its own children"), "{message}");
        assert!(message.contains("it adopted 12 of them when their parents died"), "{message}");
    }
}
