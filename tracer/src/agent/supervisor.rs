//! What the agent tells systemd: that it is ready, that it still works, that it reads its configuration again, that it
//! ends (sd_notify(3)). Without systemd, nobody listens, and nothing is said.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The part of the watchdog's time after which it is told again (sd_watchdog_enabled(3) recommends half).
const OFTEN: u32 = 2;

/// See the module.
#[derive(Debug)]
pub struct Supervisor {
    /// How long to wait between two signs of life.
    pause: Option<Duration>,
    next: Instant,
}

impl Default for Supervisor {
    /// By what the environment says.
    fn default() -> Self {
        Self { pause: sd_notify::watchdog_enabled().map(|patience| patience / OFTEN), next: Instant::now() }
    }
}

impl Supervisor {
    /// The processes are known: from here on nothing is missed.
    pub fn ready(&self, status: &str) {
        say(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The loop has come round; the watchdog learns of that when it is time.
    pub fn alive(&mut self) {
        let now = Instant::now();
        if let Some(pause) = self.pause.filter(|_| now >= self.next) {
            self.next = now + pause;
            say(&[NotifyState::Watchdog]);
        }
    }

    /// The configuration is read again; [`Supervisor::ready`] ends that.
    pub fn reloading(&self) {
        // With `Type=notify-reload`, systemd waits for a message that is younger than its request.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            say(&[NotifyState::Reloading, now]);
        }
    }

    /// The agent ends.
    pub fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }
}

/// If systemd does not listen, nobody does.
fn say(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}
