//! What helps against a zombie: what fits whoever is to blame.

use super::blame::Blame;
use crate::{
    ident::{Comm, Identity, ProcKey},
    programs::is_init,
    rules::{held::Why, words},
    world::{Process, World},
};

impl Blame {
    pub(in crate::rules) fn fixes(self, world: &World, debtor: &Identity) -> Vec<String> {
        let (comm, pid) = (debtor.comm, debtor.key.tgid);
        let held = || world.get(debtor.key).map_or_else(Vec::new, |debtor| Why::of(world, debtor).fixes(debtor));
        match self {
            Self::Parent if debtor.is_init_of_namespace() => init_fixes(),
            Self::Parent => {
                let mut fixes = vec![
                    format!("have {comm} call waitpid() in a loop until it returns 0 or ECHILD (on SIGCHLD, say)"),
                    format!(
                        "if no child's status matters, have {comm} set SIGCHLD to SIG_IGN: it loses all of them, and so do \
                         programs that it executes"
                    ),
                ];
                fixes.extend(heir_fix(world, debtor));
                fixes
            }
            Self::AdoptingInit if debtor.ns_level == 0 => vec![REAP_AS_PID_1.to_owned()],
            Self::AdoptingInit => init_fixes(),
            Self::AdoptingSubreaper => vec![format!(
                "have {comm} wait for any child (waitpid(-1)), not only for its own: it asked for orphans with \
                 PR_SET_CHILD_SUBREAPER"
            )],
            Self::Late => vec![
                format!(
                    "have {comm} call waitpid(-1, …, WNOHANG) in a loop whenever a child ends (on SIGCHLD), not only now \
                     and then"
                ),
                format!("if it usually does, find out what keeps {comm} from it now"),
            ],
            Self::Frozen | Self::Traced => held(),
            Self::Stopped => vec![format!("continue {comm} (kill -CONT {pid}): then it can wait")],
            Self::Blocked => {
                vec![format!(
                    "find out what {comm} waits for in the kernel, where it cannot be interrupted (/proc/{pid}/stack)"
                )]
            }
            Self::Tracer => vec![
                format!("have {comm} wait for it: as its ptrace tracer, {comm} must wait before the parent can"),
                format!("end {comm}: the zombie then goes back to its parent"),
            ],
        }
    }
}

/// Who adopts the children of a process once it ends: the nearest subreaper of its pid namespace, or the init of that
/// (`find_new_reaper()`). Only if that is known to reap what it adopts.
fn reaping_heir(world: &World, key: ProcKey) -> Option<&Process> {
    let mut process = world.get(key)?;
    let pid_ns = process.pid_ns;
    loop {
        process = world.parent(process.key).filter(|parent| parent.pid_ns == pid_ns)?;
        if process.death().is_none() && (process.roles.init || process.roles.subreaper) {
            let is_init = || str::from_utf8(process.comm.bytes()).is_ok_and(is_init);
            return (process.reaping().adopted || is_init()).then_some(process);
        }
    }
}

pub(super) fn pipe_fixes(parent: &Identity, writer: &Identity) -> Vec<String> {
    let (reader, writer) = (parent.comm, words::short(writer));
    vec![
        format!("start {writer} with its output somewhere else (>/dev/null 2>&1): the pipe ends with its last writer"),
        format!("have {reader} wait for its child first, or read the pipe with a time limit"),
        format!("end {writer}: the pipe ends, and {reader} goes on"),
    ]
}

const REAP_AS_PID_1: &str = "have pid 1 call waitpid(-1) in a loop on SIGCHLD";

fn init_fixes() -> Vec<String> {
    vec![
        "run an init that reaps as pid 1 (docker run --init, tini, shareProcessNamespace)".to_owned(),
        REAP_AS_PID_1.to_owned(),
    ]
}

/// Fixes for a child of a program that its process has replaced by another one.
pub(in crate::rules) fn unknown_fixes(former: Comm, parent: &Identity) -> Vec<String> {
    let comm = parent.comm;
    let mut fixes = if parent.is_init_of_namespace() { init_fixes() } else { Vec::new() };
    fixes.push(format!("have {former} wait for what it has started before it executes {comm}, which did not start it"));
    fixes.push(format!("have {former} start {comm} as a child and wait for both"));
    fixes
}

/// Fixes for a child that a plain waitpid() passes over (`eligible_child()`), and that SIG_IGN does not release.
pub(super) fn silent_fixes(world: &World, parent: &Identity) -> Vec<String> {
    let comm = parent.comm;
    let wait =
        format!("have {comm} wait for it with __WALL: it was cloned without SIGCHLD, and other waits pass it over");
    std::iter::once(wait).chain(heir_fix(world, parent)).collect()
}

/// To end a parent where its heir does not reap either would help nobody.
fn heir_fix(world: &World, parent: &Identity) -> Option<String> {
    let heir = reaping_heir(world, parent.key)?.identity();
    Some(format!("end {}: {} then adopts its zombies and reaps them", parent.comm, words::short(&heir)))
}
