//! The container image: the program and nothing else, as an OCI layout in one archive.
//!
//! The archive also has the `manifest.json` of `docker save`, so that every version of `docker load` takes it. No daemon
//! is needed to make it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Plan, VERSION, empty, pages::compress, sums::sum, write};
use crate::{arch::Arch, process::run};

/// Where the program is inside.
pub const PROGRAM: &str = "/usr/bin/tracer";

/// The name under which it is loaded.
pub fn name(arch: Arch) -> String {
    format!("tracer:{VERSION}-{}", arch.debian())
}

/// The file.
pub fn file(arch: Arch) -> String {
    format!("tracer-{VERSION}-image-{}.tar", arch.debian())
}

/// Makes it.
pub fn make(plan: &Plan, arch: Arch, program: &Path) -> Result<()> {
    let scratch = plan.scratch.join("image").join(arch.debian());
    let (tree, layout) = (scratch.join("tree"), scratch.join("layout"));
    empty(&tree)?;
    empty(&layout)?;
    let inside = write(&tree, PROGRAM.trim_start_matches('/'), "")?;
    fs::copy(program, &inside).with_context(|| format!("cannot write {}", inside.display()))?;
    // tar keeps whether it can be run.
    run(Command::new("chmod").arg("755").arg(&inside))?;
    let layer = scratch.join("layer.tar");
    plan.tar(&tree, &layer)?;
    let unpacked = digest(&layer)?;
    compress(&layer)?;

    let layer = blob(&layout, &fs::read(scratch.join("layer.tar.gz")).context("cannot read the layer")?)?;
    let config = blob(&layout, config(arch, &plan.time()?, &unpacked).to_string())?;
    let manifest = blob(&layout, manifest(&config, &layer).to_string())?;
    write(&layout, "oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    write(&layout, "index.json", index(arch, &manifest).to_string())?;
    let docker = json!([{ "Config": config.path(), "RepoTags": [name(arch)], "Layers": [layer.path()] }]);
    write(&layout, "manifest.json", docker.to_string())?;
    plan.tar(&layout, &plan.folder.join(file(arch)))
}

/// A file that goes by its sum.
struct Blob {
    sum: String,
    size: usize,
}

impl Blob {
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sum)
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", self.sum),
            "size": self.size,
        })
    }
}

fn blob(layout: &Path, content: impl AsRef<[u8]>) -> Result<Blob> {
    let content = content.as_ref();
    let file = write(layout, "blobs/sha256/new", content)?;
    let blob = Blob { sum: sum(&file)?, size: content.len() };
    let place = layout.join(blob.path());
    fs::rename(&file, &place).with_context(|| format!("cannot move {}", file.display()))?;
    Ok(blob)
}

fn digest(file: &Path) -> Result<String> {
    Ok(format!("sha256:{}", sum(file)?))
}

fn config(arch: Arch, time: &str, layer: &str) -> Value {
    json!({
        "created": time,
        "architecture": arch.debian(),
        "os": "linux",
        "config": {
            "Entrypoint": [PROGRAM],
            "Env": ["PATH=/usr/bin"],
            "Labels": {
                "org.opencontainers.image.title": "tracer",
                "org.opencontainers.image.version": VERSION,
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created": time, "created_by": "cargo xtask dist" }],
    })
}

fn manifest(config: &Blob, layer: &Blob) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("config.v1+json"),
        "layers": [layer.descriptor("layer.v1.tar+gzip")],
    })
}

fn index(arch: Arch, manifest: &Blob) -> Value {
    let mut manifest = manifest.descriptor("manifest.v1+json");
    manifest["platform"] = json!({ "architecture": arch.debian(), "os": "linux" });
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": VERSION, "io.containerd.image.name": format!("docker.io/library/{}", name(arch)) });
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest] })
}
