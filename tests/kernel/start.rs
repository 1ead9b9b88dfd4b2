//! Tracing that begins on a machine with many processes.

use tracer_tests::{Run, Stage, contract::Line};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("among_a_thousand_processes", among_a_thousand_processes)]
}

/// The duration is printed, not judged: it depends on what else the machine does.
fn among_a_thousand_processes() {
    let mut crowd = Stage::act(&["crowd", "1000"], &Default::default());
    crowd.hears("crowd");
    let run = Run::start();
    let Some(Line::Start(start)) = run.lines().first() else { panic!("no start line") };
    assert!(start.processes > 1_000, "{start:?}");
    eprintln!("the start line came after {:?}", run.took_to_start());
    run.finish();
}
