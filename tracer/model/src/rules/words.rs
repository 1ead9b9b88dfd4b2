//! Phrases that several rules share: processes and their ancestors, exits, counts, and fixes for a stop signal that
//! has no effect.

use crate::{
    event::ExitStatus,
    finding::{FactDef, Facts, Kind, Note, Role},
    ident::{Comm, Identity},
    kill::Fallen,
    origin::Former,
    programs::{Script, is_multiplexer},
    rules::manager::Manager,
    signal::{Sender, Signal, Verdict, killer::Killer},
    stop::Request,
    summary::{and_more, seconds},
    time::BootNs,
    world::World,
};

/// A process by its name and its pid on the host: `sh (pid 4125)`.
pub(super) fn short(process: &Identity) -> String {
    Identity { ns_level: 0, ..*process }.to_string()
}

/// The same, with its pid inside its namespace: `sh (pid 4125, pid 1 inside)`.
pub(super) fn who(process: &Identity) -> String {
    match process.ns_level {
        0 => process.to_string(),
        _ => format!("{} (pid {}, pid {} inside)", process.comm, process.key.tgid, process.ns_pid),
    }
}

/// Who sent a signal to a process.
pub(super) fn from(sender: &Sender, target: &Identity) -> String {
    match sender {
        Sender::Process(sender) if sender.key == target.key => "itself".to_owned(),
        Sender::Process(sender) => who(sender),
        sender => sender.to_string(),
    }
}

/// How many ancestors are named.
const ANCESTORS: usize = 3;

/// A process and its nearest ancestors: `kill (pid 12) < bash (pid 3) < sshd (pid 2)`.
pub(super) fn line(first: String, ancestors: &[Identity]) -> String {
    let more = ancestors.len().saturating_sub(ANCESTORS);
    let more = (more > 0).then(|| format!("… {more} more"));
    let ancestors = ancestors.iter().take(ANCESTORS).map(short);
    std::iter::once(first).chain(ancestors).chain(more).collect::<Vec<_>>().join(" < ")
}

/// The note about the client that asked an engine for a signal, and the client's ancestors.
pub(super) fn asked_by(asked_by: &[Identity]) -> Option<Note> {
    let (client, ancestors) = asked_by.split_first()?;
    Some(Note::new("asked by", line(short(client), ancestors)))
}

/// The same, to end a clause with.
pub fn on_behalf(asked_by: &[Identity]) -> String {
    match asked_by.split_first() {
        Some((client, ancestors)) => {
            format!(", on behalf of {}", line(short(client), ancestors))
        }
        None => String::new(),
    }
}

/// Whether a request came with the end of a thread, and the process of that lives on.
fn is_of_thread(world: &World, request: &Request) -> bool {
    let lives = || world.get(request.sender.key).is_some_and(|sender| sender.death().is_none());
    request.killer == Killer::ParentDeath && lives()
}

/// Where a request came from, or a SIGKILL: from whom, or with whose end. `sender` names that one.
pub(super) fn by(world: &World, request: &Request, sender: &str) -> String {
    match request.killer {
        Killer::ParentDeath if is_of_thread(world, request) => format!("as a thread of its parent {sender} ended"),
        Killer::ParentDeath => format!("as its parent {sender} ended"),
        _ => format!("from {sender}"),
    }
}

/// The same, in a few words that follow its signal.
pub(super) fn briefly(world: &World, request: &Request) -> String {
    let comma = if request.killer == Killer::ParentDeath { "," } else { "" };
    format!("{comma} {}", by(world, request, &short(&request.sender)))
}

/// The same, in full.
pub(super) fn origin(request: &Request) -> Note {
    let sender = line(who(&request.sender), &request.ancestors);
    match request.killer {
        Killer::ParentDeath => {
            Note::new("cause", format!("it requested that signal (PR_SET_PDEATHSIG); its parent was {sender}"))
        }
        _ => Note::new("sent by", sender),
    }
}

/// Why a terminal was hung up. `is_known`: who did it is named.
pub(super) fn hung_up(is_known: bool) -> &'static str {
    if is_known {
        "it closed the other side of the terminal, or called vhangup(2)"
    } else {
        "the window or the connection was closed"
    }
}

pub(super) const OUTLIVE: &str =
    "run what should outlive a terminal in a session of its own (setsid, nohup, tmux, systemd-run)";

/// The fix for who ended with its terminal, which that process had hung up or ended with.
pub(super) fn outlive(by: &Sender) -> &'static str {
    match by {
        Sender::Process(by) if is_multiplexer(by.comm.bytes()) => {
            "if this was not intended, find out who ended the window, the session or the server (tmux kill-session, \
             screen -X quit); what should outlive these must not run in one (systemd-run, setsid)"
        }
        _ => OUTLIVE,
    }
}

/// Whose a pid was until a moment before the signal: somebody may have written it down.
pub(super) fn former(former: &Former, sent_at: BootNs) -> Note {
    let before = seconds(sent_at - former.ended);
    Note::new("pid", format!("that of {} until {before} before", former.process.comm))
}

/// The fix for that.
pub(super) fn stale_pid(former: &Former) -> String {
    format!(
        "if {} was meant, whose pid that was before, check the pid in a pid file against the program before you use it \
         (start-stop-daemon --exec), or have its service manager signal it",
        former.process.comm
    )
}

/// The fix for a signal that comes with the end of a thread.
pub(super) const LASTING_THREAD: &str =
    "start it from a thread that lives as long as the process (the main thread; in Go, use runtime.LockOSThread())";

/// The fix if the stop was not intended.
pub(super) fn unmeant(world: &World, request: &Request) -> String {
    let sender = request.hand().client().first().unwrap_or(&request.sender).comm;
    match request.killer {
        Killer::ParentDeath if is_of_thread(world, request) => LASTING_THREAD.to_owned(),
        Killer::ParentDeath => format!("if this was not intended, find out why {sender} ended"),
        _ if request.signal == Signal::ABRT => hung(request.target.comm, sender),
        _ => format!("if this was not intended, find out why {sender} sent it, and who started it"),
    }
}

/// The fix for a program that `watcher` takes for hung, and sends SIGABRT.
pub(super) fn hung(program: Comm, watcher: Comm) -> String {
    format!(
        "find out what kept {program}, which {watcher} took for hung; if it needs that time, let {watcher} wait for longer \
         (WatchdogSec= of a unit, --timeout of gunicorn)"
    )
}

/// Those that died with a namespace and matter, of so many, and whether they had been asked to end before.
pub(super) fn fallen(fallen: &[Fallen], count: u64, ended: BootNs) -> String {
    let one = |Fallen { process, asked, asked_at, is_told, is_outsider, .. }: &Fallen| {
        let how = match asked {
            None if *is_told => "sent no stop signal".to_owned(),
            None => "sent no signal".to_owned(),
            Some((signal, verdict)) => {
                let before = seconds(ended - *asked_at);
                match verdict {
                    Verdict::IgnoredByChoice => format!("sent {signal} {before} before, which it ignores"),
                    Verdict::Queued => format!("sent {signal} {before} before, which waited"),
                    _ => format!("sent {signal} {before} before, and not done yet"),
                }
            }
        };
        let from = if *is_outsider { ", come in from outside" } else { "" };
        format!("{}, {how}{from}", short(process))
    };
    let mut named: Vec<_> = fallen.iter().map(one).collect();
    let more = count.saturating_sub(named.len() as u64);
    if more > 0 && !named.is_empty() {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}

/// The facts about them.
pub(super) const FALLEN: FactDef = FactDef::new(
    "named",
    Kind::List(FALLEN_FACTS),
    "those of them that matter, five at the most: who had come in from outside, who had not been asked to end, the oldest",
);

/// All of them.
pub(super) const KILLED: FactDef = FactDef::bulky("others", "whom the kernel killed");

const FALLEN_FACTS: &[FactDef] = &[
    FactDef::new("process", Kind::Process, "who").role(Role::Victims),
    FactDef::new("signal", Kind::Signal, "the last signal that had asked it to end; null if none had").nullable(),
    FactDef::new("verdict", Kind::Word(Verdict::IDS), "what became of that, as in `signal`").nullable(),
    FactDef::new("before_ns", Kind::Span, "so long before the end of pid 1 it was sent").nullable(),
    FactDef::new("from_outside", Kind::Flag, "it had come in from outside (setns(2)), as with `docker exec`"),
    FactDef::new("left_by", Kind::Process, "whose end had left it to its last parent").nullable(),
];

pub(super) fn fallen_facts(fallen: &[Fallen], ended: BootNs) -> Vec<Facts> {
    let one = |Fallen { process, asked, asked_at, is_told: _, is_outsider, left_by }: &Fallen| {
        Facts::of(
            FALLEN_FACTS,
            [
                ("process", (*process).into()),
                ("signal", asked.map(|(signal, _)| signal).into()),
                ("verdict", asked.map(|(_, verdict)| verdict.id()).into()),
                ("before_ns", asked.map(|_| ended - *asked_at).into()),
                ("from_outside", (*is_outsider).into()),
                ("left_by", (*left_by).into()),
            ],
        )
    };
    fallen.iter().map(one).collect()
}

/// Whom somebody sent a signal; empty if nobody.
pub(super) fn to(passed_to: &[Identity]) -> String {
    match passed_to {
        [] => String::new(),
        some => format!("to {}", names(some, some.len() as u64)),
    }
}

/// The named ones of `count` processes, and how many more there are.
pub(super) fn names(named: &[Identity], count: u64) -> String {
    let named: Vec<_> = named.iter().map(short).collect();
    and_more(&named, count)
}

/// How a process ended, as the predicate of a sentence about it.
pub(super) fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("was killed by {signal}"),
        None => format!("exited with code {}", status.code()),
    }
}

/// `1 zombie`, `3 zombies`.
pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// `the process`, `the 3 processes`.
pub(super) fn the_processes(n: u64) -> String {
    if n == 1 { "the process".to_owned() } else { format!("the {n} processes") }
}

/// Fixes where the kernel drops a signal that pid 1 has no handler for. The one that fits the program comes first.
/// `manager`: who stops it.
pub(super) fn unhandled(init: &Identity, script: Option<Script>, signal: Signal, manager: Manager) -> Vec<String> {
    let handler = format!("give {} a handler for {signal}", init.comm);
    if init.ns_level == 0 {
        return vec![handler];
    }
    if let Some(script) = script {
        let ways = match script {
            Script::Plain => vec![
                exec_form(signal, manager),
                format!(
                    "run the program in the background and have the shell pass the signal on (app & {}; wait)",
                    trap(signal)
                ),
            ],
            Script::Pipeline => vec![unpiped(signal)],
        };
        let init = format!(
            "if what it runs needs no clean end, run it under an init ({}): {signal} ends the shell then, and the \
                 kernel kills the rest",
            manager.init(signal)
        );
        return ways.into_iter().chain([init]).collect();
    }
    // These have settings of their own, and none for an init.
    let (setting, above) = match manager {
        Manager::Nspawn | Manager::Lxc | Manager::Systemd => (manager.stop_signal().unwrap_or_default(), None),
        _ => ("STOPSIGNAL", Some(INIT_ABOVE.to_owned())),
    };
    let stop_signal = format!("set {setting} to a signal that the program handles");
    [Some(handler), Some(stop_signal), above].into_iter().flatten().collect()
}

/// The fix for a shell that runs a pipeline: `$!` would be the last of it, and a shell that executes one of them ends with
/// that one, while the others have not read all of it.
pub(super) fn unpiped(signal: Signal) -> String {
    format!(
        "do without the pipe: have the shell execute the program, if it handles {signal} (`exec`), and leave what it \
         writes to whoever started it (docker logs, kubectl logs, the journal)"
    )
}

/// What helps a program that the kernel protects from its own default actions.
pub(super) const INIT_ABOVE: &str = "run it under an init that passes signals on, so that it is not pid 1 (docker run --init, tini, shareProcessNamespace)";

/// Fixes for a pid 1 that handles a signal, and means to end by raising it again.
pub(super) fn raised_in_vain(program: Comm, signal: Signal) -> Vec<String> {
    vec![
        format!("have {program} exit at {signal} by itself (in Node.js: process.on('{signal}', () => process.exit()))"),
        INIT_ABOVE.to_owned(),
    ]
}

/// Fixes like those of [`unhandled`] for a signal by which nobody asks for the end: its default action, which an init above would let come
/// about, is not what it was sent for.
pub(super) fn unhandled_news(init: &Identity, signal: Signal) -> Vec<String> {
    let action = if signal.is_stop() { "be stopped" } else { "end" };
    let handler = format!("give {} a handler for {signal}, or do not send it", init.comm);
    let warning = format!("do not put an init before it for that: {} would {action} by {signal} then", init.comm);
    if init.ns_level == 0 { vec![handler] } else { vec![handler, warning] }
}

/// The program in place of the shell that starts it.
pub(super) fn exec_form(signal: Signal, manager: Manager) -> String {
    let how = format!("{}, or `exec` as the last command of the script", manager.entrypoint());
    match manager.stop_signal().filter(|_| is_unusual(signal)) {
        Some(setting) => {
            format!("make the program pid 1 itself ({how}), and set {setting} to a signal that it handles")
        }
        None => format!("make the program pid 1 itself, if it handles {signal} ({how})"),
    }
}

/// Hardly any program but an init handles it: that of LXC, and that of systemd-nspawn.
fn is_unusual(signal: Signal) -> bool {
    matches!(signal, Signal::PWR | Signal::RTMIN_3)
}

/// How a shell passes a signal on to its program in the background, which ignores SIGINT and SIGQUIT there unless it
/// handles them (POSIX, "Signals and Error Handling"), and does not know what only an init handles.
pub(super) fn trap(signal: Signal) -> String {
    let is_other = matches!(signal, Signal::INT | Signal::QUIT) || is_unusual(signal);
    let to = if is_other { Signal::TERM } else { signal };
    format!("trap 'kill -{} $!; wait' {}", bare(to), bare(signal))
}

/// A signal as a shell's `trap` takes it; not each shell knows the names of real-time signals.
pub(super) fn bare(signal: Signal) -> String {
    if signal.is_real_time() {
        return signal.0.to_string();
    }
    let name = signal.to_string();
    name.strip_prefix("SIG").unwrap_or(&name).to_owned()
}

/// The fact about who asked for a signal.
pub(super) const ASKED_BY: FactDef = FactDef::new(
    "asked_by",
    Kind::Processes,
    "if a runtime sent it: the client that asked the engine for it (`docker stop`), its parent, and so on up to the \
     init of its namespace; empty if no client was seen (a program may have called the engine's API itself)",
)
.role(Role::AskedBy);
