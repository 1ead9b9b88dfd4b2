//! Compares the world with the kernel while a random process tree lives and dies.
//!
//! `cargo xtask fidelity` builds it and runs it, here or in a virtual machine. It is also the
//! program of every process of that tree: `fidelity actor …`.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use tracer::{
    cli::{parse_ring_size, parse_share},
    source::load::LoadOptions,
};
use tracer_tests::fidelity::{self, actor, follower::Losing, session::Limits};

/// Compares the world with the kernel while a random process tree lives and dies.
#[derive(Debug, Parser)]
struct Cli {
    /// What the operations are derived from [default: the time].
    #[arg(long)]
    seed: Option<u64>,
    /// How many operations.
    #[arg(long, default_value_t = 100_000)]
    ops: u64,
    /// Only the operations of these numbers, as a failure names them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<u64>,
    /// Milliseconds that a difference may last.
    #[arg(long, default_value_t = 20_000)]
    deadline: u64,
    /// Throw away this share of the records, 0 to 1: the worlds must find back.
    #[arg(long, value_name = "RATE", default_value_t, value_parser = parse_share)]
    simulate_loss: f64,
    /// Size of the kernel's ring buffer. With a small one records are lost by themselves.
    #[arg(long, value_name = "SIZE", value_parser = parse_ring_size)]
    ring_size: Option<u32>,
    /// Milliseconds that a difference may last in a world that loses records.
    #[arg(long, default_value_t = 1_000)]
    converge: u64,
    /// Milliseconds without any news after which an actor is not waited for.
    #[arg(long, default_value_t = 30)]
    grace: u64,
    /// Begin another world at one operation of so many, while actors work; 0 for never.
    #[arg(long, default_value_t = 5_000)]
    start_every: u64,
    /// Seconds to look for a smaller part that fails.
    #[arg(long, default_value_t = 90)]
    shrink: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == actor::ACTOR
    {
        let result = actor::run(rest);
        eprintln!("an actor has ended: {result:?}");
        return ExitCode::FAILURE;
    }
    let Cli { seed, ops, only, deadline, simulate_loss, ring_size, converge, grace, start_every, shrink } =
        Cli::parse();
    let is_losing = simulate_loss > 0.0 || ring_size.is_some();
    let ring_size = ring_size.unwrap_or(LoadOptions::default().ring_size);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64 % 1_000_000_000);
    let options = fidelity::Options {
        seed: seed.unwrap_or_else(now),
        ops,
        only,
        limits: Limits {
            deadline: Duration::from_millis(deadline),
            converge: Duration::from_millis(converge),
            grace: Duration::from_millis(grace),
            // A world that loses records says nothing about starts.
            start_every: if is_losing { 0 } else { start_every },
        },
        losing: is_losing.then_some(Losing { share: simulate_loss, ring_size }),
        shrink_for: Duration::from_secs(shrink),
    };
    println!("fidelity: seed {}, {} operations", options.seed, options.ops);
    match fidelity::run(&options) {
        Ok(true) => {
            println!("fidelity: no difference");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("fidelity: DIFFERENT (seed {})", options.seed);
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("fidelity: cannot run (seed {}): {error:#}", options.seed);
            ExitCode::from(2)
        }
    }
}
