//! A program on a pseudo-terminal, and what a person would see of it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// How long anything may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);
/// Each drawing ends with hiding the cursor.
const DRAWN: &[u8] = b"\x1b[?25l";

/// Dropping it ends the program.
pub struct Terminal {
    ours: File,
    child: Child,
    screen: vt100::Parser,
    redraws: u64,
    /// The end of what was read, in which the mark of a drawing may have begun.
    tail: Vec<u8>,
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and lines.
    pub fn start(mut command: Command, (columns, lines): (u16, u16)) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no terminal")?;
        grantpt(&ours).and_then(|()| unlockpt(&ours)).context("no terminal")?;
        tcsetwinsize(&ours, Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 })?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = File::from(rustix::fs::open(ptsname(&ours, Vec::new())?, flags, Mode::empty())?);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(Stdio::from(theirs.try_clone()?)).stdout(Stdio::from(theirs));
        let child = command.spawn().context("cannot start the program")?;
        let screen = vt100::Parser::new(lines, columns, 0);
        Ok(Self { ours: ours.into(), child, screen, redraws: 0, tail: Vec::new() })
    }

    /// The program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How often it has drawn.
    pub fn redraws(&self) -> u64 {
        self.redraws
    }

    /// Types a key.
    pub fn press(&mut self, key: &str) -> Result<()> {
        self.ours.write_all(key.as_bytes()).context("it does not read keys")
    }

    /// Looks on for a while.
    pub fn stay(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.read(left)?;
        }
        Ok(())
    }

    /// Waits until the first line is like that.
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !is_it(&self.head()) {
            let left = end.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the screen does not show {what:?}:\n{}", self.screen.screen().contents());
            self.read(left)?;
        }
        Ok(())
    }

    /// The number before those words in the first line.
    pub fn figure(&self, words: &str) -> Option<u64> {
        let head = self.head();
        let (before, _) = head.split_once(&format!(" {words}"))?;
        before.rsplit(' ').next()?.parse().ok()
    }

    fn head(&self) -> String {
        let (_, columns) = self.screen.screen().size();
        self.screen.screen().rows(0, columns).next().unwrap_or_default()
    }

    /// Takes what the program has written, and waits so long for it.
    fn read(&mut self, patience: Duration) -> Result<()> {
        let mut ours = [PollFd::new(&self.ours, PollFlags::IN)];
        let patience = Timespec::try_from(patience).context("a long time")?;
        if poll(&mut ours, Some(&patience))? == 0 {
            return Ok(());
        }
        let mut bytes = [0; 1 << 16];
        let n = self.ours.read(&mut bytes).context("the program has left")?;
        self.screen.process(&bytes[..n]);
        self.tail.extend_from_slice(&bytes[..n]);
        self.redraws += self.tail.windows(DRAWN.len()).filter(|window| *window == DRAWN).count() as u64;
        self.tail.drain(..self.tail.len().saturating_sub(DRAWN.len() - 1));
        Ok(())
    }

    /// Has it end as a person would.
    pub fn leave(mut self) -> Result<()> {
        self.press("q")?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "it failed ({status})");
                return Ok(());
            }
            // A terminal that nobody has open any more cannot be read.
            let _ = self.read(Duration::from_millis(10));
        }
        anyhow::bail!("it does not leave")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone_meanwhile = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}
