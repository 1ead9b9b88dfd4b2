//! The processes beside which `top` is measured: many that rest, and some that signal themselves.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    libc,
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork, pause},
};

/// How many processes the signals come from.
const SENDERS: u32 = 8;
/// A signal with a handler is sent and delivered.
const EVENTS_OF_A_SIGNAL: u32 = 2;
/// How long a sender rests at a time.
const REST: Duration = Duration::from_millis(5);

/// Dropping it ends all of them; so does the end of this process.
pub struct Crowd(Vec<Pid>);

impl Crowd {
    /// So many processes, and so many events a second.
    ///
    /// This process must have one thread.
    pub fn gather(processes: u32, events: u32) -> Result<Self> {
        let mut crowd = Self(Vec::new());
        for _ in 0..processes {
            crowd.add(|| {
                loop {
                    pause();
                }
            })?;
        }
        for _ in 0..SENDERS {
            crowd.add(|| send(f64::from(events / EVENTS_OF_A_SIGNAL / SENDERS)))?;
        }
        Ok(crowd)
    }

    fn add(&mut self, life: impl FnOnce()) -> Result<()> {
        // SAFETY: there are no other threads whose locks the child could find closed.
        match unsafe { fork() }.context("cannot start so many processes")? {
            ForkResult::Parent { child } => self.0.push(child),
            ForkResult::Child => {
                // If it cannot, it must not stay.
                if prctl::set_pdeathsig(Signal::SIGKILL).is_ok() {
                    life();
                }
                // SAFETY: it has no preconditions.
                unsafe { libc::_exit(1) }
            }
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for &member in &self.0 {
            let _ = kill(member, Signal::SIGKILL);
        }
        for &member in &self.0 {
            let _ = waitpid(member, None);
        }
    }
}

/// Sends itself so many signals a second; what it misses, it makes up for.
fn send(per_second: f64) {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    if unsafe { sigaction(Signal::SIGUSR1, &action) }.is_err() {
        return;
    }
    let began = Instant::now();
    let mut sent = 0.0;
    loop {
        let due = began.elapsed().as_secs_f64() * per_second;
        while sent < due {
            let _ = raise(Signal::SIGUSR1);
            sent += 1.0;
        }
        thread::sleep(REST);
    }
}
