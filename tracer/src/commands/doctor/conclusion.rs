//! What this machine can and cannot prove, in plain sentences.

use serde::Serialize;

use super::trial::{Hidden, Trial};
use crate::{
    console::style,
    source::hooks::{EXACT, Moment},
};

/// The last part of the report.
pub(super) struct Conclusion {
    /// `tracer watch` and `tracer tree` work here.
    pub live_tracing: bool,
    /// What can be proved, and what cannot.
    pub claims: Vec<Claim>,
}

/// One thing that a person may want to know, and how far the tool can prove it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// How far.
    pub proof: Proof,
    /// A sentence that stands for itself.
    pub sentence: String,
}

/// How far something can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// The kernel says so itself.
    Exact,
    /// Only up to what the sentence says.
    Partly,
    /// Not at all.
    No,
}

/// The JSON line.
#[derive(Serialize)]
#[serde(tag = "type", rename = "verdict")]
pub(super) struct Line<'a> {
    live_tracing: bool,
    sentences: Vec<&'a str>,
}

/// True on every kernel that the tracepoints are there on.
const CLAIMS: [(Proof, &str); 6] = [
    (
        Proof::Exact,
        "Every signal that the kernel drops is seen, with the reason and the sender: the kernel tells while it decides.",
    ),
    (Proof::Exact, "Births, execs and deaths of processes are seen, with pid namespace, parent and exit status."),
    (Proof::Exact, "Zombies are seen, with who owes the wait; also those from before the start."),
    (
        Proof::Exact,
        "Whatever is lost because the ring buffer was full is counted, and findings that rest on it say so.",
    ),
    (
        Proof::Partly,
        "Of what was before the start, the state is known but not the story: who sent what, who adopted whom.",
    ),
    (
        Proof::No,
        "What a program did with a signal that it got cannot be told, nor which signals kill() refused to send: neither \
         passes a hook in use.",
    ),
];

/// What can be said about a moment that is exact, and about one that is not.
fn claim_of(moment: Moment, is_exact: bool) -> (Proof, &'static str) {
    match (moment, is_exact) {
        (Moment::Adoption, true) => {
            (Proof::Exact, "The new parent of an orphan is seen when the kernel hands the orphan over.")
        }
        (Moment::Adoption, false) => (
            Proof::Partly,
            "The new parent of an orphan is predicted when its parent exits, by the kernel's own rule, and verified by \
             a look some milliseconds later.",
        ),
        (Moment::Reap, true) => (Proof::Exact, "A reap is seen when it happens, with the thread that reaped."),
        (Moment::Reap, false) => (
            Proof::Partly,
            "That a child was reaped is certain, but the moment is an upper bound, some milliseconds late, and who \
             reaped is inferred from who owed the wait: only sched_process_free tells.",
        ),
        (Moment::ZombieBegins, true) => {
            (Proof::Exact, "The moment in which a process becomes a zombie is seen, and who is told.")
        }
        (Moment::ZombieBegins, false) => (
            Proof::Partly,
            "A zombie counts from the beginning of its exit, which is microseconds too early unless closing its files \
             holds it up.",
        ),
    }
}

impl Conclusion {
    pub(super) fn of(trial: &Trial, degraded: &[String]) -> Self {
        let claim = |proof, sentence: String| Claim { proof, sentence };
        let claims = match &trial.reason {
            Some(reason) => vec![
                claim(Proof::No, format!("Live tracing does not work here: {reason}.")),
                claim(
                    Proof::No,
                    "So no signal, death, zombie or orphan can be seen; `tracer rules` and `tracer explain` work anywhere."
                        .to_owned(),
                ),
            ],
            None => {
                let Hidden { from_iterator, from_proc: _ } = &trial.hidden;
                // Pid 1 is known from /proc and from its children.
                let hidden = from_iterator.iter().filter(|&&pid| pid != 1).count();
                let hidden = (hidden > 0).then(|| {
                    let hidden = style::count(hidden as u64, "process");
                    claim(Proof::Partly, format!("The kernel's iterator does not show {hidden}, so the tree has gaps."))
                });
                let missing = degraded.iter().map(|sentence| claim(Proof::Partly, format!("Beware: {sentence}.")));
                let moments = EXACT.iter().map(|hook| claim_of(hook.moment, trial.exact.contains(&hook.moment)));
                let mut all: Vec<_> = CLAIMS.iter().copied().chain(moments).collect();
                // The best first.
                all.sort_by_key(|&(proof, _)| proof);
                all.into_iter().map(|(proof, text)| claim(proof, text.to_owned())).chain(missing).chain(hidden).collect()
            }
        };
        Self { live_tracing: trial.works(), claims }
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line {
            live_tracing: self.live_tracing,
            sentences: self.claims.iter().map(|claim| claim.sentence.as_str()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn trial(reason: Option<&str>, from_iterator: Vec<u32>) -> Trial {
        Trial {
            checks: Vec::new(),
            reason: reason.map(str::to_owned),
            exact: BTreeSet::new(),
            hidden: Hidden { from_iterator, from_proc: Vec::new() },
        }
    }

    #[test]
    fn what_this_kernel_lacks_is_named() {
        let conclusion = Conclusion::of(&trial(None, vec![1]), &["this kernel has no `x`: y".to_owned()]);
        assert!(conclusion.live_tracing);
        assert_eq!(conclusion.claims.last().unwrap().sentence, "Beware: this kernel has no `x`: y.");
    }

    #[test]
    fn hidden_processes_are_named() {
        let conclusion = Conclusion::of(&trial(None, vec![1, 7, 8]), &[]);
        assert!(conclusion.claims.last().unwrap().sentence.contains("does not show 2 processes"));
    }

    #[test]
    fn exact_hooks_change_what_is_claimed() {
        let sentences = |exact: &[Moment]| {
            let trial = Trial { exact: exact.iter().copied().collect(), ..trial(None, vec![]) };
            Conclusion::of(&trial, &[]).claims.into_iter().map(|claim| claim.sentence).collect::<Vec<_>>().join(" ")
        };
        assert!(sentences(&[]).contains("an upper bound"));
        assert!(!sentences(&[Moment::Reap]).contains("an upper bound"));
    }

    #[test]
    fn where_nothing_works_nothing_is_claimed() {
        let conclusion = Conclusion::of(&trial(Some("no root"), vec![]), &[]);
        let line = serde_json::to_string(&conclusion.line()).unwrap();
        assert_eq!(
            line,
            r#"{"type":"verdict","live_tracing":false,"sentences":["Live tracing does not work here: no root.","So no signal, death, zombie or orphan can be seen; `tracer rules` and `tracer explain` work anywhere."]}"#
        );
    }
}
