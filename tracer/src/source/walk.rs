//! Opens a file at an untrusted path without a step into a file system that a process serves.
//!
//! A look-up in a FUSE file system waits for its server, and a second look-up of the same name waits in
//! `d_alloc_parallel()`, which no signal ends, not even SIGKILL: a thread of `tracer` that hangs there keeps the whole
//! process from ending. So each step of the path is taken by itself (`O_PATH`, which asks the file system nothing about
//! the file), and the walk ends where such a mount begins.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path},
};

use procfs::process::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags, RawMode, fstat, openat, readlinkat};

/// As many links as the kernel follows in a path (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// What a path leads to.
pub struct Found {
    file: OwnedFd,
    /// What it is.
    pub kind: FileType,
    /// The user id of its owner.
    pub owner: u32,
}

/// A file and its owner, opened for reading. It is a regular file; the path may contain links, but does not end in one.
///
/// # Errors
/// If there is no such file, if it is something else, or if the path leads through a file system that a process
/// serves.
pub fn open_ordinary(path: &Path) -> io::Result<(File, u32)> {
    let Found { file, kind, owner } = find(path)?;
    if kind != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    // Through /proc, because an open by name could find another file by now.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty())?;
    Ok((File::from(file), owner))
}

/// Walks to what a path names: follows links on the way, but not one at its end.
///
/// # Errors
/// If there is nothing, or if the path leads through a file system that a process serves.
pub fn find(path: &Path) -> io::Result<Found> {
    let mounts = Served::now()?;
    let open = |at: BorrowedFd<'_>, name: &OsStr| {
        let file = openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        mounts.refuse(&file)?;
        io::Result::Ok(file)
    };
    let root = || open(CWD, OsStr::new("/"));
    let mut at = if path.is_absolute() { root()? } else { open(CWD, OsStr::new("."))? };
    let mut steps = VecDeque::new();
    push(&mut steps, path);
    let mut links = 0;
    while let Some(step) = steps.pop_front() {
        let next = open(at.as_fd(), &step)?;
        let is_link = FileType::from_raw_mode(fstat(&next)?.st_mode as RawMode) == FileType::Symlink;
        if !is_link || steps.is_empty() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes());
        if Path::new(&target).is_absolute() {
            at = root()?;
        }
        push(&mut steps, Path::new(&target));
    }
    let stat = fstat(&at)?;
    Ok(Found { file: at, kind: FileType::from_raw_mode(stat.st_mode as RawMode), owner: stat.st_uid })
}

/// The steps of a path before those that are to be taken already.
fn push(steps: &mut VecDeque<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::from_bytes(b"..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    for name in names.collect::<Vec<_>>().into_iter().rev() {
        steps.push_front(name.to_owned());
    }
}

/// Mounts whose file system a process serves, by id.
struct Served(Vec<i32>);

impl Served {
    fn now() -> io::Result<Self> {
        let mounts = Process::myself().and_then(|me| me.mountinfo()).map_err(io::Error::other)?;
        let is_served = |kind: &str| kind == "fuse" || kind == "fuseblk" || kind.starts_with("fuse.");
        Ok(Self(mounts.into_iter().filter(|mount| is_served(&mount.fs_type)).map(|mount| mount.mnt_id).collect()))
    }

    /// Refuses what lies on one of them. statfs(2) would show it, too, but asks the server.
    fn refuse(&self, file: &OwnedFd) -> io::Result<()> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd()))?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        match id {
            Some(id) if !self.0.contains(&id) => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is on a file system that a process serves")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::symlink};

    use rustix::process::geteuid;

    use super::*;

    fn read(path: &Path) -> io::Result<String> {
        let (mut file, owner) = open_ordinary(path)?;
        assert_eq!(owner, geteuid().as_raw());
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_path_is_walked_as_the_kernel_does() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "text").unwrap();
        symlink("a/b", at("relative")).unwrap();
        symlink(at("relative"), at("absolute")).unwrap();
        symlink("round", at("round")).unwrap();
        symlink("b/file", at("a/link")).unwrap();
        for path in ["a/b/file", "relative/file", "absolute/file", "absolute/../b/file", "./a/../a/b/file"] {
            assert_eq!(read(&at(path)).unwrap(), "text", "{path}");
        }
        for path in ["a", "a/b/none", "a/link", "round/file", "a/b/file/x", "none/file"] {
            assert!(read(&at(path)).is_err(), "{path}");
        }
        assert!(open_ordinary(Path::new("/dev/null")).is_err());
        assert!(open_ordinary(Path::new("/")).is_err());
    }

    #[test]
    fn what_lies_on_a_refused_mount_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::open(directory.path()).unwrap();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).unwrap();
        let file = OwnedFd::from(file);
        assert!(Served(vec![id + 1]).refuse(&file).is_ok());
        assert!(Served(vec![id]).refuse(&file).is_err());
    }
}
