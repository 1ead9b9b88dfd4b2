//! The program itself: linked statically, with no path of this machine in it.

use std::{
    collections::BTreeSet,
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Plan;
use crate::{
    arch::Arch,
    cross::Compiler,
    process::{read, shown},
    toolchain,
};

/// The program relocates itself: a bit for each pointer, not 24 bytes. Debian 12's linker can do so for x86-64 only.
const SMALLER: [(Arch, &str); 1] = [(Arch::X86, "-Clink-arg=-Wl,-z,pack-relative-relocs")];

/// A program, and what it was made of.
#[derive(Debug)]
pub struct Built {
    /// By what.
    pub compiler: Compiler,
    /// The file.
    pub program: PathBuf,
    /// The ids of the packages that were compiled for its architecture, as cargo calls them.
    pub packages: BTreeSet<String>,
}

/// Builds it, or finds it built.
pub fn build(plan: &Plan, arch: Arch) -> Result<Built> {
    let compiler = Compiler::find(&plan.workspace, arch)?;
    let renamed = renamed(plan, &compiler)?;
    let flags: Vec<_> = renamed.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let smaller = SMALLER.iter().filter(|(is_for, _)| *is_for == arch).map(|(_, flag)| (*flag).to_owned());
    let host_flags = [flags.clone(), smaller.collect()].concat();
    let c_flags: Vec<_> = renamed.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    let mut command = compiler.cargo(&plan.workspace, &plan.scratch, &host_flags);
    command
        .env(toolchain::FLAGS, flags.join("\x1f"))
        .env("CFLAGS", c_flags.join(" "))
        .env("SOURCE_DATE_EPOCH", plan.epoch.to_string())
        .args(["build", "--locked", "--profile", "dist", "--package", "tracer", "--bin", "tracer"])
        .args(compiler.target())
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    println!("dist: building for {} (minutes, the first time)", arch.name());
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&command), output.status);
    }
    let (mut program, mut packages) = (None, BTreeSet::new());
    let folder = format!("/{}/", arch.target());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // What runs while building is elsewhere: macros and build scripts.
        if files.into_iter().any(|file| file.contains(&folder)) {
            packages.extend(message["package_id"].as_str().map(str::to_owned));
        }
        program = message["executable"].as_str().map(PathBuf::from).or(program);
    }
    let program = program.context("cargo built no program")?;
    Ok(Built { compiler, program, packages })
}

/// Folders of this machine that compilers write into what they make, and what they are to write. Later ones count.
fn renamed(plan: &Plan, compiler: &Compiler) -> Result<Vec<(String, &'static str)>> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    let cargo =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).context("neither HOME nor CARGO_HOME is set")?;
    let sysroot = read(compiler.rustc().args(["--print", "sysroot"]))?;
    // That of the eBPF part, whose compiler may be another one.
    Ok(vec![
        (format!("{sysroot}/lib/rustlib"), "/rustlib"),
        (cargo.join("registry/src").display().to_string(), "/registry"),
        (plan.workspace.root.display().to_string(), "/tracer"),
        (plan.scratch.display().to_string(), "/build"),
    ])
}

/// Every path of this machine that is in a file, by its beginnings.
pub fn paths_in(plan: &Plan, built: &Built) -> Result<Vec<String>> {
    let strings = read(Command::new("strings").arg("--all").arg(&built.program))?;
    let renamed = renamed(plan, &built.compiler)?;
    Ok(strings.lines().filter(|line| renamed.iter().any(|(from, _)| line.contains(from))).map(str::to_owned).collect())
}
