//! What the program brings along: the questions, and the columns of the tables.

use anyhow::{Result, bail};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The SQL of a question.
///
/// # Errors
/// If there is none of that name.
pub fn question(name: &str) -> Result<&'static str> {
    let Some((_, sql)) = QUESTIONS.iter().find(|(known, _)| *known == name) else {
        let near = QUESTIONS
            .iter()
            .map(|(known, _)| *known)
            .max_by(|one, other| strsim::jaro(one, name).total_cmp(&strsim::jaro(other, name)));
        let near = near.filter(|near| strsim::jaro(near, name) > 0.8);
        let meant = near.map(|near| format!("; is {near} meant?")).unwrap_or_default();
        bail!("there is no question `{name}`{meant} There are: {}. For others: -q SQL", names());
    };
    Ok(sql)
}

/// The names of the questions, for messages.
pub fn names() -> String {
    let names: Vec<_> = QUESTIONS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The tables that the SQL may be about: those that it names, or all if it names none.
pub fn tables(sql: &str) -> impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)])> {
    let sql = sql.to_lowercase();
    let names_none = !TABLES.iter().any(|(table, _)| sql.contains(table));
    TABLES.iter().copied().filter(move |(table, _)| names_none || sql.contains(table))
}
