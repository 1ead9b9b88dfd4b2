//! `cannot-die`: a process was killed, and is still there.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::ProcKey,
    rules::{Opinion, Rule, Wanted, held::Why, words},
    signal::{Sender, Signal},
    summary::seconds,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::{Death, Fatal, Process, State, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that was to end it; null if it has called exit(2)")
        .role(Role::Signal)
        .nullable(),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("age_ns", Kind::Span, "how long ago that was").role(Role::Cost),
    FactDef::new("exiting", Kind::Flag, "it has begun to exit, but its exit hangs"),
    FactDef::new("reason", Kind::Word(Why::IDS), "what keeps it").role(Role::Reason),
    FactDef::new("wchan", Kind::Text, "the function in which it sleeps in the kernel").nullable(),
    FactDef::new("file", Kind::Text, "the file that its system call works on").nullable(),
    FactDef::new("frozen", Kind::Text, "the file by which its control group was frozen").nullable(),
    FactDef::new("tracer", Kind::Process, "who holds it by ptrace").role(Role::Party).nullable(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "cannot-die",
    severity: Severity::Warning,
    about: About::Stuck,
    summary: "a process was killed and is still there: it is frozen, sleeps in the kernel, or is held by a tracer",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("cannot_die.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(CannotDie { after: thresholds.cannot_die_after })
}

struct CannotDie {
    after: Span,
}

impl Rule for CannotDie {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled, Topic::Died, Topic::LeaderDied]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        let key = match change {
            Change::Signalled(signalled) => signalled.target.key,
            Change::Died { key, .. } | Change::LeaderDied(key) => *key,
            _ => return Opinion::Quiet,
        };
        match world.get(key).and_then(due) {
            Some(end) => Opinion::Recheck(end.at + self.after, key),
            None => Opinion::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        // Of most that are asked about, it is known that they are zombies.
        let is_over = world.get(key).and_then(Process::death).is_some_and(Death::is_over);
        if is_over { Vec::new() } else { vec![Wanted::Held(key)] }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        let Some(end) = due(process) else { return Opinion::Quiet };
        let due = end.at + self.after;
        if world.now() < due {
            return Opinion::Recheck(due, key);
        }
        let Some((_, look)) = process.look.filter(|&(looked, _)| looked >= due) else { return Opinion::Quiet };
        // A main thread that has ended before others looks like a zombie.
        let is_over = matches!(look.state, b'Z' | b'X') && process.death().is_some();
        // It waits for the end of those in its namespace, which is told of them.
        let is_last = process.roles.init && world.is_ending(process.pid_ns) && matches!(look.state, b'S' | b'I');
        let Some((_, held)) = process.held.as_deref().filter(|(looked, _)| *looked >= due) else {
            return Opinion::Quiet;
        };
        // A thread in sigwait(3) takes a signal that would end the process otherwise.
        let is_sure = end.exiting || held.killed || end.fatal.is_some_and(|fatal| fatal.signal == Signal::KILL);
        if is_over || is_last || !is_sure {
            return Opinion::Quiet;
        }
        Opinion::Found(Box::new(finding(world, process, &end)))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let (key, name) = (open.process.key, words::short(&open.process));
        let after = seconds(world.now() - open.since);
        let what =
            open.facts.signal("signal").map_or_else(|| "it began to exit".to_owned(), |signal| signal.to_string());
        match change {
            Change::Died { key: of, .. } if *of == key => Some(format!("{name} has died, {after} after {what}")),
            Change::Looked(of) if *of == key && world.get(key).is_some_and(is_zombie) => {
                Some(format!("{name} has died, {after} after {what}"))
            }
            Change::Reaped { identity, .. } if identity.key == key => {
                Some(format!("{name} is gone, {after} after {what}"))
            }
            _ => None,
        }
    }
}

fn is_zombie(process: &Process) -> bool {
    process.death().is_some() && process.look.is_some_and(|(_, look)| look.state == b'Z')
}

/// What was to be the end of a process.
struct Due {
    fatal: Option<Fatal>,
    /// When.
    at: BootNs,
    /// The event.
    seq: Seq,
    /// It has begun to exit.
    exiting: bool,
}

fn due(process: &Process) -> Option<Due> {
    // A thread in sigwait(3) may have taken a signal that would have ended it.
    let ended_by = process.death().map(|death| death.status.signal());
    let is_it = |fatal: &Fatal| fatal.signal == Signal::KILL || ended_by.is_none_or(|by| by == Some(fatal.signal));
    let fatal = process.fatal.as_deref().copied().filter(is_it);
    let (began, exiting) = match process.state {
        State::Dead(death) if death.is_over() => return None,
        State::Dead(Death { at, seq, .. }) => (Some((at, seq)), true),
        // It has called exit(2), and each of its other threads has a SIGKILL. They have one, too, while one of them waits
        // for the others to execute a program.
        State::LeaderDead { since, seq, is_ending: true, .. } => (Some((since, seq)), false),
        State::LeaderDead { .. } | State::Running => (None, false),
    };
    let (at, seq) = fatal.map(|fatal| (fatal.at, fatal.seq)).or(began)?;
    Some(Due { fatal, at, seq, exiting })
}

fn finding(world: &World, process: &Process, end: &Due) -> Finding {
    let name = process.identity();
    let age_ns = world.now() - end.at;
    let (why, age) = (Why::of(world, process), seconds(age_ns));
    let what = match end.fatal {
        Some(Fatal { signal, .. }) => format!("has not died {age} after {signal}"),
        None => format!("has not died {age} after it began to exit"),
    };
    // Without a signal, it has called exit(2).
    let exiting = end.exiting || end.fatal.is_none();
    let sender = end.fatal.map_or(Sender::Unknown, |fatal| fatal.sender);
    let held = process.held.as_deref().map(|(_, held)| held);
    let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let notes = [
        end.fatal.map(|fatal| Note::new("sent by", words::from(&fatal.sender, &name))),
        Some(Note::new("process", words::who(&name))),
        Some(Note::new("state", why.in_full(process))),
        exiting.then(|| Note::new("exit", "it has begun to exit, and its exit hangs")),
    ];
    Finding {
        headline: format!("{} {what}: {}", words::short(&name), why.briefly()),
        notes: notes.into_iter().flatten().collect(),
        fixes: why.fixes(process),
        evidence: vec![end.seq],
        facts: Facts::of(
            FACTS,
            [
                ("signal", end.fatal.map(|fatal| fatal.signal).into()),
                ("sender", sender.into()),
                ("age_ns", age_ns.into()),
                ("exiting", exiting.into()),
                ("reason", why.id().into()),
                ("wchan", text(held.map(|held| &held.wchan)).into()),
                ("file", text(held.map(|held| &held.file)).into()),
                ("frozen", text(held.map(|held| &held.frozen)).into()),
                ("tracer", process.tracer.map(|tracer| world.identity(tracer.key)).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), end.at, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, Held, Look, Looked, SignalSent, Survey, Surveyed},
        finding::Stage,
        story::{Story, born, born_in, end, key, kill, task},
    };

    const NS: u32 = 4_026_532_500;

    /// 10 kills 20.
    fn killed() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "bash").fork(born(20, 1)).exec(20, "dd");
        story.signal(kill(10, 20, Signal::KILL));
        story
    }

    /// Time passes, and a look finds that.
    fn look(story: &mut Story, pid: u32, ms: u64, state: u8, held: Held) {
        story.now += Span::ms(ms);
        assert!(story.detector.due(story.now, 0).contains(&Wanted::Held(key(pid))));
        let found = Some(Looked { state, ppid: 1, pts: None });
        story.event(EventKind::Look(Look { key: key(pid), found }));
        story.event(EventKind::Held(key(pid), Box::new(held))).event(EventKind::Tick);
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    #[test]
    fn who_sleeps_in_the_kernel_is_found_and_over_when_it_has_died() {
        let mut story = killed();
        let (wchan, file) = ("percpu_rwsem_wait".to_owned(), "/mnt/x".to_owned());
        look(&mut story, 20, 5_000, b'D', Held { state: "D".into(), wchan, file, ..Held::default() });
        let [finding] = &found(&mut story)[..] else { panic!() };
        let want = "dd (pid 20) has not died 5.0 s after SIGKILL: it sleeps in the kernel";
        assert_eq!(finding.headline, want);
        let message = finding.message();
        assert!(message.contains("(state D, in percpu_rwsem_wait); its system call works on /mnt/x"), "{message}");
        assert!(message.contains("Sent by: bash (pid 10)."), "{message}");
        story.exit(Exit { status: ExitStatus(9), ..end(20, 1, Adopter::None) });
        let [over] = &found(&mut story)[..] else { panic!() };
        assert_eq!((over.stage, &over.headline[..]), (Stage::Resolved, "dd (pid 20) has died, 5.0 s after SIGKILL"));
    }

    #[test]
    fn a_frozen_group_is_named_and_to_be_thawed() {
        for (file, word) in
            [("/sys/fs/cgroup/freezer/a/freezer.state", "THAWED"), ("/sys/fs/cgroup/a/cgroup.freeze", "0")]
        {
            let mut story = killed();
            look(&mut story, 20, 5_000, b'D', Held { state: "D".into(), frozen: file.into(), ..Held::default() });
            let [finding] = &found(&mut story)[..] else { panic!() };
            assert!(finding.headline.ends_with(" after SIGKILL: its control group is frozen"), "{}", finding.headline);
            assert!(finding.fix().starts_with(&format!("thaw it (echo {word} > {file}")), "{}", finding.fix());
        }
    }

    #[test]
    fn a_frozen_group_of_version_2_keeps_nobody_from_dying() {
        let mut story = killed();
        let frozen = "/sys/fs/cgroup/a/cgroup.freeze".to_owned();
        look(&mut story, 20, 5_000, b'D', Held { state: "D".into(), killed: true, frozen, ..Held::default() });
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(finding.headline.ends_with(": it sleeps in the kernel"), "{}", finding.headline);
    }

    #[test]
    fn who_dies_in_time_or_is_not_ended_by_the_signal_is_quiet() {
        let mut story = killed();
        story.exit(end(20, 1, Adopter::None)).free(20).wait(60_000, &[]);
        assert!(found(&mut story).is_empty());
        let mut zombie = killed();
        zombie.exit(end(20, 1, Adopter::None));
        look(&mut zombie, 20, 5_000, b'Z', Held::default());
        assert!(found(&mut zombie).is_empty(), "a zombie is dead");
        let handled = SignalSent { flags: 2, ..kill(10, 20, Signal::TERM) };
        for sent in [handled, kill(10, 20, Signal::QUIT), kill(10, 20, Signal::STOP), kill(10, 20, Signal::CHLD)] {
            let mut story = Story::new();
            story.fork(born(10, 1)).fork(born(20, 1)).signal(sent);
            story.wait(60_000, &[(20, b'D', 1)]);
            assert!(found(&mut story).is_empty(), "{sent:?}");
        }
    }

    #[test]
    fn who_waits_for_the_signal_in_sigwait_is_not_dying() {
        for (killed, is_found) in [(false, false), (true, true)] {
            let mut story = Story::new();
            story.fork(born(10, 1)).fork(born(20, 1)).signal(kill(10, 20, Signal::TERM));
            look(&mut story, 20, 5_000, b'D', Held { state: "D".into(), killed, ..Held::default() });
            assert_eq!(found(&mut story).len(), usize::from(is_found));
        }
    }

    #[test]
    fn who_hangs_in_its_exit_is_told_too_but_no_init_that_waits_for_others() {
        let mut story = Story::new();
        story.fork(born(20, 1)).exit(end(20, 1, Adopter::None));
        look(&mut story, 20, 5_000, b'D', Held { state: "D".into(), ..Held::default() });
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert!(
            finding.headline.starts_with("p20 (pid 20) has not died 5.0 s after it began to exit"),
            "{}",
            finding.headline
        );
        story.free(20);
        assert_eq!(found(&mut story)[0].headline, "p20 (pid 20) is gone, 5.0 s after it began to exit");
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).exit(end(10, 1, Adopter::None));
        look(&mut story, 10, 5_000, b'S', Held::default());
        assert!(found(&mut story).is_empty(), "it waits for 11");
    }

    #[test]
    fn a_tracer_that_holds_it_is_named() {
        // The survey may be a second old; the look at what holds it is not.
        for (is_surveyed, tracer) in [(true, 0), (false, 30)] {
            let mut story = killed();
            story.fork(born(30, 1)).exec(30, "gdb");
            if is_surveyed {
                let found = vec![Surveyed { key: key(20), tracer: Some(task(30)), subreaper: false }];
                story.event(EventKind::Survey(Box::new(Survey { began: story.now, found })));
            }
            look(&mut story, 20, 5_000, b't', Held { state: "t".into(), tracer, ..Held::default() });
            let [finding] = &found(&mut story)[..] else { panic!() };
            assert!(finding.headline.ends_with("its tracer gdb (pid 30) holds it"), "{}", finding.headline);
            assert_eq!(finding.facts.process("tracer").unwrap().key, key(30));
        }
    }

    #[test]
    fn a_signal_that_was_taken_by_sigwait_is_not_what_it_dies_of() {
        // It ends by itself later, or somebody kills it.
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1)).exec(20, "mysqld").signal(kill(10, 20, Signal::TERM));
        look(&mut story, 20, 60_000, b'S', Held { state: "S".into(), ..Held::default() });
        story.exit(end(20, 1, Adopter::None));
        story.now += Span::ms(100);
        let busy = || Held { state: "D".into(), ..Held::default() };
        story.look(20, Some((b'D', 1))).event(EventKind::Held(key(20), Box::new(busy()))).event(EventKind::Tick);
        assert!(found(&mut story).is_empty(), "it has just begun to exit");
        look(&mut story, 20, 5_000, b'D', busy());
        let [finding] = &found(&mut story)[..] else { panic!() };
        let want = "mysqld (pid 20) has not died 5.1 s after it began to exit: it sleeps in the kernel";
        assert_eq!(finding.headline, want);
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1)).signal(kill(10, 20, Signal::TERM));
        look(&mut story, 20, 60_000, b'S', Held { state: "S".into(), ..Held::default() });
        story.signal(kill(10, 20, Signal::KILL));
        story.now += Span::ms(100);
        let killed = Box::new(Held { killed: true, ..busy() });
        story.look(20, Some((b'D', 1))).event(EventKind::Held(key(20), killed)).event(EventKind::Tick);
        assert!(found(&mut story).is_empty(), "it has just been killed");
    }

    #[test]
    fn who_has_called_exit_waits_for_a_thread_that_sleeps_in_the_kernel() {
        for (killed, want) in [(true, &["cannot-die"][..]), (false, &["zombie-leader"])] {
            let mut story = Story::new();
            story.fork(born(20, 1)).exec(20, "java");
            story.exit(Exit { live: 1, group_dead: false, ..end(20, 1, Adopter::None) });
            let held = || Box::new(Held { state: "D".into(), killed, ..Held::default() });
            for _ in 0..6 {
                story.now += Span::SECOND;
                story.look(20, Some((b'Z', 1))).event(EventKind::Held(key(20), held())).event(EventKind::Tick);
            }
            assert_eq!(story.rules(), want);
        }
    }

    #[test]
    fn who_executes_a_program_in_another_thread_is_not_ending() {
        let mut story = Story::new();
        story.fork(born(20, 1)).exec(20, "java");
        story.exit(Exit { live: 2, group_dead: false, group_exit: false, ..end(20, 1, Adopter::None) });
        for _ in 0..12 {
            let held = Held { state: "D".into(), killed: true, ..Held::default() };
            story.now += Span::SECOND;
            story.look(20, Some((b'Z', 1))).event(EventKind::Held(key(20), Box::new(held))).event(EventKind::Tick);
        }
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn an_init_that_waits_for_others_may_look_idle() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).exit(end(10, 1, Adopter::None));
        look(&mut story, 10, 5_000, b'I', Held::default());
        assert!(found(&mut story).is_empty(), "it waits for 11");
    }
}
