//! What `tracer` cannot know, and says wrongly on purpose: each with its place in
//! `docs/what-can-be-known.md`. A case that is listed here must come out exactly as it says.

use nix::libc;

use super::{
    case::{Case, Disposition, Relation, Seen},
    oracle::Fate,
};

/// A limit of what can be known.
#[derive(Clone, Debug)]
pub struct Known {
    /// The heading in the document.
    pub heading: &'static str,
    /// What is said in spite of it.
    pub fate: Fate,
}

/// Whether a case lies beyond a limit, on a kernel of this version.
pub fn limit(seen: &Seen, kernel: (u32, u32)) -> Option<Known> {
    let said = |sent: &'static str, taken: &[&'static str]| Fate {
        sent: vec![Some(sent); seen.sendings.len()],
        taken: taken.to_vec(),
        may_be_untaken: false,
    };
    match seen.case.disposition {
        Disposition::Orphaned => {
            Some(Known { heading: "Job control in an orphaned process group", fate: said("delivered", &["delivered"]) })
        }
        // One thread that exits leaves no mark before `exit_signals()`, up to 5.15.
        Disposition::Exiting if kernel < (5, 16) => {
            let Case { signal, relation, .. } = seen.case;
            let is_waiting = seen.sendings.first().is_some_and(|sending| seen.case.is_pending(&sending.before));
            let sent = match relation {
                Relation::InsideToInit if signal == libc::SIGKILL => "kill-from-inside",
                _ if signal < 32 && is_waiting => "merged",
                _ => "delivered",
            };
            Some(Known { heading: "The first steps of an exit", fate: said(sent, &[]) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::case::{Did, Release, Way},
        *,
    };

    #[test]
    fn each_limit_has_its_place_in_the_document() {
        let document = include_str!("../../../docs/what-can-be-known.md");
        for disposition in [Disposition::Orphaned, Disposition::Exiting] {
            let seen = Seen {
                case: Case { disposition, relation: Relation::Peers, way: Way::Kill, signal: 20 },
                pid: 1,
                opened: 0,
                closed: 0,
                is_init: false,
                is_kthread: false,
                is_exiting: true,
                sendings: Vec::new(),
                release: Release::None,
                did: Did::default(),
                at_end: None,
            };
            let Known { heading, .. } = limit(&seen, (5, 10)).expect("it is one");
            assert!(document.contains(&format!("### {heading}\n")), "{heading}");
        }
    }
}
