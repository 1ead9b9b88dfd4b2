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

/// Pids of the control group that a process is in.
pub fn pids_of(pid: u32) -> Option<Room> {
    Some(tightest(&group_of(pid)?)?.0)
}

/// The folder of the control group that counts the pids of a process.
fn group_of(pid: u32) -> Option<PathBuf> {
    let groups = Process::new(pid as i32).ok()?.cgroups().ok()?.0;
    let pids = groups.iter().find(|group| group.controllers.iter().any(|controller| controller == "pids"));
    let (mount, group) = match pids {
        Some(group) => ("/sys/fs/cgroup/pids", group),
        None => ("/sys/fs/cgroup", groups.iter().find(|group| group.hierarchy == 0)?),
    };
    Some(PathBuf::from(format!("{mount}{}", group.pathname)))
}

/// Of a group and those around it, the one that has the least left: a process more counts in each. With
/// how often that was too many.
fn tightest(group: &Path) -> Option<(Room, u64)> {
    let of = |folder: &Path| {
        // `max` is no number, and no limit.
        let most = number(folder.join("pids.max").to_str()?)?;
        let room = Room { used: number(folder.join("pids.current").to_str()?)?, most };
        let events = fs::read_to_string(folder.join("pids.events")).unwrap_or_default();
        let failed = events.lines().find_map(|line| line.strip_prefix("max ")?.parse().ok());
        Some((room, failed.unwrap_or(0)))
    };
    group
        .ancestors()
        .take_while(|folder| *folder != Path::new("/sys/fs"))
        .filter_map(of)
        .min_by_key(|(room, _)| room.free())
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

fn number(path: &str) -> Option<u64> {
    line(path).parse().ok()
}

/// Looks again and again, and tells what has changed.
#[derive(Debug, Default)]
pub struct Limits {
    ptys: Option<Room>,
    pids: Option<Room>,
    groups: BTreeMap<ProcKey, GroupRoom>,
    next: Option<Instant>,
}

impl Limits {
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
        let is_short = ptys.is_some_and(Room::is_short);
        let mut rooms =
            Rooms { ptys: news(&mut self.ptys, ptys), pids: news(&mut self.pids, pids), ..Rooms::default() };
        if rooms.ptys.is_some() && is_short {
            rooms.pty_holders = pty_holders(world);
        }
        let mut groups = BTreeMap::new();
        for (process, folder) in members(world) {
            let Some((room, failed)) = tightest(&folder) else { continue };
            let group = GroupRoom { process, room, failed };
            if self.groups.get(&process) != Some(&group) {
                rooms.groups.push(group);
            }
            groups.insert(process, group);
        }
        self.groups = groups;
        rooms
    }
}

fn news(before: &mut Option<Room>, now: Option<Room>) -> Option<Room> {
    let is_news = *before != now;
    *before = now;
    now.filter(|_| is_news)
}

/// A process for each control group: inits of pid namespaces, and for the rest whoever is oldest in it.
fn members(world: &World) -> Vec<(ProcKey, PathBuf)> {
    let inits = world.namespaces().filter(|ns| ns.level > 0).filter_map(|ns| ns.init);
    let mut oldest: BTreeMap<u64, ProcKey> = BTreeMap::new();
    for process in world.processes() {
        oldest.entry(process.cgroup).or_insert(process.key);
    }
    let mut seen = BTreeMap::new();
    for key in inits.chain(oldest.into_values()) {
        if let Some(folder) = group_of(key.tgid) {
            seen.entry(folder).or_insert(key);
        }
    }
    seen.into_iter().map(|(folder, key)| (key, folder)).collect()
}
