//! Whether a toolchain is fit for use: it builds the smallest eBPF program.
//!
//! Version numbers are not enough: bpf-linker does not state its LLVM, and an LLVM older than the compiler's fails only
//! on a real build.

use std::{env, fs, path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{process::shown, toolchain::Toolchain};

const MANIFEST: &str = r#"
[package]
name = "trial"
edition = "2024"
[[bin]]
name = "trial"
path = "main.rs"
[profile.bpf]
inherits = "release"
lto = true
codegen-units = 1
panic = "abort"
[workspace]
"#;

const PROGRAM: &str = r#"
#![no_std]
#![no_main]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint")]
extern "C" fn trial() -> i32 { 0 }
"#;

/// Builds it, in a folder of its own below `target` that is removed afterwards.
pub fn build(toolchain: &Toolchain, target: &Path) -> Result<()> {
    let folder = target.join("bpf-trial");
    let result = build_in(toolchain, &folder);
    // A folder that stays harms nobody: the next trial writes over it.
    let _ = fs::remove_dir_all(&folder);
    result
}

fn build_in(toolchain: &Toolchain, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(folder.join("Cargo.toml"), MANIFEST))
        .and_then(|()| fs::write(folder.join("main.rs"), PROGRAM))
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    let mut command = toolchain.command(&toolchain.cargo, "build", env::consts::ARCH);
    command.args(["--quiet", "--color", "never", "--target-dir", "target"]).current_dir(folder).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // The linker's own word, if it had one, tells more than rustc's.
        let line_with = |word| said.lines().find(|line| line.contains(word));
        let why = line_with("ERROR").or_else(|| line_with("error")).unwrap_or("no message");
        bail!("a trial build failed: {}", why.trim());
    }
    Ok(())
}
