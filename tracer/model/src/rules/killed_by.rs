//! `killed-by`: a signal ended a process, or many at once: who sent it.

use std::sync::Arc;

use crate::{
    change::Change,
    finding::{
        About, Confidence, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity, Value, fact::Visibility,
    },
    host::OutOfMemory,
    ident::{Identity, quote},
    kill::{EngineExec, Kill},
    origin::{How, Sent, Step},
    programs::is_browser,
    rules::{
        Opinion, Rule, origins,
        words::{self, line, short},
    },
    signal::{
        self, Aim, Sender, Signal,
        killer::{self, Killer},
    },
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::World,
};

/// What is known of ends by a signal, wherever that is told.
pub(super) const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that ended them").role(Role::FatalSignal),
    FactDef::new("code", Kind::Number, "its `si_code`, as the receiver would have seen it; 0 if it was not seen")
        .role(Role::Code),
    FactDef::new("code_name", Kind::Text, "its name in sigaction(2)").nullable(),
    FactDef::new("how", Kind::Word(Killer::IDS), "where it came from").role(Role::Reason),
    FactDef::new(
        "sender",
        Kind::Sender,
        "who sent it; of a signal that the kernel sends because of a process (`PR_SET_PDEATHSIG`, say), that process",
    )
    .role(Role::Sender),
    FactDef::new(
        "sender_lives",
        Kind::Flag,
        "only for `parent-death` and `tracer-exit`: whether that process lives on, because only the thread ended that had \
         created or traced the other",
    )
    .optional(),
    FactDef::new(
        "ancestors",
        Kind::Processes,
        "the sender's parent, grandparent and so on at that time, up to the init of its namespace",
    ),
    words::ASKED_BY,
    origins::ORIGIN,
    origins::CALL.nullable(),
    FactDef::new(
        "terminal",
        Kind::Text,
        "only of a `hang-up` by the end of the leader of the session: its terminal, such as `/dev/pts/3`",
    )
    .optional(),
    FactDef::new(
        "exec",
        Kind::Record(EXEC),
        "only of a process that an engine had brought into a container without a client, and ended",
    )
    .optional(),
    FactDef::new("count", Kind::Count, "how many it ended within 100 ms").role(Role::Killed),
    FactDef::new("victims", Kind::Processes, "the first ten of them").role(Role::Victims),
    FactDef::new("raised_again", Kind::Count, "how many of them had handled the signal and then raised it once more"),
    FactDef::new(
        "former",
        Kind::Process,
        "of the first victim: whose its pid had been until it got it, less than 10 minutes before, if that was another \
         program; null if nothing such was seen",
    )
    .nullable(),
    FactDef::new("core_dumps", Kind::Count, "how many left a core dump"),
    FactDef::new("out_of_memory", Kind::Record(OUT_OF_MEMORY), "only of `oom`, where the kernel's log could be read")
        .nullable(),
    FactDef::bulky("others", "the other victims"),
    FactDef { visibility: Visibility::Hidden, ..FactDef::new("status", Kind::Status, "how the first of them ended") }
        .role(Role::Status)
        .optional(),
    FactDef::alike(),
];

const EXEC: &[FactDef] = &[
    FactDef::new("command", Kind::Text, "its command line"),
    FactDef::new("age_ns", Kind::Span, "how long it had run"),
];

const OUT_OF_MEMORY: &[FactDef] = &[
    FactDef::new(
        "whose",
        Kind::Word(&["machine", "group"]),
        "who was out of memory: the machine, or a control group at its limit",
    ),
    FactDef::new("group", Kind::Text, "its path, if the kernel's log said which").nullable(),
];

/// What is known of an end. `alike` is what it has in common with others.
pub(super) fn facts(kill: &Kill, alike: Option<Vec<Part>>) -> Facts {
    let exhausted = kill.out_of_memory.as_ref().map(|whose| {
        let (whose, group) = match whose {
            OutOfMemory::Machine => ("machine", None),
            OutOfMemory::Group(path) => ("group", path.clone()),
        };
        Facts::of(OUT_OF_MEMORY, [("whose", whose.into()), ("group", group.into())])
    });
    let sender_lives = kill.killer.is_of_thread().then_some(kill.sender_lives);
    Facts::of(
        FACTS,
        [
            ("signal", kill.signal.into()),
            ("code", kill.code.into()),
            ("code_name", signal::code_name(kill.signal, kill.code).map(str::to_owned).into()),
            ("how", kill.killer.id().into()),
            ("sender", kill.sender.into()),
            ("sender_lives", sender_lives.into()),
            ("ancestors", kill.ancestors.clone().into()),
            ("asked_by", kill.asked_by.clone().into()),
            ("origin", origins::facts(&kill.origin, kill.sent_at.unwrap_or(kill.died_at)).into()),
            ("call", kill.call.as_ref().map(origins::call_facts).into()),
            ("terminal", kill.terminal.map(|terminal| terminal.to_string()).into()),
            ("exec", kill.exec.as_ref().map(exec_facts).into()),
            ("count", kill.count.into()),
            ("victims", kill.victims.clone().into()),
            ("raised_again", kill.raised_again.into()),
            ("former", kill.former.map(|former| former.process).into()),
            ("core_dumps", kill.cores.into()),
            ("out_of_memory", exhausted.into()),
            ("others", Value::from(Arc::clone(&kill.others))),
            ("status", kill.status.into()),
            ("alike", alike.into()),
        ],
    )
}

fn exec_facts(exec: &EngineExec) -> Facts {
    Facts::of(EXEC, [("command", exec.args.to_string().into()), ("age_ns", exec.age.into())])
}

/// What the sender of ends that are alike has in common.
pub(super) fn alike_sender(kill: &Kill) -> [Part; 2] {
    match &kill.sender {
        Sender::Process(sender) => [Part::Name(sender.comm), Part::Family(kill.sender_family)],
        Sender::Kernel(_) | Sender::Unknown => [Part::Nobody, Part::Nobody],
    }
}

pub(super) static DEF: RuleDef = RuleDef {
    name: "killed-by",
    severity: Severity::Info,
    about: About::End,
    summary: "a signal ended a process: who sent it, or what the process did to get it",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("killed_by.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(KilledBy { slow_stop_after: thresholds.slow_stop_after })
}

struct KilledBy {
    /// Of what was stopped so slowly another rule tells the whole story.
    slow_stop_after: Span,
}

impl Rule for KilledBy {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        let Change::Killed(kill) = change else { return Opinion::Quiet };
        let Some(&first) = kill.victims.first() else { return Opinion::Quiet };
        // Others tell of that end, and of all that came of it.
        if kill.slow_stop(self.slow_stop_after).is_some() || kill.ending.is_some() || is_of_browser(kill) {
            return Opinion::Quiet;
        }
        let of = [Part::Word(kill.killer.id()), Part::Name(first.comm), Part::Family(Some(kill.family))];
        let alike: Vec<_> = of.into_iter().chain(alike_sender(kill)).chain([Part::Flag(kill.count > 1)]).collect();
        Opinion::Found(Box::new(Finding {
            confidence: confidence(kill),
            headline: headline(kill, &first),
            notes: notes(kill),
            fixes: fixes(kill),
            evidence: kill.evidence.clone(),
            facts: facts(kill, Some(alike)),
            ..Finding::new(&DEF, world.now(), kill.sent_at.unwrap_or(kill.died_at), first)
        }))
    }
}

/// A browser has ended helpers of its own, which it does all the time, and nobody had told it to.
fn is_of_browser(kill: &Kill) -> bool {
    let (Killer::Process, Sender::Process(sender)) = (kill.killer, &kill.sender) else { return false };
    let is_own =
        || kill.everybody().all(|victim| victim.comm == sender.comm) && kill.sender_family == Some(kill.family);
    is_browser(sender.comm.bytes()) && kill.origin.is_empty() && is_own()
}

fn confidence(kill: &Kill) -> Confidence {
    let note = match kill.killer {
        Killer::Unknown => {
            "the signal was not seen: it was sent before tracing began, or its record was lost, or the kernel ended the \
             process without one"
        }
        Killer::Kernel => "the kernel does not say why it sends such a signal",
        Killer::CpuLimit if kill.signal == Signal::KILL => {
            "the kernel does not say why; a BPF program that ends the process that is running looks the same \
             (bpf_send_signal(), which security tools use)"
        }
        Killer::CgroupKill if kill.is_of_sender_alone() => {
            "a security module that ends a process looks the same (a profile of AppArmor in kill mode)"
        }
        _ if kill.has_rival => {
            "others had sent that signal, too, and it had to wait; the kernel delivers this one first, unless the program \
             has taken it by itself (sigwait, signalfd)"
        }
        _ => return Confidence::Certain,
    };
    Confidence::Incomplete(note.to_owned())
}

fn headline(kill: &Kill, first: &Identity) -> String {
    let Kill { signal, count, raised_again, .. } = kill;
    let first = short(first);
    if *count > 1 {
        return format!("{count} processes were ended by {signal}{}", briefly(kill));
    }
    match kill.killer {
        Killer::Itself if let Some(child) = repeated(kill) => {
            format!("{first} ended itself with {signal}, because its child {} died of it", short(child))
        }
        Killer::Itself if is_abort(kill) => format!("{first} ended itself with {signal}: it called abort()"),
        Killer::Itself if let Some((asked, sent)) = asked(kill) => {
            let after = seconds(kill.sent_at.unwrap_or(kill.died_at) - asked.at);
            format!("{first} ended itself with {signal} {after} after {}{}", sent.signal, origins::by(sent))
        }
        Killer::Itself => format!("{first} ended itself with {signal} (raise(), or kill() on its own pid)"),
        Killer::Process if let Some(exec) = &kill.exec => {
            let age = seconds(exec.age);
            format!("{first} was ended by {signal}: the engine gave up on its own exec after {age}")
        }
        _ if *raised_again > 0 => match briefly(kill) {
            why if why.starts_with(':') => format!("{first} handled {signal}, raised it again and ended{why}"),
            from => format!("{first} handled {signal}{from}, then raised it again and ended"),
        },
        _ => format!("{first} was ended by {signal}{}", briefly(kill)),
    }
}

/// The child whose end the process repeated, for whoever waits for it to see.
fn repeated(kill: &Kill) -> Option<&Identity> {
    let last = kill.origin.last().filter(|_| kill.killer == Killer::Itself)?;
    (last.how == How::ChildEnded).then_some(&last.to)
}

/// abort(3) sends it to its own thread.
fn is_abort(kill: &Kill) -> bool {
    kill.signal == Signal::ABRT && kill.code == signal::SI_TKILL
}

/// The request to end that a process had handled before it ended itself, and perhaps passed on to its group.
fn asked(kill: &Kill) -> Option<(&Step, &Sent)> {
    let is_it = |last: &&Step| kill.killer == Killer::Itself && matches!(last.how, How::Before | How::PassedOn);
    let last = kill.origin.last().filter(is_it)?;
    Some((last, last.sent.as_ref()?))
}

/// Where the signal came from, in a few words, as the end of a headline.
pub(super) fn briefly(kill: &Kill) -> String {
    let sender = match &kill.sender {
        Sender::Process(sender) => short(sender),
        sender => sender.to_string(),
    };
    let its = if kill.count == 1 { "its" } else { "their" };
    match kill.killer {
        Killer::Process if kill.call.as_ref().is_some_and(|call| call.aim == Aim::OwnGroup) => {
            format!(" from {sender}, which sent it to its whole process group")
        }
        Killer::Process | Killer::Itself => format!(" from {sender}"),
        Killer::ParentDeath if kill.sender_lives => format!(": a thread of {its} parent {sender} ended"),
        Killer::ParentDeath => format!(": {its} parent {sender} ended"),
        Killer::CgroupKill => format!(": {sender} ended {its} control group"),
        Killer::TracerExit if kill.sender_lives => format!(": a thread of {its} tracer {sender} ended"),
        Killer::TracerExit => format!(": {its} tracer {sender} ended"),
        Killer::HangUp => match kill.terminal {
            Some(terminal) => format!(": {sender} ended, and with it {its} session at {terminal}"),
            None => format!(": {sender} ended, and with it {its} terminal or session"),
        },
        Killer::Terminal => match kill.signal {
            Signal::HUP => format!(": {its} terminal was hung up"),
            signal => {
                let terminal = kill.call.as_ref().and_then(|call| call.terminal);
                let terminal = terminal.map_or_else(|| format!("{its} terminal"), |terminal| terminal.to_string());
                format!(" from {terminal}{}", origins::key(signal).map_or_else(String::new, |key| format!(" ({key})")))
            }
        },
        Killer::Fault => match signal::code_name(kill.signal, kill.code) {
            Some(name) => format!(" after a fault ({name})"),
            None => " after a fault".to_owned(),
        },
        Killer::Seccomp if kill.signal == Signal::KILL => {
            ": seccomp's strict mode allows only read, write, exit and sigreturn".to_owned()
        }
        Killer::Seccomp => ": its seccomp filter forbids a system call".to_owned(),
        Killer::BrokenPipe => ": it wrote to a pipe or socket that nobody reads".to_owned(),
        Killer::Timer if kill.raised_again > 0 => ": its own timer expired".to_owned(),
        Killer::Timer => ": its own timer expired, and it has no handler".to_owned(),
        Killer::CpuLimit if kill.signal == Signal::KILL => {
            ": most likely it exceeded its CPU time limit (RLIMIT_CPU, or RLIMIT_RTTIME)".to_owned()
        }
        Killer::CpuLimit => ": it exceeded its CPU time limit (RLIMIT_CPU, or RLIMIT_RTTIME)".to_owned(),
        Killer::FileSizeLimit => ": it exceeded its file size limit (RLIMIT_FSIZE)".to_owned(),
        Killer::Oom => match &kill.out_of_memory {
            None => " from the out-of-memory killer".to_owned(),
            Some(OutOfMemory::Machine) => ": the machine was out of memory".to_owned(),
            Some(OutOfMemory::Group(_)) => format!(": {its} control group was at its memory limit"),
        },
        Killer::NamespaceEnd => format!(" at the end of {its} pid namespace"),
        Killer::Kernel if kill.signal == Signal::KILL => {
            " from the kernel, most likely because memory ran out".to_owned()
        }
        Killer::Kernel => " from the kernel".to_owned(),
        Killer::Unknown => "; the sender was not seen".to_owned(),
    }
}

fn notes(kill: &Kill) -> Vec<Note> {
    let Kill { count, victims, raised_again, cores, .. } = kill;
    let ended = (*count > 1).then(|| Note::new("ended", words::names(victims, *count)));
    let handled = match (raised_again, count) {
        (0, _) => None,
        (_, 1) => Some(Note::new("handled", "by the program, which then raised it again (a common practice)")),
        (1, _) => Some(Note::new("handled", "by one of them, which then raised it again (a common practice)")),
        (n, _) => Some(Note::new("handled", format!("by {n} of them, which then raised it again (a common practice)"))),
    };
    let cores = match (cores, count) {
        (0, _) => None,
        (_, 1) => Some(Note::new("core dump", "it left one")),
        (cores, _) => Some(Note::new("core dump", format!("{cores} of them left one"))),
    };
    let sent_at = kill.sent_at.unwrap_or(kill.died_at);
    let because = origins::notes(&kill.origin, sent_at);
    let call = kill.call.as_ref().filter(|call| call.sent > 1 || call.terminal.is_some()).map(origins::call_note);
    let exec = kill.exec.as_ref().filter(|_| *count == 1).map(|exec| {
        let why = "no client is known, so most likely a health check, a probe or a hook";
        Note::new("exec", format!("{}; {why}", exec.args))
    });
    let former = kill.former.as_ref().filter(|_| *count == 1).map(|former| words::former(former, sent_at));
    let first = [words::asked_by(&kill.asked_by), origin(kill), former, exec, call].into_iter().flatten();
    first.chain(because).chain([ended, handled, cores].into_iter().flatten()).collect()
}

/// Where the signal came from, in full.
pub(super) fn origin(kill: &Kill) -> Option<Note> {
    let Kill { signal, code, killer, sender, count, .. } = kill;
    let (it, its) = if *count == 1 { ("it", "its") } else { ("they", "their") };
    let them = if *count == 1 { "it" } else { "them" };
    let cause = match killer {
        Killer::Process => return Some(Note::new("sent by", chain(kill))),
        Killer::ParentDeath if kill.sender_lives => format!(
            "{it} requested that signal ({SET_PDEATHSIG}), and the thread of {its} parent {sender} that created {them} \
             ended; {sender} itself lives on"
        ),
        Killer::ParentDeath => format!("{it} requested that signal ({SET_PDEATHSIG})"),
        Killer::CgroupKill => return Some(Note::new("sent by", format!("{}: it wrote to cgroup.kill", chain(kill)))),
        Killer::TracerExit if kill.sender_lives => format!(
            "{sender} requested that (PTRACE_O_EXITKILL), and the thread of it that traced {them} ended; {sender} itself \
             lives on"
        ),
        Killer::TracerExit => format!("{sender} requested that (PTRACE_O_EXITKILL)"),
        Killer::HangUp if kill.terminal.is_some() => {
            format!("{it} lost {its} terminal when the leader of the session ended")
        }
        Killer::HangUp => format!("{it} lost {its} terminal, or nobody was left who could continue {its} stopped job"),
        Killer::Terminal if *signal == Signal::HUP => "the window or the connection was closed".to_owned(),
        Killer::Fault => killer::fault(*signal, *code).to_owned(),
        Killer::Oom => match &kill.out_of_memory {
            Some(OutOfMemory::Group(Some(path))) => {
                format!("the control group {} was at its memory limit", quote(path))
            }
            _ => return None,
        },
        Killer::Itself
        | Killer::Terminal
        | Killer::Seccomp
        | Killer::BrokenPipe
        | Killer::Timer
        | Killer::CpuLimit
        | Killer::FileSizeLimit
        | Killer::NamespaceEnd
        | Killer::Kernel
        | Killer::Unknown => return None,
    };
    Some(Note::new("cause", cause))
}

const SET_PDEATHSIG: &str = "PR_SET_PDEATHSIG";

/// The sender and its ancestors: `kill (pid 12) < bash (pid 3) < sshd (pid 2)`.
fn chain(kill: &Kill) -> String {
    let sender = match &kill.sender {
        Sender::Process(sender) => words::who(sender),
        sender => sender.to_string(),
    };
    line(sender, kill.ancestors.get(..kill.chain).unwrap_or(&kill.ancestors))
}

/// Who ended it because a timer ran out (timeout(1)), if that is how it began.
fn timed_out(kill: &Kill) -> Option<&Identity> {
    let first = kill.origin.first()?;
    let is_timer = first.sent.as_ref().is_some_and(|sent| sent.killer == Killer::Timer);
    (is_timer && first.how == How::Answer).then_some(&first.to)
}

pub(super) const OUTLIVE: &str =
    "run what should outlive a terminal in a session of its own (setsid, nohup, tmux, systemd-run)";

/// What helps against it.
pub(super) fn fixes(kill: &Kill) -> Vec<String> {
    let sender = match &kill.sender {
        _ if let Some(first) = origins::first(&kill.origin) => first.comm.to_string(),
        Sender::Process(_) if let [client, ..] = &kill.asked_by[..] => client.comm.to_string(),
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
            let outlive = origins::is_hang_up(&kill.origin).then(|| OUTLIVE.to_owned());
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
        Killer::Itself if is_abort(kill) => &[
            "look at its last output on standard error: abort() follows a failed assertion, a panic, or heap corruption \
             that the allocator detected",
            core,
        ],
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
        Killer::HangUp | Killer::Terminal => &[OUTLIVE],
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

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Exit, ExitStatus, SignalSent},
        ident::Args,
        signal::{Place, Terminal},
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
            finding.message(),
            "sleep (pid 10) was ended by SIGTERM from kill (pid 4). Sent by: kill (pid 4) < bash (pid 3) < sshd (pid 2) < \
             p1 (pid 1)."
        );
        assert_eq!((finding.confidence, finding.evidence.len()), (Confidence::Certain, 2));
    }

    #[test]
    fn a_browser_that_ends_its_own_helpers_is_no_news() {
        for (parent, killer, want) in [
            ("chromium", "chromium", &[][..]),
            ("chromium", "kill", &["killed-by"]),
            ("gunicorn", "gunicorn", &["killed-by"]),
        ] {
            let mut story = host();
            story.fork(born(20, 3)).exec(20, parent).fork(born(21, 20)).fork(born(22, 21)).exec(22, parent);
            story.fork(born(23, 3)).exec(23, killer);
            let from = if killer == parent { 20 } else { 23 };
            let status = ExitStatus(i32::from(Signal::TERM.0));
            story.signal(kill(from, 22, Signal::TERM)).exit(Exit { status, ..end(22, 21, Adopter::None) });
            assert_eq!(story.wait(200, &[]).rules(), want, "{parent} {killer}");
        }
    }

    #[test]
    fn whose_time_was_up_is_to_get_more() {
        let mut story = host();
        story.fork(born(30, 3)).exec(30, "timeout").fork(born(31, 30)).exec(31, "build");
        story.signal(SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(3, 30, Signal::ALRM) });
        let status = ExitStatus(i32::from(Signal::TERM.0));
        story.signal(kill(30, 31, Signal::TERM)).exit(Exit { status, ..end(31, 30, Adopter::None) });
        let fix = story.wait(200, &[]).only().fix();
        assert_eq!(fix, "give it more time, or find out what took so long: a timer of timeout ran out");
    }

    #[test]
    fn whoever_handles_its_own_timer_and_raises_it_again_needs_no_handler() {
        let mut story = host();
        let timer = SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(4, 10, Signal::ALRM) };
        let finding = killed(story.signal(timer), SignalSent { code: -6, flags: 0, ..kill(10, 10, Signal::ALRM) });
        let said = "sleep (pid 10) handled SIGALRM, raised it again and ended: its own timer expired";
        assert_eq!(finding.headline, said);
        assert!(!finding.fix().contains("install a handler"), "{}", finding.fix());
    }

    #[test]
    fn what_is_raised_again_after_a_hang_up_has_a_sentence_of_its_own() {
        let mut story = host();
        let hang_up = SignalSent { flags: bit::KERNEL_INFO | bit::GROUP | bit::HANDLER, ..kill(2, 10, Signal::HUP) };
        let finding = killed(story.signal(hang_up), kill(10, 10, Signal::HUP));
        let said = "sleep (pid 10) handled SIGHUP, raised it again and ended: its terminal was hung up";
        assert_eq!(finding.headline, said);
    }

    #[test]
    fn a_bus_error_of_a_mapped_file_leads_to_the_full_file_system() {
        let of_kernel = kill(10, 10, Signal::BUS);
        for (code, word) in [(1, "core dump"), (2, "/dev/shm"), (4, "broken memory")] {
            let finding = killed(&mut host(), SignalSent { code, flags: 0, ..of_kernel });
            assert!(finding.fix().contains(word), "{code}: {}", finding.fix());
        }
    }

    #[test]
    fn a_line_of_ancestors_ends_at_the_init_of_their_namespace() {
        let mut story = host();
        let ns = 4_026_532_500;
        story.fork(born_in(ns, 20, 1, 2)).fork(born_in(ns, 21, 2, 20)).fork(born_in(ns, 22, 3, 21));
        let message = killed(&mut story, kill(22, 10, Signal::TERM)).message();
        assert!(message.ends_with(" p22 (pid 22, pid 3 inside) < p21 (pid 21) < p20 (pid 20)."), "{message}");
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
                "that created it ended; sshd (pid 2) itself lives",
                "thread that lives",
            ),
            (4, Signal::KILL, none, 0, "kill (pid 4) ended its control group", "kill killed the control"),
            (4, Signal::KILL, kernel | exiting | bit::TRACED, 0, "its tracer kill (pid 4) ended", "PTRACE_O_EXITKILL"),
            (2, Signal::HUP, kernel | exiting | group, 0, "it lost its terminal", "setsid"),
            (2, Signal::INT, kernel | group, 0, "from its terminal (Ctrl-C).", "setsid"),
            (2, Signal::QUIT, kernel | group, 0, "from its terminal (Ctrl-\\).", "setsid"),
            (10, Signal::SEGV, 0, 1, "nothing is mapped", "core dump"),
            (10, Signal(8), 0, 1, "(FPE_INTDIV)", "core dump"),
            (10, Signal::SYS, 0, 1, "its seccomp filter", "type=1326"),
            (10, Signal::PIPE, none, 0, "nobody reads", "SIGPIPE"),
            (10, Signal::ALRM, kernel | group, 0, "its own timer", "handler"),
            (10, Signal::XCPU, kernel | group, 0, "(RLIMIT_CPU, or", "ulimit -t"),
            (10, Signal::XFSZ, none, 0, "(RLIMIT_FSIZE)", "ulimit -f"),
            (10, Signal::ABRT, 0, -6, "it called abort()", "failed assertion"),
            (10, Signal::TERM, 0, -6, "(raise(), or kill() on its own pid)", "no other process"),
            // `kill -ABRT $$`
            (10, Signal::ABRT, group, 0, "(raise(), or kill() on its own pid)", "no other process"),
            (10, Signal::KILL, kernel | group, 0, "most likely it exceeded its CPU time limit", "BPF"),
            (2, Signal::KILL, kernel | group, 0, "most likely because memory ran out", "dmesg"),
        ] {
            let finding = killed(&mut host(), SignalSent { flags, code, ..kill(from, 10, signal) });
            assert!(finding.message().contains(text), "{text}: {}", finding.message());
            assert!(finding.fix().contains(advice), "{advice}: {}", finding.fix());
        }
    }

    #[test]
    fn a_hang_up_names_the_terminal_only_if_the_leader_of_its_session_ends() {
        let terminal = Some(Terminal(136 << 20 | 3));
        let flags = bit::KERNEL_INFO | bit::SENDER_EXITING | bit::GROUP;
        let of = |session| {
            let place = Place { group: 10, session, terminal };
            let finding = killed(&mut host(), SignalSent { flags, place, ..kill(2, 10, Signal::HUP) });
            let said = finding.facts.get("terminal").clone();
            (finding.headline, matches!(said, Value::Text(terminal) if terminal == "/dev/pts/3"))
        };
        let named = "sleep (pid 10) was ended by SIGHUP: sshd (pid 2) ended, and with it its session at /dev/pts/3";
        assert_eq!(of(2), (named.to_owned(), true));
        // A member of the session that ends leaves a stopped job behind; the terminal stays.
        let (said, is_named) = of(3);
        assert!(!is_named && said.ends_with("and with it its terminal or session"), "{said}");
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
        let text = "by: p29 (pid 29) < p28 (pid 28) < p27 (pid 27) < p26 (pid 26) < … 10 more.";
        assert!(finding.message().ends_with(text), "{}", finding.message());
        assert_eq!(finding.facts.get("ancestors").processes().len(), 13);

        let mut story = host();
        story.event(EventKind::CommandStarted(key(3), Args::default()));
        let message = killed(&mut story, kill(4, 10, Signal::TERM)).message();
        assert!(message.ends_with("by: kill (pid 4) < bash (pid 3)."), "{message}");
        let mut story = host();
        story.event(EventKind::CommandStarted(key(4), Args::default()));
        let message = killed(&mut story, kill(4, 10, Signal::TERM)).message();
        assert!(message.ends_with("by: kill (pid 4)."), "{message}");
    }

    #[test]
    fn many_are_one_sentence() {
        let mut story = host();
        for pid in 100..115 {
            let status = ExitStatus(0x80 | 3);
            story.fork(born(pid, 2)).signal(kill(4, pid, Signal::QUIT));
            story.exit(Exit { status, ..end(pid, 2, Adopter::None) });
        }
        let message = story.wait(200, &[]).only().message();
        assert!(message.starts_with("15 processes were ended by SIGQUIT from kill (pid 4). "), "{message}");
        assert!(message.contains(": p100 (pid 100), p101 (pid 101), "), "{message}");
        assert!(message.ends_with("p109 (pid 109) and 5 more. Core dump: 15 of them left one."), "{message}");
    }

    #[test]
    fn who_raises_what_it_has_handled_was_ended_by_the_first_sender() {
        let mut story = host();
        story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(4, 10, Signal::INT) });
        let message = killed(&mut story, SignalSent { code: -6, ..kill(10, 10, Signal::INT) }).message();
        assert!(
            message.starts_with("sleep (pid 10) handled SIGINT from kill (pid 4), then raised it again and ended."),
            "{message}"
        );
    }
}
