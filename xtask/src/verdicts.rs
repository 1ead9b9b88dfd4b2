//! `cargo xtask verdicts`: what is said of every signal, sent in every way to every kind of target,
//! against what the target saw; here, or in a booted kernel.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    verifier::{HOST, kernel, on_host},
    vm::{self, Job},
};

/// What `verdicts` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// `host` for the running kernel, or a series of Debian's kernels; can be given again.
    #[arg(long, value_name = "KERNEL", value_parser = kernel, default_value = HOST)]
    kernel: Vec<String>,
    /// One way of each sort only: half of the cases.
    #[arg(long)]
    brief: bool,
    /// Seconds that one booted kernel may take.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// The sub-command. The program's closing line is the last, or that of the last booted kernel.
pub fn verdicts(options: Options) -> Result<ExitCode> {
    let Options { kernel, brief, seconds } = options;
    let arguments = if brief { vec!["--brief".to_owned()] } else { Vec::new() };
    let (host, series): (Vec<_>, Vec<_>) = kernel.into_iter().partition(|kernel| kernel == HOST);
    if !host.is_empty() {
        let code = on_host("verdicts", &arguments)?;
        if code != ExitCode::SUCCESS || series.is_empty() {
            return Ok(code);
        }
    }
    vm::run(&series, |_| vec![Job::Program("verdicts", arguments.clone())], seconds)
}
