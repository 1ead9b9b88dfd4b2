//! apt with lists and caches of its own: the machine's are neither written nor needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    arch::Arch,
    process::{read, run},
};

/// How old package lists may be.
const FRESH: Duration = Duration::from_hours(24);

/// A private configuration, in a folder.
pub struct Apt {
    folder: PathBuf,
    sources: Option<String>,
    arch: Arch,
}

impl Apt {
    /// With the text of a sources list, or with the machine's own sources; for packages of that architecture.
    pub fn new(folder: PathBuf, sources: Option<String>, arch: Arch) -> Result<Self> {
        for below in ["state/lists/partial", "cache/archives/partial"] {
            let below = folder.join(below);
            fs::create_dir_all(&below).with_context(|| format!("cannot create {}", below.display()))?;
        }
        let apt = Self { folder, sources, arch };
        if let Some(sources) = &apt.sources {
            let list = apt.folder.join("sources.list");
            if fs::read_to_string(&list).ok().as_ref() != Some(sources) {
                fs::write(&list, sources).with_context(|| format!("cannot write {}", list.display()))?;
                // Lists of other sources are not fresh.
                let _ = fs::remove_file(apt.stamp());
            }
        }
        Ok(apt)
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("updated")
    }

    /// Fetches the package lists, unless that was done within a day.
    pub fn update(&self) -> Result<()> {
        let age = fs::metadata(self.stamp()).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age < FRESH) {
            return Ok(());
        }
        println!("apt-get update, in {}", self.folder.display());
        // A list that cannot be had is an error, not a warning.
        run(self.command("apt-get").args(["-qq", "-o", "APT::Update::Error-Mode=any", "update"]))?;
        fs::write(self.stamp(), "").with_context(|| format!("cannot write {}", self.stamp().display()))
    }

    /// Names of packages that match a regular expression.
    pub fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let said = read(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        Ok(said.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// The version that would be downloaded.
    pub fn version(&self, package: &str) -> Result<String> {
        let said = read(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = said.lines().find_map(|line| line.strip_prefix("Version: "));
        version.map(str::to_owned).with_context(|| format!("apt knows no version of {package}"))
    }

    /// Downloads one package and unpacks it.
    pub fn unpack(&self, package: &str, to: &Path) -> Result<()> {
        let archives = self.empty_archives()?;
        run(self.command("apt-get").args(["-qq", "download", package]).current_dir(&archives))?;
        unpack_all(&archives, to)
    }

    /// Downloads packages with all of what they need and the machine has not, and unpacks them.
    pub fn unpack_with_dependencies(&self, packages: &[&str], to: &Path) -> Result<()> {
        let archives = self.empty_archives()?;
        // It stops before anything is installed, so no lock of the machine's is needed.
        run(self
            .command("apt-get")
            .args(["-qq", "-y", "-o", "Debug::NoLocking=1", "install"])
            .args(["--download-only", "--reinstall", "--no-install-recommends"])
            .args(packages))?;
        unpack_all(&archives, to)
    }

    fn empty_archives(&self) -> Result<PathBuf> {
        let archives = self.folder.join("cache/archives");
        for file in debs(&archives)? {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        Ok(archives)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set("Dir::State", &self.folder.join("state"));
        set("Dir::State::status", Path::new("/var/lib/dpkg/status"));
        set("Dir::Cache", &self.folder.join("cache"));
        if self.sources.is_some() {
            set("Dir::Etc::sourcelist", &self.folder.join("sources.list"));
            set("Dir::Etc::sourceparts", Path::new("/dev/null"));
        }
        if Arch::host().is_ok_and(|host| host != self.arch) {
            // Beside this machine's, which dpkg knows.
            for arch in Arch::ALL {
                command.arg("-o").arg(format!("APT::Architectures::={}", arch.debian()));
            }
        }
        command.args(["-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]);
        command.args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"]);
        command
    }
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}

fn unpack_all(archives: &Path, to: &Path) -> Result<()> {
    for file in debs(archives)? {
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(to))?;
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// A sources list for `suites` and an architecture, from the archives that the machine's own sources name.
pub fn sources(suites: &[&str], arch: Arch) -> Result<String> {
    let mut texts = vec![fs::read_to_string("/etc/apt/sources.list").unwrap_or_default()];
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "list" || extension == "sources") {
            texts.push(fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
    sources_from(&texts.join("\n"), suites, arch)
}

fn sources_from(own: &str, suites: &[&str], arch: Arch) -> Result<String> {
    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let words = || own.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    let archive = |name: &str| {
        let is_it = |word: &&str| word.contains("://") && word.trim_end_matches('/').ends_with(name);
        words().find(is_it).with_context(|| format!("apt's sources name no archive that ends in {name}"))
    };
    let mut list = String::new();
    for suite in suites {
        let uri = archive(if suite.ends_with("-security") { "/debian-security" } else { "/debian" })?;
        list += &format!("deb [arch={} signed-by={KEYRING}] {uri} {suite} main\n", arch.debian());
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_those_of_the_machine() {
        const SIGNED: &str = "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        let wanted = format!("{SIGNED} http://a/debian sid main\n{SIGNED} http://b/debian-security x-security main\n");
        let new = "# http://old/debian\nTypes: deb\nURIs: http://a/debian\n\nURIs: http://b/debian-security\n";
        let old = "deb http://a/debian bookworm main\ndeb [arch=amd64] http://b/debian-security y-security main\n";
        for own in [new, old] {
            assert_eq!(sources_from(own, &["sid", "x-security"], Arch::Arm).unwrap(), wanted);
        }
        assert!(sources_from("", &["sid"], Arch::X86).is_err());
    }
}
