//! The files of a lake: `table=T/day=D/bucket=B/NAME.parquet`. A file appears at once and whole, and one that grows is
//! replaced by a longer one in the same way, so that no reader ever sees half a file.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    caller::as_caller,
    ident::file_name,
    sink::export::table::{Row, Table},
    trace::file,
};

/// The version of the schema.
pub(super) const VERSION: u32 = 1;
/// Says that a folder is a lake. Engines skip names that begin like this.
const MARK: &str = "_lake.json";
/// Rows of a file. They are in memory until it is full.
const ROWS: usize = 8_192;
/// The key in a file's metadata for the latest time in it.
const UNTIL: &str = "tracer.until_ns";
/// Characters of a host's name in the name of a file.
const NAME: usize = 64;

/// What the mark says.
#[derive(Debug, Deserialize, Serialize)]
struct Mark {
    lake: u32,
}

/// The folder of a lake, and how files of one stream are called in it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// The same for all files of a host, one of 16: whoever asks for one host reads a part of a day. It begins with a
    /// letter, so that no engine takes some for numbers and others for words.
    bucket: String,
    /// How the names of this host's files begin, and those of this stream.
    host: String,
    stem: String,
    /// What was written, for [`Folder::remove`].
    written: Vec<PathBuf>,
}

impl Folder {
    /// Makes a lake, or opens one that is there, for a stream of that host which began at that time (nanoseconds since
    /// 1970). Another export of the same stream replaces the files of the first.
    ///
    /// # Errors
    /// If the folder is something else, and what the file system says.
    pub(super) fn open(root: &Path, host: &str, boot_id: &str, began_ns: i64) -> Result<Self> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        let plain: String = host.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).take(NAME).collect();
        let digest = Sha256::digest(host);
        let boot: String = boot_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        // Two hosts can have names that differ only in what is not plain.
        let host = format!("{plain}-{:02x}{:02x}-", digest[1], digest[2]);
        let stem = format!("{host}{boot}-{began_ns}");
        open(root, &stem)?;
        Ok(Self { root: root.to_owned(), bucket: format!("b{:x}", digest[0] >> 4), host, stem, written: Vec::new() })
    }

    /// Where a file of a table goes.
    fn path(&self, table: &str, day: &str, number: u32) -> PathBuf {
        let Self { root, bucket, stem, .. } = self;
        root.join(format!("table={table}/day={day}/bucket={bucket}/{stem}-{number:04}.parquet"))
    }

    /// This host's files of that table, the oldest day first.
    pub(super) fn files(&self, table: &str) -> io::Result<Vec<PathBuf>> {
        let days = self.root.join(format!("table={table}"));
        let mut all = Vec::new();
        for day in entries(&days)? {
            let of_host =
                |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().starts_with(&self.host);
            all.extend(entries(&day.join(format!("bucket={}", self.bucket)))?.into_iter().filter(of_host));
        }
        all.sort();
        Ok(all)
    }

    /// Until when this host was watched before, in nanoseconds since 1970, as far as its files say.
    pub(super) fn watched_until(&self) -> Option<i64> {
        let of_file = |path: &PathBuf| {
            let about = SerializedFileReader::new(fs::File::open(path).ok()?).ok()?;
            let about = about.metadata().file_metadata().key_value_metadata()?;
            about.iter().find(|pair| pair.key == UNTIL)?.value.as_ref()?.parse().ok()
        };
        // The last day has all that is needed; a stream of that day may have begun before another one ended.
        let files = self.files("hosts").ok()?;
        let day = files.last().and_then(|path| path.parent()?.parent()).map(Path::to_owned)?;
        files.iter().filter(|path| path.starts_with(&day)).filter_map(of_file).max()
    }

    /// Removes the oldest of this host's files until the others fit, but none of this stream.
    pub(super) fn make_room(&self, budget: u64) -> io::Result<()> {
        let mut all = Vec::new();
        for table in entries(&self.root)? {
            let name = table.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.extend(name.strip_prefix("table=").map_or(Ok(Vec::new()), |table| self.files(table))?);
        }
        let sized = all.into_iter().filter_map(|path| Some((path.metadata().ok()?.len(), path)));
        let mut sized: Vec<_> = sized.collect();
        let mut size: u64 = sized.iter().map(|(size, _)| size).sum();
        // By day, whatever the table.
        sized.sort_by_cached_key(|(_, path)| {
            path.strip_prefix(&self.root).map(|path| path.iter().nth(1).map(ToOwned::to_owned)).ok()
        });
        let is_own = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().starts_with(&self.stem);
        for (its, path) in sized.into_iter().filter(|(_, path)| !is_own(path)) {
            if size <= budget {
                break;
            }
            fs::remove_file(&path)?;
            size -= its;
        }
        Ok(())
    }

    /// Removes what was written.
    pub(super) fn remove(&self) {
        for path in &self.written {
            // What cannot be removed either is found when it is read.
            let _ = file::remove(path);
        }
    }
}

/// Opens a lake, or makes one in a new or empty folder. Several hosts may do so at once.
fn open(root: &Path, stem: &str) -> Result<()> {
    let cannot = || format!("cannot make a lake of {}", file_name(root));
    let mark = root.join(MARK);
    let is_marked = || match as_caller(|| fs::read(&mark)) {
        Ok(said) => Ok(Some(said)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let mut said = is_marked().with_context(cannot)?;
    if said.is_none() {
        // A mark that somebody else is about to place, too, is no sign of anything else.
        let is_other = |path: &PathBuf| !path.file_name().unwrap_or_default().to_string_lossy().contains(MARK);
        let is_other = as_caller(|| Ok::<_, io::Error>(entries(root)?.iter().any(is_other))).with_context(cannot)?;
        if !is_other {
            as_caller(|| make_folder(root)).with_context(cannot)?;
            let content = serde_json::to_vec(&Mark { lake: VERSION }).with_context(cannot)?;
            let unfinished = root.join(format!(".{MARK}-{stem}.part"));
            place_by(&unfinished, &mark, |mut file| io::Write::write_all(&mut file, &content)).with_context(cannot)?;
        }
        // Somebody else can have made it meanwhile, and written to it.
        said = is_marked().with_context(cannot)?;
    }
    let Some(said) = said else {
        bail!("{} holds something, and is no lake; name a new folder, or a lake", file_name(root));
    };
    let version = serde_json::from_slice::<Mark>(&said).map(|mark| mark.lake);
    ensure!(
        version.as_ref().is_ok_and(|&version| version == VERSION),
        "{} is a lake of another version than {VERSION}; use the program that made it, or another folder",
        file_name(root)
    );
    Ok(())
}

/// What is in a folder; nothing, if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file under another name, and gives it its name when it is whole and on the disk.
pub(super) fn place(path: &Path, write: impl FnOnce(fs::File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Engines skip names that begin like this, too. DuckDB does not, but looks for those that end in `.parquet`.
    place_by(&path.with_file_name(format!(".{name}.part")), path, write)
}

fn place_by(unfinished: &Path, path: &Path, write: impl FnOnce(fs::File) -> io::Result<()>) -> io::Result<()> {
    let file = file::create(unfinished, true)?;
    let written = file.try_clone().and_then(write).and_then(|()| file.sync_all());
    written.and_then(|()| file::rename(unfinished, path)).inspect_err(|_| {
        // What cannot be removed either is replaced by the next.
        let _ = file::remove(unfinished);
    })
}

/// The rows of one table, in the file that they fill.
pub(super) struct Part<R: Row> {
    table: &'static str,
    day: String,
    number: u32,
    rows: Vec<R>,
    /// The latest time of them.
    until_ns: i64,
    is_saved: bool,
}

impl<R: Row + Clone> Part<R> {
    /// Of the table with that name, without a row.
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, day: String::new(), number: 0, rows: Vec::new(), until_ns: 0, is_saved: true }
    }

    /// Adds a row about what was between those times, in nanoseconds since 1970.
    pub(super) fn put(&mut self, folder: &mut Folder, (time_ns, until_ns): (i64, i64), row: R) -> io::Result<()> {
        let day =
            Timestamp::from_nanosecond(time_ns.into()).map_err(io::Error::other)?.strftime("%Y-%m-%d").to_string();
        if self.rows.len() >= ROWS || day != self.day {
            self.save(folder)?;
            self.number += u32::from(!self.rows.is_empty());
            self.rows.clear();
            self.until_ns = until_ns;
            self.day = day;
        }
        self.until_ns = self.until_ns.max(until_ns);
        self.rows.push(row);
        self.is_saved = false;
        Ok(())
    }

    /// Writes the file, if there is something that is not in it.
    pub(super) fn save(&mut self, folder: &mut Folder) -> io::Result<()> {
        if self.is_saved {
            return Ok(());
        }
        let path = folder.path(self.table, &self.day, self.number);
        as_caller(|| make_folder(file::folder(&path)))?;
        place(&path, |file| {
            let mut table = Table::new(file)?;
            self.rows.iter().try_for_each(|row| table.put(row.clone()))?;
            table.finish(&[
                ("tracer.lake", VERSION.to_string()),
                ("tracer.table", self.table.to_owned()),
                (UNTIL, self.until_ns.to_string()),
            ])
        })?;
        if folder.written.last() != Some(&path) {
            folder.written.push(path);
        }
        self.is_saved = true;
        Ok(())
    }
}
