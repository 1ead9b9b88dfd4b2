//! The commands: each only connects a source, the engine and a sink.

use std::process::ExitCode;

use crate::cli::{Cli, Command};

pub mod agent;
pub mod audit;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod dump;
pub mod explain;
pub mod export;
pub mod man;
pub mod out;
pub mod play;
pub mod progress;
pub mod record;
pub mod replay;
pub mod report;
pub mod rules;
pub mod top;
pub mod tree;
pub mod watch;
pub mod why;

/// Does what the command line asks for, and returns the exit code of the program.
///
/// # Errors
/// What keeps a command from doing its job; the program prints it and exits with 1.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Record(options) => record::run(options),
        Command::Top(options) => top::run(options),
        Command::Replay(options) if options.tui => top::recorded(options),
        Command::Replay(options) => replay::run(options),
        Command::Dump(options) => dump::run(options),
        Command::Export(options) => export::run(options),
        Command::Watch(options) => watch::run(options),
        Command::Audit(options) => audit::run(options),
        Command::Agent(options) => agent::run(options),
        Command::Config(options) => config::run(options),
        Command::AgentMessenger(options) => agent::tell(options),
        Command::AgentCourier(options) => agent::deliver(options),
        Command::AgentHelper { config } => agent::help(config.clone()),
        Command::Report(options) => report::run(options),
        Command::Tree(options) => tree::run(options),
        Command::Why(options) => why::run(options),
        Command::Doctor(options) => doctor::run(options),
        Command::Explain(options) => explain::run(options),
        Command::Rules(options) => rules::run(options),
        Command::Demo(options) => demo::run(options),
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => man::run(options),
    }
}
