//! The server: a few addresses, all to read, and nothing that anybody else on the machine could use to hold it up.

use std::{
    collections::VecDeque,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
    time::sleep,
};

use super::{
    desk::Desk,
    door::{Secret, is_host},
    numbers::Numbers,
    reader::{Reader, Update},
};
use crate::{metrics::CONTENT_TYPE, page::live};

/// Connections that do not read updates, at a time. A further one takes the place of the oldest, so nobody can keep
/// others out by holding all of them.
const GUESTS: usize = 64;
/// While all places are taken, one is given away that often: who was let in has 64 times as long to show its token, and
/// a flood of connections takes little processor time.
const TURN: Duration = Duration::from_millis(1);
/// How long a connection may last that does not read updates.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the server waits after it could not accept a connection, for example for want of descriptors.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes and fields of a request's head.
const HEAD: usize = 16 << 10;
const FIELDS: usize = 64;

/// What is served, and to whom.
pub struct Room {
    pub ip: IpAddr,
    pub token: Secret,
    pub countersign: Secret,
    pub frame: Bytes,
    pub policy: HeaderValue,
    pub updates: watch::Receiver<Update>,
    pub desk: Arc<Desk>,
    pub numbers: Arc<Numbers>,
}

/// A connection.
#[derive(Clone)]
struct Guest {
    room: Arc<Room>,
    /// It has shown the token, and reads updates.
    reads: Arc<AtomicBool>,
}

/// The policy of the frame. No other page may show it in a frame of its own.
///
/// # Errors
/// If it were no header.
pub fn policy() -> Result<HeaderValue> {
    HeaderValue::try_from(format!("{}; frame-ancestors 'none'", live::content_policy()))
        .context("the policy is no header")
}

/// Serves whoever connects, for ever.
pub async fn serve(listener: TcpListener, room: Arc<Room>) {
    let mut guests: VecDeque<(AbortHandle, Arc<AtomicBool>)> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        guests.retain(|(connection, reads)| !connection.is_finished() && !reads.load(Ordering::Relaxed));
        if guests.len() >= GUESTS
            && let Some((oldest, _)) = guests.pop_front()
        {
            oldest.abort();
            sleep(TURN).await;
        }
        let guest = Guest { room: room.clone(), reads: Arc::default() };
        let reads = guest.reads.clone();
        guests.push_back((tokio::spawn(connection(stream, guest)).abort_handle(), reads));
    }
}

/// One request; only who reads updates may take long.
async fn connection(stream: TcpStream, guest: Guest) {
    let reads = guest.reads.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(FIELDS);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router(guest))));
    tokio::select! {
        // What the other side did wrong is its own affair.
        _ = &mut served => return,
        () = sleep(PATIENCE) => {}
    }
    if reads.load(Ordering::Relaxed) {
        let _ = served.await;
    }
}

fn router(guest: Guest) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/{token}/", get(frame))
        .route("/{token}/events", get(events))
        .route("/{token}/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(guest.clone(), guard))
        .with_state(guest)
}

/// Lets only requests in that read, and that name this address; tells the browser to be careful with all answers.
async fn guard(State(guest): State<Guest>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = if ![Method::GET, Method::HEAD].contains(request.method()) {
        (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response()
    } else if !host.is_some_and(|host| is_host(host, guest.room.ip)) {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    } else {
        next.run(request).await
    };
    let fixed = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    response.headers_mut().extend([
        (header::CONTENT_SECURITY_POLICY, guest.room.policy.clone()),
        fixed(header::CACHE_CONTROL, "no-store"),
        fixed(header::REFERRER_POLICY, "no-referrer"),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]);
    response
}

async fn frame(State(guest): State<Guest>, Path(token): Path<String>) -> Result<Html<Bytes>, StatusCode> {
    if !guest.room.token.is(&token) {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(Html(guest.room.frame.clone()))
}

async fn events(State(guest): State<Guest>, Path(token): Path<String>) -> Result<Response, StatusCode> {
    let Guest { room, reads } = guest;
    if !room.token.is(&token) {
        return Err(StatusCode::NOT_FOUND);
    }
    let seat = room.desk.sit().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    reads.store(true, Ordering::Relaxed);
    let reader = Reader::new(room.updates.clone(), room.countersign.reveal(), Some(seat));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(reader.stream())).into_response())
}

async fn metrics(State(guest): State<Guest>, Path(token): Path<String>) -> Result<Response, StatusCode> {
    let Guest { room, reads: _ } = guest;
    if !room.token.is(&token) {
        return Err(StatusCode::NOT_FOUND);
    }
    let text = room.numbers.ask().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
