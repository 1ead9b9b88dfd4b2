//! `cargo xtask test`: everything that must pass before a change is handed in.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    lint,
    process::{cargo, root_prefix, status},
    setup,
    workspace::{PACKAGES, Workspace},
};

/// The tests with containers, by the beginning of their names.
const CONTAINERS: &str = "containers::";

/// What `test` is asked for.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave out the package `tracer-tests`, which needs root and a kernel with BTF.
    #[arg(long)]
    no_kernel: bool,
    /// Do not boot other kernels.
    #[arg(long)]
    no_vm: bool,
    /// Run only those with containers of real engines (docker, podman, containerd, runc).
    #[arg(long, conflicts_with_all = ["no_kernel", "filter"])]
    containers: bool,
    /// Run only the tests whose names contain this.
    filter: Option<String>,
}

/// The sub-command. The last lines are the test runner's own, and so is the exit code.
pub fn test(options: Options) -> Result<ExitCode> {
    let Options { no_kernel, no_vm, containers, filter } = options;
    let (no_vm, filter) = if containers { (true, Some(CONTAINERS.to_owned())) } else { (no_vm, filter) };
    let workspace = Workspace::find()?;
    let toolchain = setup::toolchain(&workspace, None)?;
    let root = if no_kernel { None } else { root_prefix() };
    if root.is_some() {
        setup::test_packages()?;
    }
    lint::check(&workspace, Ok(&toolchain))?;

    let cargo_test = |kinds: &[&str]| {
        let mut command = cargo(&workspace);
        command.args(["test", "--no-fail-fast"]).args(PACKAGES).args(kinds).args(&filter);
        command.env("TRACER_BIN", workspace.tested("tracer"));
        command
    };
    let mut programs = cargo_test(PROGRAMS);
    if no_kernel {
        programs.args(["--exclude", "tracer-tests"]);
    }
    // Documentation first: what ends the output is then the last test program's result.
    let mut runs = vec![cargo_test(&["--doc"]), programs];
    if let Some(sudo) = root.filter(|sudo| !sudo.is_empty()) {
        // So far, each of them was ignored, for want of root.
        let mut kernel = cargo_test(&["--test", "kernel"]);
        kernel.arg("--config").arg(runner(&workspace, &sudo));
        runs.push(kernel);
    }
    for mut run in runs {
        // See tracer/tests/readers/main.rs.
        run.env("TRACER_TESTS_READERS", "1");
        // See xtask/tests/long/main.rs, for this and the next.
        if !no_vm && !no_kernel {
            run.env("TRACER_TESTS_VM", "1");
        }
        if !containers {
            run.env("TRACER_TESTS_FUZZ", "1");
        }
        let status = status(&mut run)?;
        if !status.success() {
            return Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The kinds of test programs, as `cargo test` calls them; benches are left out.
const PROGRAMS: &[&str] = &["--lib", "--bins", "--tests", "--examples"];

/// Has cargo start each test program as root; sudo drops the environment, so it is said again.
fn runner(workspace: &Workspace, sudo: &[String]) -> String {
    let tracer = format!("TRACER_BIN={}", workspace.tested("tracer").display());
    let words: Vec<_> = sudo.iter().map(String::as_str).chain(["env", &tracer]).collect();
    format!("target.'cfg(all())'.runner = {words:?}")
}
