//! `tracer man`: the manual pages, made of the same words as `--help`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Command, CommandFactory};

use crate::{
    cli::{Cli, Man},
    ident::quote,
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
            write(command, &file)
                .with_context(|| format!("cannot write {}", quote(file.as_os_str().as_encoded_bytes())))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = command.as_ref().map_or("tracer".to_owned(), |command| format!("tracer-{command}"));
    let command = pages.find(|page| page.get_name() == name).context("there is no such command")?;
    let mut out = io::stdout().lock();
    out.write_all(&page(command)?).and_then(|()| out.flush()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The program and its commands, each by the name of its page.
fn commands() -> Vec<Command> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let parts = program.get_subcommands().map(|command| command.clone().name(format!("tracer-{}", command.get_name())));
    let mut all: Vec<_> = parts.collect();
    all.insert(0, program);
    all
}

fn write(command: Command, file: &Path) -> io::Result<()> {
    fs::write(file, page(command)?)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
