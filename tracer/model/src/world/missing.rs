//! Processes that were looked for and not found: gone, or hidden for a moment.
//!
//! A look at `/proc`, or a run of the task iterator, shows the present, and the stream can lag behind: the record of an
//! end may still be to come. And both miss a process in which a thread other than the leader calls exec: `de_thread()`
//! gives that thread the leader's tid, and a look that found the leader right before finds nothing. So a process is
//! removed only once the stream has reached the time of the look, and, if its end was not seen, after a second look;
//! and if it does anything later, it comes back.

use crate::{
    change::Change,
    ident::{Args, ProcKey},
    time::BootNs,
    world::{Process, World, leave::Leave, turn::Turn},
};

/// When a process was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    first: BootNs,
    /// The second time. Later ones add nothing: a process may be looked for at every tick.
    again: Option<BootNs>,
}

impl Missing {
    /// It was not missed a second time.
    pub(super) fn was_once(self) -> bool {
        self.again.is_none()
    }
}

/// A process that was removed, in case that was too early.
#[derive(Debug)]
pub(super) struct Mislaid {
    process: Box<Process>,
    /// Processes that came into a container on its behalf.
    brought: Vec<ProcKey>,
}

/// For how many that is kept.
const MOST_MISLAID: usize = 64;

impl Process {
    /// The last look did not find it, and its release was not seen.
    pub fn is_missing(&self) -> bool {
        self.missing.is_some()
    }
}

impl World {
    /// A look at that time did not find a process.
    pub(super) fn not_found(&mut self, key: ProcKey, at: BootNs) {
        let Some(process) = self.processes.get_mut(key).filter(|process| process.seen_at <= at) else { return };
        let missing = process.rare().missing.get_or_insert(Missing { first: at, again: None });
        if missing.first < at {
            missing.again.get_or_insert(at);
        }
        self.missing.insert(key);
        self.plan_look(key, at);
    }

    /// An event proves that a process existed at that time; false if it is not known.
    pub(super) fn found(&mut self, key: ProcKey, at: BootNs) -> bool {
        let Some(process) = self.processes.get_mut(key) else { return false };
        process.seen_at = at.max(process.seen_at);
        let Some(rare) = process.some_rare() else { return true };
        let Some(Missing { again, .. }) = rare.missing.take_if(|missing| missing.first < at) else { return true };
        rare.missing = again.filter(|&again| at <= again).map(|first| Missing { first, again: None });
        if rare.missing.is_none() {
            self.missing.remove(&key);
        }
        self.plan_look(key, at);
        true
    }

    /// The stream has reached that time: a process that was not found by then is gone if its end is known, or if it was
    /// not found a second time.
    pub(super) fn bury_missing(&mut self, turn: &mut Turn) {
        let is_gone = |key: &ProcKey| {
            let process = self.get(*key)?;
            let Missing { first, again } = process.missing?;
            let known = if process.death().is_some() { Some(first) } else { again };
            known.filter(|&last| last <= turn.at).map(|last| (*key, first, last))
        };
        let gone: Vec<_> = self.missing.iter().filter_map(is_gone).collect();
        // Children are younger than their parents.
        for (key, first, last) in gone.into_iter().rev() {
            self.remove(key, Leave::NotFound { first, last }, turn);
        }
    }

    /// Processes that were certainly gone by that time.
    pub(super) fn bury(&mut self, mut keys: Vec<ProcKey>, at: BootNs, turn: &mut Turn) {
        keys.sort_unstable();
        for key in keys.into_iter().rev() {
            self.remove(key, Leave::NotFound { first: at, last: at }, turn);
        }
    }

    /// Keeps a process that was removed because it was not found, unless its end was seen.
    pub(super) fn mislay(&mut self, process: Box<Process>, brought: Vec<ProcKey>) {
        if process.death().is_some() {
            return;
        }
        self.mislaid.push_back(Mislaid { process, brought });
        if self.mislaid.len() > MOST_MISLAID {
            self.mislaid.pop_front();
        }
    }

    /// Brings back a process that did something after it was not found, with all that was known about it; false if
    /// nothing is.
    pub(super) fn bring_back(&mut self, key: ProcKey, turn: &mut Turn) -> bool {
        let Some(i) = self.mislaid.iter().position(|mislaid| mislaid.process.key == key) else { return false };
        let Some(Mislaid { process: mut kept, brought }) = self.mislaid.remove(i) else { return false };
        if !self.know(key, turn) {
            return false;
        }
        let task = self.task_of(&kept);
        let (container, parent) = (kept.container.take(), kept.parent.take());
        let Some(process) = self.processes.get_mut(key) else { return false };
        // Index entries of the new one stay; `take_over()` and the calls below restore the rest.
        let Process { pid_ns, place, look_at, seen_at, .. } = *process;
        let missing = process.missing;
        *process = Process { pid_ns, place, look_at, seen_at, orphaned: None, ..*kept };
        if let Some(rare) = process.some_rare() {
            rare.missing = missing;
        }
        self.pending += process.pending.len();
        self.marked.extend(process.tracer.is_some().then_some(key));
        self.take_over(&task);
        self.put_in(key, container);
        self.note_client(key, &Args::default());
        self.note_entry_again(key, turn);
        for entry in brought {
            self.note_client_again(key, entry, turn);
        }
        if let Some(parent) = parent {
            // Its parent may have given it away meanwhile.
            self.set_parent(key, Some(parent));
            self.doubt(turn.at, None, key, self.identity(parent.key), None, turn);
        }
        turn.changes.push(Change::Learned(key));
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, Roles, TaskInfo},
        host::Container,
        ident::PidNs,
        story::{Story, args, born, born_in, end, key, task},
    };

    const NS: u32 = 4_026_532_500;
    const CLIENT: &str = "docker exec -it web sh -c top";
    const SHELL: &str = "sh -c top";

    /// A container (10), a service (3) with a client (20), and a shell (30) that came in for it.
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born(3, 1)).fork(born_in(NS, 10, 1, 2));
        let web = Container { id: "0123456789abcdef".into(), name: Some("web".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(web.clone()))).event(EventKind::Contained(key(10), web.id));
        let outsider = Roles { outsider: true, ..Roles::default() };
        story.fork(born(20, 3)).exec(20, CLIENT).fork(born(25, 2)).exec(25, "runc");
        story.fork(TaskInfo { roles: outsider, ..born_in(NS, 30, 30, 25) }).exec(30, SHELL);
        story.exit(end(25, 2, Adopter::Subreaper(task(2)))).free(25);
        story.wait(20, &[(30, b'S', 2)]);
        story
    }

    /// Nobody finds it, twice; then it does something.
    fn is_mislaid(story: &mut Story, pid: u32) {
        for _ in 0..2 {
            story.look(pid, None).event(EventKind::Tick);
        }
        assert!(story.world().get(key(pid)).is_none());
    }

    fn comes_back(story: &mut Story, pid: u32) {
        story.exec(pid, if pid == 20 { CLIENT } else { SHELL });
        story.world().check();
    }

    #[test]
    fn who_is_brought_back_is_whose_it_was() {
        let mut story = container();
        let family = story.world().family_of(&story.world().identity(key(20)), &[]);
        let members = story.world().container("0123456789abcdef").unwrap().1;
        is_mislaid(&mut story, 30);
        assert_eq!(story.world().container("0123456789abcdef").unwrap().1, members - 1);
        comes_back(&mut story, 30);
        assert_eq!(story.world().container("0123456789abcdef").unwrap().1, members);
        let process = story.world().get(key(30)).unwrap();
        assert_eq!((process.pid_ns, process.args.clone()), (PidNs(NS), args(SHELL)));
        assert!(process.roles.outsider);
        assert_eq!(story.world().entry(key(30)).unwrap().client.key, key(20));
        is_mislaid(&mut story, 20);
        comes_back(&mut story, 20);
        assert_eq!(story.world().family_of(&story.world().identity(key(20)), &[]), family);
    }

    #[test]
    fn the_end_of_a_client_counts_whoever_of_the_two_was_away() {
        for mislaid in [20, 30] {
            let mut story = container();
            is_mislaid(&mut story, mislaid);
            comes_back(&mut story, mislaid);
            assert_eq!(story.world().entry(key(30)).unwrap().ended, None);
            story.exit(Exit { status: ExitStatus(9), ..end(20, 3, Adopter::None) });
            let (_, status, _) = story.world().entry(key(30)).unwrap().ended.unwrap();
            assert_eq!(status, Some(ExitStatus(9)));
        }
        // It ends meanwhile.
        let mut story = container();
        is_mislaid(&mut story, 30);
        story.exit(Exit { status: ExitStatus(9), ..end(20, 3, Adopter::None) }).free(20);
        comes_back(&mut story, 30);
        let (_, status, seq) = story.world().entry(key(30)).unwrap().ended.unwrap();
        assert_eq!((status, seq), (None, None));
    }
}
