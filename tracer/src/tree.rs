//! The process tree of each pid namespace, for `tracer tree`.
//!
//! A process is drawn in the section of its own namespace. Where a nested namespace begins, the
//! outer tree shows its first process and points to its section.

use std::io::{self, Write};

use crate::{
    console::style::{self, BAD, BOLD, CALM, DIM, Screen, WARN},
    ident::PidNs,
    sink::json::{Lines, process_line},
    summary::seconds,
    world::{
        Namespace, Process, State, World,
        view::{self, Forest},
    },
};

/// Which part of the world to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extract {
    /// Only this namespace and those nested in it.
    pub ns: Option<PidNs>,
    /// Only zombies; in a tree, with their ancestors.
    pub zombies: bool,
}

impl Extract {
    fn holds(self, world: &World, ns: PidNs) -> bool {
        self.ns.is_none_or(|outer| world.is_in(ns, outer))
    }
}

/// Prints one JSON object a process, oldest first; see `docs/json.md`.
///
/// # Errors
/// Only from writing.
pub fn print_json(world: &World, scope: Extract, out: impl Write) -> io::Result<()> {
    let mut lines = Lines::new(out);
    for process in world.processes() {
        if scope.holds(world, process.pid_ns) && (!scope.zombies || process.is_zombie()) {
            lines.print(&process_line(world, process))?;
        }
    }
    lines.flush()
}

/// How many levels of a tree are drawn; deeper processes are counted.
const DEEPEST: usize = 50;

/// Draws the trees, outer namespaces first.
///
/// # Errors
/// Only from writing.
pub fn print_text(world: &World, scope: Extract, screen: Screen, mut out: impl Write) -> io::Result<()> {
    let forest = Forest::new(world);
    let mut is_first = true;
    for namespace in world.namespaces().filter(|namespace| scope.holds(world, namespace.id)) {
        let section = Section::of(&forest, namespace, scope.zombies);
        if scope.zombies && section.rows.is_empty() {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            writeln!(out)?;
        }
        section.print(world, screen, &mut out)?;
    }
    if is_first {
        writeln!(out, "{}", if scope.zombies { "no zombies" } else { "no processes" })?;
    }
    out.flush()
}

/// The tree of one namespace.
struct Section<'a> {
    namespace: &'a Namespace,
    rows: Vec<Row<'a>>,
    processes: u64,
    zombies: u64,
    kernel_threads: u64,
}

struct Row<'a> {
    what: What<'a>,
    depth: usize,
    /// A bit for each level from 1 on, its own included: something later is attached to the same trunk.
    goes_on: u64,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Process {
        process: &'a Process,
        /// It lives in a nested namespace, and is the first process of it here.
        is_door: bool,
    },
    /// What is too deep to be drawn.
    More { levels: usize, processes: u64, zombies: u64 },
}

impl What<'_> {
    fn is_zombie(&self) -> bool {
        matches!(self, What::Process { process, is_door: false } if process.is_zombie())
    }
}

impl Row<'_> {
    fn branches(&self) -> String {
        let goes_on = |level: usize| self.goes_on & (1 << level) != 0;
        let trunks = (1..self.depth).map(|level| if goes_on(level) { "│  " } else { "   " });
        let own = (self.depth > 0).then(|| if goes_on(self.depth) { "├─ " } else { "└─ " });
        trunks.chain(own).collect()
    }
}

impl<'a> Section<'a> {
    fn of(forest: &Forest<'a>, namespace: &'a Namespace, only_zombies: bool) -> Self {
        let mut section = Self { namespace, rows: Vec::new(), processes: 0, zombies: 0, kernel_threads: 0 };
        // For each level on the path to a line: how many of it and its ancestors have a row. A helper program that the
        // kernel started is the child of a kernel thread, which has none.
        let mut rows_on_way: Vec<usize> = Vec::new();
        for view::Line { process, depth: level } in forest.tree(namespace.id) {
            rows_on_way.truncate(level);
            let depth = rows_on_way.last().copied().unwrap_or(0);
            rows_on_way.push(depth + usize::from(!process.roles.kthread));
            if process.roles.kthread {
                section.kernel_threads += 1;
                continue;
            }
            let is_door = process.pid_ns != namespace.id;
            if !is_door {
                section.processes += 1;
                section.zombies += u64::from(process.is_zombie());
            }
            section.rows.push(Row { what: What::Process { process, is_door }, depth, goes_on: 0 });
        }
        if only_zombies {
            section.keep_zombies();
            section.kernel_threads = 0;
        }
        section.fold(only_zombies);
        section.draw();
        section
    }

    /// Keeps zombies and their ancestors.
    fn keep_zombies(&mut self) {
        let mut wanted = 0;
        let mut kept: Vec<_> = std::mem::take(&mut self.rows)
            .into_iter()
            .rev()
            .filter(|row| {
                // In reverse order, an ancestor comes after its descendants.
                let keep = row.what.is_zombie() || row.depth < wanted;
                if keep {
                    wanted = row.depth;
                }
                keep
            })
            .collect();
        kept.reverse();
        self.rows = kept;
    }

    /// Counts what is too deep, in one row for all below a parent; zombies get their own row after it, if they are
    /// asked for.
    fn fold(&mut self, only_zombies: bool) {
        let mut open = None;
        let mut kept: Vec<Row<'a>> = Vec::new();
        for mut row in std::mem::take(&mut self.rows) {
            if row.depth < DEEPEST {
                open = None;
                kept.push(row);
                continue;
            }
            let more = *open.get_or_insert(kept.len());
            if more == kept.len() {
                let what = What::More { levels: 0, processes: 0, zombies: 0 };
                kept.push(Row { what, depth: DEEPEST, goes_on: 0 });
            }
            let is_zombie = row.what.is_zombie();
            if let What::More { levels, processes, zombies } = &mut kept[more].what {
                *levels = (*levels).max(row.depth - DEEPEST + 1);
                *processes += 1;
                *zombies += u64::from(is_zombie);
            }
            if only_zombies && is_zombie {
                row.depth = DEEPEST + 1;
                kept.push(row);
            }
        }
        self.rows = kept;
    }

    /// Draws the branches, from the last row to the first: a branch continues if a later row is attached to the same
    /// trunk.
    fn draw(&mut self) {
        let mut goes_on: u64 = 0;
        for row in self.rows.iter_mut().rev() {
            // Level 0 is that of the roots, which are attached to nothing.
            let own = 1 << row.depth;
            goes_on &= (own << 1) - 1;
            row.goes_on = goes_on;
            goes_on |= own;
        }
    }

    fn print(&self, world: &World, screen: Screen, out: &mut impl Write) -> io::Result<()> {
        let Self { namespace, rows, processes, zombies, kernel_threads } = self;
        let Namespace { id, level, parent, init, ending, fallen: _, killed: _ } = namespace;
        write!(out, "{}", screen.paint(BOLD, format_args!("pid namespace {id}")))?;
        match parent {
            Some(parent) => write!(out, " (level {level}, in {parent})")?,
            None => write!(out, " (level {level})")?,
        }
        match init.and_then(|init| world.get(init)) {
            Some(init) => write!(out, ": init {} (pid {})", init.comm, init.key.tgid)?,
            None => write!(out, ": init not seen")?,
        }
        let container = init.and_then(|init| world.container_of(&world.identity(init)));
        if let Some(container) = container {
            write!(out, ", {} {}", container.engine.noun(), style::container(container))?;
        }
        write!(out, ", {}", style::count(*processes, "process"))?;
        if *zombies > 0 {
            write!(out, ", {}", screen.paint(BAD, style::count(*zombies, "zombie")))?;
        }
        if ending.is_some() {
            write!(out, ", {}", screen.paint(WARN, "ending"))?;
        }
        writeln!(out)?;
        let host = "HOST PID";
        if *level > 0 {
            writeln!(out, "{}", screen.paint(DIM, format_args!("{host:>8} {:>8}  NAME AND COMMAND", "PID")))?;
        } else {
            writeln!(out, "{}", screen.paint(DIM, format_args!("{host:>8}  NAME AND COMMAND")))?;
        }
        for row in rows {
            self.row(world, screen, row, out)?;
        }
        if *kernel_threads > 0 {
            let note = format!("{:>8}  and {}", "", style::count(*kernel_threads, "kernel thread"));
            writeln!(out, "{}", screen.paint(DIM, note))?;
        }
        Ok(())
    }

    fn row(&self, world: &World, screen: Screen, row: &Row<'_>, out: &mut impl Write) -> io::Result<()> {
        let &Row { what, depth, goes_on: _ } = row;
        let branches = row.branches();
        let (process, is_door) = match what {
            What::Process { process, is_door } => (process, is_door),
            What::More { levels, processes, zombies } => {
                let indent = if self.namespace.level > 0 { 17 } else { 8 };
                let zombies = match zombies {
                    0 => String::new(),
                    n => format!(", {n} of them {}", if n == 1 { "a zombie" } else { "zombies" }),
                };
                let more = format!(
                    "… {} more: {}{zombies}",
                    style::count(levels as u64, "level"),
                    style::count(processes, "process")
                );
                return writeln!(out, "{:indent$}  {branches}{}", "", screen.paint(DIM, more));
            }
        };
        let mut line = format!("{:>8}", process.key.tgid);
        if self.namespace.level > 0 {
            line += &match process.pid_at(self.namespace.level) {
                0 => format!(" {:>8}", "?"),
                pid => format!(" {pid:>8}"),
            };
        }
        line += &format!("  {branches}");
        let mut width = style::columns(&line);
        let mut plain = |text: &str| width += style::columns(text);
        let name = process.comm.to_string();
        plain(&name);
        line += &screen.paint(if process.is_zombie() { BAD } else { BOLD }, &name).to_string();
        for (style, mark) in self.marks(world, process, depth, is_door) {
            plain("  ");
            plain(&mark);
            line += &format!("  {}", screen.paint(style, &mark));
        }
        let command = process.args.to_string();
        if !command.is_empty() && process.death().is_none() {
            let command = match screen.width {
                Some(columns) => style::cut(&command, columns.saturating_sub(width + 2)),
                None => command,
            };
            if !command.is_empty() {
                line += &format!("  {}", screen.paint(DIM, command));
            }
        }
        writeln!(out, "{line}")
    }

    /// What is worth noting about a process.
    fn marks(&self, world: &World, process: &Process, depth: usize, is_door: bool) -> Vec<(anstyle::Style, String)> {
        let mut marks = Vec::new();
        // Where its parent, or the namespace, says something else.
        let identity = process.identity();
        let around = world.parent(process.key).and_then(|parent| parent.container);
        let around = around.or_else(|| world.get(self.namespace.init?)?.container);
        if let Some(container) = world.container_of(&identity).filter(|_| is_door || identity.container != around) {
            marks.push((CALM, format!("[{}]", container.place())));
        }
        if is_door {
            marks.push((CALM, format!("=> pid {} of namespace {}", process.ns_pid, process.pid_ns)));
        } else if process.roles.init {
            marks.push((CALM, "[init]".to_owned()));
        } else if process.roles.outsider || (depth == 0 && self.namespace.level > 0) {
            let from = world
                .parent(process.key)
                .map_or_else(String::new, |parent| format!(" by {} (pid {})", parent.comm, parent.key.tgid));
            marks.push((WARN, format!("[entered from outside{from}]")));
        }
        if process.roles.subreaper {
            marks.push((CALM, "[subreaper]".to_owned()));
        }
        match &process.state {
            State::Running => {}
            State::LeaderDead { .. } => marks.push((WARN, "[main thread dead, others live]".to_owned())),
            State::Dead(_) if !process.is_zombie() => marks.push((DIM, "[exiting]".to_owned())),
            State::Dead(death) => {
                let least = if death.exact { "" } else { "at least " };
                let age = seconds(world.now() - death.zombie_since());
                let owed = world.owed_by(process.key).map_or_else(String::new, |key| {
                    let debtor = world.identity(key);
                    format!(", owed by {} (pid {})", debtor.comm, key.tgid)
                });
                marks.push((BAD, format!("[zombie for {least}{age}{owed}]")));
            }
        }
        marks
    }
}
