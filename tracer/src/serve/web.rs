//! The server: a few addresses, all to read, and nothing that anybody else on the machine could use to hold it up.

use std::{net::IpAddr, sync::Arc};

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
use tokio::{net::TcpListener, sync::watch};

use super::{
    desk::Desk,
    door::{Secret, is_host},
    guests::{self, Stays},
    numbers::Numbers,
    reader::{Reader, Update},
};
use crate::{metrics::text::CONTENT_TYPE, page::live};

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
    reads: Stays,
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
    guests::serve(listener, |reads| router(Guest { room: room.clone(), reads })).await;
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
    reads.stay(seat);
    let reader = Reader::new(room.updates.clone(), room.countersign.reveal());
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
