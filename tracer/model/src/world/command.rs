//! The command that a recording is about, and its scope: its descendants, and the processes of pid namespaces that were
//! created while it ran.

use rustc_hash::FxHashSet;

use crate::{
    change::Change,
    event::{CommandParts, EventKind, ExitStatus, Fork},
    ident::{Args, Identity, PidNs, ProcKey},
    scope::Scope,
    time::{BootNs, Seq},
    world::{Process, World, descent::Descent, turn::Turn},
};

/// A command that was started for the recording.
#[derive(Debug)]
pub struct Command {
    /// Its process, with its last known name.
    pub identity: Identity,
    /// What was started.
    pub args: Args,
    /// Set when it has ended.
    pub end: Option<CommandEnd>,
    descent: Descent,
    /// Pid namespaces that were created while it ran. A container is no descendant of the client that asked for it, so
    /// only the time connects it to the command.
    namespaces: FxHashSet<PidNs>,
    /// When a descendant last died.
    last_death: BootNs,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandEnd {
    /// When that was known.
    pub at: BootNs,
    /// Its wait status.
    pub status: ExitStatus,
    /// Number of the event.
    pub seq: Seq,
}

impl Command {
    /// Whether a process belongs to it.
    pub fn has(&self, process: &Identity) -> bool {
        self.descent.has(process.key) || self.namespaces.contains(&process.pid_ns)
    }

    /// Whether a process is the command itself.
    pub fn is(&self, key: ProcKey) -> bool {
        self.identity.key == key
    }

    /// Whether a process is it or was seen below it, even if it is gone by now.
    pub fn has_descendant(&self, key: ProcKey) -> bool {
        self.descent.has(key)
    }

    /// Whether a host pid is or was one of its descendants, as far as is remembered.
    pub fn had_pid(&self, pid: u32) -> bool {
        self.descent.keys().any(|key| key.tgid == pid)
    }

    /// Its descendants that have not been released, oldest first, without itself.
    pub fn left<'a>(&self, world: &'a World) -> Vec<&'a Process> {
        let of_others = self.descent.keys().filter(|&key| key != self.identity.key);
        let mut left: Vec<_> = of_others
            .filter_map(|key| world.get(key))
            // Nobody must wait for it: it goes by itself.
            .filter(|process| process.death().is_none_or(|death| !death.autoreap))
            .collect();
        left.sort_unstable_by_key(|process| process.key);
        left
    }

    /// When a descendant last died; 0 for never.
    pub fn last_death(&self) -> BootNs {
        self.last_death
    }

    /// What an image of the world must say of it.
    pub(super) fn image(&self, world: &World) -> Vec<EventKind> {
        let key = self.identity.key;
        let mut processes: Vec<_> = self.descent.keys().filter(|&key| world.get(key).is_some()).collect();
        let mut namespaces: Vec<_> = self.namespaces.iter().copied().collect();
        processes.sort_unstable();
        namespaces.sort_unstable();
        let mut image = vec![
            EventKind::CommandStarted(key, self.args.clone()),
            EventKind::CommandScope(Box::new(CommandParts { processes, namespaces })),
        ];
        image.extend(self.end.map(|end| EventKind::CommandEnded(key, end.status)));
        image
    }

    fn follow(&mut self, world: &World, change: &Change) {
        self.descent.follow(world, change);
        match *change {
            Change::Born(key) => {
                let Some(process) = world.get(key).filter(|process| process.is_init_of_namespace()) else {
                    return;
                };
                let outer = world.namespace(process.pid_ns).and_then(|ns| ns.parent);
                if self.end.is_none() || outer.is_some_and(|outer| self.namespaces.contains(&outer)) {
                    self.namespaces.insert(process.pid_ns);
                } else {
                    // Inode numbers are reused: this namespace is a later one with the same number.
                    self.namespaces.remove(&process.pid_ns);
                }
            }
            Change::Died { key, .. } if self.descent.has(key) => self.last_death = world.now(),
            Change::Reaped { identity, .. } if identity.key == self.identity.key => self.identity = identity,
            _ => {}
        }
    }
}

impl World {
    /// The command that the stream is about, once it has been started.
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// Whether a process belongs to that scope of the command; any does if there is no command.
    pub fn is_in_scope(&self, process: &Identity, part: Scope) -> bool {
        match (&self.command, part) {
            (_, Scope::Host) => true,
            (Some(command), Scope::Command) => command.has(process),
            (Some(command), Scope::Tree) => command.has_descendant(process.key),
            (None, _) => !self.stream.has_command,
        }
    }

    pub(super) fn command_started(&mut self, key: ProcKey, args: &Args, turn: &mut Turn) {
        // An image after a loss repeats it.
        if self.command.as_ref().is_some_and(|command| command.identity.key == key) {
            return;
        }
        let mut descent = Descent::default();
        descent.add(self, key);
        self.command = Some(Command {
            identity: self.identity(key),
            args: args.clone(),
            end: None,
            descent,
            namespaces: FxHashSet::default(),
            last_death: BootNs::ZERO,
        });
        turn.changes.push(Change::CommandStarted(key));
    }

    pub(super) fn command_ended(&mut self, status: ExitStatus, turn: &mut Turn) {
        let Turn { at, seq, .. } = *turn;
        let Some(mut command) = self.command.take() else { return };
        if command.end.is_none() {
            command.end = Some(CommandEnd { at, status, seq });
            turn.changes.push(Change::CommandEnded(command.identity.key));
        }
        if let Some(process) = self.get(command.identity.key) {
            command.identity = process.identity();
        }
        self.command = Some(command);
    }

    pub(super) fn command_scope(&mut self, scope: &CommandParts) {
        let Some(mut command) = self.command.take() else { return };
        for &key in &scope.processes {
            command.descent.add(self, key);
        }
        command.namespaces.extend(&scope.namespaces);
        self.command = Some(command);
    }

    /// Updates the command with the changes of an event.
    pub(super) fn follow_command(&mut self, event: &EventKind, changes: &[Change]) {
        let Some(mut command) = self.command.take() else { return };
        // CLONE_PARENT makes it another's child; it still descends from its creator.
        if let EventKind::Fork(fork) = event
            && let Fork { task, creator: Some(creator) } = &**fork
            && command.descent.has(creator.key)
        {
            command.descent.add(self, task.key);
        }
        for change in changes {
            command.follow(self, change);
        }
        self.command = Some(command);
    }
}
