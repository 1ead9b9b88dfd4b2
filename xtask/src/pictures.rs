//! `cargo xtask pictures`: the pictures of the README, of what the program makes of recordings in this repository.
//!
//! Those of a terminal are text, which a test compares (`tracer/tests/program/docs/pictures.rs`). That of a page for a
//! browser depends on the browser and on the fonts of the machine, so no test does.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    process::{cargo, on_path, run},
    workspace::{PACKAGES, Workspace},
};

/// What the report is of: a dropped SIGTERM, zombies, an orphan, and the end of a namespace.
const RECORDING: &str = "tracer/src/commands/demo/demo.mcap";
/// Width and height of the picture of the report.
const SIZE: (u32, u32) = (1100, 800);
/// A page with all of them is still loaded soon.
const LARGEST: u64 = 150_000;

/// The sub-command.
pub fn pictures() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let folder = workspace.root.join("docs/pictures");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut test = cargo(&workspace);
    test.args(["test", "--quiet"]).args(PACKAGES).args(["--test", "program", "docs::pictures"]).env("UPDATE_DOCS", "1");
    run(&mut test)?;
    report(&workspace, &folder.join("report.png"))?;
    for picture in fs::read_dir(&folder)? {
        let picture = picture?.path();
        let size = fs::metadata(&picture)?.len();
        println!("pictures: {}, {} kB", picture.display(), size.div_ceil(1000));
        ensure!(size <= LARGEST, "{} is larger than {} kB", picture.display(), LARGEST / 1000);
    }
    Ok(ExitCode::SUCCESS)
}

fn report(workspace: &Workspace, picture: &Path) -> Result<()> {
    let browser = on_path("chromium").context("there is no chromium on PATH: cargo xtask setup --tests")?;
    let scratch = workspace.target.join("pictures");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let page = scratch.join("report.html");
    let recording = workspace.root.join(RECORDING);
    // It was built for the test of the other pictures.
    let mut tracer = Command::new(workspace.tested("tracer"));
    tracer.arg("report").arg(recording).arg("-o").arg(&page);
    // It overwrites nothing.
    let _ = fs::remove_file(&page);
    run(tracer.env("TZ", "UTC"))?;
    let (width, height) = SIZE;
    let mut command = Command::new(browser);
    command
        // As root, Chromium has no sandbox of its own.
        .args(["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=5000"])
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--user-data-dir={}", scratch.join("browser").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .env("TZ", "UTC")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run(&mut command)
}
