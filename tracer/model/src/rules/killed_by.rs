//! `killed-by`: a signal ended a process, or many at once: who sent it.

use crate::{
    change::{Change, Topic},
    finding::{About, Confidence, Finding, Note, Part, RuleDef, Severity},
    host::OutOfMemory,
    ident::{Identity, quote},
    kill::Kill,
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

mod facts;
mod fixes;

pub(super) use facts::{FACTS, facts};
pub(super) use fixes::fixes;

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

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Killed]
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
            Signal::HUP => match &kill.sender {
                Sender::Process(_) => format!(": {sender} hung up {its} terminal"),
                Sender::Kernel(_) | Sender::Unknown => format!(": {its} terminal was hung up"),
            },
            signal => {
                let terminal = kill.call.as_ref().and_then(|call| call.terminal);
                let terminal = terminal.map_or_else(|| format!("{its} terminal"), |terminal| terminal.to_string());
                format!(" from {terminal}{}", origins::key(signal).map_or_else(String::new, |key| format!(" ({key})")))
            }
        },
        Killer::Fault if kill.aborted => {
            format!(": {} had called abort(), and is pid 1", if kill.count == 1 { "it" } else { "they" })
        }
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
        Killer::Terminal if *signal == Signal::HUP => words::hung_up(matches!(sender, Sender::Process(_))).to_owned(),
        Killer::Fault if kill.aborted => {
            "the kernel drops SIGABRT that pid 1 sends itself; abort() then executes an instruction that faults, to end \
             the process all the same"
                .to_owned()
        }
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

#[cfg(test)]
mod tests;
