//! How much of what runs out is left: ptys, pids of the machine and of control groups.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use procfs::process::Process;

use crate::{
    host::{GroupRoom, Holder, Room, Rooms},
    ident::ProcKey,
    source::procfs::line,
    world::World,
};

/// Who holds ptys: so many are named.
const HOLDERS: usize = 5;
/// Members of a control group that are told.
const MEMBERS: usize = 1024;
/// A survey of the limits takes this share of the time at the most, however many control groups there are.
const SHARE: u32 = 400;

/// Pseudo-terminals of the machine (`kernel.pty.nr` of `kernel.pty.max`), less those that the kernel keeps
/// for its first mount of devpts (`kernel.pty.reserve`): containers have others.
pub fn ptys() -> Option<Room> {
    let most = number("/proc/sys/kernel/pty/max")?.saturating_sub(number("/proc/sys/kernel/pty/reserve")?);
    Some(Room { used: number("/proc/sys/kernel/pty/nr")?, most })
}

/// Pids of the machine, of which each thread and each zombie takes one.
pub fn pids() -> Option<Room> {
    let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    // The fourth field of proc_loadavg(5): running and all.
    let used = line("/proc/loadavg").split(' ').nth(3)?.split_once('/')?.1.parse().ok()?;
    Some(Room { used, most })
}

/// Pids that a process can still have: in each control group around it a process more counts, and the one
/// that has the least left decides.
pub fn pids_of(pid: u32) -> Option<Room> {
    let groups = Process::new(pid as i32).ok()?.cgroups().ok()?.0;
    let of_pids = groups.iter().find(|group| group.controllers.iter().any(|controller| controller == "pids"));
    let (mount, group) = match of_pids {
        Some(group) => (PIDS, group),
        None => (UNIFIED, groups.iter().find(|group| group.hierarchy == 0)?),
    };
    let folder = PathBuf::from(format!("{mount}{}", group.pathname));
    let around = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    around.filter_map(room_of).min_by_key(|room| room.free())
}

/// Where the hierarchies are mounted that can count pids.
const PIDS: &str = "/sys/fs/cgroup/pids";
const UNIFIED: &str = "/sys/fs/cgroup";

/// Pids of a control group, if they are limited.
fn room_of(folder: &Path) -> Option<Room> {
    // `max` is no number, and no limit.
    let most = number(folder.join("pids.max"))?;
    Some(Room { used: number(folder.join("pids.current"))?, most })
}

/// Each control group that limits pids, below a folder.
fn limited(folder: &Path, groups: &mut Vec<(PathBuf, Room)>) {
    if let Some(room) = room_of(folder) {
        groups.push((folder.to_owned(), room));
    }
    folders_in(folder).for_each(|folder| limited(&folder, groups));
}

/// The processes in a group and those below it, as they are known here.
fn members(folder: &Path, world: &World, keys: &mut Vec<ProcKey>) {
    let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    keys.extend(pids.lines().filter_map(|pid| Some(world.by_pid(pid.parse().ok()?)?.key)));
    folders_in(folder).for_each(|folder| members(&folder, world, keys));
}

/// What the processes hold ptys with: an open `/dev/ptmx` each. Those that hold most, first.
fn pty_holders(world: &World) -> Vec<Holder> {
    let held = |pid: u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let is_master = |path: PathBuf| path.ends_with("ptmx");
        Some(fds.flatten().filter(|fd| fs::read_link(fd.path()).is_ok_and(is_master)).count() as u64)
    };
    let all = world.processes().map(|process| process.key);
    let mut holders: Vec<_> = all.filter_map(|process| Some(Holder { process, held: held(process.tgid)? })).collect();
    holders.retain(|holder| holder.held > 0);
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.held));
    holders.truncate(HOLDERS);
    holders
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim_end().parse().ok()
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// Looks again and again, and tells what has changed.
#[derive(Debug)]
pub struct Limits {
    /// Of a hundred: who has them is told where so many are in use.
    pressure_at: u64,
    ptys: Option<Room>,
    pids: Option<Room>,
    groups: BTreeMap<PathBuf, GroupRoom>,
    next: Option<Instant>,
}

impl Limits {
    /// Nothing is told yet. Who has them will be told where `pressure_at` of a hundred are in use.
    pub fn new(pressure_at: u64) -> Self {
        Self { pressure_at, ptys: None, pids: None, groups: BTreeMap::new(), next: None }
    }

    /// What has changed since it was told last, if anything has.
    pub fn look(&mut self, world: &World) -> Option<Rooms> {
        let began = Instant::now();
        if self.next.is_some_and(|next| began < next) {
            return None;
        }
        let rooms = self.changed(world);
        let now = Instant::now();
        self.next = Some(now + ((now - began) * SHARE).min(Duration::from_secs(60)));
        (rooms != Rooms::default()).then_some(rooms)
    }

    fn changed(&mut self, world: &World) -> Rooms {
        let (ptys, pids) = (ptys(), pids());
        let is_short = ptys.is_some_and(|room| room.is_short(self.pressure_at));
        let mut rooms =
            Rooms { ptys: news(&mut self.ptys, ptys), pids: news(&mut self.pids, pids), ..Rooms::default() };
        if rooms.ptys.is_some() && is_short {
            rooms.pty_holders = pty_holders(world);
        }
        let mut groups = BTreeMap::new();
        let mut limited_groups = Vec::new();
        let root = if Path::new(PIDS).exists() { PIDS } else { UNIFIED };
        limited(Path::new(root), &mut limited_groups);
        for (folder, room) in limited_groups {
            let group = self.group(&folder, room, world);
            let Some(group) = group else { continue };
            if self.groups.get(&folder) != Some(&group) {
                rooms.groups.push(group.clone());
            }
            groups.insert(folder, group);
        }
        self.groups = groups;
        rooms
    }

    fn group(&self, folder: &Path, room: Room, world: &World) -> Option<GroupRoom> {
        let events = fs::read_to_string(folder.join("pids.events")).unwrap_or_default();
        let failed = events.lines().find_map(|line| line.strip_prefix("max ")?.parse().ok()).unwrap_or(0);
        let before = self.groups.get(folder);
        let is_short = room.is_short(self.pressure_at) || before.is_some_and(|before| before.failed < failed);
        let mut inside = Vec::new();
        members(folder, world, &mut inside);
        inside.sort_unstable();
        let process = *inside.first()?;
        inside.truncate(if is_short { MEMBERS } else { 0 });
        Some(GroupRoom { process, room, failed, members: inside })
    }
}

fn news(before: &mut Option<Room>, now: Option<Room>) -> Option<Room> {
    let is_news = *before != now;
    *before = now;
    now.filter(|_| is_news)
}
