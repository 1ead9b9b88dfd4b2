//! Records of the kernel's log (`/dev/kmsg`) about the out-of-memory killer.

use crate::host::OutOfMemory;

/// Reads the records one after the other.
#[derive(Debug, Default)]
pub struct Kmsg {
    /// The last group that was at its limit, and the process that the kernel chose in it.
    chosen: Option<(u32, String)>,
}

impl Kmsg {
    /// Takes a record; returns the host pid of the process that the kernel killed, and why, if it says so.
    pub fn record(&mut self, record: &[u8]) -> Option<(u32, OutOfMemory)> {
        self.take(message(record)?)
    }

    /// Takes a message; returns the process that the kernel killed, and why, if it says so.
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

/// The message of a record, if the kernel wrote it: `PRIORITY,NUMBER,TIME,FLAGS;MESSAGE`, followed by lines about
/// devices. Messages from programs have another facility.
fn message(record: &[u8]) -> Option<&str> {
    let (prefix, message) = str::from_utf8(record).ok()?.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| message.lines().next())?
}

/// The group that was at its limit, and the process that the kernel chose:
/// `…,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=N,uid=N` (`dump_oom_victim()`). Others chose the paths and the name.
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

    /// The result of a log of these messages.
    fn told(messages: &[&str]) -> Vec<(u32, OutOfMemory)> {
        let mut log = Kmsg::default();
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
