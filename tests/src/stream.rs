//! The raw stream of events around a stage, in short words, and what the world makes of it.
//!
//! | word | what |
//! | --- | --- |
//! | `FORK(c) by p` | `task_newtask`; `p` is the parent |
//! | `EXEC(p) by p'` | `sched_process_exec`; `by` only where another thread called it |
//! | `EXIT(c, 9) children to s` | `sched_process_exit`; the wait status if it is not 0, `leader only` or `thread only` if other threads live, and who is predicted to adopt |
//! | `GEN(17->p) by c: V` | `signal_generate`; `protected` if `p` has `SIGNAL_UNKILLABLE`, `by` is the current task, `for` the kernel's reason if it is the kernel's signal, V is the verdict |
//! | `DELIV(15) to c` | `signal_deliver`; with the verdict if it is another than `delivered` |
//! | `FREE(c)` | `sched_process_free` |
//! | `NOTIFY(c, 17->p)` | `do_notify_parent()`; `tracing` if `p` is told as its tracer |
//! | `ADOPT(c) m->s` | `kill_orphaned_pgrp()` |
//! | `REAP(c) by p via wait4` | `cgroup_release()` or its like; `via` if the call is known |
//!
//! The world's words are `ADOPTED(c) m->s as subreaper, exact` (or `verified`, `predicted`) and
//! `REAPED(c) by p, exact` (or `at most`; with the call if it is known). `p'` is a thread of `p`
//! that is not its main thread, `test` is the test itself, and `?` is anybody else.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use tracer::{
    change::Change,
    event::{Adopt, Adopter, Event, EventKind, Exit, Notify, Reap, SignalSent, SignalTaken},
    ident::TaskRef,
    pump::{BUSY, Pump},
    signal::{Verdict, origin, verdict_of_sent, verdict_of_taken},
    source::{hooks::Hooks, live::Live, load::LoadOptions},
    step::Step,
    thresholds::Thresholds,
    world::{Process, World},
};

use tracer_common::record::signal_flags::UNKILLABLE;

use crate::{machine, run::do_nothing, stage::Stage};

/// How long something may take to come through, on a machine under load.
const WITHIN: Duration = Duration::from_secs(15);

/// Every event of the machine, taken in this process.
pub struct Stream {
    pump: Pump,
    hooks: Hooks,
    roles: BTreeMap<u32, &'static str>,
    seen: Seen,
}

/// What has come since the last comparison.
#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    changes: Vec<Change>,
}

impl Seen {
    fn step(&mut self, _: &World, step: &Step<'_>) -> io::Result<()> {
        assert!(!matches!(step.event.kind, EventKind::Lost(_)), "events were lost: {:?}", step.event);
        self.events.push(step.event.clone());
        self.changes.extend(step.changes.iter().cloned());
        Ok(())
    }
}

impl Stream {
    /// Attaches all programs, with those optional hooks, and lists what exists.
    ///
    /// # Panics
    /// If that does not work here.
    pub fn attach(hooks: Hooks) -> Self {
        let options = LoadOptions { hooks, all_signals: true, all_deliveries: true, ..LoadOptions::default() };
        let live = Live::attach(&options).unwrap_or_else(|error| panic!("{hooks:?}: {error}"));
        let mut seen = Seen::default();
        let pump = Pump::start(live, &options, &Thresholds::default(), &mut |world, step| seen.step(world, step));
        let pump = pump.unwrap_or_else(|error| panic!("{hooks:?}: {error:#}"));
        Self { pump, hooks, roles: BTreeMap::new(), seen }
    }

    /// Whether the exact hooks are in use.
    pub fn is_exact(&self) -> bool {
        self.hooks != Hooks::Tracepoint
    }

    /// Waits until the stage has told of these processes, and calls them so; their pids. Only what
    /// happens to processes with a name is compared.
    pub fn meet<const N: usize>(&mut self, stage: &mut Stage, names: [&'static str; N]) -> [i32; N] {
        names.map(|name| {
            let pid = stage.pid(name);
            self.roles.retain(|_, role| *role != name);
            self.roles.insert(pid as u32, name);
            pid
        })
    }

    /// What is known now of a process that has a name; `None` if it is gone.
    pub fn process(&self, name: &str) -> Option<&Process> {
        let (&pid, _) = self.roles.iter().find(|&(_, role)| *role == name)?;
        self.pump.world().by_pid(pid)
    }

    /// What happened up to now does not matter.
    pub fn begin(&mut self) {
        self.settle();
        self.seen = Seen::default();
    }

    /// Waits until that is so.
    ///
    /// # Panics
    /// If it does not come to be.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        assert!(self.read_until(&mut is_so), "waited in vain for {what}, and saw{}", lines(&self.words()));
    }

    /// Waits until these words have come, and then fails if there are others, or if those of one
    /// chain do not stand in its order. Chains have no order among each other, but a word may
    /// stand in several. `world` are the world's words, in any order.
    ///
    /// The words are those of the exact hooks on a kernel that tells the system call. Where there
    /// is less, less is expected: see `told` and `concluded`.
    ///
    /// # Panics
    /// If anything differs.
    pub fn expect(&mut self, chains: &[&[&str]], world: &[&str]) {
        let mut chains: Vec<Vec<String>> =
            chains.iter().map(|chain| chain.iter().filter_map(|word| self.told(word)).collect()).collect();
        let wanted = union(&chains);
        let concluded = count(world.iter().map(|word| self.concluded(word)));
        let have_come = self.read_until(&mut |stream| {
            covers(&count(stream.words()), &wanted) && covers(&count(stream.world_words()), &concluded)
        });
        if !have_come && machine::hides_its_init() {
            // RCU may have run in that process, in which no program does; the world has looked itself.
            let come = self.words();
            chains.iter_mut().for_each(|chain| chain.retain(|word| !word.starts_with("FREE(") || come.contains(word)));
        }
        // Nothing else comes after the last of them.
        self.settle();
        let words = self.words();
        let all = lines(&words);
        if let Some(complaint) = complaint(&words, &chains) {
            panic!("{complaint}, of{all}");
        }
        let odd = difference(&count(self.world_words()), &concluded);
        assert!(odd.is_empty(), "the world: {odd}, of{all}");
        self.seen = Seen::default();
    }

    /// What is heard of a word: without the exact hooks neither adoptions nor reaps nor
    /// notifications, and no system call where the kernel does not give programs the registers of
    /// a task (before 5.15).
    fn told(&self, word: &str) -> Option<String> {
        let is_exact_only = ["ADOPT(", "REAP(", "NOTIFY("].iter().any(|start| word.starts_with(start));
        (self.is_exact() || !is_exact_only).then(|| without_call(word))
    }

    /// What the world makes of it: without the exact hooks it has looked at the new parent itself,
    /// and learns of a reap later.
    fn concluded(&self, word: &str) -> String {
        match word.strip_prefix("REAPED") {
            _ if self.is_exact() => without_call(word),
            Some(_) => word.replace(", exact", ", at most").split(" via ").next().unwrap_or_default().to_owned(),
            None => word.replace(", exact", ", verified"),
        }
    }

    /// Waits until everything that has happened so far has come through.
    fn settle(&mut self) {
        let mut marker = do_nothing();
        let pid = marker.id();
        self.wait_until("the end marker's exec", |stream| {
            let is_it = |event: &Event| matches!(&event.kind, EventKind::Exec(exec) if exec.task.key.tgid == pid);
            stream.seen.events.iter().rev().any(is_it)
        });
        marker.wait().expect("the marker can be waited for");
    }

    /// Takes events until something is so; false if it does not come to be in time.
    fn read_until(&mut self, is_so: &mut dyn FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + WITHIN;
        while Instant::now() < deadline {
            let Self { pump, seen, .. } = self;
            let turn = pump.turn(&mut |world, step| seen.step(world, step));
            turn.unwrap_or_else(|error| panic!("the stream broke: {error:#}"));
            if is_so(self) {
                return true;
            }
            std::thread::sleep(BUSY);
        }
        false
    }

    /// The words of what has happened to processes with a name.
    fn words(&self) -> Vec<String> {
        self.seen.events.iter().filter_map(|event| self.word(&event.kind)).collect()
    }

    fn word(&self, kind: &EventKind) -> Option<String> {
        match kind {
            EventKind::Fork(fork) => {
                let key = fork.task.key;
                let child = self.role(TaskRef { key, tid: key.tgid })?;
                Some(format!("FORK({child}) by {}", fork.task.parent.map_or("?".to_owned(), |parent| self.who(parent))))
            }
            EventKind::Exec(exec) => {
                let before = TaskRef { tid: exec.old_tid, ..exec.task };
                let by = if before == exec.task { String::new() } else { format!(" by {}", self.who(before)) };
                Some(format!("EXEC({}){by}", self.role(exec.task)?))
            }
            EventKind::Exit(exit) => self.exit_word(exit),
            EventKind::Free(task) => Some(format!("FREE({})", self.role(*task)?)),
            EventKind::Adopt(Adopt { child, from, to }) => {
                Some(format!("ADOPT({}) {}->{}", self.role(*child)?, self.who(*from), self.who(*to)))
            }
            EventKind::Reap(Reap { task, reaper, call }) => {
                let via = call.map_or(String::new(), |call| format!(" via {}", call.id()));
                Some(format!("REAP({}) by {}{via}", self.role(*task)?, self.who(*reaper)))
            }
            EventKind::Notify(Notify { task, to, traced, signal }) => {
                let tracing = if *traced { " tracing" } else { "" };
                Some(format!("NOTIFY({}, {signal}->{}{tracing})", self.role(*task)?, self.who(*to)))
            }
            EventKind::Signal(sent) => self.signal_word(sent),
            EventKind::Deliver(taken) => {
                let SignalTaken { target, signal, .. } = *taken;
                let verdict = match verdict_of_taken(taken) {
                    Verdict::Delivered => String::new(),
                    other => format!(": {}", other.id()),
                };
                Some(format!("DELIV({}) to {}{verdict}", signal.0, self.role(target)?))
            }
            EventKind::Start(_)
            | EventKind::Rename(..)
            | EventKind::Awaited(_)
            | EventKind::Held(..)
            | EventKind::Pipe(_)
            | EventKind::SnapshotBegin
            | EventKind::Row(_)
            | EventKind::SnapshotEnd
            | EventKind::Survey(_)
            | EventKind::CommandStarted(..)
            | EventKind::CommandEnded(..)
            | EventKind::CommandScope(_)
            | EventKind::TreeRoot(_)
            | EventKind::Running(_)
            | EventKind::Thresholds(_)
            | EventKind::CommandLine(..)
            | EventKind::Look(_)
            | EventKind::Masks(..)
            | EventKind::Rooms(_)
            | EventKind::OutOfMemory(..)
            | EventKind::Lost(_)
            | EventKind::Container(_)
            | EventKind::Contained(..)
            | EventKind::Tick
            | EventKind::End(_) => None,
        }
    }

    fn exit_word(&self, exit: &Exit) -> Option<String> {
        let Exit { task, adopter, status, leader, group_dead, .. } = *exit;
        let status = if status.0 == 0 { String::new() } else { format!(", {}", status.0) };
        let only = match (group_dead, leader) {
            (true, _) => "",
            (false, true) => " leader only",
            (false, false) => " thread only",
        };
        let children = match adopter {
            Adopter::None => String::new(),
            Adopter::Thread(to) | Adopter::Subreaper(to) | Adopter::NamespaceInit(to) => {
                format!(" children to {}", self.who(to))
            }
            Adopter::Unknown => " children to ?".to_owned(),
        };
        Some(format!("EXIT({}{status}){only}{children}", self.role(task)?))
    }

    fn signal_word(&self, sent: &SignalSent) -> Option<String> {
        let SignalSent { current, target, signal, flags, .. } = *sent;
        let protected = if flags & UNKILLABLE == 0 { "" } else { ", protected" };
        let account = origin(sent).map_or(String::new(), |kernel| format!(" for {}", kernel.id()));
        let verdict = verdict_of_sent(sent).id();
        let (target, current) = (self.role(target)?, self.who(current));
        Some(format!("GEN({}->{target}{protected}) by {current}{account}: {verdict}", signal.0))
    }

    /// The words of what the world concluded of processes with a name.
    fn world_words(&self) -> Vec<String> {
        let word = |change: &Change| match change {
            Change::Adopted { child, adoption } => {
                let child = self.role(TaskRef { key: *child, tid: child.tgid })?;
                let [from, to] =
                    [adoption.from, adoption.to].map(|it| self.who(TaskRef { key: it.key, tid: it.key.tgid }));
                Some(format!("ADOPTED({child}) {from}->{to} as {}, {}", adoption.class.id(), adoption.known.id()))
            }
            Change::Reaped { identity, by, exact, zombie_for: _ } => {
                let gone = self.role(TaskRef { key: identity.key, tid: identity.key.tgid })?;
                let tid = |tgid| exact.map_or(tgid, |exact| exact.tid);
                let by = by.map_or("nobody".to_owned(), |key| self.who(TaskRef { key, tid: tid(key.tgid) }));
                let how = match exact {
                    Some(exact) => exact.call.map_or("exact".to_owned(), |call| format!("exact via {}", call.id())),
                    None => "at most".to_owned(),
                };
                Some(format!("REAPED({gone}) by {by}, {how}"))
            }
            _ => None,
        };
        self.seen.changes.iter().filter_map(word).collect()
    }

    /// The name of a thread, if its process has one.
    fn role(&self, task: TaskRef) -> Option<String> {
        let TaskRef { key, tid } = task;
        let prime = if tid == key.tgid { "" } else { "'" };
        self.roles.get(&key.tgid).map(|role| format!("{role}{prime}"))
    }

    fn who(&self, task: TaskRef) -> String {
        let other = || if task.key.tgid == std::process::id() { "test" } else { "?" };
        self.role(task).unwrap_or_else(|| other().to_owned())
    }
}

/// Whether a kernel of this series or a later one runs here.
pub fn is_since(major: u32, minor: u32) -> bool {
    machine::kernel() >= (major, minor)
}

/// Whether the exact hooks tell by which call somebody waited: `bpf_task_pt_regs` came with 5.15.
pub fn tells_calls() -> bool {
    is_since(5, 15)
}

fn without_call(word: &str) -> String {
    if tells_calls() { word.to_owned() } else { word.split(" via ").next().unwrap_or_default().to_owned() }
}

fn count(words: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// The words of all chains; those that several chains share are the same.
fn union(chains: &[Vec<String>]) -> BTreeMap<String, usize> {
    let mut union = BTreeMap::new();
    for (word, times) in chains.iter().flat_map(|chain| count(chain.iter().cloned())) {
        let most: &mut usize = union.entry(word).or_default();
        *most = times.max(*most);
    }
    union
}

fn covers(have: &BTreeMap<String, usize>, wanted: &BTreeMap<String, usize>) -> bool {
    wanted.iter().all(|(word, times)| have.get(word).is_some_and(|have| have >= times))
}

/// What is wrong with the words, if anything is.
fn complaint(words: &[String], chains: &[Vec<String>]) -> Option<String> {
    let odd = difference(&count(words.iter().cloned()), &union(chains));
    if !odd.is_empty() {
        return Some(odd);
    }
    chains.iter().find_map(|chain| {
        let mut rest = words.iter();
        let early = chain.iter().find(|&word| !rest.any(|seen| seen == word))?;
        Some(format!("{early:?} comes too early for {chain:?}"))
    })
}

/// What is missing, and what nobody expected; empty if there is nothing.
fn difference(have: &BTreeMap<String, usize>, wanted: &BTreeMap<String, usize>) -> String {
    let beyond = |some: &BTreeMap<String, usize>, others: &BTreeMap<String, usize>| -> Vec<String> {
        let is_beyond = |(word, times): &(&String, &usize)| others.get(*word).is_none_or(|others| others < *times);
        some.iter().filter(is_beyond).map(|(word, _)| word.clone()).collect()
    };
    match (beyond(wanted, have), beyond(have, wanted)) {
        (missing, unexpected) if missing.is_empty() && unexpected.is_empty() => String::new(),
        (missing, unexpected) => format!("missing {missing:?}, unexpected {unexpected:?}"),
    }
}

fn lines(words: &[String]) -> String {
    words.iter().map(|word| format!("\n  {word}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint_of(words: &str, chains: &[&str]) -> Option<String> {
        let split = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        complaint(&split(words), &chains.iter().map(|chain| split(chain)).collect::<Vec<_>>())
    }

    #[test]
    fn chains_have_no_order_among_each_other() {
        for words in ["a b c d", "a c b d", "c a b d"] {
            assert_eq!(complaint_of(words, &["a b d", "c d"]), None, "{words}");
        }
        assert_eq!(complaint_of("a b a", &["a b a"]), None);
    }

    #[test]
    fn what_differs_is_said() {
        for (words, says) in [
            ("b a d c", r#""b" comes too early"#),
            ("a b d", r#"missing ["c"], unexpected []"#),
            ("a b c d e", r#"missing [], unexpected ["e"]"#),
            ("a b c c d", r#"missing [], unexpected ["c"]"#),
        ] {
            let complaint = complaint_of(words, &["a b d", "c d"]).unwrap_or_default();
            assert!(complaint.contains(says), "{words}: {complaint}");
        }
    }
}
