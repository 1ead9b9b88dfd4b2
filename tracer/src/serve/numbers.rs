//! Numbers for Prometheus: the server asks, and the collector answers between two steps, so that it never waits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::timeout};

/// How long an answer may take; there is a step every 50 ms at least.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the two meet.
#[derive(Default)]
pub struct Numbers {
    is_wanted: AtomicBool,
    answer: watch::Sender<Answer>,
}

#[derive(Default)]
struct Answer {
    text: Bytes,
    /// Nothing will change any more.
    is_last: bool,
}

impl Numbers {
    /// Whether somebody asks: asked at each step.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Answers all who ask.
    pub fn answer(&self, text: String, is_last: bool) {
        self.is_wanted.store(false, Ordering::Relaxed);
        self.answer.send_replace(Answer { text: text.into(), is_last });
    }

    /// The numbers of now; `None` if the collector is too busy.
    pub async fn ask(&self) -> Option<Bytes> {
        let mut answers = self.answer.subscribe();
        if !answers.borrow_and_update().is_last {
            self.is_wanted.store(true, Ordering::Relaxed);
            timeout(PATIENCE, answers.changed()).await.ok()?.ok()?;
        }
        Some(answers.borrow().text.clone())
    }
}
