//! Empty programs: the cost that any tracer on these tracepoints pays. `cargo xtask bench` compares ours with them;
//! nothing else loads them.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

/// An empty program on `signal_generate`.
#[btf_tracepoint(function = "signal_generate")]
fn floor_signal_generate(_: BtfTracePointContext) -> i32 {
    0
}

/// An empty program on `task_newtask`.
#[btf_tracepoint(function = "task_newtask")]
fn floor_task_newtask(_: BtfTracePointContext) -> i32 {
    0
}
