//! Who asked an engine to stop or kill a container.
//!
//! The kernel sees two unrelated processes behind a `docker stop`, as behind an exec (`entered.rs`): a client that
//! talks to a daemon and waits, and a runtime that the daemon starts to send the signal. The container in the client's
//! command line connects them. `lxc-stop -k`, likewise, has the monitor of the container send the signal.

use std::collections::BTreeSet;

use crate::{
    foreign::lxc,
    host::{Container, Engine},
    ident::{Args, Identity, ProcKey, Trust},
    programs::{is_client, is_lxc, is_runtime, is_watcher},
    world::{Process, World},
};

/// Commands of clients that end a container, or send it a signal.
const ENDS: [&[u8]; 5] = [b"stop", b"kill", b"restart", b"rm", b"delete"];
/// Those after which one of these words may belong to another program.
const OTHERS: [&[u8]; 3] = [b"exec", b"run", b"create"];
/// Their options that take a value, which is not a container.
const WITH_VALUE: [&[u8]; 6] = [b"-t", b"--time", b"--timeout", b"-s", b"--signal", b"--grace-period"];

/// Whether a command line asks for the end of a container, or for a signal to it.
fn asks_for_end(args: &Args, container: &Container) -> bool {
    if container.engine == Engine::Lxc {
        return lxc::stopped(args) == Some(&container.id);
    }
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

/// How many clients of one user are compared; with more, it cannot be said which of them asked.
const MOST_COMPARED: usize = 256;

/// The user by whom clients are indexed: 0 for root, and for those who are believed like root.
fn group_of(args: &Args) -> Option<u64> {
    if !args.iter().next().is_some_and(is_client) {
        return None;
    }
    match args.trust {
        Trust::Unknown | Trust::Root => Some(0),
        Trust::User(uid) => Some(group_of_user(uid)),
        // It asks an engine for nothing.
        Trust::Nobody => None,
    }
}

fn group_of_user(uid: u32) -> u64 {
    u64::from(uid) + 1
}

/// See [`World::forget_client`].
pub(super) fn forget_client(clients: &mut BTreeSet<(u64, ProcKey)>, key: ProcKey, args: &Args) {
    if !clients.is_empty()
        && let Some(group) = group_of(args)
    {
        clients.remove(&(group, key));
    }
}

impl World {
    /// A process has a command line of its own now, in place of `before`.
    pub(super) fn note_client(&mut self, key: ProcKey, before: &Args) {
        self.forget_client(key, before);
        if let Some(group) = self.get(key).and_then(|process| group_of(&process.args)) {
            self.engine_clients.insert((group, key));
        }
    }

    /// It has ended, or has another command line.
    pub(super) fn forget_client(&mut self, key: ProcKey, args: &Args) {
        forget_client(&mut self.engine_clients, key, args);
    }

    /// The living clients that may ask for something of a container, oldest first: those of root, and of the
    /// container's user. `None` if there are too many to compare.
    pub(super) fn clients_of(&self, container: &Container) -> Option<Vec<&Process>> {
        let groups = std::iter::once(0).chain(container.uid.map(group_of_user));
        let clients: Vec<_> = groups
            .flat_map(|group| {
                let last = ProcKey::LAST;
                self.engine_clients.range((group, ProcKey::default())..=(group, last)).take(MOST_COMPARED + 1)
            })
            .filter_map(|&(_, key)| self.get(key))
            .collect();
        (clients.len() <= MOST_COMPARED).then_some(clients)
    }

    /// The client on whose behalf a process sends a signal to a container, if it is a runtime and that can be seen;
    /// then the client's parent and so on. Nobody, if two could have asked.
    pub(super) fn asked_by(&self, sender: ProcKey, target: ProcKey) -> Vec<Identity> {
        let Some(process) = self.get(sender) else { return Vec::new() };
        let comm = process.comm.bytes();
        if !is_runtime(comm) && !is_watcher(comm) && !is_lxc(comm) {
            return Vec::new();
        }
        let Some(container) = self.container_of(&self.identity(target)) else { return Vec::new() };
        // Anybody can use a runtime's name.
        let is_believed = process.args.trust.is_believed_of(container.uid);
        let clients = self.clients_of(container).filter(|_| is_believed).unwrap_or_default();
        let asking = clients.into_iter().filter(|client| asks_for_end(&client.args, container));
        let asking: Vec<_> = asking.map(|client| client.key).collect();
        // Podman has no daemon: its client is an ancestor of the runtime.
        if self.upwards(sender).any(|ancestor| asking.contains(&ancestor)) {
            return Vec::new();
        }
        // A client that has another client do the work is not a second one.
        let is_above = |one: ProcKey, other: ProcKey| one != other && self.is_below(other, one);
        let mut asking = asking.iter().filter(|&&one| !asking.iter().any(|&other| is_above(one, other)));
        match (asking.next(), asking.next()) {
            (Some(&client), None) => std::iter::once(self.identity(client)).chain(self.ancestors(client)).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exec},
        ident::Comm,
        story::{Story, args, born, born_in, end, key, task},
    };

    fn asks(line: &str) -> bool {
        let container = Container {
            id: "3f2e1d".into(),
            name: Some("web".into()),
            pod: Some("shop-1".into()),
            ..Container::default()
        };
        asks_for_end(&args(line), &container)
    }

    /// A container called web (10), of root or of a user, and a runtime (9) that is theirs.
    fn stopped(uid: Option<u32>) -> Story {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born_in(77, 10, 1, 2)).fork(born(9, 2));
        let web = Container { id: "web".into(), uid, ..Container::default() };
        story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "web".into()));
        executes(&mut story, 9, "runc kill web", uid.map_or(Trust::Root, Trust::User));
        story
    }

    /// No client is named.
    const NONE: [u32; 0] = [];

    fn executes(story: &mut Story, pid: u32, line: &str, trust: Trust) {
        let args = Args { trust, ..args(line) };
        let comm = Comm::from(line.split(' ').next().unwrap_or_default());
        story.event(EventKind::Exec(Box::new(Exec {
            task: task(pid),
            comm,
            old_tid: pid,
            args,
            mount_ns: 0,
            ignored: Some(0),
        })));
    }

    /// The client that is named if these processes have a client's command line.
    fn asked(uid: Option<u32>, clients: &[(u32, u32, Trust)]) -> Vec<u32> {
        let mut story = stopped(uid);
        for &(pid, parent, trust) in clients {
            story.fork(born(pid, parent));
            executes(&mut story, pid, "docker stop web", trust);
        }
        story.world().asked_by(key(9), key(10)).first().map(|client| client.key.tgid).into_iter().collect()
    }

    #[test]
    fn only_who_may_ask_has_asked() {
        assert_eq!(asked(None, &[(20, 1, Trust::Root)]), [20]);
        assert_eq!(asked(None, &[(20, 1, Trust::Unknown)]), [20], "in an old trace");
        assert_eq!(asked(None, &[(20, 1, Trust::User(1000))]), NONE);
        assert_eq!(asked(None, &[(20, 1, Trust::Nobody)]), NONE);
        assert_eq!(asked(None, &[(20, 1, Trust::Root), (21, 1, Trust::User(1000)), (22, 1, Trust::Nobody)]), [20]);
        assert_eq!(asked(Some(1000), &[(20, 1, Trust::User(1000))]), [20]);
        assert_eq!(asked(Some(1000), &[(20, 1, Trust::User(1001))]), NONE);
    }

    #[test]
    fn of_two_who_could_have_asked_none_is_named() {
        assert_eq!(asked(None, &[(20, 1, Trust::Root), (21, 1, Trust::Root)]), NONE);
        assert_eq!(asked(None, &[(20, 1, Trust::Root), (21, 20, Trust::Root)]), [21], "one has the other do it");
    }

    #[test]
    fn whoever_is_called_like_a_runtime_has_nobody_behind_it() {
        let mut story = stopped(None);
        story.fork(born(20, 1)).fork(born(30, 1));
        executes(&mut story, 20, "docker stop web", Trust::Root);
        executes(&mut story, 30, "runc kill web", Trust::User(1000));
        assert!(story.world().asked_by(key(30), key(10)).is_empty());
    }

    #[test]
    fn a_client_that_has_ended_or_does_something_else_has_not_asked() {
        let mut story = stopped(None);
        story.fork(born(20, 1)).fork(born(21, 1));
        executes(&mut story, 20, "docker stop web", Trust::Root);
        executes(&mut story, 21, "docker stop web", Trust::Root);
        executes(&mut story, 20, "sleep 9", Trust::Root);
        assert_eq!(story.world().asked_by(key(9), key(10))[0].key, key(21));
        story.exit(end(21, 1, Adopter::None));
        assert!(story.world().asked_by(key(9), key(10)).is_empty());
    }

    #[test]
    fn too_many_to_compare_are_nobody() {
        let many: Vec<_> = (100..=100 + MOST_COMPARED as u32).map(|pid| (pid, 1, Trust::User(1000))).collect();
        assert_eq!(asked(Some(1000), &many), NONE);
        assert_eq!(asked(None, &[&many[..], &[(20, 1, Trust::Root)]].concat()), [20], "root's are not among them");
    }

    #[test]
    fn lxc_stop_asks_the_monitor_of_that_container() {
        for (line, is_asking) in [("lxc-stop -k -n web", true), ("lxc-stop -n we", false), ("docker stop web", false)] {
            let mut story = Story::new();
            story.fork(born(2, 1)).fork(born_in(77, 10, 1, 2)).fork(born(20, 1));
            executes(&mut story, 2, "lxc-start -F -n web", Trust::Root);
            executes(&mut story, 20, line, Trust::Root);
            let web = Container { id: "web".into(), engine: Engine::Lxc, ..Container::default() };
            story.event(EventKind::Container(Box::new(web))).event(EventKind::Contained(key(10), "web".into()));
            let asked = story.world().asked_by(key(2), key(10)).first().map(|client| client.key.tgid);
            assert_eq!(asked, is_asking.then_some(20), "{line}");
        }
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
