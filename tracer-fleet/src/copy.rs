//! Copies a lake, or some days of it, between folders and object stores. Files are whole or not there, on both sides, and
//! only those that are new or have grown are sent: to copy a lake each minute costs little.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, local::LocalFileSystem, path::Path,
};
use rustix::{fs::Mode, process::umask};
use tracer_model::ident::file_name;

use crate::{
    embedded::TABLES,
    lake::{Days, MARK, check_mark},
};

/// How many files are on their way at once.
const AT_ONCE: usize = 16;
/// No file of a lake is larger: it has 8,192 rows at the most. Each is in memory while it is on its way.
const MOST_BYTES: u64 = 64 << 20;

/// What was done.
#[derive(Debug, Default)]
pub struct Copied {
    /// Files that were sent, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Files that were there.
    pub same: u64,
}

/// Copies the files of those days that the other side does not have.
///
/// # Errors
/// If the first is no lake, the second is something else, or one of them cannot be reached: with its name.
pub fn copy(from: &str, to: &str, days: Days) -> Result<Copied> {
    // Like those that tracer writes: nobody else reads them.
    umask(Mode::from_raw_mode(0o077));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let (from, to) = (Side::open(from, false)?, Side::open(to, true)?);
        let mark = from.mark().await?.with_context(|| {
            format!(
                "{} is no lake: there is no {MARK}; name what `tracer export --to lake` or an agent wrote",
                from.name
            )
        })?;
        check_mark(&mark, &from.name)?;
        match to.mark().await? {
            Some(theirs) => check_mark(&theirs, &to.name)?,
            None => {
                ensure!(to.is_empty().await?, "{} holds something, and is no lake; name a new place", to.name);
                to.put(&Path::from(MARK), mark).await?;
            }
        }
        let mut copied = Copied::default();
        for (table, _) in TABLES {
            for day in from.days(table, days).await? {
                progress(&format!("{day}: {} files were sent before", copied.files));
                from.copy_day(&to, &day, &mut copied).await?;
            }
        }
        progress("");
        Ok(copied)
    })
}

/// A line for a person who waits, which the next one replaces.
fn progress(line: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{line}");
    }
}

/// One side: a folder, or a place in an object store.
struct Side {
    name: String,
    store: Arc<dyn ObjectStore>,
    /// Of the lake, in the store.
    root: Path,
}

impl Side {
    fn open(place: &str, is_made: bool) -> Result<Self> {
        let name = file_name(place);
        let cannot = || format!("cannot open {name}");
        let (store, root): (Arc<dyn ObjectStore>, _) = match place.split_once("://") {
            Some(("s3" | "s3a", rest)) => {
                let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
                // Keys, region and endpoint as all programs of this kind take them: AWS_ACCESS_KEY_ID, AWS_REGION, …
                let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build().with_context(cannot)?;
                (Arc::new(store), Path::parse(path).with_context(cannot)?)
            }
            Some((scheme, _)) => bail!("{name}: {scheme} is not known here; a lake is a folder, or s3://BUCKET/PATH"),
            None => {
                let folder = PathBuf::from(place);
                if is_made {
                    std::fs::create_dir_all(&folder).with_context(cannot)?;
                }
                // It is synchronised to the disk before it gets its name.
                let store = LocalFileSystem::new_with_prefix(folder.canonicalize().with_context(cannot)?);
                (Arc::new(store.with_context(cannot)?.with_fsync(true)), Path::default())
            }
        };
        Ok(Self { name, store, root })
    }

    fn at(&self, path: &Path) -> Path {
        self.root.parts().chain(path.parts()).collect()
    }

    /// The name of what is there, without the root.
    fn below(&self, path: &Path) -> Option<Path> {
        Some(path.prefix_match(&self.root)?.collect())
    }

    async fn mark(&self) -> Result<Option<Vec<u8>>> {
        match self.get(&Path::from(MARK)).await {
            Ok(mark) => Ok(Some(mark)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {MARK} of {}", self.name)),
        }
    }

    async fn is_empty(&self) -> Result<bool> {
        let first = self.store.list(Some(&self.root)).next().await;
        Ok(first.transpose().with_context(|| format!("cannot list {}", self.name))?.is_none())
    }

    async fn get(&self, path: &Path) -> Result<Vec<u8>, Error> {
        Ok(self.store.get(&self.at(path)).await?.bytes().await?.into())
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<()> {
        let put = self.store.put(&self.at(path), bytes.into()).await;
        put.map(|_| ()).with_context(|| format!("cannot write {path} in {}", self.name))
    }

    /// The folders of the days that a table has.
    async fn days(&self, table: &str, days: Days) -> Result<Vec<Path>> {
        let table = Path::from(format!("table={table}"));
        let listed = self.store.list_with_delimiter(Some(&self.at(&table))).await;
        let folders = listed.with_context(|| format!("cannot list {}", self.name))?.common_prefixes;
        let is_asked = |day: &Path| {
            let date = day.filename().and_then(|name| name.strip_prefix("day=")?.parse().ok());
            date.is_some_and(|date| days.has(date))
        };
        Ok(folders.iter().filter_map(|day| self.below(day)).filter(is_asked).collect())
    }

    /// What is below a folder.
    async fn files(&self, folder: &Path) -> Result<HashMap<Path, ObjectMeta>> {
        let list = self.store.list(Some(&self.at(folder)));
        let named = list.try_filter_map(async |meta| Ok(self.below(&meta.location).map(|path| (path, meta))));
        named.try_collect().await.with_context(|| format!("cannot list {}", self.name))
    }

    async fn copy_day(&self, to: &Self, day: &Path, copied: &mut Copied) -> Result<()> {
        let (ours, theirs) = (self.files(day).await?, to.files(day).await?);
        let is_whole =
            |path: &Path| path.filename().is_some_and(|name| name.ends_with(".parquet") && !name.starts_with('.'));
        let mut new = Vec::new();
        for (path, meta) in ours.into_iter().filter(|(path, _)| is_whole(path)) {
            // A file that has grown is another one of that name.
            let is_same = |theirs: &ObjectMeta| theirs.size == meta.size && theirs.last_modified >= meta.last_modified;
            if theirs.get(&path).is_some_and(is_same) {
                copied.same += 1;
                continue;
            }
            let (name, size) = (&self.name, meta.size);
            ensure!(size <= MOST_BYTES, "{path} of {name} has {size} bytes: no file of a lake is so large");
            new.push(path);
        }
        let sent = stream::iter(new).map(async |path| {
            match self.get(&path).await {
                Ok(bytes) => {
                    let size = bytes.len() as u64;
                    to.put(&path, bytes).await.map(|()| Some(size))
                }
                // An agent has made room meanwhile.
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error).with_context(|| format!("cannot read {path} of {}", self.name)),
            }
        });
        let sent: Vec<Option<u64>> = sent.buffer_unordered(AT_ONCE).try_collect().await?;
        copied.files += sent.iter().flatten().count() as u64;
        copied.bytes += sent.iter().flatten().sum::<u64>();
        Ok(())
    }
}
