//! Lasting findings: reported once, then again at longer and longer intervals, and when they are over.

use std::collections::BTreeMap;

use crate::{
    finding::{Finding, Stage, Subject},
    signal::Signal,
    time::{BootNs, Seq, Span},
};

/// How long after the first report a finding is reported again; later, whenever that is this many times as long ago.
const AGAIN_AFTER: Span = Span::seconds(60);
const LONGER: u64 = 4;
/// The earliest time after a report at which the rule is asked whether the finding still holds.
const ASK_AFTER: Span = Span::seconds(5);
/// A finding that has grown by this factor is reported again at once.
const GROWN: u64 = 2;
/// How long a fluctuating situation must have been better before it counts as over.
const SETTLED_AFTER: Span = Span::seconds(5);

/// Open findings, by subject and rule.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: BTreeMap<(Subject, usize), Open>,
    /// Findings whose situation is better for the moment.
    settling: BTreeMap<(Subject, usize), Settling>,
}

/// See [`Ledger::settle`].
#[derive(Debug)]
struct Settling {
    /// When it counts as over.
    at: BootNs,
    seq: Seq,
    how: String,
}

#[derive(Debug)]
struct Open {
    /// As last reported.
    finding: Finding,
    /// When it was first reported.
    first: BootNs,
    /// When it is to be reported again.
    next: BootNs,
}

impl Open {
    /// When to ask the rule whether it still holds: more often than it is reported, or its end would be noticed much
    /// too late.
    fn ask_again(&self, now: BootNs) -> BootNs {
        let age = now - self.first;
        self.next.min(now + (age / LONGER).max(ASK_AFTER))
    }
}

impl Ledger {
    /// Takes a finding of a rule; returns it if it is to be reported, and when to ask about it again.
    pub(super) fn found(&mut self, rule: usize, mut finding: Finding) -> (Option<Finding>, BootNs) {
        let now = finding.at;
        let subject = (finding.subject(), rule);
        self.settling.remove(&subject);
        let Some(open) = self.open.get_mut(&subject) else {
            let open = Open { finding: finding.clone(), first: now, next: now + AGAIN_AFTER };
            let ask_again = open.ask_again(now);
            self.open.insert(subject, open);
            return (Some(finding), ask_again);
        };
        let has_grown = match (open.finding.size(), finding.size()) {
            (Some(before), Some(now)) => now > before && now / GROWN >= before,
            _ => false,
        };
        if now < open.next && !has_grown {
            return (None, open.ask_again(now));
        }
        let age = now - open.first;
        open.next = open.first + (age * LONGER).max(AGAIN_AFTER);
        finding.stage = Stage::Ongoing;
        open.finding = finding.clone();
        (Some(finding), open.ask_again(now))
    }

    /// A finding of a rule is over, at that time, in the rule's words.
    pub(super) fn over(&mut self, rule: usize, subject: Subject, at: BootNs, seq: Seq, how: String) -> Option<Finding> {
        let finding = self.close(rule, subject)?;
        Some(Finding { stage: Stage::Resolved, at, headline: how, evidence: vec![seq], ..finding })
    }

    /// What a situation has come to.
    pub(super) fn outcome(&mut self, rule: usize, finding: Finding) -> Finding {
        match self.close(rule, finding.subject()) {
            Some(open) => {
                // What to do about it was said.
                Finding { stage: Stage::Resolved, since: open.since, fixes: Vec::new(), ..finding }
            }
            None => finding,
        }
    }

    /// It was wrong, for the reason that the rule gives.
    pub(super) fn wrong(
        &mut self,
        rule: usize,
        subject: Subject,
        at: BootNs,
        seq: Seq,
        why: String,
    ) -> Option<Finding> {
        let finding = self.close(rule, subject)?;
        Some(Finding { stage: Stage::Withdrawn, at, headline: why, evidence: vec![seq], ..finding })
    }

    /// What was told last, without what to do about it.
    fn close(&mut self, rule: usize, subject: Subject) -> Option<Finding> {
        self.settling.remove(&(subject, rule));
        let Open { finding, .. } = self.open.remove(&(subject, rule))?;
        Some(Finding { notes: Vec::new(), fixes: Vec::new(), ..finding })
    }

    /// The situation is better for the moment, in the rule's words; or it is not, after all.
    pub(super) fn settle(&mut self, rule: usize, subject: Subject, now: BootNs, seq: Seq, how: Option<String>) {
        let subject = (subject, rule);
        let Some(how) = how.filter(|_| self.open.contains_key(&subject)) else {
            self.settling.remove(&subject);
            return;
        };
        let at = self.settling.get(&subject).map_or(now + SETTLED_AFTER, |settling| settling.at);
        self.settling.insert(subject, Settling { at, seq, how });
    }

    /// Those that have been better for long enough.
    pub(super) fn settled(&mut self, now: BootNs) -> Vec<Finding> {
        let due = self.settling.extract_if(.., |_, settling| settling.at <= now);
        let due: Vec<_> = due.collect();
        let over = due
            .into_iter()
            .filter_map(|((subject, rule), Settling { seq, how, .. })| self.over(rule, subject, now, seq, how));
        over.collect()
    }

    /// When the next one has been better for long enough.
    pub(super) fn next_settled(&self) -> Option<BootNs> {
        self.settling.values().map(|settling| settling.at).min()
    }

    /// Open findings about that subject, each with its rule; for a process, those about its signals as well.
    pub(super) fn about(&self, subject: Subject) -> impl Iterator<Item = (usize, &Finding)> {
        let itself = self.open.range((subject, 0)..=(subject, usize::MAX));
        let signals = match subject {
            Subject::Process(key) => {
                let [first, last] = [0, u8::MAX].map(|number| Subject::Signal(key, Signal(number)));
                Some(self.open.range((first, 0)..=(last, usize::MAX)))
            }
            Subject::Group(_) | Subject::Signal(..) => None,
        };
        itself.chain(signals.into_iter().flatten()).map(|(&(_, rule), open)| (rule, &open.finding))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
