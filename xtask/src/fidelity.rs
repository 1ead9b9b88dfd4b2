//! `cargo xtask fidelity`: a random process tree, and the world compared with the kernel, here or
//! inside Debian's kernels.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    verifier::{self, HOST},
    vm::{self, Job},
};

/// What `fidelity` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// What the operations are derived from [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// How many operations [default: 100000, in a virtual machine 50000]
    #[arg(long)]
    ops: Option<u64>,
    /// Only the operations of these numbers, as a failure names them
    #[arg(long, value_name = "NUMBERS")]
    only: Option<String>,
    /// Throw away this share of the records, 0 to 1: the worlds must find back
    #[arg(long, value_name = "RATE")]
    simulate_loss: Option<String>,
    /// Size of the kernel's ring buffer: with 4KiB records are lost by themselves
    #[arg(long, value_name = "SIZE")]
    ring_size: Option<String>,
    /// `host` for the running kernel, or series of Debian's kernels
    #[arg(long, value_name = "KERNEL", value_parser = verifier::kernel, value_delimiter = ',', default_value = HOST)]
    kernel: Vec<String>,
    /// Seconds that one virtual machine may take
    #[arg(long, default_value_t = 7_200, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// How long emulation makes everything last: a difference may stay for so much longer.
const EMULATED: [&str; 8] = ["--deadline", "60000", "--converge", "10000", "--grace", "400", "--shrink", "600"];

/// The sub-command.
pub fn fidelity(options: Options) -> Result<ExitCode> {
    let Options { seed, ops, only, simulate_loss, ring_size, kernel, seconds } = options;
    let arguments = |default: u64| {
        let mut arguments = vec!["--ops".to_owned(), ops.unwrap_or(default).to_string()];
        let mut add = |name: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        add("--seed", seed.map(|seed| seed.to_string()));
        add("--only", only.clone());
        add("--simulate-loss", simulate_loss.clone());
        add("--ring-size", ring_size.clone());
        arguments
    };
    let (host, series): (Vec<_>, Vec<_>) = kernel.into_iter().partition(|kernel| kernel == HOST);
    if !host.is_empty() {
        let code = verifier::on_host("fidelity", &arguments(100_000))?;
        if code != ExitCode::SUCCESS || series.is_empty() {
            return Ok(code);
        }
    }
    let mut arguments = arguments(50_000);
    arguments.extend(EMULATED.map(str::to_owned));
    vm::run(&series, |_| vec![Job::Program("fidelity", arguments.clone())], seconds)
}
