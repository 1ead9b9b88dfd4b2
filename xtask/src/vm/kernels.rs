//! Debian's kernels: the newest cloud kernel of a series, by apt.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    apt::{self, Apt},
    arch::Arch,
};

/// Where the series of the matrix are.
const SUITES: [&str; 6] = ["bookworm", "bookworm-security", "bullseye", "bullseye-security", "trixie-backports", "sid"];

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// As it is asked for: `6.12`.
    pub series: String,
    /// The package's version.
    pub version: String,
    /// The compressed image.
    pub vmlinuz: PathBuf,
}

/// Finds the newest of each series; what is there already is not downloaded again.
pub fn fetch(folder: &Path, arch: Arch, series: &[String]) -> Result<Vec<Kernel>> {
    let flavour = format!("-cloud-{}", arch.debian());
    let apt = Apt::new(folder.join("apt"), Some(apt::sources(&SUITES, arch)?), arch)?;
    apt.update()?;
    let packages = apt.search(&format!("^linux-(image|binary)-[0-9].*{flavour}$"))?;
    series
        .iter()
        .map(|series| {
            let package =
                newest(series, &flavour, &packages).with_context(|| format!("apt knows no cloud kernel {series}"))?;
            let version = apt.version(package)?;
            let folder = folder.join("kernels").join(format!("{package}_{version}"));
            let vmlinuz = folder.join("vmlinuz");
            if !vmlinuz.exists() {
                println!("vm: downloading {package} {version}");
                unpack(&apt, arch, package, &folder).with_context(|| format!("kernel {series}"))?;
            }
            Ok(Kernel { series: series.clone(), version, vmlinuz })
        })
        .collect()
}

/// The package that holds the newest image. Newer ones have it in `linux-binary`, and their
/// `linux-image` is empty.
fn newest<'a>(series: &str, flavour: &str, packages: &'a [String]) -> Option<&'a str> {
    let key = |name: &str| {
        let (is_binary, rest) = match name.strip_prefix("linux-binary-") {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix("linux-image-")?),
        };
        let release = rest.strip_suffix(flavour)?;
        release.strip_prefix(series)?.strip_prefix('.')?;
        let numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
        Some((numbers.collect::<Vec<_>>(), is_binary))
    };
    packages.iter().filter_map(|name| Some((key(name)?, name.as_str()))).max().map(|(_, name)| name)
}

fn unpack(apt: &Apt, arch: Arch, package: &str, folder: &Path) -> Result<()> {
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked).with_context(|| format!("cannot create {}", unpacked.display()))?;
    apt.unpack(&format!("{package}:{}", arch.debian()), &unpacked)?;
    let below =
        |path: &str| fs::read_dir(unpacked.join(path)).into_iter().flatten().flatten().map(|entry| entry.path());
    let image = below("boot")
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
        .or_else(|| below("usr/lib/modules").map(|path| path.join("vmlinuz")).find(|path| path.exists()))
        .ok_or_else(|| anyhow!("there is no vmlinuz in {package}"))?;
    fs::rename(&image, folder.join("vmlinuz")).with_context(|| format!("cannot move {}", image.display()))?;
    // Modules, some hundred MB that nothing here loads.
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_series_is_taken() {
        let packages = [
            "linux-image-cloud-amd64",
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-0.deb11.58-cloud-amd64",
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(newest("6.1", "-cloud-amd64", &packages), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest("6.12", "-cloud-amd64", &packages), Some("linux-image-6.12.117+deb12-cloud-amd64"));
        assert_eq!(newest("7.3", "-cloud-amd64", &packages), Some("linux-binary-7.3.4+deb13-cloud-amd64"));
        assert_eq!(newest("5.10", "-cloud-amd64", &packages), None);
    }
}
