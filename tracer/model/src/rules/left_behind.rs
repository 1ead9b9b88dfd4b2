//! `left-behind`: the recorded command has ended, and some of its descendants still run or are zombies.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::{Identity, ProcKey},
    rules::{NOBODY, Opinion, Rule, Wanted, unreaped_child, words},
    summary::and_more,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Command, CommandEnd, Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("status", Kind::Status, "how the command ended").role(Role::Status),
    FactDef::new("running", Kind::Count, "its descendants that still run"),
    FactDef::new("zombies", Kind::Count, "those that are zombies"),
    FactDef::new("processes", Kind::List(LEFT), "the ten oldest of both"),
];

const LEFT: &[FactDef] = &[
    FactDef::new("process", Kind::Process, "the process"),
    FactDef::new("parent", Kind::Process, "who must reap it, now or when it ends").nullable(),
    FactDef::new("state", Kind::Word(&["running", "zombie"]), "its state"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "left-behind",
    severity: Severity::Warning,
    about: About::Leftover,
    summary: "the recorded command has ended, and processes that it started still run or are zombies",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("left_behind.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(LeftBehind { after: thresholds.unreaped_after })
}

/// Descendants that are still exiting get this long after the end of the command, or of the last descendant.
const MOMENT: Span = Span::ms(100);
/// But no longer than this after the end of the command.
const LONGEST: Span = Span::seconds(1);
/// A zombie that is not overdue this long after the end of the command is not waited for.
const MOST_PATIENT: Span = Span::seconds(10);
/// How many processes are named.
const NAMED: usize = 10;
/// How many processes are looked at; beyond that, the finding is certain enough.
const LOOKED_AT: usize = 64;

struct LeftBehind {
    /// How long a zombie must have been unreaped to count.
    after: Span,
}

/// What a command left behind.
enum Remains<'a> {
    /// Nothing was left behind.
    None,
    /// Too early to tell.
    Unknown,
    /// These.
    Left(Vec<&'a Process>),
}

fn remains<'a>(world: &'a World, command: &Command, end: CommandEnd, after: Span) -> Remains<'a> {
    let due = |process: &Process| process.death().map(|death| process.owed_since(death) + after);
    let mut left = command.left(world);
    left.retain(|process| {
        let is_out_of_sight = due(process).is_some_and(|due| due > end.at + MOST_PATIENT);
        process.death().is_none() || !(is_out_of_sight || unreaped_child::is_about_to_be_reaped(world, process))
    });
    if left.is_empty() {
        return Remains::None;
    }
    let is_due = |process: &Process| due(process).is_none_or(|due| due <= world.now());
    let is_settled = left.iter().all(|process| is_due(process));
    if left.iter().all(|process| process.death().is_some()) {
        return if is_settled { Remains::Left(left) } else { Remains::Unknown };
    }
    let is_quiet = world.now() >= command.last_death() + MOMENT;
    if !(is_settled && is_quiet) && world.now() < end.at + LONGEST {
        return Remains::Unknown;
    }
    // The others were adopted only now: their new parent has had no time to wait for them.
    left.retain(|process| is_due(process));
    Remains::Left(left)
}

/// How long a recording must go on after the end of its command for this rule to report all that it will, as things
/// stand. `after` is how long a zombie must be unreaped to count.
pub fn patience(world: &World, after: Span) -> Span {
    let Some((command, end)) = world.command().and_then(|command| Some((command, command.end?))) else {
        return Span::ZERO;
    };
    match remains(world, command, end, after) {
        // The release of the command itself is reported some milliseconds after it was reaped.
        Remains::None if world.get(command.identity.key).is_none() => Span::ZERO,
        Remains::None => LONGEST,
        Remains::Unknown | Remains::Left(_) => LONGEST + MOST_PATIENT,
    }
}

impl Rule for LeftBehind {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::CommandEnded]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        match *change {
            // About nobody: the command itself is gone by then.
            Change::CommandEnded(_) => Opinion::Recheck(world.now() + MOMENT, NOBODY),
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, _key: ProcKey) -> Vec<Wanted> {
        let left = world.command().map_or_else(Vec::new, |command| command.left(world));
        left.iter().take(LOOKED_AT).map(|process| Wanted::Look(process.key)).collect()
    }

    fn recheck(&self, world: &World, _key: ProcKey) -> Opinion {
        let Some((command, end)) = world.command().and_then(|command| Some((command, command.end?))) else {
            return Opinion::Quiet;
        };
        match remains(world, command, end, self.after) {
            Remains::None => Opinion::Quiet,
            Remains::Unknown => Opinion::Recheck(world.now() + MOMENT, NOBODY),
            Remains::Left(left) => Opinion::Found(Box::new(finding(world, command, end, &left))),
        }
    }
}

fn finding(world: &World, command: &Command, end: CommandEnd, left: &[&Process]) -> Finding {
    // Who hangs in its exit is none: nobody can reap it yet.
    let zombies = left.iter().filter(|process| process.is_zombie()).count() as u64;
    let running = left.len() as u64 - zombies;
    let named: Vec<_> = left.iter().take(NAMED).map(|process| remnant(world, process)).collect();
    let all = |is_zombie: bool, n: u64| {
        let some: Vec<_> = named.iter().filter(|left| left.is_zombie == is_zombie).map(Left::words).collect();
        and_more(&some, n)
    };
    let notes = [Note::maybe("running", all(false, running)), Note::maybe("zombies", all(true, zombies))];
    let facts = |left: &Left| {
        let state = if left.is_zombie { "zombie" } else { "running" };
        Facts::of(LEFT, [("process", left.process.into()), ("parent", left.parent.into()), ("state", state.into())])
    };
    Finding {
        headline: format!(
            "{} {} and left {} behind",
            words::short(&command.identity),
            words::ended(end.status),
            counted(running, zombies)
        ),
        notes: notes.into_iter().flatten().collect(),
        fixes: fixes(running, &named),
        evidence: vec![end.seq],
        facts: Facts::of(
            FACTS,
            [
                ("status", end.status.into()),
                ("running", running.into()),
                ("zombies", zombies.into()),
                ("processes", named.iter().map(facts).collect::<Vec<_>>().into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), end.at, command.identity)
    }
}

/// A process that a command left behind.
struct Left {
    process: Identity,
    /// Who must reap it, now or when it ends.
    parent: Option<Identity>,
    /// It is a zombie.
    is_zombie: bool,
}

impl Left {
    fn words(&self) -> String {
        let Self { process, parent, is_zombie } = self;
        let process = words::short(process);
        match (is_zombie, parent.as_ref().map(words::short)) {
            (true, Some(parent)) => format!("{process}, which {parent} does not reap"),
            (false, Some(parent)) => format!("{process}, a child of {parent}"),
            (_, None) => process,
        }
    }
}

fn remnant(world: &World, process: &Process) -> Left {
    Left {
        process: process.identity(),
        parent: world.owed_by(process.key).map(|key| world.identity(key)),
        is_zombie: process.is_zombie(),
    }
}

fn counted(running: u64, zombies: u64) -> String {
    let running_text = words::count(running, "running process", "running processes");
    let zombies_text = words::count(zombies, "zombie", "zombies");
    match (running, zombies) {
        (_, 0) => running_text,
        (0, _) => zombies_text,
        _ => format!("{running_text} and {zombies_text}"),
    }
}

fn fixes(running: u64, named: &[Left]) -> Vec<String> {
    if running > 0 {
        return vec![
            "end background jobs and wait for them before the command ends (in a shell: trap 'kill $(jobs -p); wait' \
             EXIT)"
                .to_owned(),
            "run the command under an init of its own, which takes everything with it when it ends (unshare --pid \
             --fork --kill-child)"
                .to_owned(),
        ];
    }
    vec![match named.iter().find_map(|left| left.parent) {
        Some(parent) => format!("have {} wait for its children; see `tracer explain unreaped-child`", parent.comm),
        None => "see `tracer explain unreaped-child`".to_owned(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind, ExitStatus},
        ident::Args,
        scope::Scope,
        story::{Story, born, born_in, end, key, task},
    };

    /// A command (20) of a recorder (10), which was just born.
    fn command() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10));
        story.event(EventKind::CommandStarted(key(20), Args::default()));
        story
    }

    fn ends(story: &mut Story, adopter: Adopter) -> &mut Story {
        story.exit(end(20, 10, adopter)).free(20).event(EventKind::CommandEnded(key(20), ExitStatus(0)))
    }

    #[test]
    fn an_orphan_that_runs_and_a_zombie_are_one_finding() {
        let mut story = command();
        story.fork(born(21, 20)).fork(born(22, 21)).fork(born(30, 1));
        story.exit(end(22, 21, Adopter::None)).wait(1_200, &[(20, b'S', 10), (21, b'S', 20), (22, b'Z', 21)]);
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        let looks = [(21, b'S', 1), (22, b'Z', 21), (1, b'S', 0)];
        story.wait(50, &looks);
        story.found.retain(|finding| finding.rule.name == "left-behind");
        assert_eq!(story.rules(), [""; 0], "too early");
        story.wait(60, &looks);
        assert_eq!(story.rules(), [""; 0], "too early for a zombie");
        for _ in 0..10 {
            story.wait(100, &looks);
        }
        story.found.retain(|finding| finding.rule.name == "left-behind");
        let finding = story.only();
        assert_eq!(
            finding.message(),
            "p20 (pid 20) exited with code 0 and left 1 running process and 1 zombie behind. Running: p21 (pid 21), a child \
             of p1 (pid 1). Zombies: p22 (pid 22), which p21 (pid 21) does not reap."
        );
        let facts = finding.facts;
        assert_eq!((facts.count("running"), facts.count("zombies"), facts.list("processes").len()), (1, 1, 2));
    }

    #[test]
    fn a_zombie_that_is_reaped_before_it_is_overdue_is_not_left_behind() {
        for (reaped_after, want) in [(1_700, &[][..]), (2_100, &["left-behind"])] {
            let mut story = command();
            story.fork(born(21, 20));
            ends(&mut story, Adopter::NamespaceInit(task(1)));
            story.wait(20, &[(21, b'S', 1)]).exit(end(21, 1, Adopter::None));
            for _ in 0..reaped_after / 100 {
                story.wait(100, &[(21, b'Z', 1), (1, b'S', 0)]);
            }
            assert!(patience(story.world(), Span::seconds(2)) > Span::ZERO);
            story.free(21).wait(3_000, &[]);
            story.found.retain(|finding| finding.rule.name == "left-behind");
            assert_eq!(story.rules(), want, "after {reaped_after} ms");
            assert_eq!(patience(story.world(), Span::seconds(2)), Span::ZERO);
        }
    }

    #[test]
    fn a_zombie_of_an_init_that_reaps_what_it_adopts_is_not_left_behind() {
        let mut story = command();
        story.fork(born(5, 1)).fork(born(6, 5)).exit(end(5, 1, Adopter::NamespaceInit(task(1)))).free(5);
        story.wait(20, &[(6, b'S', 1)]).exit(end(6, 1, Adopter::None)).free(6);
        story.fork(born(21, 20));
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        story.wait(20, &[(21, b'S', 1)]).exit(end(21, 1, Adopter::None));
        story.found.clear();
        for _ in 0..35 {
            story.wait(100, &[(21, b'Z', 1), (1, b'S', 0)]);
        }
        assert_eq!(story.rules(), [""; 0]);
        assert_eq!(patience(story.world(), Span::seconds(2)), Span::ZERO, "and nobody waits for that");
    }

    #[test]
    fn what_ends_within_a_moment_is_not_left_behind() {
        let mut story = command();
        story.fork(born(21, 20)).fork(born(22, 20));
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        story.wait(90, &[(21, b'S', 1), (22, b'S', 1)]).exit(end(21, 1, Adopter::None)).free(21);
        story.wait(90, &[(22, b'S', 1)]).exit(end(22, 1, Adopter::None)).free(22);
        story.wait(2_000, &[]);
        story.found.retain(|finding| finding.rule.name == "left-behind");
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn a_command_that_leaves_nothing_is_no_finding() {
        let mut story = command();
        story.fork(born(21, 20)).exit(end(21, 20, Adopter::None)).free(21);
        ends(&mut story, Adopter::None).wait(2_000, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn whom_a_look_does_not_find_is_not_left_behind() {
        let mut story = command();
        story.fork(born(21, 20));
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        story.event(EventKind::Look(crate::event::Look { key: key(21), found: None })).wait(200, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn the_scope_goes_with_birth_adoption_and_new_namespaces() {
        let mut story = command();
        let is_in = |story: &Story, pid| story.world().is_in_scope(&story.world().identity(key(pid)), Scope::Command);
        story.fork(born(21, 20)).fork(born(22, 21)).fork(born(30, 1));
        story.exit(end(21, 20, Adopter::NamespaceInit(task(1)))).wait(20, &[]);
        assert!(is_in(&story, 20) && is_in(&story, 22) && !is_in(&story, 30) && !is_in(&story, 10));
        story.fork(born(23, 22));
        assert!(is_in(&story, 23));
        // A container that a daemon starts while the command runs, and one that comes later.
        story.fork(born_in(4_026_532_500, 40, 1, 30)).fork(born_in(4_026_532_500, 41, 2, 40));
        assert!(is_in(&story, 40) && is_in(&story, 41));
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        story.fork(born_in(4_026_532_600, 50, 1, 30));
        assert!(!is_in(&story, 50));
        // The same by an image of that world.
        let mut other = Story::new();
        for event in story.world().image() {
            other.event(event.kind);
        }
        for pid in [22, 23, 40, 41, 50, 30, 10] {
            assert_eq!(is_in(&other, pid), is_in(&story, pid), "{pid}");
        }
    }

    #[test]
    fn ten_are_named_and_the_rest_is_counted() {
        let mut story = command();
        for pid in 100..115 {
            story.fork(born(pid, 20));
        }
        let looks: Vec<_> = (100..115).map(|pid| (pid, b'S', 1)).collect();
        ends(&mut story, Adopter::NamespaceInit(task(1))).wait(150, &looks);
        story.found.retain(|finding| finding.rule.name == "left-behind");
        let finding = story.only();
        assert!(finding.message().ends_with(" and 5 more."), "{}", finding.message());
        assert_eq!((finding.facts.count("running"), finding.facts.list("processes").len()), (15, 10));
    }

    #[test]
    fn who_hangs_in_its_exit_is_no_zombie_that_somebody_does_not_reap() {
        let mut story = command();
        story.fork(born(21, 20));
        ends(&mut story, Adopter::NamespaceInit(task(1)));
        story.wait(20, &[(21, b'S', 1)]).exit(end(21, 1, Adopter::None));
        for _ in 0..35 {
            story.wait(100, &[(21, b'D', 1), (1, b'S', 0)]);
        }
        story.found.retain(|finding| finding.rule.name == "left-behind");
        let finding = story.only();
        assert!(!finding.message().contains("zombie"), "{}", finding.message());
        assert_eq!((finding.facts.count("running"), finding.facts.count("zombies")), (1, 0));
    }
}
