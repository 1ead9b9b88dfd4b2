//! Reads a whole recording in a thread of its own: what happened when, and all findings from the beginning on.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    density::Density,
    detector::Detector,
    filter::Filter,
    finding::Finding,
    ident::tame,
    sink::select::{Select, only_findings},
    source::trace::Trace,
    thresholds::Thresholds,
    time::BootNs,
    top::{
        found::Found,
        scene::{BUCKETS, Line},
    },
};

/// How many findings are kept: a bound on what a recording can make its reader hold.
const MOST: usize = 20_000;
/// How often the others hear how far it is.
const NEWS: Duration = Duration::from_millis(200);

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub struct Surveyed {
    /// How far it is.
    pub until: BootNs,
    /// All of it was read.
    pub is_done: bool,
    /// The time line.
    pub line: Arc<Line>,
    /// Findings, in the order of their reports.
    pub findings: Arc<Vec<Arc<Finding>>>,
    /// What is wrong with the file, and what else the reader should know.
    pub notes: Vec<String>,
}

/// A reading in progress. It ends when this is dropped.
pub struct Survey {
    known: Arc<Mutex<Surveyed>>,
    is_left: Arc<AtomicBool>,
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

impl Survey {
    /// Begins to read.
    pub fn begin(path: PathBuf, thresholds: Thresholds, span: (BootNs, BootNs)) -> Self {
        let line = Arc::new(Line { span, ..Line::default() });
        let known = Arc::new(Mutex::new(Surveyed { line, ..Surveyed::default() }));
        let is_left = Arc::new(AtomicBool::new(false));
        let mut reading = Reading {
            known: known.clone(),
            is_left: is_left.clone(),
            span,
            density: Density::new(BUCKETS),
            found: Found::default(),
            findings: Vec::new(),
            left_out: 0,
        };
        let read = move || {
            let read = reading.read(&path, &thresholds);
            let notes = read.unwrap_or_else(|error| vec![format!("{error:#}")]);
            reading.tell(BootNs::MAX, true, notes);
        };
        if let Err(error) = thread::Builder::new().name("survey".into()).spawn(read) {
            let note = format!("the recording cannot be read as a whole: {error}");
            known.lock().unwrap_or_else(PoisonError::into_inner).notes.push(note);
        }
        Self { known, is_left }
    }

    /// What is known so far.
    pub fn look(&self) -> Surveyed {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Reading {
    known: Arc<Mutex<Surveyed>>,
    is_left: Arc<AtomicBool>,
    span: (BootNs, BootNs),
    density: Density,
    found: Found,
    findings: Vec<Arc<Finding>>,
    /// Findings that are too many.
    left_out: u64,
}

impl Reading {
    fn read(&mut self, path: &std::path::Path, thresholds: &Thresholds) -> Result<Vec<String>> {
        let mut trace = Trace::open(path)?;
        let mut detector = Detector::new(thresholds);
        let mut select = Select::new(Filter::default(), &[]);
        let mut told = Instant::now();
        trace.detect(&mut detector, BootNs::MAX, |world, step| {
            self.density.step(world, step);
            select.step(world, step, only_findings(|finding| self.add(finding)))?;
            if step.seq.0.is_multiple_of(1024) && told.elapsed() >= NEWS {
                self.tell(world.now(), false, Vec::new());
                told = Instant::now();
            }
            Ok(if self.is_left.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        select.finish(detector.world(), only_findings(|finding| self.add(finding)))?;
        let mut notes: Vec<_> = trace.end().sentences().iter().map(|sentence| tame(sentence)).collect();
        if self.left_out > 0 {
            notes.push(format!("{} more findings are left out; `tracer replay` tells them all", self.left_out));
        }
        Ok(notes)
    }

    fn add(&mut self, finding: &Finding) {
        if self.findings.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let finding = Arc::new(finding.clone());
        self.findings.push(finding.clone());
        self.found.add(finding);
    }

    fn tell(&self, until: BootNs, is_done: bool, notes: Vec<String>) {
        let line = Line { span: self.span, density: self.density.clone(), marks: self.found.marks().to_vec() };
        let surveyed =
            Surveyed { until, is_done, line: Arc::new(line), findings: Arc::new(self.findings.clone()), notes };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = surveyed;
    }
}
