//! The engines' names for their containers, looked up beside the stream in a thread of its own.
//!
//! An engine that is missing or does not answer in time is no error: the container then goes by its id. No look-up
//! waits long for another: several run at once, each step has a time limit, and a file system that does not answer
//! delays only the containers whose owner chose it.

use std::{
    collections::HashMap,
    hash::Hash,
    io,
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    sync::{
        Semaphore,
        mpsc::{Receiver, Sender, channel},
    },
    task::JoinSet,
    time::timeout,
};

use super::{bundle, containerd, dockerd::Dockerd};
use crate::{
    aside::in_thread,
    console::stderr::say,
    foreign::runtime::Invocation,
    host::{Container, Engine},
    source::witness::{Witness, post},
};

/// How many questions may wait.
const MOST_WAITING: usize = 4096;
/// How many questions are worked on at once. That many reads of one owner's files may hang; then no more of theirs are
/// started.
const AT_ONCE: usize = 16;
/// How many threads read files; the files of that many owners may hang.
const READERS: usize = 16 * AT_ONCE;
/// How long reading files may take.
const PATIENCE_WITH_FILES: Duration = Duration::from_secs(1);
/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an engine that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(10);
/// How many silent engines, and owners of files, are remembered.
const MOST_KNOWN: usize = 1024;

/// A thread that asks, and what it has found out.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// Who looks at what only root may see.
    witness: Witness,
    thread: Option<Thread>,
    /// Questions that found no room.
    unasked: u64,
}

#[derive(Debug)]
struct Thread {
    questions: Sender<Invocation>,
    answers: mpsc::Receiver<Container>,
}

impl Lookup {
    /// Nothing was asked yet.
    pub(super) fn new(witness: &Witness) -> Self {
        Self { witness: witness.clone(), ..Self::default() }
    }

    /// Asks for a container. If there are too many questions, this one is counted and dropped: that container goes by
    /// its id.
    pub(super) fn ask(&mut self, call: &Invocation) {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            // If no thread can be started, containers go by their ids.
            None => match Thread::start_by(&self.witness) {
                Some(thread) => self.thread.insert(thread),
                None => return,
            },
        };
        if thread.questions.try_send(call.clone()).is_err() {
            self.unasked += 1;
            // The first time, then whenever the number has doubled.
            if self.unasked.is_power_of_two() {
                say(format_args!(
                    "{} containers go by their ids: more have started than could be looked up",
                    self.unasked
                ));
            }
        }
    }

    /// What was found out since the last call.
    pub(super) fn answers(&self) -> impl Iterator<Item = Container> {
        self.thread.iter().flat_map(|thread| thread.answers.try_iter())
    }

    /// Waits for everything that was asked, up to a limit; returns what was found out since the last call.
    pub(super) fn finish(self, at_most: Duration) -> Vec<Container> {
        let Some(Thread { questions, answers }) = self.thread else { return Vec::new() };
        // The thread ends when it has answered.
        drop(questions);
        let end = Instant::now() + at_most;
        std::iter::from_fn(|| answers.recv_timeout(end.saturating_duration_since(Instant::now())).ok()).collect()
    }
}

impl Thread {
    fn start_by(witness: &Witness) -> Option<Self> {
        match witness.containers() {
            None => Self::start(),
            Some(stream) => Self::ask_over(stream.ok()?),
        }
    }

    /// Has the other side of a connection look them up.
    fn ask_over(stream: UnixStream) -> Option<Self> {
        let (questions, mut asked) = channel::<Invocation>(MOST_WAITING);
        let (answer, answers) = mpsc::channel();
        let mut out = stream.try_clone().ok()?;
        let ask = move || {
            while let Some(call) = asked.blocking_recv() {
                // A bundle whose name is no text is not looked up.
                let Ok(call) = serde_json::to_vec(&call) else { continue };
                if post::send(&mut out, &call).is_err() {
                    break;
                }
            }
            // The other side answers what it was asked, and ends.
            let _ = out.shutdown(Shutdown::Write);
        };
        let mut stream = stream;
        let hear = move || {
            while let Ok(message) = post::receive(&mut stream)
                && let Ok(container) = serde_json::from_slice(&message)
                && answer.send(container).is_ok()
            {}
        };
        thread::Builder::new().name("containers".into()).spawn(ask).ok()?;
        thread::Builder::new().name("containers".into()).spawn(hear).ok()?;
        Some(Self { questions, answers })
    }

    fn start() -> Option<Self> {
        let (questions, asked) = channel(MOST_WAITING);
        let (answer, answers) = mpsc::channel();
        let work = move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(serve(asked, answer));
        };
        thread::Builder::new().name("containers".into()).spawn(work).ok()?;
        Some(Self { questions, answers })
    }
}

/// Is the other side of [`Thread::ask_over`].
///
/// # Errors
/// If no thread can be started.
pub fn answers(mut stream: UnixStream) -> io::Result<()> {
    let Thread { questions, answers } = Thread::start().ok_or(io::ErrorKind::OutOfMemory)?;
    let mut out = stream.try_clone()?;
    let tell = move || {
        for container in answers {
            if serde_json::to_vec(&container).is_ok_and(|container| post::send(&mut out, &container).is_err()) {
                break;
            }
        }
        let _ = out.shutdown(Shutdown::Both);
    };
    thread::Builder::new().name("answers".into()).spawn(tell)?;
    while let Ok(message) = post::receive(&mut stream)
        && let Ok(call) = serde_json::from_slice(&message)
        && questions.blocking_send(call).is_ok()
    {}
    Ok(())
}

/// Answers questions until nobody asks any more.
async fn serve(mut asked: Receiver<Invocation>, answer: mpsc::Sender<Container>) {
    let (engines, free) = (Arc::new(Engines::default()), Arc::new(Semaphore::new(AT_ONCE)));
    let mut tasks = JoinSet::new();
    while let Some(call) = asked.recv().await
        && let Ok(permit) = free.clone().acquire_owned().await
    {
        while tasks.try_join_next().is_some() {}
        let (engines, answer) = (engines.clone(), answer.clone());
        tasks.spawn(async move {
            let container = engines.look_up(call, &answer).await;
            // The receiver may be gone.
            let _ = answer.send(container);
            drop(permit);
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// The engines, and how they have answered so far.
#[derive(Default)]
struct Engines {
    dockerd: Dockerd,
    dockerds: Patience,
    /// By their sockets.
    containerds: Mutex<HashMap<PathBuf, Arc<Patience>>>,
    /// Reads that may still be started, by owner of the files.
    readers: Mutex<HashMap<u32, Arc<Semaphore>>>,
    room: Room,
}

/// For threads that read files.
struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }
}

impl Engines {
    /// Everything that can be found out in time; `answer` also gets what is known before that.
    async fn look_up(&self, call: Invocation, answer: &mpsc::Sender<Container>) -> Container {
        let bare = Container { id: call.id.clone(), engine: call.engine, uid: call.uid(), ..Container::default() };
        let Invocation { engine, .. } = call;
        let (mut container, containerd) = self.read(call).await.unwrap_or((bare, None));
        // dockerd's socket is root's: it is never asked about an id that a user claimed.
        if engine == Engine::Docker && container.uid.is_none() {
            let so_far = |container: &Container| drop(answer.send(container.clone()));
            self.dockerds.wait_for(self.dockerd.complete(&mut container, so_far)).await;
        }
        // For Kubernetes, the bundle has everything.
        let is_whole = container.name.is_some() && container.image.is_some();
        if let (Engine::Containerd, Some((socket, namespace)), false) = (engine, containerd, is_whole) {
            let patience = of(&self.containerds, socket.clone(), Patience::default);
            patience.wait_for(containerd::complete(&mut container, &socket, &namespace)).await;
        }
        container
    }

    /// What the files of a container say. Whoever started the container chose where they are, possibly on a file system
    /// that does not answer.
    async fn read(&self, call: Invocation) -> Option<(Container, Option<(PathBuf, String)>)> {
        call.bundle.as_ref()?;
        let permit = of(&self.readers, call.owner, || Semaphore::new(AT_ONCE)).try_acquire_owned().ok()?;
        let room = self.room.0.clone().try_acquire_owned().ok()?;
        // One that hangs is abandoned.
        let reading = in_thread("bundles", move || {
            let found = (bundle::container(&call), bundle::containerd(&call));
            drop((permit, room));
            found
        });
        timeout(PATIENCE_WITH_FILES, reading).await.ok()?.ok()
    }
}

/// The value of a key, a new one for a new key.
fn of<K: Eq + Hash, V>(all: &Mutex<HashMap<K, Arc<V>>>, key: K, new: impl FnOnce() -> V) -> Arc<V> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    // Each is soon as good as new.
    if all.len() >= MOST_KNOWN && !all.contains_key(&key) {
        all.clear();
    }
    all.entry(key).or_insert_with(|| Arc::new(new())).clone()
}

/// With an engine that may not answer.
#[derive(Debug, Default)]
struct Patience {
    silent_since: Mutex<Option<Instant>>,
}

impl Patience {
    /// Waits for it, unless it was silent just now.
    async fn wait_for<T>(&self, asking: impl Future<Output = T>) {
        let silent_since = || self.silent_since.lock().unwrap_or_else(PoisonError::into_inner);
        if silent_since().is_some_and(|since| since.elapsed() < PAUSE) {
            return;
        }
        let outcome = timeout(PATIENCE, asking).await;
        *silent_since() = outcome.is_err().then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rustix::process::geteuid;

    use super::*;

    fn call(id: &str, bundle: Option<&Path>, engine: Engine) -> Invocation {
        Invocation { id: id.into(), engine, bundle: bundle.map(Into::into), owner: geteuid().as_raw() }
    }

    #[test]
    fn a_file_that_does_not_come_keeps_no_other_waiting() {
        // A permit that stays taken is a read that hangs.
        let engines = Engines::default();
        let mine = of(&engines.readers, geteuid().as_raw(), || Semaphore::new(AT_ONCE));
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), r#"{"annotations": {"nerdctl/name": "web"}}"#).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (answer, _answers) = mpsc::channel();
        let look = || runtime.block_on(engines.look_up(call("x", Some(directory.path()), Engine::Oci), &answer));
        let hanging = mine.try_acquire_many(AT_ONCE as u32 - 1).unwrap();
        assert_eq!(look().name.as_deref(), Some("web"));
        let last = mine.try_acquire().unwrap();
        assert_eq!(look().name, None, "no more of theirs are begun");
        drop((hanging, last));
        assert_eq!(look().name.as_deref(), Some("web"));
    }

    #[test]
    fn an_engine_that_was_silent_is_left_alone() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let is_asked = |patience: &Patience| {
            let mut is_asked = false;
            runtime.block_on(patience.wait_for(async { is_asked = true }));
            is_asked
        };
        let silent = Patience { silent_since: Mutex::new(Some(Instant::now())) };
        assert!(!is_asked(&silent));
        assert!(is_asked(&Patience::default()));
        let long_ago = Patience { silent_since: Mutex::new(Instant::now().checked_sub(PAUSE)) };
        assert!(is_asked(&long_ago) && is_asked(&long_ago), "and it is no longer silent");
    }

    #[test]
    fn questions_are_bounded_and_all_that_were_asked_are_answered() {
        let mut lookup = Lookup::default();
        for i in 0..100 {
            lookup.ask(&call(&i.to_string(), None, Engine::Oci));
        }
        assert_eq!((lookup.unasked, lookup.finish(Duration::from_secs(60)).len()), (0, 100));
        // A thread that does not come to its questions.
        let (questions, _asked) = channel(1);
        let (_answer, answers) = mpsc::channel();
        let mut full = Lookup { thread: Some(Thread { questions, answers }), ..Lookup::default() };
        for _ in 0..3 {
            full.ask(&call("x", None, Engine::Oci));
        }
        assert_eq!(full.unasked, 2);
        assert!(full.finish(Duration::from_millis(1)).is_empty(), "nobody waits for what does not come");
    }
}
