//! The world against the kernel, under random operations: the small form of `cargo xtask fidelity`.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use tracer_tests::machine;

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![live("a_seed_of_old", a_seed_of_old), live("a_new_seed", a_new_seed)]
}

fn a_seed_of_old() {
    run(1);
}

/// Another one each time: a failure names it.
fn a_new_seed() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    run(now.as_nanos() as u64 % 1_000_000_000);
}

fn run(seed: u64) {
    let mut command = Command::new(machine::program_path("fidelity"));
    command.args(["--seed", &seed.to_string(), "--shrink", "60"]);
    if machine::is_emulated() {
        command.args(["--ops", "1000", "--deadline", "60000", "--grace", "400"]);
    } else {
        command.args(["--ops", "10000"]);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("points of rest"), "{said}");
}
