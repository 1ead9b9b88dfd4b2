//! `stopped-job`: a process is stopped, and nobody at its terminal meant that.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::{Identity, ProcKey},
    rules::{
        Opinion, Rule,
        words::{self, line, short},
    },
    signal::{Sender, Signal},
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Process, Stopped, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that has stopped it; null if that is not known")
        .role(Role::Signal)
        .nullable(),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Sender),
    FactDef::new("found", Kind::Flag, "it was found stopped: nobody saw the signal, and it may be stopped for longer"),
    FactDef::new("age_ns", Kind::Span, "how long it has been stopped, at least").role(Role::Cost),
    FactDef::new("pty", Kind::Text, "its terminal").nullable(),
    FactDef::new("waiting", Kind::Text, "signals that wait until it is continued").nullable(),
    FactDef::new("below", Kind::Count, "descendants of it that the same signal has stopped with it"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "stopped-job",
    severity: Severity::Warning,
    about: About::Stuck,
    summary: "a process is stopped: it used its terminal from the background, or another process stopped it",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("stopped_job.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(StoppedJob { after: thresholds.stopped_after })
}

struct StoppedJob {
    after: Span,
}

/// What the same signal stops, it stops within this time.
const TOGETHER: Span = Span::ms(100);
/// Ancestors that are asked whether they were stopped with it.
const MOST_ABOVE: usize = 32;
/// Descendants that are counted.
const MOST_BELOW: usize = 1024;

impl Rule for StoppedJob {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Signalled, Topic::FoundStopped]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        let key = match change {
            Change::Signalled(signalled) if signalled.signal.is_stop() => signalled.target.key,
            Change::FoundStopped(key) => *key,
            _ => return Opinion::Quiet,
        };
        match world.get(key).and_then(|process| process.stopped.as_ref()) {
            Some(stopped) => Opinion::Recheck(stopped.at + self.after, key),
            None => Opinion::Quiet,
        }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key).filter(|process| process.death().is_none()) else { return Opinion::Quiet };
        let Some(stopped) = &process.stopped else { return Opinion::Quiet };
        let due = stopped.at + self.after;
        if world.now() < due {
            return Opinion::Recheck(due, key);
        }
        let is_stopped = process.look.is_some_and(|(looked, look)| looked >= due && look.state == b'T');
        if !is_stopped || process.tracer.is_some() || is_meant(world, process, stopped) {
            return Opinion::Quiet;
        }
        // Whoever stands above it, and was stopped with it, is told of.
        if world.ancestry(key).skip(1).take(MOST_ABOVE).any(|above| is_together(above, stopped)) {
            return Opinion::Quiet;
        }
        Opinion::Found(Box::new(finding(world, process, stopped)))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let (key, name) = (open.process.key, short(&open.process));
        let after = seconds(world.now() - open.since);
        match change {
            Change::Continued { key: of, by: by @ Sender::Process(_) } if *of == key => {
                Some(format!("{name} was continued by {} after {after}", words::from(by, &open.process)))
            }
            Change::Continued { key: of, .. } if *of == key => Some(format!("{name} was continued after {after}")),
            Change::Looked(of) if *of == key => {
                let goes_on =
                    |process: &Process| process.look.is_some_and(|(_, look)| !matches!(look.state, b'T' | b't'));
                world.get(key).is_some_and(goes_on).then(|| format!("{name} is no longer stopped, after {after}"))
            }
            Change::Died { key: of, .. } if *of == key => {
                Some(format!("{name} has ended, {after} after it was stopped"))
            }
            _ => None,
        }
    }
}

fn is_together(process: &Process, stopped: &Stopped) -> bool {
    process.stopped.as_ref().is_some_and(|other| {
        let is_at_once = other.at.max(stopped.at) - other.at.min(stopped.at) <= TOGETHER;
        // When it was found says nothing of when it was stopped.
        (other.signal, other.sender) == (stopped.signal, stopped.sender)
            && (is_at_once || (other.was_found && stopped.was_found))
    })
}

/// Whether whoever works at its terminal has put it aside: with Ctrl-Z, or as programs do that read the key themselves
/// (editors, pagers, ssh, sudo): they stop themselves, or those above and below them.
fn is_meant(world: &World, process: &Process, stopped: &Stopped) -> bool {
    let has_terminal = process.look.is_some_and(|(_, look)| look.pts.is_some());
    match (stopped.signal, stopped.sender) {
        (Signal::TSTP, Sender::Kernel(_)) => true,
        // Ctrl-Z, most likely.
        (Signal::TSTP | Signal(0), Sender::Unknown) => has_terminal,
        (Signal::TSTP | Signal::STOP, Sender::Process(sender)) => {
            let is_of_one = world.is_below(sender.key, process.key) || world.is_below(process.key, sender.key);
            is_of_one && (has_terminal || stopped.signal == Signal::TSTP)
        }
        _ => false,
    }
}

/// Why, as the end of a sentence about it.
fn cause(stopped: &Stopped, pty: Option<&str>) -> String {
    let terminal = pty.map_or_else(|| "its terminal".to_owned(), |pty| format!("its terminal {pty}"));
    // Nobody else sends these two.
    match (stopped.signal, stopped.sender) {
        (Signal::TTIN, Sender::Kernel(_) | Sender::Unknown) => {
            format!("it reads from {terminal}, and its process group is in the background")
        }
        (Signal::TTOU, Sender::Kernel(_) | Sender::Unknown) => {
            format!("it writes to {terminal} or changes its settings, and its process group is in the background")
        }
        _ => String::new(),
    }
}

fn headline(of: &Identity, stopped: &Stopped, by_terminal: bool, age: Span) -> String {
    let (name, age) = (short(of), seconds(age));
    let Stopped { signal, sender, was_found, .. } = stopped;
    let who = match sender {
        Sender::Process(sender) if sender.key == of.key => "itself".to_owned(),
        Sender::Process(sender) => short(sender),
        Sender::Kernel(_) => "its terminal".to_owned(),
        Sender::Unknown => "somebody who was not seen".to_owned(),
    };
    match (was_found, signal.0) {
        (false, _) => format!("{name} has been stopped for {age} by {signal} from {who}"),
        (true, 0) => format!("{name} has been stopped for at least {age}"),
        (true, _) if by_terminal => format!("{name} has been stopped for at least {age} by {signal} from its terminal"),
        (true, _) => format!("{name} has been stopped for at least {age} by {signal}"),
    }
}

fn finding(world: &World, process: &Process, stopped: &Stopped) -> Finding {
    let name = process.identity();
    let age_ns = world.now() - stopped.at;
    let pty = process.look.and_then(|(_, look)| look.pts).map(|pts| format!("/dev/pts/{pts}"));
    let Stopped { signal, sender, ancestors, seq, was_found, .. } = stopped;
    let by_terminal = matches!(signal, &Signal::TTIN | &Signal::TTOU) && !matches!(sender, Sender::Process(_));
    let headline = headline(&name, stopped, by_terminal, age_ns);
    let sent_by = match sender {
        Sender::Process(sender) if sender.key != name.key => line(short(sender), ancestors),
        _ => words::from(sender, &name),
    };
    let origin = if *was_found {
        Note::new("since", "an unknown time: it was stopped when it was looked at first, and the signal was not seen")
    } else {
        Note::new("sent by", sent_by)
    };
    let waiting: Vec<_> = world
        .waiting(name.key)
        .iter()
        .filter(|waiting| waiting.at >= stopped.at)
        .map(|waiting| waiting.signal.to_string())
        .collect();
    let waiting = waiting.join(", ");
    let below = world.descendants(name.key).take(MOST_BELOW).filter(|one| is_together(one, stopped)).count() as u64;
    let with_it = match below {
        0 => String::new(),
        n => format!("{} below it", words::count(n, "process", "processes")),
    };
    let pid = name.key.tgid;
    let mut fixes = vec![format!("continue it (kill -CONT {pid}, or `fg` in its shell)")];
    if by_terminal {
        // What only continues would stop again.
        fixes = vec![
            "give it no terminal: run it with its input from a file (`</dev/null`), or in a session of its own (setsid)"
                .to_owned(),
            "run it in the foreground (`fg` in its shell; `timeout --foreground`)".to_owned(),
        ];
    }
    let notes = [
        Some(Note::new("process", words::who(&name))),
        Some(origin),
        Note::maybe("why", cause(stopped, pty.as_deref())),
        Note::maybe("with it", with_it),
        Note::maybe(
            "waiting",
            if waiting.is_empty() { String::new() } else { format!("{waiting}: no effect until it is continued") },
        ),
    ];
    Finding {
        headline,
        notes: notes.into_iter().flatten().collect(),
        fixes,
        evidence: vec![*seq],
        facts: Facts::of(
            FACTS,
            [
                ("signal", Some(*signal).filter(|signal| signal.0 != 0).into()),
                ("sender", (*sender).into()),
                ("found", (*was_found).into()),
                ("age_ns", age_ns.into()),
                ("pty", pty.into()),
                ("waiting", Some(waiting).filter(|waiting| !waiting.is_empty()).into()),
                ("below", below.into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), stopped.at, name)
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, ExitStatus, Look, Looked, Row, SignalSent},
        finding::Stage,
        ident::TaskRef,
        story::{Story, born, end, key, kill, running, task},
    };

    /// `timeout` (20) of a shell (10) has a child (21).
    fn job() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "bash").fork(born(20, 10)).exec(20, "timeout 6 cat");
        story.fork(born(21, 20)).exec(21, "cat");
        story
    }

    /// From the terminal.
    fn by_terminal(pid: u32, signal: Signal) -> SignalSent {
        SignalSent { flags: bit::GROUP | bit::KERNEL_INFO, code: 0x80, ..kill(pid, pid, signal) }
    }

    fn look(story: &mut Story, pid: u32, ms: u64, state: u8, pts: Option<u16>) {
        story.now += Span::ms(ms);
        let found = Some(Looked { state, ppid: 20, pts });
        story.event(EventKind::Look(Look { key: key(pid), found })).event(EventKind::Tick);
    }

    fn found(story: &mut Story) -> Vec<Finding> {
        story.found.drain(..).filter(|finding| finding.rule.name == DEF.name).collect()
    }

    #[test]
    fn who_reads_its_terminal_from_the_background_is_found_until_it_is_continued() {
        let mut story = job();
        story.signal(by_terminal(21, Signal::TTIN));
        look(&mut story, 21, 5_000, b'T', Some(3));
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert_eq!(finding.headline, "cat (pid 21) has been stopped for 5.0 s by SIGTTIN from its terminal");
        let message = finding.message();
        assert!(
            message.contains("reads from its terminal /dev/pts/3, and its process group is in the background"),
            "{message}"
        );
        story.signal(kill(20, 21, Signal::CONT));
        let [over] = &found(&mut story)[..] else { panic!() };
        let want = "cat (pid 21) was continued by timeout (pid 20) after 5.0 s";
        assert_eq!((over.stage, &over.headline[..]), (Stage::Resolved, want));
    }

    #[test]
    fn who_was_stopped_by_somebody_else_names_him_and_what_waits() {
        let mut story = job();
        story.fork(born(30, 1)).exec(30, "ops").fork(born(31, 30)).exec(31, "kill");
        story.signal(kill(31, 21, Signal::STOP));
        story.signal(SignalSent { flags: bit::GROUP | bit::STOPPED, ..kill(20, 21, Signal::TERM) });
        look(&mut story, 21, 5_000, b'T', None);
        let [finding] = &found(&mut story)[..] else { panic!() };
        let message = finding.message();
        assert!(message.contains("Sent by: kill (pid 31) < ops (pid 30) < p1 (pid 1)."), "{message}");
        assert!(message.contains("Waiting: SIGTERM"), "{message}");
        assert!(finding.fix().contains("kill -CONT 21"), "{}", finding.fix());
        story.exit(end(21, 20, Adopter::None));
        assert_eq!(found(&mut story)[0].headline, "cat (pid 21) has ended, 5.0 s after it was stopped");
    }

    #[test]
    fn what_was_meant_is_quiet() {
        let terminal = by_terminal(21, Signal::TSTP);
        for (sent, pts, state) in [
            (terminal, Some(3), b'T'),
            (kill(21, 21, Signal::TSTP), Some(3), b'T'),
            (kill(20, 21, Signal::STOP), Some(3), b'T'),
            (by_terminal(21, Signal::TTOU), Some(3), b'S'),
            (by_terminal(21, Signal::TTOU), Some(3), b't'),
        ] {
            let mut story = job();
            story.signal(sent);
            look(&mut story, 21, 5_000, state, pts);
            assert!(found(&mut story).is_empty(), "{sent:?}");
        }
        let mut short = job();
        short.signal(by_terminal(21, Signal::TTIN)).signal(kill(20, 21, Signal::CONT));
        look(&mut short, 21, 5_000, b'S', Some(3));
        assert!(found(&mut short).is_empty(), "it was continued in time");
    }

    /// The task iterator shows them, by pid and parent.
    fn listed(story: &mut Story, stopped: &[(u32, u32)], signal: Signal, tracer: Option<TaskRef>) {
        let row = |&(pid, parent): &(u32, u32)| Row {
            status: ExitStatus::of_stop(signal),
            tracer,
            ..running(born(pid, parent))
        };
        let rows: Vec<_> = [running(born(1, 0))].into_iter().chain(stopped.iter().map(row)).collect();
        story.rows(&rows);
    }

    #[test]
    fn who_was_stopped_before_is_found_with_what_is_known() {
        for (signal, pts, want) in [
            (Signal::STOP, None, Some("p21 (pid 21) has been stopped for at least 5.0 s by SIGSTOP")),
            (
                Signal::TTIN,
                Some(3),
                Some("p21 (pid 21) has been stopped for at least 5.0 s by SIGTTIN from its terminal"),
            ),
            (Signal(0), None, Some("p21 (pid 21) has been stopped for at least 5.0 s")),
            (Signal(0), Some(3), None),
            (Signal::TSTP, Some(3), None),
            (Signal::TSTP, None, Some("p21 (pid 21) has been stopped for at least 5.0 s by SIGTSTP")),
        ] {
            let mut story = Story::new();
            listed(&mut story, &[(21, 1)], signal, None);
            look(&mut story, 21, 5_000, b'T', pts);
            let found = found(&mut story);
            assert_eq!(found.first().map(|finding| &finding.headline[..]), want);
            let Some(finding) = found.first() else { continue };
            assert!(finding.message().contains("the signal was not seen"), "{}", finding.message());
            story.signal(kill(1, 21, Signal::CONT));
            assert!(self::found(&mut story)[0].headline.starts_with("p21 (pid 21) was continued by"));
        }
    }

    #[test]
    fn who_is_traced_or_was_continued_meanwhile_is_quiet() {
        let mut traced = Story::new();
        listed(&mut traced, &[(21, 1)], Signal::STOP, Some(task(1)));
        look(&mut traced, 21, 5_000, b't', None);
        let mut goes_on = Story::new();
        listed(&mut goes_on, &[(21, 1)], Signal::STOP, None);
        goes_on.signal(kill(1, 21, Signal::CONT));
        look(&mut goes_on, 21, 5_000, b'S', None);
        assert!(found(&mut traced).is_empty() && found(&mut goes_on).is_empty());
    }

    #[test]
    fn of_those_that_were_found_stopped_the_topmost_is_told_and_an_image_knows_them() {
        let mut story = Story::new();
        listed(&mut story, &[(20, 1), (21, 20)], Signal::STOP, None);
        let mut later = Story::new();
        for event in story.world().image() {
            later.event(event.kind);
        }
        later.now += Span::ms(5_000);
        for (pid, ppid) in [(20, 1), (21, 20)] {
            let found = Some(Looked { state: b'T', ppid, pts: None });
            later.event(EventKind::Look(Look { key: key(pid), found }));
        }
        later.event(EventKind::Tick);
        let [finding] = &found(&mut later)[..] else { panic!() };
        assert_eq!((finding.process.key, finding.facts.count("below")), (key(20), 1));
    }

    #[test]
    fn of_those_that_were_stopped_together_the_topmost_is_told() {
        let mut story = job();
        story.fork(born(31, 1)).exec(31, "kill");
        for pid in [20, 21] {
            story.signal(kill(31, pid, Signal::STOP));
        }
        story.now += Span::ms(5_000);
        for (pid, ppid) in [(20, 10), (21, 20)] {
            let found = Some(Looked { state: b'T', ppid, pts: None });
            story.event(EventKind::Look(Look { key: key(pid), found }));
        }
        story.event(EventKind::Tick);
        let [finding] = &found(&mut story)[..] else { panic!() };
        assert_eq!((finding.process.key, finding.facts.count("below")), (key(20), 1));
    }

    #[test]
    fn what_has_stopped_nothing_is_not_why_a_process_is_stopped_later() {
        for looked in [true, false] {
            let mut story = job();
            // Its process group is orphaned: nothing happens.
            story.signal(by_terminal(21, Signal::TTIN));
            if looked {
                look(&mut story, 21, 5_000, b'S', Some(3));
            }
            story.now += Span::ms(15_000);
            story.fork(born(30, 1)).exec(30, "ops").signal(kill(30, 21, Signal::STOP));
            look(&mut story, 21, 5_000, b'T', Some(3));
            let [finding] = &found(&mut story)[..] else { panic!() };
            assert_eq!(finding.headline, "cat (pid 21) has been stopped for 5.0 s by SIGSTOP from ops (pid 30)");
        }
    }
}
