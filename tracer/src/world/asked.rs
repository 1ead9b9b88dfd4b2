//! Who asked an engine to stop or kill a container.
//!
//! Of `docker stop` the kernel sees two strangers, as of an exec (`entered.rs`): a client, which talks to a
//! daemon and waits, and a runtime, which the daemon has send the signal. They belong together by the
//! container that the client's command line names.

use crate::{
    host::Container,
    ident::{Args, Identity, ProcKey},
    programs::{is_client, is_runtime, is_watcher},
    world::World,
};

/// Commands of clients that end a container, or send it a signal.
const ENDS: [&[u8]; 5] = [b"stop", b"kill", b"restart", b"rm", b"delete"];
/// Those behind which one of these words may be another program's.
const OTHERS: [&[u8]; 3] = [b"exec", b"run", b"create"];
/// Options of them that have a value of their own: it names no container.
const WITH_VALUE: [&[u8]; 6] = [b"-t", b"--time", b"--timeout", b"-s", b"--signal", b"--grace-period"];

/// Whether a command line asks for the end of a container, or for a signal to it.
fn asks_for_end(args: &Args, container: &Container) -> bool {
    let mut words = args.iter();
    if !words.next().is_some_and(is_client) {
        return false;
    }
    let command = words.by_ref().find(|word| ENDS.contains(word) || OTHERS.contains(word));
    if !command.is_some_and(|command| ENDS.contains(&command)) {
        return false;
    }
    let is_meant = |word: &[u8]| {
        let Ok(word) = str::from_utf8(word) else { return false };
        let pod = word.strip_prefix("pod/").or_else(|| word.strip_prefix("pods/")).unwrap_or(word);
        container.is_called(word) || container.pod.as_deref() == Some(pod)
    };
    let mut is_value = false;
    words.any(|word| !std::mem::replace(&mut is_value, WITH_VALUE.contains(&word)) && is_meant(word))
}

impl World {
    /// On whose behalf a process sends a signal to a container, if it is a runtime and that can be seen: the
    /// client, the youngest of those that ask for it, then its parent and so on.
    pub fn asked_by(&self, sender: ProcKey, target: ProcKey) -> Vec<Identity> {
        let comm = self.identity(sender).comm;
        if !is_runtime(comm.bytes()) && !is_watcher(comm.bytes()) {
            return Vec::new();
        }
        let Some(container) = self.container_of(&self.identity(target)) else { return Vec::new() };
        let clients = self.processes.values();
        let clients = clients.filter(|client| client.death().is_none() && asks_for_end(&client.args, container));
        let Some(client) = clients.max_by_key(|client| client.key) else { return Vec::new() };
        // Podman has no daemon: its client is an ancestor of the runtime.
        if self.upwards(sender).any(|ancestor| ancestor == client.key) {
            return Vec::new();
        }
        std::iter::once(client.identity()).chain(self.ancestors(client.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::args;

    fn asks(line: &str) -> bool {
        let container = Container {
            id: "3f2e1d".into(),
            name: Some("web".into()),
            pod: Some("shop-1".into()),
            ..Container::default()
        };
        asks_for_end(&args(line), &container)
    }

    #[test]
    fn a_client_asks_by_its_command_line() {
        for line in [
            "docker stop web",
            "/usr/bin/docker --host unix:///x stop -t 3 db web",
            "docker container kill --signal=TERM 3f2e",
            "docker rm -f web",
            "podman restart web",
            "nerdctl stop -t 3 web",
            "ctr -n k8s.io task kill --signal SIGTERM 3f2e1d",
            "crictl stop 3f2e1d",
            "kubectl -n prod delete pod shop-1",
            "kubectl delete pod/shop-1 --grace-period 5",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "docker stop db",
            "docker stop -t 3 db",
            "docker kill -s web db",
            "docker exec web kill -TERM 3",
            "docker run --name stop web",
            "docker logs -f web",
            "sh stop web",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
