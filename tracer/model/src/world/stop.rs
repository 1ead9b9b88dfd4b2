//! Follows who asks whom to stop, and whom the inits of namespaces tell.

use crate::{
    ident::{Args, Identity, ProcKey},
    kill::Fallen,
    programs::{file_name, is_runtime},
    servers,
    signal::{Signal, Verdict, killer::Killer},
    stop::{Executed, Meaning, NAMED, Request, Stop, Told},
    time::BootNs,
    world::World,
};

/// Whether two command lines run the same, wherever it lies: a program that executes itself anew often knows its
/// file by another path, and may have itself told so by an option (`server --restarted`).
fn is_same_program(one: &Args, other: &Args) -> bool {
    let name = |word: &'_ [u8]| file_name(word).to_vec();
    let (one, other): (Vec<_>, Vec<_>) = (one.iter().map(name).collect(), other.iter().map(name).collect());
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long.strip_prefix(&short[..]).is_some_and(|more| more.iter().all(|word| word.starts_with(b"-")))
        && !short.is_empty()
}

/// Whether a process is a server that ends by that signal when its last client has gone.
fn drains(signal: Signal, target: &Identity) -> bool {
    servers::ends_promptly_at(target.comm.bytes(), signal).is_some()
}

impl World {
    /// A process has sent a signal to another one. Who stands behind it is put in where it is wanted.
    pub(super) fn note_request(&mut self, request: Request, asked_by: &[Identity]) {
        let target = request.target.key;
        // A SIGKILL that the kernel drops, because it comes from inside, stops nobody.
        let is_void = matches!(request.verdict, Verdict::TargetExiting | Verdict::KillFromInside);
        if request.sender.key == target || is_void {
            return;
        }
        let meaning = self.meaning_of(request.signal, &request.target);
        let meaning = meaning.filter(|&meaning| meaning == Meaning::End || !self.is_among_workers(&request));
        let is_first_kill =
            || self.get(target).and_then(|process| process.stop.as_ref()).is_some_and(|stop| stop.kill.is_none());
        if meaning.is_none() && (request.signal != Signal::KILL || !is_first_kill()) {
            return;
        }
        let former = self.former(target, &request.sender).filter(|_| request.killer == Killer::Process);
        let ancestors = self.ancestors(request.sender.key);
        let request = Request { ancestors, asked_by: asked_by.to_vec(), former, ..request };
        let Some(process) = self.processes.get_mut(target) else { return };
        let stop = process.rare().stop.get_or_insert_default();
        if let Some(meaning) = meaning {
            stop.note(request, meaning);
            return;
        }
        stop.kill = Some(request);
        let since = stop.enforced().map(|(asked, _)| asked.at);
        let told = since.and_then(|since| self.told(target, since));
        if let Some(stop) = self.rare_mut(target).and_then(|rare| rare.stop.as_mut()) {
            stop.told = told;
        }
    }

    /// Whether one worker of a server signals another, for their work: postgres asks its checkpointer by SIGINT for a
    /// checkpoint.
    fn is_among_workers(&self, request: &Request) -> bool {
        let name = request.target.comm;
        let parent = |key| self.parent(key).filter(|parent| parent.comm == name).map(|parent| parent.key);
        request.sender.comm == name
            && parent(request.sender.key).is_some_and(|server| parent(request.target.key) == Some(server))
    }

    /// A stopped process is continued.
    pub(super) fn note_continued(&mut self, key: ProcKey) {
        if let Some(stop) = self.rare_mut(key).and_then(|rare| rare.stop.as_mut()) {
            stop.note_continued();
        }
    }

    /// A process has sent another one a signal that asks for something: an init may be passing on what it got.
    pub(super) fn note_passed(&mut self, sender: ProcKey, target: ProcKey) {
        let is_new = |stop: &Stop| {
            stop.passed_to.len() < NAMED && !stop.passed_to.iter().any(|passed_to| passed_to.key == target)
        };
        let Some(stop) = self.get(sender).and_then(|process| process.stop.as_deref()) else { return };
        if sender == target || !is_new(stop) {
            return;
        }
        let target = self.identity(target);
        if let Some(stop) = self.rare_mut(sender).and_then(|rare| rare.stop.as_mut()) {
            stop.passed_to.push(target);
        }
    }

    /// An init has ended, and the kernel kills what is left: what had it told them of its stop?
    pub(super) fn note_untold(&mut self, init: ProcKey, at: BootNs) {
        let since = self.get(init).and_then(|init| Some(init.stop.as_ref()?.taken(Some(at))?.at));
        let Some(told) = since.and_then(|since| self.told(init, since)) else { return };
        if let Some(stop) = self.rare_mut(init).and_then(|rare| rare.stop.as_mut()) {
            stop.told = Some(told);
        }
    }

    /// Which children of an init were told of a stop since a time;
    /// `None` if the stream does not have the signals that would tell.
    pub fn told(&self, init: ProcKey, since: BootNs) -> Option<Told> {
        if self.stream.lacks_forwards {
            return None;
        }
        let passed_to = self.get(init).and_then(|init| Some(init.stop.as_ref()?.passed_to.clone()));
        let has_lost_child = self.has_lost_child_since(init, since);
        let mut children = Told { passed_to: passed_to.unwrap_or_default(), has_lost_child, ..Told::default() };
        for (child, was_told) in self.family(init, since) {
            if was_told {
                children.told += 1;
                let named = if child.has_ignored_since(since) { &mut children.ignoring } else { &mut children.slow };
                if child.heard_since(since) && named.len() < NAMED {
                    named.push(child.identity());
                }
                continue;
            }
            children.not_told += 1;
            children.adopted += u64::from(child.adoption.is_some());
            if children.named.len() < NAMED {
                children.named.push(child.identity());
            }
        }
        Some(children)
    }

    /// What a signal asks of a process: SIGTERM, and what its container was given as its stop signal, for an end.
    /// People and engines use others too (lxc-stop SIGPWR, systemd-nspawn SIGRTMIN+3), which have other meanings
    /// elsewhere.
    pub(super) fn meaning_of(&self, signal: Signal, target: &Identity) -> Option<Meaning> {
        let is_init = target.is_init_of_namespace();
        let of_container = || self.container_of(target)?.own_stop_signal();
        match signal {
            Signal::TERM => Some(Meaning::End),
            _ if is_init && of_container() == Some(signal) => Some(Meaning::End),
            // What asks nothing of any other program.
            Signal::WINCH | Signal::USR1 if drains(signal, target) => Some(Meaning::End),
            // A watchdog sends SIGABRT to what it takes for hung (systemd, gunicorn).
            Signal::INT | Signal::QUIT | Signal::ABRT => Some(Meaning::Perhaps),
            Signal::PWR | Signal::RTMIN_3 if is_init => Some(Meaning::Perhaps),
            Signal::HUP => Some(Meaning::Reload),
            _ => None,
        }
    }

    /// Whether a signal asks pid 1 of a container to stop, or a server to end when its last client has gone.
    pub(super) fn stops_main(&self, signal: Signal, target: &Identity) -> bool {
        (target.is_init_of_namespace() && self.meaning_of(signal, target).is_some()) || drains(signal, target)
    }

    /// What is remembered of one that dies with its namespace; nothing of a helper of a runtime.
    pub(super) fn fallen(&self, key: ProcKey) -> Option<Fallen> {
        let process = self.get(key)?;
        let name = process.comm.bytes();
        if is_runtime(name) || name.starts_with(b"runc:[") {
            return None;
        }
        let last = process.stop.as_ref().and_then(|stop| stop.asked_last());
        Some(Fallen {
            process: process.identity(),
            asked: last.map(|asked| (asked.signal, asked.verdict)),
            asked_at: last.map(|asked| asked.at).unwrap_or_default(),
            is_told: last.is_none() && process.heard_since(process.key.start),
            is_outsider: process.roles.outsider,
            left_by: process.adoption.as_deref().map(|adoption| adoption.from),
        })
    }

    /// A process executes a program: if it was asked to stop, another one than that now runs.
    pub(super) fn note_executed(&mut self, key: ProcKey, at: BootNs, before: &Args) {
        let Some(process) = self.processes.get_mut(key) else { return };
        if process.stop.is_none() {
            return;
        }
        let (program, is_same) = (process.identity(), is_same_program(&process.args, before));
        if let Some(stop) = &mut process.rare().stop {
            stop.executed.get_or_insert_with(|| Executed { program, at, before: before.clone(), is_same });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::args;

    #[test]
    fn a_program_that_executes_itself_anew_is_the_same() {
        for (before, after, want) in [
            ("uwsgi --ini app.ini", "/usr/bin/uwsgi --ini app.ini", true),
            ("server -p 80", "server -p 80 --restarted", true),
            ("server -p 80 --first", "server -p 80", true),
            ("sh", "sh -c server", false),
            ("python3 entry.py", "python3 server.py", false),
            ("sh entry.sh", "server", false),
            ("", "server", false),
        ] {
            assert_eq!(is_same_program(&args(before), &args(after)), want, "{before}, {after}");
        }
    }
}
