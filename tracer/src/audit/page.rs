//! What `tracer audit` found, for a person and for a program.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::Serialize;

use crate::{
    audit::{Audit, Namespace, facts::Facts, stop::Forecast},
    console::style::{self, BAD, BOLD, CALM, DIM, GOOD, Screen, WARN},
    host::{Container, Room},
    sink::json::{Lines, line},
    summary::and_more,
};

/// How many processes are named.
const NAMED: usize = 5;

/// Prints a paragraph for each namespace, and a line that sums up. `pressure_at` is the percentage in use from which
/// pids and ptys count as running out.
///
/// # Errors
/// Only from writing.
pub fn print_text(audit: &Audit, pressure_at: u64, screen: Screen, mut out: impl Write) -> io::Result<()> {
    let Audit { namespaces, stopped, ptys, pids } = audit;
    for Namespace { init, container, signal, forecast, processes, zombies, outsiders, pids } in namespaces {
        let Forecast { acts, sure, why, fix } = forecast;
        let place = init.pid_ns.map_or_else(|| "a pid namespace".to_owned(), |ns| format!("pid namespace {ns}"));
        writeln!(
            out,
            "{} is pid 1 of {place}, {}",
            screen.paint(BOLD, init.name()),
            style::count(*processes as u64, "process")
        )?;
        if let Some(container) = container {
            paragraph(
                &mut out,
                screen,
                format_args!("{} {}", screen.paint(CALM, "container:"), style::container(container)),
            )?;
        }
        let (colour, what) = if *acts { (GOOD, "will act on") } else { (WARN, "will NOT act on") };
        let what = screen.paint(colour, what);
        paragraph(&mut out, screen, format_args!("{what} {signal} ({}): it {why}", sure.id()))?;
        if !fix.is_empty() {
            paragraph(&mut out, screen, format_args!("{} {fix}", screen.paint(GOOD, "fix:")))?;
        }
        if !init.unseen.is_empty() {
            paragraph(&mut out, screen, format_args!("which signals it waits for is not known: {}", init.unseen))?;
        }
        if !zombies.is_empty() {
            let count = style::count(zombies.len() as u64, "zombie");
            paragraph(&mut out, screen, format_args!("{} unreaped: {}", screen.paint(BAD, count), list(zombies)))?;
        }
        if !outsiders.is_empty() {
            paragraph(&mut out, screen, format_args!("came in from outside: {}", list(outsiders)))?;
        }
        if let Some(room) = pids.filter(|room| room.is_short(pressure_at)) {
            paragraph(&mut out, screen, format_args!("{} {}", screen.paint(BAD, "pids are running out:"), of(room)))?;
        }
        writeln!(out)?;
    }
    let deaf = namespaces.iter().filter(|namespace| !namespace.forecast.acts).count();
    let unreaped: usize = namespaces.iter().map(|namespace| namespace.zombies.len()).sum();
    writeln!(
        out,
        "{}: {deaf} will not act on the stop signal, {} unreaped",
        style::count(namespaces.len() as u64, "pid namespace"),
        style::count(unreaped as u64, "zombie"),
    )?;
    if !stopped.is_empty() {
        let what = format!("{} stopped until SIGCONT:", style::count(stopped.len() as u64, "process"));
        let pids: Vec<_> = stopped.iter().take(NAMED).map(|one| one.pid.to_string()).collect();
        writeln!(out, "{} {} (kill -CONT {})", screen.paint(BAD, what), list(stopped), pids.join(" "))?;
    }
    let mut runs_out = |what: &str, all: Room, short: Room, note: &str| {
        let style = if short.is_short(pressure_at) { BAD } else { DIM };
        writeln!(out, "{}", screen.paint(style, format_args!("{what} of this machine: {}{note}", of(all))))
    };
    if let Some(ptys) = *ptys {
        let left = match ptys.reserve {
            0 => String::new(),
            reserve => {
                format!(
                    " ({reserve} of them for the host alone; containers can open {} more)",
                    ptys.of_containers().free()
                )
            }
        };
        runs_out("ptys", ptys.room, ptys.of_containers(), &left)?;
    }
    if let Some(pids) = *pids {
        runs_out("pids", pids, pids, "")?;
    }
    out.flush()
}

fn paragraph(out: &mut impl Write, screen: Screen, text: std::fmt::Arguments<'_>) -> io::Result<()> {
    const MARGIN: usize = 4;
    for line in style::wrap(&text.to_string(), screen.width.map(|width| width - MARGIN)) {
        writeln!(out, "{:MARGIN$}{line}", "")?;
    }
    Ok(())
}

fn list(processes: &[Facts]) -> String {
    let named: Vec<_> = processes.iter().take(NAMED).map(Facts::name).collect();
    and_more(&named, processes.len() as u64)
}

fn of(Room { used, most }: Room) -> String {
    format!("{used} of {most}")
}

/// A process as `/proc` shows it.
#[derive(Serialize)]
pub(crate) struct Seen<'a> {
    pid: i32,
    ns_pid: Option<i32>,
    comm: &'a str,
    argv: Vec<Cow<'a, str>>,
}

impl<'a> From<&'a Facts> for Seen<'a> {
    fn from(facts: &'a Facts) -> Self {
        Self { pid: facts.pid, ns_pid: facts.ns_pids.last().copied(), comm: &facts.comm, argv: line::argv(&facts.argv) }
    }
}

#[derive(Serialize)]
struct Limit {
    used: u64,
    most: u64,
}

impl From<Room> for Limit {
    fn from(Room { used, most }: Room) -> Self {
        Self { used, most }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "audit")]
struct Line<'a> {
    process: Seen<'a>,
    pid_ns: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a Container>,
    processes: usize,
    signal: String,
    acts: bool,
    sure: &'static str,
    why: &'a str,
    fix: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unseen: &'a str,
    zombies: Vec<Seen<'a>>,
    outsiders: Vec<Seen<'a>>,
    pids: Option<Limit>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "audit-machine")]
struct Machine<'a> {
    ptys: Option<Limit>,
    pids: Option<Limit>,
    stopped: Vec<Seen<'a>>,
}

/// Prints a line for each namespace, and one for the machine; see `docs/json.md`.
///
/// # Errors
/// Only from writing.
pub fn print_json(audit: &Audit, out: impl Write) -> io::Result<()> {
    let Audit { namespaces, stopped, ptys, pids } = audit;
    let mut lines = Lines::new(out);
    for Namespace { init, container, signal, forecast, processes, zombies, outsiders, pids } in namespaces {
        let Forecast { acts, sure, why, fix } = forecast;
        lines.print(&Line {
            process: init.into(),
            pid_ns: init.pid_ns,
            container: container.as_ref(),
            processes: *processes,
            signal: signal.to_string(),
            acts: *acts,
            sure: sure.id(),
            why,
            fix,
            unseen: init.unseen,
            zombies: zombies.iter().map(Into::into).collect(),
            outsiders: outsiders.iter().map(Into::into).collect(),
            pids: pids.map(Into::into),
        })?;
    }
    let stopped = stopped.iter().map(Into::into).collect();
    lines.print(&Machine { ptys: ptys.map(|ptys| ptys.room.into()), pids: pids.map(Into::into), stopped })?;
    lines.flush()
}
