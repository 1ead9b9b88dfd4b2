//! The life of a process as a page for a person.

use std::io::{self, Write};

use anstyle::Style;
use jiff::{Zoned, tz::TimeZone};

use super::{
    Sheet,
    words::{ended, executes, fate, outcome},
};
use crate::{
    change::{AdopterClass, Known},
    console::style::{self, BAD, DIM, Screen, WARN},
    diagnostic::Diagnostic,
    event::{ExitStatus, Roles},
    finding::{Finding, Note, Stage},
    host::Container,
    ident::{Identity, quote},
    rules::on_behalf,
    signal::{Sender, Signal, Verdict},
    sink::text::kinds_lost,
    summary::{and_more, seconds},
    time::{BootNs, Span},
    why::{
        Ends, WhoArg,
        recorded::{Candidate, Life, Page, Parent, Provenance, Reaped, Reason, Received, Sent, Stop, Zombie},
    },
    world::{State, World},
    zone::timestamp,
};

/// Prints the page, with times of day in that zone. `world` is as of the page's moment.
///
/// # Errors
/// Only from writing.
pub fn print(world: &World, page: &Page, screen: Screen, zone: &TimeZone, out: impl Write) -> io::Result<()> {
    let mut printer = Printer { sheet: Sheet::new(out, screen), world, page, zone };
    printer.who()?;
    printer.life()?;
    printer.received()?;
    printer.sent()?;
    printer.children()?;
    printer.findings()?;
    printer.stop()?;
    printer.others()?;
    printer.missing()?;
    printer.sheet.out.flush()
}

/// Like pid 1, kthreadd has no parent.
const KTHREADD: u32 = 2;

struct Printer<'a, W> {
    sheet: Sheet<W>,
    world: &'a World,
    page: &'a Page,
    zone: &'a TimeZone,
}

impl<W: Write> Printer<'_, W> {
    fn zoned(&self, at: BootNs) -> Zoned {
        timestamp(at, self.world.wall_offset_ns()).to_zoned(self.zone.clone())
    }

    /// The time of day, with the date if it differs from that of the page.
    fn clock(&self, at: BootNs) -> String {
        let time = self.zoned(at);
        let format = if time.date() == self.zoned(self.page.at).date() { "%H:%M:%S%.3f" } else { "%F %H:%M:%S" };
        time.strftime(format).to_string()
    }

    /// A process with its container.
    fn name(&self, identity: &Identity) -> String {
        let own = self.world.container_of(&self.page.life.process.identity()).map(|container| &container.id);
        match self.world.container_of(identity).filter(|container| Some(&container.id) != own) {
            Some(container) => format!("{identity} of {}", style::container(container)),
            None => identity.to_string(),
        }
    }

    fn or_unknown(&self, identity: Option<&Identity>) -> String {
        identity.map_or_else(|| "a process that was not seen".to_owned(), |identity| self.name(identity))
    }

    fn from(&self, sender: &Sender) -> String {
        match sender {
            Sender::Process(identity) if identity.key == self.page.life.process.key => "itself".to_owned(),
            Sender::Process(identity) => self.name(identity),
            sender => sender.to_string(),
        }
    }

    fn who(&mut self) -> io::Result<()> {
        let Page { life, at, began, start, provenance, .. } = self.page;
        let process = &life.process;
        let identity = process.identity();
        self.sheet.title(identity)?;
        let moment = |at: BootNs| self.zoned(at).strftime("%F %H:%M:%S %Z").to_string();
        let host = start.as_ref().map_or_else(String::new, |start| format!(" on {}", quote(&start.host)));
        let (from, until) = (moment(*began), moment(*at));
        let recorded = match provenance {
            Provenance::File(_) => "as recorded".to_owned(),
            Provenance::Memory(recorder) => format!("as the flight recorder (pid {recorder}) has it in memory"),
            Provenance::Written(recorder, file) => {
                format!("as the flight recorder (pid {recorder}) wrote it to {file}")
            }
        };
        self.sheet.text(&format!("{recorded}{host}, from {from} to {until}"))?;
        writeln!(self.sheet.out)?;
        let began = self.clock(process.key.start);
        self.sheet.word("pid", &format!("{}, since {began}", process.key.tgid))?;
        if process.ns_level > 0 {
            let init = if process.roles.init { ": it is its init" } else { "" };
            let (pid, ns, level) = (process.ns_pid, process.pid_ns, process.ns_level);
            self.sheet.word("inside", &format!("pid {pid} of pid namespace {ns} (level {level}){init}"))?;
        }
        if let Some(container) = self.world.container_of(&identity) {
            self.sheet.word(container.engine.noun(), &style::container(container))?;
        }
        if !process.args.is_empty() {
            self.sheet.word("command", &process.args.to_string())?;
        }
        let Roles { init: _, subreaper, outsider, kthread } = process.roles;
        for (is_so, what) in [
            (subreaper, "a subreaper: it asked for the orphans among its descendants"),
            (outsider, "an outsider: it came into its pid namespace from outside"),
            (kthread, "a kernel thread"),
        ] {
            if is_so {
                self.sheet.word("is", what)?;
            }
        }
        let state = self.state();
        self.sheet.word("state", &state)?;
        self.choice()
    }

    /// Why it is this one, if it could be another.
    fn choice(&mut self) -> io::Result<()> {
        let Page { asked, reason, other_count, life, .. } = self.page;
        if *other_count == 0 {
            return Ok(());
        }
        let status = life.process.death().map(|death| death.status);
        let code = status.map_or(0, ExitStatus::code);
        let why = match reason {
            Reason::Asked => "it had the pid at that moment".to_owned(),
            Reason::Killed => "a signal ended it".to_owned(),
            Reason::Failed => format!("it ended with code {code}"),
            Reason::Found => "a finding is about it".to_owned(),
            Reason::Alive => "it lives".to_owned(),
            Reason::First => "none of the others started it".to_owned(),
            Reason::Last => "it is the last of them".to_owned(),
        };
        let asked = match asked {
            WhoArg::Pid(pid, _) => format!("with pid {pid}"),
            WhoArg::Name(name) => format!("called {}", quote(name.to_string())),
        };
        let others = if *other_count == 1 { "the other is named below" } else { "the others are named below" };
        self.sheet.word("chosen", &format!("of {} processes {asked}: {why}; {others}", other_count + 1))
    }

    fn state(&self) -> String {
        let Page { life, at, owed_by, .. } = self.page;
        if let Some(Reaped { at: gone, .. }) = life.reaped {
            return format!("gone for {}", seconds(*at - gone));
        }
        match &life.process.state {
            State::Running => "alive".to_owned(),
            State::LeaderDead { live, .. } => {
                format!("its main thread has ended; {} left", style::count(u64::from(*live), "thread"))
            }
            State::Dead(_) if !life.process.is_zombie() => "has ended; nobody has to wait for it".to_owned(),
            State::Dead(death) => {
                let least = if death.exact { "" } else { "at least " };
                let age = seconds(*at - death.zombie_since());
                format!("zombie for {least}{age}; {} has to wait for it", self.or_unknown(owed_by.as_ref()))
            }
        }
    }

    fn life(&mut self) -> io::Result<()> {
        self.sheet.heading("Life")?;
        let mut moments = vec![self.birth()];
        let Life { process, programs, parents, leader_died, autoreap, reaped, .. } = &self.page.life;
        moments.extend(programs.iter().skip(1).map(|program| (program.at, executes(program))));
        moments.extend(parents.iter().skip(1).map(|parent| (parent.at, self.parent(parent))));
        let left_out = programs.left_out() + parents.left_out();
        moments.extend(leader_died.map(|at| (at, "its main thread ended, and others lived on".to_owned())));
        if let Some(death) = process.death() {
            let by_then = if death.exact { "" } else { " (at the latest)" };
            let autoreap = if *autoreap { ", and leaves no zombie" } else { "" };
            let oom = if death.oom { ", as the machine or its group ran out of memory" } else { "" };
            moments.push((death.at, format!("{}{by_then}{oom}{autoreap}", ended(death.status))));
        }
        moments.extend(reaped.as_ref().map(|reaped| (reaped.at, self.reap(reaped))));
        // Moments at the same time stay in the order of a life.
        moments.sort_by_key(|&(at, _)| at);
        for (at, text) in moments {
            let clock = self.clock(at);
            self.sheet.entry(DIM, &clock, &text)?;
        }
        self.left_out(left_out, "such moment", "in the middle of it")
    }

    fn birth(&self) -> (BootNs, String) {
        let Page { life, began, .. } = self.page;
        let start = life.process.key.start;
        let first = life.parents.iter().next();
        let parent = first.and_then(|first| first.parent.as_ref());
        let as_found = match parent {
            Some(parent) => format!(" as a child of {}", self.name(parent)),
            None if life.process.key.tgid <= KTHREADD => String::new(),
            None => "; its parent was not seen".to_owned(),
        };
        let text = if life.is_born {
            let parent = self.or_unknown(parent);
            let made = life
                .creator
                .as_ref()
                .map_or_else(String::new, |creator| format!("; {} made it (CLONE_PARENT)", self.name(creator)));
            format!("born to {parent}{made}")
        } else if start < *began {
            let when = first.map_or_else(String::new, |first| format!(" at {}", self.clock(first.at)));
            format!("born before the recording, which found it{when}{as_found}")
        } else {
            format!("born; that was not seen, it was found later{as_found}")
        };
        (start, text)
    }

    fn parent(&self, parent: &Parent) -> String {
        let Parent { at: _, parent, adoption } = parent;
        let to = self.or_unknown(parent.as_ref());
        let Some((from, class, known)) = adoption else {
            return format!("is found as a child of {to}; how it came to it was not seen");
        };
        let why = match class {
            AdopterClass::Thread => "another thread of the same process",
            AdopterClass::Subreaper => "the nearest living ancestor that asks for orphans",
            AdopterClass::NamespaceInit if parent.is_some_and(|parent| parent.ns_level == 0) => "the init of the host",
            AdopterClass::NamespaceInit => "the init of the pid namespace",
        };
        let known = match known {
            Known::Exact => "exact",
            Known::Verified => "confirmed by a look",
            Known::Predicted => "predicted, not confirmed",
        };
        format!("adopted by {to}, {why}, as {} ended ({known})", self.name(from))
    }

    fn reap(&self, reaped: &Reaped) -> String {
        let Reaped { at: _, by, zombie_for, exact } = reaped;
        let by = match by {
            Some(by) => format!("reaped by {}", self.name(by)),
            None => "gone, and nobody had to wait for it".to_owned(),
        };
        let call = exact.and_then(|exact| exact.call).map_or_else(String::new, |call| format!(" in {}", call.id()));
        let at_most = if exact.is_none() { "at most " } else { "" };
        match zombie_for {
            Some(ns) if *ns < Span::MICROSECOND => format!("{by}{call}, at once"),
            Some(ns) => format!("{by}{call}, after {at_most}{} as a zombie", seconds(*ns)),
            None => format!("{by}{call}; its end was not seen"),
        }
    }

    fn received(&mut self) -> io::Result<()> {
        let Life { received, .. } = &self.page.life;
        self.sheet.heading("Signals to it")?;
        self.both(received, "other signal", |printer, received| {
            let Received { signal, sender, has_others, verdict, is_taken: _, count, at, last_at, taken } = received;
            let others = if *has_others { " and others" } else { "" };
            let times = printer.times(*count, *last_at);
            let (style, what) = fate(*verdict);
            let taken = match (taken, verdict) {
                (0, _) | (_, Verdict::DroppedAtDelivery) => String::new(),
                (1, _) if *count == 1 => "; it was taken from the queue".to_owned(),
                (n, _) => format!("; {n} were taken from the queue"),
            };
            let from = printer.from(sender);
            (*at, style, format!("{signal} from {from}{others}{times}: {what}{taken}"))
        })
    }

    fn sent(&mut self) -> io::Result<()> {
        let Life { sent, .. } = &self.page.life;
        if sent.is_empty() {
            return Ok(());
        }
        self.sheet.heading("Signals that it sent")?;
        self.both(sent, "other signal", |printer, sent| {
            let Sent { signal, target, verdict, count, at, last_at } = sent;
            let times = printer.times(*count, *last_at);
            let (style, what) = fate(*verdict);
            let is_own = target.key == printer.page.life.process.key;
            let to = if is_own { "itself".to_owned() } else { printer.name(target) };
            (*at, style, format!("{signal} to {to}{times}: {what}"))
        })
    }

    fn times(&self, count: u64, last_at: BootNs) -> String {
        if count == 1 { String::new() } else { format!(", {count} times until {}", self.clock(last_at)) }
    }

    /// Both ends of a list of moments, and how many are missing between them.
    fn both<T>(
        &mut self,
        ends: &Ends<T>,
        noun: &str,
        line: impl Fn(&Self, &T) -> (BootNs, Style, String),
    ) -> io::Result<()> {
        if ends.is_empty() {
            return self.sheet.text("none was recorded");
        }
        for one in ends.first() {
            self.moment(line(self, one))?;
        }
        self.left_out(ends.left_out(), noun, "in between")?;
        for one in ends.last() {
            self.moment(line(self, one))?;
        }
        Ok(())
    }

    fn moment(&mut self, (at, style, text): (BootNs, Style, String)) -> io::Result<()> {
        let clock = self.clock(at);
        self.sheet.entry(style, &clock, &text)
    }

    fn left_out(&mut self, count: u64, noun: &str, place: &str) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.sheet.entry(DIM, "…", &format!("{} {place}, left out here", style::count(count, noun)))
    }

    fn children(&mut self) -> io::Result<()> {
        let Page { life, zombies, zombie_count, children, child_count, .. } = self.page;
        let Life { children_born, children_adopted, children_reaped, .. } = life;
        if children_born + children_adopted + children_reaped + zombie_count + child_count == 0 {
            return Ok(());
        }
        self.sheet.heading("Children")?;
        let seen =
            [(children_born, "born to it"), (children_adopted, "adopted by it"), (children_reaped, "reaped by it")];
        let seen: Vec<_> = seen.iter().filter(|(n, _)| **n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !seen.is_empty() {
            self.sheet.word("seen", &seen.join(", "))?;
        }
        if *child_count > 0 {
            let names: Vec<_> = children.iter().map(|child| self.name(child)).collect();
            self.sheet.word("alive", &and_more(&names, *child_count))?;
        }
        for Zombie { process, age, is_lower_bound, status } in zombies {
            let least = if *is_lower_bound { "at least " } else { "" };
            let text = format!("{} for {least}{}: {}", self.name(process), seconds(*age), ended(*status));
            self.sheet.entry(BAD, "owes a wait", &text)?;
        }
        self.left_out(zombie_count - zombies.len() as u64, "zombie", "more")
    }

    fn findings(&mut self) -> io::Result<()> {
        let Life { findings, .. } = &self.page.life;
        self.sheet.heading("Findings")?;
        if findings.is_empty() {
            return self.sheet.text("none about it");
        }
        let mut fixes = Vec::new();
        for one in findings.first() {
            self.finding(one, &mut fixes)?;
        }
        self.left_out(findings.left_out(), "finding", "in between")?;
        for one in findings.last() {
            self.finding(one, &mut fixes)?;
        }
        Ok(())
    }

    /// `fixes` are those that the page has already shown.
    fn finding<'a>(&mut self, (finding, count): &'a (Finding, u64), fixes: &mut Vec<&'a [String]>) -> io::Result<()> {
        let Finding { stage, at, fixes: own, .. } = finding;
        let times = if *count == 1 { String::new() } else { format!("{count} times: ") };
        let still = if *stage == Stage::Ongoing { "still: " } else { "" };
        let with_fixes = !fixes.contains(&own.as_slice());
        fixes.push(own);
        let more = if with_fixes || own.is_empty() { Vec::new() } else { vec![Note::new("fix", "as above")] };
        let (lead, remark) = (format!("  {} ", self.clock(*at)), format!("{times}{still}"));
        let diagnostic =
            Diagnostic { lead: &lead, gutter: "  ", remark: &remark, more, with_fixes, ..Diagnostic::new(finding) };
        diagnostic.print(&mut self.sheet.out, self.sheet.screen)
    }

    fn stop(&mut self) -> io::Result<()> {
        let Page { life, at: now, .. } = self.page;
        let Some(Stop { signal, sender, asked_by, at, verdict, taken_at }) = &life.stop else {
            let process = &life.process;
            let own = self.world.container_of(&process.identity()).and_then(Container::own_stop_signal);
            self.sheet.heading(own.filter(|_| process.roles.init).unwrap_or(Signal::TERM))?;
            let (pid, none) = (process.key.tgid, "None to it was recorded, so it is not known what it would");
            return self.sheet.text(&match life.ended_at() {
                Some(_) => format!("{none} have done."),
                None => format!(
                    "{none} do. If it still lives, `tracer why {pid}` without the recording says what is to be expected."
                ),
            });
        };
        self.sheet.heading(signal)?;
        let (style, what) = fate(*verdict);
        let clock = self.clock(*at);
        self.sheet.entry(style, &clock, &format!("from {}{}: {what}", self.from(sender), on_behalf(asked_by)))?;
        if let Some(taken_at) = taken_at.filter(|taken| taken > at) {
            let clock = self.clock(taken_at);
            self.sheet.entry(DIM, &clock, &format!("taken from the queue, {} later", seconds(taken_at - *at)))?;
        }
        let (ended_at, status) = (life.ended_at(), life.process.death().map(|death| death.status));
        let outcome = match (ended_at, status) {
            (None, _) => (*now, "it still runs at this moment: the signal has not ended it".to_owned()),
            (Some(end), None) => (end, "it was gone by then; how it ended was not seen".to_owned()),
            (Some(end), Some(status)) => {
                let after = seconds(end - *at);
                (end, outcome(*signal, *verdict, status, &after))
            }
        };
        self.moment((outcome.0, style, outcome.1))
    }

    /// Whom else it could be about.
    fn others(&mut self) -> io::Result<()> {
        let Page { asked, others, other_count, provenance, .. } = self.page;
        let Some(first) = others.first() else { return Ok(()) };
        self.sheet.heading("Others")?;
        for Candidate { process, ended: end, .. } in others {
            let end = match end {
                None => "it lives".to_owned(),
                Some((at, Some(status))) => format!("{} at {}", ended(*status), self.clock(*at)),
                Some((at, None)) => format!("gone at {}", self.clock(*at)),
            };
            let (began, name) = (self.since(process), self.name(process));
            self.sheet.entry(DIM, &began, &format!("{name}: {end}"))?;
        }
        self.left_out(other_count - others.len() as u64, "other process", "more")?;
        let pid = first.process.key.tgid;
        let file = provenance.argument();
        let moment = format!("tracer why {pid}@{}{file}", self.since(&first.process).replace(' ', "T"));
        self.sheet.text(&match asked {
            WhoArg::Pid(..) => format!("To see one of them, give a moment at which it was there: {moment}"),
            WhoArg::Name(_) => format!(
                "To see one of them, give its pid: tracer why {pid}{file}. If the pid was used again, give a moment at \
                 which it was that process's, too: {moment}"
            ),
        })
    }

    /// When a process began, such that it was there at that moment; with the date, if the time alone would be taken for
    /// one of the recording.
    fn since(&self, process: &Identity) -> String {
        let start = process.key.start;
        if start < self.page.began {
            return self.zoned(start + Span::SECOND).strftime("%F %H:%M:%S").to_string();
        }
        self.clock(start + Span::MS)
    }

    fn missing(&mut self) -> io::Result<()> {
        let Page { life, lost, lacks_signals, .. } = self.page;
        if lost.total() == 0 && !lacks_signals {
            return Ok(());
        }
        self.sheet.heading("What this page does not say")?;
        if lost.total() > 0 {
            let all = style::count(lost.total(), "record");
            let own = life.lost.total();
            let text = if own == 0 {
                format!("{all} missing from the recording, but none from its lifetime")
            } else {
                let kinds = kinds_lost(&life.lost);
                format!(
                    "{} missing from its lifetime ({kinds}): this page may be incomplete",
                    style::count(own, "record")
                )
            };
            self.sheet.entry(BAD, "lost", &text)?;
        }
        if *lacks_signals {
            let text = "not every signal was recorded, only those that findings can depend on: \
                        use `tracer record`, or `tracer watch --events --record FILE`";
            self.sheet.entry(WARN, "signals", text)?;
        }
        Ok(())
    }
}
