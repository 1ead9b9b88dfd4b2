//! Where the running kernel keeps its fields, from its own type information (BTF): eBPF in Rust has no CO-RE
//! relocations for a loader to apply.

use std::fs;

use nix::libc::SYS_kill;
use tracer_common::{Config, Offsets, config::MISSING};

use crate::foreign::btf::Btf;

/// The BTF of the running kernel.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Fields without which no process can be followed.
const ESSENTIAL: &[&str] = &[
    "task_struct.flags",
    "task_struct.exit_state",
    "task_struct.exit_code",
    "task_struct.exit_signal",
    "task_struct.pid",
    "task_struct.tgid",
    "task_struct.real_parent",
    "task_struct.parent",
    "task_struct.children",
    "task_struct.group_leader",
    "task_struct.thread_node",
    "task_struct.thread_pid",
    "task_struct.start_boottime",
    "task_struct.signal",
    "task_struct.sighand",
    "signal_struct.live",
    "signal_struct.thread_head",
    "signal_struct.flags",
    "sighand_struct.action",
    "pid.level",
    "pid.numbers",
    "pid_namespace.child_reaper",
    "pid_namespace.ns.inum",
];

/// What is not possible without a field that is not essential; empty if its absence only costs a little more.
pub const CONSEQUENCES: &[(&str, &str)] = &[
    ("task_struct.ptrace", "zombies that are held by a tracer are blamed on their parent"),
    ("task_struct.jobctl", "which signal has stopped a process before the start is not known"),
    ("task_struct.comm", "processes have no names"),
    ("task_struct.blocked", "signals that wait because they are blocked count as delivered"),
    ("task_struct.real_blocked", "signals that a program waits for look as if they could end it"),
    (
        "task_struct.pending.signal",
        "up to 5.15, a second signal of the number that is killing a process counts as delivered",
    ),
    (
        "task_struct.last_siginfo",
        "up to 5.15, signals to a process that a tracer holds at the beginning of its exit count as delivered",
    ),
    ("task_struct.mm", "command lines of programs that start are not known"),
    ("task_struct.cgroups", "cgroups of processes are not known"),
    ("task_struct.cred", CREDENTIALS),
    ("task_struct.nsproxy", CREDENTIALS),
    ("cred.uid.val", CREDENTIALS),
    ("cred.euid.val", CREDENTIALS),
    ("cred.user_ns", CREDENTIALS),
    ("user_namespace.level", CREDENTIALS),
    ("nsproxy.mnt_ns", CREDENTIALS),
    ("mnt_namespace.ns.inum", CREDENTIALS),
    ("task_struct.se.exec_start", "the age of zombies from before the start is not known"),
    ("task_struct.in_execve", ""),
    ("task_struct.parent_exec_id", EXEC_IDS),
    ("task_struct.self_exec_id", EXEC_IDS),
    ("signal_struct.curr_target", "signals that another thread than the main one takes count as queued"),
    ("signal_struct.nr_threads", "thread counts are not known"),
    ("signal_struct.group_exit_code", "exit codes of processes with threads may be wrong"),
    ("signal_struct.is_child_subreaper", "subreapers are not recognised, orphans are given to the init"),
    ("signal_struct.has_child_subreaper", "subreapers are not recognised, orphans are given to the init"),
    ("signal_struct.autoreap", ""),
    ("signal_struct.quick_threads", ""),
    ("signal_struct.oom_mm", "who was killed for want of memory is guessed"),
    ("signal_struct.wait_chldexit.head", WAITS),
    ("wait_queue_entry.entry", WAITS),
    ("wait_queue_entry.private", WAITS),
    ("wait_opts.child_wait", WAITS),
    ("wait_opts.wo_type", WAITS),
    ("wait_opts.wo_flags", WAITS),
    ("wait_opts.wo_pid", WAITS),
    ("pid_namespace.parent", "nested pid namespaces look unrelated"),
    ("mm_struct.arg_start", "command lines of programs that start are not known"),
    ("mm_struct.arg_end", "command lines of programs that start are not known"),
    ("task_struct.seccomp.mode", "an end by seccomp's strict mode has no cause"),
    ("css_set.dfl_cgrp", "cgroups of processes are not known"),
    ("cgroup.kn", "cgroups of processes are not known"),
    ("kernfs_node.id", "cgroups of processes are not known"),
    ("pt_regs.orig_ax", "by which system call a child was reaped, and a kill() of a whole group, are not known"),
    ("pt_regs.di", "a kill() of a whole group is not told from several of one process each"),
    ("signal_struct.pids", "process groups are not known"),
    ("signal_struct.tty", TERMINALS),
    ("tty_struct.driver", TERMINALS),
    ("tty_struct.index", TERMINALS),
    ("tty_driver.major", TERMINALS),
    ("tty_driver.minor_start", TERMINALS),
    ("kernel_siginfo.si_code", "the kernel's own signals may be taken for a process's"),
];

const EXEC_IDS: &str = "children with another exit signal than SIGCHLD count as zombies where the kernel reaps them \
                        because their parent has called exec and ignores SIGCHLD";

const WAITS: &str = "whether somebody waits for the status of a process that is lost is not known";
const TERMINALS: &str = "on which terminal a key was pressed is not known";

const CREDENTIALS: &str = "who starts a program is not known, so that containers that start while tracing, and who \
                           asks their engines for something, are not known either";

/// Why offsets could not be found.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The kernel's type information cannot be read.
    #[error(
        "cannot read the kernel's type information from {VMLINUX} ({0}); a kernel of 5.10 or later with \
         CONFIG_DEBUG_INFO_BTF=y is needed"
    )]
    NoBtf(String),
    /// A field is missing that nothing works without.
    #[error("this kernel has no `{0}`; 5.10 or a later one is needed")]
    NoField(&'static str),
}

/// The offsets, and one sentence for each thing that is not possible on this kernel.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Offsets and masks; the switches are not set.
    pub config: Config,
    /// What will not work.
    pub degraded: Vec<String>,
}

/// Resolves every field for the running kernel, as if it did not have those in `without`.
///
/// # Errors
/// See [`OffsetsError`].
pub fn of_running_kernel(without: &[&str]) -> Result<Resolved, OffsetsError> {
    let bytes = fs::read(VMLINUX).map_err(|error| OffsetsError::NoBtf(error.to_string()))?;
    let btf = Btf::new(&bytes).map_err(|error| OffsetsError::NoBtf(error.to_string()))?;
    resolve(&btf, without)
}

/// Resolves every field but those of `without`.
///
/// # Errors
/// [`OffsetsError::NoField`] for one that is essential.
pub fn resolve(btf: &Btf<'_>, without: &[&str]) -> Result<Resolved, OffsetsError> {
    let mut values = [MISSING; Offsets::PATHS.len()];
    let mut masks = [1, 1, 1, 1];
    let mut degraded = Vec::new();
    for (value, path) in values.iter_mut().zip(Offsets::PATHS) {
        let native = native(path);
        match btf.find(native).filter(|_| !without.contains(path)) {
            Some(place) => {
                *value = place.bits / 8;
                // A bitfield is one bit of its byte; a `bool` (since 7.0) is the byte's lowest.
                let mask = 1 << (place.bits % 8);
                match *path {
                    "signal_struct.is_child_subreaper" => masks[0] = mask,
                    "signal_struct.has_child_subreaper" => masks[1] = mask,
                    "task_struct.in_execve" => masks[2] = mask,
                    "signal_struct.autoreap" => masks[3] = mask,
                    _ => {}
                }
            }
            None if ESSENTIAL.contains(path) => return Err(OffsetsError::NoField(path)),
            None => {
                let consequence = CONSEQUENCES.iter().find(|(field, _)| field == path).map_or("", |(_, then)| then);
                if !consequence.is_empty() {
                    degraded.push(format!("this kernel has no `{native}`: {consequence}"));
                }
            }
        }
    }
    let action_size = btf.find("sighand_struct.action").map_or(0, |place| place.element_size);
    Ok(Resolved {
        config: Config {
            offsets: Offsets::from_values(values),
            is_subreaper_mask: masks[0],
            has_subreaper_mask: masks[1],
            in_execve_mask: masks[2],
            autoreap_mask: masks[3],
            has_typed_current: u32::from(btf.has_enumerator("bpf_func_id", "BPF_FUNC_get_current_task_btf")),
            has_task_regs: u32::from(btf.has_enumerator("bpf_func_id", "BPF_FUNC_task_pt_regs")),
            action_size,
            call_kill: SYS_kill as u32,
            ..Config::NONE
        },
        degraded,
    })
}

/// What a path is called in this machine's kernels. Registers have names of their own on each architecture; those of
/// x86-64 stand for the number of the system call and its first argument.
fn native(path: &'static str) -> &'static str {
    match path {
        "pt_regs.orig_ax" if cfg!(target_arch = "aarch64") => "pt_regs.syscallno",
        "pt_regs.di" if cfg!(target_arch = "aarch64") => "pt_regs.orig_x0",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are checked elsewhere: the verifier compares each with the kernel's own types whenever a program is
    /// loaded.
    #[test]
    fn the_running_kernel_has_them() {
        let Ok(bytes) = fs::read(VMLINUX) else { return };
        let btf = Btf::new(&bytes).unwrap();
        for path in ESSENTIAL {
            assert!(btf.find(path).is_some(), "{path}");
        }
        let Config { offsets, is_subreaper_mask, has_subreaper_mask, action_size, .. } =
            resolve(&btf, &[]).unwrap().config;
        assert_ne!(offsets, Offsets::from_values([MISSING; Offsets::PATHS.len()]));
        // Two bits of one byte, or two bytes (`bool`, since 7.0).
        assert!(is_subreaper_mask.is_power_of_two() && has_subreaper_mask.is_power_of_two());
        // A handler, flags, a restorer and a mask; `struct sigaction` of the kernel.
        assert_eq!(action_size % 8, 0);
        assert!((24..=64).contains(&action_size), "{action_size}");
    }

    #[test]
    fn every_field_is_essential_or_has_a_consequence() {
        for path in Offsets::PATHS {
            let is_essential = ESSENTIAL.contains(path);
            let has_consequence = CONSEQUENCES.iter().any(|(field, _)| field == path);
            assert!(is_essential != has_consequence, "{path}");
        }
    }
}
