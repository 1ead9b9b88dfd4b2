//! What the kernel's log alone tells: whose memory had run out when the out-of-memory killer chose a process.
//!
//! It is read (`/dev/kmsg`) when such a process has exited, never otherwise.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use crate::{
    event::{Event, EventKind},
    host::OutOfMemory,
    ident::ProcKey,
};

/// How long the line about a process is waited for, in nanoseconds: it is written right after the SIGKILL.
const PATIENCE: u64 = 1_000_000_000;
/// Processes whose lines are waited for.
const MOST_WAITING: usize = 1024;
/// The most that the kernel hands out at once (`PRINTK_MESSAGE_MAX`, and more in older kernels).
const LONGEST: usize = 8192;

/// Reads the log from where it was when tracing began.
#[derive(Debug, Default)]
pub struct KernelLog {
    /// `None` where it may not be read: then findings do not say.
    file: Option<File>,
    /// Who was killed for want of memory, and when it exited.
    waiting: Vec<(ProcKey, u64)>,
    /// The last group that was at its limit, and whom the kernel chose in it.
    chosen: Option<(u32, String)>,
}

impl KernelLog {
    /// Opens it at its end.
    pub fn open() -> Self {
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open("/dev/kmsg").ok();
        let at_end = file.and_then(|mut file| file.seek(SeekFrom::End(0)).is_ok().then_some(file));
        Self { file: at_end, ..Self::default() }
    }

    /// Remembers whom to look for.
    pub fn see(&mut self, event: &Event) {
        if let EventKind::Exit(exit) = &event.kind
            && exit.oom
            && exit.group_dead
            && self.file.is_some()
            && self.waiting.len() < MOST_WAITING
        {
            self.waiting.push((exit.task.key, event.at));
        }
    }

    /// What the log says of them.
    pub fn news(&mut self, now: u64) -> Vec<EventKind> {
        let mut told = Vec::new();
        if self.waiting.is_empty() {
            return told;
        }
        let mut record = [0; LONGEST];
        while let Some(file) = &mut self.file {
            let length = match file.read(&mut record) {
                Ok(length @ 1..) => length,
                // Records were overwritten before they were read: on to the next that is there.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => continue,
                _ => break,
            };
            if let Some((pid, which)) = message(&record[..length]).and_then(|message| self.take(message)) {
                let at = self.waiting.iter().position(|(key, _)| key.tgid == pid);
                told.extend(at.map(|at| EventKind::OutOfMemory(self.waiting.swap_remove(at).0, which)));
            }
        }
        self.waiting.retain(|&(_, exited)| now.saturating_sub(exited) < PATIENCE);
        told
    }

    /// Takes in a message; whom the kernel has killed, and why, if it says so.
    fn take(&mut self, message: &str) -> Option<(u32, OutOfMemory)> {
        if let Some(choice) = message.strip_prefix("oom-kill:constraint=CONSTRAINT_MEMCG,") {
            self.chosen = group_of(choice);
            return None;
        }
        let (of, rest) = message.split_once(": Killed process ")?;
        let pid = rest.split(' ').next()?.parse().ok()?;
        let group = || self.chosen.as_ref().filter(|(chosen, _)| *chosen == pid).map(|(_, path)| path.clone());
        match of {
            "Memory cgroup out of memory" => Some((pid, OutOfMemory::Group(group()))),
            "Out of memory" | "Out of memory (oom_kill_allocating_task)" => Some((pid, OutOfMemory::Machine)),
            _ => None,
        }
    }
}

/// The message of a record, if the kernel wrote it: `PRIORITY,NUMBER,TIME,FLAGS;MESSAGE`, and lines about
/// devices behind that. What a program writes there is of another facility.
fn message(record: &[u8]) -> Option<&str> {
    let (prefix, message) = str::from_utf8(record).ok()?.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| message.lines().next())?
}

/// The group that was at its limit, and whom the kernel chose: `…,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=N,uid=N`
/// (`dump_oom_victim()`). Others chose the paths and the name.
fn group_of(choice: &str) -> Option<(u32, String)> {
    let (rest, _uid) = choice.rsplit_once(",uid=")?;
    let (rest, pid) = rest.rsplit_once(",pid=")?;
    let (_, path) = rest.split_once(",oom_memcg=")?;
    let (path, _) = path.split_once(",task_memcg=")?;
    Some((pid.parse().ok()?, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log of these messages tells.
    fn told(messages: &[&str]) -> Vec<(u32, OutOfMemory)> {
        let mut log = KernelLog::default();
        messages.iter().filter_map(|message| log.take(message)).collect()
    }

    const CHOICE: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/pod,\
                          task_memcg=/pod/web,task=a,pid=7,pid=12,uid=0";
    const KILLED: &str = "Memory cgroup out of memory: Killed process 12 (a,pid=7) total-vm:19804kB, anon-rss:16384kB";

    fn pod() -> OutOfMemory {
        OutOfMemory::Group(Some("/pod".into()))
    }

    #[test]
    fn the_group_at_its_limit_is_told_not_that_of_the_process() {
        assert_eq!(told(&[CHOICE, KILLED]), [(12, pod())]);
    }

    #[test]
    fn who_was_not_chosen_itself_has_no_path() {
        let member = KILLED.replace("12", "13");
        let rest = "Tasks in /pod are going to be killed due to memory.oom.group set";
        assert_eq!(told(&[CHOICE, KILLED, rest, &member]), [(12, pod()), (13, OutOfMemory::Group(None))]);
        assert_eq!(told(&[KILLED]), [(12, OutOfMemory::Group(None))]);
    }

    #[test]
    fn the_machine_is_told_from_a_group() {
        let choice = CHOICE.replace("CONSTRAINT_MEMCG", "CONSTRAINT_NONE");
        let killed = KILLED.replace("Memory cgroup out of", "Out of");
        assert_eq!(told(&[&choice, &killed]), [(12, OutOfMemory::Machine)]);
    }

    #[test]
    fn only_the_kernel_is_believed() {
        let record = |priority: u32| format!("{priority},1,2,-;{KILLED}\n SUBSYSTEM=x\n");
        assert_eq!(message(record(3).as_bytes()), Some(KILLED));
        assert_eq!(message(record(8 | 3).as_bytes()), None);
        for other in ["", ";", "x;y", "3,1,2", "mm: Killed process x"] {
            assert_eq!(message(other.as_bytes()), None, "{other}");
        }
    }
}
