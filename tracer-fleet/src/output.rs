//! How an answer is printed.

use std::io::Write;

use anyhow::Result;
use arrow::{
    csv,
    datatypes::Schema,
    json,
    json::writer::LineDelimited,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use tracer_model::ident::tame;

/// Which way.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// Prints all rows.
///
/// # Errors
/// If they cannot be written, or have columns that this format cannot hold.
pub fn print(format: Format, schema: &Schema, batches: &[RecordBatch], out: &mut impl Write) -> Result<()> {
    // For the names of the columns, if there is no row.
    let none = RecordBatch::new_empty(schema.clone().into());
    match format {
        Format::Table => table(schema, batches, out),
        Format::Json => {
            let mut writer = json::WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out);
            batches.iter().try_for_each(|batch| writer.write(batch))?;
            Ok(writer.finish()?)
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
            Ok(std::iter::once(&none).chain(batches).try_for_each(|batch| writer.write(batch))?)
        }
    }
}

/// For people. Names are escaped in the lake, but nobody has to believe that of a file.
fn table(schema: &Schema, batches: &[RecordBatch], out: &mut impl Write) -> Result<()> {
    let visible = |text: &str| tame(&text.replace('\n', "\\n"));
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(schema.fields().iter().map(|field| visible(field.name())));
    for (column, field) in table.column_iter_mut().zip(schema.fields()) {
        column.set_padding((0, 2));
        if field.data_type().is_numeric() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let options = FormatOptions::default().with_null("-");
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| Ok(Cell::new(visible(&column.value(row).try_to_string()?))));
            table.add_row(cells.collect::<Result<Vec<_>>>()?);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    if table.row_count() == 0 {
        writeln!(out, "no rows")?;
    }
    Ok(())
}
