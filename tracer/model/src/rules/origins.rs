//! What findings say about the origin of a signal: the chain that led to it, and the call that sent it to several
//! processes.

use crate::{
    finding::{FactDef, Facts, Kind, Note, Role},
    ident::Identity,
    kill::Call,
    origin::{Certainty, How, Sent, Step},
    rules::words::{self, ended, short},
    signal::{Aim, Sender, Signal, killer::Killer},
    summary::seconds,
    time::BootNs,
};

/// The fact about what led to a signal.
pub(super) const ORIGIN: FactDef = FactDef::new(
    "origin",
    Kind::List(STEP),
    "what led to that signal, the first cause first; empty if nothing was seen that explains it",
);

const STEP: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that `to` got; null of an end without one").nullable(),
    FactDef::new("from", Kind::Word(Killer::IDS), "what that came from; null without a signal").nullable(),
    FactDef::new("sender", Kind::Sender, "who sent it").role(Role::Party),
    FactDef::new("asked_by", Kind::Processes, "the client that had asked an engine for it, then its parent and so on"),
    FactDef::new("to", Kind::Process, "who got it, and then sent what follows; or whose end led to that")
        .role(Role::Party),
    FactDef::new("status", Kind::Status, "how `to` ended, if that is what counts").nullable(),
    FactDef::new("before_ns", Kind::Span, "so long before what follows"),
    FactDef::new(
        "how",
        Kind::Word(How::IDS),
        "how what follows came of it. `passed-on`: `to` sent the same signal on; `answer`: asked to end, it ended who was \
         below it; `escalation`: `to` had not ended by then; `before`: `to` had handled it, and what follows is \
         another's or its own; `child-ended`: the parent of `to` did something about its end; `ended`: what follows \
         comes with the end of `to`",
    ),
    FactDef::new(
        "certainty",
        Kind::Word(Certainty::IDS),
        "`seen`: the two belong together by what they are; `likely`: by who took part, and when",
    ),
];

/// `at` is when the final signal was sent.
pub(super) fn facts(origin: &[Step], at: BootNs) -> Vec<Facts> {
    let next = origin.iter().skip(1).map(|step| step.at).chain([at]);
    let of = |(step, next): (&Step, BootNs)| {
        let sent = step.sent.as_ref();
        Facts::of(
            STEP,
            [
                ("signal", sent.map(|sent| sent.signal).into()),
                ("from", sent.map(|sent| sent.killer.id()).into()),
                ("sender", sent.map_or(Sender::Unknown, |sent| sent.sender).into()),
                ("asked_by", sent.map(|sent| sent.asked_by.clone()).unwrap_or_default().into()),
                ("to", step.to.into()),
                ("status", step.status.into()),
                ("before_ns", (next - step.at).into()),
                ("how", step.how.id().into()),
                ("certainty", step.certainty.id().into()),
            ],
        )
    };
    origin.iter().zip(next).map(of).collect()
}

/// A line for each step, the first cause first.
pub(super) fn notes(origin: &[Step], at: BootNs) -> impl Iterator<Item = Note> {
    let next = origin.iter().skip(1).map(|step| step.at).chain([at]);
    origin.iter().zip(next).map(|(step, next)| {
        let likely = if step.certainty == Certainty::Likely { "most likely: " } else { "" };
        Note::new("because", format!("{likely}{}", sentence(step, &seconds(next - step.at))))
    })
}

fn sentence(step: &Step, after: &str) -> String {
    let Step { sent, to, status, how, .. } = step;
    let to = short(to);
    let got = |sent: &Sent| format!("{to} got {}{}", sent.signal, by(sent));
    let end = || match (status, sent) {
        (Some(status), Some(sent)) if status.signal() == Some(sent.signal) => {
            format!("{to} {}{}", ended(*status), by(sent))
        }
        (Some(status), Some(sent)) => format!("{to} {}, having got {}{}", ended(*status), sent.signal, by(sent)),
        (Some(status), None) => format!("{to} {}", ended(*status)),
        (None, _) => to.clone(),
    };
    match (how, sent) {
        (How::Answer, Some(Sent { killer: Killer::Timer, .. })) => {
            format!("a timer of {to} ran out, and {after} later it did this")
        }
        (How::PassedOn, Some(sent)) => format!("{}, and passed it on {after} later", got(sent)),
        (How::Answer, Some(sent)) => format!("{}, and did this {after} later", got(sent)),
        (How::Escalation, Some(sent)) => format!("{}, and had not ended {after} later", got(sent)),
        (How::Before, Some(sent)) => format!("{to} had handled {}{} {after} before", sent.signal, by(sent)),
        (How::ChildEnded, _) => format!("{}; its parent did this {after} later", end()),
        (_, _) => format!("{}, {after} before", end()),
    }
}

/// Where a signal came from, as part of a sentence: ` from sh (pid 12)`.
pub(super) fn by(sent: &Sent) -> String {
    match (sent.killer, &sent.sender) {
        (Killer::ParentDeath, Sender::Process(parent)) => {
            format!(" at the end of its parent {}, or of a thread of it", short(parent))
        }
        (Killer::TracerExit, Sender::Process(tracer)) => format!(" at the end of its tracer {}", short(tracer)),
        (Killer::HangUp, Sender::Process(leader)) => format!(" at the end of {}", short(leader)),
        (_, Sender::Process(sender)) => match sent.asked_by.first() {
            Some(client) => format!(" from {} by {}", short(client), short(sender)),
            None => format!(" from {}", short(sender)),
        },
        (Killer::Terminal, _) => match key(sent.signal) {
            Some(key) => format!(" from its terminal ({key})"),
            None => " from its terminal".to_owned(),
        },
        (Killer::NamespaceEnd, _) => " at the end of its pid namespace".to_owned(),
        (Killer::Oom, _) => " from the out-of-memory killer".to_owned(),
        (Killer::Fault, _) => " after a fault".to_owned(),
        (_, Sender::Kernel(_)) => " from the kernel".to_owned(),
        (_, Sender::Unknown) => String::new(),
    }
}

/// The key that sends it.
pub(super) fn key(signal: Signal) -> Option<&'static str> {
    match signal {
        Signal::INT => Some("Ctrl-C"),
        Signal::QUIT => Some("Ctrl-\\"),
        _ => None,
    }
}

/// The process to ask why, if one started it all.
pub(super) fn first(origin: &[Step]) -> Option<&Identity> {
    let sent = origin.first()?.sent.as_ref()?;
    match (&sent.asked_by[..], &sent.sender) {
        ([client, ..], _) => Some(client),
        (_, Sender::Process(sender)) => Some(sender),
        _ => None,
    }
}

/// What that process did: the kernel sends some signals when a process ends.
pub(super) fn first_did(origin: &[Step], signal: &str) -> String {
    let killer = origin.first().and_then(|step| step.sent.as_ref()).map(|sent| sent.killer);
    match killer {
        Some(Killer::ParentDeath | Killer::TracerExit | Killer::HangUp) => "ended".to_owned(),
        _ => format!("sent {signal}"),
    }
}

/// Whether it began with the end of a terminal.
pub(super) fn is_hang_up(origin: &[Step]) -> bool {
    let is_it = |sent: &Sent| sent.signal == Signal::HUP && matches!(sent.killer, Killer::HangUp | Killer::Terminal);
    origin.iter().filter_map(|step| step.sent.as_ref()).any(is_it)
}

/// The facts about a call or a key that sent to several processes.
pub(super) const CALL: FactDef = FactDef::new(
    "call",
    Kind::Record(CALL_FACTS),
    "the one call, or the one key, that sent it to all of a group; null if it was for one, or that is not known",
);

const CALL_FACTS: &[FactDef] = &[
    FactDef::new(
        "aim",
        Kind::Word(&["own-group", "group", "all", "foreground"]),
        "whom it was for: kill(0), kill(-group), kill(-1), or whoever was in the foreground of the terminal",
    ),
    FactDef::new("group", Kind::Count, "the number of the process group on the host; null of `all`").nullable(),
    FactDef::new("session", Kind::Process, "the leader of the session, if it is known").nullable(),
    FactDef::new("terminal", Kind::Text, "the terminal of the key, such as `/dev/pts/3`").nullable(),
    FactDef::new("sent", Kind::Count, "how many got it, of those that it could end and those that handle it"),
    FactDef::new("handled", Kind::Count, "how many of them handled it"),
    FactDef::new("handlers", Kind::Processes, "the first five of those"),
];

pub(super) fn call_facts(call: &Call) -> Facts {
    let aim = match (call.terminal, call.aim) {
        (Some(_), _) => "foreground",
        (None, Aim::OwnGroup) => "own-group",
        (None, Aim::All) => "all",
        (None, Aim::Group | Aim::One | Aim::Unknown) => "group",
    };
    Facts::of(
        CALL_FACTS,
        [
            ("aim", aim.into()),
            ("group", Some(call.group).filter(|&group| group != 0).into()),
            ("session", call.session.into()),
            ("terminal", call.terminal.map(|terminal| terminal.to_string()).into()),
            ("sent", call.sent.into()),
            ("handled", call.handled.into()),
            ("handlers", call.handlers.clone().into()),
        ],
    )
}

/// The processes that a call sent to, and those that handled it.
pub(super) fn call_note(call: &Call) -> Note {
    let group = match (call.terminal, call.aim) {
        (Some(terminal), _) => format!("process group {} in the foreground of {terminal}", call.group),
        (None, Aim::OwnGroup) => format!("its own process group {}, by one call", call.group),
        (None, Aim::All) => "all that it may signal, by one call (kill -1)".to_owned(),
        (None, Aim::Group | Aim::One | Aim::Unknown) => format!("process group {}, by one call", call.group),
    };
    let session = call.session.as_ref().filter(|_| call.terminal.is_some());
    let session = session.map_or_else(String::new, |leader| format!(", of the session of {}", short(leader)));
    let handled = match call.handled {
        0 => String::new(),
        handled => format!("; {} handled it", words::names(&call.handlers, handled)),
    };
    Note::new("sent to", format!("{group}{session}: {}{handled}", words::count(call.sent, "process", "processes")))
}
