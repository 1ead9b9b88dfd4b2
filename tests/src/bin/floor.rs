//! Attaches empty programs: what any tracer on these tracepoints pays. For `cargo xtask bench`.
//!
//! `floor TRACEPOINT…` says `attached` and stays until its standard input ends, so it never
//! outlives whoever started it.

use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use tracer::source::load::{LoadOptions, load};

fn main() -> Result<()> {
    let tracepoints: Vec<String> = std::env::args().skip(1).collect();
    ensure!(!tracepoints.is_empty(), "say which tracepoints: floor signal_generate task_newtask");
    // The smallest ring buffer: nothing writes to it.
    let mut loaded = load(&LoadOptions { ring_size: 4096, ..LoadOptions::default() })?;
    for tracepoint in &tracepoints {
        let program = format!("floor_{tracepoint}");
        loaded.attach(&program, tracepoint).with_context(|| format!("the empty program {program}"))?;
    }
    println!("attached");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
