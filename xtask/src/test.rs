//! `cargo xtask test`: everything that must pass before a change is handed in.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    ebpf, lint,
    process::{cargo, is_root, root_prefix, status},
    setup,
    workspace::Workspace,
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
    if root.is_some() {
        ebpf::release(&workspace)?;
    } else {
        let why = if no_kernel { "--no-kernel" } else { "they need root, and sudo does not give it" };
        println!("test: kernel tests skipped: {why}");
    }

    let filter = filter.as_slice();
    let host = ["--workspace", "--exclude", "tracer-ebpf"];
    let kernel = ["--package", "tracer-tests"];
    let without_kernel = [&host[..], &["--exclude", "tracer-tests"]].concat();
    let mut runs = Vec::new();
    // Documentation first: what ends the output is then the last test program's result.
    runs.push(cargo_test(&workspace, &host, &["--doc"], filter));
    match root {
        None => runs.push(cargo_test(&workspace, &without_kernel, PROGRAMS, filter)),
        Some(_) if is_root() => runs.push(cargo_test(&workspace, &host, PROGRAMS, filter)),
        Some(sudo) => {
            let mut tests = cargo_test(&workspace, &kernel, PROGRAMS, filter);
            tests.arg("--config").arg(runner(&workspace, &sudo));
            runs.push(tests);
            runs.push(cargo_test(&workspace, &without_kernel, PROGRAMS, filter));
        }
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

fn cargo_test(workspace: &Workspace, packages: &[&str], kinds: &[&str], filter: &[String]) -> Command {
    let mut command = cargo(workspace);
    command
        .args(["test", "--no-fail-fast"])
        .args(packages)
        .args(kinds)
        .args(filter)
        .env("TRACER_BIN", workspace.tracer());
    command
}

/// Has cargo start each test program as root; sudo drops the environment, so it is said again.
fn runner(workspace: &Workspace, sudo: &[String]) -> String {
    let tracer = format!("TRACER_BIN={}", workspace.tracer().display());
    let words: Vec<_> = sudo.iter().map(String::as_str).chain(["env", &tracer]).collect();
    format!("target.'cfg(all())'.runner = {words:?}")
}
