//! The folder of a lake: whether it is one, and which days of each table have files. What is not asked for is not read.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::civil::Date;
use serde::Deserialize;
use tracer_model::ident::file_name;

use crate::embedded::{TABLES, tables};

/// The version of the schema that is known here.
const VERSION: u32 = 1;
/// Says that a folder is a lake.
pub const MARK: &str = "_lake.json";

/// What the mark says.
#[derive(Debug, Deserialize)]
struct Mark {
    lake: u32,
}

/// From a day to a day, both of which count.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    since: Date,
    until: Date,
}

impl Days {
    /// # Errors
    /// If the first comes after the last.
    pub fn new(since: Option<Date>, until: Option<Date>) -> Result<Self> {
        let (since, until) = (since.unwrap_or(Date::MIN), until.unwrap_or(Date::MAX));
        ensure!(since <= until, "--since {since} is after --until {until}: no day is both");
        Ok(Self { since, until })
    }

    /// Whether that day counts.
    pub fn has(self, day: Date) -> bool {
        (self.since..=self.until).contains(&day)
    }
}

/// Checks what the mark of a lake of that name says.
///
/// # Errors
/// If the lake is of a later version than is known here.
pub fn check_mark(said: &[u8], name: &str) -> Result<()> {
    let Mark { lake } = serde_json::from_slice(said)
        .with_context(|| format!("{MARK} of {name} does not say the version of the lake"))?;
    ensure!(
        lake <= VERSION,
        "{name} is a lake of version {lake}, and this program knows those up to {VERSION}: use a later tracer-fleet"
    );
    Ok(())
}

/// See the module.
#[derive(Debug)]
pub struct Lake {
    /// Absolute, without links.
    pub root: PathBuf,
    /// How many files each day has that is asked for, by table.
    files: BTreeMap<&'static str, BTreeMap<Date, usize>>,
    /// How many days there are that are not asked for, by table.
    other_days: BTreeMap<&'static str, usize>,
}

impl Lake {
    /// Looks at the folder, and makes it the working directory: what a name of a folder means to the engine, such as `*`,
    /// is then of no concern.
    ///
    /// # Errors
    /// If it is no lake, one of a later version, or cannot be read.
    pub fn open(folder: &Path, days: Days) -> Result<Self> {
        let name = file_name(folder);
        let root = folder.canonicalize().with_context(|| format!("cannot open the lake {name}"))?;
        let said = match fs::read(root.join(MARK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{name} is no lake: there is no {MARK} in it; name a folder that `tracer export --to lake` or an agent wrote"
            ),
            said => said.with_context(|| format!("cannot read {MARK} of {name}"))?,
        };
        check_mark(&said, &name)?;
        let (mut files, mut other_days) = (BTreeMap::new(), BTreeMap::new());
        for (table, _) in TABLES {
            let of_table =
                dates(&root.join(format!("table={table}"))).with_context(|| format!("cannot list {name}"))?;
            let all = of_table.len();
            let asked: BTreeMap<_, _> = of_table.into_iter().filter(|(day, _)| days.has(*day)).collect();
            other_days.insert(*table, all - asked.len());
            let mut counted = BTreeMap::new();
            for (day, path) in asked {
                let count = count(&path).with_context(|| format!("cannot list {}", file_name(&path)))?;
                // A host that made room leaves its folders.
                if count > 0 {
                    counted.insert(day, count);
                }
            }
            files.insert(*table, counted);
        }
        env::set_current_dir(&root).with_context(|| format!("cannot enter {name}"))?;
        Ok(Self { root, files, other_days })
    }

    /// Patterns for the files of a table, below the working directory.
    pub fn patterns(&self, table: &str) -> Vec<String> {
        let days = self.files.get(table).into_iter().flatten();
        days.map(|(day, _)| format!("table={table}/day={day}/*/*.parquet")).collect()
    }

    /// Says what is looked at for the SQL, a line for each table.
    pub fn describe(&self, sql: &str, out: &mut impl io::Write) -> io::Result<()> {
        for (table, _) in tables(sql) {
            let days = self.files.get(table).map(BTreeMap::len).unwrap_or_default();
            let files: usize = self.files.get(table).into_iter().flat_map(BTreeMap::values).sum();
            let others = self.other_days.get(table).copied().unwrap_or_default();
            writeln!(out, "{table}: files {files}, days {days}, days that are not looked at {others}")?;
        }
        writeln!(out)
    }
}

/// The days of a table, with their folders.
fn dates(table: &Path) -> io::Result<Vec<(Date, PathBuf)>> {
    let of_name = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("day=")?.parse().ok();
    Ok(entries(table)?.into_iter().filter_map(|path| Some((of_name(&path)?, path))).collect())
}

/// How many files a day has.
fn count(day: &Path) -> io::Result<usize> {
    let mut count = 0;
    for bucket in entries(day)? {
        count += entries(&bucket)?.iter().filter(|path| path.extension().is_some_and(|ext| ext == "parquet")).count();
    }
    Ok(count)
}

/// What is in a folder; nothing, if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
