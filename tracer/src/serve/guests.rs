//! Lets guests in: a bounded number for a bounded time, so that nobody on the machine or the network can hold up a server.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::sleep,
};

use super::desk::Seat;

/// Connections that may not stay, at a time. A further one takes the place of the oldest, so nobody can keep
/// others out by holding all of them.
const GUESTS: usize = 64;
/// While all places are taken, one is given away that often: who was let in has 64 times as long to show its token, and
/// a flood of connections takes little processor time.
const TURN: Duration = Duration::from_millis(1);
/// How long a connection may last that may not stay.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the server waits after it could not accept a connection, for example for want of descriptors.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes and fields of a request's head.
const HEAD: usize = 16 << 10;
const FIELDS: usize = 64;

/// Whether a connection may stay for longer than it takes to answer a request: it has a seat then.
#[derive(Clone, Default)]
pub struct Stays(Arc<Mutex<Option<Seat>>>);

impl Stays {
    /// From now on it may. It has the seat until all that was said has been sent: when the last word was taken from who
    /// says it, it may still be on its way.
    pub fn stay(&self, seat: Seat) {
        *self.seat() = Some(seat);
    }

    fn is(&self) -> bool {
        self.seat().is_some()
    }

    fn leave(&self) {
        drop(self.seat().take());
    }

    fn seat(&self) -> MutexGuard<'_, Option<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves whoever connects, for ever, each by a router of its own.
pub async fn serve(listener: TcpListener, router: impl Fn(Stays) -> Router) {
    let mut guests: VecDeque<(AbortHandle, Stays)> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        guests.retain(|(connection, stays)| !connection.is_finished() && !stays.is());
        if guests.len() >= GUESTS
            && let Some((oldest, _)) = guests.pop_front()
        {
            oldest.abort();
            sleep(TURN).await;
        }
        let stays = Stays::default();
        let served = connection(stream, router(stays.clone()), stays.clone());
        guests.push_back((tokio::spawn(served).abort_handle(), stays));
    }
}

/// One request; only who may stay may take long.
async fn connection(stream: TcpStream, router: Router, stays: Stays) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(FIELDS);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // What the other side did wrong is its own affair.
    let is_served = tokio::select! {
        _ = &mut served => true,
        () = sleep(PATIENCE) => false,
    };
    if !is_served && stays.is() {
        let _ = served.await;
    }
    stays.leave();
}
