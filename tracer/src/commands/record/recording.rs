//! The recording beside a command: it can fail at any time without disturbing the command.

use std::io;

use anyhow::{Error, Result};

use crate::{
    console::stderr::say,
    event::ExitStatus,
    event_loop::sleep,
    ident::Args,
    pump::{BUSY, Pump},
    rules::left_behind_patience,
    sink::{Sink, gate::Gate, tee::Tee, trace::Recorder},
    source::{live::Live, load::LoadOptions},
    step::Step,
    thresholds::Thresholds,
    time::Span,
    trace::file::is_wrong_name,
    world::World,
};

use super::child::Child;

/// A recording that goes on, or has ended.
pub struct Recording {
    /// `None` once it has ended.
    pump: Option<Pump>,
    sinks: Tee<Gate, Recorder>,
    /// How long a zombie must have been unreaped to count.
    unreaped_after: Span,
    /// Why it could not go on.
    failure: Option<Error>,
}

impl Recording {
    /// Begins the stream: from here on nothing is missed. The existing processes follow with the next turns. If there
    /// is no room for a file, the recording counts as failed, but the command still runs.
    ///
    /// # Errors
    /// If the processes cannot be listed, a filter names what does not exist, or the file has a name
    /// that cannot be.
    pub fn start(
        live: Live,
        load: &LoadOptions,
        thresholds: &Thresholds,
        gate: Gate,
        recorder: Recorder,
    ) -> Result<Self> {
        let mut sinks = Tee(gate, recorder);
        let mut refused = None;
        let pump = Pump::begin(live, load, thresholds, &mut |world, step| {
            let Tee(gate, recorder) = &mut sinks;
            gate.step(world, step)?;
            if refused.is_none() {
                refused = recorder.step(world, step).err();
            }
            Ok(())
        })?;
        let unreaped_after = thresholds.unreaped_after;
        let mut recording = Self { pump: Some(pump), sinks, unreaped_after, failure: None };
        match refused {
            Some(error) if is_wrong_name(&error) => return Err(error.into()),
            Some(error) => recording.give_up(error.into()),
            None => {}
        }
        Ok(recording)
    }

    /// What was found.
    pub fn gate(&self) -> &Gate {
        &self.sinks.0
    }

    /// What was written.
    pub fn recorder(&self) -> &Recorder {
        &self.sinks.1
    }

    /// Why it could not go on, if so.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Bytes in files.
    pub fn size(&self) -> u64 {
        self.sinks.1.size()
    }

    /// A child was started; the recording is about it.
    pub fn expect_command(&mut self, pid: u32, args: Args) {
        if let Some(pump) = &mut self.pump {
            pump.await_command(pid, args);
        }
    }

    /// Takes what has happened. Whether it goes on.
    pub fn turn(&mut self) -> bool {
        self.try_with(|pump, show| pump.turn(show)).is_some()
    }

    /// Waits until it is time for the next turn; for ever once it has ended.
    pub async fn rest(&mut self) {
        match &mut self.pump {
            Some(pump) => pump.rest().await,
            None => std::future::pending().await,
        }
    }

    /// Whether existing processes are still to be listed.
    pub fn is_listing(&self) -> bool {
        self.pump.as_ref().is_some_and(Pump::is_listing)
    }

    /// Takes what has happened. Returns the world after it.
    pub fn catch_up(&mut self) -> Option<&World> {
        self.turn();
        self.pump.as_ref().map(Pump::world)
    }

    /// The command has ended: reaps it, and goes on until what it left behind has had its time. Returns how it ended,
    /// `None` if that cannot be found out.
    pub async fn command_ends(&mut self, child: &mut Child) -> Option<ExitStatus> {
        self.try_with(|pump, show| pump.command_ending(show));
        let status = match child.reap() {
            Ok(status) => status,
            Err(error) => {
                self.give_up(Error::from(error).context("cannot wait for the command"));
                return None;
            }
        };
        self.try_with(|pump, show| pump.command_ended(status, show));
        while self.turn() && !self.is_settled() {
            sleep(Some(BUSY)).await;
        }
        self.stop();
        Some(status)
    }

    /// Nothing more can be reported about what the command left behind.
    fn is_settled(&self) -> bool {
        let Some(world) = self.pump.as_ref().map(Pump::world) else { return true };
        let Some(end) = world.command().and_then(|command| command.end) else { return true };
        let is_said = self.gate().summary.findings.contains_key("left-behind");
        // The pump lets time pass several times a second.
        is_said
            || match left_behind_patience(world, self.unreaped_after) {
                Span::ZERO => true,
                patience => world.now() > end.at + patience + Span::ms(500),
            }
    }

    /// Ends it as it should be. Nothing happens if it has ended.
    pub fn stop(&mut self) {
        self.try_with(|pump, show| pump.end(show));
        let Some(pump) = self.pump.take() else { return };
        self.sinks.0.summary.conclude(pump.world());
        if let Err(error) = self.sinks.1.close(None) {
            self.failure.get_or_insert(error.into());
        }
    }

    /// Ends it because of an error, keeping all that could be taken.
    pub fn give_up(&mut self, error: Error) {
        let Some(pump) = self.pump.take() else { return };
        self.sinks.0.summary.conclude(pump.world());
        let end = pump.end_event().ok();
        let closed = self.sinks.1.close(end.as_ref());
        say(format_args!("the recording stops: {error:#}"));
        if let Err(error) = closed {
            say(format_args!("and the file could not be closed: {error}"));
        }
        self.failure = Some(error);
    }

    /// Runs `act` on the stream; `None` if it has ended, or ends by this.
    fn try_with<T>(
        &mut self,
        act: impl FnOnce(&mut Pump, &mut dyn FnMut(&World, &Step<'_>) -> io::Result<()>) -> Result<T>,
    ) -> Option<T> {
        let Self { pump, sinks, .. } = self;
        match act(pump.as_mut()?, &mut |world, step| sinks.step(world, step)) {
            Ok(done) => Some(done),
            Err(error) => {
                self.give_up(error);
                None
            }
        }
    }
}
