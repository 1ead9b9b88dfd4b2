//! What commands wait in, and for: the event loop, the end of a time, and signals that ask them to end.

use std::{io, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// The event loop: single-threaded.
///
/// # Errors
/// If the kernel gives no descriptors for it.
pub fn event_loop() -> Result<Runtime> {
    const CANNOT: &str = "cannot start the event loop";
    // tokio panics if there is no descriptor for the socket pair of its signal driver, which comes after the others.
    let room: io::Result<Vec<_>> = (0..4).map(|_| std::os::unix::net::UnixStream::pair()).collect();
    drop(room.context(CANNOT)?);
    Builder::new_current_thread().enable_all().build().context(CANNOT)
}

/// The signals with which a person or a supervisor asks a command to end.
#[derive(Debug)]
pub struct Leave {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Leave {
    /// From here on they no longer end the process. Needs the [`event_loop`].
    ///
    /// # Errors
    /// If the kernel refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    pub async fn asked(&mut self) {
        let Self { interrupt, terminate, hangup } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Sleeps for a while; for ever without a time.
pub async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
