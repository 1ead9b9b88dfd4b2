//! A `tracer agent` beside a test: what it says, the numbers that it counts, and its processes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    contract::{Finding, Line, Summary},
    machine::{await_within, patience},
    run::tracer,
};

/// How long it may take to say what it must say.
pub const SAID_WITHIN: Duration = Duration::from_secs(30);

/// An agent, and what it says.
pub struct Agent {
    /// Where its configuration and its traces are.
    pub folder: TempDir,
    /// The process that was started.
    pub child: Child,
    lines: Receiver<Line>,
    errors: Receiver<String>,
    /// Where its numbers are.
    pub address: String,
    /// Standard output, if nobody is to read it.
    unread: Option<ChildStdout>,
}

impl Agent {
    /// One with that configuration, at work.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(configuration: &str) -> Self {
        let mut agent = Self::spawn(configuration);
        let (said, lines) = channel();
        let stdout = BufReader::new(agent.unread.take().expect("it is piped"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nobody may want it any more.
                let _ = said.send(Line::parse(&line).expect("the contract"));
            }
        });
        agent.lines = lines;
        agent.says(|line| matches!(line, Line::Start(_)).then_some(()));
        agent
    }

    /// One whose standard output nobody reads.
    ///
    /// # Panics
    /// If it does not start.
    pub fn unread(configuration: &str) -> Self {
        let agent = Self::spawn(configuration);
        await_within(patience(SAID_WITHIN), "it knows all processes", || agent.number("tracer_is_whole") == 1);
        agent
    }

    fn spawn(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tracer.toml");
        let traces = folder.path().join("traces");
        // Whoever it becomes must get to the folder of its traces.
        let everybody = PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), everybody).expect("it is ours");
        let configuration = configuration.replace("TRACES", traces.to_str().expect("a name"));
        fs::write(&file, configuration).expect("it can be written");
        let mut command =
            tracer(&["agent", "--metrics", "0", "--findings-to", "stdout", "--user", "nobody", "--config"]);
        command.arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tracer runs");
        let unread = child.stdout.take();
        let (complained, errors) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| complained.send(line)));
        let (_, lines) = channel();
        let mut agent = Self { folder, child, lines, errors, address: String::new(), unread };
        let numbers = agent.complains("numbers for Prometheus: http://");
        let (_, address) = numbers.split_once("http://").expect("an address");
        agent.address = address.trim_end_matches("/metrics").to_owned();
        agent
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// That one of its processes.
    pub fn runs(&self, command: &str) -> Pid {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id())).expect("it lives");
        let is_it = |pid: &&str| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|&byte| byte == 0).nth(1) == Some(command.as_bytes())
        };
        let found = children.split_whitespace().find(is_it).and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        found.unwrap_or_else(|| panic!("no {command} among {children}"))
    }

    /// Waits for a line, and returns what `wanted` makes of it.
    pub fn says<T>(&self, wanted: impl Fn(Line) -> Option<T>) -> T {
        let mut said = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(patience(SAID_WITHIN)) else { panic!("it says only {said:#?}") };
            said.push(format!("{line:?}"));
            if let Some(found) = wanted(line) {
                return found;
            }
        }
    }

    /// Waits for a finding of that rule about a process.
    pub fn finds(&self, rule: &str, about: i32) -> Finding {
        self.says(|line| match line {
            Line::Finding(finding) if finding.rule == rule && finding.process.pid == about => Some(*finding),
            _ => None,
        })
    }

    /// Waits for a sentence on standard error.
    pub fn complains(&self, what: &str) -> String {
        let mut said = String::new();
        loop {
            let Ok(line) = self.errors.recv_timeout(patience(SAID_WITHIN)) else { panic!("not {what:?} but:\n{said}") };
            if line.contains(what) {
                return line;
            }
            said += &format!("{line}\n");
        }
    }

    /// Gives it another configuration.
    pub fn reload(&self, configuration: &str) {
        let traces = self.folder.path().join("traces");
        let configuration = configuration.replace("TRACES", traces.to_str().expect("a name"));
        fs::write(self.folder.path().join("tracer.toml"), configuration).expect("it can be written");
        kill_process(self.pid(), Signal::HUP).expect("it lives");
    }

    /// What Prometheus would read.
    pub fn numbers(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it serves");
        stream.set_read_timeout(Some(patience(SAID_WITHIN))).expect("a time");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        text
    }

    /// One number of those: that of a series, or 0 where there is nothing to count; of a metric, all its series added.
    pub fn number(&self, series: &str) -> u64 {
        number_in(&self.numbers(), series)
    }

    /// Its processes: itself and those that it has started.
    pub fn pids(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        [id].into_iter().chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }

    /// What it has said that was not waited for.
    pub fn said(&self) -> Vec<Line> {
        self.lines.try_iter().collect()
    }

    /// What became of what was sent by OTLP.
    pub fn sent(&self, what: &str, outcome: &str) -> u64 {
        let numbers = self.numbers();
        let name = format!("tracer_otlp_total{{what=\"{what}\",outcome=\"{outcome}\"}} ");
        let count = numbers.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap_or_else(|| panic!("no {name}in {numbers}")).parse().expect("a number")
    }

    /// The files of its traces, by name.
    pub fn traces(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("traces")).expect("a folder");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    }

    /// Ends it, and waits until it has ended.
    pub fn end(self) {
        self.summary();
    }

    /// The same, with what it says at its end.
    pub fn summary(mut self) -> Summary {
        kill_process(self.pid(), Signal::TERM).expect("it lives");
        let summary = self.says(|line| if let Line::Summary(summary) = line { Some(summary) } else { None });
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        summary
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // As nobody, it could not do so itself; the next agent would.
        let _ = fs::remove_file(format!("/run/tracer/{}", self.child.id()));
    }
}

/// One of such numbers; see [`Agent::number`].
pub fn number_in(numbers: &str, series: &str) -> u64 {
    let of_line = |line: &str| {
        let (name, number) = line.rsplit_once(' ')?;
        let is_it = name == series || name.strip_prefix(series).is_some_and(|labels| labels.starts_with('{'));
        is_it.then(|| number.parse::<f64>().ok()).flatten()
    };
    numbers.lines().filter_map(of_line).sum::<f64>() as u64
}

/// A field of the status of a process.
pub fn status(pid: Pid, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    line.unwrap_or_default().to_owned()
}
