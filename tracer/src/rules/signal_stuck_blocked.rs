//! `signal-stuck-blocked`: a signal waits, because its target blocks it.

use crate::{
    change::{Change, Signalled},
    finding::{Confidence, Detail, Finding, Severity, Stage, Subject},
    ident::ProcKey,
    rules::{Rule, RuleDef, Verdict, Wanted},
    signal::Verdict as Fate,
    summary::seconds,
    world::{Waiting, World},
};

pub(super) static DEF: RuleDef = RuleDef {
    name: "signal-stuck-blocked",
    severity: Severity::Info,
    summary: "a signal that should end or stop a process waits, because the process blocks it",
    lasts: true,
    explanation: include_str!("signal_stuck_blocked.md"),
    make: |thresholds| Box::new(StuckBlocked { after: thresholds.stuck_blocked_after }),
};

struct StuckBlocked {
    after: u64,
}

impl Rule for StuckBlocked {
    fn def(&self) -> &'static RuleDef {
        &DEF
    }

    fn check(&self, world: &World, change: &Change, _seq: u64) -> Verdict {
        match change {
            Change::Signalled(signalled) => match &**signalled {
                Signalled { verdict: Fate::Queued, target, .. } if world.waiting(target.key).is_some() => {
                    Verdict::Recheck(world.now().saturating_add(self.after), target.key)
                }
                _ => Verdict::Quiet,
            },
            _ => Verdict::Quiet,
        }
    }

    fn wants(&self, world: &World, key: ProcKey) -> Vec<Wanted> {
        world.waiting(key).map(|waiting| Wanted::Masks(waiting.target)).into_iter().collect()
    }

    fn recheck(&self, world: &World, key: ProcKey) -> Verdict {
        let Some(process) = world.get(key) else { return Verdict::Quiet };
        let Some(waiting) = world.waiting(key) else {
            return Verdict::Over(Subject::Process(key), format!("{} has taken it.", process.identity()));
        };
        let Waiting { signal, sender, target, at, seq } = *waiting;
        let due = at.saturating_add(self.after);
        if world.now() < due {
            return Verdict::Recheck(due, key);
        }
        // Where its signals cannot be looked at, nobody knows.
        let Some((_, _, masks)) = process.masks.filter(|&(looked, tid, _)| looked >= due && tid == target.tid) else {
            return Verdict::Quiet;
        };
        if process.death().is_some() {
            return Verdict::Quiet;
        }
        let name = process.identity();
        let age_ns = world.now().saturating_sub(at);
        let is_blocked = signal.is_in(masks.blocked);
        let why = match process.look.map(|(_, look)| look.state) {
            Some(b'T' | b't') => "is stopped, and takes none before it is continued",
            Some(b'D') => "sleeps in the kernel and cannot be interrupted",
            _ if is_blocked => "blocks it",
            _ => "has not taken it",
        };
        Verdict::Found(Box::new(Finding {
            rule: &DEF,
            stage: Stage::New,
            at: world.now(),
            since: at,
            process: name,
            confidence: Confidence::Certain,
            message: format!(
                "{signal} from {sender} has waited for {name} for {}: it {why}. Until then the signal does nothing.",
                seconds(age_ns)
            ),
            fix: format!(
                "unblock {signal} where the program waits (sigprocmask, pthread_sigmask, ppoll), or take it there \
                 (sigwait, signalfd); a child inherits what is blocked across fork and exec, so unblock all signals in it \
                 before exec; SIGKILL ends it in any case"
            ),
            evidence: vec![seq],
            detail: Detail::StuckBlocked { signal, sender, age_ns },
        }))
    }

    fn over(&self, world: &World, change: &Change, open: &Finding) -> Option<String> {
        let Detail::StuckBlocked { signal, .. } = open.detail else { return None };
        let name = open.process;
        let lasted = seconds(world.now().saturating_sub(open.since));
        match change {
            Change::Taken(taken) if taken.signal == signal => {
                Some(format!("{name} has taken {signal} after {lasted}."))
            }
            Change::Died { key, .. } if *key == name.key => Some(format!("{name} has ended, {lasted} after {signal}.")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::signal_flags as bit;

    use super::*;
    use crate::{
        event::{Adopter, EventKind, Masks, SignalSent},
        signal::Signal,
        story::{Story, born, end, kill, task},
    };

    const TERM: u64 = 1 << 14;

    /// 20 blocks SIGTERM, which 10 has sent.
    fn sent() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 1));
        story.signal(SignalSent { flags: bit::GROUP | bit::BLOCKED, ..kill(10, 20, Signal::TERM) });
        story
    }

    fn look(story: &mut Story, ms: u64, masks: Masks) {
        story.now += ms * crate::story::MS;
        assert!(story.engine.due(story.now, 0).contains(&Wanted::Masks(task(20))));
        story.look(20, Some((b'S', 1))).event(EventKind::Masks(task(20), Some(masks))).event(EventKind::Tick);
    }

    #[test]
    fn it_is_found_when_it_still_waits_and_is_over_when_the_process_ends() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        let finding = story.only();
        assert!(
            finding.message.contains("SIGTERM from p10 (pid 10) has waited for p20 (pid 20) for 10.0 s: it blocks it")
        );
        story.exit(end(20, 1, Adopter::None));
        assert_eq!(story.found.pop().unwrap().stage, Stage::Resolved);
    }

    #[test]
    fn what_was_taken_meanwhile_is_quiet() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { blocked: TERM, ..Masks::default() });
        assert_eq!(story.rules(), [""; 0]);
    }

    #[test]
    fn it_is_over_when_it_was_taken_without_a_word() {
        let mut story = sent();
        look(&mut story, 10_000, Masks { shared_pending: TERM, blocked: TERM, ..Masks::default() });
        story.found.clear();
        look(&mut story, 60_000, Masks { blocked: TERM, ..Masks::default() });
        assert_eq!(story.only().stage, Stage::Resolved);
    }
}
