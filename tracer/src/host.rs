//! Facts about the machine and the run, read once at the edge and carried by the first event.

use serde::{Deserialize, Serialize};

use crate::{occurrence::Kind, rules::Thresholds};

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
