//! The table of combinations: what was said, how often, for each kind of target and sender (down)
//! and each way (across).

use std::{collections::BTreeMap, fmt};

use super::{
    case::{Case, Disposition, Relation, Way},
    oracle::Fate,
};

/// Counts, by kind of case.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<(Relation, Disposition), BTreeMap<Way, BTreeMap<String, usize>>>,
}

impl Table {
    /// Counts one case.
    pub fn add(&mut self, case: Case, said: &Fate) {
        let Case { disposition, relation, way, signal: _ } = case;
        let row = self.rows.entry((relation, disposition)).or_default();
        *row.entry(way).or_default().entry(short(said)).or_default() += 1;
    }
}

/// A letter for each verdict.
const LETTERS: [(&str, char); 12] = [
    ("delivered", 'D'),
    ("queued", 'Q'),
    ("merged", 'M'),
    ("ignored-by-choice", 'i'),
    ("ignored-by-default", 'd'),
    ("no-handler", 'N'),
    ("kill-from-inside", 'K'),
    ("dropped-at-delivery", 'X'),
    ("queue-overflow", 'O'),
    ("siginfo-lost", 'L'),
    ("target-exiting", 'E'),
    ("kernel-thread", 'T'),
];

fn letter(verdict: &str) -> char {
    LETTERS.iter().find(|(name, _)| *name == verdict).map_or('?', |&(_, letter)| letter)
}

/// `Q>X`: queued when it was sent, dropped when it was taken. `-`: no signal came about.
fn short(said: &Fate) -> String {
    let mut short: String = said.sent.iter().flatten().map(|verdict| letter(verdict)).collect();
    if short.is_empty() {
        short.push('-');
    }
    if !said.taken.is_empty() {
        short.push('>');
        short.extend(said.taken.iter().map(|verdict| letter(verdict)));
    }
    short
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut relation = None;
        for ((of, disposition), ways) in &self.rows {
            if relation != Some(of) {
                writeln!(f, "\n{of}")?;
                relation = Some(of);
            }
            for (i, (way, cell)) in ways.iter().enumerate() {
                let cell: Vec<_> = cell.iter().map(|(short, count)| format!("{count} {short}")).collect();
                let name = if i == 0 { disposition.to_string() } else { String::new() };
                writeln!(f, "  {name:<24} {way:<16} {}", cell.join("   "))?;
            }
        }
        writeln!(f, "\nsignals, and what was said when they were sent > when they were taken:")?;
        for chunk in LETTERS.chunks(4) {
            let names: Vec<_> = chunk.iter().map(|(name, letter)| format!("{letter} {name:<20}")).collect();
            writeln!(f, "  {}", names.join("").trim_end())?;
        }
        writeln!(f, "  - no signal came about")
    }
}
