//! Who looks at what only root may see of other processes and of containers: this process itself, or a helper that has
//! stayed root while the tracing goes on without any right.
//!
//! The helper answers questions of a few kinds ([`Question`]), each with a bounded answer, and does nothing else. What an
//! answer says becomes an event where it would have become one without a helper.

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    event::{Event, EventKind, Pipe},
    foreign::runtime::Invocation,
    ident::{Args, ProcKey},
    rules::Wanted,
    source::{decode::decode, encode::encode, held, live::now, procfs, ptys, reads, shim::shim},
    trace::Records,
};

mod helper;
pub(super) mod post;

pub use helper::{HELPER, serve};
use post::{receive, send};

/// How long an answer may take; each question has shorter limits of its own.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest configuration.
const CONFIGURATION_MAX: u64 = 1 << 20;
/// The longest answer: that of 128 command lines, or a configuration.
const LONGEST: usize = 4 << 20;

/// A question that takes root to answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Question {
    /// [`Wanted::Held`]
    Held(ProcKey),
    /// [`Wanted::Pipe`]
    Pipe(ProcKey, ProcKey),
    /// The command lines of processes, and how far they can be believed: who somebody is shows in the namespaces.
    CommandLines(Vec<ProcKey>),
    /// What the shim of a container says by its command line and its directory.
    Shim(u32),
    /// Who holds pseudo-terminals.
    PtyHolders,
    /// The text of the configuration, whose name the helper got when it was started.
    Configuration,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Witness(Option<Arc<Helper>>);

/// The helper, and the connection of this one who asks.
#[derive(Debug)]
struct Helper {
    /// For connections of others.
    control: Arc<UnixStream>,
    stream: Mutex<UnixStream>,
}

impl Witness {
    /// This process itself.
    pub fn here() -> Self {
        Self::default()
    }

    /// A helper of this program, started now, with the rights that this process has. It can read that configuration.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(configuration: Option<&Path>) -> io::Result<Self> {
        let control = Arc::new(helper::start(configuration)?);
        Self::connected(control)
    }

    fn connected(control: Arc<UnixStream>) -> io::Result<Self> {
        let stream = post::connect(&control, post::QUESTIONS)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(Some(Arc::new(Helper { control, stream: Mutex::new(stream) }))))
    }

    /// Whether the helper, if there is one, still lives.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&self) -> io::Result<()> {
        let Some(helper) = &self.0 else { return Ok(()) };
        match post::has_ended(&helper.control) {
            Ok(false) => Ok(()),
            Ok(true) => Err(gone(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(gone(&error)),
        }
    }

    /// One for another thread, so that its questions and those of this one do not wait for each other.
    ///
    /// # Errors
    /// If the helper is gone.
    pub fn another(&self) -> io::Result<Self> {
        self.0.as_ref().map_or_else(|| Ok(Self::here()), |helper| Self::connected(helper.control.clone()))
    }

    /// A connection for look-ups of containers; `None` if this process looks them up itself.
    pub(super) fn containers(&self) -> Option<io::Result<UnixStream>> {
        self.0.as_ref().map(|helper| post::connect(&helper.control, post::CONTAINERS))
    }

    /// What keeps a process from going on, or whether two have the ends of a pipe.
    ///
    /// # Errors
    /// If the helper is gone.
    pub fn look(&self, wanted: Wanted) -> io::Result<Vec<Event>> {
        match wanted {
            Wanted::Held(key) => self.events(&Question::Held(key)),
            Wanted::Pipe(reader, writer) => self.events(&Question::Pipe(reader, writer)),
            // Anybody may see those.
            Wanted::Look(_) | Wanted::Room(_) | Wanted::Masks(_) => Ok(Vec::new()),
        }
    }

    /// The command lines of processes, as they are now, and how far they can be believed.
    ///
    /// # Errors
    /// If the helper is gone.
    pub fn command_lines(&self, keys: &[ProcKey]) -> io::Result<Vec<Event>> {
        self.events(&Question::CommandLines(keys.to_vec()))
    }

    /// What a shim says about its container. Without the helper, nothing.
    pub fn shim(&self, pid: u32) -> Option<Invocation> {
        match &self.0 {
            None => shim(pid),
            Some(helper) => helper.ask(&Question::Shim(pid)).ok().flatten(),
        }
    }

    /// Who holds pseudo-terminals. Without the helper, nobody.
    pub fn pty_holders(&self) -> Vec<(u32, u64)> {
        match &self.0 {
            None => ptys::holders(),
            Some(helper) => helper.ask(&Question::PtyHolders).unwrap_or_default(),
        }
    }

    /// The text of the configuration of that name, which is the one that the helper knows.
    ///
    /// # Errors
    /// What open(2) or read(2) say.
    pub fn configuration(&self, path: &Path) -> io::Result<String> {
        match &self.0 {
            None => reads::text(path, CONFIGURATION_MAX),
            Some(helper) => {
                let text: Result<Option<String>, String> = helper.ask(&Question::Configuration)?;
                text.map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }

    fn events(&self, question: &Question) -> io::Result<Vec<Event>> {
        let Some(helper) = &self.0 else { return Ok(events(question)) };
        let bytes = helper.exchange(question)?;
        let decoded = Records(&bytes).map(|record| decode(record).map_err(io::Error::other));
        decoded.collect()
    }
}

impl Helper {
    fn exchange(&self, question: &Question) -> io::Result<Vec<u8>> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let exchanged = send(&mut *stream, &serde_json::to_vec(question)?).and_then(|()| receive(&mut *stream));
        exchanged.map_err(|error| gone(&error))
    }

    fn ask<T: DeserializeOwned>(&self, question: &Question) -> io::Result<T> {
        Ok(serde_json::from_slice(&self.exchange(question)?)?)
    }
}

fn gone(error: &io::Error) -> io::Error {
    // Not of its kind: that a pipe is broken would be taken for a reader who has seen enough.
    io::Error::other(format!("the helper that looks as root is gone: {error}"))
}

/// Looks: questions whose answers are events.
fn events(question: &Question) -> Vec<Event> {
    // Taken before the look: what happens from here on may contradict it.
    let at = now();
    let event = |kind| Event { at, cpu: 0, kind };
    match question {
        &Question::Held(key) => vec![event(EventKind::Held(key, Box::new(held::held(key))))],
        &Question::Pipe(reader, writer) => {
            let shared = held::share_pipe(reader, writer);
            vec![event(EventKind::Pipe(Pipe { reader, writer, shared }))]
        }
        Question::CommandLines(keys) => {
            let host = procfs::host_mount_ns();
            let pids: Vec<_> = keys.iter().map(|key| key.tgid).collect();
            let lines = keys.iter().zip(procfs::command_lines(&pids));
            let events = lines.map(|(&key, line)| {
                let line = Args { trust: procfs::trust(key.tgid, &line, host), ..line };
                event(EventKind::CommandLine(key, line))
            });
            events.collect()
        }
        Question::Shim(_) | Question::PtyHolders | Question::Configuration => Vec::new(),
    }
}

/// The answer of the helper.
fn answer(question: &Question, configuration: Option<&Path>) -> io::Result<Vec<u8>> {
    match question {
        Question::Held(_) | Question::Pipe(..) | Question::CommandLines(_) => {
            let mut bytes = Vec::new();
            events(question).iter().for_each(|event| encode(event, &mut bytes));
            Ok(bytes)
        }
        &Question::Shim(pid) => Ok(serde_json::to_vec(&shim(pid))?),
        Question::PtyHolders => Ok(serde_json::to_vec(&ptys::holders())?),
        Question::Configuration => {
            let text = configuration.map(|path| reads::text(path, CONFIGURATION_MAX)).transpose();
            Ok(serde_json::to_vec(&text.map_err(|error| error.to_string()))?)
        }
    }
}
