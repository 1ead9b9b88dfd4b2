//! A peer at work, with what it says in a file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    bench::{processor_time, terminate},
    process::shown,
};

/// How long one may take to get ready, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// libbpf and perf look for the kernel's tracepoints there. Where nobody has mounted it, it is for the peer alone.
const WITH_TRACEPOINTS: &str = r#"
[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
exec "$@"
"#;

/// Makes some of everything, so that who fills a buffer before it writes, writes.
const SOMETHING: &str = "i=0; while [ $i -lt 50 ]; do kill -URG $$; /bin/true; i=$((i + 1)); done";

/// Dropping it ends it.
#[derive(Debug)]
pub struct Watching {
    child: Child,
    said: PathBuf,
    /// Its processor time when it was ready.
    before: Duration,
}

impl Watching {
    /// Starts it; it is in effect when this returns.
    pub fn start(words: &[&str], scratch: &Path) -> Result<Self> {
        let said = scratch.join("peer.out");
        let file = File::create(&said).with_context(|| format!("cannot create {}", said.display()))?;
        let errors = File::create(scratch.join("peer.err")).context("cannot create a file for errors")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", WITH_TRACEPOINTS, "sh"]).args(words);
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", shown(&command)))?;
        let mut watching = Self { child, said, before: Duration::ZERO };
        watching.await_ready().with_context(|| {
            let errors = fs::read_to_string(scratch.join("peer.err")).unwrap_or_default();
            format!("`{}`: {}", words.join(" "), errors.lines().last().unwrap_or("it says nothing"))
        })?;
        watching.before = processor_time(watching.child.id())?;
        Ok(watching)
    }

    /// Waits until it has said more than what it begins with.
    fn await_ready(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let size = || fs::metadata(&self.said).map_or(0, |file| file.len());
        while size() < HEADING {
            if let Some(status) = self.child.try_wait().context("cannot wait for a process")? {
                bail!("it has ended ({status})");
            }
            if Instant::now() > until {
                bail!("it says nothing of what happens");
            }
            let _as_it_may = Command::new("sh").args(["-c", SOMETHING]).stdin(Stdio::null()).status();
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it: its processor time since it was ready, and how many bytes it has said.
    pub fn stop(mut self) -> Result<(Duration, u64)> {
        let used = processor_time(self.child.id())?.saturating_sub(self.before);
        terminate(self.child.id())?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().context("cannot wait for a process")?.is_none() {
            if Instant::now() > until {
                bail!("pid {} does not end", self.child.id());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok((used, fs::metadata(&self.said).map_or(0, |file| file.len())))
    }
}

/// More bytes than a heading or a first sentence has.
const HEADING: u64 = 1_000;

impl Drop for Watching {
    fn drop(&mut self) {
        // After an error only: whoever has ended was waited for.
        if let Ok(None) = self.child.try_wait() {
            let _gone_meanwhile = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}
