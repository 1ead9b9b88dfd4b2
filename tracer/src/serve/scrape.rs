//! The numbers of an agent at a port of their own, for Prometheus on this or another machine: there is nothing else to
//! read, and nothing to change.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    guests, in_event_loop,
    numbers::{Counter, Numbers},
};
use crate::metrics::text::CONTENT_TYPE;

/// A port that is open, and not served yet.
pub struct Scraped {
    listener: TcpListener,
    numbers: Arc<Numbers>,
}

impl Scraped {
    /// Opens the port.
    ///
    /// # Errors
    /// If that is not possible, for example because another program has the port.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let open = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        let listener = open().with_context(|| format!("cannot serve metrics on {address}"))?;
        Ok(Self { listener, numbers: Arc::default() })
    }

    /// Where it is.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("the port has no address")
    }

    /// Begins to serve; what counts for it takes the steps.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn serve(self) -> Result<Counter> {
        let Self { listener, numbers } = self;
        let counter = Counter::new(numbers.clone());
        in_event_loop("metrics server", listener, |listener| async move {
            guests::serve(listener, |_| router(numbers.clone())).await;
        })?;
        Ok(counter)
    }
}

fn router(numbers: Arc<Numbers>) -> Router {
    Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(numbers)
}

/// For whoever restarts what does not work any more. The port is open once the programs are in the kernel.
async fn health(State(numbers): State<Arc<Numbers>>) -> (StatusCode, &'static str) {
    match numbers.is_alive() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the tracing is held up"),
    }
}

async fn metrics(State(numbers): State<Arc<Numbers>>) -> Result<Response, StatusCode> {
    let text = numbers.ask().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text).into_response())
}
