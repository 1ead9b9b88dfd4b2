//! The limit on processes that the cgroups of this process set.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::source::procfs;

/// The tightest `pids.max` from the own cgroup upwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidsLimit {
    /// `pids.max`.
    pub max: u64,
    /// `pids.current` beside it.
    pub current: u64,
    /// The cgroup.
    pub dir: PathBuf,
}

/// The limit, `None` if there is none, or no pids controller.
pub(super) fn pids_limit() -> Option<PidsLimit> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (mount, dir) = own_cgroup(&cgroups, &mounts)?;
    dir.ancestors()
        .take_while(|dir| dir.starts_with(&mount))
        .filter_map(|dir| {
            let read = |file: &str| procfs::line(dir.join(file).to_str()?).parse().ok();
            // "max" is no number: no limit at this level.
            Some(PidsLimit { max: read("pids.max")?, current: read("pids.current")?, dir: dir.to_owned() })
        })
        .min_by_key(|limit| limit.max.saturating_sub(limit.current))
}

/// Where the hierarchy with the pids controller is mounted, and the own cgroup in it. The old
/// hierarchy of the controller goes first: where it exists, the unified one has no pids files.
fn own_cgroup(cgroups: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    let path_of = |is_it: fn(&str, &str) -> bool| {
        cgroups.lines().find_map(|line| {
            let (id, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            is_it(id, controllers).then_some(path)
        })
    };
    let has_pids = |list: &str| list.split(',').any(|name| name == "pids");
    let old = path_of(|_, controllers| controllers.split(',').any(|name| name == "pids"));
    let (path, (mount, root)) = match old {
        Some(path) => (path, mount_point(mounts, |kind, options| kind == "cgroup" && has_pids(options))?),
        None => (path_of(|id, _| id == "0")?, mount_point(mounts, |kind, _| kind == "cgroup2")?),
    };
    // Only part of the hierarchy may be mounted, as in a container.
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some((mount.to_owned(), mount.join(below)))
}

/// Mount point and root of a mount: proc_pid_mountinfo(5).
fn mount_point(mounts: &str, is_it: impl Fn(&str, &str) -> bool) -> Option<(&Path, &Path)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let mut left = left.split(' ').skip(3);
        let (root, mount) = (left.next()?, left.next()?);
        is_it(kind, options).then_some((Path::new(mount), Path::new(root)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        26 25 0:23 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
        27 25 0:24 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        28 25 0:25 / /proc rw - proc proc rw\n";

    #[test]
    fn the_old_hierarchy_goes_first() {
        let found = own_cgroup("8:pids:/a/b\n0::/\n", MOUNTS).unwrap();
        assert_eq!(found, ("/sys/fs/cgroup/pids".into(), "/sys/fs/cgroup/pids/a/b".into()));
    }

    #[test]
    fn the_unified_hierarchy() {
        let found = own_cgroup("0::/user.slice/x.scope\n", MOUNTS).unwrap();
        assert_eq!(found.1, PathBuf::from("/sys/fs/cgroup/unified/user.slice/x.scope"));
    }

    #[test]
    fn a_part_of_a_hierarchy() {
        let mounts = "30 25 0:23 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own_cgroup("0::/docker/x/y\n", mounts).unwrap().1, PathBuf::from("/sys/fs/cgroup/y"));
        assert_eq!(own_cgroup("0::/other\n", mounts), None);
    }

    #[test]
    fn strange_files_are_nothing() {
        for (cgroups, mounts) in [("", ""), ("0::/", "x"), ("0", MOUNTS), ("0::/", "a b - cgroup2")] {
            assert_eq!(own_cgroup(cgroups, mounts), None);
        }
    }
}
