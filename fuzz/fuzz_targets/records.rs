//! Any bytes as records: decoder, world, rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tracer_fuzz::believe(bytes));
