//! The world against the kernel, under random operations: the small form of `cargo xtask fidelity`.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use tracer_tests::machine;

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("a_seed_of_old", a_seed_of_old),
        live("a_new_seed", a_new_seed),
        live("records_thrown_away", records_thrown_away),
        live("a_ring_buffer_that_overflows", a_ring_buffer_that_overflows),
    ]
}

fn a_seed_of_old() {
    run(1, 10_000, &[]);
}

/// A new seed each time; a failure names it.
fn a_new_seed() {
    run(new_seed(), 10_000, &[]);
}

fn records_thrown_away() {
    run(new_seed(), 3_000, &["--simulate-loss", "0.3"]);
}

fn a_ring_buffer_that_overflows() {
    run(new_seed(), 3_000, &["--ring-size", "4KiB"]);
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    now.as_nanos() as u64 % 1_000_000_000
}

/// Emulated processors carry out a tenth of the operations, and recovery from a loss may take ten times as long.
fn run(seed: u64, ops: u32, losing: &[&str]) {
    let mut command = Command::new(machine::program_path("fidelity"));
    let start_every = (ops / 10).to_string();
    command.args(["--seed", &seed.to_string(), "--shrink", "60", "--start-every", &start_every]).args(losing);
    if machine::is_emulated() {
        command.args(["--ops", &(ops / 10).to_string(), "--deadline", "60000", "--converge", "10000"]);
        command.args(["--grace", "400"]);
    } else {
        command.args(["--ops", &ops.to_string()]);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("points of rest"), "{said}");
    if !losing.is_empty() {
        // A run without a loss, or without a count that could be checked, proves nothing.
        assert!(figure(&said, "after a loss") > 0 && figure(&said, "times that all was counted") > 0, "{said}");
    }
}

/// A line of the table that a run ends with.
fn figure(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name:?} in\n{said}"))
}
