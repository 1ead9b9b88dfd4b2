//! An agent beside a storm, for as long as it is asked to: `cargo xtask soak` builds it and runs it.
//!
//! The work is done by a second process in a process group of its own, so that Ctrl-C ends the storm and not each
//! process of it.

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::{
    libc,
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
};
use tracer_tests::{
    soak::{self, Options},
    stage::kill,
};

/// An agent beside a storm, for as long as it is asked to.
#[derive(Debug, Parser)]
struct Cli {
    /// How long it lasts, in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: u64,
    /// From one quiet moment to the next, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// Only so many turns, however long they take.
    #[arg(long, hide = true)]
    turns: Option<u64>,
    /// Without real containers.
    #[arg(long)]
    no_containers: bool,
    /// The process that does the work.
    #[arg(long, hide = true)]
    worker: bool,
}

/// Told to end.
static STOP: AtomicBool = AtomicBool::new(false);
const ASKS_TO_END: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

extern "C" fn stop(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = if cli.worker { work(&cli) } else { supervise() };
    result.unwrap_or_else(|error| {
        println!("soak: cannot run: {error:#}");
        ExitCode::from(2)
    })
}

/// Starts the worker, hands on who asks it to end, and ends as it does.
fn supervise() -> Result<ExitCode> {
    let mut waited_for = SigSet::from_iter(ASKS_TO_END);
    waited_for.add(Signal::SIGCHLD);
    waited_for.thread_block()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("--worker").args(env::args_os().skip(1)).process_group(0);
    // SAFETY: both calls are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            waited_for.thread_unblock()?;
            Ok(())
        });
    }
    let mut worker = command.spawn().context("cannot start the worker")?;
    loop {
        match waited_for.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = ended(&mut worker)? {
                    return Ok(code);
                }
            }
            _ => kill(worker.id() as i32, rustix::process::Signal::TERM),
        }
    }
}

fn ended(worker: &mut Child) -> Result<Option<ExitCode>> {
    let status = worker.try_wait()?;
    Ok(status.map(|status| ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))))
}

fn work(cli: &Cli) -> Result<ExitCode> {
    let Cli { minutes, every, turns, no_containers, worker: _ } = *cli;
    // What the storm leaves behind comes here, and is reaped.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let action = SigAction::new(SigHandler::Handler(stop), SaFlags::SA_RESTART, SigSet::empty());
    for signal in ASKS_TO_END {
        // SAFETY: the handler stores to an atomic.
        unsafe { sigaction(signal, &action) }?;
    }
    let options = Options {
        lasts: Duration::from_secs(60 * minutes),
        cycle: Duration::from_secs(every),
        turns,
        containers: !no_containers,
    };
    Ok(if soak::run(&options, &STOP)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
