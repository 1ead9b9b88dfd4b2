//! The Debian package: the program, its pages, and a service that is neither enabled nor started.
//!
//! By `dpkg-deb` alone. A program that is linked statically depends on nothing, so there is nothing to work out.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{Plan, VERSION, empty, pages::compress, write};
use crate::{
    arch::Arch,
    process::{read, run},
};

/// Files of `packaging/`, and where they go.
const FILES: [(&str, &str); 6] = [
    ("tracer.service", "usr/lib/systemd/system/tracer.service"),
    ("tracer.toml", "etc/tracer/tracer.toml"),
    ("tracer.sysusers", "usr/lib/sysusers.d/tracer.conf"),
    ("prometheus/tracer.rules.yml", "usr/share/doc/tracer/examples/tracer.rules.yml"),
    ("prometheus/tracer.test.yml", "usr/share/doc/tracer/examples/tracer.test.yml"),
    ("grafana/tracer.json", "usr/share/doc/tracer/examples/grafana.json"),
];
/// Scripts of `packaging/` that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What it installs, among other things.
pub const PLACES: [&str; 6] = [
    "usr/bin/tracer",
    "usr/share/man/man1/tracer.1.gz",
    "usr/share/bash-completion/completions/tracer",
    "usr/share/doc/tracer/copyright",
    FILES[0].1,
    FILES[1].1,
];

/// The file.
pub fn file(arch: Arch) -> String {
    format!("tracer_{VERSION}_{}.deb", arch.debian())
}

/// Makes it.
pub fn make(plan: &Plan, arch: Arch, program: &Path, pages: &Path) -> Result<()> {
    let root = &plan.workspace.root;
    let tree = plan.scratch.join("deb").join(arch.debian());
    empty(&tree)?;
    run(Command::new("cp").arg("-r").arg(pages.join("usr")).arg(&tree))?;
    let from = |path: &str| fs::read(root.join(path)).with_context(|| format!("cannot read {path}"));
    let inside = write(&tree, "usr/bin/tracer", "")?;
    fs::copy(program, &inside).with_context(|| format!("cannot write {}", inside.display()))?;
    for (name, place) in FILES {
        write(&tree, place, from(&format!("packaging/{name}"))?)?;
    }
    write(&tree, "usr/share/doc/tracer/copyright", copyright(&from("LICENSE-MIT")?))?;
    compress(&write(&tree, "usr/share/doc/tracer/changelog", from("CHANGELOG.md")?)?)?;
    // What dpkg keeps when it was edited.
    write(&tree, "DEBIAN/conffiles", "/etc/tracer/tracer.toml\n")?;
    for script in SCRIPTS {
        write(&tree, &format!("DEBIAN/{script}"), from(&format!("packaging/{script}"))?)?;
    }
    write(&tree, "DEBIAN/control", control(arch, size(&tree)?))?;
    permissions(&tree)?;
    run(Command::new("dpkg-deb")
        // Its times are the commit's then, or older.
        .env("SOURCE_DATE_EPOCH", plan.epoch.to_string())
        // Several threads split what they pack by how many they are.
        .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
        .arg(&tree)
        .arg(plan.folder.join(file(arch)))
        .stdout(Stdio::null()))
}

/// Whose it is, and under which conditions: Debian has the text of one licence itself.
fn copyright(mit: &[u8]) -> Vec<u8> {
    let own = "tracer may be used under the MIT licence, which follows, or the Apache licence 2.0, which is in\n\
               /usr/share/common-licenses/Apache-2.0. The eBPF part is also under the GPL (version 2), which is in\n\
               /usr/share/common-licenses/GPL-2. Other software in the program, and its licences, are listed beside\n\
               the package, in a file whose name ends in .cdx.json.\n\n";
    [own.as_bytes(), mit].concat()
}

/// What the package says of itself, with its size in KiB.
fn control(arch: Arch, size: u64) -> String {
    format!(
        "Package: tracer\n\
         Version: {VERSION}\n\
         Architecture: {}\n\
         Maintainer: The authors of tracer <tracer@localhost>\n\
         Installed-Size: {size}\n\
         Section: admin\n\
         Priority: optional\n\
         Description: says what really happens to signals and to children to be reaped\n \
          It watches the kernel's decisions with eBPF, keeps the process tree of every\n \
          pid namespace, and reports what went wrong, why, and how to fix it: stops of\n \
          containers that take ten seconds, zombies, processes that were killed.\n",
        arch.debian()
    )
}

/// The KiB of a tree, counted as Debian does: each file by itself.
fn size(tree: &Path) -> Result<u64> {
    let sizes = read(Command::new("find").arg(tree).args(["-type", "f", "-printf", "%s\\n"]))?;
    Ok(sizes.lines().filter_map(|size| size.parse::<u64>().ok()).map(|size| size.div_ceil(1024)).sum())
}

/// Those of Debian, whatever the umask is here.
fn permissions(tree: &Path) -> Result<()> {
    run(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(tree))?;
    let programs = SCRIPTS.map(|script| tree.join("DEBIAN").join(script));
    run(Command::new("chmod").arg("755").arg(tree.join("usr/bin/tracer")).args(programs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_says_of_itself_is_lines_of_fields() {
        let control = control(Arch::Arm, 7);
        assert!(control.contains("\nArchitecture: arm64\n") && control.contains("\nInstalled-Size: 7\n"), "{control}");
        assert!(control.lines().all(|line| line.starts_with(' ') || line.contains(": ")), "{control}");
        assert!(control.ends_with('\n'));
    }
}
