//! The program: reads the command line, runs the command, and turns the outcome into an exit code.
//!
//! 0: fine, also when a reader closed the pipe. 1: a failure of the tool. 2: wrong usage.

use std::{
    error::Error,
    io,
    process::{self, ExitCode},
};

use clap::Parser;
use tracer::{
    cli::Cli,
    commands,
    console::{stderr, style::BAD},
    ident::tame,
};

fn main() -> ExitCode {
    // Wrong usage, --help and --version end here, with 2 or 0.
    let cli = Cli::try_parse().unwrap_or_else(|error| usage(&error));
    let code = match commands::run(&cli) {
        Ok(code) => code,
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    };
    stderr::end();
    code
}

/// Rust programs ignore SIGPIPE; a reader that has seen enough shows up as this error.
fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// `tracer: what: why`; the innermost cause says what to do next.
fn report(error: &anyhow::Error) {
    stderr::print(format_args!("{BAD}tracer:{BAD:#} {}", tame(&format!("{error:#}"))));
}

/// clap's message about a command line, which it quotes; a script may have put anything there.
fn usage(error: &clap::Error) -> ! {
    let plain = error.render().to_string();
    let tamed = tame(&plain);
    if tamed == plain {
        error.exit();
    }
    stderr::print(tamed.trim_end());
    stderr::end();
    process::exit(error.exit_code())
}
