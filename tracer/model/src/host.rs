//! Facts about the machine and the run, read once and carried by the first event.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    ident::{ProcKey, quote},
    kind::Kind,
    signal::Signal,
    thresholds::Thresholds,
};

/// A container, as far as its engine describes it; or a systemd unit, whose id is its name. All but the id was chosen
/// by whoever started it.
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
    /// The image, as requested.
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
    /// Whose pid namespace it uses: `host`, or `container:` and an id; `None` if it has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// The ordinary user whose engine runs it, by their id on the host; `None` for one of root's, or if that was not
    /// recorded. All that is known about such a container is that user's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Whether its first process is a program made to be pid 1 (tini, `docker run --init`), which reaps and passes
    /// signals on; `None` if that is not known, or if it is not pid 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// How many characters of an id tell containers apart for a person, as engines print them.
const SHORT_ID: usize = 12;
/// An image without a name begins like this.
const DIGEST: &str = "sha256:";

impl Container {
    /// Its name, else the beginning of its id. Not escaped. A user's container carries its user, because a user can
    /// choose a name that another container has.
    pub fn label(&self) -> Cow<'_, str> {
        let label = self.name.as_deref().unwrap_or_else(|| self.short_id());
        match self.uid {
            Some(uid) => format!("{label} (uid {uid})").into(),
            None => label.into(),
        }
    }

    /// Its name in a sentence: [quoted](quote).
    pub fn shown(&self) -> String {
        quote(self.label().as_bytes())
    }

    /// What it is, and what to call it: `container web`. Quoted.
    pub fn place(&self) -> String {
        format!("{} {}", self.engine.noun(), self.shown())
    }

    /// The same with what else is known of it: `web (nginx:1.25, docker 0123456789ab)`. Quoted.
    pub fn described(&self) -> String {
        let Self { engine, image, pod, pod_namespace, .. } = self;
        let mut more = Vec::new();
        if let Some(pod) = pod {
            let namespace = pod_namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
            more.push(format!("pod {}", quote(format!("{namespace}{pod}"))));
        }
        more.extend(image.as_ref().map(|image| quote(short_image(image))));
        more.push(match engine {
            _ if engine.has_names_only() => engine.id().to_owned(),
            _ => format!("{} {}", engine.id(), quote(self.short_id())),
        });
        format!("{} ({})", self.shown(), more.join(", "))
    }

    /// The beginning of its id; all of it, if that is its name. Not escaped.
    pub fn short_id(&self) -> &str {
        if self.engine.has_names_only() {
            return &self.id;
        }
        self.id.get(..SHORT_ID).unwrap_or(&self.id)
    }

    /// The signal that it was given to be stopped with, if that is one.
    pub fn own_stop_signal(&self) -> Option<Signal> {
        self.stop_signal.as_ref()?.parse().ok()
    }

    /// Whether `name` can mean it: its name, its id or the beginning of its id.
    pub fn is_called(&self, name: &str) -> bool {
        let is_id = if self.engine == Engine::Lxc { self.id == name } else { self.id.starts_with(name) };
        self.name.as_deref() == Some(name) || (!name.is_empty() && is_id)
    }
}

/// The image as people say it: one that has no name is called by the beginning of its digest.
fn short_image(image: &str) -> &str {
    match image.strip_prefix(DIGEST) {
        Some(digest) if digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            image.get(..DIGEST.len() + SHORT_ID).unwrap_or(image)
        }
        _ => image,
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
    /// An OCI runtime, for an unknown engine.
    #[default]
    Oci,
    /// systemd, which runs services and scopes.
    Systemd,
    /// LXC, whose containers have names only.
    Lxc,
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
            Self::Lxc => "lxc",
        }
    }

    /// The id is the name that a person has chosen.
    fn has_names_only(self) -> bool {
        matches!(self, Self::Systemd | Self::Lxc)
    }

    /// What it calls the things that it runs.
    pub fn noun(self) -> &'static str {
        if self == Self::Systemd { "unit" } else { "container" }
    }
}

/// Who was out of memory when the kernel killed a process for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The machine, or the part of it that the process may use (`CONSTRAINT_CPUSET`,
    /// `CONSTRAINT_MEMORY_POLICY`).
    Machine,
    /// A control group at its limit, by its path, if the kernel said which. Not escaped.
    Group(Option<String>),
}

/// How many of how many are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// In use.
    pub used: u64,
    /// The limit.
    pub most: u64,
}

impl Room {
    /// Whether that percentage is in use. A limit of 0 is never short: nobody expects to get one.
    pub fn is_short(self, percent: u64) -> bool {
        self.most > 0 && self.used.saturating_mul(100) >= self.most.saturating_mul(percent)
    }

    /// Whether so much less is in use than [`Room::is_short`] asks for that it will not be short again at once.
    pub fn is_relieved(self, percent: u64) -> bool {
        !self.is_short(percent.saturating_sub(percent / 8))
    }

    /// What is left.
    pub fn free(self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// Pseudo-terminals of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ptys {
    /// `kernel.pty.nr` of `kernel.pty.max`, wherever devpts is mounted.
    pub room: Room,
    /// `kernel.pty.reserve`: so many of them are only for the first mount namespace.
    pub reserve: u64,
}

impl Ptys {
    /// Those available in other mount namespaces, such as containers (`devpts_new_index()`). What the host uses of its
    /// reserve is not counted.
    pub fn of_containers(self) -> Room {
        let most = self.room.most.saturating_sub(self.reserve);
        Room { used: self.room.used.min(most), most }
    }
}

/// Limited resources, and how much is left of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rooms {
    /// Pseudo-terminals of the machine (`kernel.pty.nr` of `kernel.pty.max`, in old traces less
    /// `kernel.pty.reserve`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptys: Option<Room>,
    /// How many of them are reserved for the first mount namespace; set together with `ptys`.
    #[serde(skip_serializing_if = "is_none")]
    pub pty_reserve: u64,
    /// The largest holders of them; only when few are left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pty_holders: Vec<Holder>,
    /// Pids of the machine, where each thread and each zombie takes one: the smaller of `kernel.pid_max` and
    /// `kernel.threads-max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Room>,
    /// Pids of control groups that have a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRoom>,
    /// Groups that have no processes any more, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups_gone: Vec<u64>,
    /// At least this many control groups were not looked at, because there are too many or they are too deep; 0: from
    /// now on all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups_left_out: Option<u64>,
    /// How many pids a process can still have, in the group around it with the least room: for the process that was
    /// asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<(ProcKey, Room)>,
}

/// A process that holds pseudo-terminals, on the master side (`/dev/ptmx`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which.
    pub process: ProcKey,
    /// How many.
    pub held: u64,
}

/// Pids of a control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupRoom {
    /// Its oldest process, including groups inside it; for a container, the init.
    pub process: ProcKey,
    /// Pids, where each thread and each zombie takes one, and `pids.max`.
    pub room: Room,
    /// How often a process or thread could not be started since tracing began because no pid was free; in old traces
    /// since the group was created, for whichever limit (`pids.events`).
    pub failed: u64,
    /// How many of these came since the last look; `None` in old traces, and in an image of the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_now: Option<u64>,
    /// It lies in another limited group, and the kernel does not say which limit was reached (`pids.events` of the old
    /// hierarchy, and before 6.11).
    #[serde(skip_serializing_if = "is_false")]
    pub failed_is_inferred: bool,
    /// The processes in it, without zombies; only when few pids are left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ProcKey>,
    /// Its number, which is never reused (the inode of its directory); 0 in old traces.
    #[serde(skip_serializing_if = "is_none")]
    pub id: u64,
    /// Its path below the root of the hierarchy, cut if too long; empty in old traces. Others chose it: not escaped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

impl GroupRoom {
    /// Which group it is.
    pub fn key(&self) -> GroupKey {
        if self.id == 0 { GroupKey::Of(self.process) } else { GroupKey::Id(self.id) }
    }
}

/// Which control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// By its number.
    Id(u64),
    /// By its oldest process: all that old traces have.
    Of(ProcKey),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The contents of the first event of a stream.
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
    /// What is not possible on this kernel, one sentence each.
    pub degraded: Vec<String>,
    /// Bytes of the ring buffer.
    pub ring_size: u32,
    /// Every signal is in the stream, not only those that findings depend on.
    pub all_signals: bool,
    /// Every signal that could end a process is in the stream, whoever it is for.
    #[serde(default)]
    pub fatal_signals: bool,
    /// Every signal that the init of a pid namespace sends is in the stream, and every SIGCHLD that merges and has a
    /// handler.
    #[serde(default)]
    pub forwarded_signals: bool,
    /// Every delivery of a signal is in the stream, not only those that the kernel dropped.
    pub all_deliveries: bool,
    /// The arguments that the tool was started with: its configuration and filters.
    pub arguments: Vec<String>,
    /// The stream is about a command, which was started after this.
    #[serde(default)]
    pub has_command: bool,
    /// The thresholds of findings.
    pub thresholds: Thresholds,
}

impl StartInfo {
    /// Whether some events of these kinds are not in the stream.
    pub fn lacks(&self, kinds: &[Kind]) -> bool {
        let Self { all_signals, all_deliveries, .. } = *self;
        (!all_signals && kinds.contains(&Kind::Signal)) || (!all_deliveries && kinds.contains(&Kind::Deliver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_name_is_called_by_the_beginning_of_its_digest() {
        let digest = format!("sha256:0123456789ab{}", "c".repeat(52));
        for (image, shown) in [
            (&*digest, "sha256:0123456789ab"),
            ("nginx:1.25", "nginx:1.25"),
            ("sha256:x\u{2066}y", "\"sha256:x\\u{2066}y\""),
        ] {
            let container = Container {
                id: "9".repeat(64),
                image: Some(image.to_owned()),
                engine: Engine::Docker,
                ..Default::default()
            };
            assert_eq!(container.described(), format!("999999999999 ({shown}, docker 999999999999)"));
        }
    }
}
