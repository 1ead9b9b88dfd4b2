//! `signal-ignored`: a signal asked a process to end, which has ignored it from its start: who handed that on?

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    ident::ProcKey,
    programs::is_shell,
    rules::{Opinion, Rule, slow_stop, words},
    signal::{Aim, Sender, Signal, Verdict},
    stop::Request,
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Inherited, Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that it ignores").role(Role::Signal).subject(),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new(
        "ancestors",
        Kind::Processes,
        "parent, grandparent and so on of the sender, up to the init of its namespace",
    ),
    words::ASKED_BY,
    FactDef::new(
        "reason",
        Kind::Word(REASONS),
        "whom it has inherited that from: another process; itself, as it ran another program; or nobody was seen",
    )
    .role(Role::Reason),
    FactDef::new(
        "inherited_from",
        Kind::Process,
        "the first process that is known to have handed that on; of `process` itself, its former program",
    )
    .role(Role::Party)
    .nullable(),
    FactDef::new("is_first", Kind::Flag, "the program of `inherited_from` was seen to begin without it").nullable(),
    FactDef::alike(),
];

const REASONS: &[&str] = &["other-process", "former-program", "unknown"];

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-ignored",
    severity: Severity::Info,
    about: About::Dropped,
    summary: "a signal asked a process to end that has ignored it from its start: who handed that on",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("signal_ignored.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(SignalIgnored { slow_stop_after: thresholds.slow_stop_after })
}

struct SignalIgnored {
    /// What SIGKILL put an end to then another rule tells, this part of it included.
    slow_stop_after: Span,
}

/// A process that ends within this time, or is sent another signal, has no more to say.
const GOES_ON: Span = Span::SECOND;
/// Until so long after that it is told.
const FRESH: Span = Span::seconds(10);

impl Rule for SignalIgnored {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        let Change::Signalled(sent) = change else { return Opinion::Quiet };
        let is_it = sent.verdict == Verdict::IgnoredByChoice
            && world.get(sent.target.key).is_some_and(|process| process.has_ignored_from_start(sent.signal));
        if is_it { Opinion::Recheck(world.now() + GOES_ON, sent.target.key) } else { Opinion::Quiet }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        // Of pid 1 other rules tell.
        let lives = |process: &&Process| process.death().is_none() && !process.roles.init;
        let Some(process) = world.get(key).filter(lives) else { return Opinion::Quiet };
        let asked = process.stop.iter().flat_map(|stop| stop.ignored(GOES_ON));
        Opinion::Each(asked.map(|asked| judge(world, process, asked)).collect())
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let (key, name) = (open.process.key, words::short(&open.process));
        let after = seconds(world.now() - open.since);
        let signal = open.facts.signal("signal")?;
        match *change {
            Change::Died { key: of, status } if of == key => {
                Some(format!("{name} {} {after} after {signal}", words::ended(status)))
            }
            Change::Execed { key: of, .. } if of == key => {
                let program = world.get(key)?.comm;
                Some(format!("{name} has executed another program, {program}, {after} after {signal}"))
            }
            _ => None,
        }
    }

    fn wrong(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let Change::Died { key, .. } = *change else { return None };
        let init = world.get(key).and_then(|process| world.namespace(process.pid_ns)?.init);
        [Some(key), init].into_iter().flatten().find_map(|stopped| {
            let (asked, why) = slow_stop::tells_all(world, stopped, self.slow_stop_after)?;
            (asked <= open.since).then_some(why)
        })
    }
}

fn judge(world: &World, process: &Process, asked: &Request) -> Opinion {
    let due = asked.at + GOES_ON;
    if world.now() < due {
        return Opinion::Recheck(due, process.key);
    }
    let is_from_start = process.has_ignored_from_start(asked.signal) && process.runs_since(asked.at);
    if !is_from_start || world.now() > due + FRESH || is_meant(world, process, asked) {
        return Opinion::Quiet;
    }
    Opinion::Found(Box::new(finding(world, process, asked)))
}

/// Whether it ignores the signal for just that, or would do so anyway.
fn is_meant(world: &World, process: &Process, asked: &Request) -> bool {
    // What goes to many is for those that do not ignore it: a shell keeps SIGINT from what it has put into the
    // background (POSIX, "Signals and Error Handling"). Whoever names the group of a process that leads it means that
    // process. Where the kernel does not tell, only SIGTERM is not ignored for that.
    let is_one_of_many = match asked.aim {
        Aim::One => false,
        Aim::Unknown => asked.signal != Signal::TERM,
        Aim::OwnGroup | Aim::Group | Aim::All => !asked.leads_named,
    };
    // A shell that ends sends its jobs SIGHUP, each by its group, and nohup(1) keeps it from one of them.
    let has_ended = |key| world.get(key).is_none_or(|process| process.death().is_some());
    let is_hang_up = asked.signal == Signal::HUP && asked.leads_named && has_ended(asked.sender.key);
    let is_of_shell = asked.signal == Signal::QUIT && is_shell(process.comm.bytes());
    is_one_of_many || is_hang_up || is_of_shell
}

fn finding(world: &World, process: &Process, asked: &Request) -> Finding {
    let name = process.identity();
    let Request { signal, sender, .. } = *asked;
    let inherited = world.inherited(process, signal);
    let whom = inherited.map(|Inherited { from, .. }| {
        if from.key == name.key {
            ("former-program", format!("{}, its former program", from.comm))
        } else {
            ("other-process", words::short(&from))
        }
    });
    let reason = whom.as_ref().map_or("unknown", |(reason, _)| *reason);
    let from = match &whom {
        Some((_, from)) => format!(": inherited from {from}"),
        None => ", and has done so from its start".to_owned(),
    };
    let notes = [
        words::asked_by(&asked.asked_by),
        Some(words::origin(asked)),
        Some(Note::new("sent to", words::who(&name))),
        Some(Note::new("why", why(signal, inherited.as_ref()))),
    ];
    let family = Part::Family(Some(world.family_of(&name, &[])));
    let alike = vec![family, Part::Name(name.comm), Part::Signal(signal), Part::Word(reason)];
    Finding {
        headline: format!("{} ignores {signal}{from}", words::short(&name)),
        notes: notes.into_iter().flatten().collect(),
        fixes: fixes(process, signal, inherited.as_ref()),
        evidence: vec![asked.seq],
        facts: Facts::of(
            FACTS,
            [
                ("signal", signal.into()),
                ("sender", Sender::Process(sender).into()),
                ("ancestors", asked.ancestors.clone().into()),
                ("asked_by", asked.asked_by.clone().into()),
                ("reason", reason.into()),
                ("inherited_from", inherited.map(|inherited| inherited.from).into()),
                ("is_first", inherited.map(|inherited| inherited.is_first).into()),
                ("alike", alike.into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), asked.at, name)
    }
}

fn why(signal: Signal, inherited: Option<&Inherited>) -> String {
    let whose = match inherited {
        None => "who set that was not seen".to_owned(),
        Some(Inherited { from, is_first: true, .. }) => format!("{} began without that", from.comm),
        Some(Inherited { from, .. }) => format!("{} may have inherited that, too: its start was not seen", from.comm),
    };
    format!("{signal} was already ignored when its program was executed; {whose}")
}

fn fixes(process: &Process, signal: Signal, inherited: Option<&Inherited>) -> Vec<String> {
    let bare = words::bare(signal);
    let pid = process.key.tgid;
    let sends = if process.has_ignored_from_start(Signal::TERM) {
        format!("end it by a signal that nobody can ignore: kill -KILL {pid}")
    } else {
        format!(
            "send it SIGTERM, which it did not ignore at its start (kill {pid}); kill -KILL {pid} ends it in any case"
        )
    };
    let starts = format!("start it by `env --default-signal={bare} PROGRAM` (GNU coreutils 8.31 or later)");
    let Some(Inherited { from, is_first: true, .. }) = inherited else { return vec![sends, starts] };
    let comm = from.comm;
    let at_its_source = match comm.bytes() {
        b"nohup" if signal == Signal::HUP => {
            return vec![sends, "start it without nohup; by setsid, if it must outlive its terminal".to_owned()];
        }
        b"env" => return vec![sends, starts],
        // What such a shell has put into the background cannot reset that.
        shell if is_shell(shell) && shell != b"bash" && matches!(signal, Signal::INT | Signal::QUIT) => {
            return vec![sends, starts];
        }
        shell if is_shell(shell) => {
            format!("have {comm} reset it for this program alone: (trap - {bare}; exec PROGRAM)")
        }
        _ => format!(
            "have {comm} set {signal} to SIG_DFL right before the exec (posix_spawn: POSIX_SPAWN_SETSIGDEF; Python: \
             preexec_fn, as restore_signals leaves {signal} alone)"
        ),
    };
    vec![sends, starts, at_its_source]
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exec, Exit, ExitStatus, SignalSent},
        finding::Stage,
        signal::Place,
        story::{Story, args, born, born_in, end, key, kill, task},
    };

    const NS: u32 = 4_026_532_500;

    fn set(signals: &[Signal]) -> u64 {
        signals.iter().map(|signal| 1 << (signal.0 - 1)).sum()
    }

    /// A program that is executed with these signals ignored.
    fn exec(story: &mut Story, pid: u32, name: &str, ignored: &[Signal]) {
        story.event(EventKind::Exec(Box::new(Exec {
            task: task(pid),
            comm: name.into(),
            old_tid: pid,
            args: args(name),
            mount_ns: 0,
            ignored: Some(set(ignored)),
        })));
    }

    /// A signal that its target ignores.
    fn ignored(from: u32, to: u32, signal: Signal) -> SignalSent {
        SignalSent { flags: bit::GROUP | bit::IGNORE, result: 1, ..kill(from, to, signal) }
    }

    /// A shell (10), and somebody who sends signals (40).
    fn story(shell: &str) -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, shell).fork(born(40, 1)).exec(40, "kill");
        story
    }

    /// A shell that starts `sleep` (20) with these signals ignored.
    fn started(shell: &str, signals: &[Signal]) -> Story {
        let mut story = story(shell);
        story.fork(born(20, 10));
        exec(&mut story, 20, "sleep", signals);
        story
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    fn after(mut story: Story, sent: SignalSent) -> Vec<Finding> {
        found(story.signal(sent).wait(1_100, &[]))
    }

    #[test]
    fn the_shell_that_started_it_so_is_named() {
        let [finding] = &after(started("sh", &[Signal::INT, Signal::QUIT]), ignored(40, 20, Signal::INT))[..] else {
            panic!()
        };
        assert_eq!(finding.headline, "sleep (pid 20) ignores SIGINT: inherited from sh (pid 10)");
        assert_eq!(
            finding.message(),
            "sleep (pid 20) ignores SIGINT: inherited from sh (pid 10). Sent by: kill (pid 40) < p1 (pid 1). Sent to: \
             sleep (pid 20). Why: SIGINT was already ignored when its program was executed; sh began without that."
        );
        assert_eq!((finding.facts.word("reason"), finding.fixes.len()), ("other-process", 2));
        assert!(finding.fix().starts_with("send it SIGTERM"), "{}", finding.fix());
    }

    #[test]
    fn its_former_program_is_named() {
        let mut story = story("bash");
        story.fork(born(20, 10)).exec(20, "nohup");
        exec(&mut story, 20, "server", &[Signal::HUP]);
        let [finding] = &after(story, ignored(40, 20, Signal::HUP))[..] else { panic!() };
        assert_eq!(finding.headline, "server (pid 20) ignores SIGHUP: inherited from nohup, its former program");
        assert_eq!(finding.facts.word("reason"), "former-program");
        assert!(finding.fix().contains("without nohup"), "{}", finding.fix());
    }

    #[test]
    fn whoever_set_it_is_named_whatever_was_started_in_between() {
        let mut story = story("python3");
        story.fork(born(20, 10));
        exec(&mut story, 20, "env", &[Signal::TERM]);
        exec(&mut story, 20, "sh", &[Signal::TERM, Signal::INT]);
        // It lives, and has children of the same program.
        story.fork(born(21, 20)).fork(born(22, 21));
        exec(&mut story, 22, "sleep", &[Signal::TERM, Signal::INT]);
        let whom = |signal| {
            let process = story.world().get(key(22)).unwrap();
            story.world().inherited(process, signal).map(|of| (of.from.to_string(), of.is_first))
        };
        assert_eq!(whom(Signal::TERM), Some(("python3 (pid 10)".to_owned(), true)));
        assert_eq!(whom(Signal::INT), Some(("env (pid 20)".to_owned(), true)));
        assert_eq!(whom(Signal::HUP), None);
    }

    #[test]
    fn who_reset_it_has_handed_on_nothing() {
        let mut story = started("python3", &[Signal::TERM]);
        exec(&mut story, 20, "env", &[]);
        exec(&mut story, 20, "server", &[Signal::TERM]);
        let [finding] = &after(story, ignored(40, 20, Signal::TERM))[..] else { panic!() };
        assert!(finding.headline.ends_with("inherited from env, its former program"), "{}", finding.headline);
    }

    #[test]
    fn who_ran_before_the_start_may_have_inherited_it() {
        let mut story = Story::new();
        story.snapshot(&[born(1, 0), born(10, 1), born(40, 1)]).fork(born(20, 10));
        exec(&mut story, 20, "sleep", &[Signal::TERM]);
        let [finding] = &after(story, ignored(40, 20, Signal::TERM))[..] else { panic!() };
        assert_eq!(finding.headline, "sleep (pid 20) ignores SIGTERM: inherited from p10 (pid 10)");
        assert!(finding.message().contains("p10 may have inherited that, too"), "{}", finding.message());
        assert!(finding.fix().starts_with("end it by a signal that nobody can ignore"), "{}", finding.fix());
    }

    #[test]
    fn nobody_is_named_where_an_exec_may_be_missing() {
        let mut story = story("sh");
        story.fork(born(20, 10)).lose(3);
        exec(&mut story, 20, "sleep", &[Signal::TERM]);
        let [finding] = &after(story, ignored(40, 20, Signal::TERM))[..] else { panic!() };
        assert_eq!(finding.headline, "sleep (pid 20) ignores SIGTERM, and has done so from its start");
        assert_eq!(finding.facts.word("reason"), "unknown");
    }

    #[test]
    fn who_ignores_it_by_choice_or_began_before_the_start_is_quiet() {
        assert!(after(started("sh", &[Signal::HUP]), ignored(40, 20, Signal::TERM)).is_empty());
        let mut story = Story::new();
        story.snapshot(&[born(1, 0), born(20, 1), born(40, 1)]);
        assert!(after(story, ignored(40, 20, Signal::TERM)).is_empty());
        let handled = SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(40, 20, Signal::TERM) };
        assert!(after(started("sh", &[Signal::TERM]), handled).is_empty(), "it has a handler by now");
    }

    #[test]
    fn what_ignoring_is_for_is_quiet() {
        let kernel = SignalSent {
            flags: bit::GROUP | bit::IGNORE | bit::KERNEL_INFO,
            code: 0x80,
            ..ignored(40, 20, Signal::HUP)
        };
        assert!(after(started("nohup", &[Signal::HUP]), kernel).is_empty(), "a terminal");
        for aim in [Aim::OwnGroup, Aim::Group, Aim::All] {
            let place = Place { group: 10, ..Place::default() };
            let sent = SignalSent { aim, place, ..ignored(40, 20, Signal::INT) };
            assert!(after(started("sh", &[Signal::INT]), sent).is_empty(), "{aim:?}");
        }
        let place = Place { group: 20, ..Place::default() };
        let named = SignalSent { aim: Aim::Group, place, ..ignored(40, 20, Signal::INT) };
        assert_eq!(after(started("sh", &[Signal::INT]), named).len(), 1, "whoever names the leader means it");
        for (signal, want) in [(Signal::INT, 0), (Signal::TERM, 1)] {
            let unknown = SignalSent { aim: Aim::Unknown, ..ignored(40, 20, signal) };
            assert_eq!(after(started("sh", &[signal]), unknown).len(), want, "{signal}");
        }
    }

    #[test]
    fn a_shell_that_ends_and_hangs_up_is_quiet() {
        for (aim, ends, want) in [(Aim::Group, true, 0), (Aim::Group, false, 1), (Aim::One, true, 1)] {
            let mut story = started("bash", &[Signal::HUP]);
            let place = Place { group: if aim == Aim::Group { 20 } else { 0 }, ..Place::default() };
            story.signal(SignalSent { aim, place, ..ignored(10, 20, Signal::HUP) });
            if ends {
                story.exit(end(10, 1, Adopter::NamespaceInit(task(1)))).free(10);
            }
            assert_eq!(found(story.wait(1_100, &[(20, b'S', 1)])).len(), want, "{aim:?} {ends}");
        }
    }

    #[test]
    fn who_ends_or_runs_another_program_or_is_sent_more_within_a_moment_is_quiet() {
        let story = || {
            let mut story = started("sh", &[Signal::INT]);
            story.signal(ignored(40, 20, Signal::INT));
            story
        };
        assert_eq!(found(story().wait(1_100, &[])).len(), 1);
        assert!(found(story().exit(end(20, 10, Adopter::None)).wait(1_100, &[])).is_empty());
        let mut other = story();
        exec(&mut other, 20, "other", &[Signal::INT]);
        assert!(found(other.wait(1_100, &[])).is_empty());
        for signal in [Signal::TERM, Signal::KILL] {
            let handled = SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(40, 20, signal) };
            assert!(found(story().signal(handled).wait(1_100, &[])).is_empty(), "{signal}");
        }
    }

    #[test]
    fn it_is_told_once_and_is_over_with_the_process() {
        let mut story = started("sh", &[Signal::TERM]);
        for _ in 0..5 {
            story.signal(ignored(40, 20, Signal::TERM)).wait(1_100, &[]);
        }
        assert_eq!(found(&mut story).len(), 1);
        story.wait(600_000, &[]).exit(Exit { status: ExitStatus(9), ..end(20, 10, Adopter::None) });
        let [over] = &found(&mut story)[..] else { panic!() };
        let want = "sleep (pid 20) was killed by SIGKILL 10 min 5 s after SIGTERM";
        assert_eq!((over.stage, &over.headline[..]), (Stage::Resolved, want));
    }

    #[test]
    fn who_asks_again_later_is_told_that_it_goes_on() {
        let mut story = started("sh", &[Signal::TERM]);
        story.signal(ignored(40, 20, Signal::TERM)).wait(1_100, &[]).wait(100_000, &[]);
        story.signal(ignored(40, 20, Signal::TERM)).wait(1_100, &[]);
        let stages: Vec<_> = found(&mut story).iter().map(|finding| finding.stage).collect();
        assert_eq!(stages, [Stage::New, Stage::Ongoing]);
    }

    #[test]
    fn whoever_gives_up_on_it_is_told_of_by_slow_stop() {
        let mut story = started("supervisord", &[Signal::TERM]);
        story.signal(ignored(10, 20, Signal::TERM)).wait(5_000, &[]).signal(kill(10, 20, Signal::KILL));
        story.exit(Exit { status: ExitStatus(9), ..end(20, 10, Adopter::None) }).wait(200, &[]);
        let told: Vec<_> = story.found.drain(..).map(|finding| (finding.rule.name, finding.stage)).collect();
        let want = [("signal-ignored", Stage::New), ("signal-ignored", Stage::Withdrawn), ("slow-stop", Stage::New)];
        assert_eq!(told, want);
    }

    #[test]
    fn pid_1_is_left_to_others_and_a_slow_stop_tells_of_its_children() {
        let mut story = Story::new();
        story.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 3));
        exec(&mut story, 10, "sh", &[]);
        story.fork(born_in(NS, 20, 2, 10));
        exec(&mut story, 20, "app", &[Signal::TERM]);
        let to_init = |more| SignalSent { flags: bit::GROUP | bit::OUTSIDE | more, ..kill(3, 10, Signal::TERM) };
        story.signal(to_init(bit::HANDLER | bit::UNKILLABLE)).signal(ignored(10, 20, Signal::TERM)).wait(1_100, &[]);
        assert_eq!(found(&mut story)[0].headline, "app (pid 20) ignores SIGTERM: inherited from sh (pid 10)");
        story.wait(3_000, &[]).signal(SignalSent { signal: Signal::KILL, ..to_init(0) });
        story.exit(Exit { status: ExitStatus(9), ..end(10, 3, Adopter::None) });
        story.exit(Exit { status: ExitStatus(9), ..end(20, 10, Adopter::None) });
        let told: Vec<_> = story.found.drain(..).map(|finding| (finding.rule.name, finding.stage)).collect();
        assert_eq!(told, [("signal-ignored", Stage::Withdrawn), ("slow-stop", Stage::New)]);

        let mut init = Story::new();
        init.fork(born(3, 1)).exec(3, "runc").fork(born_in(NS, 10, 1, 3));
        exec(&mut init, 10, "app", &[Signal::TERM]);
        assert!(after(init, ignored(3, 10, Signal::TERM)).is_empty());
    }
}
