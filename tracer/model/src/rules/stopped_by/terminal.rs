//! An end that followed a key of a terminal, or the end of the terminal.

use crate::{
    finding::{Confidence, Facts, Finding, Note},
    ident::{Identity, ProcKey},
    programs::{is_errand, is_prompt},
    rules::{
        origins,
        stopped_by::{DEF, FACTS, alike, main_of, subject},
        words::{self, short},
    },
    signal::{KernelSender, Sender, Signal, killer::Killer},
    summary::seconds,
    time::{Seq, Span},
    world::{OfTerminal, Process, World},
};

/// Who ends so soon after its terminal is gone ends for that reason.
const SURELY: Span = Span::SECOND;

pub(super) fn found(world: &World, key: ProcKey, seq: Seq) -> Option<Finding> {
    let process = world.get(key)?;
    let death = process.death().filter(|death| death.exact)?;
    let asked = world.asked_by_terminal(key)?;
    let what = match main_of(world, process, false, asked.is_to_leader)? {
        "service" if was_left(process, &asked) => asked.is_to_leader.then_some("session")?,
        what => what,
    };
    // Whoever closes a window knows what happens to the shell in it.
    let is_of_window =
        is_prompt(process.comm.bytes(), &process.args) || (what == "session" && is_errand(process.comm.bytes()));
    let is_of_child = asked.has_killed && death.status.code() == of_signal(asked.signal);
    let took_ns = death.at - asked.at;
    // A client that ends with what its container ended by (docker run, 137).
    let is_of_other =
        took_ns > SURELY && is_of_signal(death.status.code()) && death.status.code() != of_signal(asked.signal);
    if is_of_window || is_of_child || is_of_other {
        return None;
    }
    let name = process.identity();
    let Sent { by, tail, cause, fix } = sent(&asked);
    let call = asked.call.as_ref().filter(|_| asked.signal != Signal::HUP);
    let notes = [
        cause.map(|cause| Note::new("cause", cause)),
        call.map(origins::call_note),
        process.is_init_of_namespace().then(|| Note::new("pid 1", short(&name))),
    ];
    let headline = format!(
        "{} {} {} after {}{tail}",
        subject(world, process),
        words::ended(death.status),
        seconds(took_ns),
        asked.signal
    );
    Some(Finding {
        confidence: confidence(&asked, death.status.code(), took_ns),
        headline,
        notes: notes.into_iter().flatten().chain(origins::notes(&asked.origin, asked.at)).collect(),
        fixes: vec![fix.to_owned()],
        evidence: vec![asked.seq, seq],
        facts: Facts::of(
            FACTS,
            [
                ("signal", asked.signal.into()),
                ("how", asked.killer.id().into()),
                ("sender", by.map_or(Sender::Kernel(KernelSender::Terminal), Sender::Process).into()),
                ("ancestors", Vec::<Identity>::new().into()),
                ("asked_by", Vec::<Identity>::new().into()),
                ("origin", origins::facts(&asked.origin, asked.at).into()),
                ("terminal", asked.terminal.map(|terminal| terminal.to_string()).into()),
                ("call", call.map(origins::call_facts).into()),
                ("what", what.into()),
                ("took_ns", took_ns.into()),
                ("status", death.status.into()),
                ("passed_to", Vec::<Identity>::new().into()),
                ("alike", alike(&name, asked.signal, death.status).into()),
            ],
        ),
        ..Finding::new(&DEF, world.now(), asked.at, name)
    })
}

/// Whether the end of the terminal, or what came of it, has made it a child of its present parent.
fn was_left(process: &Process, asked: &OfTerminal) -> bool {
    let is_leader = |left: &Identity| asked.hung_up_by.is_some_and(|by| by.key == left.key);
    process.adoption.as_deref().is_some_and(|adoption| adoption.at >= asked.at || is_leader(&adoption.from))
}

/// The exit code by which a program says that a signal has ended it.
fn of_signal(signal: Signal) -> i32 {
    128 + i32::from(signal.0)
}

/// Whether an exit code says that a signal has ended something.
fn is_of_signal(code: i32) -> bool {
    (129..=128 + 64).contains(&code)
}

/// Where the signal came from.
struct Sent {
    /// The process behind it.
    by: Option<Identity>,
    /// To end a headline with, after the signal.
    tail: String,
    /// Why.
    cause: Option<&'static str>,
    fix: &'static str,
}

fn sent(asked: &OfTerminal) -> Sent {
    let its = asked.terminal.map_or_else(|| "its terminal".to_owned(), |terminal| format!("its terminal {terminal}"));
    if let Some(key) = origins::key(asked.signal) {
        let fix =
            "if nobody meant that, run it where no key of a terminal reaches it (docker run -d, setsid, systemd-run)";
        return Sent { by: None, tail: format!(" from {its} ({key})"), cause: None, fix };
    }
    let lost = asked.terminal.filter(|_| asked.is_of_leader);
    let (tail, cause) = match (asked.killer, asked.hung_up_by) {
        (Killer::HangUp, Some(by)) if let Some(terminal) = lost => (
            format!(": {} ended, and with it its session at {terminal}", short(&by)),
            "it lost its terminal when the leader of the session ended",
        ),
        (Killer::HangUp, Some(by)) => (
            format!(": {} ended, and with it its terminal or session", short(&by)),
            "it lost its terminal, or nobody was left who could continue its stopped job",
        ),
        (_, Some(by)) => (format!(": {} hung up {its}", short(&by)), words::hung_up(true)),
        (_, None) => (format!(": {its} was hung up"), words::hung_up(false)),
    };
    let fix = words::outlive(&asked.hung_up_by.map_or(Sender::Unknown, Sender::Process));
    Sent { by: asked.hung_up_by, tail, cause: Some(cause), fix }
}

fn confidence(asked: &OfTerminal, code: i32, took: Span) -> Confidence {
    let is_key = asked.signal != Signal::HUP;
    if code == of_signal(asked.signal) || (!is_key && took <= SURELY) {
        return Confidence::Certain;
    }
    Confidence::Incomplete(if is_key {
        "whoever was at its terminal may have ended it by other input".to_owned()
    } else {
        "it may have ended for another reason".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, Exit, ExitStatus, Roles, SignalSent, TaskInfo},
        signal::{Place, Terminal},
        story::{Story, born, born_in, end, key as process_key, kill, task},
    };

    const NS: u32 = 4_026_532_500;
    const PTS: Terminal = Terminal(136 << 20 | 3);

    /// `tmux` (2), a thread of the kernel (3), and `app` (10), which leads the session of a window.
    fn window() -> Story {
        let mut story = Story::new();
        let kthread = TaskInfo { roles: Roles { kthread: true, ..Roles::default() }, ..born(3, 1) };
        story.fork(born(2, 1)).exec(2, "tmux").fork(kthread).fork(born(10, 2)).exec(10, "app");
        story
    }

    /// The kernel sends it, in the context of that process.
    fn of_terminal(current: u32, pid: u32, signal: Signal, place: Place) -> SignalSent {
        let flags = bit::GROUP | bit::KERNEL_INFO | bit::HANDLER;
        SignalSent { flags, place, ..kill(current, pid, signal) }
    }

    fn key(pid: u32) -> SignalSent {
        of_terminal(3, pid, Signal::INT, Place { group: 10, session: 10, terminal: Some(PTS) })
    }

    /// By then, the leader has lost its terminal.
    fn hang_up(by: u32, pid: u32) -> SignalSent {
        of_terminal(by, pid, Signal::HUP, Place { group: 10, session: 10, terminal: None })
    }

    fn exits(story: &mut Story, pid: u32, status: i32) -> Option<Finding> {
        let parent = story.world().parent(process_key(pid)).map_or(0, |parent| parent.key.tgid);
        story.exit(Exit { status: ExitStatus(status), ..end(pid, parent, Adopter::None) });
        story.wait(200, &[]).found.drain(..).find(|finding| finding.rule.name == DEF.name)
    }

    #[test]
    fn the_terminal_of_a_key_is_named_and_all_whom_it_met() {
        let mut story = window();
        story.signal(key(10));
        let finding = exits(&mut story, 10, 0).unwrap();
        assert_eq!(
            finding.headline,
            "app (pid 10) exited with code 0 1 µs after SIGINT from its terminal /dev/pts/3 (Ctrl-C)"
        );
        let message = finding.message();
        assert!(message.contains("foreground of /dev/pts/3, of the session of app (pid 10): 1 process"), "{message}");
        assert!(matches!(finding.confidence, Confidence::Incomplete(_)), "it may have read an end of input, too");
        assert_eq!(finding.facts.word("what"), "session");
        let mut story = window();
        story.signal(key(10));
        assert_eq!(exits(&mut story, 10, 130 << 8).unwrap().confidence, Confidence::Certain);
    }

    #[test]
    fn who_hung_up_the_terminal_is_named_unless_it_was_the_kernel() {
        for (by, want) in [
            (2, "app (pid 10) exited with code 1 1 µs after SIGHUP: tmux (pid 2) hung up its terminal"),
            (3, "app (pid 10) exited with code 1 1 µs after SIGHUP: its terminal was hung up"),
        ] {
            let mut story = window();
            story.signal(hang_up(by, 10));
            let finding = exits(&mut story, 10, 1 << 8).unwrap();
            assert_eq!((&finding.headline[..], finding.confidence.clone()), (want, Confidence::Certain));
            assert!(finding.fix().contains("setsid"), "{}", finding.fix());
        }
    }

    #[test]
    fn whose_end_has_ended_the_session_is_named() {
        let mut story = Story::new();
        story.fork(born(9, 1)).exec(9, "bash").fork(born_in(NS, 10, 1, 9)).exec(10, "app");
        story.exit(end(9, 1, Adopter::NamespaceInit(task(1))));
        let sent = of_terminal(9, 10, Signal::HUP, Place { group: 10, session: 9, terminal: Some(PTS) });
        story.signal(SignalSent { flags: sent.flags | bit::SENDER_EXITING, ..sent });
        let finding = exits(&mut story, 10, 0).unwrap();
        let want = format!(
            "pid 1 of pid namespace {NS} exited with code 0 1 µs after SIGHUP: bash (pid 9) ended, and with it its session \
             at /dev/pts/3"
        );
        assert_eq!((finding.headline, finding.facts.process("sender").unwrap().key), (want, process_key(9)));
    }

    #[test]
    fn the_shell_in_a_window_and_what_it_runs_are_quiet() {
        let mut shell = window();
        shell.exec(10, "bash").signal(hang_up(2, 10));
        assert!(exits(&mut shell, 10, 0).is_none());
        let mut script = window();
        script.exec(10, "sh run.sh").signal(hang_up(2, 10));
        assert!(exits(&mut script, 10, 0).is_some(), "a script is no window");
        let mut below = window();
        below.exec(10, "bash").fork(born(11, 10)).exec(11, "app").signal(key(11));
        assert!(exits(&mut below, 11, 0).is_none(), "it leads no session");
        let mut left = window();
        left.exec(10, "bash").fork(born(11, 10)).exec(11, "app");
        left.exit(end(10, 2, Adopter::NamespaceInit(task(1))));
        let sent = of_terminal(10, 11, Signal::HUP, Place { group: 11, session: 10, terminal: Some(PTS) });
        left.signal(SignalSent { flags: sent.flags | bit::SENDER_EXITING, ..sent });
        assert!(exits(&mut left, 11, 0).is_none(), "pid 1 has just adopted it, which makes it no service");
    }

    #[test]
    fn the_leader_of_a_session_stays_one_as_its_parent_ends_with_the_terminal() {
        let mut story = window();
        story.signal(hang_up(2, 10)).exit(end(2, 1, Adopter::NamespaceInit(task(1))));
        assert_eq!(exits(&mut story, 10, 0).unwrap().facts.word("what"), "session");
    }

    #[test]
    fn a_code_that_tells_of_another_signal_is_of_something_else() {
        for (code, ms, is_told) in [(137, 5_000, false), (129, 5_000, true), (1, 5_000, true), (137, 10, true)] {
            let mut story = window();
            story.signal(hang_up(2, 10)).wait(ms, &[]);
            assert_eq!(exits(&mut story, 10, code << 8).is_some(), is_told, "{code} {ms}");
        }
    }

    #[test]
    fn what_came_long_before_is_not_the_reason() {
        for (ms, is_told) in [(5_000, true), (20_000, false)] {
            let mut story = window();
            story.signal(hang_up(2, 10)).wait(ms, &[]);
            assert_eq!(exits(&mut story, 10, 0).is_some(), is_told);
        }
    }

    #[test]
    fn an_end_that_the_same_key_has_brought_about_below_says_it_all() {
        let mut story = Story::new();
        story.fork(born(9, 1)).exec(9, "bash").fork(born_in(NS, 10, 1, 9)).exec(10, "tini");
        story.fork(born_in(NS, 11, 2, 10)).exec(11, "app");
        let place = Place { group: 10, session: 9, terminal: Some(PTS) };
        story.signal(of_terminal(3, 10, Signal::INT, place));
        let sent = of_terminal(3, 11, Signal::INT, place);
        story.signal(SignalSent { flags: bit::GROUP | bit::KERNEL_INFO, ..sent });
        story.exit(Exit { status: ExitStatus(2), ..end(11, 10, Adopter::None) }).free(11);
        story.exit(Exit { status: ExitStatus(130 << 8), ..end(10, 9, Adopter::None) });
        assert_eq!(story.wait(300, &[]).rules(), ["killed-by"]);
    }
}
