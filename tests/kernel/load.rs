//! The programs one by one, and on a kernel that lacks a field.

use tracer::source::{
    live::Live,
    load::{HOOKS, LoadOptions, load},
    offsets::CONSEQUENCES,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("each_alone", each_alone), live("with_a_field_missing", with_a_field_missing)]
}

fn each_alone() {
    for hook in HOOKS {
        let mut loaded = load(&LoadOptions::default()).expect("the object loads");
        loaded.attach(hook, hook).unwrap_or_else(|error| panic!("{hook}: {error}"));
    }
    let listed = Live::snapshot_only().expect("the iterator loads").snapshot().expect("it runs");
    assert!(listed.len() > 10, "it lists {} events", listed.len());
}

/// Any field that is not essential may be missing: everything still loads, and one sentence says what is lost.
fn with_a_field_missing() {
    for (field, consequence) in CONSEQUENCES {
        let without: &'static [&'static str] = Box::leak(Box::new([*field]));
        let options = LoadOptions { without, ..LoadOptions::default() };
        let mut loaded = load(&options).unwrap_or_else(|error| panic!("without {field}: {error}"));
        // The absence of a field without a consequence only costs time.
        let told = usize::from(!consequence.is_empty());
        assert_eq!(loaded.degraded.len(), told, "{:?}", loaded.degraded);
        assert!(loaded.degraded.iter().all(|told| told.contains(consequence)), "{:?}", loaded.degraded);
        for hook in HOOKS {
            loaded.attach(hook, hook).unwrap_or_else(|error| panic!("{hook} without {field}: {error}"));
        }
        loaded.load_iterators().unwrap_or_else(|error| panic!("iterator without {field}: {error}"));
    }
}
