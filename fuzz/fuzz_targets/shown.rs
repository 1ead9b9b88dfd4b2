//! Any bytes as records, with every presenter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::{source::decode::decode, trace::Records};
use tracer_fuzz::Shown;

fuzz_target!(|bytes: &[u8]| {
    Shown::default().play(|take| {
        for record in Records(bytes) {
            if let Ok(event) = decode(record) {
                take(&event, record);
            }
        }
    });
});
