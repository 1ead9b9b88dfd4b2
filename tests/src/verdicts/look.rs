//! What the kernel itself says of a thread's signals: `/proc/PID/task/TID/status`.

use std::fs;

use serde::{Deserialize, Serialize};

/// A look at one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The letter of its state.
    pub state: char,
    /// Threads of its process, itself included.
    pub threads: u32,
    /// `SigPnd`: pending for the thread.
    pub own_pending: u64,
    /// `ShdPnd`: pending for the process.
    pub shared_pending: u64,
    /// `SigBlk`.
    pub blocked: u64,
    /// `SigIgn`.
    pub ignored: u64,
    /// `SigCgt`.
    pub caught: u64,
}

impl Look {
    /// Looks; `None` if there is no such thread.
    pub fn at(pid: i32, tid: i32) -> Option<Self> {
        let status = fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?;
        let mut look = Self::default();
        for line in String::from_utf8_lossy(&status).lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let set = || u64::from_str_radix(value, 16).ok();
            match name {
                "State" => look.state = value.chars().next()?,
                "Threads" => look.threads = value.parse().ok()?,
                "SigPnd" => look.own_pending = set()?,
                "ShdPnd" => look.shared_pending = set()?,
                "SigBlk" => look.blocked = set()?,
                "SigIgn" => look.ignored = set()?,
                "SigCgt" => look.caught = set()?,
                _ => {}
            }
        }
        Some(look)
    }

    /// The signals that are pending for the thread alone, or for its process.
    pub fn pending(&self, is_for_thread: bool) -> u64 {
        if is_for_thread { self.own_pending } else { self.shared_pending }
    }
}

/// The id of a thread at that depth of namespaces; 0 where it has none.
pub fn id_at_level(pid: i32, tid: i32, level: usize) -> i32 {
    let status = fs::read(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(level)?.parse().ok()).unwrap_or(0)
}

/// A thread of a process that is not its main thread.
pub fn other_thread(pid: i32) -> Option<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).find(|&tid| tid != pid)
}
