//! The live source and the engine, as `watch` has them, listening for what concerns one pid
//! namespace.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::stage::Stage;
use crate::{
    engine::Engine,
    event::{Event, EventKind},
    finding::Finding,
    rules::Thresholds,
    source::{
        live::{self, Live},
        load::LoadOptions,
    },
    world::World,
};

/// How often the ring buffer is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// Records that are taken before something else gets its turn.
const BATCH: usize = 65_536;
/// Whatever is waited for comes within a second, if it comes; a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Short, because somebody is watching.
pub(super) const UNREAPED_AFTER: Duration = Duration::from_millis(500);

/// The user wants to leave.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// See the module.
pub(super) struct Observer {
    live: Live,
    engine: Engine,
    /// What was found about the stage and not yet taken.
    heard: Vec<Finding>,
    /// Events were lost since the last snapshot.
    is_behind: bool,
    leave: [Signal; 3],
}

impl Observer {
    /// Attaches, and takes in what exists. Must be called within a tokio runtime.
    pub(super) fn start() -> Result<Self> {
        let options = LoadOptions::default();
        let thresholds = Thresholds { unreaped_after: UNREAPED_AFTER.as_nanos() as u64, ..Thresholds::default() };
        let live = Live::attach(&options)?;
        let first = live.start_event(&options, &thresholds);
        // From here on, so that no signal ends us before the stage is cleared.
        let leave = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        // Whoever started us may have had SIGCHLD ignored, so that no zombie is left, here or on the
        // stage: a handler undoes that, as an exec resets it to the default.
        let _ = signal(SignalKind::child())?;
        let engine = Engine::new(&thresholds);
        let mut observer = Self { live, engine, heard: Vec::new(), is_behind: false, leave };
        observer.take(&first, None);
        observer.snapshot(None)?;
        Ok(observer)
    }

    /// What is known now.
    pub(super) fn world(&self) -> &World {
        self.engine.world()
    }

    /// Waits for a finding of that rule about the stage; gives it after those that came before it.
    pub(super) async fn hear(&mut self, stage: &mut Stage, rule: &str) -> Result<Vec<Finding>> {
        let what = format!("a finding of `{rule}`");
        self.until(stage, &what, |observer, _| {
            let at = observer.heard.iter().position(|finding| finding.rule.name == rule)?;
            Some(observer.heard.drain(..=at).collect())
        })
        .await
    }

    /// Listens until there is an answer.
    pub(super) async fn until<T>(
        &mut self,
        stage: &mut Stage,
        what: &str,
        mut answer: impl FnMut(&mut Self, &mut Stage) -> Option<T>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            stage.reap()?;
            self.listen(stage)?;
            if let Some(answer) = answer(self, stage) {
                return Ok(answer);
            }
            if began.elapsed() > PATIENCE {
                anyhow::bail!(
                    "waited {} s in vain for {what}; if `tracer doctor` finds nothing wrong, this is a bug: please \
                     report it",
                    PATIENCE.as_secs()
                );
            }
            let [interrupt, terminate, hangup] = &mut self.leave;
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Err(Interrupted.into()),
                _ = terminate.recv() => return Err(Interrupted.into()),
                _ = hangup.recv() => return Err(Interrupted.into()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// What [`crate::pump`] does between two pauses, without its sinks.
    fn listen(&mut self, stage: &Stage) -> Result<()> {
        let mut events = Vec::new();
        self.live.drain(BATCH, |event| {
            events.push(event);
            Ok::<_, Infallible>(())
        })?;
        for event in &events {
            self.take(event, Some(stage));
        }
        if let Some(lost) = self.live.lost().context("cannot read the kernel side's counters")? {
            self.take(&lost, Some(stage));
            self.is_behind = true;
        } else if self.is_behind {
            // Not while it is still losing.
            self.snapshot(Some(stage))?;
            self.is_behind = false;
        }
        let now = live::now();
        for key in self.engine.due(now) {
            let look = self.live.look(key);
            self.take(&look, Some(stage));
        }
        self.take(&Event { at: now, cpu: 0, kind: EventKind::Tick }, Some(stage));
        Ok(())
    }

    fn snapshot(&mut self, stage: Option<&Stage>) -> Result<()> {
        let events = self.live.snapshot().context("cannot list the processes with the kernel's task iterator")?;
        for event in &events {
            self.take(event, stage);
        }
        Ok(())
    }

    fn take(&mut self, event: &Event, stage: Option<&Stage>) {
        let (step, _) = self.engine.step(event);
        let ours = |finding: &&Finding| stage.is_some_and(|stage| finding.process.pid_ns == stage.ns);
        self.heard.extend(step.findings.iter().filter(ours).cloned());
    }
}
