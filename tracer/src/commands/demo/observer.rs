//! The live source and the engine, as `watch` has them, listening for what concerns one pid
//! namespace.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use super::stage::Stage;
use crate::{
    finding::Finding,
    pump::{BUSY, Leave, Pump},
    rules::Thresholds,
    source::{live::Live, load::LoadOptions},
    world::World,
};

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
    pump: Pump,
    /// What was found about the stage and not yet taken.
    heard: Vec<Finding>,
    leave: Leave,
}

impl Observer {
    /// Attaches, and takes in what exists. Must be called within a tokio runtime.
    pub(super) fn start() -> Result<Self> {
        let options = LoadOptions::default();
        let thresholds = Thresholds { unreaped_after: UNREAPED_AFTER.as_nanos() as u64, ..Thresholds::default() };
        let live = Live::attach(&options)?;
        // From here on, so that no signal ends us before the stage is cleared.
        let leave = Leave::new()?;
        // Whoever started us may have had SIGCHLD ignored, so that no zombie is left, here or on the
        // stage: a handler undoes that, as an exec resets it to the default.
        let _ = signal(SignalKind::child())?;
        let pump = Pump::start(live, &options, &thresholds, &mut |_, _| Ok(()))?;
        Ok(Self { pump, heard: Vec::new(), leave })
    }

    /// What is known now.
    pub(super) fn world(&self) -> &World {
        self.pump.world()
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
            tokio::select! {
                biased;
                () = self.leave.asked() => return Err(Interrupted.into()),
                () = tokio::time::sleep(BUSY) => {}
            }
        }
    }

    fn listen(&mut self, stage: &Stage) -> Result<()> {
        let Self { pump, heard, .. } = self;
        pump.turn(&mut |_, step| {
            heard.extend(step.findings.iter().filter(|finding| finding.process.pid_ns == stage.ns).cloned());
            Ok(())
        })?;
        Ok(())
    }
}
