//! For a person on call: findings as sentences, events in columns, loss at once and loudly.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write},
};

use anstyle::Style;
use jiff::{civil::Date, tz::TimeZone};

use crate::{
    console::style::{self, BAD, BOLD, DIM, GOOD, Screen, WARN},
    diagnostic::Diagnostic,
    event::Loss,
    filter::Filter,
    finding::{Finding, Note, Stage},
    host::StartInfo,
    ident::{escape, quote},
    kind::Kind,
    occurrence::Occurrence,
    sink::{
        Sink,
        alike::Together,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::{Summary, seconds},
    time::BootNs,
    world::World,
    zone::timestamp,
};

mod event;
mod summary;

pub use summary::kinds as kinds_lost;

/// Columns before the text of a line: `14:02:11.123` and two blanks.
const MARGIN: usize = 14;

/// Prints what is selected of each step.
pub struct Text<W: Write> {
    select: Select,
    printer: Printer<W>,
}

/// The output and how it looks.
struct Printer<W: Write> {
    out: BufWriter<W>,
    screen: Screen,
    zone: TimeZone,
    /// Of the last line: a run can last longer than a day.
    day: Option<Date>,
    ring_size: u32,
}

impl<W: Write> Text<W> {
    /// Findings that pass the filter, and events of those kinds that do; times of day in that
    /// zone.
    pub fn new(out: W, screen: Screen, zone: TimeZone, filter: Filter, kinds: &[Kind]) -> Self {
        let printer = Printer { out: BufWriter::new(out), screen, zone, day: None, ring_size: 0 };
        Self { select: Select::new(filter, kinds), printer }
    }

    /// Folds similar findings: prints the first few, then how many more there are.
    #[must_use]
    pub fn few(self) -> Self {
        Self { select: self.select.few(), ..self }
    }

    /// Returns the output, without what was not flushed.
    pub fn into_inner(self) -> W {
        self.printer.out.into_parts().0
    }
}

impl<W: Write> Sink for Text<W> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, printer } = self;
        select.step(world, step, |moment, item| printer.item(world, moment, &item))
    }

    fn show_from(&mut self, from: BootNs) {
        self.select.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.printer.out.flush()
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        let Self { select, printer } = self;
        select.finish(world, |moment, item| printer.item(world, moment, &item))?;
        summary::print(&mut printer.out, printer.screen, world, summary, select.shown())?;
        printer.out.flush()
    }
}

impl<W: Write> Printer<W> {
    fn item(&mut self, world: &World, moment: Moment, item: &Item<'_>) -> io::Result<()> {
        let Moment { at, cpu: _, seq: _ } = moment;
        match item {
            Item::Start(info) => self.start(world, at, info),
            Item::Event(event) => self.event(world, at, event),
            // Whatever is shown about it carries its name.
            Item::Container(_) => Ok(()),
            Item::Finding(finding) => self.finding(world, finding, None),
            Item::Repeated(last, times) => self.finding(world, last, Some(times)),
            Item::Lost(loss) => self.lost(world, at, loss),
            Item::Limited(what) => self.line(world, at, WARN, "limited", what),
            Item::Whole => self.line(
                world,
                at,
                GOOD,
                "whole",
                "compared with the kernel: every process is known again; what happened in between stays unknown",
            ),
        }
    }

    /// The time of day, preceded by a line with the date if that is a new one.
    fn time(&mut self, world: &World, at: BootNs) -> io::Result<String> {
        let time = timestamp(at, world.wall_offset_ns()).to_zoned(self.zone.clone());
        let day = time.date();
        if self.day.replace(day).is_some_and(|before| before != day) {
            writeln!(self.out, "{}", self.screen.paint(DIM, day))?;
        }
        Ok(time.strftime("%H:%M:%S%.3f").to_string())
    }

    /// A line of the form `time  word  what`, broken where the screen ends.
    fn line(&mut self, world: &World, at: BootNs, style: Style, word: &str, what: &str) -> io::Result<()> {
        let time = self.time(world, at)?;
        write!(self.out, "{}  {:<8} ", self.screen.paint(DIM, time), self.screen.paint(style, word))?;
        self.indented(MARGIN + 9, "", style, what)
    }

    /// A text of which all lines but the first are indented. `lead` stands before it in colour.
    fn indented(&mut self, margin: usize, lead: &str, style: Style, what: &str) -> io::Result<()> {
        let width = self.screen.width.map(|width| width.saturating_sub(margin).max(20));
        let text = format!("{lead}{what}");
        for (i, line) in style::wrap(&text, width).iter().enumerate() {
            match line.strip_prefix(lead) {
                Some(rest) if i == 0 => writeln!(self.out, "{}{rest}", self.screen.paint(style, lead))?,
                _ => writeln!(self.out, "{:margin$}{line}", "")?,
            }
        }
        Ok(())
    }

    fn start(&mut self, world: &World, at: BootNs, info: &StartInfo) -> io::Result<()> {
        let StartInfo {
            version,
            kernel,
            boot_id: _,
            host,
            wall_offset_ns: _,
            hooks,
            degraded,
            ring_size,
            all_signals: _,
            fatal_signals: _,
            forwarded_signals: _,
            all_deliveries: _,
            arguments: _,
            has_command: _,
            thresholds: _,
        } = info;
        self.ring_size = *ring_size;
        let now = timestamp(at, world.wall_offset_ns()).to_zoned(self.zone.clone());
        self.day = Some(now.date());
        let watched = format!(
            "watching {} in {}, {} among them",
            style::count(world.process_count() as u64, "process"),
            style::count(world.namespace_count() as u64, "pid namespace"),
            style::count(world.zombie_count() as u64, "zombie"),
        );
        self.indented(
            2,
            &format!("tracer {}", quote(version)),
            BOLD,
            &format!(" on {}, Linux {}: {watched}", quote(host), quote(kernel)),
        )?;
        writeln!(
            self.out,
            "{}, ring buffer of {}; it is {}",
            style::count(hooks.len() as u64, "hook"),
            style::size(u64::from(*ring_size)),
            now.strftime("%Y-%m-%d %H:%M:%S %Z"),
        )?;
        for sentence in degraded {
            self.indented(2, "limited: ", WARN, &escape(sentence.as_bytes()))?;
        }
        Ok(())
    }

    fn event(&mut self, world: &World, at: BootNs, event: &Occurrence<'_>) -> io::Result<()> {
        let time = self.time(world, at)?;
        write!(self.out, "{}  {:<8} ", self.screen.paint(DIM, time), event.kind().id())?;
        event::print(&mut self.out, self.screen, world, event)
    }

    fn finding(&mut self, world: &World, finding: &Finding, repeated: Option<&Together>) -> io::Result<()> {
        let Finding { stage, at, since, .. } = finding;
        let lead = format!("{} ", self.time(world, *at)?);
        let mut more = Vec::new();
        let remark = match (stage, repeated) {
            (_, Some(Together { count, signals })) => {
                if signals.len() > 1 {
                    let signals: Vec<_> = signals.iter().map(|(signal, n)| format!("{signal} {n}")).collect();
                    more.push(Note::new("signals", signals.join(", ")));
                }
                format!("{count} more within {}, the last: ", seconds(*at - *since))
            }
            (Stage::Ongoing, None) => "still: ".to_owned(),
            (Stage::New | Stage::Resolved | Stage::Withdrawn, None) => String::new(),
        };
        // The fix was printed with the first report.
        let with_fixes = *stage == Stage::New && repeated.is_none();
        Diagnostic { lead: &lead, remark: &remark, more, with_fixes, ..Diagnostic::new(finding) }
            .print(&mut self.out, self.screen)
    }

    fn lost(&mut self, world: &World, at: BootNs, loss: &Loss) -> io::Result<()> {
        let Loss { ring: _, undecodable, missed, unreadable } = loss;
        let in_ring = loss.in_ring();
        let mut what = Vec::new();
        if in_ring > 0 {
            let hint = match self.ring_size.checked_mul(2) {
                Some(double) if (1..=1 << 30).contains(&double) => {
                    format!("; try --ring-size {}", style::size(u64::from(double)).replace(' ', ""))
                }
                _ => String::new(),
            };
            let records = style::count(in_ring, "record");
            what.push(format!("{records} found no room in the ring buffer ({}){hint}", summary::kinds(loss)));
        }
        if *undecodable > 0 {
            let records = style::count(*undecodable, "record");
            what.push(format!("{records} could not be decoded: a bug of tracer, please report it"));
        }
        if *missed > 0 {
            let events = style::count(*missed, "event");
            what.push(format!("{events} came while our program was running already on that processor"));
        }
        if *unreadable > 0 {
            let records = style::count(*unreadable, "record");
            what.push(format!("{records} could not be read back: the trace is damaged here"));
        }
        self.line(world, at, BAD, "LOST", &what.join("; "))
    }
}

/// Writes `label  value` with the values below each other.
fn row(out: &mut impl Write, screen: Screen, label: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "  {:<9} {value}", screen.paint(DIM, label))
}
