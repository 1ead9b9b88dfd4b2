//! How others reach what a flight recorder keeps in memory: a socket for each recorder, in a folder that only root can
//! enter, or a group that root has chosen. Whoever connects gets the names of the files that it has written, and then a
//! trace.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use rustix::fs::{Mode, OFlags};

use crate::{caller::caller, ident::file_name, trace::file};

/// Where the sockets are. Nobody but root can create it.
const FOLDER: &str = "/run/tracer";
/// How long each side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest list of files, in bytes.
const MOST_NAMES: u64 = 1 << 16;
/// The largest trace that is taken: a recorder keeps less.
const MOST: u64 = 1 << 30;

/// A recorder's socket. Dropping it removes it.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens the one of this process, for the members of a group, too, if there is one.
    ///
    /// # Errors
    /// If this is not root, or others could change the folder.
    pub fn open(group: Option<u32>) -> io::Result<Self> {
        Self::open_in(Path::new(FOLDER), group)
    }

    fn open_in(folder: &Path, group: Option<u32>) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let there = folder.symlink_metadata()?;
        let own = rustix::process::geteuid().as_raw();
        // A group may enter and look, because another recorder was told so; this one's socket is still its own.
        if !there.is_dir() || there.uid() != own || there.mode() & 0o027 != 0 {
            return Err(io::Error::other(format!("others can enter {}", file_name(folder))));
        }
        // Of recorders that were killed.
        for (_, path) in sockets(folder)? {
            if connect(&path).is_ok_and(|stream| stream.is_none()) {
                fs::remove_file(&path)?;
            }
        }
        let path = folder.join(process::id().to_string());
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        let door = Self { listener, path };
        if let Some(group) = group {
            // Connecting takes the right to write (unix(7)).
            for (path, mode) in [(door.path.as_path(), 0o660), (folder, 0o750)] {
                chown(path, None, Some(group))?;
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
        }
        Ok(door)
    }

    /// Whoever waits outside, if anybody does.
    pub fn knock(&self) -> Option<Guest> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Guest(stream))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whoever asks a recorder.
#[derive(Debug)]
pub struct Guest(UnixStream);

impl Guest {
    /// Answers with the names of files, and with a trace if there is one.
    ///
    /// # Errors
    /// If it has gone, or takes nothing for too long.
    pub fn answer(mut self, written: &[PathBuf], memory: Option<File>) -> io::Result<()> {
        let names: Vec<_> = written.iter().filter_map(|path| path.to_str()).collect();
        writeln!(self.0, "{}", serde_json::to_string(&names)?)?;
        let Some(mut memory) = memory else { return Ok(()) };
        memory.rewind()?;
        io::copy(&mut memory, &mut self.0)?;
        Ok(())
    }
}

/// What a recorder has.
#[derive(Debug)]
pub struct Kept {
    /// Its pid, as it sees itself.
    pub recorder: u32,
    /// The files that it has written, oldest first.
    pub written: Vec<PathBuf>,
    /// A trace of what it has in memory; `None` while it writes that into a file.
    pub memory: Option<File>,
}

/// Asks each recorder. What one cannot answer comes as an error, with its pid; without the right to ask there is none.
pub fn ask() -> Vec<Result<Kept, (u32, io::Error)>> {
    ask_in(Path::new(FOLDER))
}

/// The pids of all recorders, dead ones among them; none without the right to know.
pub fn recorders() -> Vec<u32> {
    sockets(Path::new(FOLDER)).into_iter().flatten().map(|(recorder, _)| recorder).collect()
}

fn ask_in(folder: &Path) -> Vec<Result<Kept, (u32, io::Error)>> {
    let sockets = sockets(folder).into_iter().flatten();
    let answer = |(recorder, path): (u32, PathBuf)| {
        let stream = connect(&path).transpose()?;
        Some(stream.and_then(|stream| take(recorder, stream)).map_err(|error| (recorder, error)))
    };
    sockets.filter_map(answer).collect()
}

/// The sockets in a folder, and whose they are.
fn sockets(folder: &Path) -> io::Result<impl Iterator<Item = (u32, PathBuf)> + use<>> {
    let entries = fs::read_dir(folder)?.flatten();
    Ok(entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()))))
}

/// `None` if nobody listens any more.
fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        connected => connected.map(Some),
    }
}

fn take(recorder: u32, stream: UnixStream) -> io::Result<Kept> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut from = BufReader::new(stream);
    let mut names = Vec::new();
    (&mut from).take(MOST_NAMES).read_until(b'\n', &mut names)?;
    let written = serde_json::from_slice(&names)?;
    let mut memory = file::in_memory()?;
    let size = io::copy(&mut from.take(MOST), &mut memory)?;
    memory.rewind()?;
    Ok(Kept { recorder, written, memory: (size > 0).then_some(memory) })
}

/// Opens a file that a recorder has written. Its owner can have changed what is in it: so the owner must be root,
/// whoever runs this, or the user that the recorder has become.
///
/// # Errors
/// If it is another's, or what open(2) says.
pub fn open(path: &Path, recorder: u32) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    // Nobody but root can have put the recorder's socket there.
    let its = fs::metadata(format!("/proc/{recorder}")).map_or(ROOT, |process| process.uid());
    let own = [rustix::process::geteuid().as_raw(), ROOT, its];
    let is_own =
        own.contains(&found.uid()) || caller().ok().flatten().is_some_and(|caller| caller.uid() == found.uid());
    if !found.is_file() || !is_own || found.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "another user could have changed it; to read it all the same, name it behind the process",
        ));
    }
    Ok(file)
}

const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A recorder that answers once, and what it is asked for.
    fn exchange(written: &[PathBuf], text: Option<&str>) -> Kept {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("tracer");
        let door = Door::open_in(&folder, None).unwrap();
        assert!(door.knock().is_none());
        let asking = thread::spawn({
            let folder = folder.clone();
            move || ask_in(&folder)
        });
        let guest = loop {
            match door.knock() {
                Some(guest) => break guest,
                None => thread::yield_now(),
            }
        };
        let trace = text.map(|text| {
            let mut file = file::in_memory().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        });
        guest.answer(written, trace).unwrap();
        let mut kept = asking.join().unwrap();
        assert_eq!(kept.len(), 1);
        drop(door);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        kept.remove(0).unwrap()
    }

    #[test]
    fn what_is_kept_comes_whole() {
        let long = "x".repeat(1 << 20);
        let Kept { recorder, written, memory } = exchange(&["/a b".into()], Some(&long));
        assert_eq!((recorder, written), (process::id(), vec!["/a b".into()]));
        assert_eq!(io::read_to_string(memory.unwrap()).unwrap(), long);
        assert!(exchange(&[], None).memory.is_none());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let error = Door::open_in(place.path(), None).unwrap_err();
        assert!(error.to_string().starts_with("others can enter"), "{error}");
        // Nor is a link to one.
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        assert!(Door::open_in(&link, None).is_err());
    }

    #[test]
    fn a_file_that_others_can_change_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.mcap");
        fs::write(&path, "").unwrap();
        for (mode, is_read) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(open(&path, process::id()).is_ok(), is_read, "{mode:o}");
        }
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link, process::id()).is_err());
        assert!(open(place.path(), process::id()).is_err());
    }

    #[test]
    fn a_recorder_that_was_killed_is_no_recorder() {
        let place = tempfile::tempdir().unwrap();
        // Nobody listens behind it any more.
        drop(UnixListener::bind(place.path().join("1")).unwrap());
        assert!(place.path().join("1").exists());
        assert!(ask_in(place.path()).is_empty());
        assert!(ask_in(&place.path().join("none")).is_empty());
        // The next one clears up.
        fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
        let door = Door::open_in(place.path(), None).unwrap();
        assert_eq!(sockets(place.path()).unwrap().collect::<Vec<_>>(), [(process::id(), door.path.clone())]);
    }
}
