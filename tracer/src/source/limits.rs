//! How many ptys and pids are left: pids of the machine and of control groups.
//!
//! A thread of its own looks, so that nothing that others have made can delay the stream. Its result becomes an event
//! when it is done.

use std::{
    collections::{BTreeMap, HashMap},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use crate::{
    host::{GroupRoom, Holder, Ptys, Room, Rooms},
    ident::ProcKey,
    source::{procfs::line, witness::Witness},
    world::World,
};

mod groups;

pub(crate) use groups::pids_of;
use groups::{Group, Seen};

/// How many members of a control group are reported, and of all groups at a time.
const MEMBERS: usize = 1_024;
const MEMBERS_OF_ALL: usize = 16_384;
/// The most of one processor's time that surveys of the limits may take.
const SHARE: u32 = 400;
/// But the next survey comes after this time at the latest.
const LONGEST: Duration = Duration::from_secs(60);

/// Pseudo-terminals of the machine (`kernel.pty.nr`, `kernel.pty.max`, `kernel.pty.reserve`).
pub fn ptys() -> Option<Ptys> {
    let (used, most) = (number("/proc/sys/kernel/pty/nr")?, number("/proc/sys/kernel/pty/max")?);
    Some(Ptys { room: Room { used, most }, reserve: number("/proc/sys/kernel/pty/reserve")?.min(most) })
}

/// Pids of the machine; each thread and each zombie takes one.
pub fn pids() -> Option<Room> {
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    // The fourth field of proc_loadavg(5): running and total.
    let used = line("/proc/loadavg").split(' ').nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Room { used, most })
}

fn number(path: &str) -> Option<u64> {
    line(path).parse().ok()
}

/// What one look has seen, as numbers: the world knows the processes.
#[derive(Debug, Default)]
struct Sight {
    ptys: Option<Ptys>,
    pty_holders: Vec<(u32, u64)>,
    pids: Option<Room>,
    groups: Seen,
    took: Duration,
}

impl Sight {
    fn take(pressure_at: u64, witness: &Witness) -> Self {
        let began = Instant::now();
        let ptys = ptys();
        let is_short = ptys.is_some_and(|ptys| ptys.of_containers().is_short(pressure_at));
        let pty_holders = if is_short { witness.pty_holders() } else { Vec::new() };
        let groups = groups::walk();
        Self { ptys, pty_holders, pids: pids(), groups, took: began.elapsed() }
    }
}

/// Looks again and again, and reports what has changed.
#[derive(Debug)]
pub struct LimitsWatch {
    /// In percent: from this use on, the holders are reported.
    pressure_at: u64,
    /// Who looks at what only root may see.
    witness: Witness,
    thread: Option<Thread>,
    next: Option<Instant>,
    told: Reported,
}

#[derive(Debug)]
struct Thread {
    questions: SyncSender<()>,
    answers: Receiver<Sight>,
    /// It was asked, and has not answered yet.
    is_asked: bool,
}

impl Thread {
    fn start(pressure_at: u64, witness: &Witness) -> Option<Self> {
        let witness = witness.another().ok()?;
        let (questions, asked) = mpsc::sync_channel(1);
        let (answer, answers) = mpsc::sync_channel(1);
        let work = move || {
            while let Ok(()) = asked.recv() {
                if answer.send(Sight::take(pressure_at, &witness)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("limits".into()).spawn(work).ok()?;
        Some(Self { questions, answers, is_asked: false })
    }
}

impl LimitsWatch {
    /// Nothing has been reported yet. Holders are reported from `pressure_at` percent on.
    pub fn new(pressure_at: u64, witness: &Witness) -> Self {
        Self { pressure_at, witness: witness.clone(), thread: None, next: None, told: Reported::default() }
    }

    /// Starts a look, unless one is in progress or has just ended.
    pub fn ask(&mut self) {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        if self.thread.is_none() {
            // If no thread can be started now, the next look may get one.
            self.thread = Thread::start(self.pressure_at, &self.witness);
        }
        if let Some(thread) = &mut self.thread
            && !thread.is_asked
        {
            thread.is_asked = thread.questions.try_send(()).is_ok();
        }
    }

    /// Whether a look is in progress.
    pub fn is_waiting(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.is_asked)
    }

    /// What has changed since the last report, if anything.
    pub fn news(&mut self, world: &World) -> Option<Rooms> {
        let thread = self.thread.as_mut()?;
        let sight = thread.answers.try_recv().ok()?;
        thread.is_asked = false;
        self.next = Some(Instant::now() + (sight.took * SHARE).min(LONGEST));
        let rooms = self.told.changed(self.pressure_at, sight, world);
        (rooms != Rooms::default()).then_some(rooms)
    }

    /// Looks a last time, within a time limit: what has changed since the last report.
    pub fn last(&mut self, world: &World, at_most: Duration) -> Option<Rooms> {
        let until = Instant::now() + at_most;
        self.next = None;
        // A look that was already in progress is not the last one.
        let looks = 1 + usize::from(self.thread.as_ref().is_some_and(|thread| thread.is_asked));
        let mut told = None;
        for _ in 0..looks {
            self.ask();
            let thread = self.thread.as_mut()?;
            match thread.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(sight) => told = Some(sight),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            thread.is_asked = false;
        }
        let rooms = self.told.changed(self.pressure_at, told?, world);
        (rooms != Rooms::default()).then_some(rooms)
    }
}

/// What was reported last.
#[derive(Debug, Default)]
struct Reported {
    ptys: Option<Ptys>,
    pids: Option<Room>,
    groups: BTreeMap<u64, GroupRoom>,
    left_out: u64,
    /// The counters of each group when it was last seen.
    counted: HashMap<u64, u64>,
    /// The last look saw every group: one that appears now is new.
    is_whole: bool,
}

impl Reported {
    fn changed(&mut self, pressure_at: u64, sight: Sight, world: &World) -> Rooms {
        let Sight { ptys, pty_holders, pids, groups: Seen { groups, left_out }, took: _ } = sight;
        let mut rooms = Rooms::default();
        if ptys != self.ptys {
            self.ptys = ptys;
            (rooms.ptys, rooms.pty_reserve) = ptys.map_or((None, 0), |ptys| (Some(ptys.room), ptys.reserve));
            let holder = |(pid, held)| Some(Holder { process: world.by_pid(pid)?.key, held });
            rooms.pty_holders = pty_holders.into_iter().filter_map(holder).collect();
        }
        if pids != self.pids {
            (self.pids, rooms.pids) = (pids, pids);
        }
        if left_out != self.left_out {
            // The exact number changes all the time; whether there are any does not.
            rooms.groups_left_out = ((left_out > 0) != (self.left_out > 0)).then_some(left_out);
            self.left_out = left_out;
        }
        let now = self.group_rooms(pressure_at, &groups, left_out == 0, world);
        rooms.groups = now.values().filter(|&group| self.groups.get(&group.id) != Some(group)).cloned().collect();
        if left_out == 0 {
            rooms.groups_gone = self.groups.keys().copied().filter(|id| !now.contains_key(id)).collect();
            self.groups = now;
        } else {
            // A group that was not seen may still be there.
            self.groups.extend(now);
        }
        rooms
    }

    fn group_rooms(
        &mut self,
        pressure_at: u64,
        groups: &[Group],
        is_whole: bool,
        world: &World,
    ) -> BTreeMap<u64, GroupRoom> {
        let failures = self.failures(groups, is_whole);
        let mut inside: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
        // The oldest of each group, including groups inside: whoever is inside came later.
        let mut oldest: Vec<Option<ProcKey>> = vec![None; groups.len()];
        for (i, group) in groups.iter().enumerate().rev() {
            let own = group.members.iter().filter_map(|&pid| Some(world.by_pid(pid)?.key)).min();
            oldest[i] = [oldest[i], own].into_iter().flatten().min();
            if let Some(around) = group.around {
                oldest[around] = [oldest[around], oldest[i]].into_iter().flatten().min();
                inside[around].push(i);
            }
        }
        let mut left = MEMBERS_OF_ALL;
        let mut rooms = BTreeMap::new();
        for (i, group) in groups.iter().enumerate() {
            let Some(process) = oldest[i] else { continue };
            let Failures { count, is_inferred } = failures[i];
            let before = self.groups.get(&group.id).map_or(0, |before| before.failed);
            let mut members = Vec::new();
            if group.room.is_short(pressure_at) || count > 0 {
                members = members_of(groups, &inside, i, world, left.min(MEMBERS));
                left -= members.len();
            }
            rooms.insert(
                group.id,
                GroupRoom {
                    process,
                    room: group.room,
                    failed: before.saturating_add(count),
                    failed_now: Some(count),
                    failed_is_inferred: is_inferred,
                    members,
                    id: group.id,
                    path: group.path.clone(),
                },
            );
        }
        rooms
    }

    /// Forks that failed since the last look, by the limit that was reached.
    fn failures(&mut self, groups: &[Group], is_whole: bool) -> Vec<Failures> {
        let mut failures = vec![Failures::default(); groups.len()];
        let mut counted = HashMap::new();
        for (i, group) in groups.iter().enumerate() {
            for counter in &group.counters {
                // A new group starts from 0; a group that was not looked at gives no number.
                let before = self.counted.get(&counter.id).copied();
                let before = before.unwrap_or(if self.is_whole { 0 } else { counter.failed });
                counted.insert(counter.id, counter.failed);
                let new = counter.failed.saturating_sub(before);
                if new == 0 {
                    continue;
                }
                let around = || std::iter::successors(Some(i), |&i| groups[i].around);
                let at = match counter.is_own {
                    true => i,
                    false => around().min_by_key(|&i| groups[i].room.free()).unwrap_or(i),
                };
                failures[at].count += new;
                failures[at].is_inferred |= !counter.is_own && group.around.is_some();
            }
        }
        (self.counted, self.is_whole) = (counted, is_whole);
        failures
    }
}

/// Processes and threads that could not be started.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u64,
    /// The kernel does not say which of several limits was reached.
    is_inferred: bool,
}

/// The processes in a group and those inside it, as they are known here.
fn members_of(groups: &[Group], inside: &[Vec<usize>], group: usize, world: &World, most: usize) -> Vec<ProcKey> {
    let mut keys = Vec::new();
    let mut next = vec![group];
    while let Some(i) = next.pop()
        && keys.len() < most
    {
        let known = groups[i].members.iter().filter_map(|&pid| Some(world.by_pid(pid)?.key));
        keys.extend(known.take(most - keys.len()));
        next.extend(&inside[i]);
    }
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    use super::{groups::Counter, *};
    use crate::story::{Story, born, key};

    /// A group with one process, its limit and what it uses of it, and what it has counted.
    fn group(id: u64, around: Option<usize>, pid: u32, used: u64, counter: (u64, bool)) -> Group {
        let (failed, is_own) = counter;
        Group {
            id,
            path: format!("/{id}"),
            around,
            room: Room { used, most: 10 },
            members: vec![pid],
            counters: vec![Counter { id, failed, is_own }],
        }
    }

    fn told(told: &mut Reported, groups: Vec<Group>, left_out: u64) -> Rooms {
        let mut story = Story::new();
        story.fork(born(20, 1)).fork(born(30, 1));
        let sight = Sight { groups: Seen { groups, left_out }, ..Sight::default() };
        told.changed(80, sight, story.world())
    }

    fn failed(rooms: &Rooms) -> Vec<(u64, u64)> {
        rooms.groups.iter().map(|group| (group.failed_now.unwrap(), group.failed)).collect()
    }

    #[test]
    fn what_had_failed_before_the_first_look_is_not_told() {
        let mut all = Reported::default();
        assert_eq!(failed(&told(&mut all, vec![group(1, None, 20, 5, (7, true))], 0)), [(0, 0)]);
        assert_eq!(failed(&told(&mut all, vec![group(1, None, 20, 5, (9, true))], 0)), [(2, 2)]);
        // That none are left to report is a change as well.
        assert_eq!(failed(&told(&mut all, vec![group(1, None, 20, 5, (9, true))], 0)), [(0, 2)]);
        assert_eq!(told(&mut all, vec![group(1, None, 20, 5, (9, true))], 0), Rooms::default());
    }

    #[test]
    fn of_a_new_group_all_failures_are_new_unless_it_may_only_have_been_out_of_sight() {
        for (left_out, want) in [(0, 3), (1, 0)] {
            let mut all = Reported::default();
            told(&mut all, vec![], left_out);
            assert_eq!(failed(&told(&mut all, vec![group(1, None, 20, 5, (3, true))], 0)), [(want, want)]);
        }
    }

    #[test]
    fn a_count_for_members_goes_to_the_limit_that_has_the_least_left() {
        let nested =
            |is_own, failed| vec![group(1, None, 20, 10, (0, is_own)), group(2, Some(0), 30, 4, (failed, is_own))];
        for (is_own, want, is_inferred) in [(false, [5, 0], [true, false]), (true, [0, 5], [false, false])] {
            let mut all = Reported::default();
            told(&mut all, nested(is_own, 0), 0);
            let rooms = told(&mut all, nested(is_own, 5), 0);
            let of = |id| rooms.groups.iter().find(|group| group.id == id).cloned().unwrap_or_default();
            assert_eq!([1, 2].map(|id| of(id).failed), want);
            assert_eq!([1, 2].map(|id| of(id).failed_is_inferred), is_inferred);
        }
    }

    #[test]
    fn the_oldest_process_and_the_members_are_those_inside_too() {
        let groups = vec![group(1, None, 30, 9, (0, true)), group(2, Some(0), 20, 9, (0, true))];
        let rooms = told(&mut Reported::default(), groups, 0);
        let members: Vec<_> = rooms.groups.iter().map(|group| (group.process, group.members.clone())).collect();
        assert_eq!(members, [(key(20), vec![key(20), key(30)]), (key(20), vec![key(20)])]);
    }

    #[test]
    fn who_is_gone_is_told_but_not_who_may_only_be_out_of_sight() {
        let mut all = Reported::default();
        told(&mut all, vec![group(1, None, 20, 5, (0, true)), group(2, None, 30, 5, (0, true))], 0);
        let rooms = told(&mut all, vec![group(1, None, 20, 5, (0, true))], 4);
        assert_eq!((rooms.groups_gone, rooms.groups_left_out), (vec![], Some(4)));
        let rooms = told(&mut all, vec![group(1, None, 20, 5, (0, true))], 9);
        assert_eq!(rooms, Rooms::default(), "how many they are changes all the time");
        let rooms = told(&mut all, vec![group(1, None, 20, 5, (0, true))], 0);
        assert_eq!((rooms.groups_gone, rooms.groups_left_out), (vec![2], Some(0)));
    }
}
