//! A trace in parts: a new file at a certain size, of which the last ones are kept. Each is a complete trace: it begins
//! with the start of the run and the world at that time, and ends as a trace does.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    console::style,
    event::{End, Event, EventKind},
    host::StartInfo,
    ident::file_name,
    sink::trace::{
        Store, View,
        part::{Part, naming},
    },
    source::live,
    time::{BootNs, Span},
    trace::file,
};

/// Writes one file after the other.
pub struct Rotating {
    path: PathBuf,
    overwrite: bool,
    /// Bytes after which a file is closed.
    limit: u64,
    /// How many closed files are kept.
    keep: u32,
    info: Option<StartInfo>,
    part: Option<Part>,
    /// What the earlier parts cost, and when this one began: for the last record of each part.
    before: End,
    /// Signals that were generated since the beginning.
    signals: u64,
    cpu_before: Span,
    /// How many files were closed, including those that were not kept.
    closed: u32,
    /// Bytes in the open file, including its end; `None` if no file is open.
    last_size: Option<u64>,
    /// Its name was gone by then.
    is_gone: bool,
}

impl Rotating {
    /// Writes into that file until it has so many bytes, and keeps so many old ones.
    ///
    /// # Errors
    /// If one of the names is taken, and they are not to be replaced.
    pub fn new(path: &Path, overwrite: bool, limit: u64, keep: u32) -> Result<Self, file::CreateError> {
        let names = (1..=keep).map(|n| numbered(path, n)).chain([path.to_owned()]);
        for name in names {
            file::check(&name, overwrite)?;
        }
        Ok(Self {
            path: path.to_owned(),
            overwrite,
            limit,
            keep,
            info: None,
            part: None,
            before: End::default(),
            signals: 0,
            cpu_before: live::cpu_time(),
            closed: 0,
            last_size: None,
            is_gone: false,
        })
    }

    /// Closes the file as a trace that ends here, moves it to its new name, and begins the next.
    fn rotate(&mut self, view: View<'_>) -> io::Result<()> {
        let (Some(info), Some(mut part)) = (self.info.clone(), self.part.take()) else { return Ok(()) };
        let now = view.now();
        let cpu_ns = live::cpu_time() - self.cpu_before;
        part.end(now, self.share(End { began: BootNs::ZERO, cpu_ns, signals: self.signals, walks_cut: 0 }))?;
        drop(part);
        self.before = End { began: now, cpu_ns, signals: self.signals, walks_cut: 0 };
        self.closed += 1;
        for n in (1..self.keep).rev() {
            file::rename(&numbered(&self.path, n), &numbered(&self.path, n + 1))?;
        }
        file::rename(&self.path, &numbered(&self.path, 1))?;
        let mut part = Part::at(&self.path, false, now, &info)?;
        part.records(now, &view.image())?;
        self.part = Some(part);
        Ok(())
    }

    /// The share of the open file in the totals of the run.
    fn share(&self, end: End) -> End {
        let End { began: _, cpu_ns, signals, walks_cut } = end;
        End {
            began: self.before.began,
            cpu_ns: cpu_ns - self.before.cpu_ns,
            signals: signals.saturating_sub(self.before.signals),
            walks_cut,
        }
    }

    fn closed(&mut self, result: io::Result<()>) -> io::Result<()> {
        if let Some(part) = self.part.take() {
            (self.last_size, self.is_gone) = (Some(part.size()), !part.is_at(&self.path));
        }
        result.map_err(|error| naming(&self.path, error))
    }
}

impl Store for Rotating {
    fn start(&mut self, view: View<'_>, info: &StartInfo) -> io::Result<()> {
        self.part = Some(Part::at(&self.path, self.overwrite, view.event.at, info)?);
        self.before.began = view.event.at;
        self.info = Some(info.clone());
        Ok(())
    }

    fn record(&mut self, view: View<'_>, record: &[u8]) -> io::Result<()> {
        let Some(part) = &mut self.part else { return Ok(()) };
        self.signals += u64::from(matches!(view.event.kind, EventKind::Signal(_)));
        part.record(view, record).map_err(|error| naming(&self.path, error))?;
        let size = part.size();
        if size >= self.limit && view.can_cut(size >= self.limit.saturating_mul(2)) {
            self.rotate(view)
        } else {
            Ok(())
        }
    }

    fn end(&mut self, view: View<'_>, end: End) -> io::Result<()> {
        let share = self.share(end);
        let ended = self.part.as_mut().map_or(Ok(()), |part| part.end(view.event.at, share));
        self.closed(ended)
    }

    fn close(&mut self, end: Option<&Event>) -> io::Result<()> {
        let closed = self.part.as_mut().map_or(Ok(()), |part| part.close(end));
        self.closed(closed)
    }

    fn size(&self) -> u64 {
        let old = (1..=self.closed.min(self.keep)).filter_map(|n| numbered(&self.path, n).symlink_metadata().ok());
        self.part.as_ref().map(Part::size).or(self.last_size).unwrap_or_default()
            + old.map(|file| file.len()).sum::<u64>()
    }

    fn sentences(&self) -> Vec<String> {
        let path = file_name(&self.path);
        let kept = self.closed.min(self.keep);
        let mut sentences = vec![match kept {
            0 if self.last_size.is_none() => format!("there is no {path}"),
            0 => format!("{path}: {}; it did not grow to be rotated", style::rough_size(self.size())),
            1 => format!("{path} and {}: {}", file_name(numbered(&self.path, 1)), style::rough_size(self.size())),
            _ => format!(
                "{path} and, from new to old, {} to {}: {}",
                file_name(numbered(&self.path, 1)),
                file_name(numbered(&self.path, kept)),
                style::rough_size(self.size())
            ),
        }];
        if self.is_gone {
            sentences.push(file::gone(&self.path));
        }
        if self.closed > self.keep {
            let older = style::count(u64::from(self.closed - self.keep), "older file");
            sentences.push(format!("{older} did not stay (--keep {})", self.keep));
        }
        sentences
    }
}

/// `run.mcap` with a number: `run.1.mcap`.
pub fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{n}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Whether a name is that of a path with a number.
pub fn is_numbered(name: &Path, path: &Path) -> bool {
    // The stem, and the extension if there is one.
    let stem = if path.extension().is_some() { name.file_stem() } else { name.file_name() };
    let number = stem.and_then(|stem| Path::new(stem).extension()?.to_str()?.parse().ok());
    number.is_some_and(|n| numbered(path, n).file_name() == name.file_name())
}

#[cfg(test)]
mod tests {
    use super::{is_numbered, numbered};

    #[test]
    fn a_numbered_name_is_known_as_such() {
        for (name, path, want) in [
            ("run.1.mcap", "run.mcap", true),
            ("run.4294967295.mcap", "run.mcap", true),
            ("run.01.mcap", "run.mcap", false),
            ("run.mcap", "run.mcap", false),
            ("run.1.xml", "run.mcap", false),
            ("walk.1.mcap", "run.mcap", false),
            ("run.1", "run", true),
            ("run.x", "run", false),
        ] {
            assert_eq!(is_numbered(name.as_ref(), path.as_ref()), want, "{name}");
        }
    }

    #[test]
    fn a_number_comes_before_the_ending() {
        for (path, want) in
            [("run.mcap", "run.3.mcap"), ("/tmp/a.b/run", "/tmp/a.b/run.3"), ("./x.y.mcap", "./x.y.3.mcap")]
        {
            assert_eq!(numbered(path.as_ref(), 3).to_str(), Some(want));
        }
    }
}
