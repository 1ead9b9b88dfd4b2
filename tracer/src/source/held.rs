//! What keeps a process from going on, and who has the other end of a pipe, from `/proc`.

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

use nix::libc::{self, AT_FDCWD};

use crate::{
    event::Held,
    foreign::stat,
    ident::ProcKey,
    signal::Signal,
    source::{procfs, reads},
};

/// How many threads of a process are looked at.
const MOST_THREADS: usize = 256;
/// How many descriptors of a process are looked at.
const MOST_DESCRIPTORS: usize = 256;
/// How many levels of control groups are looked at.
const MOST_GROUPS: usize = 64;
/// How much of a path is reported.
const PATH_MAX: usize = 4 << 10;
/// How long the kernel may block this: it takes locks that an exec or a page fault holds, which may hang.
const PATIENCE: Duration = Duration::from_millis(50);

/// Looks at a process that was killed, or for which a signal is pending.
pub fn held(key: ProcKey) -> Held {
    if procfs::look(key).found.is_none() {
        return Held::default();
    }
    let pid = key.tgid;
    let (tid, state) = stuck_thread(pid).unwrap_or((pid, String::new()));
    // 0: it does not sleep, or that may not be read.
    let wchan = Some(procfs::line(&format!("/proc/{pid}/task/{tid}/wchan"))).filter(|wchan| wchan != "0");
    let status = procfs::text(&format!("/proc/{pid}/task/{tid}/status"));
    let killed = stat::masks(&status).is_some_and(|masks| masks.waits(Signal::KILL));
    let wchan = wchan.unwrap_or_default();
    let tracer = tracer(&status).unwrap_or_default();
    let mut held = Held { state, killed, wchan, file: String::new(), frozen: frozen(pid), tracer };
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

/// The process whose thread traces a thread with that status: TracerPid is the id of a thread (`ptrace_parent()`).
fn tracer(status: &str) -> Option<u32> {
    let tid: u32 = stat::field(status, "TracerPid")?.parse().ok().filter(|&tid| tid != 0)?;
    stat::field(&procfs::text(&format!("/proc/{tid}/status")), "Tgid")?.parse().ok()
}

/// The first thread that is in uninterruptible sleep or held by a tracer, else the main thread, and its state.
fn stuck_thread(pid: u32) -> Option<(u32, String)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut main = None;
    for thread in threads.take(MOST_THREADS) {
        let Some(tid) = thread.ok()?.file_name().to_str().and_then(|tid| tid.parse().ok()) else { continue };
        let Some(state) = stat::state(procfs::text(&format!("/proc/{pid}/task/{tid}/stat")).as_bytes()) else {
            continue;
        };
        if matches!(state, 'D' | 't') {
            return Some((tid, state.to_string()));
        }
        if tid == pid {
            main = Some((tid, state.to_string()));
        }
    }
    main
}

/// The file that the system call of a thread works on: by its descriptor, or by its path argument.
fn file(pid: u32, tid: u32) -> Option<String> {
    let call = procfs::line(&format!("/proc/{pid}/task/{tid}/syscall"));
    let mut words = call.split(' ');
    let number: i64 = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (first, second) = (argument()?, argument()?);
    let path = if DESCRIPTOR.contains(&number) {
        fs::read_link(format!("/proc/{pid}/fd/{first}")).ok()?
    } else if PATH.contains(&number) {
        path(pid, first, AT_FDCWD)?
    } else if PATH_AT.contains(&number) {
        path(pid, second, first as i32)?
    } else {
        return None;
    };
    let path = path.to_string_lossy();
    path.starts_with('/').then(|| path.chars().take(PATH_MAX).collect())
}

/// A path in the memory of a process, relative to a directory that it has open, or works in. An empty one means what is
/// open itself (`AT_EMPTY_PATH`), which is how fstat(3) asks.
fn path(pid: u32, address: u64, directory: i32) -> Option<PathBuf> {
    let mut bytes = vec![0; PATH_MAX];
    let read = File::open(format!("/proc/{pid}/mem")).ok()?.read_at(&mut bytes, address).ok()?;
    let end = bytes[..read].iter().position(|&byte| byte == 0)?;
    bytes.truncate(end);
    let path = OsStr::from_bytes(&bytes);
    if path.as_bytes().starts_with(b"/") {
        return Some(path.into());
    }
    let directory = match directory {
        AT_FDCWD => procfs::directory(pid)?,
        descriptor => fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?,
    };
    Some(if path.is_empty() { directory } else { directory.join(path) })
}

/// System calls that can wait for a file system, and whose first argument is a descriptor.
const DESCRIPTOR: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_fstat,
    libc::SYS_ioctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_sync_file_range,
    libc::SYS_fallocate,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_syncfs,
    libc::SYS_copy_file_range,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_getdents,
];
/// System calls whose first argument is a path. Architectures as young as arm64 have few of them: their C libraries call
/// those with a directory.
const PATH: &[i64] = &[
    libc::SYS_truncate,
    libc::SYS_chdir,
    libc::SYS_statfs,
    libc::SYS_umount2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
];
/// System calls whose second argument is a path, after the directory that it is relative to.
const PATH_AT: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_mkdirat,
    libc::SYS_fchownat,
    libc::SYS_newfstatat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_readlinkat,
    libc::SYS_fchmodat,
    libc::SYS_faccessat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_openat2,
    libc::SYS_faccessat2,
];

/// The file by which a process's control group was frozen: that of its own group, or of one around it.
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
        // A group outside what is visible from here.
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
    groups.filter_map(Path::to_str).map(|group| format!("{place}{group}")).find_map(|group| {
        let group = group.trim_end_matches('/');
        (procfs::line(&format!("{group}/{asked}")) == "1").then(|| format!("{group}/{file}"))
    })
}

/// Whether one process has the writing end of a pipe of which the other has the reading end.
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
    use std::{
        os::fd::AsRawFd as _,
        process::{Command, Stdio},
    };

    use tracer_model::time::BootNs;

    use super::*;

    fn key(pid: u32) -> ProcKey {
        let stat = procfs::text(&format!("/proc/{pid}/stat"));
        let ticks: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        ProcKey { start: BootNs(ticks * 10_000_000), tgid: pid }
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
    fn a_path_is_relative_to_the_directory_that_the_call_names() {
        let folder = tempfile::tempdir().unwrap();
        let open = File::open(folder.path()).unwrap();
        let (own, cwd) = (std::process::id(), std::env::current_dir().unwrap());
        let of = |text: &std::ffi::CStr, directory| path(own, text.as_ptr().addr() as u64, directory);
        assert_eq!(of(c"a/b", AT_FDCWD), Some(cwd.join("a/b")));
        assert_eq!(of(c"a/b", open.as_raw_fd()), Some(folder.path().join("a/b")));
        assert_eq!(of(c"/a", open.as_raw_fd()), Some("/a".into()));
        assert_eq!(of(c"", open.as_raw_fd()), Some(folder.path().to_owned()));
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
