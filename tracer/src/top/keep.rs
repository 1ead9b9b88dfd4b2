//! What the reader keeps: what is in memory, as a recording, or all that is looked at, as a page for a browser.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{self, Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    detector::Detector,
    history::History,
    ident::file_name,
    page::{self, About},
    source::trace::Trace,
    time::BootNs,
    top::{
        board::Board,
        tape::{Place, Tape},
    },
    trace::file,
    uri::uri,
};

/// As what it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A trace.
    Recording,
    /// The page that `tracer report` makes of one.
    Page,
}

impl Kept {
    /// How the names of such files end.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Recording => "mcap",
            Self::Page => "html",
        }
    }

    /// Where it is: of a page its address, on which a terminal lets its reader click.
    fn place(self, path: &Path) -> String {
        match (self, path::absolute(path)) {
            (Self::Page, Ok(whole)) => uri(&whole),
            _ => file_name(path),
        }
    }
}

/// Writes it into a new file, in a thread of its own, and says on the board what became of it.
pub fn keep(board: &Arc<Board>, what: Kept, tape: Tape, path: PathBuf) {
    let told = board.clone();
    let write = move || match write(what, tape, &path) {
        Ok(()) => told.say(format!("written: {}", what.place(&path))),
        Err(error) => told.say(format!("cannot keep it: {error:#}")),
    };
    if let Err(error) = thread::Builder::new().name("keep".into()).spawn(write) {
        board.say(format!("cannot keep it: {error}"));
    }
}

fn write(what: Kept, tape: Tape, path: &Path) -> Result<()> {
    let out = file::create(path, false)?;
    let written = match what {
        Kept::Recording => recording(tape, out),
        Kept::Page => page(tape, out),
    };
    written.inspect_err(|_| {
        // What cannot be removed either is found when it is used.
        let _ = file::remove(path);
    })
}

fn recording(tape: Tape, out: File) -> Result<()> {
    match tape.place {
        Place::Memory(mut memory, now) => memory.save(out, now)?,
        place @ Place::Kept(_) => {
            // Opened again, because others read it meanwhile.
            let mut from = File::open(place.mount()?.path())?;
            io::copy(&mut from, &mut { out })?;
        }
        Place::File(_) => bail!("this is a recording already"),
    }
    Ok(())
}

fn page(tape: Tape, out: File) -> Result<()> {
    let Tape { thresholds, place } = tape;
    let name = match &place {
        Place::File(path) => path.file_name().map(file_name),
        Place::Memory(..) | Place::Kept(_) => None,
    };
    let mounted = place.mount()?;
    let mut trace = Trace::open(mounted.path())?;
    let mut detector = Detector::new(&thresholds);
    let mut history = History::default();
    history.play(&mut trace, &mut detector, (BootNs::ZERO, BootNs::MAX), |_| {})?;
    let about = About::new(name.unwrap_or_else(|| "tracer top".to_owned()), &trace, &history);
    let mut out = BufWriter::new(out);
    page::write(&mut out, &mut history, &about).and_then(|()| out.flush()).context("cannot write it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_an_address_and_a_recording_by_its_name() {
        let file = Path::new("/tmp/a b/ä%.html");
        assert_eq!(Kept::Page.place(file), "file:///tmp/a%20b/%C3%A4%25.html");
        assert_eq!(Kept::Recording.place(Path::new("run.mcap")), "run.mcap");
    }
}
