//! The image in a daemon of docker's own, which has its files in a folder and leaves the machine's network alone.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    arch::Arch,
    dist::{Plan, VERSION, image},
    process::{on_path, read, run},
};

/// What docs/install.md gives it, so that it can trace. Machines that have given up a capability themselves refuse
/// `--privileged`.
const RIGHTS: [&str; 4] =
    ["--pid=host", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt=apparmor=unconfined"];
/// How long the daemon may take to answer.
const WITHIN: Duration = Duration::from_secs(60);

/// Loads the image and runs it: alone, and with what it needs to trace.
pub fn check(plan: &Plan, arch: Arch) -> Result<()> {
    if on_path("dockerd").is_none() {
        println!("check: the image is not loaded: there is no dockerd (package docker.io)");
        return Ok(());
    }
    let docker = Docker::start()?;
    let said = docker.run(&["load", "--input", &plan.folder.join(image::file(arch)).display().to_string()])?;
    ensure!(said.contains(&image::name(arch)), "docker has loaded: {said}");
    let name = image::name(arch);
    let alone = ["run", "--rm", "--network=none"];
    let said = docker.run(&[&alone[..], &[&name, "--version"]].concat())?;
    ensure!(said == format!("tracer {VERSION}"), "the image says: {said}");
    let tracing = [&alone[..], &RIGHTS, &[&name]].concat();
    docker.run(&[&tracing[..], &["doctor"]].concat())?;
    let said = docker.run(&[&tracing[..], &["demo"]].concat())?;
    ensure!(said.contains("[slow-stop]") || said.contains("[init-ignored-signal]"), "the demo says: {said}");
    println!("check: {}: docker loads the image, and `doctor` and `demo` run in it", arch.name());
    Ok(())
}

struct Docker {
    folder: TempDir,
    daemon: Child,
}

impl Docker {
    fn start() -> Result<Self> {
        // Not below the target directory: sockets have short names.
        let folder = TempDir::with_prefix("tracer-dist-").context("cannot create a folder for docker")?;
        let log = File::create(folder.path().join("log")).context("cannot create the daemon's log")?;
        let mut command = Command::new("dockerd");
        for (option, path) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "docker.pid")] {
            command.arg(option).arg(folder.path().join(path));
        }
        command.args(["--bridge=none", "--iptables=false", "--host", &host(folder.path())]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let docker = Self { daemon: command.spawn().context("cannot start dockerd")?, folder };
        let deadline = Instant::now() + WITHIN;
        while docker.run(&["version"]).is_err() {
            ensure!(Instant::now() < deadline, "dockerd does not answer; its log ends:\n{}", docker.last_words());
            thread::sleep(Duration::from_millis(100));
        }
        Ok(docker)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        read(Command::new("docker").args(["--host", &host(self.folder.path())]).args(words))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}/docker.sock", folder.display())
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = run(Command::new("kill").arg(self.daemon.id().to_string()));
        let _ = self.daemon.wait();
        // The control groups that its containers were in, of each hierarchy; none that another daemon uses is empty.
        let groups = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(groups).into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([groups.to_owned()]) {
            let _ = fs::remove_dir(hierarchy.join("docker"));
        }
    }
}
