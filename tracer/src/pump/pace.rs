//! How long the loop waits before its next turn: it polls while records come, and sleeps while nothing happens.

use std::time::Duration;

use crate::{
    pump::{HOUSEKEEPING, Pump},
    source::live,
    time::{BootNs, Span},
};

/// How often the ring buffer is polled while it has many records.
pub const BUSY: Duration = Duration::from_millis(5);
/// How often it is polled while it has a few, or an answer is awaited.
const CALM: Duration = Duration::from_millis(40);
/// So many records at once are many.
const MANY: usize = 256;
/// How long the loop sleeps at the most: sinks have things to do from time to time.
const ASLEEP: Span = Span::ms(250);

/// How to wait for the next turn.
enum Pause {
    None,
    For(Duration),
    /// Until there is a record, and no longer than that.
    Asleep(Duration),
}

/// How long to wait between two turns while there are records: the shorter, the more there are. `None` while there are
/// none.
#[derive(Debug, Default)]
pub(super) struct Pace(Option<Duration>);

impl Pace {
    /// After a turn that took so many.
    pub(super) fn after(&mut self, drained: usize) {
        self.0 = match (drained, self.0) {
            (0, _) => None,
            (MANY.., _) | (_, None) => Some(BUSY),
            (_, Some(time)) => Some((time * 2).min(CALM)),
        };
    }
}

impl Pump {
    /// Waits until it is time for the next turn: after some records a moment, else until there is one, or something is
    /// due. Needs the [`event_loop`](crate::event_loop::event_loop). May be dropped at any time.
    pub async fn rest(&mut self) {
        match self.pause() {
            // Other pending events still get their turn.
            Pause::None => tokio::task::yield_now().await,
            Pause::For(time) => tokio::time::sleep(time).await,
            Pause::Asleep(time) => tokio::select! {
                () = tokio::time::sleep(time) => {}
                // Without a descriptor to wait with, it is polled.
                result = self.live.record() => if result.is_err() { tokio::time::sleep(CALM).await },
            },
        }
    }

    /// How long to wait for the next turn, for who does so in another way than by [`Pump::rest`].
    pub fn polls_after(&self) -> Duration {
        match self.pause() {
            Pause::None => Duration::ZERO,
            Pause::For(time) => time,
            Pause::Asleep(time) => time.min(CALM),
        }
    }

    fn pause(&self) -> Pause {
        if self.is_behind() {
            return Pause::None;
        }
        let is_waiting = self.kernel_log.is_waiting() || self.limits.is_waiting();
        match self.pace.0 {
            Some(time) => Pause::For(time),
            None if is_waiting || self.behind_since.is_some() => Pause::For(CALM),
            None => {
                let now = live::now();
                let due = self.detector.next_due().unwrap_or(BootNs::MAX).min(self.surveyed + self.survey_interval());
                let until = due.min(now + ASLEEP).max(self.kept + HOUSEKEEPING);
                Pause::Asleep((until - now).into())
            }
        }
    }
}
