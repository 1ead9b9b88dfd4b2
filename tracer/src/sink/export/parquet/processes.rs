//! The table of processes: a row for each when it leaves the process table, and at the end one for each that is still
//! there.

use std::io;

use rustc_hash::FxHashMap;

use super::rows::ProcessRow;
use crate::{
    change::Change,
    event::EventKind,
    ident::{Args, Identity, ProcKey},
    sink::export::{
        container, name, signed, since_1970, status,
        table::{Table, Time},
    },
    step::Step,
    time::{BootNs, Span},
    world::{Death, Process, World},
};

/// Dead processes, as the world last knew them when they were reaped.
#[derive(Default)]
pub(super) struct Processes {
    dead: FxHashMap<ProcKey, Past>,
}

/// What the table says about a process besides its identity.
struct Past {
    args: Args,
    /// Who owed it a wait.
    parent: Option<Identity>,
    death: Option<Death>,
}

impl Past {
    fn of(world: &World, process: &Process) -> Self {
        let parent = world.owed_by(process.key).map(|key| world.identity(key));
        Self { args: process.args.clone(), parent, death: process.death().copied() }
    }

    fn row(self, world: &World, process: &Identity, zombie_for: Option<Span>, reaped_at: Option<BootNs>) -> ProcessRow {
        let Self { args, parent, death } = self;
        let Identity { key, comm, pid_ns, ns_pid, ns_level, container: _ } = *process;
        let (status_code, status_signal) = death.map(|death| status(death.status)).unwrap_or_default();
        let (container, container_id) = container(world, process);
        let time = |at| Time(since_1970(world, at));
        ProcessRow {
            pid: key.tgid,
            start_boot_ns: signed(key.start),
            comm: name(comm),
            command: (!args.is_empty()).then(|| args.to_string()),
            pid_ns: pid_ns.0,
            ns_pid,
            ns_level,
            container,
            container_id,
            parent_pid: parent.map(|parent| parent.key.tgid),
            parent_start_boot_ns: parent.map(|parent| signed(parent.key.start)),
            parent_comm: parent.map(|parent| name(parent.comm)),
            started_at: time(key.start),
            // It had ended before the recording, at an unknown time.
            ended_at: death.filter(|death| death.exact).map(|death| time(death.at)),
            status_code,
            status_signal,
            zombie_ns: zombie_for.map(signed),
            reaped_at: reaped_at.map(time),
        }
    }
}

impl Processes {
    pub(super) fn step(&mut self, world: &World, step: &Step<'_>, to: &mut Table<ProcessRow>) -> io::Result<()> {
        for change in step.changes {
            match change {
                Change::Died { key, .. } | Change::Learned(key) => {
                    if let Some(process) = world.get(*key).filter(|process| process.death().is_some()) {
                        self.dead.insert(*key, Past::of(world, process));
                    }
                }
                Change::Reaped { identity, zombie_for, .. } => {
                    let past = self.dead.remove(&identity.key);
                    let past = past.unwrap_or(Past { args: Args::default(), parent: None, death: None });
                    // Otherwise it was found to be gone, some time.
                    let is_told = matches!(step.event.kind, EventKind::Free(_) | EventKind::Reap(_));
                    to.put(past.row(world, identity, *zombie_for, is_told.then_some(step.event.at)))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self, world: &World, to: &mut Table<ProcessRow>) -> io::Result<()> {
        for process in world.processes() {
            let death = process.death().filter(|_| process.is_zombie());
            let zombie_for = death.map(|death| world.now() - death.zombie_since());
            to.put(Past::of(world, process).row(world, &process.identity(), zombie_for, None))?;
        }
        Ok(())
    }
}
