//! One boot: reads the console line by line, and ends a machine that is stuck.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::machine::Machine;
use crate::process::shown;

/// Kernel messages after which nothing useful can follow.
const MARKERS: [&str; 7] = [
    "Kernel panic - not syncing",
    "BUG: unable to handle",
    "BUG: kernel NULL pointer",
    "general protection fault",
    "Oops: ",
    "blocked for more than",
    "soft lockup",
];
/// How long the rest of such a message may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A machine that prints nothing for so long is stuck. A test prints something within 20 s.
const SILENCE: Duration = Duration::from_secs(180);

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It powered itself off.
    Off,
    /// The kernel said this, and was ended.
    Broken(String),
    /// Nothing was said for too long.
    Silent,
    /// The time was up.
    Late,
}

/// Boots and hands every line of the console to `hear`, and to the log.
pub fn boot(
    machine: &Machine,
    vmlinuz: &Path,
    initrd: &Path,
    log: &Path,
    limit: Duration,
    mut hear: impl FnMut(&str),
) -> Result<End> {
    let mut file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut command = machine.boot(vmlinuz, initrd);
    // What the emulator itself has to say goes to the log as well.
    let errors = file.try_clone().context("cannot share the log")?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    let console = BufReader::new(child.stdout.take().context("standard output is piped")?);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || console.split(b'\n').map_while(Result::ok).try_for_each(|line| send.send(line)));

    let deadline = Instant::now() + limit;
    let mut broken = None;
    let mut last = Instant::now();
    let end = loop {
        let until = match &broken {
            None => deadline.min(last + SILENCE),
            Some((_, since)) => *since + LAST_WORDS,
        };
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end_matches('\r');
                writeln!(file, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
                hear(line);
                last = Instant::now();
                if broken.is_none() && MARKERS.iter().any(|marker| line.contains(marker)) {
                    broken = Some((line.to_owned(), last));
                }
            }
            Err(RecvTimeoutError::Disconnected) => break broken.map_or(End::Off, |(line, _)| End::Broken(line)),
            Err(RecvTimeoutError::Timeout) => {
                break match broken {
                    Some((line, _)) => End::Broken(line),
                    None if Instant::now() >= deadline => End::Late,
                    None => End::Silent,
                };
            }
        }
        // A machine that never stops talking is late too.
        if Instant::now() >= deadline {
            break broken.map_or(End::Late, |(line, _)| End::Broken(line));
        }
    };
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().context("cannot wait for the emulator")?;
    Ok(end)
}
