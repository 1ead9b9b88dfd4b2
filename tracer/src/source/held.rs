//! What keeps a process from going on, and who has the other end of a pipe: a closer look into `/proc`.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    event::Held,
    ident::ProcKey,
    source::{procfs, reads},
};

/// Threads of a process that are looked at.
const MOST_THREADS: usize = 256;
/// Descriptors of a process that are looked at.
const MOST_DESCRIPTORS: usize = 256;
/// Control groups, each in the next, that are looked at.
const MOST_GROUPS: usize = 64;
/// The most of a path that is told.
const PATH_MAX: usize = 4 << 10;
/// How long the kernel may keep this waiting: it takes locks that an exec, or a page fault, holds, which may hang.
const PATIENCE: Duration = Duration::from_millis(50);

/// Looks at a process that was killed, or for which a signal waits.
pub fn held(key: ProcKey) -> Held {
    if procfs::look(key).found.is_none() {
        return Held::default();
    }
    let pid = key.tgid;
    let (tid, state) = stuck_thread(pid).unwrap_or((pid, String::new()));
    // 0: it does not sleep, or that may not be known.
    let wchan = Some(procfs::line(&format!("/proc/{pid}/task/{tid}/wchan"))).filter(|wchan| wchan != "0");
    let mut held = Held { state, wchan: wchan.unwrap_or_default(), file: String::new(), frozen: frozen(pid) };
    if held.state == "D" {
        reads::each(
            vec![(pid, tid)],
            PATIENCE,
            |&(pid, tid)| file(pid, tid),
            |_, file| {
                held.file = file.unwrap_or_default();
            },
        );
    }
    held
}

/// The first thread in uninterruptible sleep or in the hands of a tracer, else the main thread, and its state.
fn stuck_thread(pid: u32) -> Option<(u32, String)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut main = None;
    for thread in threads.take(MOST_THREADS) {
        let Some(tid) = thread.ok()?.file_name().to_str().and_then(|tid| tid.parse().ok()) else { continue };
        let Some(state) = state(&procfs::text(&format!("/proc/{pid}/task/{tid}/stat"))) else { continue };
        if state == "D" || state == "t" {
            return Some((tid, state));
        }
        if tid == pid {
            main = Some((tid, state));
        }
    }
    main
}

/// The state in a `stat`: behind the name, which ends with the last `)`.
fn state(stat: &str) -> Option<String> {
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.chars().next()?.to_string())
}

/// The file that the system call of a thread works on: by its descriptor, or by the path that it was given.
fn file(pid: u32, tid: u32) -> Option<String> {
    let call = procfs::line(&format!("/proc/{pid}/task/{tid}/syscall"));
    let mut words = call.split(' ');
    let number: i64 = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (first, second) = (argument()?, argument()?);
    let path = if DESCRIPTOR.contains(&number) {
        fs::read_link(format!("/proc/{pid}/fd/{first}")).ok()?
    } else if PATH.contains(&number) {
        path(pid, first)?
    } else if PATH_AT.contains(&number) {
        path(pid, second)?
    } else {
        return None;
    };
    let path = path.to_string_lossy();
    path.starts_with('/').then(|| path.chars().take(PATH_MAX).collect())
}

/// A path in the memory of a process, from the place where it works.
fn path(pid: u32, address: u64) -> Option<PathBuf> {
    let mut bytes = vec![0; PATH_MAX];
    let read = File::open(format!("/proc/{pid}/mem")).ok()?.read_at(&mut bytes, address).ok()?;
    let end = bytes[..read].iter().position(|&byte| byte == 0)?;
    bytes.truncate(end);
    Some(procfs::directory(pid)?.join(OsStr::from_bytes(&bytes)))
}

/// System calls that can wait for a file system, and whose first argument is a descriptor: read, write, fstat, ioctl,
/// pread64, pwrite64, readv, writev, flock, fsync, fdatasync, ftruncate, getdents, getdents64, sync_file_range,
/// fallocate, preadv, pwritev, syncfs, copy_file_range.
#[cfg(target_arch = "x86_64")]
const DESCRIPTOR: &[i64] = &[0, 1, 5, 16, 17, 18, 19, 20, 73, 74, 75, 77, 78, 217, 277, 285, 295, 296, 306, 326];
/// The same of those whose first argument is a path: open, stat, lstat, access, truncate, chdir, rename, mkdir, rmdir,
/// creat, unlink, readlink, chmod, chown, statfs, umount2.
#[cfg(target_arch = "x86_64")]
const PATH: &[i64] = &[2, 4, 6, 21, 76, 80, 82, 83, 84, 85, 87, 89, 90, 92, 137, 166];
/// And of those whose second argument is one, after the directory that it begins at: openat, mkdirat, newfstatat,
/// unlinkat, renameat, readlinkat, faccessat, renameat2, statx, openat2, faccessat2.
#[cfg(target_arch = "x86_64")]
const PATH_AT: &[i64] = &[257, 258, 262, 263, 264, 267, 269, 316, 332, 437, 439];
#[cfg(not(target_arch = "x86_64"))]
const DESCRIPTOR: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const PATH: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const PATH_AT: &[i64] = &[];

/// The file of a control group by which somebody has frozen a process: that of its own group, or of one around it.
fn frozen(pid: u32) -> String {
    let groups = procfs::text(&format!("/proc/{pid}/cgroup"));
    let found = groups.lines().find_map(|line| {
        // hierarchy-ID:controllers:path (cgroups(7))
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let places: &[&str] = match controllers {
            "" => &["/sys/fs/cgroup/unified", "/sys/fs/cgroup"],
            _ if controllers.split(',').any(|one| one == "freezer") => &["/sys/fs/cgroup/freezer"],
            _ => return None,
        };
        // A group outside of what can be seen from here.
        if path.contains("/..") {
            return None;
        }
        places.iter().find_map(|place| frozen_at(place, path, controllers.is_empty()))
    });
    found.unwrap_or_default()
}

/// The same, of a group at a place where a hierarchy is mounted. In both versions a group says of itself whether it was
/// frozen, and not because one around it was.
fn frozen_at(place: &str, path: &str, is_unified: bool) -> Option<String> {
    let (asked, file) =
        if is_unified { ("cgroup.freeze", "cgroup.freeze") } else { ("freezer.self_freezing", "freezer.state") };
    let groups = Path::new(path).ancestors().take(MOST_GROUPS);
    groups.map(|group| format!("{place}{}", group.display())).find_map(|group| {
        let group = group.trim_end_matches('/');
        (procfs::line(&format!("{group}/{asked}")) == "1").then(|| format!("{group}/{file}"))
    })
}

/// Whether one process has the writing end of a pipe of which the other one has the reading end.
pub fn share_pipe(reader: ProcKey, writer: ProcKey) -> bool {
    let is_there = |key| procfs::look(key).found.is_some();
    let read = pipes(reader.tgid, READ);
    !read.is_empty()
        && pipes(writer.tgid, WRITE).iter().any(|pipe| read.contains(pipe))
        && is_there(reader)
        && is_there(writer)
}

/// Permissions of a link of `/proc/PID/fd` (`proc_fd_link`): what the descriptor was opened for.
const READ: u32 = 0o400;
const WRITE: u32 = 0o200;

/// The pipes that a process has open for one of these, and not for the other.
fn pipes(pid: u32, mode: u32) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let descriptors = descriptors.take(MOST_DESCRIPTORS).filter_map(Result::ok).map(|entry| entry.path());
    let is_for = |path: &Path| fs::symlink_metadata(path).is_ok_and(|link| link.mode() & (READ | WRITE) == mode);
    let ends = descriptors.filter(|path| is_for(path)).filter_map(|path| fs::read_link(path).ok());
    ends.filter_map(|end| Some(end.to_str()?.to_owned())).filter(|end| end.starts_with("pipe:[")).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use tracer_model::time::BootNs;

    use super::*;

    fn key(pid: u32) -> ProcKey {
        let stat = procfs::text(&format!("/proc/{pid}/stat"));
        let ticks: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        ProcKey { start: BootNs(ticks * 10_000_000), tgid: pid }
    }

    #[test]
    fn the_state_stands_behind_the_name() {
        assert_eq!(state("7 (a) D b) S 1 7").as_deref(), Some("S"));
        assert_eq!(state("7 (a"), None);
    }

    #[test]
    fn a_process_that_sleeps_is_not_held() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let Held { file, frozen, .. } = held(key(child.id()));
        assert_eq!((file, frozen), (String::new(), String::new()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn the_two_ends_of_a_pipe_are_told_apart() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (own, its) = (key(std::process::id()), key(child.id()));
        assert!(share_pipe(its, own), "it reads what this one writes");
        assert!(!share_pipe(own, its));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
