//! Where the story is played: live on a stage of its own, or in a recording of that.

use anyhow::Result;
use rustix::process::Signal;

use crate::{
    event::ExitStatus,
    finding::Finding,
    ident::{Args, PidNs},
    time::BootNs,
    world::World,
};

/// A pid namespace whose pid 1 runs, and what is known about it.
pub(super) trait Scene {
    /// What is known now.
    fn world(&self) -> &World;

    /// What time it is there.
    fn now(&self) -> BootNs;

    /// The namespace.
    fn namespace(&self) -> PidNs;

    /// The host pid of its pid 1.
    fn init(&self) -> u32;

    /// Findings about the namespace that were not taken yet.
    fn heard(&mut self) -> &mut Vec<Finding>;

    /// Starts a command in it; returns its host pid once its program runs.
    async fn run(&mut self, command: &[&str]) -> Result<u32>;

    /// Sends a signal to a process that was started there.
    fn kill(&mut self, pid: u32, signal: Signal) -> Result<()>;

    /// How a command ended, `None` while it lives.
    fn ended(&mut self, pid: u32) -> Result<Option<ExitStatus>>;

    /// Takes in what comes next; fails if nothing more can come that `what` waits for.
    async fn go_on(&mut self, what: &str) -> Result<()>;

    /// Goes on until there is an answer.
    async fn until<T>(&mut self, what: &str, mut answer: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        loop {
            if let Some(answer) = answer(self)? {
                return Ok(answer);
            }
            self.go_on(what).await?;
        }
    }

    /// Waits for a finding of that rule about the namespace; returns it after those that came before it.
    async fn hear(&mut self, rule: &str) -> Result<Vec<Finding>> {
        self.until(&format!("a finding of `{rule}`"), |scene| {
            let heard = scene.heard();
            let at = heard.iter().position(|finding| finding.rule.name == rule);
            Ok(at.map(|at| heard.drain(..=at).collect()))
        })
        .await
    }
}

/// Whether that is the command line of a process.
pub(super) fn is_command(args: &Args, command: &[&str]) -> bool {
    args.iter().eq(command.iter().map(|word| word.as_bytes()))
}
