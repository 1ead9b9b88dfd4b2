//! `tracer dump`: each record of a trace, field by field, without interpretation.

use std::{
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    process::ExitCode,
};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::{
    cli::{self, Output},
    commands::play::complain,
    console::stdout::Stdout,
    sink::json::Lines,
    source::trace::Trace,
    trace::layout::{self, Plain},
};

/// Prints one line a record.
///
/// # Errors
/// If the trace cannot be read, or the output cannot be written.
pub fn run(options: &cli::Dump) -> Result<ExitCode> {
    let file = options.file.as_path();
    let mut trace = Trace::open(file)?;
    let mut out = Printer::new(options.output);
    trace.play_records(&mut |record| {
        out.print(layout::read(record))?;
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    complain(file, &trace);
    Ok(ExitCode::SUCCESS)
}

/// Standard output, in one of its two forms.
enum Printer {
    Text(BufWriter<Stdout>),
    Json(Lines<Stdout>),
}

impl Printer {
    fn new(output: Output) -> Self {
        match output {
            Output::Text => Self::Text(BufWriter::with_capacity(1 << 16, Stdout::lock())),
            Output::Json => Self::Json(Lines::new(Stdout::lock())),
        }
    }

    fn print(&mut self, Plain { name, fields, rest }: Plain) -> io::Result<()> {
        let rest = (!rest.is_empty()).then(|| ("rest".to_owned(), Value::from(rest)));
        let fields = fields.into_iter().chain(rest);
        match self {
            Self::Text(out) => {
                write!(out, "{name}")?;
                for (field, value) in fields {
                    match value {
                        // The text is escaped, except for the end of the line.
                        Value::String(text) => write!(out, " {field}=\"{}\"", text.replace('"', "\\\""))?,
                        value => write!(out, " {field}={value}")?,
                    }
                }
                writeln!(out)
            }
            Self::Json(lines) => {
                let record = ("record".to_owned(), Value::from(name));
                lines.print(&std::iter::once(record).chain(fields).collect::<Map<_, _>>())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Text(out) => out.flush(),
            Self::Json(lines) => lines.flush(),
        }
    }
}
