//! A folder for the traces of an agent: named by time and rule, and the oldest make room for new ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{console::style, ident::file_name};

/// How a name begins: the time of the finding, in UTC.
const TIME: &str = "%Y%m%dT%H%M%SZ";
const EXTENSION: &str = "mcap";
/// How many traces one second may have; two findings of a second are in one trace.
const MOST_A_SECOND: u32 = 100;

/// See the module.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
    /// How many bytes they may take together.
    budget: u64,
}

/// A trace on the shelf.
struct Book {
    path: PathBuf,
    size: u64,
}

impl Shelf {
    /// A folder that is there.
    pub fn new(folder: &Path, budget: u64) -> Self {
        Self { folder: folder.to_owned(), budget }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it can be written to.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        let probe = self.folder.join(format!(".{}", std::process::id()));
        fs::File::create_new(&probe)?;
        fs::remove_file(&probe)
    }

    /// A free name for a finding of that time (nanoseconds since 1970) and rule, after there was made room.
    pub(super) fn next(&self, wall_ns: i64, rule: &str) -> io::Result<PathBuf> {
        self.make_room()?;
        let at = Timestamp::from_nanosecond(wall_ns.into()).map_err(io::Error::other)?;
        let name = format!("{}-{rule}", at.strftime(TIME));
        let names = (1..=MOST_A_SECOND).map(|n| match n {
            1 => format!("{name}.{EXTENSION}"),
            n => format!("{name}-{n}.{EXTENSION}"),
        });
        let mut free = names.map(|name| self.folder.join(name)).filter(|path| path.symlink_metadata().is_err());
        free.next().ok_or_else(|| io::Error::other(format!("{} is full of traces", file_name(&self.folder))))
    }

    /// Removes the oldest traces until the others fit, but never the last one.
    pub(super) fn make_room(&self) -> io::Result<()> {
        let mut books = self.books()?;
        let mut size: u64 = books.iter().map(|book| book.size).sum();
        // By name is by time.
        books.sort_by(|one, other| one.path.cmp(&other.path));
        let count = books.len();
        for Book { path, size: its } in books.into_iter().take(count.saturating_sub(1)) {
            if size <= self.budget {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let room = style::rough_size(self.budget);
                    let why = format!("cannot remove {} to keep within {room}: {error}", file_name(&path));
                    return Err(io::Error::new(error.kind(), why));
                }
                _ => size -= its,
            }
        }
        Ok(())
    }

    /// Files that are named as here; all others are somebody else's.
    fn books(&self) -> io::Result<Vec<Book>> {
        let mut books = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name();
            let is_ours = name.to_str().is_some_and(is_ours);
            // Of the entry itself, not of what a link leads to.
            let Ok(metadata) = entry.metadata() else { continue };
            if is_ours && metadata.is_file() {
                books.push(Book { path: entry.path(), size: metadata.len() });
            }
        }
        Ok(books)
    }
}

/// Whether a name is one that [`Shelf::next`] gives.
fn is_ours(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(EXTENSION).and_then(|stem| stem.strip_suffix('.')) else { return false };
    let Some((time, rule)) = stem.split_once('-') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = time.len() == 16 && time.is_ascii() && digits(&time[..8]) && digits(&time[9..15]);
    is_time && &time[8..9] == "T" && time.ends_with('Z') && !rule.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path(), 250);
        for (name, size) in [
            ("20261129T100000Z-slow-stop.mcap", 100),
            ("20261129T110000Z-killed-by.mcap", 100),
            ("20261129T120000Z-killed-by-2.mcap", 100),
            ("mine.mcap", 1000),
            ("20261129-notes.mcap", 1000),
        ] {
            fs::write(folder.path().join(name), vec![0; size]).unwrap();
        }
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        shelf.make_room().unwrap();
        let left = [
            "20261129-notes.mcap",
            "20261129T110000Z-killed-by.mcap",
            "20261129T120000Z-killed-by-2.mcap",
            "mine.mcap",
        ];
        assert_eq!(names(), left);
        // The last one stays, however large it is.
        Shelf::new(folder.path(), 1).make_room().unwrap();
        assert_eq!(names(), ["20261129-notes.mcap", "20261129T120000Z-killed-by-2.mcap", "mine.mcap"]);
    }

    #[test]
    fn a_name_says_when_and_what_and_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path(), 250);
        shelf.check().unwrap();
        let at = 1_795_989_600_000_000_000;
        let first = shelf.next(at, "slow-stop").unwrap();
        assert_eq!(first.file_name().unwrap(), "20261129T220000Z-slow-stop.mcap");
        fs::write(&first, "").unwrap();
        let second = shelf.next(at, "slow-stop").unwrap();
        assert_eq!(second.file_name().unwrap(), "20261129T220000Z-slow-stop-2.mcap");
        assert!(is_ours(first.file_name().unwrap().to_str().unwrap()));
        let gone = Shelf::new(&folder.path().join("none"), 250);
        assert!(gone.check().is_err() && gone.next(at, "slow-stop").is_err());
    }
}
