//! What is read from `/proc`: command lines, the state of one process, facts about the machine.

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tracer_common::record::ARGS_MAX;

use crate::{
    event::{ExitStatus, Look, Masks, Roles, Row, TaskInfo},
    foreign::stat,
    ident::{Args, Comm, PidNs, ProcKey, TaskRef, Trust, file_name},
    programs,
    source::reads::{self, Head, PROC_MAX},
};

/// Looks whether a process is still there, and at its state (`/proc/PID/stat`).
///
/// The start time tells whether another process has taken over the pid.
pub fn look(key: ProcKey) -> Look {
    let text = reads::head(format!("/proc/{}/stat", key.tgid), PROC_MAX).ok();
    Look { key, found: text.and_then(|text| stat::stat(&text.bytes, key.start)) }
}

/// The signals of a thread (`/proc/PID/task/TID/status`).
pub fn masks(task: TaskRef) -> Option<Masks> {
    // The start time tells whether another process has that pid now.
    look(task.key).found?;
    let status = text(&format!("/proc/{}/task/{}/status", task.key.tgid, task.tid));
    stat::masks(&status)
}

/// A process of the initial pid namespace that the task iterator did not list, as `/proc` shows it. Some hardened
/// kernels hide their pid 1 from iterators; its children name it all the same.
pub fn unlisted(key: ProcKey) -> Option<Row> {
    let looked = look(key).found?;
    let name = line(&format!("/proc/{}/comm", key.tgid));
    let status = text(&format!("/proc/{}/status", key.tgid));
    let threads = stat::field(&status, "Threads").and_then(|count| count.parse().ok()).unwrap_or(1);
    Some(Row {
        task: TaskInfo {
            key,
            // Its parent's start time is not known, and without it there is no identity.
            parent: None,
            comm: Comm::from(name.as_str()),
            cgroup: 0,
            pid_ns: PidNs(INITIAL_PID_NS),
            parent_ns: None,
            ns_level: 0,
            ns_pid: key.tgid,
            mid_pids: [0; 3],
            roles: Roles { init: key.tgid == 1, ..Roles::default() },
            exiting: false,
            exit_signal: 17,
            threads,
        },
        tracer: None,
        idle: None,
        status: ExitStatus(0),
        leader_dead: looked.state == b'Z',
        live: u32::from(looked.state != b'Z'),
    })
}

/// The inode number of the initial pid namespace, `PROC_PID_INIT_INO`.
pub const INITIAL_PID_NS: u32 = 0xEFFF_FFFC;

/// How long one command line may delay the others.
const PATIENCE: Duration = Duration::from_millis(100);
/// The most that is read of the arguments of a shim, which names its container early.
const SHIM_MAX: usize = 64 << 10;

/// Processes whose command lines are being read: one that hangs is not asked twice.
static READ_NOW: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The command line of each process: empty for a kernel thread, a zombie, or one that is gone; empty and marked as cut
/// for one that does not hand it over. See [`first_bytes`].
pub fn command_lines(pids: &[u32]) -> Vec<Args> {
    let heads = first_bytes(pids, |&pid| command_line(pid, ARGS_MAX));
    heads.into_iter().map(|Head { bytes, cut }| Args { bytes: bytes.into(), cut, ..Args::default() }).collect()
}

/// The arguments of a process, as far as they matter; bytes that are not UTF-8 are replaced.
pub fn arguments(pid: u32) -> Vec<String> {
    let Head { bytes, .. } = first_bytes(&[pid], |&pid| command_line(pid, SHIM_MAX)).pop().unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0);
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Reads the command lines of processes in other threads: they lie in the memory of the process, which chooses where
/// (`PR_SET_MM`), and the kernel takes its `mmap_lock` to read them. If a thread of the process holds that lock while
/// it waits for a file system that does not answer (FUSE), readers wait as long.
fn first_bytes(pids: &[u32], read: fn(&u32) -> Option<Head>) -> Vec<Head> {
    let mut heads: Vec<_> = pids.iter().map(|_| Head { bytes: Vec::new(), cut: true }).collect();
    reads::each(pids.to_vec(), PATIENCE, read, |at, head| {
        if let Some(head) = head {
            heads[at] = head;
        }
    });
    heads
}

/// The first bytes of a command line; none while another read of it hangs.
fn command_line(pid: u32, max: usize) -> Option<Head> {
    let read_now = || READ_NOW.lock().unwrap_or_else(PoisonError::into_inner);
    if !read_now().insert(pid) {
        return None;
    }
    let head = reads::head(format!("/proc/{pid}/cmdline"), max).unwrap_or_default();
    read_now().remove(&pid);
    Some(head)
}

/// The working directory of a process, if it may be read.
pub fn directory(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The pid namespace of a process, by its host pid.
///
/// # Errors
/// If there is no such process, or it may not be looked at.
pub fn pid_namespace(pid: &str) -> io::Result<PidNs> {
    namespace(pid, "pid").map(PidNs)
}

/// The inode number of one of a process's namespaces.
fn namespace(pid: &str, kind: &str) -> io::Result<u32> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"))?;
    link.to_str()
        .and_then(|text| text.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{} is no {kind} namespace", file_name(&link))))
}

/// The inode number of the host's mount namespace: that of pid 1, or of kthreadd if the machine keeps its pid 1 from
/// everybody, or of this process, which may be in a container's, if neither may be read; 0 without `/proc`.
pub fn host_mount_ns() -> u32 {
    // kthreadd is pid 2 of the machine, and of no other pid namespace (rest_init()).
    let is_host = pid_namespace("self").is_ok_and(|PidNs(ns)| ns == INITIAL_PID_NS);
    let hosts = ["1", "2"].into_iter().take(if is_host { 2 } else { 1 });
    hosts.chain(["self"]).find_map(|pid| namespace(pid, "mnt").ok()).unwrap_or(0)
}

/// The inode number of the initial user namespace, `PROC_USER_INIT_INO`.
const INITIAL_USER_NS: u32 = 0xEFFF_FFFD;

/// How far the command line of a process can be believed, by the same rule as for an exec (`credentials()` of the
/// programs in the kernel). Looked up only where it matters.
pub fn trust(pid: u32, line: &Args, host_mount_ns: u32) -> Trust {
    let program = line.iter().next().unwrap_or_default();
    if !programs::is_of_engine(program) {
        return Trust::Nobody;
    }
    let status = text(&format!("/proc/{pid}/status"));
    let mut ids = stat::field(&status, "Uid").unwrap_or_default().split('\t').map(str::parse::<u32>);
    let (Some(Ok(uid)), Some(Ok(effective))) = (ids.next(), ids.next()) else { return Trust::Nobody };
    // A set-user-ID program may have become root for good after it got its arguments; its name is that of its file.
    let file = programs::file_name(program);
    let is_itself = stat::field(&status, "Name").is_some_and(|name| name.as_bytes() == Comm::cut(file).bytes());
    let is_in = |kind: &str, ns: u32| namespace(&pid.to_string(), kind).is_ok_and(|found| found == ns);
    match (uid, effective) {
        (0, 0) if is_itself && is_in("user", INITIAL_USER_NS) && is_in("mnt", host_mount_ns) => Trust::Root,
        (uid, effective) if uid == effective && uid != 0 => Trust::User(uid),
        _ => Trust::Nobody,
    }
}

/// What this `/proc` does not show, and the consequences, in sentences; nothing if it is complete.
pub fn shortcomings() -> Vec<String> {
    missing(|path| fs::exists(path).unwrap_or(false))
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<String> {
    const UNKNOWN: &str = "command lines of what was there before are not known, and neither orphans nor zombies are \
                           looked at again before they are told";
    let mut sentences = Vec::new();
    if !is_there("/proc/self/stat") {
        sentences.push(format!("no /proc is mounted here: {UNKNOWN}; how many ptys and pids are left is not known"));
        return sentences;
    }
    if !is_there("/proc/1/stat") {
        sentences.push(format!("/proc hides the processes of others (hidepid of proc(5)): of them, {UNKNOWN}"));
    }
    if !is_there("/proc/sys/kernel") {
        let consequence = "how many ptys and pids are left is not known";
        sentences.push(format!("/proc holds processes only (subset=pid of proc(5)): {consequence}"));
    }
    sentences
}

/// The text of a file of `/proc` or `/sys`, empty if it cannot be read; bytes that are not UTF-8 are replaced.
pub fn text(path: &str) -> String {
    let Head { bytes, .. } = reads::head(path, PROC_MAX).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A one-line file, without its line end; empty if it cannot be read.
pub fn line(path: &str) -> String {
    text(path).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_proc_is_said() {
        let said = |hidden: &'static str| missing(move |path| !path.starts_with(hidden));
        assert_eq!(missing(|_| true), [""; 0]);
        assert!(matches!(&said("/proc")[..], [one] if one.starts_with("no /proc")));
        assert!(matches!(&said("/proc/1")[..], [one] if one.contains("hidepid")));
        assert!(matches!(&said("/proc/sys")[..], [one] if one.contains("subset=pid")));
    }
}
