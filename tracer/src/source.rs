//! Where events come from.

pub use tracer_model::wire::{decode, encode};

pub mod ages;
pub mod containers;
mod doorbell;
pub mod fill;
mod held;
pub mod hooks;
mod inflow;
pub mod kernel_log;
pub mod limits;
pub mod listing;
pub mod live;
pub mod load;
pub mod offsets;
pub mod procfs;
mod ptys;
pub mod reads;
pub mod rings;
mod shim;
pub mod trace;
pub mod until;
mod walk;
pub mod witness;
