//! `pty-pressure`: the pseudo-terminals of the machine are running out.

use crate::{
    change::{Change, Measured},
    finding::{Confidence, Detail, Finding, Severity, Stage},
    host::{Holder, Room},
    rules::{NOBODY, Rule, RuleDef, Verdict},
    world::{Process, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "pty-pressure",
    severity: Severity::Warning,
    summary: "the pseudo-terminals of the machine are running out, and who holds them",
    lasts: true,
    explanation: include_str!("pty_pressure.md"),
    make: |thresholds| Box::new(PtyPressure { at: thresholds.pressure_at }),
};

struct PtyPressure {
    /// Of a hundred.
    at: u64,
}

impl Rule for PtyPressure {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, seq: u64) -> Verdict {
        let Change::Measured(Measured::Ptys) = change else { return Verdict::Quiet };
        let Some(room) = world.ptys() else { return Verdict::Quiet };
        let init = world.by_pid(1).map_or_else(|| world.identity(NOBODY), Process::identity);
        let Room { used, most } = room;
        if !room.is_short(self.at) {
            return Verdict::Over(init.key, format!("{used} of {most} pseudo-terminals are in use again."));
        }
        let holders: Vec<_> =
            world.pty_holders().iter().map(|&Holder { process, held }| (world.identity(process), held)).collect();
        let named: Vec<_> = holders.iter().map(|(holder, n)| format!("{n} by {holder}")).collect();
        let who = if named.is_empty() { String::new() } else { format!(", {}", named.join(", ")) };
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
            at: world.now(),
            since: world.now(),
            process: init,
            confidence: Confidence::Certain,
            message: format!(
                "{used} of {most} pseudo-terminals of this machine are in use{who}. Without one no terminal, ssh or exec \
                 -t can be opened."
            ),
            fix: "end the sessions that nobody uses any more (see `tracer explain exec-leftover`; `tracer audit` lists who \
                  came into a container from outside), or raise kernel.pty.max"
                .to_owned(),
            evidence: vec![seq],
            detail: Detail::Pressure { room, of_machine: true, failed: 0, holders, zombies: 0 },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert!(finding.message.contains("85 of 100") && finding.message.contains("70 by p10 (pid 10)"));
        measured(&mut story, 12);
        assert_eq!(story.only().stage, Stage::Resolved);
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
