//! What `tracer top` costs beside many processes and many events, and how long a key waits for its answer. For
//! `cargo xtask bench top` and `bench rate`.
//!
//! `top_bench TRACER PROCESSES EVENTS SECONDS` has so many processes rest and others send signals, so that there are so
//! many events a second. Beside that it runs, one after another, `watch`, `watch` with a recorder, and `top` on a
//! pseudo-terminal, each for so many seconds, `top` once more with keys. It prints what it found as a line of JSON. With
//! `watch` as a fifth word, it runs only that.

mod crowd;
mod terminal;
mod threads;

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crowd::Crowd;
use terminal::Terminal;
use threads::Threads;

/// A large terminal.
const SIZE: (u16, u16) = (160, 50);
/// What lists processes, takes longest at the start and looks for names is over by then.
const SETTLED: Duration = Duration::from_secs(3);
/// Both kinds of events that a recording has of a signal; none of a storm's is printed.
const WATCH: [&str; 6] = ["watch", "-o", "json", "--events=signal,deliver", "--lost", "--duration=600s"];

fn main() -> Result<()> {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let (is_only_watch, words) = match words.split_last() {
        Some((last, rest)) if last == "watch" => (true, rest),
        _ => (false, &words[..]),
    };
    let [tracer, processes, events, seconds] = words else { bail!("say TRACER PROCESSES EVENTS SECONDS [watch]") };
    let time = Duration::from_secs(number(seconds)?);
    // Before there is any thread.
    let crowd = Crowd::gather(number(processes)?, number(events)?)?;
    let plain = watch(tracer, &[], time)?;
    if is_only_watch {
        println!("{}", json!({ "watch": plain }));
        return Ok(());
    }
    let folder = tempfile::tempdir().context("a folder for the recording")?;
    let record = folder.path().join("bench.mcap");
    let recorded = watch(tracer, &[OsStr::new("--record"), record.as_os_str()], time)?;
    let top = top(tracer, time)?;
    drop(crowd);
    println!("{}", json!({ "watch": plain, "record": recorded, "top": top }));
    Ok(())
}

fn number<T: std::str::FromStr>(word: &OsStr) -> Result<T> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.with_context(|| format!("{} is not a number", word.display()))
}

/// Ends a process that is left after an error.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _gone_meanwhile = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}

/// What the processor does for `watch`, in parts of one processor, and what `watch` says at its end.
fn watch(tracer: &OsStr, more: &[&OsStr], time: Duration) -> Result<Value> {
    let mut command = Command::new(tracer);
    command.args(WATCH).args(more).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Ended(command.spawn().context("cannot start tracer")?);
    let output = running.0.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    ensure!(lines.any(|line| kind(&line) == Some("start".to_owned())), "watch does not start");
    // Its lines are few: a pipe has room for them until they are read.
    thread::sleep(SETTLED);
    let pid = running.0.id();
    let (began, before) = (Instant::now(), Threads::of(pid)?);
    thread::sleep(time);
    let shares = Threads::of(pid)?.since(&before, began.elapsed());
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).context("cannot end tracer")?;
    let summary = lines.filter(|line| kind(line) == Some("summary".to_owned())).last().context("no summary")?;
    ensure!(running.0.wait()?.success(), "watch failed");
    let summary: Value = serde_json::from_str(&summary)?;
    let events: u64 = summary["events"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    let span = summary["duration_ns"].as_u64().context("the summary has no duration")?;
    Ok(json!({
        "cpu": shares.values().sum::<f64>(),
        "lost": summary["lost"]["total"],
        "events": events as f64 / (span as f64 / 1e9),
    }))
}

fn kind(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["type"].as_str()?.to_owned())
}

/// The same for `top`, thread by thread; what its screen says; and how long keys wait.
fn top(tracer: &OsStr, time: Duration) -> Result<Value> {
    let mut command = Command::new(tracer);
    command.args(["top", "--no-mouse"]);
    let mut terminal = Terminal::start(command, SIZE)?;
    terminal.wait_for("the present", |head| head.contains(" live "))?;
    terminal.stay(SETTLED)?;
    let pid = terminal.pid();
    let (began, before, drawn) = (Instant::now(), Threads::of(pid)?, terminal.redraws());
    let mut signals = Vec::new();
    while began.elapsed() < time {
        terminal.stay(Duration::from_secs(1))?;
        signals.push(terminal.figure("signals/s"));
    }
    let elapsed = began.elapsed();
    let shares = Threads::of(pid)?.since(&before, elapsed);
    let redraws = (terminal.redraws() - drawn) as f64 / elapsed.as_secs_f64();
    let keys = keys(&mut terminal, time)?;
    let lost = terminal.figure("lost").unwrap_or(0);
    terminal.leave()?;
    let share = |name: &str| shares.get(name).copied().unwrap_or(0.0);
    let others = shares.values().sum::<f64>() - share("tracer") - share("model");
    Ok(json!({
        "screen": share("tracer"),
        "model": share("model"),
        "others": others,
        "redraws": redraws,
        "signals": signals,
        "keys_ms": keys,
        "lost": lost,
    }))
}

/// How many milliseconds each key waits until its answer is on the screen: help comes, and goes again.
fn keys(terminal: &mut Terminal, time: Duration) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    let began = Instant::now();
    // At another time of a drawing's turn each.
    for pause in (20..).step_by(7).map(|ms| Duration::from_millis(20 + ms % 100)) {
        if began.elapsed() >= time {
            break;
        }
        for (key, answer) in [("?", " keys; q closes "), ("q", "tracer top ")] {
            let pressed = Instant::now();
            terminal.press(key)?;
            terminal.wait_for(answer, |head| head.contains(answer))?;
            waits.push(pressed.elapsed().as_secs_f64() * 1e3);
            terminal.stay(pause)?;
        }
    }
    Ok(waits)
}
