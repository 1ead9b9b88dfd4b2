//! The demo played live: the stage with its processes, and the live source and the engine as in `watch`.

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::{scene::Scene, stage::Stage};
use crate::{
    event::ExitStatus,
    event_loop::Leave,
    finding::Finding,
    ident::PidNs,
    pump::{BUSY, Pump},
    sink::{Sink, trace::Recorder},
    source::{
        live::{self, Live},
        load::LoadOptions,
    },
    step::Step,
    summary::Summary,
    thresholds::Thresholds,
    time::BootNs,
    world::World,
};

/// Whatever is waited for comes within a second if it comes at all; a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Short, because somebody is watching.
pub(super) const UNREAPED_AFTER: Duration = Duration::from_millis(500);

/// The user wants to leave.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Tracing does not work here, or no stage can be set.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct Impossible(pub anyhow::Error);

/// See the module.
pub(super) struct LiveScene {
    stage: Stage,
    pump: Pump,
    /// The file to record to.
    recorder: Option<Recorder>,
    heard: Vec<Finding>,
    leave: Leave,
    /// What is being waited for, and since when.
    waiting: Option<(String, Instant)>,
}

impl LiveScene {
    /// Attaches, lists the existing processes, and sets the stage. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Impossible`], or that the recording cannot be written.
    pub(super) async fn open(init: &[&str], record: Option<&Path>) -> Result<Self> {
        let mut recorder = record.map(|path| Recorder::single(path, false).map(Recorder::new)).transpose()?;
        let options = LoadOptions::default();
        let thresholds = Thresholds { unreaped_after: UNREAPED_AFTER.into(), ..Thresholds::default() };
        let live = Live::attach(&options).map_err(|error| Impossible(error.into()))?;
        // From here on, so that no signal ends us before the stage is cleared.
        let leave = Leave::new()?;
        // If SIGCHLD was ignored when we were started, no zombie would be left, neither here nor on the stage. A
        // handler undoes that, because an exec resets it to the default.
        let _ = signal(SignalKind::child())?;
        let pump = Pump::start(live, &options, &thresholds, &mut |world, step| keep(&mut recorder, world, step))?;
        let stage = Stage::open(init).map_err(|error| Impossible(cannot_open(error)))?;
        let mut scene = Self { stage, pump, recorder, heard: Vec::new(), leave, waiting: None };
        let init = scene.init();
        scene.until("the start of pid 1", |scene| Ok(scene.world().by_pid(init).map(drop))).await?;
        Ok(scene)
    }

    /// Clears the stage, and ends the recording.
    pub(super) fn close(self) -> Result<()> {
        let Self { stage, mut pump, mut recorder, .. } = self;
        drop(stage);
        pump.end(&mut |world, step| keep(&mut recorder, world, step))?;
        if let Some(recorder) = &mut recorder {
            recorder.finish(pump.world(), &Summary::default())?;
        }
        Ok(())
    }
}

fn keep(recorder: &mut Option<Recorder>, world: &World, step: &Step<'_>) -> std::io::Result<()> {
    recorder.as_mut().map_or(Ok(()), |recorder| recorder.step(world, step))
}

/// Live tracing needs less than the demo does.
fn cannot_open(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("making a pid namespace takes CAP_SYS_ADMIN; run the demo with sudo")
        }
        _ => anyhow::Error::new(error).context("cannot make a pid namespace with `sleep 1000` as its pid 1"),
    }
}

impl Scene for LiveScene {
    fn world(&self) -> &World {
        self.pump.world()
    }

    fn now(&self) -> BootNs {
        live::now()
    }

    fn namespace(&self) -> PidNs {
        self.stage.ns
    }

    fn init(&self) -> u32 {
        self.stage.init()
    }

    fn heard(&mut self) -> &mut Vec<Finding> {
        &mut self.heard
    }

    async fn run(&mut self, command: &[&str]) -> Result<u32> {
        Ok(self.stage.run(command)?)
    }

    fn kill(&mut self, pid: u32, signal: Signal) -> Result<()> {
        if signal == Signal::KILL {
            return Ok(self.stage.kill(pid)?);
        }
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a pid out of range")?;
        // An orphan. The pid is still its own: it lives, or is a zombie that its new parent does not reap.
        kill_process(pid, signal).context("cannot end a process of the stage")
    }

    fn ended(&mut self, pid: u32) -> Result<Option<ExitStatus>> {
        Ok(self.stage.ended(pid)?.map(|status| ExitStatus(status.into_raw())))
    }

    async fn go_on(&mut self, what: &str) -> Result<()> {
        let since = match &self.waiting {
            Some((it, since)) if it == what => *since,
            _ => {
                let now = Instant::now();
                self.waiting = Some((what.to_owned(), now));
                now
            }
        };
        if since.elapsed() > PATIENCE {
            anyhow::bail!(
                "waited {} s in vain for {what}; if `tracer doctor` finds nothing wrong, this is a bug: please report \
                 it",
                PATIENCE.as_secs()
            );
        }
        tokio::select! {
            biased;
            () = self.leave.asked() => return Err(Interrupted.into()),
            () = tokio::time::sleep(BUSY) => {}
        }
        self.stage.reap()?;
        let Self { stage, pump, recorder, heard, .. } = self;
        pump.turn(&mut |world, step| {
            heard.extend(
                step.findings.iter().filter(|finding| finding.is_new() && finding.process.pid_ns == stage.ns).cloned(),
            );
            keep(recorder, world, step)
        })?;
        Ok(())
    }
}
