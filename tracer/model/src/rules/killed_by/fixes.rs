//! What helps against an end by a signal: that depends on what it came from.

use super::{asked, is_abort, repeated};
use crate::{
    hand::Hand,
    host::OutOfMemory,
    ident::{Comm, Identity},
    kill::Kill,
    origin::How,
    programs::is_shell,
    rules::{origins, words},
    signal::{Sender, Signal, killer::Killer},
};

/// Who ended it because a timer ran out (timeout(1)), if that is how it began.
fn timed_out(kill: &Kill) -> Option<&Identity> {
    let first = kill.origin.first()?;
    let is_timer = first.sent.as_ref().is_some_and(|sent| sent.killer == Killer::Timer);
    (is_timer && first.how == How::Answer).then_some(&first.to)
}

/// The program that its watcher ended because SIGABRT, by which it said that it takes it for hung, had not; and the
/// watcher.
fn hung(kill: &Kill) -> Option<(Comm, Comm)> {
    let (last, Sender::Process(sender)) = (kill.origin.last()?, &kill.sender) else { return None };
    let sent = last.sent.as_ref().filter(|sent| last.how == How::Escalation && sent.signal == Signal::ABRT)?;
    (sent.sender == kill.sender && !is_shell(sender.comm.bytes())).then_some((last.to.comm, sender.comm))
}

/// See [`Hand::client`].
fn client<'a>(kill: &'a Kill, sender: &'a Identity) -> &'a [Identity] {
    Hand { sender, ancestors: &kill.ancestors, asked_by: &kill.asked_by }.client()
}

const ABORTED: &str = "look at its last output on standard error: abort() follows a failed assertion, a panic, or heap \
                       corruption that the allocator detected";

/// What helps against it.
pub(in crate::rules) fn fixes(kill: &Kill) -> Vec<String> {
    let sender = match &kill.sender {
        _ if let Some(first) = origins::first(&kill.origin) => first.comm.to_string(),
        Sender::Process(sender) if let [client, ..] = client(kill, sender) => client.comm.to_string(),
        Sender::Process(sender) if !sender.comm.bytes().is_empty() => sender.comm.to_string(),
        _ => "the sender".to_owned(),
    };
    let core = "look at a core dump, which shows where (ulimit -c unlimited, coredumpctl, gdb)";
    let all: &[&str] = match kill.killer {
        Killer::Process if kill.exec.is_some() && kill.count == 1 => &[
            "give it more time (--health-timeout, timeoutSeconds of a probe), or have it do less",
            "find out what it waits for: the service that it queries may hang",
        ],
        Killer::Process if let Some(waited) = timed_out(kill) => {
            return vec![format!(
                "give it more time, or find out what took so long: a timer of {} ran out",
                waited.comm
            )];
        }
        Killer::Process if let Some((victim, watcher)) = hung(kill) => return vec![words::hung(victim, watcher)],
        Killer::Process => {
            let who = if kill.ancestors.is_empty() { "" } else { " (its ancestors show who started it)" };
            let way = if kill.signal == Signal::KILL {
                "; no program can handle SIGKILL".to_owned()
            } else {
                format!("; a program that needs a clean end must handle {}", kill.signal)
            };
            let stale = kill.former.as_ref().filter(|_| kill.count == 1).map(words::stale_pid);
            let did = origins::first_did(&kill.origin, "it");
            let unmeant = format!("if this was not intended, find out why {sender} {did}{who}{way}");
            let outlive = origins::is_hang_up(&kill.origin).then(|| words::OUTLIVE.to_owned());
            return stale.into_iter().chain(outlive).chain([unmeant]).collect();
        }
        Killer::CgroupKill => {
            return vec![format!(
                "if this was not intended, find out why {sender} killed the control group (systemd and container runtimes \
                 do that to stop a service or a container)"
            )];
        }
        Killer::Itself if repeated(kill).is_some() => {
            &["find out why its child ended: it ends with the same signal, so that its own parent sees it"]
        }
        Killer::Itself if is_abort(kill) => &[ABORTED, core],
        Killer::Itself if let (Some((_, sent)), Some(_)) = (asked(kill), origins::first(&kill.origin)) => {
            let did = origins::first_did(&kill.origin, &sent.signal.to_string());
            return vec![format!("if this was not intended, find out why {sender} {did}")];
        }
        Killer::Itself => &["look in its own log: no other process ended it"],
        Killer::ParentDeath if kill.sender_lives => &[
            words::LASTING_THREAD,
            "do not request that signal: the kernel sends it when the thread that created the process ends, even if the \
             parent lives on",
        ],
        Killer::ParentDeath => &[
            "a process that should outlive its parent must not request that signal; it is sent as soon as the thread that \
             created it ends",
        ],
        Killer::TracerExit if kill.sender_lives => &[
            "keep the thread that traces it until it is done (in Go, use runtime.LockOSThread())",
            "trace it without PTRACE_O_EXITKILL",
        ],
        Killer::TracerExit => {
            &["detach the tracer from processes that should outlive it", "trace it without PTRACE_O_EXITKILL"]
        }
        Killer::HangUp | Killer::Terminal => &[words::outlive(&kill.sender)],
        Killer::Fault if kill.aborted => &[
            ABORTED,
            core,
            "run it under an init, so that it is not pid 1 (docker run --init, tini): it ends by SIGABRT then, which whoever \
             waits for it can tell from a fault (code 134)",
        ],
        // BUS_ADRERR, then BUS_MCEERR_AR and BUS_MCEERR_AO (sigaction(2)).
        Killer::Fault if (kill.signal, kill.code) == (Signal::BUS, 2) => &[
            "make room on the file system of the mapped file (df shows which is full; in a container it is most often \
             /dev/shm: docker run --shm-size)",
            "do not truncate a file that a process still maps",
        ],
        Killer::Fault if kill.signal == Signal::BUS && matches!(kill.code, 4 | 5) => {
            &["replace the machine's broken memory (the kernel's log names the address)"]
        }
        Killer::Fault => &["it is a bug of the program or of its data; a core dump shows where (ulimit -c unlimited, \
                            coredumpctl, gdb)"],
        Killer::Seccomp if kill.signal == Signal::KILL => {
            &["give it a filter (SECCOMP_SET_MODE_FILTER) that allows what it needs, in place of the strict mode"]
        }
        Killer::Seccomp => &[
            "see the kernel's log for the number of the system call (type=1326), and let the filter allow it",
            "run it with another profile (docker run --security-opt seccomp=…)",
        ],
        Killer::BrokenPipe => &[
            "often none is needed: its reader had enough (as in `yes | head`)",
            "a server should ignore SIGPIPE and look at the error of write()",
        ],
        Killer::Timer if kill.raised_again > 0 => &["give it more time, or find out what took so long"],
        Killer::Timer => {
            &["install a handler before the timer is set; alarm() and setitimer() survive an exec, handlers do not"]
        }
        Killer::CpuLimit if kill.signal == Signal::KILL => &[
            "find out what it computes for so long",
            "raise the limit (ulimit -t, LimitCPU=, LimitRTTIME= of a real-time process)",
            "if it had no such limit, look for a security tool that ends processes by a BPF program",
        ],
        Killer::CpuLimit => &[
            "find out what it computes for so long",
            "raise the limit (ulimit -t, LimitCPU=, LimitRTTIME= of a real-time process)",
        ],
        Killer::FileSizeLimit => &["have it write less to one file", "raise the limit (ulimit -f, LimitFSIZE=)"],
        Killer::Oom => match kill.out_of_memory {
            Some(OutOfMemory::Group(_)) => &[
                "give the group more (memory.max, docker run --memory, MemoryMax=, a pod's limits.memory)",
                "have it use less; the kernel's log (dmesg) has the table of who used how much",
            ],
            Some(OutOfMemory::Machine) => &[
                "find out who used the memory: the kernel's log (dmesg) has the table, and what was chosen need not be the \
                 cause (oom_score_adj)",
                "set a limit on each container (memory.max, --memory), so that one cannot take all",
            ],
            None => &[
                "see the kernel's log (dmesg): it has the table of who used how much, and whether a control group or the \
                 machine was out of memory",
                "give it more (memory.max, --memory), or have it use less",
            ],
        },
        Killer::Kernel => &["see the kernel's log (dmesg) at that time"],
        Killer::NamespaceEnd | Killer::Unknown => &[
            "start `tracer` earlier, or with a larger --ring-size; seccomp's strict mode ends a process without a signal",
        ],
    };
    all.iter().map(|&fix| fix.to_owned()).collect()
}
