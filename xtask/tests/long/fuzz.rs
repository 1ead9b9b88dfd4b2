//! A short run of each fuzz target: half a minute of bytes that nobody would write.
//! `cargo xtask fuzz --seconds 3600` runs longer.

use std::process::Output;

use libtest_mimic::{Failed, Trial};

use crate::{cannot_fetch, each, xtask};

const TARGETS: [&str; 4] = ["trace", "records", "shown", "edges"];

pub fn trials() -> Vec<Trial> {
    each("fuzz", TARGETS, "TRACER_TESTS_FUZZ", || cannot_fetch(&["fuzz", "--fetch"]), run)
}

fn run(target: &str) -> Result<(), Failed> {
    let Output { status, stdout, stderr } = xtask(&["fuzz", "--seconds", "30", target]);
    if status.success() {
        return Ok(());
    }
    Err(format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)).into())
}
