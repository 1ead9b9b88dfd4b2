//! Whether the tree that a tracer shows is that of the kernel, for the whole machine, of which a test only owns a part.
//!
//! What a flight recorder keeps is asked for, as `tracer top --kept` does, and played up to a moment. It is compared
//! with what the kernel said before and after that moment alike: whatever changed in between may be either way.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Seek as _},
    ops::ControlFlow,
    path::Path,
};

use anyhow::{Context as _, Result};
use tracer::{
    detector::Detector,
    ident::ProcKey,
    source::{live, trace::Trace},
    thresholds::Thresholds,
    time::BootNs,
    trace::kept,
    world::World,
};

use crate::{
    fidelity::{
        compare::{Difference, differences},
        kernel::{Kernel, Life, Picture, of_world},
    },
    machine,
};

/// The kernel around a moment.
#[derive(Debug)]
pub struct Moment {
    began: BootNs,
    before: Picture,
    /// The moment, in boot time.
    pub at: BootNs,
    after: Picture,
}

impl Moment {
    /// This one.
    ///
    /// # Errors
    /// If the kernel cannot be read.
    pub fn now(kernel: &mut Kernel) -> Result<Self> {
        let (began, before) = (live::now(), kernel.all()?);
        let (at, after) = (live::now(), kernel.all()?);
        Ok(Self { began, before, at, after })
    }

    /// How many processes stayed as they were around the moment.
    pub fn still(&self) -> usize {
        self.before.processes.iter().filter(|(key, facts)| self.after.processes.get(key) == Some(facts)).count()
    }

    /// What the kernel said of a process at either time: `None` if it was not there.
    pub fn life(&self, key: ProcKey) -> Option<Life> {
        self.before.processes.get(&key).or_else(|| self.after.processes.get(&key)).map(|facts| facts.life)
    }

    /// Where a world is not as the kernel was.
    pub fn differences(&self, world: &World) -> Vec<Difference> {
        let Self { began, before, at: _, after } = self;
        let keys: BTreeSet<_> = world.processes().map(|process| process.key).collect();
        let namespaces = world.namespaces().map(|ns| ns.id).collect();
        let mut told = of_world(world, &keys, &namespaces);
        // What the kernel says twice alike; and what it does not say at all, and would if it was there.
        told.processes.retain(|key, _| match (before.processes.get(key), after.processes.get(key)) {
            (None, None) => key.start < *began && !is_hidden(*key),
            (before, after) => before == after,
        });
        told.namespaces.retain(|ns, facts| match (before.namespaces.get(ns), after.namespaces.get(ns)) {
            (None, None) => facts.init.is_none_or(|init| init.start < *began),
            (before, after) => before == after,
        });
        let mut kernel = before.clone();
        kernel.processes.retain(|key, facts| after.processes.get(key) == Some(facts));
        kernel.namespaces.retain(|ns, facts| after.namespaces.get(ns) == Some(facts));
        differences(&kernel, &told)
    }
}

/// Some kernels keep their pid 1 from every program in the kernel, and show it in `/proc` all the same.
fn is_hidden(key: ProcKey) -> bool {
    // Field 22 of proc_pid_stat(5), in ticks of 10 ms.
    machine::stat(key.tgid as i32).is_some_and(|stat| stat.start_ticks == key.start.0 / 10_000_000)
}

/// What a flight recorder keeps.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// Asks the recorder with that pid.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn of(recorder: u32) -> Result<Self> {
        let mut why = None;
        for answer in kept::ask() {
            match answer {
                Ok(kept) if kept.recorder == recorder => {
                    return kept.memory.map(Self).context("the recorder gives nothing away");
                }
                Err((pid, error)) if pid == recorder => why = Some(error),
                _ => {}
            }
        }
        Err(why.unwrap_or_else(|| io::ErrorKind::NotFound.into())).context("the recorder does not answer")
    }

    /// All that it says up to a moment; its world is what is believed then.
    ///
    /// # Errors
    /// If it cannot be played.
    pub fn until(&self, at: BootNs) -> Result<Detector> {
        let mut file = self.0.try_clone()?;
        file.rewind()?;
        played(Trace::of(file)?, at)
    }
}

/// What a recording says up to a moment, in the same way; it need not be closed.
///
/// # Errors
/// If it cannot be played.
pub fn world_until(recording: &Path, at: BootNs) -> Result<Detector> {
    played(Trace::open(recording)?, at)
}

fn played(mut trace: Trace, at: BootNs) -> Result<Detector> {
    let mut detector = Detector::new(&Thresholds::default());
    trace.detect(&mut detector, at, |_, _| Ok(ControlFlow::Continue(())))?;
    Ok(detector)
}
