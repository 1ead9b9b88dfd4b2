//! Live tracing tried for real: the maps, each program alone, the task iterator.

use std::{borrow::Cow, collections::BTreeSet, fs, io, time::Instant};

use tracer_common::{RowRecord, ring::Slot};

use super::check::{Check, Status, sentence};
use crate::{
    console::style,
    event::EventKind,
    ident::quote,
    source::{
        decode::decode,
        hooks::{EXACT, Hooks, Moment, attach_first},
        load::{HOOKS, ITERATOR, LoadError, LoadOptions, Loaded, load},
        procfs,
        rings::{OBSTACLE, Share},
    },
    summary::seconds,
};

/// The outcome.
pub(super) struct Trial {
    /// A line for each thing that was tried.
    pub checks: Vec<Check>,
    /// Why it does not work, `None` if it does.
    pub reason: Option<String>,
    /// The moments that are exact here.
    pub exact: BTreeSet<Moment>,
    /// How many processes one of /proc and the iterator does not show.
    pub hidden: Hidden,
}

impl Trial {
    /// Tries everything; nothing stays loaded.
    pub(super) fn run() -> Self {
        let mut trial = Self { checks: Vec::new(), reason: None, exact: BTreeSet::new(), hidden: Hidden::default() };
        let options = LoadOptions::default();
        match load(&options) {
            Ok(Loaded { share, .. }) => {
                let size = style::size(u64::from(options.ring_size));
                let detail = format!("{size}, the default size, can be had: {}", shared_out(share));
                trial.checks.push(Check::ok("ring-buffer", detail));
            }
            // With less memory, the programs may still load.
            Err(error @ LoadError::NoMemory(_)) => trial.failed("ring-buffer", &error),
            Err(error) => {
                trial.failed("load", &error);
                // Each program would fail for the same reason.
                return trial;
            }
        }
        for hook in HOOKS {
            let began = Instant::now();
            match attach(hook) {
                Ok(()) => {
                    let took = seconds(began.elapsed().into());
                    trial.checks.push(Check::ok(format!("hook:{hook}"), format!("loads and attaches alone ({took})")));
                }
                Err(error) => trial.failed(format!("hook:{hook}"), &error),
            }
        }
        trial.exact_hooks();
        trial.iterate();
        trial
    }

    /// As `watch` would choose them; none of them is required.
    fn exact_hooks(&mut self) {
        for hook in &EXACT {
            let name = format!("exact:{}", hook.name);
            let tried = load(&small()).map(|mut loaded| attach_first(&mut loaded, hook, Hooks::Best.ways()));
            self.checks.push(match tried {
                Ok(Ok(found)) => {
                    self.exact.insert(hook.moment);
                    Check::ok(name, format!("{found} loads and attaches alone"))
                }
                Ok(Err(why)) => Check::warn(
                    name,
                    format!("not possible here ({why}): {}", hook.without),
                    "nothing, if you can do without; else a kernel with kprobes, or one that allows fentry",
                ),
                Err(error) => Check::failed(name, &error),
            });
        }
    }

    /// Live tracing works.
    pub(super) fn works(&self) -> bool {
        self.reason.is_none()
    }

    fn failed(&mut self, name: impl Into<Cow<'static, str>>, error: &LoadError) {
        self.reason.get_or_insert_with(|| sentence(error));
        self.checks.push(Check::failed(name, error));
    }

    fn iterate(&mut self) {
        const NAME: &str = "task-iterator";
        let mut loaded = match load(&small()).and_then(|mut loaded| loaded.load_iterators().map(|()| loaded)) {
            Ok(loaded) => loaded,
            Err(error) => return self.failed(NAME, &error),
        };
        match Census::take(&mut loaded) {
            Ok(census) => {
                self.hidden = census.hidden();
                self.checks.push(census_check(NAME, &census, &self.hidden));
            }
            Err(error) => {
                let detail = format!("loads, but cannot list the processes: {error}");
                self.reason.get_or_insert_with(|| format!("the task iterator {detail}"));
                self.checks.push(Check { status: Status::Fail, ..Check::ok(NAME, detail) });
            }
        }
    }
}

/// Which way signals take, and how much room there is for them.
fn shared_out(share: Share) -> String {
    if share.slots == 0 {
        let why = OBSTACLE.unwrap_or("the rings of so many processors would be too small, or cannot be mapped");
        return format!("one buffer for all events ({why})");
    }
    let each = style::size(u64::from(share.slots) * size_of::<Slot>() as u64);
    format!("a ring of {each} for the signals of each processor, and {} for the rest", style::size(share.shared.into()))
}

/// Nobody reads the ring buffer, so the smallest is enough.
fn small() -> LoadOptions {
    LoadOptions { ring_size: 4096, ..LoadOptions::default() }
}

/// The program is detached again when this returns.
fn attach(hook: &str) -> Result<(), LoadError> {
    load(&small())?.attach(hook, hook)
}

/// Lists the processes by /proc and by the iterator in turn: a process in both lists of one kind was there when the
/// list of the other kind between them was made.
struct Census {
    proc: [BTreeSet<u32>; 2],
    iterator: [BTreeSet<u32>; 2],
}

/// See [`Census::hidden`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Processes that /proc shows and the iterator does not.
    pub from_iterator: Vec<u32>,
    /// Processes that the iterator shows and /proc does not.
    pub from_proc: Vec<u32>,
}

impl Census {
    fn take(loaded: &mut Loaded) -> io::Result<Self> {
        let (proc, iterator) = (in_proc()?, in_iterator(loaded)?);
        Ok(Self { proc: [proc, in_proc()?], iterator: [iterator, in_iterator(loaded)?] })
    }

    fn hidden(&self) -> Hidden {
        let Self { proc: [proc, proc_again], iterator: [iterator, iterator_again] } = self;
        let steady = |first: &BTreeSet<u32>, then: &BTreeSet<u32>, between: &BTreeSet<u32>| {
            first.intersection(then).filter(|pid| !between.contains(pid)).copied().collect()
        };
        Hidden {
            from_iterator: steady(proc, proc_again, iterator),
            from_proc: steady(iterator, iterator_again, proc_again),
        }
    }
}

fn in_proc() -> io::Result<BTreeSet<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Not [`Live::snapshot`](crate::source::live::Live::snapshot), which fills in from /proc what the iterator does not
/// show.
fn in_iterator(loaded: &mut Loaded) -> io::Result<BTreeSet<u32>> {
    let bytes = loaded.iterate(ITERATOR)?;
    let rows = bytes.chunks(size_of::<RowRecord>()).filter_map(|row| decode(row).ok());
    Ok(rows
        .filter_map(|event| match event.kind {
            EventKind::Row(row) => Some(row.task.key.tgid),
            _ => None,
        })
        .collect())
}

fn census_check(name: &'static str, census: &Census, hidden: &Hidden) -> Check {
    let listed = format!(
        "lists {}; /proc has {}",
        style::count(census.iterator[1].len() as u64, "process"),
        census.proc[1].len()
    );
    let Hidden { from_iterator, from_proc } = hidden;
    if from_iterator.is_empty() && from_proc.is_empty() {
        return Check::ok(name, format!("{listed}; none is hidden from either"));
    }
    if from_iterator.is_empty() {
        return Check::warn(
            name,
            format!("{listed}, which does not show {}: their command lines and states stay unknown", named(from_proc)),
            "run it where /proc is mounted without hidepid",
        );
    }
    let detail = format!("{listed}; the kernel keeps {} from iterators", named(from_iterator));
    if from_iterator == &[1] {
        // Only its place in the tree matters, and that is known from its children.
        let detail = format!("{detail}, as some hardened kernels do; /proc tells of it instead");
        return Check::ok(name, detail);
    }
    Check::warn(name, format!("{detail}: the tree has gaps there"), "compare `tracer tree` with `ps -e`")
}

/// The first few by pid and name.
fn named(pids: &[u32]) -> String {
    const SHOWN: usize = 3;
    let mut names: Vec<_> = pids
        .iter()
        .take(SHOWN)
        .map(|pid| match procfs::line(&format!("/proc/{pid}/comm")) {
            name if name.is_empty() => format!("pid {pid}"),
            name => format!("{} (pid {pid})", quote(name)),
        })
        .collect();
    match pids.len().saturating_sub(SHOWN) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(proc: [&[u32]; 2], iterator: [&[u32]; 2]) -> Census {
        let sets = |lists: [&[u32]; 2]| lists.map(|list| list.iter().copied().collect());
        Census { proc: sets(proc), iterator: sets(iterator) }
    }

    #[test]
    fn who_comes_and_goes_is_not_hidden() {
        // 3 ends after the first look, 4 begins before the last.
        let census = census([&[1, 2, 3], &[1, 2]], [&[1, 2], &[1, 2, 4]]);
        assert_eq!(census.hidden(), Hidden::default());
        assert_eq!(census_check("x", &census, &census.hidden()).status, Status::Ok);
    }

    #[test]
    fn who_stays_and_is_not_shown_is_hidden() {
        let census = census([&[1, 2], &[1, 2]], [&[1, 9], &[1, 9]]);
        assert_eq!(census.hidden(), Hidden { from_iterator: vec![2], from_proc: vec![9] });
        assert_eq!(census_check("x", &census, &census.hidden()).status, Status::Warn);
    }

    #[test]
    fn a_hidden_pid_1_is_no_reason_to_worry() {
        let census = census([&[1, 2], &[1, 2]], [&[2], &[2]]);
        let check = census_check("x", &census, &census.hidden());
        assert_eq!(check.status, Status::Ok);
        assert!(check.detail.starts_with("lists 1 process; /proc has 2; the kernel keeps "), "{}", check.detail);
    }

    #[test]
    fn only_a_few_are_named() {
        // Above PID_MAX_LIMIT, so that they have no name.
        let pids: Vec<u32> = (1 << 23..).take(5).collect();
        assert_eq!(named(&pids), "pid 8388608, pid 8388609, pid 8388610, 2 more");
    }
}
