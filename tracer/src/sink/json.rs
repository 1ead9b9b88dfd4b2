//! One JSON object a line: the machine's view of a run. `docs/json.md` is its contract.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    filter::{Filter, Missing},
    finding::Finding,
    kind::Kind,
    sink::{
        Sink,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::Summary,
    time::BootNs,
    world::World,
};

mod finding;
pub(crate) mod line;
pub(crate) mod process;
pub mod schema;
mod writer;

pub(super) use line::Wall;
pub use line::unwritten_line;
pub use process::{process_line, rule_line};
pub use writer::{Lines, to_string};

/// Prints what is selected of each step.
pub struct Json<W: Write> {
    select: Select,
    lines: Lines<W>,
}

impl<W: Write> Json<W> {
    /// Findings that pass the filter, and events of those kinds that do.
    pub fn new(out: W, filter: Filter, kinds: &[Kind]) -> Self {
        Self { select: Select::new(filter, kinds), lines: Lines::new(out) }
    }

    /// Folds similar findings: prints the first few, then how many more there are.
    #[must_use]
    pub fn few(self) -> Self {
        Self { select: self.select.few(), ..self }
    }

    /// See [`Select::refilter`].
    ///
    /// # Errors
    /// See there.
    pub fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        self.select.refilter(filter, world)
    }

    /// Returns the output, without what was not flushed.
    pub fn into_inner(self) -> W {
        self.lines.into_inner()
    }
}

/// The line of an item; `None` for what has none.
///
/// # Errors
/// If it has no form in JSON.
pub(crate) fn line_of(world: &World, moment: Moment, item: &Item<'_>) -> io::Result<Option<String>> {
    let mut lines = Lines::new(Vec::new());
    print(&mut lines, world, moment, item)?;
    lines.flush()?;
    let line = String::from_utf8(lines.into_inner()).map_err(io::Error::other)?;
    Ok(Some(line.trim_end().to_owned()).filter(|line| !line.is_empty()))
}

/// A finding as on a line of its own, for use inside another object.
pub(crate) fn found<'a>(world: &'a World, one: &'a Finding) -> impl Serialize + use<'a> {
    finding::finding(world, one)
}

fn print<W: Write>(lines: &mut Lines<W>, world: &World, moment: Moment, item: &Item<'_>) -> io::Result<()> {
    match item {
        Item::Start(info) => lines.print(&line::start(world, moment, info)),
        Item::Event(event) => lines.print(&line::event(world, moment, event)),
        Item::Container(container) => lines.print(&line::container(world, moment, container)),
        Item::Finding(finding) => lines.print(&finding::finding(world, finding)),
        Item::Repeated(last, times) => lines.print(&finding::repeated(world, last, times)),
        Item::Lost(loss) => lines.print(&line::lost(world, moment, loss)),
        Item::Limited(what) => lines.print(&line::limited(world, moment, what)),
        // The contract has no field for it: `confidence` says what a consumer needs to know.
        Item::Whole => Ok(()),
    }
}

impl<W: Write> Sink for Json<W> {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, lines } = self;
        select.step(world, step, |moment, item| print(lines, world, moment, &item))
    }

    fn show_from(&mut self, from: BootNs) {
        self.select.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    fn finish(&mut self, world: &World, summary: &Summary) -> io::Result<()> {
        let Self { select, lines } = self;
        select.finish(world, |moment, item| print(lines, world, moment, &item))?;
        lines.print(&line::summary(world, summary, select.shown()))?;
        lines.flush()
    }
}
