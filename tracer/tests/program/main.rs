//! Tests of the program and its outputs that need neither root nor a kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod bad_files;
mod command_line;
mod damage;
mod docs;
mod export;
mod filter;
mod json;
mod made;
mod moments;
mod recordings;
mod reports;
mod rules;
mod story;
mod text;
mod tree;
mod why;
