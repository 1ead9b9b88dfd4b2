//! Limits of what `tracer` can know: the cases whose verdict is knowingly wrong, each with its place in
//! `docs/what-can-be-known.md`. A case that is listed here must come out exactly as stated.

use super::{
    case::{Disposition, Seen},
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

/// Whether a case lies beyond a limit.
pub fn limit(seen: &Seen) -> Option<Known> {
    let fate =
        || Fate { sent: vec![Some("delivered"); seen.sendings.len()], taken: vec!["delivered"], may_be_untaken: false };
    (seen.case.disposition == Disposition::Orphaned)
        .then(|| Known { heading: "Job control in an orphaned process group", fate: fate() })
}

#[cfg(test)]
mod tests {
    use tracer::time::BootNs;

    use super::{
        super::case::{Case, Did, Relation, Release, Way},
        *,
    };

    #[test]
    fn each_limit_has_its_place_in_the_document() {
        let document = include_str!("../../../docs/what-can-be-known.md");
        let seen = Seen {
            case: Case { disposition: Disposition::Orphaned, relation: Relation::Peers, way: Way::Kill, signal: 20 },
            pid: 1,
            opened: BootNs::ZERO,
            closed: BootNs::ZERO,
            is_init: false,
            is_kthread: false,
            is_exiting: false,
            sendings: Vec::new(),
            release: Release::None,
            did: Did::default(),
            at_end: None,
        };
        let Known { heading, .. } = limit(&seen).expect("it is one");
        assert!(document.contains(&format!("### {heading}\n")), "{heading}");
    }
}
