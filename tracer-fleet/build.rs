//! Puts what the workspace has already into the program: the questions of the folder `sql`, and the columns of the lake's
//! tables, as the module that writes them has them. Neither can be forgotten here. And the folder of DuckDB's library.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

/// The questions.
const QUESTIONS: &str = "../sql";
/// Names the folder in which the library is found, now and later.
const LIBRARY: &str = "DUCKDB_LIB_DIR";
/// The module of the columns.
const ROWS: &str = "../tracer/src/lake/rows.rs";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={QUESTIONS}");
    println!("cargo:rerun-if-changed={ROWS}");
    println!("cargo:rerun-if-env-changed={LIBRARY}");
    if let Ok(folder) = env::var(LIBRARY) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    let mut code = String::new();
    questions(&mut code)?;
    tables(&fs::read_to_string(ROWS)?, &mut code)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), code)?;
    Ok(())
}

fn questions(code: &mut String) -> Result<(), Box<dyn Error>> {
    let files = fs::read_dir(QUESTIONS)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    let mut files: Vec<_> = files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "sql")).collect();
    files.sort();
    writeln!(code, "/// The questions: their names, and their SQL.\npub const QUESTIONS: &[(&str, &str)] = &[")?;
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(code, "    ({name:?}, include_str!({:?})),", fs::canonicalize(&file)?)?;
    }
    writeln!(code, "];")?;
    Ok(())
}

/// Each `row!` is a table: a line that ends in `Columns {`, and a line for each column.
fn tables(rows: &str, code: &mut String) -> Result<(), Box<dyn Error>> {
    writeln!(code, "/// The tables: their names, and their columns with the types of the engine.")?;
    writeln!(code, "pub const TABLES: &[(&str, &[(&str, &str)])] = &[")?;
    let mut is_in_table = false;
    for line in rows.lines().map(str::trim) {
        if let Some((row, _)) = line.strip_suffix("Columns {").and_then(|line| line.split_once("Row, ")) {
            let row = row.to_lowercase();
            let plural = if row.ends_with('s') { "es" } else { "s" };
            writeln!(code, "    (\"{row}{plural}\", &[")?;
            is_in_table = true;
        } else if line == "}" && is_in_table {
            writeln!(code, "    ]),")?;
            is_in_table = false;
        } else if let (true, Some((column, of))) =
            (is_in_table, line.strip_suffix(',').and_then(|l| l.split_once(": ")))
        {
            let of = of.strip_prefix("Option<").and_then(|of| of.strip_suffix('>')).unwrap_or(of);
            let kind = match of {
                "Micros" => "TIMESTAMP",
                "i64" => "BIGINT",
                "i32" => "INTEGER",
                "bool" => "BOOLEAN",
                "String" | "&'static str" => "VARCHAR",
                _ => return Err(format!("{ROWS}: the engine's type for `{of}` is not known here").into()),
            };
            writeln!(code, "        ({column:?}, {kind:?}),")?;
        }
    }
    writeln!(code, "];")?;
    Ok(())
}
