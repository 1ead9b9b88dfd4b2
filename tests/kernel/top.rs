//! `tracer top` on a real terminal, that of tmux: live and over a recording, and what it leaves behind.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, WaitOptions};
use tracer_tests::{
    machine::{self, Need},
    recorded::Recorded,
    run::{output, tracer},
    stage,
};

use crate::{
    Test,
    hostile::{RENAMED, SHOWN},
    live,
};

/// How long it may take until something is on the screen, on a machine under load.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Test> {
    [
        live("the_present_and_back", the_present_and_back),
        live("a_recording", a_recording),
        live("the_name_of_the_machine", the_name_of_the_machine).needs(Need::Program("unshare")),
        live("the_terminal_is_given_back", the_terminal_is_given_back),
        live("suspended_in_a_shell", suspended_in_a_shell),
        live("not_suspended_where_nobody_could_continue_it", not_suspended_where_nobody_could_continue_it),
    ]
    .map(|test| test.needs(Need::Program("tmux")))
    .into()
}

/// A terminal with a shell that runs a command and then says how it ended.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(name: &str, size: (u16, u16), args: &[&str]) -> Self {
        let program = machine::tracer_path();
        let quoted: Vec<_> = args.iter().map(|arg| format!("'{arg}'")).collect();
        let command = format!("{} {}; echo \"ended: $?\"; exec cat", program.to_string_lossy(), quoted.join(" "));
        Self::open(name, size, &["sh", "-c", &command])
    }

    /// A terminal with a shell that reads commands, and says before each what the last one came to.
    fn shell(name: &str) -> Self {
        let terminal = Self::open(name, (80, 24), &["env", "ENV=", "PS1=[$?] ready> ", "sh", "-i"]);
        terminal.shows("[0] ready>");
        terminal
    }

    fn open(name: &str, (width, height): (u16, u16), command: &[&str]) -> Self {
        let socket = format!("tracer-test-{}-{name}", std::process::id());
        let terminal = Self { socket };
        let (width, height) = (width.to_string(), height.to_string());
        let session = ["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height];
        terminal.tmux(&[&session, command].concat());
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        let output = output(command);
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen says something.
    fn shows(&self, what: &str) -> String {
        self.waits_for(what, |screen| screen.contains(what))
    }

    fn waits_for(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.screen();
            if is_it(&screen) {
                return screen;
            }
            assert!(began.elapsed() < SHOWN_WITHIN, "the screen does not show {what:?}:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether a program draws on the other screen, or wants the mouse.
    fn is_taken(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{alternate_on}#{mouse_any_flag}"]).trim() != "00"
    }

    /// The pid of the command.
    fn command(&self) -> i32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(children).expect("the shell lives");
        children.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()).expect("it has a child")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).stderr(Stdio::null()).status();
    }
}

fn the_name_of_the_machine() {
    let program = machine::tracer_path();
    let command = ["unshare", "--uts", "sh", "-c", RENAMED, "sh", program.to_str().expect("UTF-8"), "top"];
    let terminal = Terminal::open("name", (100, 24), &command);
    terminal.shows(SHOWN);
    terminal.keys(&["q"]);
}

/// A `sleep` with a child that it does not know, which has ended. Dropping it ends it.
struct Parent(Child);

impl Parent {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0 & exec sleep 1000"]).stdin(Stdio::null());
        Self(command.spawn().expect("sh runs"))
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child that its parent leaves unreaped is found and shown; the past is still there; it can be saved.
fn the_present_and_back() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("kept.mcap");
    let file = file.to_str().expect("UTF-8");
    let terminal = Terminal::start("live", (160, 50), &["top", "--unreaped-after", "300ms"]);
    terminal.shows("live");
    let parent = Parent::start();
    terminal.keys(&["/", &format!("-p {}", parent.0.id()), "Enter"]);
    terminal.shows("has been a zombie for");
    // Only what is in trouble: the zombie, and whom it belongs to.
    terminal.keys(&["z"]);
    terminal.waits_for("the zombie", |screen| screen.contains("zombie ") && screen.contains("[trouble only]"));
    terminal.keys(&["z", "Space"]);
    terminal.shows(" paused ");
    terminal.keys(&["F"]);
    terminal.shows(" live ");
    let page = folder.path().join("kept.html");
    for (key, name) in [("s", file), ("o", page.to_str().expect("UTF-8"))] {
        terminal.keys(&[key]);
        terminal.shows("write to: ");
        terminal.keys(&["C-u", name, "Enter"]);
        // A page is told by its address.
        terminal.shows(&format!("written: {}{name}", if key == "o" { "file://" } else { "" }));
    }
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("has been a zombie for"), "{page}");
    drop(parent);
    terminal.waits_for("the end of the finding", |screen| {
        // The zombie has come to this process.
        while matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        screen.contains("✓")
    });
    terminal.keys(&["q"]);
    terminal.shows("ended: 0");
    let replayed = output(tracer(&["replay", file]));
    let said = String::from_utf8_lossy(&replayed.stdout);
    assert!(replayed.status.success() && said.contains("unreaped-child"), "{said}");
}

/// A recording is at its end first, and can be gone over from finding to finding.
fn a_recording() {
    // Long enough that playing it, as fast as it was, is seen on the screen.
    let mut recorded = Recorded::command(&[], &["sh", "-c", "sleep 1000 & sleep 2; kill -9 $!; wait"], |_| {});
    recorded.ends();
    let file = recorded.file();
    let terminal = Terminal::start("recorded", (80, 24), &["replay", file.to_str().expect("UTF-8"), "--tui"]);
    let screen = terminal.shows("was ended by SIGKILL");
    assert!(screen.contains("run.mcap") && screen.contains(" paused "), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    terminal.keys(&["N", "w"]);
    terminal.shows("why ");
    terminal.shows("ended by SIGKILL");
    terminal.keys(&["q", "/", "--rule zombie-leak", "Enter"]);
    terminal.shows("findings: none");
    terminal.keys(&["t", "+0s", "Enter", "["]);
    terminal.shows(" paused, 0.5x ");
    terminal.keys(&["Space"]);
    terminal.shows("playing 0.5x");
    terminal.shows(" paused, 0.5x ");
    terminal.keys(&["C-c"]);
    terminal.shows("ended: 0");
    assert!(!terminal.is_taken());
}

/// Whatever ends it, the terminal is as it was.
fn the_terminal_is_given_back() {
    let terminal = Terminal::start("given-back", (80, 24), &["top"]);
    terminal.shows("live");
    assert!(terminal.is_taken());
    stage::kill(terminal.command(), Signal::TERM);
    terminal.shows("ended: 0");
    assert!(!terminal.is_taken());
}

/// Ctrl-Z leads back to the shell, on a terminal as it was; `fg` leads back to the screen.
fn suspended_in_a_shell() {
    let terminal = Terminal::shell("suspended");
    let program = machine::tracer_path();
    // The group has a second process, which would hold the terminal if it went on.
    terminal.keys(&[&format!("sh -c '{} top; echo over'", program.display()), "Enter"]);
    terminal.shows(" live ");
    for _ in 0..2 {
        assert!(terminal.is_taken());
        terminal.keys(&["C-z"]);
        terminal.waits_for("the shell", |screen| screen.trim_end().ends_with("ready>"));
        assert!(!terminal.is_taken());
        terminal.keys(&["clear; stty -a | tr ' ' '\\n' | grep -c '^icanon$'", "Enter"]);
        terminal.waits_for("lines", |screen| screen.starts_with("1\n"));
        terminal.keys(&["fg", "Enter"]);
        terminal.waits_for("all of the screen", |screen| screen.contains(" live ") && screen.contains("─ processes "));
    }
    terminal.keys(&["q"]);
    terminal.waits_for("the end", |screen| screen.contains("over") && screen.trim_end().ends_with("[0] ready>"));
    assert!(!terminal.is_taken());
}

/// Without a shell, whoever is suspended stays so for ever: the kernel does not do that.
fn not_suspended_where_nobody_could_continue_it() {
    let terminal = Terminal::start("alone", (80, 24), &["top"]);
    terminal.shows(" live ");
    terminal.keys(&["C-z", "?"]);
    terminal.shows("keys; q closes");
    terminal.keys(&["q", "q"]);
    terminal.shows("ended: 0");
}
