//! How `tracer watch` ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tracer_tests::{Run, machine, run::tracer};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("interrupt", || ends_with(Signal::INT)),
        live("terminate", || ends_with(Signal::TERM)),
        live("duration", duration),
        live("closed_pipe_json", || closed_pipe("json", Says::Much)),
        live("closed_pipe_text", || closed_pipe("text", Says::Much)),
        live("closed_pipe_with_nothing_to_say", || closed_pipe("json", Says::Nothing)),
    ]
}

fn ends_with(signal: Signal) {
    let mut run = Run::start();
    run.settle();
    let summary = run.end_with(signal).summary;
    assert!(summary.events["exec"] > 0, "{summary:?}");
    assert!(summary.processes > 1 && summary.namespaces >= 1, "{summary:?}");
}

fn duration() {
    let began = Instant::now();
    let finished = Run::options().live(&["--duration", "500ms"]).start().end();
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(finished.summary.duration_ns >= 500_000_000, "{:?}", finished.summary);
}

/// How much there is to say when the reader has gone.
#[derive(Clone, Copy, PartialEq)]
enum Says {
    Much,
    Nothing,
}

/// As in `tracer watch | head -1`.
fn closed_pipe(format: &str, says: Says) {
    let mut command = tracer(&["watch", "-o", format]);
    match says {
        Says::Much => command.arg("--events=exec"),
        Says::Nothing => command.args(["--rule", "init-ignored-signal"]),
    };
    let mut tracer = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tracer starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(tracer.stdout.take().expect("stdout is piped"));
    stdout.read_line(&mut line).expect("a line");
    assert!(!line.is_empty());
    drop(stdout);

    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        // Something to say, or just a moment.
        let _ = Command::new(machine::workload_path()).arg("nothing").status();
        if let Some(status) = tracer.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = tracer.kill();
            let _ = tracer.wait();
            panic!("tracer goes on without a reader");
        }
    };
    let mut stderr = String::new();
    tracer.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("text");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}
