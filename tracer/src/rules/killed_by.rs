//! `killed-by`: a signal ended a process, or many at once: who sent it.

use crate::{
    change::Change,
    finding::{Confidence, Detail, Finding, Severity},
    ident::Identity,
    rules::{Rule, RuleDef, Verdict},
    signal::{
        self, Sender, Signal,
        killer::{self, Killer},
    },
    world::{Kill, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "killed-by",
    severity: Severity::Info,
    summary: "a signal ended a process: who sent it, or what the process did to get it",
    explanation: include_str!("killed_by.md"),
    make: |_| Box::new(KilledBy),
};

struct KilledBy;

impl Rule for KilledBy {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: u64) -> Verdict {
        let Change::Killed(kill) = change else { return Verdict::Quiet };
        let Some(&first) = kill.victims.first() else { return Verdict::Quiet };
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            at: world.now(),
            since: kill.sent_at.unwrap_or(kill.died_at),
            process: first,
            confidence: confidence(kill),
            message: message(kill, &first),
            fix: fix(kill),
            evidence: kill.evidence.clone(),
            detail: Detail::KilledBy(kill.clone()),
        }))
    }
}

fn confidence(kill: &Kill) -> Confidence {
    let note = match kill.killer {
        Killer::Unknown => {
            "the signal was not seen: it was sent before tracing began, or its record was lost, or the kernel ended the \
             process without one"
        }
        Killer::Kernel => "the kernel does not say why it sends such a signal",
        Killer::CpuLimit if kill.signal == Signal::KILL => {
            "the kernel does not say so, but sends a process that runs nothing else of this kind"
        }
        _ => return Confidence::Certain,
    };
    Confidence::Incomplete(note.to_owned())
}

fn message(kill: &Kill, first: &Identity) -> String {
    let Kill { signal, sender, count, victims, raised_again, cores, .. } = kill;
    let cores = match (cores, count) {
        (0, _) => String::new(),
        (_, 1) => " It left a core dump.".to_owned(),
        (cores, _) => format!(" {cores} of them left a core dump."),
    };
    if *count == 1 {
        return match kill.killer {
            Killer::Itself if *signal == ABORT => format!("{first} ended itself by {signal}: it called abort().{cores}"),
            Killer::Itself => {
                format!("{first} ended itself by {signal}, with raise() or a kill() of its own pid.{cores}")
            }
            _ if *raised_again > 0 => format!(
                "{first} handled {signal}{}, and then ended itself by the same signal, as is usual.{cores}",
                cause(kill)
            ),
            _ => format!("{first} was ended by {signal}{}.{cores}", cause(kill)),
        };
    }
    let named: Vec<_> = victims.iter().map(short).collect();
    let more = match count - victims.len() as u64 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let handled = match (raised_again, sender) {
        (0, _) => String::new(),
        (n, _) => format!(" {n} of them handled it first, and then ended themselves by it."),
    };
    format!("{count} processes were ended by {signal}{}: {}{more}.{handled}{cores}", cause(kill), named.join(", "))
}

const ABORT: Signal = Signal(6);

/// Where the signal came from, as the end of a sentence about one or many.
fn cause(kill: &Kill) -> String {
    let Kill { signal, code, killer, sender, count, .. } = kill;
    let (it, its, has) = if *count == 1 { ("it", "its", "has") } else { ("they", "their", "have") };
    match killer {
        Killer::Process | Killer::Itself => format!(" from {}", line_of(kill)),
        Killer::ParentDeath => {
            format!(", which {it} had asked for ({SET_PDEATHSIG}): {its} parent {sender} ended")
        }
        Killer::CgroupKill => format!(", because {} wrote to cgroup.kill of {its} control group", line_of(kill)),
        Killer::TracerExit => format!(", because {its} tracer {sender} ended (PTRACE_O_EXITKILL)"),
        Killer::HangUp => format!(
            ", because {sender} ended: {it} {has} lost {its} terminal by that, or {its} stopped job would have been left \
             without anybody to continue it"
        ),
        Killer::Terminal => match *signal {
            Signal::INT => format!(" from {its} terminal: Ctrl-C was pressed"),
            Signal::QUIT => format!(" from {its} terminal: Ctrl-\\ was pressed"),
            Signal::HUP => format!(", because {its} terminal was hung up: the window or the connection was closed"),
            _ => format!(" from {its} terminal"),
        },
        Killer::Fault => {
            let name = signal::code_name(*signal, *code).map_or_else(String::new, |name| format!(" ({name})"));
            format!(" for what it did: {}{name}", killer::fault(*signal, *code))
        }
        Killer::Seccomp => ", because its seccomp filter forbids a system call that it made".to_owned(),
        Killer::BrokenPipe => ", because it wrote to a pipe or a socket that nobody reads any more".to_owned(),
        Killer::Timer => ", because a timer of its own ran out and it has no handler for that".to_owned(),
        Killer::CpuLimit => ", because it has used the processor time that it may use (RLIMIT_CPU)".to_owned(),
        Killer::FileSizeLimit => ", because it wrote more to a file than it may (RLIMIT_FSIZE)".to_owned(),
        Killer::Oom => ", sent by the out-of-memory killer".to_owned(),
        Killer::NamespaceEnd => format!(" at the end of {its} pid namespace"),
        Killer::Kernel if *signal == Signal::KILL => {
            ", which the kernel sent on its own account, most likely for want of memory".to_owned()
        }
        Killer::Kernel => ", which the kernel sent on its own account".to_owned(),
        Killer::Unknown => "; who sent that was not seen".to_owned(),
    }
}

const SET_PDEATHSIG: &str = "PR_SET_PDEATHSIG";

/// The sender and its ancestors: `kill (pid 12) < bash (pid 3) < sshd (pid 2)`.
fn line_of(kill: &Kill) -> String {
    let ancestors = kill.ancestors.iter().map(short);
    std::iter::once(kill.sender.to_string()).chain(ancestors).collect::<Vec<_>>().join(" < ")
}

fn short(process: &Identity) -> String {
    Identity { ns_level: 0, ..*process }.to_string()
}

fn fix(kill: &Kill) -> String {
    let sender = match &kill.sender {
        Sender::Process(sender) if !sender.comm.bytes().is_empty() => sender.comm.to_string(),
        _ => "the sender".to_owned(),
    };
    let text = match kill.killer {
        Killer::Process if kill.signal == Signal::KILL => {
            return format!(
                "nothing can be done about SIGKILL in the program itself; if it was not meant, find out why {sender} sent \
                 it: those after it started it"
            );
        }
        Killer::Process => {
            return format!(
                "if it was not meant, find out why {sender} sent it: those after it started it; a program that is to end \
                 in order handles {}",
                kill.signal
            );
        }
        Killer::CgroupKill => {
            return format!(
                "if it was not meant, find out why {sender} ended the control group (systemd, runc and other runtimes do \
                 so to stop a service or a container)"
            );
        }
        Killer::Itself if kill.signal == ABORT => {
            "see what it last said on standard error: abort() follows a failed assertion, a panic, or damage that the \
             allocator found; a core dump shows where (ulimit -c unlimited, coredumpctl)"
        }
        Killer::Itself => "see its own log: nobody else ended it",
        Killer::ParentDeath => {
            "if it should outlive its parent, it must not ask for that signal; note that the parent is the thread that \
             created it, whose end is enough"
        }
        Killer::TracerExit => "if it should outlive its tracer, detach before that ends, or do not use PTRACE_O_EXITKILL",
        Killer::HangUp | Killer::Terminal => {
            "if it should outlive its terminal, start it in a session of its own (setsid, nohup, tmux, systemd-run)"
        }
        Killer::Fault => {
            "a bug of the program or of its data; a core dump shows where (ulimit -c unlimited, coredumpctl, gdb)"
        }
        Killer::Seccomp => {
            "see the kernel's log for the number of the system call (type=1326), and let the filter allow it, or run it \
             with another profile (docker run --security-opt seccomp=…)"
        }
        Killer::BrokenPipe => {
            "often none is needed: its reader had enough (as in `yes | head`); a server should ignore SIGPIPE and look at \
             the error of write()"
        }
        Killer::Timer => "install a handler before the timer is set; alarm() and setitimer() survive an exec, handlers do not",
        Killer::CpuLimit => "raise the limit (ulimit -t, LimitCPU=), or find out what it computes for so long",
        Killer::FileSizeLimit => "raise the limit (ulimit -f, LimitFSIZE=), or have it write less to one file",
        Killer::Oom => {
            "the kernel's log (dmesg) has the table of who used how much, and whether its control group or the machine \
             was out of memory; give it more (memory.max, --memory), or have it use less"
        }
        Killer::Kernel => "see the kernel's log (dmesg) at that time",
        Killer::NamespaceEnd | Killer::Unknown => "start `tracer` earlier, or with a larger --ring-size",
    };
    text.to_owned()
}
