//! `zombie-leader`: the main thread has exited, and the process lives on.

use crate::{
    change::{Change, Topic},
    finding::{About, FactDef, Facts, Finding, Kind, Note, Role, RuleDef, Severity},
    ident::ProcKey,
    rules::{Opinion, Rule, Wanted, words},
    signal::Signal,
    summary::seconds,
    thresholds::Thresholds,
    time::{Seq, Span},
    world::{State, World},
};

const FACTS: &[FactDef] = &[
    FactDef::new("threads", Kind::Count, "threads that lived on"),
    FactDef::new("age_ns", Kind::Span, "how long ago the main thread ended").role(Role::Cost),
];

pub(super) static DEF: RuleDef = RuleDef {
    name: "zombie-leader",
    severity: Severity::Info,
    about: About::Zombie,
    summary: "a main thread has exited and other threads live on: the process looks defunct, but is not a zombie",
    lasts: true,
    facts: FACTS,
    explanation: include_str!("zombie_leader.md"),
};

pub(super) fn make(thresholds: &Thresholds) -> Box<dyn Rule> {
    Box::new(ZombieLeader { after: thresholds.zombie_leader_after })
}

struct ZombieLeader {
    after: Span,
}

impl Rule for ZombieLeader {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn topics(&self) -> &'static [Topic] {
        &[Topic::LeaderDied]
    }

    fn check(&self, world: &World, change: &Change, _seq: Seq) -> Opinion {
        let Change::LeaderDied(key) = *change else { return Opinion::Quiet };
        // At an ordinary exit, too, the leader is often gone before the last thread.
        match world.get(key).map(|process| process.state) {
            Some(State::LeaderDead { since, .. }) => Opinion::Recheck(since + self.after, key),
            _ => Opinion::Quiet,
        }
    }

    fn wants(&self, _world: &World, key: ProcKey) -> Vec<Wanted> {
        vec![Wanted::Held(key)]
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Opinion {
        let Some(process) = world.get(key) else { return Opinion::Quiet };
        let State::LeaderDead { since, live, seq, .. } = process.state else { return Opinion::Quiet };
        // It is ending, and a thread cannot: `cannot-die` tells of that.
        let is_killed = process.fatal.as_deref().is_some_and(|fatal| fatal.signal == Signal::KILL);
        if is_killed || process.held.as_deref().is_some_and(|(at, held)| *at >= since && held.killed) {
            return Opinion::Quiet;
        }
        let name = process.identity();
        let age_ns = world.now() - since;
        Opinion::Found(Box::new(Finding {
            headline: format!(
                "the main thread of {} exited {} ago, and other threads live on",
                words::short(&name),
                seconds(age_ns)
            ),
            notes: vec![
                Note::new("looks like", "<defunct> in ps, but it is not a zombie"),
                Note::new("reaping", "its parent cannot reap it until the last thread ends"),
            ],
            fixes: vec![
                "none, if the process is meant to go on: there is nothing for its parent to do".to_owned(),
                "to end it, have its main thread call exit(), not pthread_exit(), or have the other threads end"
                    .to_owned(),
            ],
            evidence: vec![seq],
            facts: Facts::of(FACTS, [("threads", live.into()), ("age_ns", age_ns.into())]),
            ..Finding::new(&DEF, world.now(), since, name)
        }))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let lasted = seconds(world.now() - open.since);
        match change {
            Change::Died { key, .. } if *key == open.process.key => Some(format!(
                "the last thread of {} has ended, {lasted} after the main thread",
                words::short(&open.process)
            )),
            Change::Execed { key, .. } if *key == open.process.key => Some(format!(
                "another thread of {} executed a program, and is its main thread now",
                words::short(&open.process)
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        event::{Adopter, Exit},
        story::{Story, born, end},
    };

    fn leader_exits(live: u32) -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).exit(Exit { live, group_dead: false, ..end(10, 1, Adopter::None) });
        story
    }

    #[test]
    fn a_dead_main_thread_is_no_unreaped_child() {
        let mut story = leader_exits(2);
        story.wait(3_000, &[(10, b'Z', 1)]);
        assert_eq!(story.only().facts.count("threads"), 2);
        story.wait(50_000, &[(10, b'Z', 1)]);
        assert_eq!(story.rules(), [""; 0]);
        story.exit(end(10, 1, Adopter::None));
        let over = story.only();
        let said = "the last thread of p10 (pid 10) has ended, 53.0 s after the main thread";
        assert_eq!(over.headline, said);
    }

    #[test]
    fn an_ordinary_exit_in_which_the_leader_is_first_stays_quiet() {
        let mut story = leader_exits(1);
        story.exit(Exit { leader: false, ..end(10, 1, Adopter::None) }).free(10).wait(3_000, &[]);
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn an_exec_from_another_thread_revives_the_process() {
        let mut story = leader_exits(1);
        story.exec(10, "next").wait(3_000, &[(10, b'S', 1)]);
        assert_eq!(story.rules(), [""; 0]);
    }
}
