//! `orphan-adopted`: a parent died, and the kernel gave its children a new one.

use crate::{
    change::{AdopterClass, Adoption, Change, Known, Topic},
    event::ExitStatus,
    finding::{About, Confidence, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
    ident::Identity,
    programs::{is_init, is_runtime, is_watcher},
    rules::{Opinion, Rule, words},
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("adopter", Kind::Process, "the new parent").role(Role::Adopter),
    FactDef::new(
        "adopter_class",
        Kind::Word(&["thread", "subreaper", "namespace-init"]),
        "why the kernel chose it: another thread of the same process, the nearest living ancestor that asked for \
         orphans, or pid 1 of the namespace",
    )
    .role(Role::Reason),
    FactDef::new(
        "adopter_known",
        Kind::Word(&["exact", "verified", "predicted"]),
        "how it is known: `exact` (a hook saw it), `verified` (a look in `/proc` confirmed it) or `predicted` (by the \
         kernel's rules)",
    ),
    FactDef::new("dead_parent", Kind::Process, "the parent that died; with `thread`, the process itself")
        .role(Role::Party),
    FactDef::alike(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "orphan-adopted",
    severity: Severity::Info,
    about: About::Zombie,
    summary: "a parent died, and the kernel gave its child to a sibling thread, a subreaper or the namespace's init",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("orphan_adopted.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(OrphanAdopted { threads: thresholds.thread_adoptions })
}

/// How young a process can be at the end of its parent and still count as detaching: the parent may wait until it is
/// ready.
const DETACHES: Span = Span::seconds(5);

struct OrphanAdopted {
    /// Also reports adoptions by another thread of the same process.
    threads: bool,
}

impl Rule for OrphanAdopted {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Adopted]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let Change::Adopted { child, adoption } = change else { return Opinion::Quiet };
        let Some(process) = world.get(*child) else { return Opinion::Quiet };
        // A dead child is a matter of reaping, and the end of a namespace has its own finding.
        if process.death().is_some() || world.is_ending(process.pid_ns) || world.is_ending(adoption.to.pid_ns) {
            return Opinion::Quiet;
        }
        let Adoption { from, to, class, known, status, killed_by, .. } = *adoption;
        // Go programs end threads all the time, and every container starts with an adoption by its shim.
        let is_ordinary = match class {
            AdopterClass::Thread => !self.threads,
            AdopterClass::Subreaper => is_runtime(from.comm.bytes()) && is_watcher(to.comm.bytes()),
            AdopterClass::NamespaceInit => false,
        } || is_detached(process, adoption);
        // A shim detaches itself before it watches.
        if is_ordinary || is_watcher(process.comm.bytes()) {
            return Opinion::Quiet;
        }
        let name = process.identity();
        let (child, parent, new) = (words::short(&name), words::short(&from), words::short(&to));
        // The init of a host is there to reap.
        let is_of_host = to.ns_level == 0 && class == AdopterClass::NamespaceInit;
        let owes = || Note::new("reaping", format!("{} must reap it when it ends", to.comm));
        let outlives = "if it should end with its parent, have it call prctl(PR_SET_PDEATHSIG, SIGTERM)".to_owned();
        let killed = status.filter(|status| status.signal().is_some());
        let whole = killed.map(|_| {
            "if it was meant to end as well, signal the whole process group (kill -TERM -PGID; supervisord: stopasgroup)"
                .to_owned()
        });
        let (headline, notes, fixes): (_, Vec<_>, Vec<_>) = match class {
            AdopterClass::Thread => (
                format!("{child} stays a child of {new}, although the thread that created it exited"),
                vec![Note::new(
                    "parent",
                    format!("{}: the same process; the child belongs to another of its threads now", words::who(&to)),
                )],
                vec!["none is needed: any thread of the process can wait for it".to_owned()],
            ),
            AdopterClass::Subreaper => (
                format!("{child} was adopted by {new} when its parent {parent} died"),
                vec![
                    Note::new(
                        "adopter",
                        format!(
                            "{}, the nearest living ancestor that asked for orphans (PR_SET_CHILD_SUBREAPER)",
                            words::who(&to)
                        ),
                    ),
                    owes(),
                ],
                whole.into_iter().chain([outlives]).collect(),
            ),
            AdopterClass::NamespaceInit => (
                format!("{child} was adopted by {new} when its parent {parent} died"),
                {
                    let adopter = Note::new("adopter", format!("{}, {}", words::who(&to), init_reason(&to)));
                    [Some(adopter), (!is_of_host).then(owes)].into_iter().flatten().collect()
                },
                {
                    let reaps = || format!("make sure that {} reaps the children that it adopts", to.comm);
                    [whole, Some(outlives), (!is_of_host).then(reaps)].into_iter().flatten().collect()
                },
            ),
        };
        let alike = vec![
            Part::Name(process.comm),
            Part::Name(from.comm),
            Part::Family(Some(world.family_of(&name, &[]))),
            Part::Process(to.key),
        ];
        Opinion::Found(Box::new(Finding {
            confidence: if world.is_gap_since(adoption.at) {
                Confidence::Incomplete(
                    "events were lost just before, so the child may have left this parent earlier".into(),
                )
            } else if known == Known::Predicted {
                Confidence::Incomplete(
                    "the adopter began to exit before a look could confirm that it has the child".into(),
                )
            } else {
                Confidence::Certain
            },
            headline,
            notes: killed.map(|status| of_parent(&from, status, killed_by)).into_iter().chain(notes).collect(),
            fixes,
            evidence: adoption.seq.into_iter().filter(|&exit| exit != seq).chain([seq]).collect(),
            facts: Facts::of(
                FACTS,
                [
                    ("adopter", to.into()),
                    ("adopter_class", class.id().into()),
                    ("adopter_known", known.id().into()),
                    ("dead_parent", from.into()),
                    ("alike", alike.into()),
                ],
            ),
            ..Finding::new(&DEF, world.now(), adoption.at, name)
        }))
    }
}

/// What had ended the parent.
fn of_parent(parent: &Identity, status: ExitStatus, by: Option<Identity>) -> Note {
    let by = by.map_or_else(String::new, |by| format!(" from {}", words::short(&by)));
    Note::new("parent", format!("{}, which {}{by}", words::who(parent), words::ended(status)))
}

/// Whether it was left to its adopter on purpose: its creator exited with code 0 shortly afterwards, as daemons leave
/// themselves to an init, and as a program has a helper by its own name start something for it (systemd-nspawn).
fn is_detached(process: &Process, adoption: &Adoption) -> bool {
    let Adoption { at, status, from, to, class, .. } = *adoption;
    let is_meant = match class {
        AdopterClass::NamespaceInit => to.ns_level == 0,
        // systemd --user
        AdopterClass::Subreaper => str::from_utf8(to.comm.bytes()).is_ok_and(is_init) || to.comm == from.comm,
        AdopterClass::Thread => false,
    };
    is_meant && status == Some(ExitStatus(0)) && at - process.key.start <= DETACHES
}

fn init_reason(init: &Identity) -> String {
    if init.ns_level == 0 {
        "the init of the host, because no living ancestor asked for orphans".to_owned()
    } else {
        "the init of its namespace: orphans never leave their pid namespace, and no living ancestor there asked for them"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopt, Adopter, EventKind, Exit},
        signal::Signal,
        story::{Story, born, born_in, end, kill, task},
    };

    /// An end by a signal.
    fn killed(pid: u32, parent: u32, adopter: Adopter) -> Exit {
        Exit { status: ExitStatus(9), ..end(pid, parent, adopter) }
    }

    fn adopted(finding: &Finding) -> (&'static str, u32, &'static str) {
        let facts = &finding.facts;
        let adopter = facts.process("adopter").unwrap().key.tgid;
        (facts.word("adopter_class"), adopter, facts.word("adopter_known"))
    }

    #[test]
    fn a_parent_of_whose_end_nothing_was_heard_has_its_name() {
        let mut story = Story::new();
        story.fork(born(5, 1)).fork(born(10, 5)).exec(10, "worker").fork(born(20, 10)).free(10);
        story.wait(20, &[(20, b'S', 5)]);
        let said = "p20 (pid 20) was adopted by p5 (pid 5) when its parent worker (pid 10) died";
        assert_eq!(story.only().headline, said);
    }

    #[test]
    fn who_adopts_and_why_is_said() {
        for (adopter, want) in
            [(Adopter::Subreaper(task(5)), ("subreaper", 5)), (Adopter::NamespaceInit(task(1)), ("namespace-init", 1))]
        {
            let mut story = Story::new();
            story.fork(born(5, 1)).fork(born(10, 5)).fork(born(20, 10)).exit(killed(10, 5, adopter));
            let finding = story.wait(20, &[]).only();
            assert_eq!(finding.process.key.tgid, 20);
            assert_eq!(adopted(&finding), (want.0, want.1, "verified"));
            assert_eq!(finding.facts.process("dead_parent").unwrap().key.tgid, 10);
        }
    }

    #[test]
    fn what_a_helper_has_started_for_whoever_adopts_it_is_quiet() {
        for (adopter, helper, status, is_told) in [
            ("systemd-nspawn", "systemd-nspawn", 0, false),
            ("systemd-nspawn", "systemd-nspawn", 9, true),
            ("supervisor", "worker", 0, true),
        ] {
            let mut story = Story::new();
            story.fork(born(5, 1)).exec(5, adopter).fork(born(10, 5)).exec(10, helper);
            story.fork(born(1_000, 10));
            let end = Exit { status: ExitStatus(status), ..end(10, 5, Adopter::Subreaper(task(5))) };
            story.exit(end).wait(20, &[]);
            assert_eq!(story.rules().is_empty(), !is_told, "{adopter} {helper} {status}");
        }
    }

    #[test]
    fn nothing_is_said_before_it_is_known() {
        let mut story = Story::new();
        story.fork(born(5, 1)).fork(born(10, 5)).fork(born(20, 10));
        story.exit(killed(10, 5, Adopter::Subreaper(task(5))));
        assert_eq!(story.rules(), [""; 0]);
        // The prediction was wrong: the subreaper was exiting as well.
        let finding = story.wait(20, &[(20, b'S', 1)]).only();
        assert_eq!(adopted(&finding), ("namespace-init", 1, "verified"));
    }

    #[test]
    fn with_the_exact_hook_it_is_said_at_once() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).exit(killed(10, 1, Adopter::NamespaceInit(task(1))));
        story.event(EventKind::Adopt(Adopt { child: task(20), from: task(10), to: task(1) }));
        let finding = story.only();
        assert_eq!(adopted(&finding), ("namespace-init", 1, "exact"));
        assert_eq!(story.wait(20, &[]).rules(), [""; 0]);
    }

    #[test]
    fn a_zombie_child_and_the_end_of_a_namespace_stay_quiet() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).exit(killed(20, 10, Adopter::None));
        story.exit(killed(10, 1, Adopter::NamespaceInit(task(1)))).wait(20, &[]);
        let ns = 4_026_532_500;
        story.fork(born_in(ns, 30, 1, 1)).fork(born_in(ns, 31, 2, 30)).fork(born_in(ns, 32, 3, 31));
        story.exit(killed(30, 1, Adopter::None));
        story.exit(killed(31, 30, Adopter::NamespaceInit(task(30)))).wait(20, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn after_a_loss_it_is_not_certain_until_the_world_is_whole_again() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).lose(1);
        story.exit(killed(10, 1, Adopter::NamespaceInit(task(1))));
        assert!(matches!(story.wait(20, &[]).only().confidence, Confidence::Incomplete(_)));
        story.snapshot(&[born(1, 0), born(20, 1), born(11, 1)]);
        story.fork(born(21, 11)).exit(killed(11, 1, Adopter::NamespaceInit(task(1))));
        assert_eq!(story.wait(20, &[]).only().confidence, Confidence::Certain);
    }

    #[test]
    fn a_daemon_that_detaches_is_no_news_on_a_host() {
        let orphan = |exit: fn(u32, u32, Adopter) -> Exit, ms: u64| {
            let mut story = Story::new();
            story.fork(born(10, 1)).fork(born(20, 10)).wait(ms, &[]);
            story.exit(exit(10, 1, Adopter::NamespaceInit(task(1)))).wait(20, &[]).rules()
        };
        assert_eq!(orphan(end, 0), [""; 0]);
        assert_eq!(orphan(killed, 0), ["orphan-adopted"], "nobody meant that");
        assert_eq!(orphan(end, 10_000), ["orphan-adopted"], "its parent had lived with it");
        for (name, want) in [("systemd", &[][..]), ("supervisor", &["orphan-adopted"])] {
            let mut story = Story::new();
            story.fork(born(5, 1)).exec(5, name).fork(born(10, 5)).fork(born(20, 10));
            assert_eq!(story.exit(end(10, 5, Adopter::Subreaper(task(5)))).wait(20, &[]).rules(), want, "{name}");
        }
        // A container's init may reap or not.
        let ns = 4_026_532_500;
        let mut inside = Story::new();
        inside.fork(born_in(ns, 30, 1, 1)).fork(born_in(ns, 31, 2, 30)).fork(born_in(ns, 32, 3, 31));
        let ended = inside.exit(end(31, 30, Adopter::NamespaceInit(task(30)))).wait(20, &[]);
        assert_eq!(ended.rules(), ["orphan-adopted"]);
    }

    #[test]
    fn how_its_parent_ended_is_said_if_nobody_meant_that() {
        let mut story = Story::new();
        story.fork(born(10, 1)).exec(10, "sh").fork(born(20, 10));
        let finding = story.exit(killed(10, 1, Adopter::NamespaceInit(task(1)))).wait(20, &[]).only();
        assert_eq!(finding.notes[0], Note::new("parent", "sh (pid 10), which was killed by SIGKILL"));
        assert!(finding.fix().contains("signal the whole process group"), "{}", finding.fix());
    }

    #[test]
    fn who_ended_its_parent_is_said_if_that_was_another_process() {
        for (from, by) in [(5, " from bash (pid 5)"), (10, "")] {
            let mut story = Story::new();
            story.fork(born(5, 1)).exec(5, "bash").fork(born(10, 5)).exec(10, "pool").fork(born(20, 10));
            story.signal(kill(from, 10, Signal::KILL)).exit(killed(10, 5, Adopter::NamespaceInit(task(1)))).free(10);
            story.wait(20, &[]).found.retain(|finding| finding.rule.name == DEF.name);
            let said = format!("pool (pid 10), which was killed by SIGKILL{by}");
            assert_eq!(story.only().notes[0], Note::new("parent", said));
        }
    }

    #[test]
    fn an_init_that_adopts_from_an_unknown_parent_has_not_asked_for_orphans() {
        let mut story = Story::new();
        let ns = 4_026_532_500;
        story.fork(born_in(ns, 10, 1, 1)).lose(1).fork(born_in(ns, 12, 3, 11));
        story.event(EventKind::Adopt(Adopt { child: task(12), from: task(11), to: task(10) }));
        let finding = story.only();
        assert_eq!(adopted(&finding), ("namespace-init", 10, "exact"));
    }
}
