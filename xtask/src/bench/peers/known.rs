//! Programs that others watch signals, forks and execs with, as Debian has them, each told to say the same.

use crate::bench::storm::Storm;

/// The packages that they come with.
pub const PACKAGES: [&str; 4] = ["linux-perf", "bpftrace", "libbpf-tools", "forkstat"];

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `perf trace`: the kernel's own ring buffers.
    Perf,
    /// A script of bpftrace, which prints a line for each.
    Bpftrace,
    /// `sigsnoop`, `exitsnoop` or `execsnoop` of libbpf-tools: BPF programs in C.
    Snoop,
    /// The proc connector of netlink, without a program in the kernel.
    Forkstat,
}

impl Peer {
    /// All, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Perf, Self::Bpftrace, Self::Snoop, Self::Forkstat];

    /// Its name in the tables.
    pub fn name(self, storm: Storm) -> &'static str {
        match (self, storm) {
            (Self::Perf, _) => "perf trace",
            (Self::Bpftrace, _) => "bpftrace",
            (Self::Snoop, Storm::Signals) => "sigsnoop",
            (Self::Snoop, Storm::Forks) => "exitsnoop",
            (Self::Snoop, Storm::Execs) => "execsnoop",
            (Self::Forkstat, _) => "forkstat",
        }
    }

    /// Its command, if it knows anything of such a storm; what it says goes to standard output.
    pub fn command(self, storm: Storm) -> Option<Vec<&'static str>> {
        Some(match (self, storm) {
            (Self::Perf, Storm::Signals) => perf("signal:signal_generate"),
            (Self::Perf, Storm::Forks) => perf("sched:sched_process_fork,sched:sched_process_exit"),
            (Self::Perf, Storm::Execs) => {
                perf("sched:sched_process_fork,sched:sched_process_exec,sched:sched_process_exit")
            }
            (Self::Bpftrace, Storm::Signals) => vec!["bpftrace", "-e", SIGNALS],
            (Self::Bpftrace, Storm::Forks) => vec!["bpftrace", "-e", FORKS],
            (Self::Bpftrace, Storm::Execs) => vec!["bpftrace", "-e", EXECS],
            (Self::Snoop, storm) => vec![self.name(storm)],
            (Self::Forkstat, Storm::Signals) => return None,
            (Self::Forkstat, Storm::Forks) => vec!["forkstat", "-e", "fork,exit"],
            (Self::Forkstat, Storm::Execs) => vec!["forkstat", "-e", "fork,exec,exit"],
        })
    }
}

fn perf(events: &'static str) -> Vec<&'static str> {
    vec!["perf", "trace", "--all-cpus", "--no-syscalls", "--output", "/dev/stdout", "--event", events]
}

const SIGNALS: &str = r#"tracepoint:signal:signal_generate {
    printf("%s %d %d %d %d\n", comm, pid, args->sig, args->pid, args->result);
}"#;

const FORKS: &str = r#"tracepoint:sched:sched_process_fork { printf("fork %d %d\n", pid, args->child_pid); }
tracepoint:sched:sched_process_exit { printf("exit %s %d\n", comm, pid); }"#;

const EXECS: &str = r#"tracepoint:sched:sched_process_fork { printf("fork %d %d\n", pid, args->child_pid); }
tracepoint:sched:sched_process_exec { printf("exec %s %d %s\n", comm, pid, str(args->filename)); }
tracepoint:sched:sched_process_exit { printf("exit %s %d\n", comm, pid); }"#;
