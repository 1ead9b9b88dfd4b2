//! Identities of processes, threads, containers and namespaces, and the untrusted strings that processes choose.

use std::{cmp::Ordering, fmt, num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};
use tracer_common::record::trust;

use crate::time::BootNs;

mod escape;
#[cfg(any(test, feature = "testing"))]
pub mod lies;

pub use escape::{commands, escape, file_name, is_visible, quote, read_back, tame};

/// A process, for all time: start time and tgid, never a bare pid. Survives exec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcKey {
    /// When it was created.
    pub start: BootNs,
    /// Its pid on the host.
    pub tgid: u32,
}

impl ProcKey {
    /// After all others, in their order.
    pub const LAST: Self = Self { start: BootNs::MAX, tgid: u32::MAX };
}

/// A thread of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskRef {
    /// The process.
    pub key: ProcKey,
    /// The thread's id on the host.
    pub tid: u32,
}

/// A container, by a number that is unique in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerNo(pub(crate) NonZeroU32);

/// A pid namespace, by its inode number (as in `/proc/PID/ns/pid`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PidNs(pub u32);

impl fmt::Display for PidNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a program as the kernel keeps it: up to 15 bytes, any value but zero.
///
/// `Display` is for sentences and columns: [quoted](quote), and `?` if it is not known. [`Comm::escaped`] is for a
/// place of its own, such as a table cell.
#[derive(Clone, Copy, Default)]
pub struct Comm(pub [u8; 16]);

// What is left of an older name behind the first zero is no part of it.
impl PartialEq for Comm {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Comm {}

impl PartialOrd for Comm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Comm {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Comm {
    /// The bytes up to the first zero.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Itself, [escaped](escape).
    pub fn escaped(&self) -> String {
        escape(self.bytes())
    }
}

impl Comm {
    /// Keeps the first 15 bytes, as `prctl(PR_SET_NAME)` does.
    pub fn cut(name: &[u8]) -> Self {
        let mut comm = [0; 16];
        for (to, &from) in comm.iter_mut().take(15).zip(name) {
            *to = from;
        }
        Self(comm)
    }
}

impl From<&str> for Comm {
    fn from(name: &str) -> Self {
        Self::cut(name.as_bytes())
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes().is_empty() { f.write_str("?") } else { f.write_str(&quote(self.bytes())) }
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A command line: arguments, each ended by a zero byte, cut at
/// [`ARGS_MAX`](tracer_common::record::ARGS_MAX) bytes.
///
/// `Display` escapes, and quotes arguments that are empty or contain blanks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// As in `/proc/PID/cmdline`.
    pub bytes: Arc<[u8]>,
    /// It was cut.
    pub cut: bool,
    /// How far it can be believed.
    pub trust: Trust,
}

/// How far a command line can be believed: any process can be given any words, so what counts is what the kernel knows
/// about who started it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Not recorded (older traces): it is believed.
    #[default]
    Unknown,
    /// Not at all: the user is root of a user namespace, or in another mount namespace than the host's, or not the one
    /// who started the program (a set-user-ID program).
    Nobody,
    /// Completely: root of the initial user namespace, in the host's mount namespace; or a user whom an engine obeys
    /// like root.
    Root,
    /// About what belongs to that user, by their id on the host.
    User(u32),
}

impl Trust {
    /// From its number in a record ([`tracer_common::record::trust`]).
    pub fn from_number(number: u32) -> Self {
        match number {
            trust::UNKNOWN => Self::Unknown,
            trust::NOBODY => Self::Nobody,
            trust::USER => Self::Root,
            other => Self::User(other - trust::USER),
        }
    }

    /// Its number in a record.
    pub fn number(self) -> u32 {
        match self {
            Self::Unknown => trust::UNKNOWN,
            Self::Nobody => trust::NOBODY,
            Self::Root => trust::USER,
            // The last ids are no user's (`INVALID_UID`).
            Self::User(uid) => uid.checked_add(trust::USER).unwrap_or(trust::NOBODY),
        }
    }

    /// Whether it counts for what belongs to that user; `None` stands for root.
    pub fn is_believed_of(self, uid: Option<u32>) -> bool {
        match self {
            Self::Unknown | Self::Root => true,
            Self::Nobody => false,
            Self::User(user) => uid == Some(user),
        }
    }

    /// The ordinary user who started it, if it was one.
    pub fn uid(self) -> Option<u32> {
        match self {
            Self::User(uid) => Some(uid),
            Self::Unknown | Self::Nobody | Self::Root => None,
        }
    }
}

impl Args {
    /// These, whole.
    pub fn of(arguments: &[String]) -> Self {
        Self {
            bytes: arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect(),
            ..Self::default()
        }
    }

    /// Each argument.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.bytes.strip_suffix(&[0]).unwrap_or(&self.bytes);
        body.split(|&b| b == 0).filter(move |_| !body.is_empty())
    }

    /// Whether it is not known, or there is none (a kernel thread).
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Characters that a shell treats specially, and those of our own marks beside a command line.
const SPECIAL: [char; 16] = [' ', '\'', '"', '`', ';', '|', '&', '$', '*', '<', '>', '(', ')', '[', ']', '…'];

impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            let text = escape(arg);
            if text.is_empty() || text.contains(SPECIAL) {
                write!(f, "{space}'{}'", text.replace('\'', "'\\''"))?;
            } else {
                write!(f, "{space}{text}")?;
            }
        }
        if self.cut { f.write_str(" …") } else { Ok(()) }
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A process as outputs name it: enough to recognize it after it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process.
    pub key: ProcKey,
    /// Its name when it was last seen; empty if it was never seen.
    pub comm: Comm,
    /// Its pid namespace.
    pub pid_ns: PidNs,
    /// Its pid inside that namespace.
    pub ns_pid: u32,
    /// Depth of that namespace, 0 for the initial one.
    pub ns_level: u32,
    /// Its container; see [`World::container_of`](crate::world::World::container_of).
    pub container: Option<ContainerNo>,
}

impl Identity {
    /// Pid 1 of a pid namespace other than the host's.
    pub fn is_init_of_namespace(&self) -> bool {
        self.ns_level > 0 && self.ns_pid == 1
    }
}

impl fmt::Display for Identity {
    /// `sleep (pid 4242, pid 1 in namespace 4026532841)`; just `sleep (pid 4242)` on the host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, comm, pid_ns, ns_pid, ns_level, container: _ } = self;
        write!(f, "{comm} (pid {}", key.tgid)?;
        if *ns_level > 0 {
            write!(f, ", pid {ns_pid} in namespace {pid_ns}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_its_first_zero_whatever_stands_behind() {
        let (clean, left) = (Comm::from("chromium"), Comm(*b"chromium\0Pool1\0\0"));
        assert_eq!(clean, left);
        assert_eq!(clean.cmp(&left), Ordering::Equal);
        assert_ne!(clean, Comm::from("chrome"));
    }

    #[test]
    fn a_command_line_reads_as_in_a_shell() {
        let args = Args { bytes: b"sh\0-c\0app; true\0\0it's\0"[..].into(), ..Args::default() };
        assert_eq!(args.to_string(), "sh -c 'app; true' '' 'it'\\''s'");
        assert_eq!(Args::default().iter().count(), 0);
    }

    #[test]
    fn an_identity_names_both_pids_where_they_differ() {
        let identity = Identity {
            key: ProcKey { start: BootNs(1), tgid: 42 },
            comm: Comm::from("sleep"),
            pid_ns: PidNs(7),
            ns_pid: 1,
            ns_level: 1,
            container: None,
        };
        assert_eq!(identity.to_string(), "sleep (pid 42, pid 1 in namespace 7)");
        assert_eq!(Identity { ns_level: 0, ..identity }.to_string(), "sleep (pid 42)");
    }
}
