//! The main scenarios on every kernel that tracer is for, each booted in QEMU: one test a kernel.
//!
//! `cargo xtask test` asks for them; a plain `cargo test` does not boot machines. What happens in
//! there is what `cargo xtask vm --main` prints.

use std::{
    env,
    process::{Command, Output},
    thread::available_parallelism,
};

use libtest_mimic::{Arguments, Failed, Trial};

/// How `cargo xtask vm` says that it was not a test that failed.
const MACHINE_FAILED: [&str; 3] = ["FAILED: it hangs", "Kernel panic", "soft lockup"];

const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];

fn main() {
    let mut arguments = Arguments::from_args();
    // Emulation keeps one processor busy.
    arguments.test_threads.get_or_insert(available_parallelism().map_or(2, |processors| processors.get().max(2)));
    let why_not = why_not();
    let trials = SERIES.map(|series| match &why_not {
        None => Trial::test(format!("kernel::{series}"), move || boot(series)),
        Some(why) => Trial::test(format!("kernel::{series}"), || Ok(()))
            .with_kind(format!("cannot run: {why}"))
            .with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

/// Why kernels cannot be booted here, in one line.
fn why_not() -> Option<String> {
    if env::var_os("TRACER_TESTS_VM").is_none() {
        return Some("`cargo xtask test` boots kernels".to_owned());
    }
    let Output { status, stderr, .. } = vm(&["--fetch"]);
    if status.success() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let why = stderr.lines().last().unwrap_or("no reason is given");
    // Where everything must run, what cannot be had is a failure.
    assert!(env::var_os("TRACER_TESTS_STRICT").is_none(), "kernels cannot be booted: {why}");
    Some(why.trim_start_matches("error: ").to_owned())
}

fn boot(series: &str) -> Result<(), Failed> {
    let mut outcome = vm(&["--main", series]);
    // An emulated processor that got no time for seconds makes a kernel give up (soft lockups, a timer
    // that does not tick). A test that failed has failed.
    if MACHINE_FAILED.iter().any(|what| String::from_utf8_lossy(&outcome.stdout).contains(what)) {
        println!("kernel::{series}: the machine failed, and is booted once more");
        outcome = vm(&["--main", series]);
    }
    let Output { status, stdout, stderr } = outcome;
    if status.success() {
        return Ok(());
    }
    // What went well is of no interest here.
    let said = String::from_utf8_lossy(&stdout);
    let bad: Vec<_> = said.lines().filter(|line| !line.ends_with(" ok") && !line.ends_with(" ignored")).collect();
    Err(format!("{}\n{}", bad.join("\n"), String::from_utf8_lossy(&stderr)).into())
}

fn vm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("vm").args(arguments).output().expect("xtask can be started")
}
