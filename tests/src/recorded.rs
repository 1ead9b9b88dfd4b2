//! A `tracer record -- CMD` beside a test, and what is in its files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tracer::{
    source::trace::Trace,
    trace::reader::{Next, Reader},
};

use crate::{
    contract::Line,
    machine,
    run::{output, tracer},
    stage::Stage,
};

/// How long it may take to say what it must, on a machine under load.
const SAID_WITHIN: Duration = Duration::from_secs(30);

/// A recording, and its command.
pub struct Recorded {
    /// `tracer` itself; what the command says is heard here.
    pub stage: Stage,
    dir: TempDir,
}

impl Recorded {
    /// Records an act of the workload into `run.mcap` in a directory of its own.
    pub fn act(args: &[&str], act: &[&str]) -> Self {
        let workload = machine::workload_path();
        let act: Vec<&str> = [workload.to_str().expect("the path is text")].iter().chain(act).copied().collect();
        Self::command(args, &act, |_| {})
    }

    /// Records any command; `prepare` sees how `tracer` is to be started.
    pub fn command(args: &[&str], command: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::within(dir, args, command, prepare)
    }

    /// The same in a directory that is there already.
    pub fn within(dir: TempDir, args: &[&str], command: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut tracer = tracer(&["record", "--unreaped-after", "300ms", "-o"]);
        tracer.arg(dir.path().join("run.mcap")).args(args).arg("--").args(command);
        tracer.stderr(File::create(dir.path().join("stderr")).expect("a file"));
        prepare(&mut tracer);
        Self { stage: Stage::program(tracer, &Default::default()), dir }
    }

    /// Where it writes.
    pub fn file(&self) -> PathBuf {
        self.path("run.mcap")
    }

    /// A file beside that.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until it has ended: the exit code.
    pub fn ends(&mut self) -> i32 {
        self.stage.exit_code()
    }

    /// Waits until it has said something on standard error; does something else meanwhile.
    pub fn says(&self, words: &str, mut meanwhile: impl FnMut()) {
        let deadline = Instant::now() + SAID_WITHIN;
        while !self.said().contains(words) {
            assert!(Instant::now() < deadline, "it does not say {words:?}, only: {}", self.said());
            meanwhile();
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has said on standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path("stderr")).expect("it is text")
    }

    /// What `tracer replay -o json` makes of the file.
    pub fn replay(&self, args: &[&str]) -> Vec<Line> {
        replay(&self.file(), args)
    }
}

/// What `tracer replay -o json` makes of a trace, which must be whole.
pub fn replay(file: &Path, args: &[&str]) -> Vec<Line> {
    let (lines, stderr) = replay_damaged(file, args);
    assert_eq!(stderr, "", "{}", file.display());
    lines
}

/// What it makes of a trace that may have no end, and what it says about that.
pub fn replay_damaged(file: &Path, args: &[&str]) -> (Vec<Line>, String) {
    let mut command = tracer(&["replay", "-o", "json"]);
    command.arg(file).args(args);
    let output = output(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let parse = |line: &str| Line::parse(line).unwrap_or_else(|why| panic!("it {why}\n  {line}"));
    (text.lines().map(parse).collect(), stderr)
}

/// All bytes of a trace: of the file, and of all that is packed in it.
pub fn unpacked(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).expect("the trace");
    let mut reader = Reader::open(file).expect("a trace");
    loop {
        match reader.read_on().expect("it can be read") {
            Next::Chunk(messages) => messages.iter().for_each(|message| bytes.extend_from_slice(reader.part(message))),
            Next::Damaged(why) => panic!("{why}"),
            Next::End | Next::Cut(_) => return bytes,
        }
    }
}

/// How many records a trace has.
pub fn records(file: &Path) -> usize {
    let mut count = 0;
    let mut trace = Trace::open(file).expect("a trace");
    let counted = trace.play_records(&mut |_| {
        count += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    });
    counted.expect("it can be read");
    count
}
