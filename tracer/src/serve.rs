//! The page of a run or a recording, live in a browser on this machine.
//!
//! Three threads take part, and none waits for a later one: the collector's gathers the history, and makes a draft when one
//! is wanted; the printer's makes an update of the draft; the server's hands the last update to whoever reads. So neither a
//! reader nor anybody else at the port holds up the tracing.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::{
    console::{stderr, style::DIM},
    event_loop::event_loop,
    history::History,
    host::StartInfo,
    page::live,
};

mod collector;
mod desk;
pub mod door;
mod guests;
mod numbers;
mod printer;
mod reader;
mod scrape;
mod web;

pub use collector::Collector;
use desk::Desk;
use door::Secret;
pub use numbers::Counter;
use numbers::Numbers;
use reader::Update;
pub use scrape::Scraped;
use web::Room;

/// How long the end waits for readers to get the last update.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The tracing comes first: the page gets what processor time is left.
const NICE: i32 = 10;

/// A page that is being served. It is until the program ends.
pub struct Served {
    desk: Arc<Desk>,
    numbers: Arc<Numbers>,
    url: String,
}

impl Served {
    /// Opens the port. `title` is what the page is about.
    ///
    /// # Errors
    /// If that is not possible, for example because another program has the port.
    pub fn open(address: SocketAddr, title: &str) -> Result<Self> {
        let open = || -> Result<Self> {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let (token, countersign) = (Secret::random()?, Secret::random()?);
            let address = listener.local_addr()?;
            let url = format!("http://{address}/{}/", token.reveal());
            let (desk, numbers) = (Arc::new(Desk::default()), Arc::new(Numbers::default()));
            let (print, updates) = watch::channel(Update::default());
            let room = Arc::new(Room {
                ip: address.ip(),
                frame: live::frame(title, countersign.reveal())?.into(),
                policy: web::policy()?,
                token,
                countersign,
                updates,
                desk: desk.clone(),
                numbers: numbers.clone(),
            });
            let (title, printer) = (title.to_owned(), desk.clone());
            in_background("page printer", move || printer::run(&title, &printer, &print))?;
            in_event_loop("page server", listener, |listener| web::serve(listener, room))?;
            Ok(Self { desk, numbers, url })
        };
        open().with_context(|| format!("cannot serve a page on {address}"))
    }

    /// Says where the page is, with its token: whoever knows that can read.
    pub fn announce(&self) {
        stderr::print(format_args!("{DIM}page:{DIM:#} {}", self.url));
    }

    /// What takes the steps that the page tells. `start` is that of a recording, of which no step may be shown.
    pub fn collector(&self, history: History, start: Option<&StartInfo>) -> Collector {
        Collector::new(history, start, self.desk.clone(), Counter::new(self.numbers.clone()))
    }

    /// What is wrong with the recording, a sentence each.
    pub fn complain(&self, sentences: Vec<String>) {
        self.desk.complain(sentences);
    }

    /// Waits a moment, so that readers learn that this is the end.
    pub fn end(&self) {
        self.desk.wait_for_leaving(LAST_WORDS);
    }

    /// Goes on until the program is ended by a signal.
    pub fn stay(&self) -> ! {
        loop {
            thread::park();
        }
    }
}

/// Starts a thread that gives way to the tracing.
fn in_background(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let work = move || {
        // Without it, the page only takes a larger share of what it needs.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
        work();
    };
    thread::Builder::new().name(name.into()).spawn(work).context("cannot start a thread")?;
    Ok(())
}

/// Serves a port in a thread of its own.
fn in_event_loop<F: Future<Output = ()>>(
    name: &str,
    listener: TcpListener,
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> Result<()> {
    let (begun, begins) = sync_channel(1);
    in_background(name, move || {
        let served = event_loop().and_then(|runtime| {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let _ = begun.send(Ok(()));
                serve(listener).await;
                Ok(())
            })
        });
        if let Err(error) = served {
            let _ = begun.send(Err(error));
        }
    })?;
    begins.recv().context("the server's thread has ended")?
}
