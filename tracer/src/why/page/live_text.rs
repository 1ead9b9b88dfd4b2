//! What can be seen of a process now, as a page for a person.

use std::io::{self, Write};

use super::Sheet;
use crate::{
    audit::{
        facts::{Facts, signals},
        stop::Forecast,
    },
    console::style::{self, BAD, GOOD, Screen, WARN},
    signal::Signal,
    summary::{and_more, seconds},
    time::Span,
    why::live::Page,
};

/// How many processes are named.
const NAMED: usize = 10;

/// Prints the page. `is_followed`: what was recorded of the process follows.
///
/// # Errors
/// Only from writing.
pub fn print(page: &Page, is_followed: bool, screen: Screen, out: impl Write) -> io::Result<()> {
    let mut sheet = Sheet::new(out, screen);
    who(&mut sheet, page)?;
    parents(&mut sheet, page)?;
    children(&mut sheet, page)?;
    masks(&mut sheet, &page.process)?;
    stop(&mut sheet, page)?;
    if is_followed {
        return sheet.out.flush();
    }
    sheet.heading("What this page does not say")?;
    let pid = page.process.pid;
    sheet.text(&format!(
        "What has happened to it: who sent which signal, who adopted it, whom it did not reap, and since when. That \
         needs a recording: tracer record -o FILE, then tracer why {pid} FILE"
    ))?;
    sheet.out.flush()
}

fn who(sheet: &mut Sheet<impl Write>, page: &Page) -> io::Result<()> {
    let Page { process, container, is_outsider, tracer, .. } = page;
    sheet.title(process.name())?;
    sheet.text("as /proc shows it now")?;
    writeln!(sheet.out)?;
    sheet.word("pid", &format!("{}, started {} ago", process.pid, age(process)))?;
    if let [_, .., own] = process.ns_pids[..] {
        let ns = process.pid_ns.map_or_else(|| "its pid namespace".to_owned(), |ns| format!("pid namespace {ns}"));
        let init = if process.is_init() { ": it is its init" } else { "" };
        let level = process.ns_pids.len() - 1;
        let levels = if level == 1 { "1 level".to_owned() } else { format!("{level} levels") };
        sheet.word("inside", &format!("pid {own} of {ns} ({levels} below this one){init}"))?;
    }
    if let Some(container) = container {
        sheet.word(container.engine.noun(), &style::container(container))?;
    }
    if !process.argv.is_empty() {
        sheet.word("command", &process.argv.to_string())?;
    } else if process.argv.cut {
        sheet.word("command", "not known: reading it took too long")?;
    }
    if *is_outsider {
        sheet.word("is", "an outsider: it came into its pid namespace from outside")?;
    }
    if process.is_kthread {
        sheet.word("is", "a kernel thread")?;
    }
    if process.tracer != 0 {
        let name = tracer.as_ref().map_or_else(|| format!("pid {}", process.tracer), Facts::name);
        sheet.word("traced by", &name)?;
    }
    sheet.word("state", &state(page))
}

fn age(process: &Facts) -> String {
    seconds(Span::seconds(process.age))
}

fn state(page: &Page) -> String {
    let Page { process, tracer, parents, .. } = page;
    let threads = style::count(process.threads, "thread");
    match process.state {
        'Z' if process.is_zombie() => {
            let debtor = tracer.as_ref().or(parents.first());
            let debtor = debtor.map_or_else(|| "its parent".to_owned(), Facts::name);
            format!("zombie: it has ended, and {debtor} has to wait for it")
        }
        'Z' => format!("its main thread has ended, others live on ({threads})"),
        'X' => "has ended".to_owned(),
        'T' => format!("stopped, until SIGCONT ({threads})"),
        't' => format!("stopped by its tracer ({threads})"),
        'R' => format!("runs ({threads})"),
        'S' => format!("sleeps ({threads})"),
        'D' => format!("in uninterruptible sleep, state D ({threads})"),
        'I' => format!("idle ({threads})"),
        other => format!("{} ({threads})", other.escape_default()),
    }
}

fn parents(sheet: &mut Sheet<impl Write>, page: &Page) -> io::Result<()> {
    sheet.heading("Parents")?;
    if page.parents.is_empty() {
        return sheet.text("none that can be seen here");
    }
    for (i, parent) in page.parents.iter().enumerate() {
        let lead = if i == 0 { "child of" } else { "of" };
        let init = match parent.ns_pids[..] {
            [_, .., 1] => parent.pid_ns.map_or_else(
                || ", pid 1 of its pid namespace".to_owned(),
                |ns| format!(", pid 1 of pid namespace {ns}"),
            ),
            _ => String::new(),
        };
        sheet.word(lead, &format!("{}{init}", parent.name()))?;
    }
    Ok(())
}

fn children(sheet: &mut Sheet<impl Write>, page: &Page) -> io::Result<()> {
    let Page { zombies, children, .. } = page;
    if zombies.is_empty() && children.is_empty() {
        return Ok(());
    }
    sheet.heading("Children")?;
    if !children.is_empty() {
        sheet.word("alive", &list(children))?;
    }
    if !zombies.is_empty() {
        let count = style::count(zombies.len() as u64, "zombie");
        sheet.entry(BAD, "owes a wait", &format!("for {count}: {}", list(zombies)))?;
    }
    Ok(())
}

fn masks(sheet: &mut Sheet<impl Write>, process: &Facts) -> io::Result<()> {
    if process.is_zombie() || process.is_kthread {
        return Ok(());
    }
    sheet.heading("Signals")?;
    for (lead, mask) in [
        ("pending", process.pending),
        ("blocked", process.blocked),
        ("ignored", process.ignored),
        ("handled", process.caught),
        ("waited for", process.awaited.unwrap_or(0)),
    ] {
        if mask != 0 {
            sheet.word(lead, &names(mask))?;
        }
    }
    if process.awaited.is_none() {
        sheet.word("waited for", &format!("not known: {}", process.unseen))?;
    }
    if [process.pending, process.blocked, process.ignored, process.caught].iter().all(|&mask| mask == 0) {
        sheet.text("none is pending, blocked, ignored or handled")?;
    }
    Ok(())
}

/// The signals of a mask; real-time ones are only counted.
fn names(mask: u64) -> String {
    let (known, real_time): (Vec<_>, Vec<_>) = signals(mask).partition(|signal| !signal.is_real_time());
    let mut names: Vec<_> = known.iter().map(Signal::to_string).collect();
    match real_time[..] {
        [] => {}
        [one] => names.push(one.to_string()),
        _ => names.push(format!("{} real-time signals", real_time.len())),
    }
    names.join(", ")
}

fn stop(sheet: &mut Sheet<impl Write>, page: &Page) -> io::Result<()> {
    let Page { signal, forecast, .. } = page;
    let Forecast { acts, sure, why, fix } = forecast;
    sheet.heading(format_args!("{signal}, if it were sent now"))?;
    let (style, what) = if *acts { (GOOD, "will act") } else { (WARN, "will NOT act") };
    sheet.entry(style, what, &format!("it {why} ({})", sure.id()))?;
    if fix.is_empty() { Ok(()) } else { sheet.entry(GOOD, "fix", fix) }
}

fn list(processes: &[Facts]) -> String {
    let named: Vec<_> = processes.iter().take(NAMED).map(Facts::name).collect();
    and_more(&named, processes.len() as u64)
}
