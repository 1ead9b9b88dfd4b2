//! Tests of the program and its outputs that need neither root nor a kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "the files of a test have the names that it gives them")]

mod bad_files;
mod command_line;
mod configuration;
mod damage;
mod docs;
mod export;
mod filter;
mod greedy;
mod history;
mod json;
mod made;
mod moments;
mod names;
mod page;
mod recordings;
mod reports;
mod rules;
mod serve;
mod shells;
mod story;
mod text;
mod tree;
mod why;
