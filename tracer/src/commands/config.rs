//! `tracer config`: whether a configuration of the agent is right, and all that it can say.

use std::process::ExitCode;

use crate::{
    cli::agent::{Config, ConfigAct},
    commands::out::print,
    config,
    ident::file_name,
    source::witness::Witness,
};

/// Checks a configuration, or prints it.
///
/// # Errors
/// What is wrong with it, or that standard output cannot be written.
pub fn run(options: &Config) -> anyhow::Result<ExitCode> {
    match &options.act {
        ConfigAct::Check { file } => {
            config::Config::load(Some(file), &Witness::here())?;
            print(format!("{} is right\n", file_name(file)).as_bytes())?;
        }
        ConfigAct::Print { file } => {
            print(config::Config::load(file.as_deref(), &Witness::here())?.to_string().as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
