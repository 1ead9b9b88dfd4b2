//! Progress of a long command, on standard error; only if standard error is a terminal and the output goes elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::time::BootNs;

/// How often the line is updated.
const EVERY: Duration = Duration::from_millis(200);
/// Events between two looks at the clock.
const PATIENCE: u32 = 65_536;

/// A line that is overwritten again and again.
pub struct Progress {
    what: &'static str,
    /// Boot times of the beginning and the end; `None` if nothing is to be shown.
    span: Option<(BootNs, BootNs)>,
    said: Instant,
    since: u32,
    is_shown: bool,
}

impl Progress {
    /// `what` is being done with a recording of that span of boot times, and goes to
    /// standard output.
    pub fn new(what: &'static str, span: Option<(BootNs, BootNs)>) -> Self {
        Self::beside(io::stdout().is_terminal(), what, span)
    }

    /// Likewise; whether the output is on a terminal.
    pub fn beside(is_on_terminal: bool, what: &'static str, span: Option<(BootNs, BootNs)>) -> Self {
        let is_seen = io::stderr().is_terminal() && !is_on_terminal;
        Self { what, span: span.filter(|_| is_seen), said: Instant::now(), since: 0, is_shown: false }
    }

    /// That boot time has been reached.
    pub fn at(&mut self, at: BootNs) {
        let Some((begin, end)) = self.span else { return };
        self.since += 1;
        if self.since < PATIENCE || self.said.elapsed() < EVERY {
            return;
        }
        (self.since, self.said, self.is_shown) = (0, Instant::now(), true);
        let share = (at - begin).0 as f64 / (end - begin).0.max(1) as f64;
        // Nobody is left to tell if standard error is gone.
        let _ = write!(io::stderr(), "\r{}: {:.0} %", self.what, share * 100.0);
    }

    /// Takes the line away.
    pub fn done(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
