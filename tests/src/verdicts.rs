//! The differential test of verdicts: every signal, sent in every way to targets in every disposition; the verdict of
//! `tracer` must be what the target saw.
//!
//! Three parts that share nothing but the shape of an observation. The *stage* ([`stage`]) forks
//! targets, has signals sent to them, and writes down what can be seen from outside and from
//! within: how often a handler ran, what `/proc` calls pending, how the target ended, stopped or
//! went on, what the sending call returned. The *oracle* ([`oracle`]) says which verdict follows
//! from that. The *judge* ([`judge`]) runs `tracer` as a library beside it, and compares.

pub mod case;
mod faults;
pub mod judge;
mod known;
mod line;
mod look;
pub mod oracle;
pub mod plan;
mod scenes;
mod sender;
mod stage;
mod subject;
mod sys;
mod table;
mod target;
mod ways;
