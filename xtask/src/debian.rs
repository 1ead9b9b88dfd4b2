//! Debian packages: which are missing, and installing them without side effects.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::{as_root, on_path, read, status};

/// apt-get with a policy that keeps the packages' daemons from being started.
/// The policy is there only meanwhile, and only where the machine has none of its own.
const APT_GET: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
"#;

/// The packages of `wanted` that are not installed.
pub fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(wanted)
        .stderr(Stdio::null())
        .output()
        .context("cannot start `dpkg-query`")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(wanted.iter().filter(|name| !listed.lines().any(|line| line == format!("{name} installed"))).copied().collect())
}

/// Whether this machine installs software by apt-get.
pub fn is_debian() -> bool {
    on_path("apt-get").is_some() && on_path("dpkg-query").is_some()
}

/// Installs those of `wanted` that are missing; nothing is ever removed for it.
pub fn install(wanted: &[&str]) -> Result<()> {
    let missing = missing(wanted)?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut updated = false;
    if !missing.iter().all(|name| has_candidate(name)) {
        apt_get(&["update"])?;
        updated = true;
    }
    let unknown: Vec<_> = missing.iter().filter(|name| !has_candidate(name)).copied().collect();
    if !unknown.is_empty() {
        bail!("apt knows no package {}", unknown.join(", "));
    }
    let mut words = vec!["install", "--no-install-recommends", "--no-remove"];
    words.extend(&missing);
    match apt_get(&words) {
        // Lists that are too old name files that are gone.
        Err(_) if !updated => apt_get(&["update"]).and_then(|()| apt_get(&words)),
        result => result,
    }
}

fn has_candidate(package: &str) -> bool {
    read(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C"))
        .is_ok_and(|said| said.contains("Candidate: ") && !said.contains("Candidate: (none)"))
}

fn apt_get(words: &[&str]) -> Result<()> {
    let line = format!("apt-get {}", words.join(" "));
    println!("setup: {line}");
    let mut command = as_root("sh").with_context(|| format!("`{line}`"))?;
    command.args(["-c", APT_GET, "apt-get"]).args(words);
    // The list of what apt did is long; its complaints are on standard error.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if !status(&mut command)?.success() {
        bail!("`{line}` failed");
    }
    Ok(())
}
