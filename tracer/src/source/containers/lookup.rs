//! What engines call their containers: asked for beside the stream, in a thread of its own.
//!
//! An engine that is not there, or does not answer in time, is no error: the container is known
//! by its id then.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use bollard::{Docker, errors::Error, query_parameters::ListContainersOptionsBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::{containerd, runtime::Call};
use crate::{
    host::{Container, Engine},
    programs::is_init,
};

/// Questions that may wait.
const MOST_WAITING: usize = 4096;
/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(10);

/// A thread that asks, and what it has found out.
#[derive(Debug, Default)]
pub(super) struct Lookup(Option<Thread>);

#[derive(Debug)]
struct Thread {
    questions: SyncSender<Call>,
    answers: Receiver<Container>,
}

impl Lookup {
    /// Asks for a container; false if that cannot be done now.
    pub(super) fn ask(&mut self, call: &Call) -> bool {
        let thread = match &mut self.0 {
            Some(thread) => thread,
            // Where no thread can be had, containers go by their ids.
            None => match Thread::start() {
                Some(thread) => self.0.insert(thread),
                None => return true,
            },
        };
        thread.questions.try_send(call.clone()).is_ok()
    }

    /// What was found out since the last call.
    pub(super) fn answers(&self) -> impl Iterator<Item = Container> {
        self.0.iter().flat_map(|thread| thread.answers.try_iter())
    }

    /// Waits for all that was asked, for so long at the most; what was found out since the last call.
    pub(super) fn finish(self, at_most: Duration) -> Vec<Container> {
        let Some(Thread { questions, answers }) = self.0 else { return Vec::new() };
        // The thread ends when it has answered.
        drop(questions);
        let end = Instant::now() + at_most;
        std::iter::from_fn(|| answers.recv_timeout(end.saturating_duration_since(Instant::now())).ok()).collect()
    }
}

impl Thread {
    fn start() -> Option<Self> {
        let (questions, asked) = mpsc::sync_channel::<Call>(MOST_WAITING);
        let (answer, answers) = mpsc::channel();
        let work = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            let (mut dockerd, mut containerd) = (Dockerd::default(), Patience::default());
            // Until nobody asks any more, or nobody listens.
            while let Ok(call) = asked.recv() {
                let mut container = of_bundle(&call);
                // Engines and their sockets are root's: what a user says of ids and places asks them nothing.
                let is_roots = call.uid.is_none();
                if call.engine == Engine::Docker && is_roots {
                    // Whether anybody listens is seen below.
                    let so_far = |container: &Container| drop(answer.send(container.clone()));
                    runtime.block_on(dockerd.complete(&mut container, so_far));
                }
                // For Kubernetes all is in the bundle.
                let is_whole = container.name.is_some() && container.image.is_some();
                if let (Engine::Containerd, Some(bundle), false, true) = (call.engine, &call.bundle, is_whole, is_roots)
                {
                    runtime.block_on(containerd.wait_for(containerd::complete(&mut container, bundle)));
                }
                if answer.send(container).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("containers".into()).spawn(work).ok()?;
        Some(Self { questions, answers })
    }
}

/// The socket of dockerd: where `DOCKER_HOST` says, or the usual one.
#[derive(Default)]
struct Dockerd {
    client: Option<Docker>,
    patience: Patience,
}

/// With an engine that may not answer.
#[derive(Default)]
struct Patience {
    silent_since: Option<Instant>,
}

impl Patience {
    /// Waits for it, unless it was silent just now.
    async fn wait_for<T>(&mut self, asking: impl Future<Output = T>) {
        if self.silent_since.is_some_and(|since| since.elapsed() < PAUSE) {
            return;
        }
        let outcome = tokio::time::timeout(PATIENCE, asking).await;
        self.silent_since = outcome.is_err().then(Instant::now);
    }
}

impl Dockerd {
    /// Asks, in this order, what is quickly known and what is not; `answer` gets what is known so far.
    async fn complete(&mut self, container: &mut Container, answer: impl Fn(&Container)) {
        let Self { client, patience } = self;
        let asking = async {
            let client = connect(client).await?;
            list(client, container).await?;
            answer(container);
            inspect(client, container).await
        };
        patience.wait_for(asking).await;
    }
}

async fn connect(client: &mut Option<Docker>) -> Result<&Docker, Error> {
    let connected = match client.take() {
        Some(connected) => connected,
        // Older daemons know no newer version than their own.
        None => Docker::connect_with_defaults()?.negotiate_version().await?,
    };
    Ok(client.insert(connected))
}

/// What dockerd tells of a container also while it starts it.
async fn list(client: &Docker, container: &mut Container) -> Result<(), Error> {
    let only = HashMap::from([("id".to_owned(), vec![container.id.clone()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&only).build();
    if let Some(listed) = client.list_containers(Some(options)).await?.into_iter().next() {
        container.name = listed.names.and_then(|names| names.into_iter().next()).as_deref().map(plain);
        container.image = listed.image;
    }
    Ok(())
}

/// What it tells once the container has started.
async fn inspect(client: &Docker, container: &mut Container) -> Result<(), Error> {
    let found = client.inspect_container(&container.id, None).await?;
    container.name = found.name.as_deref().map(plain);
    if let Some(config) = found.config {
        container.image = config.image;
        container.stop_signal = config.stop_signal;
    }
    // `private` and nothing mean the same.
    let pid_mode = found.host_config.and_then(|config| config.pid_mode);
    container.pid_mode = pid_mode.filter(|mode| !mode.is_empty() && mode != "private");
    Ok(())
}

/// Docker's names begin with a slash, as those of links once did.
fn plain(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

/// What the OCI bundle of a container tells: annotations of Kubernetes, podman and nerdctl, and its
/// pid namespace.
fn of_bundle(call: &Call) -> Container {
    let Call { id, engine, bundle, uid } = call;
    let mut container = Container { id: id.clone(), engine: *engine, uid: *uid, ..Container::default() };
    let Some(bundle) = bundle else { return container };
    let config: Value = read(&bundle.join("config.json")).unwrap_or_default();
    let annotation =
        |name: &str| config["annotations"][name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let first = |names: &[&str]| names.iter().find_map(|name| annotation(name));
    // CRI-O and podman keep their bundles alike.
    if annotation("io.kubernetes.cri-o.ContainerType").is_some() {
        container.engine = Engine::CriO;
    }
    container.pod = first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
    container.pod_namespace = first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
    container.name = first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]);
    container.image = first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]);
    container.stop_signal = annotation("org.opencontainers.image.stopSignal");
    container.pid_mode = pid_mode(&config);
    if container.pid_mode.is_none() {
        container.init = config["process"]["args"][0].as_str().map(is_init);
    }
    if container.engine == Engine::Podman {
        podman(bundle, &mut container);
    }
    container
}

/// Whose pid namespace a configuration asks for, if not one of its own.
fn pid_mode(config: &Value) -> Option<String> {
    let namespaces = config["linux"]["namespaces"].as_array()?;
    match namespaces.iter().find(|namespace| namespace["type"] == "pid") {
        None => Some("host".to_owned()),
        Some(namespace) => namespace["path"].as_str().filter(|path| !path.is_empty()).map(str::to_owned),
    }
}

/// One of the containers that podman lists, beside their directories.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON once more.
    #[serde(default)]
    metadata: String,
}

fn podman(bundle: &Path, container: &mut Container) {
    // DIRECTORY/overlay-containers/ID/userdata, and DIRECTORY/overlay-containers/containers.json
    let list: Option<PathBuf> = bundle.ancestors().nth(2).map(|directory| directory.join("containers.json"));
    let listed: Option<Vec<Listed>> = list.and_then(|list| read(&list));
    let Some(listed) = listed.and_then(|all| all.into_iter().find(|listed| listed.id == container.id)) else { return };
    container.name = listed.names.into_iter().next();
    let metadata: Value = serde_json::from_str(&listed.metadata).unwrap_or_default();
    container.image = metadata["image-name"].as_str().map(str::to_owned);
}

/// A file of JSON; none if it is not there, or is something else.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
