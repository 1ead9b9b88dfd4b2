//! A run of `tracer` beside a test.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Output, Stdio},
    rc::Rc,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::{prctl, signal};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use tracer::source::hooks::Hooks;

use crate::{
    contract::{Event, Finding, Line, Summary},
    expect::{Description, Expect},
    machine,
    replayed::{Text, Trace},
    stage::{Own, Stage, kill},
};

/// How long `tracer` may take to say what it must say, on a machine under load.
const SAID_WITHIN: Duration = Duration::from_secs(15);

/// The variable with the optional hooks for all tests that do not choose their own: a value of
/// `tracer watch --hooks`.
const HOOKS: &str = "TRACER_TESTS_HOOKS";

thread_local! {
    /// The name of the test that runs on this thread.
    static TEST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Gives what follows on this thread a name, for the report of a failure.
pub fn name_test(name: &str) {
    TEST.set(name.to_owned());
}

/// A `tracer` command that has not been started.
pub fn tracer(args: &[&str]) -> Command {
    let mut command = Command::new(machine::tracer_path());
    command.args(args).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// Runs a command to its end, which must come soon.
pub fn output(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let pid = child.id() as i32;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    match receive.recv_timeout(machine::patience(SAID_WITHIN)) {
        Ok(output) => output.expect("a child can be waited for"),
        Err(_) => {
            kill(pid, Signal::KILL);
            panic!("{command:?} did not end");
        }
    }
}

/// How `tracer watch` is to be started.
pub struct Options {
    events: &'static str,
    hooks: Option<String>,
    more: Vec<String>,
    live: Vec<String>,
    environment: Vec<(&'static str, String)>,
    unreaped_after: &'static str,
    slow_stop_after: &'static str,
    zombie_leak_at: &'static str,
    each: bool,
}

impl Options {
    /// Shows these kinds of events besides exec, which the end marker needs.
    pub fn events(mut self, kinds: &'static str) -> Self {
        self.events = kinds;
        self
    }

    /// With these optional hooks, whatever `TRACER_TESTS_HOOKS` says.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = Some(hooks.id().to_owned());
        self
    }

    /// Reports zombies after this time.
    pub fn unreaped_after(mut self, time: &'static str) -> Self {
        self.unreaped_after = time;
        self
    }

    /// Reports stops that were in vain for this time. Otherwise they are not reported: many tests end processes that
    /// they have asked to end before, and on an emulated processor that takes long.
    pub fn slow_stop_after(mut self, time: &'static str) -> Self {
        self.slow_stop_after = time;
        self
    }

    /// Takes so many zombies of one parent for a leak. Else hardly any are one: tests leave zombies to the
    /// process that they all run in, and the end marker is one more.
    pub fn zombie_leak_at(mut self, count: &'static str) -> Self {
        self.zombie_leak_at = count;
        self
    }

    /// Of findings that are alike shows the first, and then how many more. Else each is shown, so that none
    /// that is not expected can hide among others.
    pub fn few(mut self) -> Self {
        self.each = false;
        self
    }

    /// Any other arguments that say what is shown.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.more.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Any other arguments that say how it is traced, and that a replay does not know.
    pub fn live(mut self, args: &[&str]) -> Self {
        self.live.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// With this variable in its environment.
    pub fn environment(mut self, name: &'static str, value: String) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Starts `tracer watch -o json` and waits until it says that tracing is on.
    pub fn start(self) -> Run {
        let Self { events, hooks, more, live, environment, unreaped_after, slow_stop_after, zombie_leak_at, each } =
            self;
        let events = if events.is_empty() { "--events=exec".to_owned() } else { format!("--events=exec,{events}") };
        let thresholds = [
            ["--unreaped-after", unreaped_after],
            ["--zombie-leader-after", "300ms"],
            ["--slow-stop-after", slow_stop_after],
            ["--zombie-leak-at", zombie_leak_at],
        ];
        let thresholds = thresholds.concat().into_iter().map(str::to_owned);
        let show: Vec<_> =
            [events].into_iter().chain(each.then(|| "--each".to_owned())).chain(thresholds).chain(more).collect();
        let json: Vec<_> = ["-o", "json"].map(str::to_owned).into_iter().chain(show.iter().cloned()).collect();
        let trace = Trace::new(&json);
        let mut command = tracer(&["watch"]);
        command.args(json).arg("--record").arg(trace.path());
        command.args(hooks.iter().flat_map(|hooks| ["--hooks", hooks])).args(&live);
        command.envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl(2) is safe to call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(signal::Signal::SIGKILL)?));
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));

        let stderr = Arc::new(Mutex::new(String::new()));
        let mut from_stderr = child.stderr.take().expect("stderr is piped");
        let to_stderr = Arc::clone(&stderr);
        let stderr_reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_stderr.read(&mut buffer) {
                to_stderr.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (send, from) = mpsc::channel();
        thread::spawn(move || stdout.split(b'\n').map_while(Result::ok).try_for_each(|line| send.send(line)));

        let mut run = Run {
            command: format!("{command:?}"),
            child,
            from,
            stderr,
            stderr_reader: Some(stderr_reader),
            text: String::new(),
            lines: Vec::new(),
            own: Rc::default(),
            expected: Vec::new(),
            allowed: vec!["killed-by", "stopped-by"],
            took_to_start: Duration::ZERO,
            trace,
            beside: None,
        };
        run.wait_until("the start line", |line| matches!(line, Line::Start(_)));
        assert_eq!(run.lines.len(), 1, "something comes before the start line");
        run.took_to_start = began.elapsed();
        // Where the reader is made to lose records, another one would be in the way.
        if live.is_empty() {
            let subject = TEST.with_borrow(|name| name.split("::").next().unwrap_or_default().to_owned());
            run.beside = Text::first_of(&subject, &show);
        }
        run
    }
}

/// A `tracer watch -o json` that is tracing.
pub struct Run {
    command: String,
    child: Child,
    from: Receiver<Vec<u8>>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<thread::JoinHandle<()>>,
    text: String,
    lines: Vec<Line>,
    own: Rc<RefCell<Own>>,
    expected: Vec<(Description, usize)>,
    allowed: Vec<&'static str>,
    took_to_start: Duration,
    trace: Trace,
    beside: Option<Text>,
}

/// What is left of a [`Run`] that has ended well.
pub struct Finished {
    /// Every line.
    pub lines: Vec<Line>,
    /// The last of them.
    pub summary: Summary,
}

impl Run {
    /// Zombies and dead main threads are reported after 300 ms, and no events are shown but exec.
    pub fn start() -> Self {
        Self::options().start()
    }

    /// See [`Options`].
    pub fn options() -> Options {
        Options {
            events: "",
            hooks: env::var(HOOKS).ok(),
            more: Vec::new(),
            live: Vec::new(),
            environment: Vec::new(),
            unreaped_after: "300ms",
            slow_stop_after: "1h",
            zombie_leak_at: "1000",
            each: true,
        }
    }

    /// The pid of `tracer`.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// From the start of the process to the `start` line.
    pub fn took_to_start(&self) -> Duration {
        self.took_to_start
    }

    /// Waits for a line on standard error that begins like that: the rest of it. Each of the two outputs comes in its own
    /// time.
    pub fn says_aside(&self, beginning: &str) -> String {
        let line = || {
            let said = self.stderr.lock().expect("no reader panics");
            let line = said.split_inclusive('\n').find_map(|line| line.strip_prefix(beginning)?.strip_suffix('\n'));
            line.map(str::to_owned)
        };
        machine::await_that(&format!("tracer says {beginning:?} on standard error"), || line().is_some());
        line().expect("it was there")
    }

    /// What it has said so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Starts the workload program with that act.
    pub fn stage(&self, act: &[&str]) -> Stage {
        Stage::act(act, &self.own)
    }

    /// Starts any other program beside `tracer`.
    pub fn program(&self, command: Command) -> Stage {
        Stage::program(command, &self.own)
    }

    /// Starts a shell with a script.
    pub fn shell(&self, script: &str) -> Stage {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        self.program(command)
    }

    /// Waits until a shell has executed another program. One that is busybox executes itself for what it can do: its
    /// program has another name than that then.
    pub fn await_exec(&mut self, shell: i32) {
        self.wait_until("the exec of the shell's program", |line| {
            let process = event(line, "exec").and_then(|event| event.process.as_ref());
            process.is_some_and(|process| process.pid == shell && process.comm != "sh")
        });
    }

    /// The host pid of the process with that pid inside a namespace, once it has executed a program.
    pub fn inside(&mut self, ns_pid: i32) -> i32 {
        self.find("the exec of a process of the namespace", |line| {
            let process = event(line, "exec")?.process.as_ref()?;
            (process.ns_level > 0 && process.ns_pid == ns_pid).then_some(process.pid)
        })
    }

    /// Makes a process the test's own: no finding about it may go unexpected.
    pub fn watch_over(&self, pid: i32) {
        self.own.borrow_mut().add(pid);
    }

    /// Makes processes that were started before this run the test's own.
    pub fn adopt(&self, own: &Rc<RefCell<Own>>) {
        let theirs = own.borrow();
        let mut ours = self.own.borrow_mut();
        ours.pids.extend(&theirs.pids);
        ours.namespaces.extend(&theirs.namespaces);
    }

    /// Starts `unshare --pid --fork --mount-proc INIT`; the stage, and the pid of INIT when it
    /// has been execed.
    pub fn unshare(&mut self, init: &[&str]) -> (Stage, i32) {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]).args(init);
        let mut stage = Stage::program(command, &self.own);
        let unshare = stage.id();
        let init = self.find("the exec of the namespace's init", |line| {
            event(line, "exec")
                .and_then(|event| event.process.as_ref())
                .filter(|process| process.ns_pid == 1 && process.ns_level > 0 && is_child(process.pid, unshare))
                .map(|process| process.pid)
        });
        stage.hold(init);
        (stage, init)
    }

    /// The beginning of an expectation.
    pub fn expect_finding(&mut self, rule: &str) -> Expect<'_> {
        Expect::new(self, rule)
    }

    /// Ends by signals count as well; otherwise they are ignored, because tests end many processes that way.
    pub fn judge_kills(&mut self) {
        self.allowed.retain(|rule| *rule != "killed-by");
    }

    /// Whoever ends in order at a signal counts, too.
    pub fn judge_stops(&mut self) {
        self.allowed.retain(|rule| *rule != "stopped-by");
    }

    /// Ignores findings of that rule about the test's own processes.
    pub fn allow(&mut self, rule: &'static str) {
        self.allowed.push(rule);
    }

    pub(crate) fn await_findings(&mut self, is: Description, times: usize) -> Vec<Finding> {
        let mut found = Vec::new();
        let is_complete = self.read_until(0, |line| {
            found.extend(finding(line).filter(|finding| is.fits(finding)).cloned());
            found.len() >= times
        });
        if !is_complete {
            let mut near = String::new();
            for finding in findings(&self.lines).filter(|finding| self.is_own(finding)) {
                if let Some(misfit) = is.misfit(finding) {
                    let _ = write!(near, "\n  this one is not [{misfit}]: {finding:?}");
                }
            }
            panic!("no finding says: {is} ({times} times){near}");
        }
        self.expected.push((is, times));
        found
    }

    /// Waits until there has been a line, the first ones included, that satisfies a condition.
    pub fn wait_until(&mut self, what: &str, is_it: impl FnMut(&Line) -> bool) {
        self.wait_until_after(0, what, is_it);
    }

    /// Waits until there has been a line, the first ones included, of which something can be made.
    pub fn find<T>(&mut self, what: &str, mut find: impl FnMut(&Line) -> Option<T>) -> T {
        let mut found = None;
        self.wait_until(what, |line| {
            found = find(line);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    fn wait_until_after(&mut self, seen: usize, what: &str, is_it: impl FnMut(&Line) -> bool) {
        if !self.read_until(seen, is_it) {
            let stderr = self.stderr.lock().expect("no reader panics").clone();
            panic!("waited in vain for {what}; tracer said: {stderr}");
        }
    }

    /// Hands each line after so many of them to `is_it` until that says yes; false if it does not
    /// in time.
    fn read_until(&mut self, mut seen: usize, mut is_it: impl FnMut(&Line) -> bool) -> bool {
        let deadline = Instant::now() + machine::patience(SAID_WITHIN);
        loop {
            while let Some(line) = self.lines.get(seen) {
                if is_it(line) {
                    return true;
                }
                seen += 1;
            }
            if !self.read_line(deadline) {
                return false;
            }
        }
    }

    /// Takes the next line in; false if there is none in time, or ever.
    fn read_line(&mut self, deadline: Instant) -> bool {
        // Where there is always more to read, the time would never be up.
        if Instant::now() > deadline {
            return false;
        }
        match self.from.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let lossy = String::from_utf8_lossy(&line).into_owned();
                self.text.push_str(&lossy);
                self.text.push('\n');
                let line = String::from_utf8(line).unwrap_or_else(|_| panic!("a line is not UTF-8: {lossy}"));
                match Line::parse(&line) {
                    Ok(line) => self.lines.push(line),
                    Err(why) => panic!("a line breaks the JSON contract: it {why}\n  {line}"),
                }
                true
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Waits until everything that has happened so far has come through: runs a process of its
    /// own and waits for its exec event.
    pub fn settle(&mut self) {
        let seen = self.lines.len();
        let mut marker = do_nothing();
        let pid = marker.id() as i32;
        self.wait_until_after(seen, "the end marker's exec event", |line| {
            event(line, "exec").and_then(|event| event.process.as_ref()).is_some_and(|process| process.pid == pid)
        });
        marker.wait().expect("the marker can be waited for");
    }

    /// The same where records are being lost, perhaps the marker's own; says how many markers it
    /// took.
    pub fn settle_after_loss(&mut self) -> u64 {
        let seen = self.lines.len();
        let deadline = Instant::now() + machine::patience(SAID_WITHIN);
        let mut markers = BTreeSet::new();
        while Instant::now() < deadline {
            let mut marker = do_nothing();
            marker.wait().expect("the marker can be waited for");
            markers.insert(marker.id() as i32);
            let soon = Instant::now() + Duration::from_millis(300);
            while self.read_line(soon) {
                let mut execs = events(&self.lines[seen..], "exec").filter_map(|event| event.process.as_ref());
                if execs.any(|process| markers.contains(&process.pid)) {
                    return markers.len() as u64;
                }
            }
        }
        panic!("waited in vain for an end marker's exec event");
    }

    /// Waits until every zombie that there is has been reported: makes one more, and waits until
    /// that one has been.
    pub fn settle_zombies(&mut self) {
        let seen = self.lines.len();
        let mut marker = do_nothing();
        let pid = marker.id() as i32;
        let id = WaitId::Pid(Pid::from_child(&marker));
        waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("the marker can be waited for");
        self.wait_until_after(seen, "the marker zombie's finding", |line| {
            finding(line).is_some_and(|finding| finding.rule == "unreaped-child" && finding.process.pid == pid)
        });
        marker.wait().expect("the marker can be waited for");
    }

    /// Waits until all is judged, ends `tracer`, and fails on whatever was not expected.
    pub fn finish(mut self) -> Finished {
        self.settle();
        self.settle_zombies();
        self.end_with(Signal::INT)
    }

    /// Ends `tracer` with a signal, and fails on whatever was not expected so far.
    pub fn end_with(mut self, signal: Signal) -> Finished {
        kill(self.id(), signal);
        self.end()
    }

    /// Waits until `tracer` ends by itself, and fails on whatever was not expected so far.
    pub fn end(&mut self) -> Finished {
        let deadline = Instant::now() + machine::patience(SAID_WITHIN);
        while self.read_line(deadline) {}
        assert!(Instant::now() < deadline, "tracer did not end");
        let status = self.child.wait().expect("tracer can be waited for");
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().expect("no reader panics");
        }
        let stderr = self.stderr.lock().expect("no reader panics").clone();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "tracer ended badly: {stderr}");
        let summaries = self.lines.iter().filter(|line| matches!(line, Line::Summary(_))).count();
        let Some(Line::Summary(summary)) = self.lines.last().cloned() else { panic!("the last line is no summary") };
        assert_eq!(summaries, 1, "there is more than one summary");
        self.judge();
        self.trace.must_say(self.text.as_bytes());
        if let Some(text) = self.beside.take() {
            text.end();
        }
        Finished { lines: self.lines.clone(), summary }
    }

    fn judge(&self) {
        for (is, times) in &self.expected {
            let found = findings(&self.lines).filter(|f| is.fits(f)).count();
            assert_eq!(found, *times, "how often a finding says: {is}");
        }
        let unexpected: Vec<String> = findings(&self.lines)
            .filter(|f| self.is_own(f) && !self.allowed.contains(&f.rule.as_str()))
            .filter(|f| !self.expected.iter().any(|(is, _)| is.fits(f)))
            .map(|f| format!("\n  {} ({}): {}", f.rule, f.severity, f.message))
            .collect();
        assert!(unexpected.is_empty(), "nobody expected:{}", unexpected.concat());
    }

    fn is_own(&self, finding: &Finding) -> bool {
        let own = self.own.borrow();
        own.pids.contains(&finding.process.pid) || own.namespaces.contains(&finding.process.pid_ns)
    }

    /// Writes down what a failed test needs to be understood; says where.
    fn report(&self) -> std::io::Result<String> {
        let dir = machine::report_dir();
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.txt", TEST.with_borrow(|name| name.replace("::", "-"))));
        let stderr = self.stderr.lock().map(|text| text.clone()).unwrap_or_default();
        let own = self.own.borrow();
        let Own { pids, namespaces } = &*own;
        let report = format!(
            "{}\nown pids: {pids:?}\nown namespaces: {namespaces:?}\n\n{}\nstderr:\n{stderr}",
            self.command, self.text
        );
        fs::write(&path, report)?;
        Ok(path.display().to_string())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            self.text.extend(self.from.try_iter().map(|line| String::from_utf8_lossy(&line).into_owned() + "\n"));
            match self.report() {
                Ok(path) => eprintln!("what tracer said is in {path}"),
                Err(error) => eprintln!("what tracer said could not be written: {error}"),
            }
        }
    }
}

fn event<'a>(line: &'a Line, kind: &str) -> Option<&'a Event> {
    match line {
        Line::Event(event) if event.kind == kind => Some(event),
        _ => None,
    }
}

fn finding(line: &Line) -> Option<&Finding> {
    match line {
        Line::Finding(finding) if finding.is_new() => Some(finding),
        _ => None,
    }
}

/// The events of that kind.
pub fn events<'a>(lines: &'a [Line], kind: &'a str) -> impl Iterator<Item = &'a Event> {
    lines.iter().filter_map(move |line| event(line, kind))
}

/// The findings, each when it was told first.
pub fn findings(lines: &[Line]) -> impl Iterator<Item = &Finding> {
    lines.iter().filter_map(finding)
}

/// Starts an end marker.
pub fn do_nothing() -> Child {
    let mut command = Command::new(machine::workload_path());
    command.arg("nothing").stdin(Stdio::null());
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

fn is_child(pid: i32, parent: i32) -> bool {
    machine::stat(pid).is_some_and(|stat| stat.ppid == parent)
}
