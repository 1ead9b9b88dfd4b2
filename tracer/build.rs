//! Compiles the eBPF part to `$OUT_DIR/tracer.bpf.o`, by the toolchain that `cargo xtask setup` found.
//!
//! Where none was set up, or with `TRACER_EBPF=skip`, the object is an empty file and
//! `TRACER_EBPF_MISSING` holds the reason, so that `cargo check` and editors need nothing. A build for use
//! (`cargo install`) fails instead, as what it installed could not trace.

#![expect(clippy::disallowed_methods, reason = "the files are those of the one who builds")]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;
use toolchain::{FILE, TARGET, Toolchain};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match object() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn object() -> Result<()> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let object = out_dir.join("tracer.bpf.o");
    println!("cargo::rerun-if-env-changed=TRACER_EBPF");
    println!("cargo::rerun-if-env-changed={}", toolchain::FLAGS);
    for source in ["build.rs", "../tracer-ebpf", "../tracer-common", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={source}");
    }

    let missing = if env::var("TRACER_EBPF").is_ok_and(|value| value == "skip") {
        "TRACER_EBPF=skip was set when tracer was built"
    } else if let Some(toolchain) = toolchain(&out_dir)? {
        build(&toolchain, &out_dir.join("bpf"), &object)?;
        ""
    } else if variable("PROFILE")? == "release" {
        return Err("no eBPF toolchain is set up for this build: run `cargo xtask setup` in the checkout, then this \
                    command again"
            .into());
    } else {
        "no eBPF toolchain was set up when tracer was built: build it by `cargo xtask build`"
    };
    if !missing.is_empty() {
        fs::write(&object, "")?;
    }
    println!("cargo::rustc-env=TRACER_EBPF_MISSING={missing}");
    Ok(())
}

/// What setup left in the target directory, which is some parent of `OUT_DIR`.
fn toolchain(out_dir: &Path) -> Result<Option<Toolchain>> {
    let here = |name: &str| out_dir.ancestors().skip(1).map(|dir| dir.join(name)).find(|file| file.exists());
    let Some(file) = here(FILE) else {
        // cargo can only watch a file that exists: an empty one stands for "not set up".
        if let Some(tag) = here("CACHEDIR.TAG") {
            let file = tag.with_file_name(FILE);
            fs::write(&file, "")?;
            println!("cargo::rerun-if-changed={}", file.display());
        }
        return Ok(None);
    };
    println!("cargo::rerun-if-changed={}", file.display());
    let text = fs::read(&file)?;
    if text.is_empty() {
        return Ok(None);
    }
    let toolchain = Toolchain::from_json(&text);
    Ok(Some(toolchain.ok_or_else(|| format!("{} is broken: run `cargo xtask setup`", file.display()))?))
}

/// The compiler's messages go to standard error, which cargo shows when this fails.
fn build(toolchain: &Toolchain, target_dir: &Path, object: &Path) -> Result<()> {
    // aya names architectures as rustc does.
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let mut command = toolchain.command(&toolchain.cargo, "build", &arch);
    command
        .current_dir("..")
        .args(["--package", "tracer-ebpf", "--bin", "tracer-ebpf", "--target-dir"])
        .arg(target_dir);
    let status = command
        .status()
        .map_err(|error| format!("cannot start `{}`: {error}: run `cargo xtask setup`", toolchain.cargo.display()))?;
    if !status.success() {
        return Err(format!("the eBPF part does not compile ({status}); rustc's messages are above").into());
    }
    let built = target_dir.join(TARGET).join("bpf/tracer-ebpf");
    let whole = fs::read(&built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    let stripped = without_dwarf(&whole).map_err(|error| format!("cannot strip {}: {error}", built.display()))?;
    fs::write(object, stripped).map_err(|error| format!("cannot write {}: {error}", object.display()))?;
    Ok(())
}

/// The object without the debug information that bpf-linker has made BTF of: it is most of the object, and nothing reads
/// it in a running program.
fn without_dwarf(object: &[u8]) -> std::result::Result<Vec<u8>, object::build::Error> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        section.delete = [&b".debug_"[..], b".rel.debug_"].iter().any(|prefix| section.name.starts_with(prefix));
    }
    // LLVM puts the names of sections into the table of symbols' names, and the builder wants one for each.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
