//! Who came into a container from outside, on whose behalf, and whether that one is still there.
//!
//! Of `docker exec` the kernel sees two strangers: a client, which talks to a daemon, and a process that
//! the daemon has a runtime put into the container. They belong together by their command lines: the
//! client's ends with the container and the command that the other one runs.

use crate::{
    change::{AdopterClass, Adoption, Change},
    event::ExitStatus,
    ident::{Args, Identity, ProcKey},
    programs::{is_client, is_watcher},
    world::{Process, World},
};

/// A process that came in, on behalf of somebody outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who asked for it: the client, or the parent outside.
    pub client: Identity,
    /// Its end, once it has ended: when, in nanoseconds of the boot-time clock, how, and the number of
    /// that event.
    pub ended: Option<(u64, Option<ExitStatus>, u64)>,
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

/// Whether an option leaves the command alone: `-d`, `-td`, `--detach`.
fn detaches(word: &[u8]) -> bool {
    let is_cluster = |letters: &[u8]| !letters.is_empty() && letters.iter().all(|letter| b"itd".contains(letter));
    word == b"--detach"
        || word == b"--detach=true"
        || word.strip_prefix(b"-").is_some_and(|letters| is_cluster(letters) && letters.contains(&b'd'))
}

impl World {
    /// On whose behalf a process came in, if that was seen.
    pub fn entry(&self, key: ProcKey) -> Option<&Entry> {
        self.get(key)?.entry.as_deref()
    }

    /// A living client that could have asked for a process that came in, the youngest of them.
    pub fn client_of(&self, key: ProcKey) -> Option<&Process> {
        let process = self.get(key)?;
        let clients = self.processes.values().map(|client| &**client);
        let clients = clients.filter(|client| client.death().is_none() && self.asks_for(client, process));
        clients.max_by_key(|client| client.key)
    }

    /// Whether a command line asks for a process, and waits for it.
    fn asks_for(&self, client: &Process, process: &Process) -> bool {
        let Some(words) = words_of_client(&client.args) else { return false };
        let Some(container) = self.container_of(&process.identity()) else { return false };
        let command: Vec<_> = process.args.iter().collect();
        let named = |word: &[u8]| str::from_utf8(word).is_ok_and(|word| container.is_called(word));
        let is_command = |rest: &[&[u8]]| match (client.args.cut, process.args.cut) {
            (false, false) => rest == command,
            // What was cut off cannot be compared.
            _ => rest.first() == command.first(),
        };
        let Some(at) = words.iter().position(|&word| named(word)) else { return false };
        // A shell may stand before the container's own name: `kubectl exec POD -- COMMAND`.
        let rest = &words[at + 1..];
        let rest = rest.strip_prefix(&[&b"--"[..]]).unwrap_or(rest);
        is_command(rest) && !words[..at].iter().any(|&word| detaches(word))
    }

    /// A process executes a program: if it came from outside, finds out for whom.
    pub(super) fn note_entry(&mut self, key: ProcKey) {
        let Some(process) = self.get(key) else { return };
        if !process.roles.outsider || process.ns_level == 0 || process.entry.is_some() {
            return;
        }
        let Some(client) = self.client_of(key).map(Process::identity) else { return };
        self.clients.insert((client.key, key));
        if let Some(process) = self.processes.get_mut(&key) {
            process.entry = Some(Box::new(Entry { client, ended: None }));
        }
    }

    /// A process has ended, or is gone: those that came in for it are on their own.
    pub(super) fn end_client(
        &mut self,
        client: ProcKey,
        at: u64,
        status: Option<ExitStatus>,
        seq: u64,
        changes: &mut Vec<Change>,
    ) {
        let (first, last) = ((client, ProcKey::default()), (client, ProcKey { start: u64::MAX, tgid: u32::MAX }));
        for (_, key) in self.clients.range(first..=last).copied().collect::<Vec<_>>() {
            self.clients.remove(&(client, key));
            if let Some(entry) = self.processes.get_mut(&key).and_then(|process| process.entry.as_mut()) {
                entry.ended = Some((at, status, seq));
                changes.push(Change::ClientEnded(key));
            }
        }
    }

    /// Somebody outside adopts a process that came in: whoever brought it there has ended, and was no
    /// runtime that leaves it to a watcher.
    pub(super) fn note_left_outside(&mut self, child: ProcKey, adoption: &Adoption, changes: &mut Vec<Change>) {
        let Adoption { at, seq, from, to, class, known: _ } = *adoption;
        let Some(process) = self.get(child) else { return };
        let is_outsider = process.roles.outsider && process.ns_level > 0 && process.entry.is_none();
        // Runtimes set up what they bring in through several processes that end before its program begins.
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
        if let Some(process) = self.processes.get_mut(&child) {
            process.entry = Some(Box::new(Entry { client: from, ended: Some((at, status, seq.unwrap_or(0))) }));
            changes.push(Change::ClientEnded(child));
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

    #[test]
    fn options_that_detach() {
        for (word, want) in
            [("-d", true), ("-itd", true), ("--detach", true), ("-it", false), ("-e", false), ("-", false)]
        {
            assert_eq!(detaches(word.as_bytes()), want, "{word}");
        }
    }
}
