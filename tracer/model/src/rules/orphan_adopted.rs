//! `orphan-adopted`: a parent died, and the kernel gave its children to somebody else.

use crate::{
    change::{AdopterClass, Adoption, Change, Known},
    event::ExitStatus,
    finding::{Confidence, FactDef, Facts, Finding, Kind, Note, Part, Role, RuleDef, Severity},
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
        "why that one: another thread of the same process, the nearest living ancestor that asked for orphans, or pid 1 of \
         the namespace",
    )
    .role(Role::Reason),
    FactDef::new(
        "adopter_known",
        Kind::Word(&["exact", "verified", "predicted"]),
        "how it is known: `exact` (a hook saw it), `verified` (it was looked up in `/proc` afterwards) or `predicted` (by \
         the kernel's rules)",
    ),
    FactDef::new("dead_parent", Kind::Process, "the parent that died; with `thread`, the process itself").role(Role::Party),
    FactDef::alike(),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "orphan-adopted",
    severity: Severity::Info,
    summary: "a parent died and its child was given to a sibling thread, a subreaper or the namespace's init",
    lasts: false,
    facts: FACTS,
    explanation: include_str!("orphan_adopted.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(OrphanAdopted { threads: thresholds.thread_adoptions })
}

/// Who detaches has been made so shortly before its parent ends, at the most: the parent may wait until it is ready.
const DETACHES: Span = Span::seconds(5);

struct OrphanAdopted {
    /// Speaks of children that stay with their process, too.
    threads: bool,
}

impl Rule for OrphanAdopted {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let Change::Adopted { child, adoption } = change else { return Opinion::Quiet };
        let Some(process) = world.get(*child) else { return Opinion::Quiet };
        // A dead child is a matter of reaping, and an end of the namespace has its own finding.
        if process.death().is_some() || world.is_ending(process.pid_ns) || world.is_ending(adoption.to.pid_ns) {
            return Opinion::Quiet;
        }
        let Adoption { from, to, class, known, .. } = *adoption;
        // Programs in Go do so all the time, and each container begins so.
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
        // To reap is what the init of a host is for.
        let is_of_host = to.ns_level == 0 && class == AdopterClass::NamespaceInit;
        let owes = || Note::new("reaping", format!("{} has to reap it, once it ends", to.comm));
        let outlives = "if it should have ended with its parent, have it ask for that (PR_SET_PDEATHSIG)".to_owned();
        let (headline, notes, fixes) = match class {
            AdopterClass::Thread => (
                format!("{child} stays a child of {new}, though the thread that had created it exited"),
                vec![Note::new(
                    "parent",
                    format!("{}: the process is the same, another of its threads has the child", words::who(&to)),
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
                vec![outlives],
            ),
            AdopterClass::NamespaceInit => (
                format!("{child} was adopted by {new} when its parent {parent} died"),
                {
                    let adopter = Note::new("adopter", format!("{}, {}", words::who(&to), init_reason(&to)));
                    [Some(adopter), (!is_of_host).then(owes)].into_iter().flatten().collect()
                },
                {
                    let reaps = || format!("make sure that {} is a program that reaps what it adopts", to.comm);
                    [Some(outlives), (!is_of_host).then(reaps)].into_iter().flatten().collect()
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
                    "the adopter began to exit itself before it could be seen that it has the child".into(),
                )
            } else {
                Confidence::Certain
            },
            headline,
            notes,
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

/// Whether it was left to an init on purpose, as daemons do: whoever had made it ended without an error, a moment later.
fn is_detached(process: &Process, adoption: &Adoption) -> bool {
    let Adoption { at, status, to, class, .. } = *adoption;
    let is_init = match class {
        AdopterClass::NamespaceInit => to.ns_level == 0,
        // systemd --user
        AdopterClass::Subreaper => str::from_utf8(to.comm.bytes()).is_ok_and(is_init),
        AdopterClass::Thread => false,
    };
    is_init && status == Some(ExitStatus(0)) && at - process.key.start <= DETACHES
}

fn init_reason(init: &crate::ident::Identity) -> String {
    if init.ns_level == 0 {
        "the init of the host, because no living ancestor asked for orphans".to_owned()
    } else {
        "the init of its namespace: orphans never leave their pid namespace, and no subreaper was in between".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopt, Adopter, EventKind, Exit},
        story::{Story, born, born_in, end, task},
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
}
