//! Signals that a program has ignored from its start, because somebody before it did: fork(2) and execve(2) keep that
//! (signal(7)), and the program rarely knows.

use std::sync::Arc;

use crate::{
    event::Running,
    ident::{Identity, ProcKey},
    signal::Signal,
    time::BootNs,
    world::{Process, World},
};

/// A program that was executed. The processes that are forked from its process run it as well.
#[derive(Debug)]
pub(super) struct Program {
    /// When.
    at: BootNs,
    /// Signals that were ignored then, a bit each from signal 1.
    ignored: u64,
    /// Whom it has them from, as far as that was seen: disjoint sets of those signals.
    from: Vec<(u64, Inherited)>,
}

/// Whom a program has it from that a signal is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The first process that is known to have handed it on, by the name of the program that did; it can be the process
    /// itself, before it executed another program.
    pub from: Identity,
    /// That program began without it.
    pub is_first: bool,
    /// The story is whole only if no event was lost since then.
    since: BootNs,
}

impl Process {
    /// What an image of the world says of its program.
    pub(super) fn running(&self) -> Option<Running> {
        let Program { at, ignored, from: _ } = self.program.as_deref()?;
        Some(Running { key: self.key, since: *at, ignored: *ignored })
    }

    /// Whether its program has ignored a signal from its start, as far as that is known.
    pub fn has_ignored_from_start(&self, signal: Signal) -> bool {
        self.program.as_deref().is_some_and(|program| signal.is_in(program.ignored))
    }

    /// Whether it runs the same program as at a time, as far as that is known.
    pub fn runs_since(&self, at: BootNs) -> bool {
        self.program.as_deref().is_some_and(|program| program.at <= at)
    }
}

impl World {
    /// Whom a process has it from that its program has ignored a signal from its start, if that was seen.
    pub fn inherited(&self, process: &Process, signal: Signal) -> Option<Inherited> {
        let from = &process.program.as_deref()?.from;
        let (_, inherited) = from.iter().find(|(signals, _)| signal.is_in(*signals))?;
        // A program that was executed in between may be the one that did it.
        (!self.is_gap_since(inherited.since)).then_some(*inherited)
    }

    /// A new process runs the program of its maker.
    pub(super) fn inherit_program(&mut self, key: ProcKey, maker: Option<ProcKey>) {
        let Some(maker) = maker.and_then(|maker| self.get(maker)) else { return };
        let (program, copy_of) = (maker.program.clone(), maker.identity());
        if let Some(process) = self.processes.get_mut(key) {
            (process.program, process.copy_of) = (program, Some(Box::new(copy_of)));
        }
    }

    /// A process executes a program, with these signals ignored.
    pub(super) fn note_program(&mut self, at: BootNs, key: ProcKey, ignored: Option<u64>) {
        let Some(process) = self.processes.get_mut(key) else { return };
        let giver = giver(process, at);
        let before = process.program.take();
        process.copy_of = None;
        process.program = ignored.map(|ignored| {
            let from = from(before.as_deref(), giver, ignored, key);
            Arc::new(Program { at, ignored, from })
        });
    }

    /// What an image of the world says of a process's program. The stream knows more.
    pub(super) fn note_running(&mut self, running: &Running) {
        let Running { key, since, ignored } = *running;
        if let Some(process) = self.processes.get_mut(key).filter(|process| process.program.is_none()) {
            process.program = Some(Arc::new(Program { at: since, ignored, from: Vec::new() }));
        }
    }
}

/// Who executes a program: the former program of the process, or the process that it was forked from for that.
fn giver(process: &Process, at: BootNs) -> Option<Identity> {
    // What is known of it may be from after that.
    let before = (process.named_at <= at).then(|| process.identity());
    process.copy_of.as_deref().copied().or(before).filter(|giver| !giver.comm.bytes().is_empty())
}

fn from(before: Option<&Program>, giver: Option<Identity>, ignored: u64, key: ProcKey) -> Vec<(u64, Inherited)> {
    let known = before.map_or(0, |before| before.ignored);
    let kept = before.into_iter().flat_map(|before| &before.from).map(|&(signals, of)| (signals & ignored, of));
    let new = giver.map(|from| {
        let since = before.map_or(key.start, |before| before.at);
        (ignored & !known, Inherited { from, is_first: before.is_some(), since })
    });
    kept.chain(new).filter(|&(signals, _)| signals != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{EventKind, Exec, Fork},
        story::{MS, Story, args, born, key, task},
    };

    const TERM: u64 = 1 << 14;

    fn exec(story: &mut Story, pid: u32, comm: &str, ignored: Option<u64>) {
        let exec = Exec { task: task(pid), comm: comm.into(), old_tid: pid, args: args(comm), mount_ns: 0, ignored };
        story.event(EventKind::Exec(Box::new(exec)));
    }

    fn whom(story: &Story, pid: u32) -> Option<(String, bool)> {
        let process = story.world().get(key(pid)).unwrap();
        assert!(process.has_ignored_from_start(Signal::TERM));
        story.world().inherited(process, Signal::TERM).map(|of| (of.from.to_string(), of.is_first))
    }

    #[test]
    fn it_comes_from_who_made_the_process_whoever_is_its_parent() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "shim").fork(born(11, 10)).exec(11, "runc");
        // CLONE_PARENT
        story.event(EventKind::Fork(Box::new(Fork { task: born(20, 10), creator: Some(task(11)) })));
        exec(&mut story, 20, "app", Some(TERM));
        assert_eq!(whom(&story, 20), Some(("runc (pid 11)".to_owned(), true)));
    }

    #[test]
    fn a_fork_has_the_program_and_hands_on_what_it_has() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "sh").fork(born(11, 10)).fork(born(20, 11));
        exec(&mut story, 20, "app", Some(TERM));
        story.fork(born(21, 20));
        for pid in [20, 21] {
            assert_eq!(whom(&story, pid), Some(("p11 (pid 11)".to_owned(), true)), "{pid}");
        }
    }

    #[test]
    fn what_an_older_version_recorded_says_nothing() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10));
        exec(&mut story, 20, "app", None);
        assert!(!story.world().get(key(20)).unwrap().has_ignored_from_start(Signal::TERM));
    }

    #[test]
    fn a_name_from_later_is_not_that_of_the_former_program() {
        let mut story = Story::new();
        story.snapshot(&[born(1, 0), born(20, 1)]);
        // The row was read after the exec, whose record comes later.
        story.now = BootNs(story.now.0 - MS.0);
        exec(&mut story, 20, "app", Some(TERM));
        assert_eq!(whom(&story, 20), None);
    }

    #[test]
    fn an_image_of_the_world_has_what_is_ignored_and_not_whom_it_is_from() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "sh").fork(born(11, 10));
        exec(&mut story, 11, "nohup", Some(0));
        exec(&mut story, 11, "sleep", Some(TERM));
        assert_eq!(whom(&story, 11), Some(("nohup (pid 11)".to_owned(), true)));
        let mut later = Story::new();
        for event in story.world().image() {
            later.event(event.kind);
        }
        assert_eq!(whom(&later, 11), None);
        let since = |story: &Story| story.world().get(key(11)).unwrap().program.as_deref().map(|program| program.at);
        assert_eq!(since(&later), since(&story));
    }
}
