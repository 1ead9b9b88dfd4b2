//! Comma-separated values: one line for each event, finding and loss, for spreadsheets.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    change::{ExactReap, Signalled},
    event::{ExitStatus, Loss, WaitCall},
    filter::Filter,
    finding::{Confidence, Facts, Finding, Role, Value},
    ident::Identity,
    kind::Kind,
    occurrence::Occurrence,
    signal::Sender,
    sink::{
        Sink,
        export::{container, others},
        json::Wall,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::Summary,
    time::{BootNs, Seq, Span},
    world::World,
};

/// Writes a header, then one line per item.
pub struct Csv<W: Write> {
    select: Select,
    out: csv::Writer<W>,
}

impl<W: Write> Csv<W> {
    /// Everything into that output, buffered here.
    pub fn new(out: W) -> Self {
        Self { select: Select::new(Filter::default(), &Kind::ALL), out: csv::Writer::from_writer(out) }
    }
}

/// A line. Its fields are the columns, in order, and their names are the header.
#[derive(Default, Serialize)]
struct Line {
    #[serde(rename = "type")]
    type_: &'static str,
    kind: &'static str,
    at: Option<Wall>,
    at_boot_ns: BootNs,
    cpu: Option<u16>,
    seq: Option<Seq>,
    pid: Option<u32>,
    start_boot_ns: Option<BootNs>,
    comm: Option<Text>,
    pid_ns: Option<u32>,
    ns_pid: Option<u32>,
    ns_level: Option<u32>,
    container: Option<Text>,
    container_id: Option<Text>,
    /// What the `other_…` process is to the process.
    other: Option<&'static str>,
    other_pid: Option<u32>,
    other_start_boot_ns: Option<BootNs>,
    other_comm: Option<Text>,
    other_pid_ns: Option<u32>,
    signal: Option<String>,
    code: Option<i32>,
    result: Option<&'static str>,
    verdict: Option<&'static str>,
    status_code: Option<i32>,
    status_signal: Option<String>,
    leader_only: Option<bool>,
    command: Option<Text>,
    call: Option<&'static str>,
    duration_ns: Option<Span>,
    lost: Option<u64>,
    severity: Option<&'static str>,
    stage: Option<&'static str>,
    confidence: Option<&'static str>,
    message: Option<Text>,
    fix: Option<Text>,
}

/// Text that others control. A spreadsheet takes a cell that begins with certain characters for a formula and may run
/// it, so such a cell gets a leading apostrophe, which spreadsheets read as "this is text".
/// spreadsheets take for "this is text".
#[derive(Serialize)]
struct Text(String);

impl Text {
    fn new(text: impl ToString) -> Self {
        let text = text.to_string();
        // In some locales the full-width forms count as the plain ones.
        let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
        Self(if is_formula { format!("'{text}") } else { text })
    }
}

impl Line {
    fn about(&mut self, world: &World, process: &Identity) {
        let Identity { key, comm, pid_ns, ns_pid, ns_level, container: _ } = process;
        self.pid = Some(key.tgid);
        self.start_boot_ns = Some(key.start);
        self.comm = Some(Text::new(comm.escaped()));
        self.pid_ns = Some(pid_ns.0);
        self.ns_pid = Some(*ns_pid);
        self.ns_level = Some(*ns_level);
        let text = |text: Option<String>| text.map(Text::new);
        let (container, container_id) = container(world, process);
        (self.container, self.container_id) = (text(container), text(container_id));
    }

    fn other(&mut self, role: &'static str, process: Option<&Identity>) {
        let Some(Identity { key, comm, pid_ns, ns_pid: _, ns_level: _, container: _ }) = process else { return };
        self.other = Some(role);
        self.other_pid = Some(key.tgid);
        self.other_start_boot_ns = Some(key.start);
        self.other_comm = Some(Text::new(comm.escaped()));
        self.other_pid_ns = Some(pid_ns.0);
    }

    fn sender(&mut self, sender: &Sender) {
        match sender {
            Sender::Process(identity) => self.other("sender", Some(identity)),
            Sender::Kernel(kernel) => {
                self.other = Some("kernel");
                self.other_comm = Some(Text::new(kernel.id()));
            }
            Sender::Unknown => {}
        }
    }

    fn status(&mut self, status: ExitStatus) {
        self.status_signal = status.signal().map(|signal| signal.to_string());
        self.status_code = self.status_signal.is_none().then_some(status.code());
    }

    fn fate(&mut self, world: &World, signalled: &Signalled) {
        self.about(world, &signalled.target);
        self.sender(&signalled.sender);
        self.signal = Some(signalled.signal.to_string());
        self.code = Some(signalled.seen_code());
        self.result = signalled.result_id();
        self.verdict = Some(signalled.verdict.id());
    }

    fn event(&mut self, world: &World, event: &Occurrence<'_>) {
        match event {
            Occurrence::Fork { process, parent, creator: _ } => {
                self.about(world, process);
                self.other("parent", parent.as_ref());
            }
            Occurrence::Exec { process, before: _, args } => {
                self.about(world, process);
                self.command = Some(Text::new(args));
            }
            Occurrence::Exit { process, owed_by, status, leader_only, autoreap: _, adopter: _ } => {
                self.about(world, process);
                self.other("owed_by", owed_by.as_ref());
                self.status(*status);
                self.leader_only = Some(*leader_only);
            }
            Occurrence::Reap { process, by, zombie_for, exact } => {
                self.about(world, process);
                self.other("by", by.as_ref());
                self.duration_ns = *zombie_for;
                self.call = exact.and_then(|ExactReap { call, .. }| call).map(WaitCall::id);
            }
            Occurrence::Signal(signalled) | Occurrence::Deliver(signalled) => self.fate(world, signalled),
        }
    }

    fn facts(&mut self, facts: &Facts) {
        if let Some(Value::Signal(signal)) = facts.first(Role::Signal).or_else(|| facts.first(Role::FatalSignal)) {
            self.signal = Some(signal.to_string());
        }
        if let Some(Value::Number(code)) = facts.own(Role::Code) {
            self.code = i32::try_from(*code).ok();
        }
        match others(facts) {
            Some(("sender", Value::Sender(sender))) => self.sender(sender),
            Some((role, value)) => self.other(role, value.processes().first()),
            None => {}
        }
        if let Some(Value::Status(status)) = facts.first(Role::Status) {
            self.status(*status);
        }
        if let Some(Value::Count(cost)) = facts.own(Role::Cost) {
            self.duration_ns = Some(Span(*cost));
        }
    }
}

fn event(world: &World, moment: Moment, event: &Occurrence<'_>) -> Line {
    let Moment { at, cpu, seq } = moment;
    let mut line = Line {
        type_: "event",
        kind: event.kind().id(),
        at: Some(Wall::new(world, at)),
        at_boot_ns: at,
        cpu: Some(cpu),
        seq: Some(seq),
        ..Line::default()
    };
    line.event(world, event);
    line
}

fn finding(world: &World, moment: Moment, finding: &Finding) -> Line {
    let Finding { rule, stage, at, process, confidence, facts, .. } = finding;
    let mut line = Line {
        type_: "finding",
        kind: rule.name,
        at: Some(Wall::new(world, *at)),
        at_boot_ns: *at,
        seq: Some(moment.seq),
        severity: Some(rule.severity.id()),
        stage: Some(stage.id()),
        confidence: Some(match confidence {
            Confidence::Certain => "certain",
            Confidence::Incomplete(_) => "incomplete",
        }),
        message: Some(Text::new(finding.message())),
        fix: Some(Text::new(finding.fix())),
        ..Line::default()
    };
    line.about(world, process);
    line.facts(facts);
    line
}

fn lost(world: &World, moment: Moment, loss: &Loss) -> Line {
    let Moment { at, cpu: _, seq } = moment;
    Line {
        type_: "lost",
        at: Some(Wall::new(world, at)),
        at_boot_ns: at,
        seq: Some(seq),
        lost: Some(loss.total()),
        ..Line::default()
    }
}

fn write<W: Write>(out: &mut csv::Writer<W>, world: &World, moment: Moment, item: &Item<'_>) -> io::Result<()> {
    let line = match item {
        Item::Event(it) => event(world, moment, it),
        Item::Finding(it) => finding(world, moment, it),
        Item::Lost(it) => lost(world, moment, it),
        // A table has no place for what comes once.
        Item::Start(_) | Item::Container(_) | Item::Limited(_) | Item::Whole => return Ok(()),
        // Each has its own row.
        Item::Repeated(..) => return Ok(()),
    };
    out.serialize(line).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    })
}

impl<W: Write> Sink for Csv<W> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, out } = self;
        select.step(world, step, |moment, item| write(out, world, moment, &item))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self, world: &World, _summary: &Summary) -> io::Result<()> {
        let Self { select, out } = self;
        select.finish(world, |moment, item| write(out, world, moment, &item))?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-2+3", "'-2+3"),
            ("＝1", "'＝1"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(Text::new(text).0, cell);
        }
    }
}
