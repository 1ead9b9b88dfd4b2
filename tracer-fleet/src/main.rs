//! `tracer-fleet`: asks a lake of many hosts and days, which `tracer export --to lake` and agents write, and copies it
//! between folders and object stores. `docs/lake.md` of tracer says what is in one.

use std::{
    ffi::OsString,
    io::{self, BufWriter, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use jiff::civil::Date;
use tracer_model::ident::tame;

mod copy;
mod embedded;
mod engine;
mod lake;
mod output;

use copy::Copied;
use engine::Engine;
use lake::{Days, Lake};
use output::Format;

/// Asks a lake of many hosts and days.
#[derive(Debug, Parser)]
#[command(name = "tracer-fleet", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a question, or any in SQL, and print the answer. Nothing is written, and nothing outside of the lake is read.
    Query(Query),
    /// List the questions that have a name.
    Questions,
    /// Copy a lake, or some days of it, to another place: only what is new there is sent.
    Copy(Copy),
}

/// What is copied, and where to.
#[derive(Debug, clap::Args)]
struct Copy {
    /// A lake: a folder, or s3://BUCKET/PATH. Keys, region and endpoint come from AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and the like.
    from: String,
    /// Where it goes, likewise. A lake that is there is added to; nothing is removed.
    to: String,
    /// Copy only this day (UTC) and later ones.
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// Copy only this day (UTC) and earlier ones.
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
}

/// What is asked, of which lake.
#[derive(Debug, clap::Args)]
#[command(override_usage = "tracer-fleet query [OPTIONS] [QUESTION | -q SQL] LAKE")]
struct Query {
    /// One of `tracer-fleet questions`, and the folder of the lake.
    #[arg(value_names = ["QUESTION", "LAKE"], num_args = 1..=2, required = true)]
    words: Vec<OsString>,
    /// A SELECT over the views hosts, findings, stops, signals, processes and losses, in DuckDB's SQL, instead of a
    /// question.
    #[arg(short = 'q', value_name = "SQL")]
    sql: Option<String>,
    /// Read only this day (UTC) and later ones.
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// Read only this day (UTC) and earlier ones.
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
    /// How the answer is printed: json is an object a line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print what the engine did for the answer, and which files it read, instead of the answer.
    #[arg(long)]
    explain: bool,
    /// How much memory the engine may take.
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    memory: String,
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "a day is like 2026-11-30".to_owned())
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.root_cause().downcast_ref::<io::Error>().is_some_and(is_closed) => ExitCode::SUCCESS,
        Err(error) => {
            // What an engine complains about can be a name that an attacker chose.
            eprintln!("error: {}", tame(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn run(command: Command) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match command {
        Command::Questions => {
            let width = embedded::QUESTIONS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            for (name, sql) in embedded::QUESTIONS {
                let first = sql.lines().next().unwrap_or_default().trim_start_matches("-- ");
                writeln!(out, "{name:width$}  {first}")?;
            }
        }
        Command::Copy(Copy { from, to, since, until }) => {
            let Copied { files, bytes, same } = copy::copy(&from, &to, Days::new(since, until)?)?;
            writeln!(out, "sent {files} files ({:.1} MiB); {same} were there", bytes as f64 / f64::from(1 << 20))?;
        }
        Command::Query(Query { words, sql, since, until, format, explain, memory }) => {
            let (sql, lake) = match (&words[..], sql) {
                ([question, lake], None) => (embedded::question(&question.to_string_lossy())?.to_owned(), lake),
                ([lake], Some(sql)) => (sql, lake),
                (_, None) => bail!("name a question ({}) and a lake, or give -q SQL and a lake", embedded::names()),
                (_, Some(_)) => bail!("with -q SQL, name a lake and nothing else"),
            };
            let lake = Lake::open(Path::new(lake), Days::new(since, until)?)?;
            let engine = Engine::start(&lake, &memory)?;
            engine.show(&lake, &sql)?;
            if explain {
                lake.describe(&sql, &mut out)?;
                out.write_all(tame(&engine.explain(&sql)?).as_bytes())?;
            } else {
                engine.ask(&sql, |schema, batches| output::print(format, schema, batches, &mut out))?;
            }
        }
    }
    out.flush().context("standard output")
}
