//! `pty-pressure`: the pseudo-terminals of the machine are running out.

use crate::{
    change::{Change, Measured, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity, Subject},
    host::{Holder, Room},
    rules::{
        NOBODY, Opinion, Rule,
        pid_pressure::{HOLDER, holder_facts},
        words,
    },
    thresholds::Thresholds,
    time::Seq,
    world::{Process, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("used", Kind::Count, "pseudo-terminals in use (`kernel.pty.nr`)"),
    FactDef::new("most", Kind::Count, "how many there can be (`kernel.pty.max`)"),
    FactDef::new("of_machine", Kind::Flag, "always true"),
    FactDef::new("failed", Kind::Count, "always 0: failures are not known").role(Role::Size),
    FactDef::new("holders", Kind::List(HOLDER), "the processes that hold most of them, on the master side"),
    FactDef::new("zombies", Kind::Count, "always 0"),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "pty-pressure",
    severity: Severity::Warning,
    about: About::Limit,
    summary: "the machine is running out of pseudo-terminals",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("pty_pressure.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(PtyPressure { at: thresholds.pressure_at })
}

struct PtyPressure {
    /// Percent in use from which the rule reports.
    at: u64,
}

impl Rule for PtyPressure {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::Measured]
    }

    fn check(&self, world: &World, change: &Change, seq: Seq) -> Opinion {
        let Change::Measured(Measured::Ptys) = change else { return Opinion::Quiet };
        let Some(ptys) = world.ptys() else { return Opinion::Quiet };
        let init = world.by_pid(1).map_or_else(|| world.identity(NOBODY), Process::identity);
        let (Room { used, most }, of_containers) = (ptys.room, ptys.of_containers());
        if !of_containers.is_short(self.at) {
            let how = || format!("back below the threshold: {used} of {most} pseudo-terminals are in use");
            return Opinion::Settle(Subject::Process(init.key), of_containers.is_relieved(self.at).then(how));
        }
        let kept = match (ptys.reserve, of_containers.free()) {
            (0, _) => String::new(),
            (reserve, 0) => {
                format!("the host keeps {reserve} of them for itself (kernel.pty.reserve): containers can open no more")
            }
            (reserve, left) => {
                format!(
                    "the host keeps {reserve} of them for itself (kernel.pty.reserve): containers can open {left} more"
                )
            }
        };
        let holders: Vec<_> =
            world.pty_holders().iter().map(|&Holder { process, held }| (world.identity(process), held)).collect();
        let named: Vec<_> = holders.iter().map(|(holder, n)| format!("{n} by {}", words::who(holder))).collect();
        let notes = [
            Note::maybe("held", named.join(", ")),
            Note::maybe("reserve", kept),
            Some(Note::new("effect", "once none is left, no terminal, ssh session or `docker exec -t` can be opened")),
        ];
        Opinion::Found(Box::new(Finding {
            headline: format!("{used} of {most} pseudo-terminals of this machine are in use"),
            notes: notes.into_iter().flatten().collect(),
            fixes: vec![
                "end sessions that nobody uses any more (`tracer audit` lists what entered a container from outside; see \
                 `tracer explain exec-leftover`)"
                    .to_owned(),
                "raise the limit (sysctl kernel.pty.max)".to_owned(),
            ],
            evidence: vec![seq],
            facts: Facts::of(
                FACTS,
                [
                    ("used", used.into()),
                    ("most", most.into()),
                    ("of_machine", true.into()),
                    ("failed", 0_u64.into()),
                    ("holders", holder_facts(&holders)),
                    ("zombies", 0_u64.into()),
                ],
            ),
            ..Finding::new(&DEF, world.now(), world.now(), init)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Stage;
    use crate::{
        event::{Adopter, EventKind},
        host::Rooms,
        story::{Story, born, end, key},
    };

    fn measured(story: &mut Story, used: u64) {
        let pty_holders = vec![Holder { process: key(10), held: 70 }];
        let rooms = Rooms { ptys: Some(Room { used, most: 100 }), pty_holders, ..Rooms::default() };
        story.event(EventKind::Rooms(Box::new(rooms)));
    }

    #[test]
    fn who_holds_them_is_named_until_there_are_enough_again() {
        let mut story = Story::new();
        story.fork(born(10, 1));
        measured(&mut story, 10);
        assert_eq!(story.rules(), [""; 0]);
        measured(&mut story, 85);
        let finding = story.only();
        let message = finding.message();
        assert!(message.contains("85 of 100") && message.contains("70 by p10 (pid 10)"), "{message}");
        measured(&mut story, 12);
        assert_eq!(story.rules(), [""; 0], "it may come back");
        story.wait(5_001, &[]);
        assert_eq!(story.only().stage, Stage::Resolved);
    }

    #[test]
    fn what_the_host_keeps_for_itself_is_no_room_for_containers() {
        for (used, short) in [(2_400, false), (3_000, true), (3_102, true)] {
            let mut story = Story::new();
            let rooms = Rooms { ptys: Some(Room { used, most: 4_096 }), pty_reserve: 1_024, ..Rooms::default() };
            story.event(EventKind::Rooms(Box::new(rooms)));
            let said: Vec<_> = story.found.iter().map(Finding::message).collect();
            assert_eq!(said.len(), usize::from(short));
            let left = if used < 3_072 { "72" } else { "no" };
            let want = format!(
                "{used} of 4096 pseudo-terminals of this machine are in use. Reserve: the host keeps 1024 of them for itself \
                 (kernel.pty.reserve): containers can open {left} more."
            );
            assert!(said.iter().all(|said| said.starts_with(&want)), "{said:?}");
        }
    }

    #[test]
    fn it_goes_on_when_init_reaps_a_child() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(11, 1));
        measured(&mut story, 85);
        story.found.clear();
        story.exit(end(11, 1, Adopter::None)).free(11);
        assert_eq!(story.rules(), [""; 0]);
    }
}
