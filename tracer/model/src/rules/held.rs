//! What keeps a process from going on, as a look has found it, in phrases that several rules share.

use crate::{
    event::{Held, Looked},
    ident::{Identity, escape},
    rules::words,
    world::{Process, World},
};

/// Why a process takes no signal. The words are part of the JSON contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why<'a> {
    /// Its control group is frozen: the file that somebody has written to.
    Frozen(&'a str),
    /// A tracer holds it.
    Traced(Option<Identity>),
    /// It is stopped.
    Stopped,
    /// It sleeps in the kernel where nothing can interrupt it.
    Asleep,
    /// It has not left the kernel, or gets no processor.
    Busy,
}

impl<'a> Why<'a> {
    /// All of [`Why::id`].
    pub(super) const IDS: &'static [&'static str] = &["frozen", "traced", "stopped", "asleep", "busy"];

    /// The word that stands for it in JSON.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Frozen(_) => "frozen",
            Self::Traced(_) => "traced",
            Self::Stopped => "stopped",
            Self::Asleep => "asleep",
            Self::Busy => "busy",
        }
    }

    /// The result of the last look. `Busy` if no obstacle is visible.
    pub(super) fn of(world: &World, process: &'a Process) -> Self {
        let state = process.look.map(|(_, Looked { state, .. })| state);
        let thread = held(process).and_then(|held| held.state.bytes().next());
        // In version 2, SIGKILL ends what is frozen: something else keeps it then.
        let is_kept = |held: &&Held| !(held.frozen.is_empty() || held.killed && held.frozen.ends_with("cgroup.freeze"));
        if let Some(held) = held(process).filter(is_kept) {
            return Self::Frozen(&held.frozen);
        }
        match (state, thread) {
            (Some(b't'), _) | (_, Some(b't')) => Self::Traced(process.tracer.map(|tracer| world.identity(tracer.key))),
            (Some(b'T'), _) => Self::Stopped,
            (Some(b'D'), _) | (_, Some(b'D')) => Self::Asleep,
            _ => Self::Busy,
        }
    }

    /// The end of a headline: `it …`.
    pub(super) fn briefly(self) -> String {
        match self {
            Self::Frozen(_) => "its control group is frozen".to_owned(),
            Self::Traced(Some(tracer)) => format!("its tracer {} holds it", words::short(&tracer)),
            Self::Traced(None) => "a tracer holds it".to_owned(),
            Self::Stopped => "it is stopped".to_owned(),
            Self::Asleep => "it sleeps in the kernel".to_owned(),
            Self::Busy => "it has not left the kernel yet".to_owned(),
        }
    }

    /// The same, in full.
    pub(super) fn in_full(self, process: &Process) -> String {
        let held = held(process);
        match self {
            Self::Frozen(file) => {
                format!("frozen: somebody has frozen its control group by {}", escape(file.as_bytes()))
            }
            Self::Traced(_) => "its tracer holds it at a stop".to_owned(),
            Self::Stopped => "stopped: it takes no signal but SIGKILL before it is continued".to_owned(),
            Self::Asleep => {
                let wchan = held.map_or("", |held| &held.wchan);
                let place = if wchan.is_empty() { String::new() } else { format!(", in {}", escape(wchan.as_bytes())) };
                let file = held.map_or("", |held| &held.file);
                let file = if file.is_empty() {
                    String::new()
                } else {
                    format!("; its system call works on {}", escape(file.as_bytes()))
                };
                format!("asleep in the kernel, where nothing can interrupt it (state D{place}){file}")
            }
            Self::Busy => "it works in the kernel, or waits for a processor".to_owned(),
        }
    }

    /// Fixes.
    pub(super) fn fixes(self, process: &Process) -> Vec<String> {
        let pid = process.key.tgid;
        match self {
            Self::Frozen(file) => {
                let word = if file.ends_with("freezer.state") { "THAWED" } else { "0" };
                vec![format!(
                    "thaw it (echo {word} > {}; `docker unpause`, if that paused it)",
                    escape(file.as_bytes())
                )]
            }
            Self::Traced(Some(tracer)) => vec![format!(
                "have {} let it go on, or end that: a tracer that ends releases what it traces",
                words::short(&tracer)
            )],
            Self::Traced(None) => vec!["end its tracer (TracerPid in /proc/PID/status)".to_owned()],
            Self::Stopped => vec![format!("continue it (kill -CONT {pid})")],
            Self::Asleep => vec![format!(
                "have what it waits for answer: a frozen file system (fsfreeze -u), a disk, NFS, FUSE \
                 (/proc/{pid}/stack tells more); it ends as soon as that call is over"
            )],
            Self::Busy => {
                vec![format!("look where it is (/proc/{pid}/stack), and whether it gets a processor (cpu.max)")]
            }
        }
    }
}

fn held(process: &Process) -> Option<&Held> {
    process.held.as_deref().map(|(_, held)| held)
}
