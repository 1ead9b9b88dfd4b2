//! Creates output files and folders: readable only by their owner, never through a link, never over something that
//! exists, and with no more rights than the caller has.

use std::{
    fs::{self, File, Metadata},
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, MemfdFlags, Mode, OFlags, accessat, memfd_create},
    io::Errno,
};

use crate::{
    caller::{as_caller, caller},
    ident::file_name,
};

/// Why there is no file to write into.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something has that name already.
    #[error("{} is there already; give another name, or remove it first", file_name(.0))]
    Exists(PathBuf),
    /// What has that name is no file that could be replaced.
    #[error("{} is no regular file, so it is not replaced; give another name", file_name(.0))]
    NotAFile(PathBuf),
    /// Whoever called may not do it, though root could.
    #[error("cannot create {} as {}, for whom this runs: {}; name a place that they may write to", file_name(.0), .1, .2)]
    NotTheirs(PathBuf, String, io::Error),
    /// What open(2) says.
    #[error("cannot create {}: {}", file_name(.0), .1)]
    Io(PathBuf, io::Error),
}

impl CreateError {
    fn new(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(path),
            io::ErrorKind::PermissionDenied if let Ok(Some(caller)) = caller() => {
                Self::NotTheirs(path, caller.to_string(), error)
            }
            _ => Self::Io(path, error),
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Exists(_) => io::ErrorKind::AlreadyExists,
            Self::NotAFile(_) => io::ErrorKind::InvalidInput,
            Self::NotTheirs(_, _, error) | Self::Io(_, error) => error.kind(),
        }
    }
}

impl From<CreateError> for io::Error {
    fn from(error: CreateError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Whether another name could avoid an error. If not, it is the machine's: no room, for example.
pub fn is_wrong_name(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem,
    };
    let is_loop = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    is_loop
        || matches!(
            error.kind(),
            AlreadyExists
                | InvalidFilename
                | InvalidInput
                | IsADirectory
                | NotADirectory
                | NotFound
                | PermissionDenied
                | ReadOnlyFilesystem
        )
}

/// Whether a file can be created later: its name is free, or with `overwrite` that of a regular file, and its folder is
/// writable.
///
/// # Errors
/// If not.
pub fn check(path: &Path, overwrite: bool) -> Result<(), CreateError> {
    let there = as_caller(|| match path.symlink_metadata() {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    });
    match there.map_err(|error| CreateError::new(path, error))? {
        Some(_) if !overwrite => return Err(CreateError::Exists(path.to_owned())),
        Some(there) if !there.is_file() => return Err(CreateError::NotAFile(path.to_owned())),
        _ => {}
    }
    let folder = folder(path);
    // By the rights that apply to files; access(2) itself uses the real user.
    let can_write = || Ok(accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?);
    as_caller(can_write).map_err(|error| CreateError::new(path, error))
}

/// The folder in which a path names something.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Creates a file that only its owner, the caller, can read. With `overwrite`, a regular file of that name is removed
/// first.
///
/// # Errors
/// If something has that name already, even a dangling link, and what open(2) says.
pub fn create(path: &Path, overwrite: bool) -> Result<File, CreateError> {
    let create = || {
        if overwrite && let Ok(there) = path.symlink_metadata() {
            if !there.is_file() {
                return Ok(None);
            }
            // If it has become a link meanwhile, the link is removed.
            fs::remove_file(path)?;
        }
        create_in(None, path).map(Some)
    };
    let created = as_caller(create).map_err(|error| CreateError::new(path, error))?;
    created.ok_or_else(|| CreateError::NotAFile(path.to_owned()))
}

/// Creates a file that is only in memory, and has no name.
///
/// # Errors
/// What memfd_create(2) says.
pub fn in_memory() -> io::Result<File> {
    Ok(memfd_create("tracer", MemfdFlags::CLOEXEC)?.into())
}

/// Removes a file.
///
/// # Errors
/// What unlink(2) says.
pub fn remove(path: &Path) -> io::Result<()> {
    as_caller(|| fs::remove_file(path))
}

/// Gives a file another name, if there is one.
///
/// # Errors
/// What rename(2) says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    as_caller(|| match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    })
}

/// Whether a file still has that name: somebody may have removed it or moved it while it was written.
pub fn is_at(file: &File, path: &Path) -> bool {
    let same = |here: Metadata, there: Metadata| (here.dev(), here.ino()) == (there.dev(), there.ino());
    file.metadata().ok().zip(path.symlink_metadata().ok()).is_some_and(|(here, there)| same(here, there))
}

/// The message for one that has not: `path` was its name.
pub fn gone(path: &Path) -> String {
    format!(
        "{}: somebody removed or renamed it while it was written; under this name nothing of it is left",
        file_name(path)
    )
}

/// A folder that was created.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Creates a folder that only its owner can enter, likewise.
    ///
    /// # Errors
    /// If something has that name already, and what mkdir(2) says.
    pub fn create(path: &Path) -> Result<Self, CreateError> {
        let create = || {
            rustix::fs::mkdir(path, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::open(path, flags, Mode::empty())?)
        };
        let folder = as_caller(create).map_err(|error| CreateError::new(path, error))?;
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Creates a file in it, even if its path leads elsewhere by now.
    ///
    /// # Errors
    /// See [`create`].
    pub fn file(&self, name: &str) -> Result<File, CreateError> {
        let created = as_caller(|| create_in(Some(&self.folder), Path::new(name)));
        created.map_err(|error| CreateError::new(&self.path.join(name), error))
    }

    /// Removes it, with files of these names.
    ///
    /// What rmdir(2) says: that it is not empty, for example.
    /// What rmdir(2) says: it is not empty, say.
    pub fn remove(path: &Path, names: &[&str]) -> io::Result<()> {
        as_caller(|| {
            names.iter().try_for_each(|name| fs::remove_file(path.join(name)))?;
            fs::remove_dir(path)
        })
    }
}

fn create_in(folder: Option<&OwnedFd>, name: &Path) -> io::Result<File> {
    // Exclusive creation follows no link, not even one that leads nowhere (open(2)).
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match folder {
        Some(folder) => rustix::fs::openat(folder, name, flags, mode)?,
        None => rustix::fs::open(name, flags, mode)?,
    };
    Ok(file.into())
}
