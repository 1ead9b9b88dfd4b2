//! What is inside a program, as a CycloneDX list (SBOM): what was compiled into it and what it was linked with, not what
//! the lock file has beside that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Plan, VERSION, binary::Built, sums::sum, write};
use crate::process::{cargo, read};

/// Writes it.
pub fn make(plan: &Plan, built: &Built, program: &Path) -> Result<()> {
    let mut metadata = cargo(&plan.workspace);
    let target = built.compiler.arch.target();
    metadata.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target]);
    let metadata: Value = serde_json::from_str(&read(&mut metadata)?).context("cargo metadata is no JSON")?;
    let sums = sums(&fs::read_to_string(plan.workspace.root.join("Cargo.lock")).context("cannot read Cargo.lock")?);
    let mut inside = built.packages.clone();
    inside.extend(of_kernel_part(&metadata));
    let mut components = crates(&metadata, &inside, &sums);
    components.extend(libraries(built, &components)?);
    let name = program.file_name().context("it is a file")?.to_string_lossy();
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": plan.time()?,
            "tools": { "components": [{ "type": "application", "name": "cargo xtask dist", "version": VERSION }] },
            "component": {
                "type": "application",
                "bom-ref": "tracer",
                "name": "tracer",
                "version": VERSION,
                "description": name,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "hashes": [{ "alg": "SHA-256", "content": sum(program)? }],
            },
        },
        "components": components,
        "dependencies": dependencies(&metadata, &inside),
    });
    write(&plan.folder, &format!("{name}.cdx.json"), format!("{list:#}\n"))?;
    Ok(())
}

/// The packages of the eBPF part, which is compiled for no architecture of cargo's: all but macros and what builds.
fn of_kernel_part(metadata: &Value) -> BTreeSet<String> {
    let packages = packages(metadata);
    let root = packages.iter().find(|(_, package)| package["name"] == "tracer-ebpf").map(|(id, _)| *id);
    let (mut seen, mut left) = (BTreeSet::new(), Vec::from_iter(root));
    while let Some(id) = left.pop() {
        let kinds = |id: &str| packages.get(id).map(|package| package["targets"].to_string()).unwrap_or_default();
        if kinds(id).contains("\"proc-macro\"") || !seen.insert(id.to_owned()) {
            continue;
        }
        left.extend(needed(metadata, id));
    }
    seen
}

fn packages(metadata: &Value) -> BTreeMap<&str, &Value> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.filter_map(|package| Some((package["id"].as_str()?, package))).collect()
}

/// What a package is linked with, as cargo has resolved it.
fn needed<'a>(metadata: &'a Value, id: &str) -> Vec<&'a str> {
    let mut nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let node = nodes.find(|node| node["id"] == id);
    let needed = node.and_then(|node| node["deps"].as_array()).into_iter().flatten();
    let is_linked = |needed: &&Value| {
        let mut kinds = needed["dep_kinds"].as_array().into_iter().flatten();
        kinds.any(|kind| kind["kind"].is_null())
    };
    needed.filter(is_linked).filter_map(|needed| needed["pkg"].as_str()).collect()
}

/// What the registry calls a package.
fn url(package: &Value) -> String {
    let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    // `+` is for what follows a version.
    format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"))
}

fn crates(metadata: &Value, inside: &BTreeSet<String>, sums: &BTreeMap<(String, String), String>) -> Vec<Value> {
    let packages = packages(metadata);
    let inside = inside.iter().filter_map(|id| packages.get(id.as_str()).copied());
    let mut crates: Vec<_> = inside
        .filter(|package| package["name"] != "tracer")
        .map(|package| {
            let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
            let mut component = json!({
                "type": "library",
                "bom-ref": url(package),
                "name": package["name"],
                "version": package["version"],
                "purl": url(package),
            });
            if let Some(licence) = package["license"].as_str() {
                // `/` is how `OR` was written once.
                component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
            }
            if let Some(sum) = sums.get(&(text("name"), text("version"))) {
                component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
            }
            component
        })
        .collect();
    crates.sort_by_key(|component| component["purl"].to_string());
    crates
}

/// The sums of what the registry hands out, by name and version, from the text of a lock file.
fn sums(lock: &str) -> BTreeMap<(String, String), String> {
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let field = |name: &str| {
                let value = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
                Some(value.trim_end_matches('"').to_owned())
            };
            Some(((field("name")?, field("version")?), field("checksum")?))
        })
        .collect()
}

/// What is linked beside crates: Rust's and C's standard libraries, and C code that a crate carries.
fn libraries(built: &Built, crates: &[Value]) -> Result<Vec<Value>> {
    let rustc = read(built.compiler.rustc().arg("--version"))?;
    let rust = rustc.split_whitespace().nth(1).context("rustc tells no version")?;
    let place = read(Command::new(built.compiler.linker()).arg("-print-file-name=libc.a"))?;
    let glibc = glibc(&fs::read(PathBuf::from(&place)).with_context(|| format!("cannot read {place}"))?);
    let library = |name: &str, version: &str, licence: &str| {
        let url = format!("pkg:generic/{name}@{}", version.replace('+', "%2B"));
        json!({
            "type": "library",
            "bom-ref": url,
            "name": name,
            "version": version,
            "purl": url,
            "licenses": [{ "expression": licence }],
        })
    };
    let mut libraries = vec![
        library("rust-std", rust, "MIT OR Apache-2.0"),
        library("glibc", &glibc.context("libc.a is not that of the GNU C library")?, "LGPL-2.1-or-later"),
    ];
    // zstd-sys names it: 2.0.0+zstd.1.5.7
    let zstd = crates.iter().find(|component| component["name"] == "zstd-sys");
    if let Some((_, version)) = zstd.and_then(|zstd| zstd["version"].as_str()?.split_once("+zstd.")) {
        libraries.push(library("zstd", version, "BSD-3-Clause OR GPL-2.0-only"));
    }
    Ok(libraries)
}

/// What `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.` calls itself, with its maker's number.
fn glibc(archive: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"GNU C Library (";
    let at = archive.windows(BANNER.len()).position(|window| window == BANNER)? + BANNER.len();
    let said: Vec<u8> = archive[at..].iter().copied().take_while(|&byte| byte != b')' && byte != b'\n').collect();
    Some(String::from_utf8_lossy(&said).split_whitespace().last()?.to_owned())
}

fn dependencies(metadata: &Value, inside: &BTreeSet<String>) -> Vec<Value> {
    let packages = packages(metadata);
    let name = |id: &str| {
        let package = packages.get(id)?;
        Some(if package["name"] == "tracer" { "tracer".to_owned() } else { url(package) })
    };
    let mut dependencies: Vec<_> = inside
        .iter()
        .filter_map(|id| {
            let on: BTreeSet<_> =
                needed(metadata, id).into_iter().filter(|id| inside.contains(*id)).filter_map(name).collect();
            Some(json!({ "ref": name(id)?, "dependsOn": on }))
        })
        .collect();
    dependencies.sort_by_key(|one| one["ref"].to_string());
    dependencies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_lock_file_says_is_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"12\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let sums = sums(lock);
        assert_eq!(sums.get(&("a".to_owned(), "1.0.0".to_owned())).map(String::as_str), Some("12"));
        assert_eq!(sums.len(), 1);
    }

    #[test]
    fn the_c_library_names_itself() {
        let said = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        assert_eq!(glibc(said).as_deref(), Some("2.36-9+deb12u14"));
        assert_eq!(glibc(b"musl"), None);
    }

    /// `build` is only there to build, `macro` runs in the compiler.
    #[test]
    fn only_what_is_linked_is_inside_the_kernel_part() {
        let package = |name: &str, kind: &str| json!({ "id": name, "name": name, "targets": [{ "kind": [kind] }] });
        let needs = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("tracer-ebpf", "bin"), package("lib", "lib"), package("macro", "proc-macro"),
                package("under-macro", "lib"), package("build", "lib"), package("other", "lib"),
            ],
            "resolve": { "nodes": [
                { "id": "tracer-ebpf", "deps": [needs("lib", Value::Null), needs("build", json!("build"))] },
                { "id": "lib", "deps": [needs("macro", Value::Null)] },
                { "id": "macro", "deps": [needs("under-macro", Value::Null)] },
            ] },
        });
        assert_eq!(of_kernel_part(&metadata), BTreeSet::from(["lib", "tracer-ebpf"].map(str::to_owned)));
    }
}
