//! What pid 1 of a pid namespace will do when it is sent a signal.
//!
//! The kernel drops signals that pid 1 has no handler for (`sig_task_ignored()`, `SIGNAL_UNKILLABLE`), so the masks of
//! proc(5) decide most cases. They do not say what a handler does, nor that a program waits for the signal in
//! sigwait(3); for that, some programs are known by name.

use nix::libc::SYS_wait4;

use crate::{audit::facts::Facts, programs, signal::Signal};

/// What will happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// It will end, or begin to.
    pub acts: bool,
    /// How sure that is.
    pub sure: Sure,
    /// Why, in a sentence without a subject.
    pub why: String,
    /// What to do about it; empty if nothing needs to be done.
    pub fix: &'static str,
}

/// How sure a forecast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sure {
    /// It depends on what cannot be seen.
    Guess,
    /// Most programs that look the same from outside behave like this.
    Likely,
    /// It follows from what the kernel does.
    Sure,
}

impl Sure {
    /// In JSON and text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Likely => "likely",
            Self::Sure => "sure",
        }
    }
}

/// How many seconds a program gets to set up its handlers.
const YOUNG: u64 = 2;

const HANDLE: &str = "give the program a handler for it, set STOPSIGNAL to a signal that it handles, or run it under \
                      an init (docker run --init, tini, shareProcessNamespace) so that it is not pid 1";
const WAIT: &str = "start the program with `exec`, or in the background followed by `wait`, and pass the signal on in \
                    the trap; or run the script under an init that signals the whole process group (tini -g, dumb-init)";

const REAP: &str =
    "have its parent wait for it (waitpid(2) in a loop on SIGCHLD); if the parent ends, its adopter must";

const DYING: &str = "find what keeps it (state D, a frozen control group, a tracer; of a pid 1, the processes left in \
                     its namespace) and end that";

/// What a pid 1 will do when a process outside of its namespace sends it a signal. `lasts` says of a child
/// whether it was still there at a second look.
pub fn forecast(init: &Facts, children: &[&Facts], lasts: &dyn Fn(&Facts) -> bool, signal: Signal) -> Forecast {
    if init.is_dying() {
        return dying(init);
    }
    let mut forecast = Scene { init, children, lasts, signal }.forecast();
    let is_young = init.age < YOUNG;
    if is_young || init.tracer != 0 || matches!(init.state, 'T' | 't') {
        forecast.sure = Sure::Guess;
        let but = if is_young { "it has only just begun" } else { "it is stopped or traced" };
        forecast.why = format!("{}; but {but}", forecast.why);
    }
    forecast
}

/// What another process will do when it is sent a signal: the kernel does not protect it, so the default action counts.
/// `lasts` as in [`forecast`].
pub fn forecast_of_other(
    process: &Facts,
    children: &[&Facts],
    lasts: &dyn Fn(&Facts) -> bool,
    signal: Signal,
) -> Forecast {
    let mut forecast = other(&Scene { init: process, children, lasts, signal });
    let has_begun = process.age >= YOUNG;
    if !has_begun && !process.has_ended() && !process.is_kthread {
        forecast.sure = Sure::Guess;
        forecast.why = format!("{}; but it has only just begun", forecast.why);
    }
    forecast
}

fn other(scene: &Scene<'_>) -> Forecast {
    let Scene { init: process, signal, .. } = *scene;
    if process.is_kthread {
        return stays(Sure::Sure, "is a kernel thread, which takes no signals that it has not asked for", "");
    }
    if process.is_zombie() {
        return stays(Sure::Sure, "has ended already and waits to be reaped: no signal does anything to it", REAP);
    }
    if process.has_ended() && process.threads <= 1 {
        return stays(Sure::Sure, "has ended already", "");
    }
    if process.is_dying() {
        return dying(process);
    }
    let mut forecast = by_masks(scene);
    // A stopped process gets nothing but SIGKILL (`wants_signal()`), unless it ignores the signal.
    if signal != Signal::KILL && !signal.is_in(process.ignored) {
        match process.state {
            'T' => {
                forecast.why =
                    format!("is stopped: {signal} waits until it is continued (SIGCONT); then it {}", forecast.why);
                (forecast.acts, forecast.fix) = (false, "continue it: kill -CONT");
            }
            't' => {
                forecast.why = format!("is held by a tracer, which gets {signal} first and may suppress it");
                (forecast.acts, forecast.sure) = (false, Sure::Guess);
            }
            'D' if forecast.acts => {
                forecast.why = format!("{}, once its present call into the kernel is over (state D)", forecast.why);
            }
            _ => {}
        }
    }
    forecast
}

/// Of who was killed, or has begun to exit, and is still there: one more signal changes nothing.
fn dying(process: &Facts) -> Forecast {
    let how = if process.is_exiting { "has begun to exit" } else { "was killed already (a SIGKILL waits for it)" };
    let where_it_is = match process.state {
        'D' => "it sleeps in the kernel, where nothing interrupts it (state D), or is frozen",
        't' => "its tracer holds it",
        _ if process.is_init() && process.is_exiting => {
            "it waits for the last process of its pid namespace, which it ends with"
        }
        _ => "it has not come to its end yet",
    };
    stays(Sure::Sure, format!("{how}, and no signal changes that: {where_it_is}"), DYING)
}

fn by_masks(scene: &Scene<'_>) -> Forecast {
    let Scene { init: process, signal, .. } = *scene;
    if signal == Signal::KILL {
        return acts(Sure::Sure, "cannot refuse SIGKILL");
    }
    if signal.is_in(process.ignored) {
        let why = format!("ignores {signal}, by its own choice or by that of whoever started it");
        return stays(Sure::Sure, why, "have the program set a handler, or not be started with it ignored");
    }
    if process.awaited.is_some_and(|awaited| signal.is_in(awaited)) {
        return acts(Sure::Likely, format!("waits for {signal} in sigwait or by a signalfd"));
    }
    if signal.is_in(process.caught) {
        if is_shell(process) {
            return scene.handler();
        }
        return acts(Sure::Likely, format!("has a handler for {signal}; what that does is up to the program"));
    }
    if signal.is_in(process.blocked) {
        // Another thread may not block it.
        let sure = if process.threads > 1 || process.awaited.is_none() { Sure::Guess } else { Sure::Likely };
        let why = format!("blocks {signal} and has no handler for it: it waits until it is unblocked, then ends it");
        return stays(sure, why, "have the program unblock it, or give it a handler");
    }
    if signal.is_ignored_by_default() {
        return stays(Sure::Sure, format!("has no handler for {signal}, which does nothing by default"), "");
    }
    // A thread in sigwait looks the same if no closer look is allowed.
    let sure = if process.awaited.is_some() { Sure::Sure } else { Sure::Likely };
    acts(sure, format!("has no handler for {signal}, so the default action ends it"))
}

/// Whether a second look at its children would tell more.
pub fn waits_for_a_child(init: &Facts, children: &[&Facts], signal: Signal) -> bool {
    signal.is_in(init.caught) && is_shell(init) && children.iter().any(|child| is_foreground(init, child))
}

struct Scene<'a> {
    /// The process that the forecast is about, usually pid 1 of a namespace.
    init: &'a Facts,
    children: &'a [&'a Facts],
    lasts: &'a dyn Fn(&Facts) -> bool,
    signal: Signal,
}

impl Scene<'_> {
    fn forecast(&self) -> Forecast {
        let Self { init, signal, .. } = *self;
        if signal == Signal::KILL {
            return acts(Sure::Sure, "SIGKILL from outside of the namespace cannot be refused");
        }
        if init.program == "systemd" {
            return systemd(signal);
        }
        if programs::is_forwarder(&init.program) {
            return self.forwarder();
        }
        if signal.is_in(init.ignored) {
            return stays(Sure::Sure, format!("ignores {signal}, by its own choice"), HANDLE);
        }
        if init.awaited.is_some_and(|awaited| signal.is_in(awaited)) {
            return acts(Sure::Likely, format!("waits for {signal} in sigwait or by a signalfd"));
        }
        if signal.is_in(init.caught) {
            return self.handler();
        }
        if signal.is_in(init.blocked) {
            let why = format!("blocks {signal} and has no handler for it, so the kernel drops it when it is unblocked");
            return stays(if init.awaited.is_some() { Sure::Likely } else { Sure::Guess }, why, HANDLE);
        }
        if signal.is_ignored_by_default() {
            return stays(Sure::Sure, format!("has no handler for {signal}, which does nothing by default"), HANDLE);
        }
        let why = format!("has no handler for {signal}, so the kernel drops it: it is pid 1 of its namespace");
        // A thread in sigwait looks the same if no closer look is allowed.
        stays(if init.awaited.is_some() { Sure::Sure } else { Sure::Likely }, why, HANDLE)
    }

    /// It has a handler: what that does is up to the program.
    fn handler(&self) -> Forecast {
        let Self { init, children, lasts, signal } = *self;
        if init.program.starts_with("node") {
            let why = format!(
                "has a handler for {signal}, but node's own only sends the signal once more, which the kernel then \
                 drops; unless the program has one of its own (process.on)"
            );
            return stays(Sure::Guess, why, HANDLE);
        }
        if !is_shell(init) {
            return acts(Sure::Likely, format!("has a handler for {signal}"));
        }
        let foreground = children.iter().find(|child| is_foreground(init, child));
        let unheard = match children.len() {
            0 => String::new(),
            1 => "; its child will not get it".to_owned(),
            many => format!("; its {many} children will not get it"),
        };
        match foreground {
            Some(child) if lasts(child) => {
                let why = format!(
                    "is a shell with a trap for {signal}, which it runs when {} has ended{unheard}",
                    child.name()
                );
                // In `wait`, a shell runs traps at once; the call of bash's `wait` looks the same from here.
                let is_clear = init.program != "bash" || !init.is_in_background();
                stays(if is_clear { Sure::Likely } else { Sure::Guess }, why, WAIT)
            }
            Some(_) => acts(Sure::Likely, format!("is a shell with a trap for {signal}, in a loop of short commands")),
            None => acts(Sure::Likely, format!("is a shell with a trap for {signal}{unheard}")),
        }
    }

    /// It ends when its child does; the child gets the signal like any process.
    fn forwarder(&self) -> Forecast {
        let Self { init, children, signal, .. } = *self;
        let Some(child) = children.iter().find(|child| !child.has_ended()) else {
            return acts(Sure::Likely, "is an init without a child".to_owned());
        };
        let name = child.name();
        let init = &init.program;
        if signal.is_in(child.ignored) {
            stays(Sure::Likely, format!("is {init}, and passes {signal} on to {name}, which ignores it"), HANDLE)
        } else if signal.is_in(child.caught) {
            acts(Sure::Likely, format!("is {init}, and passes {signal} on to {name}, which has a handler for it"))
        } else if signal.is_in(child.blocked) {
            stays(Sure::Guess, format!("is {init}, and passes {signal} on to {name}, which blocks it"), HANDLE)
        } else {
            acts(Sure::Sure, format!("is {init}, and passes {signal} on to {name}, which ends by it"))
        }
    }
}

/// systemd(1), "SIGNALS".
fn systemd(signal: Signal) -> Forecast {
    match signal.0 {
        // SIGRTMIN+3 and +4: halt and power off.
        37 | 38 => acts(Sure::Likely, format!("is systemd, which shuts down at {signal}")),
        _ => stays(
            Sure::Likely,
            format!("is systemd, for which {signal} does not mean to shut down"),
            "set STOPSIGNAL to SIGRTMIN+3",
        ),
    }
}

fn is_shell(init: &Facts) -> bool {
    programs::is_shell(init.program.as_bytes())
}

/// Whether a shell waits for that child before it does anything else.
fn is_foreground(init: &Facts, child: &Facts) -> bool {
    // dash and its like sleep in rt_sigsuspend(2) in their `wait`.
    let waits = init.call.is_none_or(|call| call == SYS_wait4);
    // If the shell itself ignores them, all of its children do.
    waits && !child.has_ended() && (init.is_in_background() || !child.is_in_background())
}

fn acts(sure: Sure, why: impl Into<String>) -> Forecast {
    Forecast { acts: true, sure, why: why.into(), fix: "" }
}

fn stays(sure: Sure, why: impl Into<String>, fix: &'static str) -> Forecast {
    Forecast { acts: false, sure, why: why.into(), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 1 << 14;
    const BACKGROUND: u64 = 0b110;

    fn process(pid: i32, program: &str) -> Facts {
        let (comm, program) = (program.to_owned(), program.to_owned());
        Facts { pid, ns_pids: vec![pid, 1], comm, program, state: 'S', age: 60, awaited: Some(0), ..Facts::default() }
    }

    fn foretell(init: &Facts, children: &[&Facts]) -> (bool, Sure) {
        let Forecast { acts, sure, .. } = forecast(init, children, &|_| true, Signal::TERM);
        (acts, sure)
    }

    #[test]
    fn the_masks_say_what_the_kernel_will_drop() {
        let sleep = process(10, "sleep");
        assert_eq!(foretell(&sleep, &[]), (false, Sure::Sure));
        assert_eq!(foretell(&Facts { caught: TERM, ..sleep.clone() }, &[]), (true, Sure::Likely));
        assert_eq!(foretell(&Facts { ignored: TERM, ..sleep.clone() }, &[]), (false, Sure::Sure));
        assert_eq!(foretell(&Facts { blocked: TERM, ..sleep.clone() }, &[]), (false, Sure::Likely));
        assert_eq!(foretell(&Facts { awaited: Some(TERM), ..sleep.clone() }, &[]), (true, Sure::Likely));
        assert!(forecast(&sleep, &[], &|_| true, Signal::KILL).acts);
        assert!(!forecast(&sleep, &[], &|_| true, Signal::CHLD).acts);
    }

    #[test]
    fn who_is_being_ended_already_takes_no_signal() {
        let sleep = process(10, "sleep");
        let killed = Facts { pending: 1 << 8, state: 'D', ..sleep.clone() };
        let exiting = Facts { is_exiting: true, ..sleep };
        for dying in [&killed, &exiting] {
            assert_eq!(foretell(dying, &[]), (false, Sure::Sure));
            assert!(!forecast_of_other(dying, &[], &|_| true, Signal::TERM).acts);
        }
        assert!(forecast(&killed, &[], &|_| true, Signal::TERM).why.contains("was killed already"));
        assert!(forecast(&exiting, &[], &|_| true, Signal::TERM).why.contains("the last process of its pid namespace"));
    }

    #[test]
    fn what_may_not_be_looked_at_is_not_sure() {
        let sleep = process(10, "sleep");
        assert_eq!(foretell(&Facts { awaited: None, ..sleep.clone() }, &[]), (false, Sure::Likely));
        assert_eq!(foretell(&Facts { age: 1, ..sleep.clone() }, &[]), (false, Sure::Guess));
        assert_eq!(foretell(&Facts { state: 'T', ..sleep.clone() }, &[]), (false, Sure::Guess));
        assert_eq!(foretell(&Facts { tracer: 1, ..sleep }, &[]), (false, Sure::Guess));
    }

    #[test]
    fn a_shell_runs_its_trap_when_the_child_in_front_has_ended() {
        let (mut shell, mut child) = (process(10, "dash"), process(11, "sleep"));
        (shell.caught, shell.call) = (TERM, Some(SYS_wait4));
        assert_eq!(foretell(&shell, &[&child]), (false, Sure::Likely));
        assert!(forecast(&shell, &[&child], &|_| false, Signal::TERM).acts, "a loop of short ones");
        assert_eq!(foretell(&shell, &[]), (true, Sure::Likely));
        child.ignored = BACKGROUND;
        assert_eq!(foretell(&shell, &[&child]), (true, Sure::Likely));
        // A shell in the background itself: only its own system call says anything, its children do not.
        shell.ignored = BACKGROUND;
        assert_eq!(foretell(&shell, &[&child]), (false, Sure::Likely));
        shell.call = Some(130);
        assert_eq!(foretell(&shell, &[&child]), (true, Sure::Likely));
    }

    #[test]
    fn an_init_is_as_good_as_its_child() {
        let (init, child) = (process(10, "tini"), process(11, "app"));
        assert_eq!(foretell(&init, &[&child]), (true, Sure::Sure));
        assert_eq!(foretell(&init, &[&Facts { caught: TERM, ..child.clone() }]), (true, Sure::Likely));
        assert_eq!(foretell(&init, &[&Facts { ignored: TERM, ..child.clone() }]), (false, Sure::Likely));
        assert_eq!(foretell(&init, &[&Facts { blocked: TERM, ..child }]), (false, Sure::Guess));
    }

    #[test]
    fn without_the_protection_of_pid_1_the_default_action_counts() {
        let sleep = process(10, "sleep");
        let foretell = |one: &Facts| {
            let Forecast { acts, sure, .. } = forecast_of_other(one, &[], &|_| true, Signal::TERM);
            (acts, sure)
        };
        assert_eq!(foretell(&sleep), (true, Sure::Sure));
        assert_eq!(foretell(&Facts { awaited: None, ..sleep.clone() }), (true, Sure::Likely));
        assert_eq!(foretell(&Facts { age: 0, ..sleep.clone() }), (true, Sure::Guess));
        assert_eq!(foretell(&Facts { caught: TERM, ..sleep.clone() }), (true, Sure::Likely));
        assert_eq!(foretell(&Facts { ignored: TERM, ..sleep.clone() }), (false, Sure::Sure));
        assert_eq!(foretell(&Facts { blocked: TERM, ..sleep.clone() }), (false, Sure::Likely));
        assert_eq!(foretell(&Facts { blocked: TERM, threads: 3, ..sleep.clone() }), (false, Sure::Guess));
        assert_eq!(foretell(&Facts { is_kthread: true, ..sleep.clone() }), (false, Sure::Sure));
        assert!(!forecast_of_other(&sleep, &[], &|_| true, Signal::CHLD).acts);
        let shell = Facts { caught: TERM, call: Some(SYS_wait4), ..process(10, "dash") };
        for (lasts, acts) in [(true, false), (false, true)] {
            let forecast = forecast_of_other(&shell, &[&process(11, "sleep")], &|_| lasts, Signal::TERM);
            assert_eq!(forecast.acts, acts, "a loop of short commands, or a long one");
        }
    }

    #[test]
    fn what_is_dead_or_stopped_does_not_end_now() {
        let of = |state, ignored| {
            let process = Facts { state, ignored, threads: 1, ..process(10, "sleep") };
            forecast_of_other(&process, &[], &|_| true, Signal::TERM)
        };
        assert!(of('Z', 0).why.starts_with("has ended already"));
        let stopped = of('T', 0);
        assert!(!stopped.acts && stopped.why.contains("SIGCONT"), "{}", stopped.why);
        assert!(of('T', TERM).why.starts_with("ignores"), "at once, and for ever");
        assert_eq!((of('t', 0).acts, of('t', 0).sure), (false, Sure::Guess));
        assert!(of('D', 0).acts && of('D', 0).why.ends_with("(state D)"));
        let leader = Facts { state: 'Z', threads: 3, ..process(10, "app") };
        assert!(forecast_of_other(&leader, &[], &|_| true, Signal::TERM).acts, "its other threads end by it");
    }

    #[test]
    fn programs_whose_handlers_are_known() {
        let node = Facts { caught: TERM, ..process(10, "node") };
        assert_eq!(foretell(&node, &[]), (false, Sure::Guess));
        let systemd = Facts { awaited: Some(TERM), ..process(10, "systemd") };
        assert_eq!(foretell(&systemd, &[]), (false, Sure::Likely));
        assert!(forecast(&systemd, &[], &|_| true, Signal(37)).acts);
    }
}
