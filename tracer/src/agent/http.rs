//! One request to a server over HTTP/1.1, without TLS.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::address::connect;

/// How much of an answer is read.
const ANSWER_MAX: usize = 64 << 10;

/// What a server answers.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How long it wants to be left alone (RFC 9110, `Retry-After` in seconds).
    pub after: Option<Duration>,
    /// What else it says.
    pub body: Bytes,
}

/// Posts a body to a path of a server, and waits for the answer. The port is for a URI that has none.
///
/// # Errors
/// If the server cannot be reached, or ends the connection.
pub async fn post(
    server: &Uri,
    port: u16,
    path: &str,
    kind: &'static str,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> anyhow::Result<Answer> {
    let stream = connect(server, port).await?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
    let mut mover = JoinSet::new();
    // The request reports how it ended, too.
    mover.spawn(async { drop(connection.await) });
    let host = server.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(path).header(HOST, host).header(CONTENT_TYPE, kind);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let (head, body) = requests.send_request(request.body(Full::new(body))?).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(anyhow::Error::from_boxed);
    let body = body.context("an answer that does not end well")?.to_bytes();
    let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer { status: head.status, after: after.map(Duration::from_secs), body })
}
