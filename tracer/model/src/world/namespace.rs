//! One pid namespace.

use std::sync::Arc;

use crate::{
    ident::{Identity, PidNs, ProcKey},
    kill::{Ending, Fallen},
};

/// A pid namespace that has processes.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its inode number.
    pub id: PidNs,
    /// Its depth, 0 for the initial one.
    pub level: u32,
    /// The namespace that it is nested in; `None` for the initial one.
    pub parent: Option<PidNs>,
    /// Its pid 1, while it is in the process table.
    pub init: Option<ProcKey>,
    /// Set from the exit of its init on.
    pub ending: Option<Ending>,
    /// The few that matter of those that the kernel has killed for that.
    pub fallen: Vec<Fallen>,
    /// All of those, for whoever asks for one of them: no words name them. Beyond a bound they are counted only.
    pub killed: Arc<Vec<Identity>>,
}
