//! Checks what `tracer` is linked with: allowed licences, from the registry, and no banned crate.
//!
//! What `cargo deny check licenses bans sources` does, by `cargo metadata`, in a second and without building a tool.
//! Advisories take a database from the internet: where cargo-deny is installed, lint asks it (deny.toml).

use std::{
    collections::{HashMap, HashSet},
    env,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    process::{cargo, on_path, read, run},
    workspace::Workspace,
};

/// Licences under which a static program may carry a crate without more than a notice.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Banned crates, and why.
const REFUSED: &[(&str, &str)] = &[
    ("openssl-sys", "engines are asked by their local sockets, without TLS"),
    ("rustls", "engines are asked by their local sockets, without TLS"),
    ("btf-rs", "LGPL: the kernel's types are read by source/btf.rs"),
    ("libbpf-sys", "the eBPF part is loaded by aya"),
];

/// Reports each crate that `tracer` must not be linked with.
///
/// # Errors
/// If there is one.
pub fn check(workspace: &Workspace) -> Result<()> {
    // Crates of other platforms need not be downloaded.
    let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut metadata = cargo(workspace);
    metadata.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    let metadata: Value = serde_json::from_str(&read(&mut metadata)?).context("cargo metadata is no JSON")?;
    let crates = linked(&metadata).context("cargo metadata does not know the package tracer")?;
    let faults: Vec<_> = crates.iter().flat_map(|package| faults(package)).collect();
    if !faults.is_empty() {
        bail!("tracer must not be linked with this:\n  {}", faults.join("\n  "));
    }
    println!("lint: the licences and sources of {} crates are fine", crates.len());
    if on_path("cargo-deny").is_some() {
        run(cargo(workspace).args(["deny", "check", "advisories"]))?;
    } else {
        println!("lint: advisories not looked up: cargo-deny is not installed");
    }
    Ok(())
}

/// `tracer` and what it needs to run or to be built, without what only its tests need.
fn linked(metadata: &Value) -> Option<Vec<&Value>> {
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let nodes: HashMap<_, _> = nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let packages = metadata["packages"].as_array()?;
    let root = packages.iter().find(|package| package["name"] == "tracer" && package["source"].is_null())?;
    let (mut seen, mut left) = (HashSet::new(), vec![root["id"].as_str()?]);
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        for needed in nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten() {
            let mut kinds = needed["dep_kinds"].as_array().into_iter().flatten();
            if kinds.any(|kind| kind["kind"] != "dev") {
                left.extend(needed["pkg"].as_str());
            }
        }
    }
    Some(packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| seen.contains(id))).collect())
}

fn faults(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let licence = package["license"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    if !is_allowed(licence) {
        let licence = if licence.is_empty() { "no licence that it names" } else { licence };
        faults.push(format!("{name}: {licence}"));
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        faults.push(format!("{name}: {why}"));
    }
    if package["source"].as_str().is_some_and(|source| !source.starts_with("registry+")) {
        faults.push(format!("{name}: it comes from {}, not from the registry", package["source"]));
    }
    faults
}

/// Whether an SPDX expression leaves a choice that is allowed. `/` is how `OR` was written once.
fn is_allowed(licence: &str) -> bool {
    let spaced = licence.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut words = &words[..];
    either(&mut words) == Some(true) && words.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut is_allowed = both(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        is_allowed |= both(words)?;
    }
    Some(is_allowed)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut is_allowed = one(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        is_allowed &= one(words)?;
    }
    Some(is_allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    let (licence, rest) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let is_allowed = either(words)?;
            let [")", rest @ ..] = *words else { return None };
            *words = rest;
            return Some(is_allowed);
        }
        [licence, "WITH", exception, rest @ ..] => (format!("{licence} WITH {exception}"), rest),
        [licence, rest @ ..] => ((*licence).to_owned(), rest),
        [] => return None,
    };
    *words = rest;
    Some(ALLOWED.contains(&licence.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{faults, is_allowed, linked};

    #[test]
    fn expressions_are_understood() {
        for (licence, want) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("GPL-3.0-only OR MIT", true),
            ("Unlicense/MIT", true),
            ("Apache-2.0 / MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("LGPL-2.1-or-later", false),
            ("MIT AND GPL-2.0-only", false),
            ("(MIT OR Apache-2.0) AND GPL-2.0-only", false),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(is_allowed(licence), want, "{licence}");
        }
    }

    #[test]
    fn what_only_tests_need_is_not_linked() {
        let package = |name: &str, source: Option<&str>, licence: &str| json!({"id": name, "name": name, "source": source, "license": licence});
        let dep = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let registry = Some("registry+index");
        let metadata = json!({
            "packages": [
                package("tracer", None, "MIT"), package("a", registry, "LGPL-2.1-or-later"), package("b", Some("git+x"), "MIT"),
                package("btf-rs", registry, "MIT"), package("d", registry, "GPL-2.0-only"),
            ],
            "resolve": {"nodes": [
                {"id": "tracer", "deps": [dep("a", None), dep("d", Some("dev"))]},
                {"id": "a", "deps": [dep("b", Some("build")), dep("a", None)]},
                {"id": "b", "deps": [dep("btf-rs", None)]},
            ]},
        });
        let told: Vec<_> = linked(&metadata).unwrap().into_iter().flat_map(faults).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, word) in told.iter().zip(["a: LGPL", "b: it comes from", "btf-rs: LGPL"]) {
            assert!(told.starts_with(word), "{told}");
        }
    }
}
