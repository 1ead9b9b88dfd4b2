//! The main scenarios on every kernel that tracer is for, each booted in QEMU: what `cargo xtask vm --main` prints.

use std::process::Output;

use libtest_mimic::{Failed, Trial};

use crate::{cannot_fetch, each, xtask};

/// How `cargo xtask vm` says that it was not a test that failed.
const MACHINE_FAILED: [&str; 3] = ["FAILED: it hangs", "Kernel panic", "soft lockup"];

const SERIES: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.3"];

pub fn trials() -> Vec<Trial> {
    each("kernel", SERIES, "TRACER_TESTS_VM", || cannot_fetch(&["vm", "--fetch"]), boot)
}

fn boot(series: &str) -> Result<(), Failed> {
    let mut outcome = xtask(&["vm", "--main", series]);
    // An emulated processor that got no time for seconds makes a kernel give up (soft lockups, a timer
    // that does not tick). A test that failed has failed.
    if MACHINE_FAILED.iter().any(|what| String::from_utf8_lossy(&outcome.stdout).contains(what)) {
        println!("kernel::{series}: the machine failed, and is booted once more");
        outcome = xtask(&["vm", "--main", series]);
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
