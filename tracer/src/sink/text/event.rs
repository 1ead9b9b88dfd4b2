//! An event as one line of columns.

use std::io::{self, Write};

use crate::{
    change::{AdopterClass, Signalled},
    console::style::{self, BAD, DIM, Screen, WARN},
    event::ExitStatus,
    ident::Identity,
    occurrence::Occurrence,
    signal::{KernelSender, Sender, Verdict},
    summary::seconds,
    world::World,
};

/// Columns for the processes of a line; longer names push the rest to the right.
const PARTIES: usize = 40;

/// Writes what happened, without time and kind, up to the end of the line.
pub(super) fn print(out: &mut impl Write, screen: Screen, world: &World, event: &Occurrence<'_>) -> io::Result<()> {
    let short = |identity: &Identity| short(world, identity);
    let or_unknown = |identity: Option<&Identity>| identity.map_or_else(|| "?".into(), short);
    match event {
        Occurrence::Fork { process, parent, creator } => {
            let parties = format!("{} -> {}", or_unknown(parent.as_ref()), short(process));
            match creator {
                Some(creator) => {
                    writeln!(out, "{} made by {} (CLONE_PARENT)", style::pad(&parties, PARTIES), short(creator))
                }
                None => writeln!(out, "{parties}"),
            }
        }
        Occurrence::Exec { process, before, args } => {
            let was = if before.comm == process.comm { String::new() } else { format!("(was {}) ", before.comm) };
            writeln!(out, "{} {was}{args}", style::pad(&short(process), PARTIES))
        }
        Occurrence::Exit { process, owed_by, status, leader_only, autoreap, adopter } => {
            write!(out, "{} ", style::pad(&short(process), PARTIES))?;
            if *leader_only {
                write!(out, "only the main thread, ")?;
            }
            write!(out, "{}", how(*status))?;
            if *autoreap {
                write!(out, ", leaves no zombie")?;
            } else if let (false, Some(owed_by)) = (*leader_only, owed_by) {
                write!(out, ", to be reaped by {}", short(owed_by))?;
            }
            if let Some((class, adopter)) = adopter {
                let why = match class {
                    AdopterClass::Thread => "another thread",
                    AdopterClass::Subreaper => "subreaper",
                    AdopterClass::NamespaceInit => "init of the namespace",
                };
                write!(out, "; its children go to {} ({why})", short(adopter))?;
            }
            writeln!(out)
        }
        Occurrence::Reap { process, by, zombie_for, exact } => {
            write!(out, "{}", style::pad(&short(process), PARTIES))?;
            if let Some(by) = by {
                write!(out, " by {}", short(by))?;
            }
            if let Some(call) = exact.and_then(|exact| exact.call) {
                write!(out, " in {}", call.id())?;
            }
            let at_most = if exact.is_none() { "at most " } else { "" };
            match zombie_for {
                Some(ns) => writeln!(out, " {}", screen.paint(DIM, format_args!("after {at_most}{}", seconds(*ns)))),
                None => writeln!(out, " {}", screen.paint(DIM, "(its end was not seen)")),
            }
        }
        Occurrence::Signal(signalled) => {
            let Signalled { signal, sender, target, .. } = signalled;
            let parties = format!("{} -> {}", from(world, sender), short(target));
            write!(out, "{signal:<11} {} ", style::pad(&parties, PARTIES - 12))?;
            verdict(out, screen, signalled)
        }
        Occurrence::Deliver(signalled) => {
            let Signalled { signal, target, .. } = signalled;
            write!(out, "{signal:<11} {} ", style::pad(&short(target), PARTIES - 12))?;
            verdict(out, screen, signalled)
        }
    }
}

/// What became of a signal; emphasized if somebody may wait for it in vain.
fn verdict(out: &mut impl Write, screen: Screen, signalled: &Signalled) -> io::Result<()> {
    let id = signalled.verdict.id();
    match signalled.verdict {
        Verdict::InitNoHandler | Verdict::KillFromInside | Verdict::DroppedAtDelivery => {
            writeln!(out, "{}", screen.paint(BAD, format_args!("DROPPED {id}")))
        }
        Verdict::QueueOverflow | Verdict::InfoLost => {
            writeln!(out, "{}", screen.paint(BAD, format_args!("LOST {id}")))
        }
        Verdict::Queued => writeln!(out, "{}", screen.paint(WARN, "queued, waits")),
        Verdict::Merged => writeln!(out, "{}", screen.paint(WARN, "merged with one that is pending")),
        Verdict::Delivered if signalled.result.is_none() => writeln!(out, "taken"),
        Verdict::Delivered => writeln!(out, "{id}"),
        Verdict::IgnoredByChoice | Verdict::IgnoredByDefault | Verdict::TargetExiting | Verdict::KernelThread => {
            writeln!(out, "{}", screen.paint(DIM, id))
        }
    }
}

/// `sleep(981)`; `sleep(981|1)` if its pid inside its namespace differs, and `sleep(981|1)@web` if it belongs to a
/// container.
fn short(world: &World, identity: &Identity) -> String {
    let Identity { key, comm: _, pid_ns: _, ns_pid, ns_level, container: _ } = identity;
    let name = identity.comm;
    let inside = if *ns_level > 0 { format!("|{ns_pid}") } else { String::new() };
    let container = world.container_of(identity);
    let container = container.map_or_else(String::new, |container| format!("@{}", container.shown()));
    format!("{name}({}{inside}){container}", key.tgid)
}

fn from(world: &World, sender: &Sender) -> String {
    match sender {
        Sender::Process(identity) => short(world, identity),
        Sender::Kernel(KernelSender::Other) => "kernel".into(),
        Sender::Kernel(why) => format!("kernel({})", why.id()),
        Sender::Unknown => "?".into(),
    }
}

fn how(status: ExitStatus) -> String {
    status.signal().map_or_else(|| format!("code {}", status.code()), |signal| format!("killed by {signal}"))
}
