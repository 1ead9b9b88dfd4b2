//! The four acts: what is done, and what the tool reports.

use std::io::Write;

use anyhow::Result;
use rustix::process::Signal;

use super::{printer::Printer, scene::Scene};
use crate::time::BootNs;

/// Pid 1 of the stage.
pub(super) const INIT: [&str; 2] = ["sleep", "1000"];
const NEVER_WAITS: &str = "sleep 0.1 & exec sleep 1000";
const PARENT: &str = "sleep 1000 & wait";
const WORKERS: &str = "sleep 1000 & sleep 1000 & wait";

/// Plays it all.
pub(super) async fn tell<S: Scene, W: Write>(scene: &mut S, printer: &mut Printer<W>) -> Result<()> {
    printer.title(scene)?;
    let mut theatre = Theatre { scene, printer };
    theatre.dropped_signal().await?;
    theatre.zombie().await?;
    theatre.orphan().await?;
    theatre.end_of_namespace().await
}

/// Everybody who takes part.
struct Theatre<'a, S, W: Write> {
    scene: &'a mut S,
    printer: &'a mut Printer<W>,
}

impl<S: Scene, W: Write> Theatre<'_, S, W> {
    async fn dropped_signal(&mut self) -> Result<()> {
        const KILL: &str = "kill -TERM 1";
        self.printer.act(1, "A stop signal that does nothing")?;
        self.printer.action(&format!("sh -c '{KILL}'"), "inside, as `docker exec` would run it")?;
        let since = self.scene.now();
        let shell = self.scene.run(&["sh", "-c", KILL]).await?;
        let status = self.scene.until("the end of `kill`", |scene| scene.ended(shell)).await?;
        anyhow::ensure!(status.0 == 0, "`{KILL}` inside the namespace failed");
        self.printer.note("kill exits with 0, as if all were well, and sleep goes on sleeping.")?;
        self.says(since, "init-ignored-signal").await
    }

    async fn zombie(&mut self) -> Result<()> {
        self.printer.act(2, "A parent that never waits")?;
        self.printer.action(&format!("sh -c '{NEVER_WAITS}'"), "the child ends; its parent only sleeps")?;
        let since = self.scene.now();
        self.scene.run(&["sh", "-c", NEVER_WAITS]).await?;
        self.says(since, "unreaped-child").await
    }

    async fn orphan(&mut self) -> Result<()> {
        self.printer.act(3, "An orphan, and a pid 1 that does not care")?;
        self.printer.action(&format!("sh -c '{PARENT}'"), "a shell with a child")?;
        let shell = self.scene.run(&["sh", "-c", PARENT]).await?;
        let child = self.children(shell, 1).await?[0];

        self.printer.action(&format!("kill -KILL {shell}"), "the shell is killed")?;
        let since = self.scene.now();
        self.scene.kill(shell, Signal::KILL)?;
        self.says(since, "orphan-adopted").await?;

        self.printer.action(&format!("kill -TERM {child}"), "the orphan ends, too")?;
        let since = self.scene.now();
        self.scene.kill(child, Signal::TERM)?;
        self.says(since, "unreaped-child").await
    }

    async fn end_of_namespace(&mut self) -> Result<()> {
        let init = self.scene.init();
        self.printer.act(4, "When pid 1 goes, all go")?;
        self.printer.action(&format!("sh -c '{WORKERS}'"), "three workers, beside the parent of 2.")?;
        let shell = self.scene.run(&["sh", "-c", WORKERS]).await?;
        self.children(shell, 2).await?;

        self.printer.action(&format!("kill -KILL {init}"), "pid 1, from the host, so it counts")?;
        let since = self.scene.now();
        self.scene.kill(init, Signal::KILL)?;
        self.says(since, "namespace-killed").await
    }

    /// Waits until a shell has as many children that have begun to run their own program.
    async fn children(&mut self, shell: u32, count: usize) -> Result<Vec<u32>> {
        self.scene
            .until(&format!("{count} children of the shell"), |scene| {
                let world = scene.world();
                let Some(parent) = world.by_pid(shell) else { return Ok(None) };
                let children: Vec<_> = world
                    .children(parent.key)
                    .filter(|child| child.comm != parent.comm)
                    .map(|child| child.key.tgid)
                    .collect();
                Ok((children.len() == count).then_some(children))
            })
            .await
    }

    /// Waits for what the tool says, and shows it.
    async fn says(&mut self, since: BootNs, rule: &str) -> Result<()> {
        // Processes that the story itself ends need no finding.
        for finding in self.scene.hear(rule).await?.iter().filter(|finding| finding.rule.name != "killed-by") {
            self.printer.says(since, finding)?;
        }
        Ok(())
    }
}
