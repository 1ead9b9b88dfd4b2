//! How soon tracing is on.

use std::time::Duration;

use tracer_tests::{Run, Stage};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("among_a_thousand_processes", among_a_thousand_processes)]
}

fn among_a_thousand_processes() {
    let mut crowd = Stage::act(&["crowd", "1000"], &Default::default());
    crowd.hears("crowd");
    // The best of three: other programs may want the processors too.
    let took = (0..3).map(|_| {
        let run = Run::start();
        let took = run.took_to_start();
        run.finish();
        took
    });
    let best = took.min().expect("there were three");
    assert!(best < Duration::from_secs(1), "the start line came after {best:?}");
}
