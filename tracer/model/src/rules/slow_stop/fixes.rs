//! What helps against a slow stop: what fits the program, the signal's fate, and whoever waited for it.

use super::{are_all_told, has_raised_in_vain, ignored_by, slow_below};
use crate::{
    programs::Script,
    rules::{manager::Manager, words},
    servers,
    signal::Verdict,
    stop::{Executed, ForcedStop, Request, Stop},
    world::World,
};

pub(super) fn fixes(world: &World, forced: &ForcedStop) -> Vec<String> {
    let ForcedStop { stop, asked, .. } = forced;
    let signal = asked.signal;
    let manager = Manager::of(world, forced);
    if let Some(later) = stop.later_program(asked) {
        return early(forced, later);
    }
    match forced.verdict() {
        Verdict::InitNoHandler => words::unhandled(&asked.target, forced.script(), signal, manager),
        Verdict::IgnoredByChoice => vec![
            format!("stop it with a signal that the program does not ignore{}", of(manager.stop_signal())),
            format!("have the program handle {signal} instead of ignoring it"),
        ],
        Verdict::Queued if asked.is_stopped => {
            vec!["continue it before you stop it (kill -CONT); SIGKILL works without that".to_owned()]
        }
        Verdict::Queued => vec![format!(
            "unblock {signal} where the program waits (sigprocmask, ppoll), or take it there (sigwait, signalfd)"
        )],
        _ if stop.is_untaken(asked) => vec![
            format!("thaw it before you stop it, if its control group is frozen ({})", manager.thaw()),
            "look for state D, if it sleeps in the kernel (disk, NFS, FUSE)".to_owned(),
        ],
        _ if forced.is_reload() => vec![ends_at(stop, asked, manager)],
        _ if forced.script() == Some(Script::Pipeline) && !are_all_told(forced) => vec![words::unpiped(signal)],
        _ if forced.runs_shell() && !are_all_told(forced) => {
            let instead = if forced.is_of_container() {
                words::exec_form(signal, manager)
            } else {
                format!(
                    "run the program in place of the shell, if it handles {signal} (`exec` as the last command of the \
                     script)"
                )
            };
            vec![
                instead,
                format!(
                    "run the program in the background and `wait` for it, and pass the signal on ({}): a shell runs its \
                     trap only when the command that it waits for has ended",
                    words::trap(signal)
                ),
            ]
        }
        _ if has_raised_in_vain(world, forced) => words::raised_in_vain(asked.target.comm, signal),
        _ if let Some(child) = ignored_by(forced) => vec![
            format!("have {} handle {signal} instead of ignoring it", child.comm),
            format!(
                "stop the container with a signal that {} does not ignore{}",
                child.comm,
                of(manager.stop_signal())
            ),
        ],
        _ if let Some((prompt, whom)) = servers::ends_promptly_at(asked.target.comm.bytes(), signal) => {
            let (server, setting) = (asked.target.comm, of(manager.stop_signal()));
            vec![
                format!("set {prompt} as its stop signal{setting}: at {signal} {server} waits for its {whom}"),
                format!("have its {whom} end first"),
            ]
        }
        _ => vec![
            format!(
                "find out what kept {} (connections that it drains, children that never got the signal), and have it end \
                 sooner",
                slow_below(forced).map_or_else(|| "the program".to_owned(), |child| child.comm.to_string())
            ),
            format!("give it the time that it needs{}", of(manager.grace())),
        ],
    }
}

/// The name of a setting, where there is one.
fn of(setting: Option<&str>) -> String {
    setting.map_or_else(String::new, |setting| format!(" ({setting})"))
}

/// The signal came while a program ran that only prepares for another one.
fn early(forced: &ForcedStop, later: &Executed) -> Vec<String> {
    let Request { signal, target, .. } = &forced.asked;
    let (met, later) = (target.comm, later.program.comm);
    let trap = if forced.runs_shell() {
        format!(
            " (trap 'exit 143' {} at its top, which it runs between its commands; `exec` takes that back)",
            words::bare(*signal)
        )
    } else {
        String::new()
    };
    let above = forced.is_of_container().then(|| {
        format!(
            "run it under an init that passes signals on (docker run --init, tini): {met} is not pid 1 then, and {signal} \
             ends it"
        )
    });
    let first = format!("have {met} end at {signal} until it executes {later}{trap}");
    let last = format!("wait until {later} is up before you stop it");
    [Some(first), above, Some(last)].into_iter().flatten().collect()
}

/// What to send to a program that takes the stop signal for something else.
fn ends_at(stop: &Stop, asked: &Request, manager: Manager) -> String {
    let ends: Vec<_> =
        stop.handles().filter(|&signal| signal != asked.signal).map(|signal| signal.to_string()).collect();
    let handles = match &ends[..] {
        [] => String::new(),
        [one] => format!(", such as {one}, which it handles"),
        many => format!(", such as {}, which it handles", many.join(" or ")),
    };
    format!("set a stop signal at which it ends{handles}{}", of(manager.stop_signal()))
}
