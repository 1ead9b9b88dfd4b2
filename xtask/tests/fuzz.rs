//! A short run of each fuzz target: half a minute of bytes that nobody would write.
//!
//! `cargo xtask test` asks for them; a plain `cargo test` does not build what they need.
//! `cargo xtask fuzz --seconds 3600` runs longer.

use std::{
    env,
    process::{Command, Output},
};

use libtest_mimic::{Arguments, Failed, Trial};

const TARGETS: [&str; 4] = ["trace", "records", "shown", "edges"];

fn main() {
    let mut arguments = Arguments::from_args();
    // They build the same things first.
    arguments.test_threads.get_or_insert(1);
    let why_not = why_not();
    let trials = TARGETS.map(|target| match &why_not {
        None => Trial::test(format!("fuzz::{target}"), move || run(target)),
        Some(why) => Trial::test(format!("fuzz::{target}"), || Ok(()))
            .with_kind(format!("cannot run: {why}"))
            .with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

/// Why there can be none here, in one line.
fn why_not() -> Option<String> {
    if env::var_os("TRACER_TESTS_FUZZ").is_none() {
        return Some("`cargo xtask test` runs it".to_owned());
    }
    let Output { status, stderr, .. } = fuzz(&["--fetch"]);
    if status.success() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&stderr);
    // What does not compile is a fault, which the test itself shows; what the machine lacks is none.
    if stderr.contains("could not compile `tracer") {
        return None;
    }
    let why = stderr.lines().last().unwrap_or("no reason is given");
    // Where everything must run, what cannot be had is a failure.
    assert!(env::var_os("TRACER_TESTS_STRICT").is_none(), "there can be no fuzzing: {why}");
    Some(why.trim_start_matches("error: ").to_owned())
}

fn run(target: &str) -> Result<(), Failed> {
    let Output { status, stdout, stderr } = fuzz(&["--seconds", "30", target]);
    if status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)).into())
}

fn fuzz(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("fuzz").args(arguments).output().expect("xtask can be started")
}
