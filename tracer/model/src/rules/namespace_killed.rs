//! `namespace-killed`: pid 1 of a namespace exited, and the kernel killed everybody else in it.

use crate::{
    change::Change,
    event::ExitStatus,
    finding::{Confidence, Detail, Finding, Severity, Stage},
    ident::{PidNs, ProcKey},
    kill::{Ending, Kill},
    rules::{Rule, RuleDef, Verdict, killed_by, signal_not_forwarded},
    summary::seconds,
    world::World,
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "namespace-killed",
    severity: Severity::Warning,
    summary: "pid 1 of a pid namespace exited, and the kernel killed every process left in it",
    lasts: false,
    explanation: include_str!("namespace_killed.md"),
    make: |thresholds| {
        Box::new(NamespaceKilled {
            stuck_after: thresholds.namespace_stuck_after,
            slow_stop_after: thresholds.slow_stop_after,
        })
    },
};

struct NamespaceKilled {
    stuck_after: u64,
    /// What a stop took with it that was so slow another rule tells.
    slow_stop_after: u64,
}

impl Rule for NamespaceKilled {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        match *change {
            Change::NamespaceEnding(ns) => match ending(world, ns) {
                // Not by the time of the end: a reader that lags hears of the others later.
                Some(ending) if !ending.nested && ending.left > 0 => {
                    Verdict::Recheck(world.now().saturating_add(self.stuck_after), ending.init.key)
                }
                _ => Verdict::Quiet,
            },
            Change::NamespaceEnded(ns) => match ending(world, ns) {
                // Nothing was left to kill, or only the very `kill` that asked pid 1 to end and had
                // no time to exit: the ordinary end of a container.
                Some(ending)
                    if !ending.nested
                        && ending.bystanders > 0
                        && world.kill_of_init(ending.init.key).is_none()
                        && signal_not_forwarded::of_end(world, &ending).is_none() =>
                {
                    found(world, &ending, None, seq)
                }
                _ => Verdict::Quiet,
            },
            Change::Killed(ref kill) => match kill.ending {
                // What hangs was told of with the same words.
                Some(ending)
                    if !kill.was_slow_stop(self.slow_stop_after)
                        && (ending.left == 0 || world.now() < ending.since.saturating_add(self.stuck_after)) =>
                {
                    found(world, &ending, Some(kill), ending.seq)
                }
                _ => Verdict::Quiet,
            },
            _ => Verdict::Quiet,
        }
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Verdict {
        let Some(process) = world.get(key) else { return Verdict::Quiet };
        match ending(world, process.pid_ns) {
            Some(ending) if ending.init.key == key && ending.left > 0 => {
                found(world, &ending, world.kill_of_init(key), ending.seq)
            }
            _ => Verdict::Quiet,
        }
    }
}

fn ending(world: &World, ns: PidNs) -> Option<Ending> {
    world.namespace(ns)?.ending
}

/// So many, in words.
pub(super) fn the_processes(n: u64) -> String {
    if n == 1 { "the process".to_owned() } else { format!("the {n} processes") }
}

/// `kill` is what ended the init, if that is known by now.
fn found(world: &World, ending: &Ending, kill: Option<&Kill>, seq: u64) -> Verdict {
    let Ending { init, since, killed, left, last_death, .. } = *ending;
    let status = match kill {
        Some(kill) => kill.status,
        None => world.get(init.key).and_then(|init| init.death()).map_or(ExitStatus(0), |death| death.status),
    };
    let took_ns = if left == 0 { last_death } else { world.now() }.saturating_sub(since);
    let others = kill.map_or(0, |kill| kill.count - 1);
    let how = match (kill, status.signal()) {
        (Some(kill), _) if others > 0 => {
            let them = if others == 1 { "another one of it".to_owned() } else { format!("{others} others of it") };
            format!("and {them} were ended by {}{}", kill.signal, killed_by::cause(kill))
        }
        (Some(kill), _) => format!("was ended by {}{}", kill.signal, killed_by::cause(kill)),
        (None, Some(signal)) => format!("was killed by {signal}"),
        (None, None) => format!("exited with code {}", status.code()),
    };
    let processes = |n: u64| if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
    let rest = match killed + left {
        0 => String::new(),
        n => format!("; the kernel killed {} left in the namespace within {}", the_processes(n), seconds(took_ns)),
    };
    let stuck = match left {
        0 => String::new(),
        n => format!(" {} of it cannot die yet.", processes(n)),
    };
    Verdict::Found(Box::new(Finding {
        rule: &DEF,
        stage: Stage::New,
        at: world.now(),
        since,
        process: init,
        confidence: Confidence::Certain,
        message: format!(
            "{} (pid {}), pid 1 of namespace {}, {how}{rest}.{stuck}",
            init.comm, init.key.tgid, init.pid_ns,
        ),
        fix: if let Some(kill) = kill {
            format!(
                "{}; with pid 1 the kernel kills all others, so what needs a clean end must get its stop signal before \
                 that",
                killed_by::fix(kill)
            )
        } else if left == 0 {
            "if the others should have lived, pid 1 must not exit before them: run them below an init that waits for \
             all, or not as a background job of the entrypoint; processes that need a clean end must get their stop \
             signal from pid 1 first"
                .to_owned()
        } else {
            "look for state D (blocked in the kernel: disk, NFS, FUSE) among the rest, or for a zombie whose parent is \
             outside the namespace and does not wait"
                .to_owned()
        },
        evidence: match kill {
            Some(kill) => kill.evidence.clone(),
            None if seq == ending.seq => vec![seq],
            None => vec![ending.seq, seq],
        },
        detail: Detail::NamespaceKilled { killed, took_ns, status, left, kill: kill.cloned().map(Box::new) },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, Exit, SignalSent, TaskInfo},
        signal::Signal,
        story::{Story, born, born_in, end, kill},
    };

    const NS: u32 = 4_026_532_500;

    /// An init (10) with two children (11, 12).
    fn three() -> Story {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).fork(born_in(NS, 12, 3, 10));
        story
    }

    /// What the kernel does to the rest.
    fn killed(pid: u32) -> Exit {
        Exit { status: ExitStatus(i32::from(Signal::KILL.0)), ..end(pid, 10, Adopter::None) }
    }

    fn init_exits(story: &mut Story, status: ExitStatus) {
        story.exit(Exit { status, ..end(10, 1, Adopter::None) });
    }

    #[test]
    fn one_finding_tells_how_many_died_and_why() {
        let mut story = three();
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(11)).free(11).exit(killed(12)).free(12).free(10);
        let finding = story.only();
        assert!(
            finding.message.contains("exited with code 0; the kernel killed the 2 processes"),
            "{}",
            finding.message
        );
        let Detail::NamespaceKilled { killed, took_ns, left, .. } = finding.detail else { panic!() };
        assert_eq!((killed, left), (2, 0));
        assert_eq!(took_ns, 3_000);
    }

    #[test]
    fn who_killed_the_init_is_told_with_what_came_of_it() {
        let mut story = three();
        story.fork(born(2, 1)).exec(2, "runc").signal(kill(2, 10, Signal::KILL));
        init_exits(&mut story, ExitStatus(i32::from(Signal::KILL.0)));
        story.exit(killed(11)).free(11).exit(killed(12)).free(12).free(10);
        assert_eq!(story.rules(), [""; 0], "what is said of it may come");
        let finding = story.wait(150, &[]).only();
        let text = "p10 (pid 10), pid 1 of namespace 4026532500, was ended by SIGKILL from runc (pid 2) < p1 (pid 1); the \
                    kernel killed the 2 processes left in the namespace within 3 µs.";
        assert_eq!(finding.message, text);
        assert!(finding.fix.starts_with("if it was not meant, find out why runc sent it"), "{}", finding.fix);
        let Detail::NamespaceKilled { killed, kill: Some(kill), .. } = finding.detail else { panic!() };
        assert_eq!((killed, kill.victims[0].key.tgid), (2, 10));
    }

    #[test]
    fn a_container_that_ends_as_its_last_process_is_no_finding() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1));
        init_exits(&mut story, ExitStatus(0));
        story.free(10).wait(10_000, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn a_zombie_that_was_left_is_not_killed() {
        let mut story = three();
        story.exit(end(11, 10, Adopter::None));
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(12));
        let Detail::NamespaceKilled { killed, .. } = story.only().detail else { panic!() };
        assert_eq!(killed, 1);
    }

    #[test]
    fn a_process_that_exits_by_itself_meanwhile_is_not_killed() {
        let mut story = Story::new();
        story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10));
        init_exits(&mut story, ExitStatus(0));
        story.exit(end(11, 10, Adopter::None));
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn who_asked_for_the_end_from_inside_is_no_news() {
        use tracer_common::record::signal_flags as bit;
        for (bystander, want) in [(false, &[][..]), (true, &["namespace-killed"][..])] {
            let mut story = Story::new();
            story.fork(born_in(NS, 10, 1, 1)).fork(born_in(NS, 11, 2, 10)).fork(born_in(NS, 12, 3, 10));
            let asked = kill(12, 10, Signal::TERM);
            story.signal(SignalSent { flags: asked.flags | bit::UNKILLABLE | bit::HANDLER, ..asked });
            if !bystander {
                story.exit(end(11, 10, Adopter::None)).free(11);
            }
            let chld = kill(11, 10, Signal::CHLD);
            story.signal(SignalSent { flags: chld.flags | bit::UNKILLABLE | bit::HANDLER, ..chld });
            init_exits(&mut story, ExitStatus(143 << 8));
            story.exit(killed(12));
            if bystander {
                story.exit(killed(11));
            }
            assert_eq!(story.rules(), want);
        }
    }

    #[test]
    fn a_nested_namespace_is_part_of_the_outer_end() {
        let mut story = three();
        let inner = |pid, ns_pid, parent| TaskInfo {
            pid_ns: PidNs(NS + 1),
            parent_ns: Some(PidNs(NS)),
            ns_level: 2,
            ..born_in(NS, pid, ns_pid, parent)
        };
        story.fork(inner(20, 1, 12)).fork(inner(21, 2, 20));
        init_exits(&mut story, ExitStatus(0));
        for pid in [11, 12, 20, 21] {
            story.exit(killed(pid));
        }
        let Detail::NamespaceKilled { killed, .. } = story.only().detail else { panic!() };
        assert_eq!(killed, 4);
    }

    #[test]
    fn an_end_that_hangs_is_reported_before_it_is_through() {
        let mut story = three();
        init_exits(&mut story, ExitStatus(0));
        story.exit(killed(11)).wait(6_000, &[(10, b'S', 1)]);
        let finding = story.only();
        let Detail::NamespaceKilled { killed, left, .. } = finding.detail else { panic!() };
        assert_eq!((killed, left), (1, 1));
        assert!(finding.message.ends_with("1 process of it cannot die yet."), "{}", finding.message);
    }
}
