//! Which processes came into a container from outside, on whose behalf, and whether that client is still there.
//!
//! The kernel sees two unrelated processes behind a `docker exec`: a client that talks to a daemon, and a process that
//! the daemon has a runtime put into the container. Their command lines connect them: the client's ends with the
//! container and the command that the process runs.

use crate::{
    change::{AdopterClass, Adoption, Change},
    event::ExitStatus,
    host::Container,
    ident::{Args, Identity, ProcKey},
    kill::EngineExec,
    programs::{is_client, is_watcher},
    signal::killer::Killer,
    time::{BootNs, Seq},
    world::{Process, World, cause::Cause, options::detaches, turn::Turn},
};

/// A process that came in, on behalf of somebody outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who asked for it: the client, or the parent outside.
    pub client: Identity,
    /// How.
    pub way: Way,
    /// No other client could have asked for it.
    pub is_alone: bool,
    /// When and how the client ended, and the number of that event; status and event are unknown if nobody saw it end.
    pub ended: Option<(BootNs, Option<ExitStatus>, Option<Seq>)>,
}

/// How a process came into a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From outside, into one that was there.
    Exec,
    /// As its first process: the client has started the container.
    Run,
}

/// The words of a command line `docker … exec … CONTAINER COMMAND …`, split behind `exec`.
fn words_of_client(args: &Args) -> Option<Vec<&[u8]>> {
    let mut words = args.iter();
    if !is_client(words.next()?) {
        return None;
    }
    let words: Vec<_> = words.collect();
    let exec = words.iter().position(|&word| word == b"exec")?;
    Some(words[exec + 1..].to_vec())
}

/// Whether a command line asks for a process in a container, and waits for it. The word for the container may also be
/// the value of an option (`-u 0`), so each word is tried.
fn asks_for(client: &Process, process: &Process, container: &Container) -> bool {
    let Some(words) = words_of_client(&client.args) else { return false };
    let command: Vec<_> = process.args.iter().collect();
    let named = |word: &[u8]| str::from_utf8(word).is_ok_and(|word| container.is_called(word));
    let is_command = |rest: &[&[u8]]| match (client.args.cut, process.args.cut) {
        (false, false) => rest == command,
        // A line that was cut cannot be compared.
        _ => rest.first() == command.first(),
    };
    (0..words.len()).filter(|&at| named(words[at])).any(|at| {
        // Another name may stand before the container's: `kubectl exec POD -- COMMAND`.
        let rest = &words[at + 1..];
        let rest = rest.strip_prefix(&[&b"--"[..]]).unwrap_or(rest);
        is_command(rest) && !words[..at].iter().any(|&word| detaches(word))
    })
}

impl World {
    /// On whose behalf a process came in, if that was seen.
    pub fn entry(&self, key: ProcKey) -> Option<&Entry> {
        self.get(key)?.entry.as_deref()
    }

    /// Whether a living client could have asked for a process that came in; also true if there are too many to compare.
    pub fn has_client(&self, key: ProcKey) -> bool {
        self.get(key).is_some_and(|process| self.clients_for(process).is_none_or(|clients| !clients.is_empty()))
    }

    /// The living clients that could have asked for a process, oldest first; `None` if there are too many to
    /// compare.
    fn clients_for(&self, process: &Process) -> Option<Vec<&Process>> {
        let Some(container) = self.container_of(&process.identity()) else { return Some(Vec::new()) };
        let mut clients = self.clients_of(container)?;
        clients.retain(|client| client.death().is_none() && asks_for(client, process, container));
        Some(clients)
    }

    /// What an engine does on its own account: a process that it had brought into a container, and for which no
    /// client is known, is ended by whoever watches over the container.
    pub(super) fn exec_of_engine(&self, key: ProcKey, cause: &Cause) -> Option<EngineExec> {
        let process = self.get(key).filter(|process| process.roles.outsider && process.ns_level > 0)?;
        let sender = self.get(cause.current).filter(|sender| is_watcher(sender.comm.bytes()))?;
        // Anybody can be called like a watcher.
        let container = self.container_of(&process.identity())?;
        let is_its = sender.args.trust.is_believed_of(container.uid) && process.parent?.key == sender.key;
        let is_alone = process.entry.is_none() && !self.has_client(key) && cause.asked_by.is_empty();
        let is_of_engine = cause.killer == Killer::Process && is_its && is_alone;
        is_of_engine.then(|| EngineExec { args: process.args.clone(), age: cause.at - key.start })
    }

    /// Whether somebody who lives came in on behalf of a client.
    fn is_taken(&self, client: ProcKey) -> bool {
        self.entries_of(client).next().is_some()
    }

    pub(super) fn entries_of(&self, client: ProcKey) -> impl Iterator<Item = ProcKey> + '_ {
        let (first, last) = ((client, ProcKey::default()), (client, ProcKey::LAST));
        self.clients.range(first..=last).map(|&(_, key)| key)
    }

    /// A process executes a program: if it came from outside, this finds its client. Among clients with equal words,
    /// each has one process, and the first that asked gets the first.
    pub(super) fn note_entry(&mut self, key: ProcKey) {
        let Some(process) = self.get(key) else { return };
        if !process.roles.outsider || process.ns_level == 0 || process.entry.is_some() {
            return;
        }
        let Some(clients) = self.clients_for(process) else { return };
        let is_alone = clients.len() == 1;
        let Some(client) = clients.into_iter().find(|client| !self.is_taken(client.key)) else { return };
        let client = client.identity();
        self.enter(key, Entry { client, way: Way::Exec, is_alone, ended: None });
    }

    /// A process is in its container on behalf of a client that lives.
    pub(super) fn enter(&mut self, key: ProcKey, entry: Entry) {
        self.clients.insert((entry.client.key, key));
        if let Some(process) = self.processes.get_mut(key) {
            process.rare().entry = Some(Box::new(entry));
        }
    }

    /// A client has ended, or is gone: the processes that came in for it are on their own, unless a living client with
    /// equal words has no process. It cannot be known which of the two they belonged to.
    pub(super) fn end_client(
        &mut self,
        client: ProcKey,
        at: BootNs,
        status: Option<ExitStatus>,
        seq: Option<Seq>,
        turn: &mut Turn,
    ) {
        let brought: Vec<_> = self.entries_of(client).collect();
        if brought.is_empty() {
            self.note_left_running(client, at, status, seq, turn);
        }
        for key in brought {
            self.clients.remove(&(client, key));
            let Some(process) = self.get(key) else { continue };
            if process.entry.as_ref().is_some_and(|entry| entry.way == Way::Run) {
                // Who ends by itself has left on purpose.
                if status.and_then(ExitStatus::signal).is_some()
                    && let Some(entry) = self.rare_mut(key).and_then(|rare| rare.entry.as_mut())
                {
                    entry.ended = Some((at, status, seq));
                    turn.changes.push(Change::ClientEnded(key));
                }
                continue;
            }
            let others = self.clients_for(process);
            let is_unclear = others.is_none();
            let free = others.into_iter().flatten().find(|&other| other.key != client && !self.is_taken(other.key));
            let free = free.map(Process::identity);
            if let Some(free) = free {
                self.clients.insert((free.key, key));
            }
            let Some(rare) = self.rare_mut(key) else { continue };
            match (free, &mut rare.entry) {
                (Some(free), Some(entry)) => (entry.client, entry.is_alone) = (free, false),
                (None, Some(_)) if is_unclear => rare.entry = None,
                (None, Some(entry)) => {
                    entry.ended = Some((at, status, seq));
                    turn.changes.push(Change::ClientEnded(key));
                }
                (_, None) => {}
            }
        }
    }

    /// A process that came in is in the world again: its client may have ended meanwhile.
    pub(super) fn note_entry_again(&mut self, key: ProcKey, turn: &mut Turn) {
        let Some(entry) = self.entry(key).filter(|entry| entry.ended.is_none()) else { return };
        let client = entry.client.key;
        if self.get(client).is_some_and(|client| client.death().is_none()) {
            self.clients.insert((client, key));
            return;
        }
        let now = self.now;
        if let Some(entry) = self.rare_mut(key).and_then(|rare| rare.entry.as_mut()) {
            entry.ended = Some((now, None, None));
            turn.changes.push(Change::ClientEnded(key));
        }
    }

    /// A client that was taken for gone is in the world again: its processes are not on their own.
    pub(super) fn note_client_again(&mut self, client: ProcKey, key: ProcKey, turn: &mut Turn) {
        let Some(process) = self.processes.get_mut(key).filter(|process| process.death().is_none()) else { return };
        let entry = process.some_rare().and_then(|rare| rare.entry.as_mut());
        let Some(entry) = entry.filter(|entry| entry.client.key == client) else { return };
        entry.ended = None;
        self.clients.insert((client, key));
        turn.changes.push(Change::ClientBack(key));
    }

    /// A process outside adopts one that came in: whoever brought it in has ended, and was not a runtime that leaves it
    /// to a watcher.
    pub(super) fn note_left_outside(&mut self, child: ProcKey, adoption: &Adoption, turn: &mut Turn) {
        let Adoption { at, seq, from, status: _, killed_by: _, to, class, known: _ } = *adoption;
        let Some(process) = self.get(child) else { return };
        let is_outsider = process.roles.outsider && process.ns_level > 0 && process.entry.is_none();
        // Runtimes set up a new process through several short-lived ones, before its program begins.
        let is_at_work = process.args.iter().nth(1) != Some(b"init");
        let is_from_outside = self.get(from.key).is_none_or(|from| !self.is_in(from.pid_ns, process.pid_ns));
        let detached = self.get(from.key).is_some_and(|from| from.args.iter().any(detaches));
        if class == AdopterClass::Thread || !is_outsider || !is_at_work || !is_from_outside || detached {
            return;
        }
        if is_watcher(to.comm.bytes()) || from.comm == process.comm {
            return;
        }
        let status = self.get(from.key).and_then(Process::death).map(|death| death.status);
        if let Some(process) = self.processes.get_mut(child) {
            process.rare().entry =
                Some(Box::new(Entry { client: from, way: Way::Exec, is_alone: true, ended: Some((at, status, seq)) }));
            turn.changes.push(Change::ClientEnded(child));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::args;

    #[test]
    fn clients_are_known_by_their_command_lines() {
        assert!(words_of_client(&args("/usr/bin/docker --host unix:///x exec -it web sh")).is_some());
        assert!(words_of_client(&args("docker run web exec")).is_some_and(|words| words.is_empty()));
        assert!(words_of_client(&args("docker ps")).is_none());
        assert!(words_of_client(&args("sh exec web")).is_none());
    }
}
