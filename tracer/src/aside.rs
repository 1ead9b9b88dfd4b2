//! Work that may hang, in a thread of its own.

use std::{io, thread};

use tokio::sync::oneshot;

/// What such a thread finds out.
///
/// # Errors
/// If there is no room for a thread, where tokio's own panic, or if it panics.
pub async fn in_thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || drop(tell.send(work())))?;
    told.await.map_err(io::Error::other)
}
