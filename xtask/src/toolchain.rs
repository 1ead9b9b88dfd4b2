//! What `cargo xtask setup` found for compiling eBPF, and the one way to call it.
//!
//! `tracer/build.rs` includes this file too, so the real build, the trial build of
//! `setup` and clippy run with the same flags.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// Name of the file, in cargo's target directory, that holds a [`Toolchain`].
pub const FILE: &str = "bpf-toolchain.json";

/// The target triple of the eBPF part.
pub const TARGET: &str = "bpfel-unknown-none";

/// A variable with more flags for rustc, apart by 0x1f: what `cargo xtask dist` writes for this machine's paths.
pub const FLAGS: &str = "TRACER_EBPF_FLAGS";

/// Set by the cargo that runs us (or by the person's shell) and meant for the host's code.
/// Everything about registries, proxies and offline work stays.
const HOST_ONLY: [&str; 14] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_MAKEFLAGS",
    "CLIPPY_ARGS",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "RUSTC_BOOTSTRAP",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// A compiler and a linker that, together, were seen to build an eBPF program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Where it comes from: `rustup` or `debian`.
    pub way: String,
    /// The cargo to run, by path: no rustup proxy in between.
    pub cargo: PathBuf,
    /// The compiler that goes with it.
    pub rustc: PathBuf,
    /// bpf-linker.
    pub linker: PathBuf,
    /// `cargo-clippy` of the same toolchain, where there is one.
    pub clippy: Option<PathBuf>,
    /// Arguments for cargo that this way needs.
    pub cargo_args: Vec<String>,
    /// Variables that this way needs.
    pub env: BTreeMap<String, String>,
    /// What `rustc --version --verbose` said; setup looks again when it changes.
    pub rustc_version: String,
    /// What `bpf-linker --version` said; setup looks again when it changes.
    pub linker_version: String,
}

impl Toolchain {
    /// Reads the file's text; `None` when it is not what [`Self::to_json`] writes.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let get = |name: &str| json.get(name).and_then(text);
        Some(Self {
            way: get("way")?,
            cargo: get("cargo")?.into(),
            rustc: get("rustc")?.into(),
            linker: get("linker")?.into(),
            clippy: get("clippy").map(PathBuf::from),
            cargo_args: json.get("cargo_args")?.as_array()?.iter().map(text).collect::<Option<_>>()?,
            env: json
                .get("env")?
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.clone(), text(value)?)))
                .collect::<Option<_>>()?,
            rustc_version: get("rustc_version")?,
            linker_version: get("linker_version")?,
        })
    }

    /// The file's text.
    #[allow(dead_code, reason = "tracer/build.rs only reads")]
    pub fn to_json(&self) -> String {
        let Self { way, cargo, rustc, linker, clippy, cargo_args, env, rustc_version, linker_version } = self;
        let json = json!({
            "way": way, "cargo": cargo, "rustc": rustc, "linker": linker, "clippy": clippy,
            "cargo_args": cargo_args, "env": env,
            "rustc_version": rustc_version, "linker_version": linker_version,
        });
        format!("{json:#}\n")
    }

    /// `program` (cargo or cargo-clippy) with `task` for the eBPF target on a host of `arch`;
    /// to be completed with what to build and the target directory.
    pub fn command(&self, program: &Path, task: &str, arch: &str) -> Command {
        let mut flags = vec![
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            format!("-Clinker={}", self.linker.display()),
        ];
        flags.extend(env::var(FLAGS).ok().filter(|flags| !flags.is_empty()));
        let mut command = Command::new(program);
        for name in HOST_ONLY {
            command.env_remove(name);
        }
        command
            .env("CARGO", &self.cargo)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .envs(&self.env)
            .args([task, "--profile", "bpf", "--target", TARGET])
            .args(&self.cargo_args);
        command
    }
}
