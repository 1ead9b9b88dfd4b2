//! `cargo xtask verifier`: the statistics of each kernel's verifier for each program, to notice a change that nears a
//! limit.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    ebpf,
    process::{as_root, status},
    setup,
    vm::{self, Job, SERIES},
    workspace::Workspace,
};

/// What `verifier` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// `host` for the running kernel, and series of Debian's kernels [default: host].
    #[arg(value_name = "KERNEL", value_parser = kernel)]
    kernels: Vec<String>,
}

/// `host`, or a series that can be booted.
pub fn kernel(text: &str) -> Result<String, String> {
    if text == HOST || SERIES.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("there are {HOST}, {}", SERIES.join(", ")))
    }
}

/// The running kernel.
pub const HOST: &str = "host";

/// Seconds that one kernel may take.
const AT_MOST: u64 = 300;

/// The sub-command.
pub fn verifier(options: Options) -> Result<ExitCode> {
    in_kernels("verifier", options.kernels, AT_MOST)
}

/// Runs a program of the package `tracer-tests` in these kernels, here if none is named. A booted one
/// may take so many seconds.
pub fn in_kernels(program: &'static str, kernels: Vec<String>, seconds: u64) -> Result<ExitCode> {
    let (host, series): (Vec<_>, Vec<_>) = kernels.into_iter().partition(|kernel| kernel == HOST);
    if !host.is_empty() || series.is_empty() {
        let code = on_host(program, &[])?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    if series.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    vm::run(&series, |_| vec![Job::Program(program, Vec::new())], seconds)
}

/// Builds a program of the package `tracer-tests` and runs it here, as root.
pub fn on_host(program: &str, arguments: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::toolchain(&workspace, None)?;
    ebpf::release(&workspace, &["--bins"])?;
    let mut command: Command = as_root(workspace.target.join("release").join(program))?;
    let status = status(command.args(arguments))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
