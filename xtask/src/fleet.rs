//! `cargo xtask fleet`: the program `tracer-fleet`, which is not of the workspace, tested, or measured over a lake of many
//! hosts and days.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    process::{cargo, read, run},
    workspace::{PACKAGES, Workspace},
};

mod duckdb;
mod spark;

/// Its manifest, below the top of the checkout.
const MANIFEST: &str = "tracer-fleet/Cargo.toml";
/// The recordings that are the beginnings of days, below the top of the checkout.
const RECORDINGS: &str = "tests/traces/rules";
/// The most that a host's day should take, in bytes.
const TARGET_BYTES: u64 = 2 << 20;
/// The longest that a question should take about a day of 1,000 hosts, in seconds.
const TARGET_SECONDS: f64 = 5.0;
/// How often a question is asked again.
const AGAIN: u32 = 3;

/// What `fleet` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Build tracer-fleet for use, say where it is, and measure nothing.
    #[arg(long, conflicts_with_all = ["check", "spark"])]
    build: bool,
    /// Check the formatting of tracer-fleet, lint and test it, and measure nothing.
    #[arg(long)]
    check: bool,
    /// Compare all answers, row for row, with those of Spark on a cluster that loses a worker, and measure nothing.
    #[arg(long, conflicts_with = "check")]
    spark: bool,
    /// How many hosts the lake has; a tenth and a hundredth of them are measured first.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hosts: u32,
    /// How many days it has; the questions are about the last of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,
    /// Where the lakes and fleet.json go; a lake that is there is asked and not made [default: target/fleet-lakes].
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// The sub-command.
pub fn fleet(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    if options.build {
        run(of_fleet(&workspace, "build")?.args(["--locked", "--release"]))?;
        println!("tracer-fleet: {}", workspace.target.join("fleet/release/tracer-fleet").display());
        return Ok(ExitCode::SUCCESS);
    }
    // What the tests and the lakes are made with.
    run(cargo(&workspace).arg("build").args(PACKAGES).arg("--bins"))?;
    match options {
        Options { check: true, .. } => check(&workspace),
        Options { spark: true, .. } => compare(&workspace, options),
        _ => measure(&workspace, options),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Cargo for tracer-fleet, with a target directory of its own.
fn of_fleet(workspace: &Workspace, verb: &str) -> Result<Command> {
    let mut command = cargo(workspace);
    command.env("CARGO_TARGET_DIR", workspace.target.join("fleet")).env(duckdb::FOLDER, duckdb::folder(workspace)?);
    command.args([verb, "--manifest-path", MANIFEST]);
    Ok(command)
}

fn check(workspace: &Workspace) -> Result<()> {
    run(cargo(workspace).args(["fmt", "--manifest-path", MANIFEST, "--check"]))?;
    run(of_fleet(workspace, "clippy")?.args(["--locked", "--all-targets", "--", "-D", "warnings"]))?;
    let mut test = of_fleet(workspace, "test")?;
    test.arg("--locked").env("TRACER_BIN", workspace.tested("tracer")).env("S3_SERVER", s3_server(workspace)?);
    run(&mut test)
}

/// A server with the interface of Amazon's object store, over a folder.
fn s3_server(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.target.join("fleet/s3");
    let program = root.join("bin/s3s-fs");
    if !program.exists() {
        let mut install = cargo(workspace);
        install.args(["install", "--locked", "--debug", "s3s-fs@0.14.1", "--features", "binary", "--root"]).arg(&root);
        run(install.env("CARGO_TARGET_DIR", root.join("build")))?;
        fs::remove_dir_all(root.join("build")).context("cannot remove what was compiled")?;
    }
    Ok(program)
}

/// See [`spark`].
fn compare(workspace: &Workspace, options: &Options) -> Result<()> {
    let Options { hosts, days, .. } = *options;
    let folder = folder(workspace, options)?;
    run(of_fleet(workspace, "build")?.arg("--locked"))?;
    let (lake, _) = made(workspace, &folder, hosts, days)?;
    spark::compare(workspace, &lake, &program(workspace), &questions(workspace)?)
}

/// Where the lakes are.
fn folder(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    let folder = options.output.clone().unwrap_or_else(|| workspace.target.join("fleet-lakes"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))
}

/// tracer-fleet itself.
fn program(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fleet/debug/tracer-fleet")
}

/// The questions that have a name.
fn questions(workspace: &Workspace) -> Result<Vec<String>> {
    let listed = read(Command::new(program(workspace)).arg("questions"))?;
    Ok(listed.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
}

fn measure(workspace: &Workspace, options: &Options) -> Result<()> {
    let Options { hosts, days, .. } = *options;
    let folder = folder(workspace, options)?;
    run(of_fleet(workspace, "build")?.arg("--locked"))?;
    let steps = [hosts / 100, hosts / 10, hosts].into_iter().filter(|&hosts| hosts > 0);
    let lakes = steps.map(|hosts| lake(workspace, &folder, hosts, days)).collect::<Result<Vec<_>>>()?;
    let processors = std::thread::available_parallelism()?.get();
    let figures = json!({ "processors": processors, "days": days, "lakes": lakes });
    let file = folder.join("fleet.json");
    fs::write(&file, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("figures: {}", file.display());
    Ok(())
}

/// A lake, which is made if it is not there, and what making it said.
fn made(workspace: &Workspace, folder: &Path, hosts: u32, days: u32) -> Result<(PathBuf, Map<String, Value>)> {
    let lake = folder.join(format!("{hosts}x{days}"));
    let made = folder.join(format!("{hosts}x{days}.json"));
    if !made.exists() {
        // Half a lake is made anew.
        let _ = fs::remove_dir_all(&lake);
        let mut make = Command::new(workspace.tested("fleet"));
        make.arg("make").args([hosts, days].map(|number| number.to_string())).arg(&lake);
        make.args(recordings(workspace)?);
        fs::write(&made, read(&mut make)?)?;
    }
    Ok((lake, serde_json::from_str(&fs::read_to_string(&made)?)?))
}

/// Makes a lake, asks it all questions, and prints the figures.
fn lake(workspace: &Workspace, folder: &Path, hosts: u32, days: u32) -> Result<Value> {
    let (lake, mut figures) = made(workspace, folder, hosts, days)?;
    let number =
        |name: &str| figures.get(name).and_then(Value::as_f64).with_context(|| format!("fleet make says no {name}"));
    let host_days = f64::from(hosts) * f64::from(days);
    let (files, bytes, seconds) = (number("files")?, number("bytes")? / host_days, number("write_s")?);
    let verdict = if bytes <= TARGET_BYTES as f64 { "meets" } else { "MISSES" };
    println!("{hosts} hosts, {days} days: {files} files; {:.0} KiB a host-day ({verdict} 2 MiB)", bytes / 1024.0);
    println!("  written in {seconds:.1} s, by all processors");
    let mut answers = Map::new();
    for question in questions(workspace)? {
        let ask = || -> Result<f64> {
            let began = Instant::now();
            let mut command = Command::new(program(workspace));
            command.args(["query", &question]).arg(&lake).args(["--since", &last_day(&lake)?]);
            run(command.stdout(Stdio::null()))?;
            Ok(began.elapsed().as_secs_f64())
        };
        run(Command::new(workspace.tested("fleet")).arg("forget").arg(&lake))?;
        let cold = ask()?;
        let warm = (0..AGAIN).map(|_| ask()).collect::<Result<Vec<_>>>()?;
        let warm = warm.into_iter().fold(f64::INFINITY, f64::min);
        let verdict = if cold <= TARGET_SECONDS { "meets" } else { "MISSES" };
        println!("  {question}: {cold:.2} s, and {warm:.2} s again ({verdict} {TARGET_SECONDS} s)");
        answers.insert(question, json!({ "cold_s": cold, "warm_s": warm }));
    }
    figures.extend([("hosts".to_owned(), hosts.into()), ("questions".to_owned(), answers.into())]);
    Ok(figures.into())
}

/// The recordings of rules that have found something.
fn recordings(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.root.join(RECORDINGS);
    let files = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.to_string_lossy().ends_with(".fires.mcap"));
    files.sort();
    ensure!(!files.is_empty(), "there are no recordings in {}", folder.display());
    Ok(files)
}

/// The last day that a lake has.
fn last_day(lake: &Path) -> Result<String> {
    let days = fs::read_dir(lake.join("table=hosts"))?.map(|day| Ok(day?.file_name().to_string_lossy().into_owned()));
    let last = days.collect::<Result<Vec<_>>>()?.into_iter().max().context("the lake has no day")?;
    Ok(last.trim_start_matches("day=").to_owned())
}
