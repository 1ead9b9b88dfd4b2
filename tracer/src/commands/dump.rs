//! `tracer dump`: each record of a trace, field by field, with nothing made of it.

use std::{
    io::{BufWriter, Write},
    ops::ControlFlow,
    process::ExitCode,
};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::{
    cli::{self, Output},
    commands::replay::complain,
    sink::stdout::Stdout,
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
    let mut out = BufWriter::with_capacity(1 << 16, Stdout::lock());
    trace.play_records(&mut |record| {
        let Plain { name, fields, rest } = layout::read(record);
        match options.output {
            Output::Text => {
                write!(out, "{name}")?;
                for (field, value) in fields {
                    match value {
                        Value::String(text) => write!(out, " {field}=\"{text}\"")?,
                        value => write!(out, " {field}={value}")?,
                    }
                }
                if !rest.is_empty() {
                    write!(out, " rest=\"{rest}\"")?;
                }
                writeln!(out)?;
            }
            Output::Json => {
                let mut object = Map::from_iter([("record".to_owned(), Value::from(name))]);
                object.extend(fields);
                if !rest.is_empty() {
                    object.insert("rest".to_owned(), Value::from(rest));
                }
                serde_json::to_writer(&mut out, &object)?;
                writeln!(out)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    complain(file, &trace);
    Ok(ExitCode::SUCCESS)
}
