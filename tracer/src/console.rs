//! Standard output, standard error, and how text looks on them.

pub mod outlet;
pub mod stderr;
pub mod stdout;
pub mod style;
