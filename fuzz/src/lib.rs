//! What the targets do with events: world and rules, and of the whole program every presenter, with everything shown.

use tracer_model::{
    detector::Detector,
    thresholds::Thresholds,
    wire::{Records, decode::decode},
};

#[cfg(feature = "program")]
mod shown;

#[cfg(feature = "program")]
pub use shown::Shown;

/// Any bytes as records through the world and the rules, and the image of what they made.
pub fn believe(bytes: &[u8]) {
    let mut detector = Detector::new(&Thresholds::default());
    for record in Records(bytes) {
        if let Ok(event) = decode(record) {
            detector.step(&event, record);
        }
    }
    for event in detector.world().image() {
        std::hint::black_box(event);
    }
}
