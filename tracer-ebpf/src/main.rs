//! The kernel side of `tracer`: programs on BTF tracepoints, optional ones on kernel functions,
//! and two task iterators.
//!
//! A program reads what only the kernel knows at that instant, puts one record into the ring buffer and returns; user
//! space decides what it means. Each program on a tracepoint has the tracepoint's name, which is all that the loader
//! needs to attach it.

#![no_std]
#![no_main]

mod emit;
mod exact;
mod exec;
mod exit;
mod floor;
mod kernel;
mod reaper;
mod rename;
mod ring;
mod signal;
mod snapshot;
mod start;
mod waiter;

/// The programs use helpers that are GPL-only, `bpf_probe_read_kernel` among them.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses an endless loop, so a program that could panic does not load.
    loop {}
}
