//! `killed-by`: a signal ended a process, or many at once: who sent it.

use crate::{
    change::Change,
    finding::{Confidence, Detail, Finding, Severity, Stage},
    host::OutOfMemory,
    ident::{Identity, quote},
    kill::Kill,
    rules::{Rule, RuleDef, Verdict},
    signal::{
        self, Sender, Signal,
        killer::{self, Killer},
    },
    summary::and_more,
    world::World,
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "killed-by",
    severity: Severity::Info,
    summary: "a signal ended a process: who sent it, or what the process did to get it",
    lasts: false,
    explanation: include_str!("killed_by.md"),
    make: |thresholds| Box::new(KilledBy { slow_stop_after: thresholds.slow_stop_after }),
};

struct KilledBy {
    /// Of a container that was stopped so slowly another rule tells the whole story.
    slow_stop_after: u64,
}

impl Rule for KilledBy {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: u64) -> Verdict {
        let Change::Killed(kill) = change else { return Verdict::Quiet };
        let Some(&first) = kill.victims.first() else { return Verdict::Quiet };
        // Others tell of that end, and of all that came of it.
        if kill.was_slow_stop(self.slow_stop_after) || kill.ending.is_some() {
            return Verdict::Quiet;
        }
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
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
            "the kernel does not say why; no other reason is known for which it sends one to a process that runs just then"
        }
        _ => return Confidence::Certain,
    };
    Confidence::Incomplete(note.to_owned())
}

fn message(kill: &Kill, first: &Identity) -> String {
    let Kill { signal, count, victims, raised_again, cores, .. } = kill;
    let cores = match (cores, count) {
        (0, _) => String::new(),
        (_, 1) => " It left a core dump.".to_owned(),
        (cores, _) => format!(" {cores} of them left a core dump."),
    };
    if *count == 1 {
        return match kill.killer {
            Killer::Itself if *signal == ABORT => {
                format!("{first} ended itself by {signal}: it called abort().{cores}")
            }
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
    let handled = match raised_again {
        0 => String::new(),
        1 => " One of them handled it first, and then ended itself by it.".to_owned(),
        n => format!(" {n} of them handled it first, and then ended themselves by it."),
    };
    format!("{count} processes were ended by {signal}{}: {}.{handled}{cores}", cause(kill), and_more(&named, *count))
}

const ABORT: Signal = Signal(6);

/// Where the signal came from, as the end of a sentence about one or many.
pub(super) fn cause(kill: &Kill) -> String {
    let Kill { signal, code, killer, sender, count, .. } = kill;
    let (it, its, has) = if *count == 1 { ("it", "its", "has") } else { ("they", "their", "have") };
    let them = if *count == 1 { "it" } else { "them" };
    match killer {
        Killer::Process | Killer::Itself => format!(" from {}", line_of(kill)),
        Killer::ParentDeath if kill.sender_lives => format!(
            ", which {it} had asked for ({SET_PDEATHSIG}): the thread of {its} parent {sender} that had made {them} \
             ended; {sender} itself lives on"
        ),
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
            Signal::INT => format!(" from {its} terminal, as at Ctrl-C"),
            Signal::QUIT => format!(" from {its} terminal, as at Ctrl-\\"),
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
        Killer::Oom => match &kill.out_of_memory {
            None => ", sent by the out-of-memory killer".to_owned(),
            Some(OutOfMemory::Machine) => {
                ", sent by the out-of-memory killer, as the machine was out of memory".to_owned()
            }
            Some(OutOfMemory::Group(path)) => {
                let path = path.as_ref().map_or_else(String::new, |path| format!(" {}", quote(path)));
                format!(", sent by the out-of-memory killer, as the control group{path} was at its limit of memory")
            }
        },
        Killer::NamespaceEnd => format!(" at the end of {its} pid namespace"),
        Killer::Kernel if *signal == Signal::KILL => {
            ", which the kernel sent on its own account, most likely for want of memory".to_owned()
        }
        Killer::Kernel => ", which the kernel sent on its own account".to_owned(),
        Killer::Unknown => "; who sent that was not seen".to_owned(),
    }
}

const SET_PDEATHSIG: &str = "PR_SET_PDEATHSIG";

/// The sender and its ancestors: `kill (pid 12) < bash (pid 3) < sshd (pid 2)`; and who had asked for it.
fn line_of(kill: &Kill) -> String {
    line(kill.sender.to_string(), kill.ancestors.get(..kill.chain).unwrap_or(&kill.ancestors))
        + &on_behalf(&kill.asked_by)
}

/// Who had asked an engine for it, as an end of a clause.
pub fn on_behalf(asked_by: &[Identity]) -> String {
    match asked_by.split_first() {
        Some((client, ancestors)) => {
            format!(", as {} had asked", line(short(client), ancestors))
        }
        None => String::new(),
    }
}

/// Ancestors that are named.
const ANCESTORS: usize = 3;

/// Somebody and their ancestors, of whom the first are named.
pub(super) fn line(sender: String, ancestors: &[Identity]) -> String {
    let more = ancestors.len().saturating_sub(ANCESTORS);
    let more = (more > 0).then(|| format!("… {more} more"));
    let ancestors = ancestors.iter().take(ANCESTORS).map(short);
    std::iter::once(sender).chain(ancestors).chain(more).collect::<Vec<_>>().join(" < ")
}

pub(super) fn short(process: &Identity) -> String {
    Identity { ns_level: 0, ..*process }.to_string()
}

pub(super) fn fix(kill: &Kill) -> String {
    let sender = match &kill.sender {
        Sender::Process(_) if let [client, ..] = &kill.asked_by[..] => client.comm.to_string(),
        Sender::Process(sender) if !sender.comm.bytes().is_empty() => sender.comm.to_string(),
        _ => "the sender".to_owned(),
    };
    let text = match kill.killer {
        Killer::Process => {
            let who = if kill.ancestors.is_empty() { "" } else { " (whoever stands behind it has started it)" };
            let way = if kill.signal == Signal::KILL {
                "no program can handle SIGKILL".to_owned()
            } else {
                format!("a program that is to end in order handles {}", kill.signal)
            };
            return format!("if it was not meant, find out why {sender} sent it{who}; {way}");
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
        Killer::ParentDeath if kill.sender_lives => {
            "have a thread that lives as long as the process start it (the main thread; in Go with \
             runtime.LockOSThread()), or do without that signal: the kernel sends it when the thread ends that created \
             the process"
        }
        Killer::ParentDeath => {
            "who is to outlive its parent must not ask for that signal; the end of the thread that created it is enough \
             to send it"
        }
        Killer::TracerExit => {
            "what should outlive its tracer must be detached from before that ends, or traced without PTRACE_O_EXITKILL"
        }
        Killer::HangUp | Killer::Terminal => {
            "what should outlive a terminal belongs into a session of its own (setsid, nohup, tmux, systemd-run)"
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
        Killer::Timer => {
            "install a handler before the timer is set; alarm() and setitimer() survive an exec, handlers do not"
        }
        Killer::CpuLimit => "raise the limit (ulimit -t, LimitCPU=), or find out what it computes for so long",
        Killer::FileSizeLimit => "raise the limit (ulimit -f, LimitFSIZE=), or have it write less to one file",
        Killer::Oom => match kill.out_of_memory {
            Some(OutOfMemory::Group(_)) => {
                "give the group more (memory.max, docker run --memory, MemoryMax=, a pod's limits.memory), or have it use \
             less; the kernel's log (dmesg) has the table of who used how much"
            }
            Some(OutOfMemory::Machine) => {
                "find out who used the memory: the kernel's log (dmesg) has the table, and what was chosen need not be the \
             cause (oom_score_adj); a limit on each container (memory.max, --memory) keeps one from taking all"
            }
            None => {
                "the kernel's log (dmesg) has the table of who used how much, and whether its control group or the machine \
             was out of memory; give it more (memory.max, --memory), or have it use less"
            }
        },
        Killer::Kernel => "see the kernel's log (dmesg) at that time",
        Killer::NamespaceEnd | Killer::Unknown => {
            "start `tracer` earlier, or with a larger --ring-size; seccomp's strict mode ends a process without a signal"
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, SignalSent},
        ident::Args,
        story::{Story, born, born_in, end, key, kill},
    };

    /// `sshd` (2) < `bash` (3) < `kill` (4), and `sleep` (10) beside them.
    fn host() -> Story {
        let mut story = Story::new();
        for (pid, parent, comm) in [(2, 1, "sshd"), (3, 2, "bash"), (4, 3, "kill"), (10, 2, "sleep")] {
            story.fork(born(pid, parent)).exec(pid, comm);
        }
        story
    }

    /// `sleep` gets a signal and ends by it.
    fn killed(story: &mut Story, sent: SignalSent) -> Finding {
        let status = ExitStatus(i32::from(sent.signal.0));
        story.signal(sent).exit(Exit { status, ..end(10, 2, Adopter::None) }).wait(200, &[]);
        story.only()
    }

    #[test]
    fn the_sender_is_named_with_those_that_started_it() {
        let finding = killed(&mut host(), kill(4, 10, Signal::TERM));
        assert_eq!(
            finding.message,
            "sleep (pid 10) was ended by SIGTERM from kill (pid 4) < bash (pid 3) < sshd (pid 2) < p1 (pid 1)."
        );
        assert_eq!((finding.confidence, finding.evidence.len()), (Confidence::Certain, 2));
    }

    #[test]
    fn a_line_of_ancestors_ends_at_the_init_of_their_namespace() {
        let mut story = host();
        let ns = 4_026_532_500;
        story.fork(born_in(ns, 20, 1, 2)).fork(born_in(ns, 21, 2, 20)).fork(born_in(ns, 22, 3, 21));
        let message = killed(&mut story, kill(22, 10, Signal::TERM)).message;
        assert!(
            message.ends_with("from p22 (pid 22, pid 3 in namespace 4026532500) < p21 (pid 21) < p20 (pid 20)."),
            "{message}"
        );
    }

    #[test]
    fn each_cause_has_its_sentence_and_its_advice() {
        let (kernel, none, group, exiting) = (bit::KERNEL_INFO, bit::NO_INFO, bit::GROUP, bit::SENDER_EXITING);
        for (from, signal, flags, code, text, advice) in [
            (
                2,
                Signal::KILL,
                none | group | exiting,
                0,
                "that had made it ended; sshd (pid 2) itself lives",
                "thread that lives",
            ),
            (4, Signal::KILL, none, 0, "(pid 1) wrote to cgroup.kill of its control group", "kill ended the control"),
            (4, Signal::KILL, kernel | exiting | bit::TRACED, 0, "its tracer kill (pid 4) ended", "PTRACE_O_EXITKILL"),
            (2, Signal::HUP, kernel | exiting | group, 0, "it has lost its terminal", "setsid"),
            (2, Signal::INT, kernel | group, 0, "from its terminal, as at Ctrl-C.", "setsid"),
            (2, Signal::QUIT, kernel | group, 0, "as at Ctrl-\\.", "setsid"),
            (10, Signal::SEGV, 0, 1, "nothing is mapped (SEGV_MAPERR)", "core dump"),
            (10, Signal(8), 0, 1, "divided by zero, or the quotient is too large (FPE_INTDIV)", "core dump"),
            (10, Signal::SYS, 0, 1, "its seccomp filter", "type=1326"),
            (10, Signal::PIPE, none, 0, "nobody reads any more", "SIGPIPE"),
            (10, Signal::ALRM, kernel | group, 0, "a timer of its own", "handler"),
            (10, Signal::XCPU, kernel | group, 0, "(RLIMIT_CPU)", "ulimit -t"),
            (10, Signal::XFSZ, none, 0, "(RLIMIT_FSIZE)", "ulimit -f"),
            (10, ABORT, 0, -6, "it called abort()", "failed assertion"),
            (10, Signal::TERM, 0, -6, "with raise() or a kill() of its own pid", "nobody else"),
            (2, Signal::KILL, kernel | group, 0, "most likely for want of memory", "dmesg"),
        ] {
            let finding = killed(&mut host(), SignalSent { flags, code, ..kill(from, 10, signal) });
            assert!(finding.message.contains(text), "{text}: {}", finding.message);
            assert!(finding.fix.contains(advice), "{advice}: {}", finding.fix);
        }
    }

    #[test]
    fn what_the_kernel_does_not_say_is_incomplete() {
        let kernel = SignalSent { flags: bit::KERNEL_INFO | bit::GROUP, ..kill(4, 10, Signal::KILL) };
        let limit = SignalSent { current: kernel.target, ..kernel };
        for sent in [kernel, limit] {
            assert!(matches!(killed(&mut host(), sent).confidence, Confidence::Incomplete(_)));
        }
    }

    #[test]
    fn a_long_line_of_ancestors_is_cut_and_ends_at_the_command_of_the_recording() {
        let mut story = host();
        for pid in 20..30 {
            story.fork(born(pid, if pid == 20 { 4 } else { pid - 1 }));
        }
        let finding = killed(&mut story, kill(29, 10, Signal::TERM));
        let text = "from p29 (pid 29) < p28 (pid 28) < p27 (pid 27) < p26 (pid 26) < … 10 more.";
        assert!(finding.message.ends_with(text), "{}", finding.message);
        let Detail::KilledBy(all) = finding.detail else { panic!() };
        assert_eq!(all.ancestors.len(), 13);

        let mut story = host();
        story.event(EventKind::CommandStarted(key(3), Args::default()));
        let message = killed(&mut story, kill(4, 10, Signal::TERM)).message;
        assert!(message.ends_with("from kill (pid 4) < bash (pid 3)."), "{message}");
        let mut story = host();
        story.event(EventKind::CommandStarted(key(4), Args::default()));
        let message = killed(&mut story, kill(4, 10, Signal::TERM)).message;
        assert!(message.ends_with("from kill (pid 4)."), "{message}");
    }

    #[test]
    fn many_are_one_sentence() {
        let mut story = host();
        for pid in 100..115 {
            let status = ExitStatus(0x80 | 3);
            story.fork(born(pid, 2)).signal(kill(4, pid, Signal::QUIT));
            story.exit(Exit { status, ..end(pid, 2, Adopter::None) });
        }
        let message = story.wait(200, &[]).only().message;
        assert!(message.starts_with("15 processes were ended by SIGQUIT from kill (pid 4) <"), "{message}");
        assert!(message.contains(": p100 (pid 100), p101 (pid 101), "), "{message}");
        assert!(message.ends_with("p109 (pid 109) and 5 more. 15 of them left a core dump."), "{message}");
    }

    #[test]
    fn who_raises_what_it_has_handled_was_ended_by_the_first_sender() {
        let mut story = host();
        story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(4, 10, Signal::INT) });
        let message = killed(&mut story, SignalSent { code: -6, ..kill(10, 10, Signal::INT) }).message;
        assert!(message.starts_with("sleep (pid 10) handled SIGINT from kill (pid 4) <"), "{message}");
    }
}
