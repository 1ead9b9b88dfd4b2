//! `tracer man`: the manual pages, made of the same words as `--help`.

use std::{fs, io, process::ExitCode};

use anyhow::Context;
use clap::{Command, CommandFactory};

use crate::{
    cli::{Cli, Man},
    commands::out::{cannot_write, print},
};

/// Runs the command.
///
/// # Errors
/// Only from writing.
pub fn run(options: &Man) -> anyhow::Result<ExitCode> {
    let Man { command, all } = options;
    let mut pages = commands().into_iter();
    if let Some(folder) = all {
        for command in pages {
            let file = folder.join(format!("{}.1", command.get_name()));
            fs::write(&file, page(command)?).with_context(|| cannot_write(&file))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = command.as_ref().map_or("tracer".to_owned(), |command| format!("tracer-{command}"));
    let command = pages.find(|page| page.get_name() == name).context("there is no such command")?;
    print(&page(command)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The program and its commands, each by the name of its page.
fn commands() -> Vec<Command> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let parts = program.get_subcommands().filter(|command| !command.is_hide_set());
    let parts = parts.map(|command| command.clone().name(format!("tracer-{}", command.get_name())));
    let mut all: Vec<_> = parts.collect();
    all.insert(0, program);
    all
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
