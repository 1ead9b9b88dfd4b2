//! The long tests, in one program so that no processor waits for the last of another kind: a test for each kernel
//! that is booted, and one for each fuzz target.
//!
//! `cargo xtask test` asks for them; a plain `cargo test` neither boots machines nor builds what the fuzzer needs.

use std::{
    env,
    process::{Command, Output},
    thread::available_parallelism,
};

use libtest_mimic::{Arguments, Failed, Trial};

mod fuzz;
mod kernels;

fn main() {
    let mut arguments = Arguments::from_args();
    // Emulation keeps one processor busy.
    arguments.test_threads.get_or_insert(available_parallelism().map_or(2, |processors| processors.get().max(2)));
    // The kernels first, as they take longest.
    let trials = kernels::trials().into_iter().chain(fuzz::trials());
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A test for each of the words. All are ignored, with the reason, where the variable is not set or the machine lacks
/// what `lack` looks for.
fn each<const N: usize>(
    kind: &str,
    words: [&'static str; N],
    asked_by: &str,
    lack: fn() -> Option<String>,
    test: fn(&str) -> Result<(), Failed>,
) -> Vec<Trial> {
    let why_not = match env::var_os(asked_by) {
        None => Some("`cargo xtask test` runs it".to_owned()),
        Some(_) => lack(),
    };
    words
        .map(|word| match &why_not {
            None => Trial::test(format!("{kind}::{word}"), move || test(word)),
            Some(why) => Trial::test(format!("{kind}::{word}"), || Ok(()))
                .with_kind(format!("cannot run: {why}"))
                .with_ignored_flag(true),
        })
        .into()
}

/// Why `cargo xtask` cannot fetch what this takes, in one line.
///
/// Where everything must run, what cannot be had is a failure.
fn cannot_fetch(what: &[&str]) -> Option<String> {
    let Output { status, stderr, .. } = xtask(what);
    if status.success() {
        return None;
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let why = stderr.lines().last().unwrap_or("no reason is given").trim_start_matches("error: ");
    assert!(env::var_os("TRACER_TESTS_STRICT").is_none(), "`cargo xtask {}` fails: {why}", what.join(" "));
    Some(why.to_owned())
}

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("xtask can be started")
}
