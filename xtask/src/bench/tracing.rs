//! What runs beside a storm: nothing, empty programs, tracer, or perf.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    bench::{
        storm::{Storm, wait},
        terminate,
    },
    process::{on_path, run},
    workspace::Workspace,
};

/// How long a process may take to get ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is measured against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Nothing.
    Untraced,
    /// An empty program on the storm's tracepoint.
    Floor,
    /// `tracer watch` as it comes.
    Watch,
    /// `tracer watch` with every signal in the stream, and none of them printed.
    EverySignal,
    /// The same, and all of it in a recording.
    Recording,
    /// The same, and signals go through the ring buffer as everything else does.
    Ringbuf,
    /// `perf record` of the storm's tracepoint.
    Perf,
}

/// All enter the stream, and a storm's signals are not lost.
const EVERY_SIGNAL: [&str; 2] = ["--events=signal", "--lost"];

impl Variant {
    /// Those that a storm is measured with, in the order of the tables.
    pub fn of(storm: Storm) -> &'static [Self] {
        const ALL: [Variant; 7] = [
            Variant::Untraced,
            Variant::Floor,
            Variant::Watch,
            Variant::EverySignal,
            Variant::Recording,
            Variant::Ringbuf,
            Variant::Perf,
        ];
        match storm {
            Storm::Signals if on_path("perf").is_some() => &ALL,
            Storm::Signals => &ALL[..6],
            Storm::Forks | Storm::Execs => &ALL[..4],
        }
    }

    /// Its name in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Floor => "empty program",
            Self::Watch => "watch",
            Self::EverySignal => "watch, every signal",
            Self::Recording => "all into a recording",
            Self::Ringbuf => "same by ring buffer",
            Self::Perf => "perf record",
        }
    }

    /// Starts it; it is in effect when this returns.
    pub fn start(self, storm: Storm, workspace: &Workspace, scratch: &Path, at_most: Duration) -> Result<Tracing> {
        let trace = scratch.join("live.mcap");
        if self >= Self::Recording {
            // Of the round before.
            let _ = fs::remove_file(&trace);
        }
        let trace = trace.to_string_lossy();
        let recording = [&EVERY_SIGNAL[..], &["--record", &trace]].concat();
        let watch = match self {
            Self::Untraced => return Ok(Tracing(None)),
            Self::Floor => return Tracing::floor(storm, workspace),
            Self::Perf => return Tracing::perf(storm, scratch),
            Self::Watch => Vec::new(),
            Self::EverySignal => EVERY_SIGNAL.to_vec(),
            Self::Recording => recording,
            Self::Ringbuf => [&recording[..], &["--transport", "ringbuf"]].concat(),
        };
        Tracing::watch(&watch, workspace, at_most)
    }
}

/// What tracer says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Records that went from the kernel side through decoder, world and rules.
    pub events: u64,
    /// Signals that the kernel side saw.
    pub signals_seen: u64,
    /// Records that found no room.
    pub lost: u64,
    /// Its processor time since it was attached.
    pub cpu_ns: u64,
}

impl Account {
    fn read(summary: &Value) -> Option<Self> {
        Some(Self {
            events: summary["events"].as_object()?.values().filter_map(Value::as_u64).sum(),
            signals_seen: summary["signals_seen"].as_u64()?,
            lost: summary["lost"]["total"].as_u64()?,
            cpu_ns: summary["cpu_ns"].as_u64()?,
        })
    }
}

/// Something that is in effect; dropping it ends it.
#[derive(Debug)]
pub struct Tracing(Option<Running>);

#[derive(Debug)]
struct Running {
    child: Child,
    lines: Receiver<String>,
    /// perf says nothing at the end, and has no programs.
    is_perf: bool,
}

impl Tracing {
    fn floor(storm: Storm, workspace: &Workspace) -> Result<Self> {
        let mut command = Command::new(workspace.target.join("release/floor"));
        command.arg(storm.tracepoint()).stdin(Stdio::piped());
        let running = Running::start(command)?;
        running.expect(|line| line == "attached")?;
        Ok(Self(Some(running)))
    }

    /// `tracer watch` with these options; it is in effect when this returns.
    pub fn watch(options: &[&str], workspace: &Workspace, at_most: Duration) -> Result<Self> {
        let mut command = Command::new(workspace.tracer());
        command.args(["watch", "--output", "json"]).args(options).stdin(Stdio::null());
        // Should this program be killed, tracer ends all the same.
        command.arg("--duration").arg(format!("{}s", at_most.as_secs()));
        let running = Running::start(command)?;
        running.expect(|line| kind(&json(line)) == Some("start"))?;
        Ok(Self(Some(running)))
    }

    /// `perf record` of that tracepoint on all processors; it is in effect when this returns.
    fn perf(storm: Storm, scratch: &Path) -> Result<Self> {
        let [ask, answer] = ["perf.ask", "perf.answer"].map(|name| scratch.join(name));
        for fifo in [&ask, &answer] {
            let _ = fs::remove_file(fifo);
            run(Command::new("mkfifo").arg(fifo))?;
        }
        let mut command = Command::new("perf");
        // Disabled until it is asked, as it says only then that it is in effect. What it does with the file after the
        // end is left out.
        command
            .args(["record", "-a", "-q", "-B", "-N", "-D", "-1", "-e", storm.event(), "-o"])
            .arg(scratch.join("live.perf"))
            .arg(format!("--control=fifo:{},{}", ask.display(), answer.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut running = Running::start(command)?;
        running.is_perf = true;
        fs::write(&ask, "enable\n").context("perf cannot be asked")?;
        let mut answered = String::new();
        BufReader::new(File::open(&answer)?).read_line(&mut answered)?;
        ensure!(answered.contains("ack"), "perf says {answered:?}");
        Ok(Self(Some(running)))
    }

    /// The process, if it has programs.
    pub fn pid(&self) -> Option<u32> {
        self.0.as_ref().filter(|running| !running.is_perf).map(|running| running.child.id())
    }

    /// Ends it; tracer gives its account.
    pub fn stop(mut self) -> Result<Option<Account>> {
        let Some(mut running) = self.0.take() else { return Ok(None) };
        if running.end_of_input() {
            return wait(&mut running.child, PATIENCE).map(|()| None);
        }
        terminate(running.child.id())?;
        if running.is_perf {
            // It reports the signal that it was ended by.
            return running.child.wait().context("cannot wait for perf").map(|_| None);
        }
        let mut summary = Value::Null;
        while let Ok(line) = running.lines.recv_timeout(PATIENCE) {
            let line = json(&line);
            if kind(&line) == Some("summary") {
                summary = line;
            }
        }
        wait(&mut running.child, PATIENCE).context("tracer")?;
        let account = Account::read(&summary);
        account.map(Some).with_context(|| format!("tracer's summary is not as expected: {summary}"))
    }
}

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let lines = child.stdout.take().map(lines_of).context("no standard output")?;
        Ok(Self { child, lines, is_perf: false })
    }

    /// Waits for a line.
    fn expect(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if wanted(&line) => return Ok(()),
                Ok(_) => {}
                Err(error) => bail!("pid {} did not get ready: {error}", self.child.id()),
            }
        }
    }

    /// Whether it was told to end in this way.
    fn end_of_input(&mut self) -> bool {
        let input: Option<ChildStdin> = self.child.stdin.take();
        input.is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an error only: whoever has ended was waited for.
        if let Ok(None) = self.child.try_wait() {
            let _gone_meanwhile = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

/// Has them read as they come, so that the writer never waits.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_default()
}

fn kind(line: &Value) -> Option<&str> {
    line["type"].as_str()
}

/// What one eBPF program cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTime {
    /// Its name.
    pub program: String,
    /// How often it ran.
    pub runs: u64,
    /// For how long, all runs together.
    pub ns: u64,
}

/// The kernel's statistics of the programs of one process; they cost time themselves.
#[derive(Debug)]
pub struct Counting(Running);

impl Counting {
    /// Turns them on.
    pub fn start(pid: u32, workspace: &Workspace) -> Result<Self> {
        let mut command = Command::new(workspace.target.join("release/run_times"));
        command.arg(pid.to_string()).stdin(Stdio::piped());
        let running = Running::start(command)?;
        running.expect(|line| line == "counting")?;
        Ok(Self(running))
    }

    /// Reads them and turns them off.
    pub fn stop(self) -> Result<Vec<RunTime>> {
        let Self(mut running) = self;
        ensure!(running.end_of_input(), "no standard input");
        let mut programs = Vec::new();
        while let Ok(line) = running.lines.recv_timeout(PATIENCE) {
            programs.push(run_time(&line).with_context(|| format!("run_times said {line:?}"))?);
        }
        wait(&mut running.child, PATIENCE)?;
        Ok(programs)
    }
}

fn run_time(line: &str) -> Option<RunTime> {
    let mut words = line.split_whitespace();
    let program = words.next()?.to_owned();
    Some(RunTime { program, runs: words.next()?.parse().ok()?, ns: words.next()?.parse().ok()? })
}
