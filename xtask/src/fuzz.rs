//! `cargo xtask fuzz`: feeds the reader of traces, and all code behind it, with arbitrary bytes for a while.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    process::{cargo, is_executable, on_path, run, status},
    workspace::Workspace,
};

/// What `fuzz` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Only get what building them needs.
    #[arg(long)]
    fetch: bool,
    /// Which targets; all if none is named.
    targets: Vec<Target>,
}

/// A program of `fuzz/fuzz_targets`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Bytes as a trace.
    Trace,
    /// Bytes as records, for world and rules alone: soon built.
    Records,
    /// Bytes as records, with every presenter.
    Shown,
    /// Bytes as what processes, engines and the kernel's log write.
    Edges,
}

impl Target {
    const ALL: [Self; 4] = [Self::Trace, Self::Records, Self::Shown, Self::Edges];

    /// Its word, which is that of its program, too.
    fn name(self) -> Result<String> {
        Ok(self.to_possible_value().context("every target has a name")?.get_name().to_owned())
    }

    /// Whether it needs more than the model.
    fn needs_program(self) -> bool {
        matches!(self, Self::Trace | Self::Shown)
    }

    /// Where its seeds are, below `fuzz/corpus`.
    fn seeds(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Records | Self::Shown => "records",
            Self::Edges => "edges",
        }
    }
}

/// The sub-command. A crash leaves its input below `fuzz/artifacts`, and the way to repeat it on the screen.
pub fn fuzz(options: Options) -> Result<ExitCode> {
    let Options { seconds, fetch, targets } = options;
    let workspace = Workspace::find()?;
    let cargo_fuzz = cargo_fuzz(&workspace)?;
    if fetch {
        return fetch_crates(&workspace);
    }
    let targets = if targets.is_empty() { Target::ALL.to_vec() } else { targets };
    // All targets are built with the same options, so that nothing is built twice.
    let features = targets.iter().any(|target| target.needs_program()).then_some("program");
    // Distinguishes a failed build from a crash.
    let mut build = cargo_fuzz_command(&workspace, &cargo_fuzz, "build", features);
    if let [target] = targets[..] {
        build.arg(target.name()?);
    }
    run(&mut build).context("the fuzz targets cannot be built")?;
    for target in targets {
        let name = target.name()?;
        let found = workspace.target.join("fuzz/corpus").join(&name);
        std::fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let mut command = cargo_fuzz_command(&workspace, &cargo_fuzz, "run", features);
        command.arg(&name);
        // New inputs go into the first folder; the seeds stay unchanged.
        command.arg(&found).arg(workspace.root.join("fuzz/corpus").join(target.seeds())).arg("--");
        command.arg(format!("-max_total_time={seconds}")).args(LIMITS);
        let status = status(&mut command)?;
        if !status.success() {
            eprintln!("error: the target {name} found something ({status})");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The crates of the targets, and the compiler of C++ with which libfuzzer-sys builds libFuzzer.
fn fetch_crates(workspace: &Workspace) -> Result<ExitCode> {
    ensure!(on_path("c++").is_some(), "there is no c++ on PATH, which builds libFuzzer");
    let manifest = workspace.root.join("fuzz/Cargo.toml");
    run(cargo(workspace).args(["fetch", "--quiet", "--manifest-path"]).arg(manifest))
        .context("the crates of the fuzz targets cannot be had")?;
    Ok(ExitCode::SUCCESS)
}

fn cargo_fuzz_command(workspace: &Workspace, cargo_fuzz: &Path, verb: &str, features: Option<&str>) -> Command {
    let mut command = Command::new(cargo_fuzz);
    // No sanitizer: this code has no unsafe blocks, and the sanitizers need a nightly compiler.
    command.current_dir(&workspace.root).args(["fuzz", verb, "--fuzz-dir", "fuzz", "--dev", "-s", "none"]);
    command.args(features.map(|features| format!("--features={features}")));
    command.arg("--target-dir").arg(workspace.target.join("fuzz"));
    command
}

/// Of memory, length and time for one input: on a machine under load, too.
const LIMITS: &[&str] = &["-rss_limit_mb=1024", "-max_len=65536", "-timeout=120", "-print_final_stats=1"];

/// The program `cargo-fuzz`: the one on PATH, or one that is built below the target directory.
fn cargo_fuzz(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = on_path("cargo-fuzz") {
        return Ok(found);
    }
    let root = workspace.target.join("tools/cargo-fuzz");
    let program = root.join("bin/cargo-fuzz");
    if !is_executable(&program) {
        run(cargo(workspace).args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"]).arg(&root))
            .context("cargo-fuzz cannot be installed")?;
    }
    Ok(program)
}
