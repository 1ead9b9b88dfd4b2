//! Control groups that limit pids. The tree is walked once, from its root, with bounds on depth, number and time: a
//! user to whom a part of it was delegated may make that as deep and wide as they like.

use std::{
    ffi::{CStr, OsStr},
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use procfs::process::Process;
use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};

use crate::{host::Room, source::procfs::text};

/// Where the old hierarchy of the controller is mounted. If it is not, the unified one is used.
const OLD: &str = "/sys/fs/cgroup/pids";
/// Where the unified hierarchy is mounted; the second is beside old hierarchies.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// How many levels below the root are looked at.
const MOST_DEEP: usize = 64;
/// How many groups are looked at: of those that root made, of all others, and of one delegated tree, which must not
/// keep `tracer` from looking at the rest.
const MOST: u32 = 16_384;
const MOST_OF_OTHERS: u32 = 16_384;
const MOST_OF_ONE: u32 = 1_024;
/// How long each of the first two may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pids of members that are read, and bytes of each list.
const MOST_PIDS: usize = 1 << 18;
const LIST: usize = 1 << 17;
/// Bytes of a file with a number or two.
const SHORT: usize = 512;
/// How many bytes of a group's path are kept.
const PATH: usize = 512;

/// A control group that limits pids.
#[derive(Debug)]
pub(super) struct Group {
    /// Unlike its name, this id is never reused (`kernfs_node.id`).
    pub id: u64,
    /// Below the root of the hierarchy, not escaped; cut at its beginning if it is very long.
    pub path: String,
    /// The limited group that it lies in, by its index in the list, which is lower than its own.
    pub around: Option<usize>,
    /// Pids in use, of its limit.
    pub room: Room,
    /// Host pids of the processes in it, without those of limited groups inside.
    pub members: Vec<u32>,
    /// Its counters, and those of the groups without a limit inside.
    pub counters: Vec<Counter>,
}

/// How many processes or threads could not be started since the group was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    /// Of which group.
    pub id: u64,
    /// The count.
    pub failed: u64,
    /// Because of this group's own limit; otherwise of its members, whichever limit around them was reached.
    pub is_own: bool,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A group comes before those inside it.
    pub groups: Vec<Group>,
    /// Groups that were not looked at, nor counted.
    pub left_out: u64,
}

/// Walks the tree.
pub(super) fn walk() -> Seen {
    let mut walk = Walk::default();
    let Ok(root) = open_folder(CWD, root()) else { return walk.seen };
    walk.is_by_member = text("/proc/self/mountinfo").contains("pids_localevents");
    (walk.left, walk.until) = (MOST, Some(Instant::now() + PATIENCE));
    walk.folder(&root, &Place::default());
    let given = std::mem::take(&mut walk.given);
    (walk.left_of_others, walk.until) = (MOST_OF_OTHERS, Some(Instant::now() + PATIENCE));
    walk.is_given = true;
    for place in given {
        walk.left = MOST_OF_ONE.min(walk.left_of_others);
        walk.left_of_others -= walk.left;
        match open_folder(&root, place.path.as_path()) {
            Ok(folder) => walk.folder(&folder, &place),
            Err(error) => walk.not_opened(error),
        }
        walk.left_of_others += walk.left;
    }
    walk.seen
}

/// The root of the hierarchy that counts pids.
fn root() -> &'static Path {
    let unified = || UNIFIED.into_iter().find(|root| Path::new(root).join("cgroup.controllers").exists());
    Path::new(if Path::new(OLD).exists() { OLD } else { unified().unwrap_or(UNIFIED[0]) })
}

#[derive(Default)]
struct Walk {
    seen: Seen,
    /// Trees that belong to another user than root: walked later.
    given: Vec<Place>,
    /// They are walked now.
    is_given: bool,
    left: u32,
    left_of_others: u32,
    until: Option<Instant>,
    pids: usize,
    /// `pids.events.local` counts the failures of members (mount option `pids_localevents`).
    is_by_member: bool,
}

/// A place in the tree.
#[derive(Clone, Default)]
struct Place {
    path: PathBuf,
    depth: usize,
    /// The innermost limited group around it.
    around: Option<usize>,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd, place: &Place) {
        self.left = self.left.saturating_sub(1);
        let Some(around) = self.group(folder, place) else { return };
        let Ok(mut entries) = Dir::read_from(folder) else { return };
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 || place.depth == MOST_DEEP {
                self.seen.left_out += 1;
                continue;
            }
            if self.until.is_some_and(|until| Instant::now() > until) {
                // Nor what comes after it: the number is not known.
                self.seen.left_out += 1;
                break;
            }
            let path = place.path.join(OsStr::from_bytes(name.to_bytes()));
            let inner = Place { path, depth: place.depth + 1, around };
            match open_folder(folder, name) {
                Ok(folder) if !self.is_given && fstat(&folder).is_ok_and(|stat| stat.st_uid != 0) => {
                    if self.given.len() < MOST as usize {
                        self.given.push(inner);
                    } else {
                        self.seen.left_out += 1;
                    }
                }
                Ok(folder) => self.folder(&folder, &inner),
                Err(error) => self.not_opened(error),
            }
        }
    }

    /// Processes that are gone by now are not missed.
    fn not_opened(&mut self, error: Errno) {
        self.seen.left_out += u64::from(!matches!(error, Errno::NOENT | Errno::NODEV));
    }

    /// Reads a group. Returns the innermost limited group that its children lie in, which may be itself; `None` if it
    /// is gone.
    fn group(&mut self, folder: &OwnedFd, place: &Place) -> Option<Option<usize>> {
        let id = fstat(folder).ok()?.st_ino;
        let groups = &mut self.seen.groups;
        let inside = match room_in(folder.as_fd()) {
            Some(room) => {
                groups.push(Group {
                    id,
                    path: shown(&place.path),
                    around: place.around,
                    room,
                    members: Vec::new(),
                    counters: Vec::new(),
                });
                groups.len() - 1
            }
            None => match place.around {
                Some(around) => around,
                None => return Some(None),
            },
        };
        let group = &mut groups[inside];
        let local = failed_in(folder.as_fd(), c"pids.events.local");
        let failed = local.or_else(|| failed_in(folder.as_fd(), c"pids.events"));
        let is_own = local.is_some() && !self.is_by_member;
        group.counters.extend(failed.map(|failed| Counter { id, failed, is_own }));
        if self.pids < MOST_PIDS {
            let list = read(folder.as_fd(), c"cgroup.procs", LIST);
            let before = group.members.len();
            group.members.extend(list.lines().filter_map(|pid| pid.parse::<u32>().ok()));
            self.pids += group.members.len() - before;
        }
        Some(Some(inside))
    }
}

/// How many pids a process can still have: one more counts in each control group around it, and the group with the
/// least room decides. `None` also for a process that lies too deep.
pub(crate) fn pids_of(pid: u32) -> Option<Room> {
    let groups = Process::new(pid as i32).ok()?.cgroups().ok()?.0;
    let of_pids = groups.iter().find(|group| group.controllers.iter().any(|controller| controller == "pids"));
    let group = match of_pids {
        Some(group) => group,
        None => groups.iter().find(|group| group.hierarchy == 0)?,
    };
    let below: Vec<_> = Path::new(&group.pathname).components().skip(1).collect();
    // The path of a process outside the own cgroup namespace begins with `..`.
    let is_below = below.iter().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || below.len() > MOST_DEEP {
        return None;
    }
    let mut folder = open_folder(CWD, root()).ok()?;
    let mut least = room_in(folder.as_fd());
    for part in below {
        folder = open_folder(&folder, part.as_os_str()).ok()?;
        least = [least, room_in(folder.as_fd())].into_iter().flatten().min_by_key(|room| room.free());
    }
    least
}

/// Pids of a control group, if they are limited.
fn room_in(folder: BorrowedFd<'_>) -> Option<Room> {
    let number = |name: &CStr| read(folder, name, SHORT).trim_end().parse().ok();
    // `max` is no number, and no limit.
    let most = number(c"pids.max")?;
    Some(Room { used: number(c"pids.current")?, most })
}

fn failed_in(folder: BorrowedFd<'_>, name: &CStr) -> Option<u64> {
    read(folder, name, SHORT).lines().find_map(|line| line.strip_prefix("max ")?.parse().ok())
}

fn open_folder(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The beginning of a file, up to the end of its last whole line if it is longer; empty if it cannot be read.
fn read(folder: BorrowedFd<'_>, name: &CStr, most: usize) -> String {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()) else { return String::new() };
    let mut bytes = Vec::new();
    // What was read before an error counts: a group can vanish meanwhile.
    _ = File::from(file).take(most as u64).read_to_end(&mut bytes);
    if bytes.len() == most {
        bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// A path from the root on; its end says most.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.len().checked_sub(PATH) {
        Some(over @ 1..) => format!("…{}", &text[text.ceil_char_boundary(over)..]),
        _ => format!("/{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory that looks like a tree of control groups.
    fn tree(groups: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, most) in groups {
            let group = folder.path().join(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("pids.max"), most).unwrap();
            fs::write(group.join("pids.current"), "1\n").unwrap();
            fs::write(group.join("cgroup.procs"), "7\n").unwrap();
        }
        folder
    }

    fn walked(folder: &Path, left: u32) -> Seen {
        let mut walk = Walk { left, is_given: true, ..Walk::default() };
        walk.folder(&open_folder(CWD, folder).unwrap(), &Place::default());
        walk.seen
    }

    #[test]
    fn each_group_is_seen_once_and_its_members_go_to_the_limit_around_them() {
        let folder = tree(&[("", "max\n"), ("a", "10\n"), ("a/b", "max\n"), ("a/b/c", "5\n"), ("d", "max\n")]);
        let seen = walked(folder.path(), MOST);
        let paths: Vec<_> = seen.groups.iter().map(|group| (group.path.as_str(), group.around)).collect();
        assert_eq!(paths, [("/a", None), ("/a/b/c", Some(0))]);
        assert_eq!(seen.groups.iter().map(|group| group.members.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(seen.left_out, 0);
    }

    #[test]
    fn what_counts_for_the_limit_itself_goes_before_what_counts_for_members() {
        let folder = tree(&[("a", "10\n"), ("b", "10\n")]);
        for name in ["a/pids.events", "b/pids.events"] {
            fs::write(folder.path().join(name), "max 9\n").unwrap();
        }
        fs::write(folder.path().join("a/pids.events.local"), "max 2\n").unwrap();
        let mut seen = walked(folder.path(), MOST);
        seen.groups.sort_by(|a, b| a.path.cmp(&b.path));
        let counted: Vec<_> =
            seen.groups.iter().map(|group| (group.counters[0].failed, group.counters[0].is_own)).collect();
        assert_eq!(counted, [(2, true), (9, false)]);
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_counted_and_left_out() {
        let deep = vec!["x"; MOST_DEEP + 3].join("/");
        let seen = walked(tree(&[(&deep, "10\n")]).path(), MOST);
        assert_eq!((seen.groups.len(), seen.left_out), (0, 1));
        let many: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "10\n")).collect();
        let seen = walked(tree(&many).path(), 11);
        assert_eq!((seen.groups.len(), seen.left_out), (10, 10));
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let long = shown(&PathBuf::from("é".repeat(PATH)).join("end"));
        assert!(long.starts_with('…') && long.ends_with("/end") && long.len() < PATH + 8, "{long}");
        assert_eq!(shown(Path::new("")), "/");
    }

    #[test]
    fn a_list_that_is_too_long_ends_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("list"), "123\n456\n789\n").unwrap();
        let folder = open_folder(CWD, folder.path()).unwrap();
        assert_eq!(read(folder.as_fd(), c"list", 6), "123\n");
        assert_eq!(read(folder.as_fd(), c"list", 100), "123\n456\n789\n");
        assert_eq!(read(folder.as_fd(), c"none", 100), "");
    }
}
