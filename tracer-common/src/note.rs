//! What user space itself adds to the stream: records that no probe writes, so that a stream of
//! records is whole without anything beside it.
//!
//! The same rules as in [`crate::record`], and the same [`Header`] first. Some are followed by a
//! part of varying length, which ends where [`Header::len`] says.

use crate::{record::Header, task::TaskId};

/// Values of [`Header::kind`], above all those of [`crate::record::kind`].
pub mod kind {
    /// Tracing began. The header is followed by a JSON object.
    pub const START: u8 = 64;
    /// The rows of a snapshot follow. Only a header.
    pub const SNAPSHOT_BEGIN: u8 = 65;
    /// They are through. Only a header.
    pub const SNAPSHOT_END: u8 = 66;
    /// A command line.
    pub const COMMAND_LINE: u8 = 67;
    /// A closer look at one process.
    pub const LOOK: u8 = 68;
    /// All that a survey found.
    pub const SURVEYED: u8 = 69;
    /// Records are missing here.
    pub const LOST: u8 = 70;
    /// Nothing but time has passed. Only a header.
    pub const TICK: u8 = 71;
    /// Tracing ended.
    pub const END: u8 = 72;
    /// The command that the recording is about was started.
    pub const COMMAND_STARTED: u8 = 73;
    /// It ended.
    pub const COMMAND_ENDED: u8 = 74;
    /// Who belongs to it; only in an image of the world.
    pub const COMMAND_SCOPE: u8 = 75;
    /// What is known of a container. The header is followed by a JSON object.
    pub const CONTAINER: u8 = 76;
    /// A process belongs to a container.
    pub const CONTAINED: u8 = 77;
    /// How much is left of what runs out. The header is followed by a JSON object.
    pub const ROOMS: u8 = 78;
    /// Which signals wait for a thread, and which it blocks.
    pub const MASKS: u8 = 79;
    /// Why the out-of-memory killer chose a process.
    pub const OUT_OF_MEMORY: u8 = 80;
}

/// A command line, read from `/proc/PID/cmdline`. The arguments follow, each ended by a zero byte.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandLineRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// 1: there was more.
    pub cut: u32,
    /// One of [`crate::record::trust`]: how far it can be believed.
    pub trust: u32,
}

/// A closer look at one process, read from `/proc/PID/stat`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookRecord {
    /// See [`Header`].
    pub header: Header,
    /// Who was looked for.
    pub id: TaskId,
    /// The parent's host pid.
    pub ppid: u32,
    /// The state letter of proc(5), 0 if the process is no longer there.
    pub state: u8,
    /// Always 0.
    pub reserved: u8,
    /// The number of the pseudo-terminal that controls it, and 1; 0 if none does.
    pub pts: u16,
}

/// What no tracepoint tells, for all processes at once. A `SurveyRecord` follows for each process
/// that is traced or a subreaper.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SurveyedRecord {
    /// See [`Header`]; its time is the survey's end.
    pub header: Header,
    /// When the survey began, in nanoseconds of the boot-time clock.
    pub began: u64,
}

/// Records that are missing. The counts of those that found no room in the ring buffer follow, a
/// `u64` for each kind, from 0.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostRecord {
    /// See [`Header`].
    pub header: Header,
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Events at which the kernel skipped a program that was already running on that processor.
    pub missed: u64,
    /// Records of a trace that could not be read back.
    pub unreadable: u64,
}

/// Tracing ended as it should.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndRecord {
    /// See [`Header`].
    pub header: Header,
    /// When tracing began, in nanoseconds of the boot-time clock.
    pub began: u64,
    /// Processor time that the tool used meanwhile, in nanoseconds.
    pub cpu_ns: u64,
    /// Signals that the kernel generated meanwhile, those included that never entered the stream.
    pub signals: u64,
    /// How often a bounded loop over threads or ancestors ended too early.
    pub walks_cut: u64,
}

/// The command that the recording is about was started; right after the birth of its process. Its
/// arguments follow, each ended by a zero byte.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandStartedRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// 1: there were more arguments.
    pub cut: u32,
    /// Always 0.
    pub reserved: u32,
}

/// The command that the recording is about ended.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandEndedRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// Its wait status.
    pub status: i32,
    /// Always 0.
    pub reserved: u32,
}

/// Who belongs to the command, in an image of the world: whom it was born below is not in the image
/// itself. A [`TaskId`] follows for each process, then the inode number of each pid namespace, a
/// `u32`.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandScopeRecord {
    /// See [`Header`].
    pub header: Header,
    /// How many processes.
    pub processes: u32,
    /// How many pid namespaces.
    pub namespaces: u32,
}

/// A process belongs to a container, and with it whoever descends from it; with the init of a pid
/// namespace, whoever lives in that. The container's id follows.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainedRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
}

/// Why the out-of-memory killer chose a process. The path of the control group follows, where it is known.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutOfMemoryRecord {
    /// See [`Header`].
    pub header: Header,
    /// The process.
    pub id: TaskId,
    /// 1: a control group was out of memory. 0: the machine was.
    pub of_group: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Which signals wait for a thread and its process, and which it blocks.
#[repr(C)]
#[cfg_attr(
    feature = "user",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MasksRecord {
    /// See [`Header`].
    pub header: Header,
    /// The thread.
    pub id: TaskId,
    /// Signals that wait for the thread, a bit each from signal 1; all 0 if it is gone.
    pub pending: u64,
    /// Signals that wait for the process.
    pub shared_pending: u64,
    /// Signals that the thread blocks.
    pub blocked: u64,
}

const _: () = {
    assert!(size_of::<MasksRecord>() == 16 + 16 + 3 * 8);
    assert!(size_of::<CommandLineRecord>() == 16 + 16 + 8);
    assert!(size_of::<LookRecord>() == 16 + 16 + 8);
    assert!(size_of::<SurveyedRecord>() == 16 + 8);
    assert!(size_of::<LostRecord>() == 16 + 3 * 8);
    assert!(size_of::<EndRecord>() == 16 + 4 * 8);
    assert!(size_of::<CommandStartedRecord>() == 16 + 16 + 8);
    assert!(size_of::<CommandEndedRecord>() == 16 + 16 + 8);
    assert!(size_of::<CommandScopeRecord>() == 16 + 8);
    assert!(size_of::<ContainedRecord>() == 16 + 16);
    assert!(size_of::<OutOfMemoryRecord>() == 16 + 16 + 8);
};
