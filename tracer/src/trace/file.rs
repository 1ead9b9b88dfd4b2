//! Creating what is written into, a file or a folder of them: for its owner's eyes only, never through a
//! link, and never over something that is there.

use std::{
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Gid, Mode, OFlags, Uid},
    io::Errno,
};

/// Why there is no file to write into.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something has that name already.
    #[error("{0} is there already; give another name, or remove it first")]
    Exists(PathBuf),
    /// What has that name is no file that could be replaced.
    #[error("{0} is no regular file, so it is not replaced; give another name")]
    NotAFile(PathBuf),
    /// What open(2) says.
    #[error("cannot create {0}: {1}")]
    Io(PathBuf, io::Error),
}

impl CreateError {
    fn new(path: &Path, error: Errno) -> Self {
        match error {
            Errno::EXIST => Self::Exists(path.to_owned()),
            error => Self::Io(path.to_owned(), error.into()),
        }
    }
}

/// Creates a file that only its owner can read: whoever called sudo, if that is how this was started.
/// With `overwrite`, a regular file of that name is removed first.
///
/// # Errors
/// If something has that name already, be it a link to nowhere, and what open(2) says.
pub fn create(path: &Path, overwrite: bool) -> Result<File, CreateError> {
    if overwrite && let Ok(there) = path.symlink_metadata() {
        if !there.is_file() {
            return Err(CreateError::NotAFile(path.to_owned()));
        }
        // Should it have become a link meanwhile, then that is what is removed.
        std::fs::remove_file(path).map_err(|error| CreateError::Io(path.to_owned(), error))?;
    }
    create_in(CWD, path, path)
}

/// Whether a file still has that name: somebody may have removed it or moved it while it was written.
pub fn is_at(file: &File, path: &Path) -> bool {
    let same = |here: Metadata, there: Metadata| (here.dev(), here.ino()) == (there.dev(), there.ino());
    file.metadata().ok().zip(path.symlink_metadata().ok()).is_some_and(|(here, there)| same(here, there))
}

/// What to say of one that has not: `path` was its name.
pub fn gone(path: &Path) -> String {
    format!(
        "{}: somebody removed or renamed it while it was written; under this name nothing of it is left",
        path.display()
    )
}

/// A folder that was created.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Creates a folder that only its owner can look into, likewise.
    ///
    /// # Errors
    /// If something has that name already, and what mkdir(2) says.
    pub fn create(path: &Path) -> Result<Self, CreateError> {
        let failed = |error| CreateError::new(path, error);
        rustix::fs::mkdir(path, Mode::RWXU).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        give_to_caller(&folder).map_err(failed)?;
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Creates a file in it, wherever its path leads by now.
    ///
    /// # Errors
    /// See [`create`].
    pub fn file(&self, name: &str) -> Result<File, CreateError> {
        create_in(&self.folder, Path::new(name), &self.path.join(name))
    }
}

fn create_in(folder: impl AsFd, name: &Path, path: &Path) -> Result<File, CreateError> {
    let failed = |error| CreateError::new(path, error);
    // Exclusive creation follows no link, not even one that leads nowhere (open(2)).
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    give_to_caller(&file).map_err(failed)?;
    Ok(file.into())
}

fn give_to_caller(file: impl AsFd) -> Result<(), Errno> {
    match caller() {
        Some((uid, gid)) => rustix::fs::fchown(file, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// Who called sudo, if this is root by sudo.
pub fn caller() -> Option<(Uid, Gid)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |name: &str| std::env::var(name).ok()?.parse().ok();
    Some((Uid::from_raw(id("SUDO_UID")?), Gid::from_raw(id("SUDO_GID")?)))
}
