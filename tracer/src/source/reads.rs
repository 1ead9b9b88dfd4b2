//! Reads of untrusted files, with bounds on size, kind and time.
//!
//! A process chooses how long its command line is and where in its memory it lies; whoever starts a container chooses
//! its bundle. So none of it is read whole on trust ([`head`], [`read_owned`]), and reads that can hang happen where
//! nobody waits for them ([`each`]).

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    num::NonZero,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::source::walk::open_ordinary;

/// The most that is read of a file of `/proc`: all of `status`, `stat` and `cgroup`. The longest is a `status` with
/// 65,536 groups (`NGROUPS_MAX`).
pub const PROC_MAX: usize = 1 << 20;

/// The beginning of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// As much as was asked for, at the most.
    pub bytes: Vec<u8>,
    /// There was more.
    pub cut: bool,
}

/// The first `max` bytes of a file of `/proc`.
///
/// # Errors
/// If it cannot be read, usually because its process is gone.
pub fn head(path: impl AsRef<Path>, max: usize) -> io::Result<Head> {
    take(File::open(path)?, max)
}

/// The text of a file that its owner means to be read: one that is longer than `max` bytes is none.
///
/// # Errors
/// If it cannot be read, is too long, or no text.
pub fn text(path: &Path, max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::other(format!("it has more than {max} bytes")));
    }
    Ok(text)
}

fn take(file: File, max: usize) -> io::Result<Head> {
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    let cut = bytes.len() > max;
    bytes.truncate(max);
    Ok(Head { bytes, cut })
}

/// All of a file that belongs to `owner`, a user id.
///
/// Nobody can forge the owner of a file, whatever directories and links lead to it. Nothing waits for a file that is
/// not regular (a FIFO, a device), nor for a file system that a process serves ([`open_ordinary`]).
///
/// # Errors
/// If there is none, it is something else, it is another's, or it has more than `max` bytes.
pub fn read_owned(path: &Path, owner: u32, max: usize) -> io::Result<Vec<u8>> {
    let (file, uid) = open_ordinary(path)?;
    if uid != owner {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no file of that user"));
    }
    let Head { bytes, cut } = take(file, max)?;
    if cut { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// How many threads may hang in a read in all; beyond that, no more are started.
const MOST_HANGING: usize = 64;

/// Threads that read now.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Does a piece of work for each item, in other threads, and hands over each result with the item's index. If nothing
/// comes for `patience`, because all threads hang, twice as many are started each time; in the end, those that hang are
/// abandoned. They end when what they wait for ends, or with this process.
///
/// As long as nothing hangs, one thread does all the work: this is for reads that take either no time or for ever.
pub fn each<T, R>(items: Vec<T>, patience: Duration, work: fn(&T) -> R, mut done: impl FnMut(usize, R))
where
    T: Send + 'static,
    R: Send + 'static,
{
    let mut left = items.len();
    let waiting: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(items.into_iter().enumerate().collect()));
    let (answer, answers) = mpsc::channel();
    let mut more = NonZero::<usize>::MIN;
    while left > 0 {
        let started = (0..more.get()).filter(|_| start(&waiting, &answer, work)).count();
        if started == 0 {
            break;
        }
        more = more.saturating_add(more.get());
        while left > 0
            && let Ok((at, result)) = answers.recv_timeout(patience)
        {
            left -= 1;
            done(at, result);
        }
        // Everything that is missing is in progress: there is nothing to start a thread for.
        if waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            break;
        }
    }
    // Threads that still hang take on nothing afterwards.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Starts another worker; false if there are enough, or no thread can be started.
fn start<T, R>(waiting: &Arc<Mutex<VecDeque<(usize, T)>>>, answer: &mpsc::Sender<(usize, R)>, work: fn(&T) -> R) -> bool
where
    T: Send + 'static,
    R: Send + 'static,
{
    if AT_WORK.fetch_add(1, Ordering::Relaxed) >= MOST_HANGING {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        return false;
    }
    let (waiting, answer) = (waiting.clone(), answer.clone());
    let next = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let all = move || {
        while let Some((at, item)) = next() {
            // The receiver may be gone.
            if answer.send((at, work(&item))).is_err() {
                break;
            }
        }
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    };
    let started = thread::Builder::new().name("reads".into()).spawn(all).is_ok();
    if !started {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
    started
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::{
        fs::{CWD, Mode, mkfifoat},
        process::geteuid,
    };

    use super::*;

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        assert_eq!(head("/dev/zero", 3).unwrap(), Head { bytes: vec![0; 3], cut: true });
        assert_eq!(head("/dev/null", 3).unwrap(), Head::default());
        assert!(!head("/proc/self/stat", PROC_MAX).unwrap().cut);
    }

    #[test]
    fn only_ordinary_files_of_their_owner_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let (me, at) = (geteuid().as_raw(), |name: &str| directory.path().join(name));
        fs::write(at("file"), "four").unwrap();
        fs::create_dir(at("directory")).unwrap();
        mkfifoat(CWD, at("fifo"), Mode::RUSR).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(read_owned(&at("file"), me, 4).unwrap(), b"four");
        assert!(read_owned(&at("file"), me, 3).is_err(), "too long");
        assert!(read_owned(&at("file"), me + 1, 4).is_err(), "another's");
        for other in ["directory", "fifo", "endless", "link", "missing"] {
            assert!(read_owned(&at(other), me, 4).is_err(), "{other}");
        }
        // A device has no end, whoever owns it.
        assert!(read_owned(Path::new("/dev/zero"), 0, 4).is_err());
    }

    #[test]
    fn what_hangs_keeps_nobody_waiting() {
        // The threads wait for a thing that never comes.
        let hang = |item: &u32| -> u32 {
            if item % 10 == 3 {
                loop {
                    thread::park();
                }
            }
            item * 2
        };
        let mut done = vec![None; 100];
        each((0..100).collect(), Duration::from_millis(50), hang, |at, result| done[at] = Some(result));
        for (item, result) in done.into_iter().enumerate() {
            let item = item as u32;
            assert_eq!(result, (item % 10 != 3).then_some(item * 2));
        }
    }
}
