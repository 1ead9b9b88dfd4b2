//! What was recorded says the same as what was live, byte for byte: every [`Run`](crate::Run) keeps a
//! trace of itself and is replayed when it has ended, and beside one run of each subject there is one
//! that speaks text.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::PathBuf,
    process::{Child, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    run::{output, tracer},
    stage::kill,
};

/// How long `tracer` may take for the beginning or the end of a text.
const SOON: Duration = Duration::from_secs(15);

/// The trace that a run keeps.
pub(crate) struct Trace {
    folder: TempDir,
    /// What is shown, and how.
    show: Vec<String>,
}

impl Trace {
    /// A trace of a run with these arguments, which `watch` and `replay` must both know.
    pub(crate) fn new(show: &[String]) -> Self {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { folder, show: show.to_vec() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("trace.mcap")
    }

    /// Fails unless the replay says what was said live.
    pub(crate) fn must_say(&self, live: &[u8]) {
        let mut command = tracer(&["replay"]);
        command.arg(self.path()).args(&self.show);
        let replay = output(command);
        let stderr = String::from_utf8_lossy(&replay.stderr);
        assert!(replay.status.success() && stderr.is_empty(), "the replay failed ({}): {stderr}", replay.status);
        let lines = |text: &[u8]| -> Vec<String> {
            text.split_inclusive(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect()
        };
        let (live, replayed) = (lines(live), lines(&replay.stdout));
        for (i, (live, replayed)) in live.iter().zip(&replayed).enumerate() {
            assert_eq!(live, replayed, "line {} was the left one live, and is the right one replayed", i + 1);
        }
        assert_eq!(live.len(), replayed.len(), "live and replay have the same lines, and one of them more");
    }
}

/// A `tracer watch` that speaks text, beside a run that speaks JSON.
pub(crate) struct Text {
    tracer: Child,
    trace: Trace,
}

impl Text {
    /// Starts it, if this is the subject's first run.
    pub(crate) fn first_of(subject: &str, arguments: &[String]) -> Option<Self> {
        static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        SEEN.lock().expect("nobody panics with it").insert(subject.to_owned()).then(|| Self::start(arguments))
    }

    fn start(arguments: &[String]) -> Self {
        let show: Vec<_> = ["-o", "text"].map(str::to_owned).into_iter().chain(arguments.iter().cloned()).collect();
        let trace = Trace::new(&show);
        let said = File::create(trace.folder.path().join("said")).expect("a file in a temporary folder");
        let mut command = tracer(&["watch"]);
        command.args(&show).arg("--record").arg(trace.path()).stdout(said).stderr(Stdio::null());
        let tracer = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = Self { tracer, trace };
        let deadline = Instant::now() + SOON;
        while text.said().is_empty() {
            assert!(Instant::now() < deadline, "{command:?} says nothing");
            thread::sleep(Duration::from_millis(5));
        }
        text
    }

    fn said(&self) -> Vec<u8> {
        let path = self.trace.folder.path().join("said");
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Ends it; fails unless the replay says the same.
    pub(crate) fn end(mut self) {
        kill(self.tracer.id() as i32, Signal::INT);
        let status = self.wait().expect("a child can be waited for");
        assert!(status.success(), "the run that speaks text ended badly ({status})");
        self.trace.must_say(&self.said());
    }

    fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.tracer.try_wait()? {
                return Ok(status);
            }
            assert!(Instant::now() < deadline, "the run that speaks text does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let _ = self.tracer.kill();
        let _ = self.tracer.wait();
    }
}
