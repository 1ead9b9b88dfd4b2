//! The line of `tracer tree -o json` and that of `tracer rules -o json`.

use std::borrow::Cow;

use serde::Serialize;

use super::line::{self, Status};
use crate::{
    event::Roles,
    finding::RuleDef,
    time::Span,
    world::{Process, State, World},
};

#[derive(Serialize)]
#[serde(tag = "type", rename = "process")]
struct ProcessLine<'a> {
    #[serde(flatten)]
    process: line::Process<'a>,
    parent: Option<line::Process<'a>>,
    state: &'static str,
    roles: Vec<&'static str>,
    argv: Vec<Cow<'a, str>>,
    argv_cut: bool,
    #[serde(flatten)]
    zombie: Option<Zombie<'a>>,
}

#[derive(Serialize)]
struct Zombie<'a> {
    age_ns: Span,
    age_is_lower_bound: bool,
    status: Status,
    /// Null if the parent is not known.
    owed_by: Option<line::Process<'a>>,
}

/// A process of a tree.
pub fn process_line<'a>(world: &'a World, process: &'a Process) -> impl Serialize + use<'a> {
    let one = |process: &Process| line::Process::new(world, &process.identity());
    ProcessLine {
        process: one(process),
        parent: world.parent(process.key).map(one),
        state: state(process),
        roles: roles(process.roles),
        argv: line::argv(&process.args),
        argv_cut: process.args.cut,
        zombie: process.death().filter(|_| process.is_zombie()).map(|death| Zombie {
            age_ns: world.now() - death.zombie_since(),
            age_is_lower_bound: !death.exact,
            status: death.status.into(),
            owed_by: world.owed_by(process.key).map(|key| line::Process::new(world, &world.identity(key))),
        }),
    }
}

pub(crate) fn state(process: &Process) -> &'static str {
    match &process.state {
        State::Running => "running",
        State::LeaderDead { .. } => "leader-dead",
        // Nobody must wait for it: it is about to go.
        State::Dead(_) if !process.is_zombie() => "exiting",
        State::Dead(_) => "zombie",
    }
}

pub(crate) fn roles(roles: Roles) -> Vec<&'static str> {
    let Roles { init, subreaper, outsider, kthread } = roles;
    [(init, "init"), (subreaper, "subreaper"), (outsider, "outsider"), (kthread, "kernel-thread")]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "rule")]
struct RuleLine {
    name: &'static str,
    severity: &'static str,
    summary: &'static str,
    explanation: &'static str,
}

/// A rule of the list.
pub fn rule_line(rule: &RuleDef) -> impl Serialize + use<> {
    let RuleDef { name, severity, summary, about: _, lasts: _, explanation, facts: _ } = rule;
    RuleLine { name, severity: severity.id(), summary, explanation }
}
