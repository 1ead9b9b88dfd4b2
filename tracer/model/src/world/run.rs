//! Containers that a client has started and is attached to (`docker run`, `podman run`): whether they outlive it.
//!
//! Podman's client itself starts the watcher of its container, so the two are related. The clients of docker and
//! containerd talk to a daemon: their command lines connect them to their container.

use crate::{
    change::Change,
    event::ExitStatus,
    host::Container,
    ident::{Args, ProcKey},
    programs::{is_client, is_watcher},
    time::{BootNs, Seq},
    world::{
        Entry, World,
        entered::Way,
        options::{detaches, options},
        turn::Turn,
    },
};

/// A runtime can briefly be between the first process of a container and its watcher.
const MOST_ABOVE: usize = 4;

/// The words behind `run` of a client that stays attached.
fn words_of_run(args: &Args) -> Option<Vec<&[u8]>> {
    let mut words = args.iter();
    if !words.next().is_some_and(is_client) {
        return None;
    }
    let words: Vec<_> = words.skip_while(|&word| word != b"run").skip(1).collect();
    (!words.is_empty() && !options(&words).iter().any(|&option| detaches(option))).then_some(words)
}

/// Whether a client asked for that container: by its name, or by its image and the command after that.
fn asks_for(words: &[&[u8]], command: &Args, container: &Container) -> bool {
    let named = |word: &[u8]| str::from_utf8(word).is_ok_and(|word| container.is_called(word));
    let options = options(words);
    let name = options.iter().enumerate().find_map(|(at, option)| match option.strip_prefix(b"--name") {
        Some([]) => options.get(at + 1).copied(),
        Some(value) => value.strip_prefix(b"="),
        None => None,
    });
    if let Some(name) = name {
        return named(name);
    }
    let image = container.image.as_deref().map(str::as_bytes);
    let Some(at) = words.iter().position(|&word| Some(word) == image) else { return false };
    let command: Vec<_> = command.iter().collect();
    command.ends_with(&words[at + 1..])
}

impl World {
    /// A process executes a program: perhaps the watcher of a client's container, or the first program of that
    /// container.
    pub(super) fn note_run(&mut self, key: ProcKey) {
        let Some(process) = self.get(key) else { return };
        if is_watcher(process.comm.bytes()) {
            let client = self.parent(key).filter(|parent| words_of_run(&parent.args).is_some());
            let runs_for = client.map(|client| client.key);
            if let Some(process) = self.processes.get_mut(key) {
                process.rare().runs_for = runs_for;
            }
            return;
        }
        if !process.roles.init || process.ns_level == 0 || process.entry.is_some() {
            return;
        }
        let client = self.ancestry(key).skip(1).take(MOST_ABOVE).find_map(|above| above.runs_for);
        let Some(client) = client.and_then(|client| self.get(client)).filter(|client| client.death().is_none()) else {
            return;
        };
        let client = client.identity();
        self.enter(key, Entry { client, way: Way::Run, is_alone: true, ended: None });
    }

    /// A client of a daemon was killed: the container that it had started is on its own if it lives.
    pub(super) fn note_left_running(
        &mut self,
        client: ProcKey,
        at: BootNs,
        status: Option<ExitStatus>,
        seq: Option<Seq>,
        turn: &mut Turn,
    ) {
        // A client that ends by itself has waited for the end, or left on purpose.
        if status.and_then(ExitStatus::signal).is_none() {
            return;
        }
        let Some(process) = self.get(client) else { return };
        let Some(words) = words_of_run(&process.args) else { return };
        let trust = process.args.trust;
        // A client is older than its container. Anybody can have many clients killed: what is cheap is asked first.
        let inits = self.namespaces.values().filter_map(|ns| ns.init).filter(|&init| init > client);
        let mut its = inits.filter_map(|init| self.get(init)).filter(|init| {
            let is_its =
                |container: &Container| trust.is_believed_of(container.uid) && asks_for(&words, &init.args, container);
            let is_alone = init.entry.is_none() && init.death().is_none();
            is_alone && self.container_of(&init.identity()).is_some_and(is_its)
        });
        // With two of them, it cannot be known which one it was.
        let (Some(init), None) = (its.next().map(|init| init.key), its.next()) else { return };
        let client = process.identity();
        if let Some(init) = self.processes.get_mut(init) {
            init.rare().entry =
                Some(Box::new(Entry { client, way: Way::Run, is_alone: true, ended: Some((at, status, seq)) }));
        }
        turn.changes.push(Change::ClientEnded(init));
    }
}
