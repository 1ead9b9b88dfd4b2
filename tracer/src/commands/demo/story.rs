//! The four acts: what is done, and what the tool says.

use std::io::{self, Write};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{observer::Observer, page::Page, stage::Stage};
use crate::source::live;

const INIT: [&str; 2] = ["sleep", "1000"];
const NEVER_WAITS: &str = "sleep 0.1 & exec sleep 1000";
const PARENT: &str = "sleep 1000 & wait";
const WORKERS: &str = "sleep 1000 & sleep 1000 & wait";

/// Plays it all. The stage is cleared when this returns, however it returns.
pub(super) async fn tell<W: Write>(observer: &mut Observer, page: &mut Page<W>) -> Result<()> {
    let mut stage = Stage::open(&INIT).map_err(cannot_open)?;
    page.title(&stage)?;
    let init = stage.init();
    observer.until(&mut stage, "the start of pid 1", |observer, _| observer.world().by_pid(init).map(drop)).await?;

    let mut theatre = Theatre { observer, page, stage: &mut stage };
    theatre.dropped_signal().await?;
    theatre.zombie().await?;
    theatre.orphan().await?;
    theatre.end_of_namespace().await
}

/// Live tracing is content with less than what this takes.
fn cannot_open(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("making a pid namespace takes CAP_SYS_ADMIN; run the demo with sudo")
        }
        _ => anyhow::Error::new(error).context("cannot make a pid namespace with `sleep 1000` as its pid 1"),
    }
}

/// Everybody who takes part.
struct Theatre<'a, W: Write> {
    observer: &'a mut Observer,
    page: &'a mut Page<W>,
    stage: &'a mut Stage,
}

impl<W: Write> Theatre<'_, W> {
    async fn dropped_signal(&mut self) -> Result<()> {
        const KILL: &str = "kill -TERM 1";
        self.page.act(1, "A stop signal that does nothing")?;
        self.page.action(&format!("sh -c '{KILL}'"), "inside, as `docker exec` would run it")?;
        let since = live::now();
        let shell = self.stage.run(&["sh", "-c", KILL])?;
        let status =
            self.observer.until(self.stage, "the end of `kill`", |_, stage| stage.ended(shell).transpose()).await??;
        anyhow::ensure!(status.success(), "`{KILL}` inside the namespace failed: {status}");
        self.page.note("kill exits with 0, as if all were well, and sleep goes on sleeping.")?;
        self.says(since, "init-ignored-signal").await
    }

    async fn zombie(&mut self) -> Result<()> {
        self.page.act(2, "A parent that never waits")?;
        self.page.action(&format!("sh -c '{NEVER_WAITS}'"), "the child ends; its parent only sleeps")?;
        let since = live::now();
        self.stage.run(&["sh", "-c", NEVER_WAITS])?;
        self.says(since, "unreaped-child").await
    }

    async fn orphan(&mut self) -> Result<()> {
        self.page.act(3, "An orphan, and a pid 1 that does not care")?;
        self.page.action(&format!("sh -c '{PARENT}'"), "a shell with a child")?;
        let shell = self.stage.run(&["sh", "-c", PARENT])?;
        let child = self.children(shell, 1).await?[0];

        self.page.action(&format!("kill -KILL {shell}"), "the shell is killed")?;
        let since = live::now();
        self.stage.kill(shell)?;
        self.says(since, "orphan-adopted").await?;

        self.page.action(&format!("kill -TERM {child}"), "the orphan ends, too")?;
        let since = live::now();
        let pid = i32::try_from(child).ok().and_then(Pid::from_raw).context("a pid out of range")?;
        // The pid is still its own: it lives, or is a zombie that its new parent does not reap.
        kill_process(pid, Signal::TERM).context("cannot end the orphan")?;
        self.says(since, "unreaped-child").await
    }

    async fn end_of_namespace(&mut self) -> Result<()> {
        let init = self.stage.init();
        self.page.act(4, "When pid 1 goes, all go")?;
        self.page.action(&format!("sh -c '{WORKERS}'"), "three workers, beside the parent of 2.")?;
        let shell = self.stage.run(&["sh", "-c", WORKERS])?;
        self.children(shell, 2).await?;

        self.page.action(&format!("kill -KILL {init}"), "pid 1, from the host, so it counts")?;
        let since = live::now();
        self.stage.kill(init)?;
        self.says(since, "namespace-killed").await
    }

    /// Waits until a shell has as many children that have begun to run their own program.
    async fn children(&mut self, shell: u32, count: usize) -> Result<Vec<u32>> {
        let what = format!("{count} children of the shell");
        self.observer
            .until(self.stage, &what, |observer, _| {
                let world = observer.world();
                let parent = world.by_pid(shell)?;
                let children: Vec<_> = world
                    .children(parent.key)
                    .filter(|child| child.comm != parent.comm)
                    .map(|child| child.key.tgid)
                    .collect();
                (children.len() == count).then_some(children)
            })
            .await
    }

    /// Waits for what the tool says, and shows it.
    async fn says(&mut self, since: u64, rule: &str) -> Result<()> {
        for finding in self.observer.hear(self.stage, rule).await? {
            self.page.says(since, &finding)?;
        }
        Ok(())
    }
}
