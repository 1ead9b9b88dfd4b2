//! Facts about the machine and the run, read once at the edge and carried by the first event.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    ident::{ProcKey, escape},
    occurrence::Kind,
    rules::Thresholds,
    signal::Signal,
};

/// A container, as far as its engine tells; or a unit of systemd, whose id is its name. Everything but
/// the id was chosen by whoever started it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The engine's id, whole.
    pub id: String,
    /// Who runs it.
    pub engine: Engine,
    /// The name that its user knows; an engine without names uses the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image, as it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_namespace: Option<String>,
    /// The signal that asks it to stop, if it is not SIGTERM: a name or a number, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Whose pid namespace it uses: `host`, or `container:` and an id; none if it has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// The ordinary user whose engine runs it, by their id on the host; none for one of root's, or if that was
    /// not recorded. All that is known of it is that user's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Whether its first process is a program made to be pid 1 (tini, `docker run --init`), which reaps and
    /// passes signals on; none if that is not known, or if it is no pid 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// Characters of an id that tell containers apart for a person, as engines print them.
const SHORT_ID: usize = 12;

impl Container {
    /// What to call it: its name, else the beginning of its id. Not escaped. A user can call theirs as another
    /// one is called, so it is told whose it is.
    pub fn label(&self) -> Cow<'_, str> {
        let label = self.name.as_deref().unwrap_or_else(|| self.short_id());
        match self.uid {
            Some(uid) => format!("{label} (uid {uid})").into(),
            None => label.into(),
        }
    }

    /// What to call it, escaped.
    pub fn shown(&self) -> String {
        escape(self.label().as_bytes())
    }

    /// What it is, and what to call it: `container web`. Escaped.
    pub fn place(&self) -> String {
        format!("{} {}", self.engine.noun(), self.shown())
    }

    /// The beginning of its id; of a unit, all of it. Not escaped.
    pub fn short_id(&self) -> &str {
        if self.engine == Engine::Systemd {
            return &self.id;
        }
        self.id.get(..SHORT_ID).unwrap_or(&self.id)
    }

    /// The signal that it was given to be stopped with, if that is one.
    pub fn own_stop_signal(&self) -> Option<Signal> {
        self.stop_signal.as_ref()?.parse().ok()
    }

    /// Those that somebody means who says `name`: whoever has just that name or id, else each of which it
    /// is a beginning of the id.
    pub fn called<'a>(all: impl Iterator<Item = &'a Self> + Clone, name: &str) -> Vec<&'a Self> {
        let exactly: Vec<_> = all.clone().filter(|one| one.is_exactly(name)).collect();
        if exactly.is_empty() { all.filter(|one| one.is_called(name)).collect() } else { exactly }
    }

    /// Whether that is its name, or its whole id.
    pub fn is_exactly(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.id == name
    }

    /// Whether somebody who says `name` means it: its name, its id or a beginning of that.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || (!name.is_empty() && self.id.starts_with(name))
    }
}

/// What runs containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// dockerd.
    Docker,
    /// Podman.
    Podman,
    /// containerd by itself, or for Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// An OCI runtime, nobody knows for whom.
    #[default]
    Oci,
    /// systemd, which runs services and scopes.
    Systemd,
}

impl Engine {
    /// Its word, in JSON and text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Oci => "oci",
            Self::Systemd => "systemd",
        }
    }

    /// What it runs.
    pub fn noun(self) -> &'static str {
        if self == Self::Systemd { "unit" } else { "container" }
    }
}

/// Who was out of memory when the kernel killed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The machine, or the part of it that the process may use (`CONSTRAINT_CPUSET`,
    /// `CONSTRAINT_MEMORY_POLICY`).
    Machine,
    /// A control group at its limit, by its path, if the kernel said which. Not escaped.
    Group(Option<String>),
}

/// So many of so many are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// In use now.
    pub used: u64,
    /// The most that there can be.
    pub most: u64,
}

impl Room {
    /// So much is in use, of a hundred. Where there can be none at all, nobody expects one.
    pub fn is_short(self, percent: u64) -> bool {
        self.most > 0 && self.used.saturating_mul(100) >= self.most.saturating_mul(percent)
    }

    /// What is left.
    pub fn free(self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// What runs out, and how much of it is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rooms {
    /// Pseudo-terminals of the machine that containers can have (`kernel.pty.nr` of `kernel.pty.max` less
    /// `kernel.pty.reserve`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptys: Option<Room>,
    /// Who holds most of them, the first ones; only where few are left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pty_holders: Vec<Holder>,
    /// Pids of the machine, of which each thread and each zombie takes one: the least of
    /// `kernel.pid_max` and `kernel.threads-max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Room>,
    /// Pids of control groups that have a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRoom>,
    /// Pids that a process can still have, in whichever group around it has the least: of one that was
    /// asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<(ProcKey, Room)>,
}

/// A process that holds pseudo-terminals, at the side of the master (`/dev/ptmx`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which.
    pub process: ProcKey,
    /// How many.
    pub held: u64,
}

/// Pids of a control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRoom {
    /// Who stands for the group: its oldest process, which is the init of a container.
    pub process: ProcKey,
    /// Pids, of which each thread and each zombie takes one, and `pids.max`.
    pub room: Room,
    /// How often a process or thread could not be started for want of one (`pids.events`).
    pub failed: u64,
    /// The processes in it, zombies not among them; only where few pids are left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ProcKey>,
}

/// What the first event of a stream says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartInfo {
    /// Version of the tool.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`: boot times of two streams compare only if it is equal.
    pub boot_id: String,
    /// The machine's name.
    pub host: String,
    /// Nanoseconds to add to a boot time to get the time since 1970.
    pub wall_offset_ns: i64,
    /// Names of the programs that are attached.
    pub hooks: Vec<String>,
    /// What this kernel cannot give, a sentence each.
    pub degraded: Vec<String>,
    /// Bytes of the ring buffer.
    pub ring_size: u32,
    /// Every signal is in the stream, not only those that findings rest on.
    pub all_signals: bool,
    /// Every signal that could end a process is in the stream, whoever it is for.
    #[serde(default)]
    pub fatal_signals: bool,
    /// Every signal that the init of a pid namespace sends is in the stream, and every SIGCHLD that merges
    /// with one for which there is a handler.
    #[serde(default)]
    pub forwarded_signals: bool,
    /// Every delivery of a signal is in the stream, not only those that the kernel dropped.
    pub all_deliveries: bool,
    /// The arguments that the tool was started with: its configuration and filters.
    pub arguments: Vec<String>,
    /// The stream is about a command, which was started after this.
    #[serde(default)]
    pub has_command: bool,
    /// From when on something is a finding.
    pub thresholds: Thresholds,
}

impl StartInfo {
    /// Whether some events of these kinds are not in the stream.
    pub fn lacks(&self, kinds: &[Kind]) -> bool {
        let Self { all_signals, all_deliveries, .. } = *self;
        (!all_signals && kinds.contains(&Kind::Signal)) || (!all_deliveries && kinds.contains(&Kind::Deliver))
    }
}
