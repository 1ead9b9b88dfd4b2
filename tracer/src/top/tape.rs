//! What can be played again: a file, or what a live run keeps in memory.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};

use crate::{sink::trace::memory::Memory, thresholds::Thresholds, time::BootNs, trace::file};

/// See the module.
#[derive(Clone)]
pub struct Tape {
    /// From when on something is a finding.
    pub thresholds: Thresholds,
    /// Where it is.
    pub place: Place,
}

/// Where it is.
#[derive(Clone)]
pub enum Place {
    /// A trace file.
    File(PathBuf),
    /// Kept in memory, up to that boot time.
    Memory(Box<Memory>, BootNs),
    /// A trace without a name.
    Kept(Arc<File>),
}

/// A tape that can be opened by its name, as often as it takes.
pub struct Mounted {
    path: PathBuf,
    /// The file, if nothing else keeps it alive.
    file: Option<Arc<File>>,
}

impl Mounted {
    fn nameless(file: Arc<File>) -> Self {
        Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), file: Some(file) }
    }

    /// The trace as a place.
    pub fn place(&self) -> Place {
        self.file.as_ref().map_or_else(|| Place::File(self.path.clone()), |file| Place::Kept(file.clone()))
    }

    /// The name of a trace.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Place {
    /// Makes it a trace that has a name.
    ///
    /// # Errors
    /// If memory cannot be written as a trace.
    pub fn mount(self) -> Result<Mounted> {
        match self {
            Self::File(path) => Ok(Mounted { path, file: None }),
            Self::Memory(mut memory, now) => {
                let place = "cannot read back what is in memory";
                let file = file::in_memory().context(place)?;
                memory.save(file.try_clone().context(place)?, now).context(place)?;
                Ok(Mounted::nameless(file.into()))
            }
            Self::Kept(file) => Ok(Mounted::nameless(file)),
        }
    }
}
