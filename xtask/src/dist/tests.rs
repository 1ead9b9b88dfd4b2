//! Packages and images of a program that only has the right name: made twice, in different folders.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::process::on_path;

/// A folder in which everything is made, and what was made.
struct Made {
    folder: TempDir,
    plan: Plan,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let workspace = Workspace { root, target: folder.path().join("target") };
        let (dist, scratch) = (folder.path().join("dist"), folder.path().join("scratch"));
        empty(&dist).unwrap();
        let plan = Plan { workspace, folder: dist, scratch, epoch: 1_700_000_000 };
        Self { folder, plan }
    }

    fn program(&self) -> PathBuf {
        let program = write(self.folder.path(), "program", "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        program
    }

    fn package(&self) -> PathBuf {
        let pages = self.folder.path().join("pages");
        write(&pages, "usr/share/man/man1/tracer.1.gz", "page").unwrap();
        write(&pages, "usr/share/bash-completion/completions/tracer", "words").unwrap();
        deb::make(&self.plan, Arch::Arm, &self.program(), &pages).unwrap();
        self.plan.folder.join(deb::file(Arch::Arm))
    }

    fn image(&self) -> PathBuf {
        image::make(&self.plan, Arch::Arm, &self.program()).unwrap();
        self.plan.folder.join(image::file(Arch::Arm))
    }
}

fn said(program: &str, arguments: &[&str], file: &Path) -> String {
    read(Command::new(program).args(arguments).arg(file)).unwrap()
}

#[test]
fn a_package_is_the_same_wherever_it_is_made() {
    if on_path("dpkg-deb").is_none() {
        return;
    }
    let (one, other) = (Made::new(), Made::new());
    let package = one.package();
    assert_eq!(fs::read(&package).unwrap(), fs::read(other.package()).unwrap());
    let listed = said("dpkg-deb", &["--contents"], &package);
    for place in deb::PLACES {
        let line = listed.lines().find(|line| line.ends_with(&format!(" ./{place}")));
        let line = line.unwrap_or_else(|| panic!("no {place} in {listed}"));
        let mode = if place == "usr/bin/tracer" { "-rwxr-xr-x" } else { "-rw-r--r--" };
        assert!(line.starts_with(&format!("{mode} root/root ")) && line.contains("2023-11-14"), "{line}");
    }
    let fields = said("dpkg-deb", &["--field"], &package);
    assert!(fields.contains(&format!("Version: {VERSION}")) && fields.contains("Architecture: arm64"), "{fields}");
    assert!(!fields.contains("Depends"), "it needs nothing");
}

#[test]
fn an_image_is_the_same_wherever_it_is_made_and_names_what_it_holds() {
    let (one, other) = (Made::new(), Made::new());
    let image = one.image();
    assert_eq!(fs::read(&image).unwrap(), fs::read(other.image()).unwrap());
    let unpacked = one.folder.path().join("unpacked");
    empty(&unpacked).unwrap();
    run(Command::new("tar").arg("--extract").arg("--file").arg(&image).arg("--directory").arg(&unpacked)).unwrap();
    let json = |path: &str| -> Value { serde_json::from_slice(&fs::read(unpacked.join(path)).unwrap()).unwrap() };
    let blob = |digest: &Value| format!("blobs/sha256/{}", digest.as_str().unwrap().trim_start_matches("sha256:"));
    for name in names(&unpacked.join("blobs/sha256")).unwrap() {
        assert_eq!(sums::sum(&unpacked.join("blobs/sha256").join(&name)).unwrap(), name);
    }
    let manifest = json(&blob(&json("index.json")["manifests"][0]["digest"]));
    let docker = json("manifest.json");
    assert_eq!(docker[0]["Config"], blob(&manifest["config"]["digest"]));
    assert_eq!(docker[0]["Layers"][0], blob(&manifest["layers"][0]["digest"]));
    let layer = said(
        "tar",
        &["--list", "--verbose", "--gzip", "--file"],
        &unpacked.join(blob(&manifest["layers"][0]["digest"])),
    );
    let program = layer.lines().last().unwrap();
    assert!(program.starts_with("-rwxr-xr-x 0/0 ") && program.ends_with(" usr/bin/tracer"), "{layer}");
    assert_eq!(json(&blob(&manifest["config"]["digest"]))["architecture"], "arm64");
}
