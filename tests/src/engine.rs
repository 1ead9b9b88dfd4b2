//! Real container engines for a test: their daemons and stores in a directory of their own, the
//! machine's network untouched, and nothing left behind.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, umount2},
    sys::wait::{WaitPidFlag, waitpid},
    unistd::Pid,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tracer::programs::is_watcher;

use crate::stage::kill;

/// The image that all containers are made of: a static busybox.
pub const IMAGE: &str = "small:1";
/// The namespace that a test uses in containerd, which is a control group as well.
pub const CONTAINERD_NAMESPACE: &str = "tracer-tests";
/// The programs of the image.
const PROGRAMS: [&str; 8] = ["sh", "sleep", "true", "cat", "kill", "ps", "echo", "awk"];
/// How long an engine may take for anything, on a machine under load.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs a command to its end, which must be a good one; what it printed, without blanks around it.
fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A directory with what is in the image.
pub fn root_file_system(at: &Path) -> PathBuf {
    let root = at.join("rootfs");
    for directory in ["bin", "proc", "dev", "tmp", "sys"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for program in PROGRAMS {
        symlink("busybox", root.join("bin").join(program)).expect("a link");
    }
    root
}

/// The same as an archive.
fn archive(at: &Path) -> PathBuf {
    let archive = at.join("image.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(root_file_system(at)).arg("-cf").arg(&archive).arg(".");
    output(command);
    archive
}

/// An engine with a client like docker's.
pub trait Engine {
    /// Its client, with these arguments, that has not been started.
    fn command(&self, arguments: &[&str]) -> Command;

    /// What a container gets so that it can start on a machine with small limits.
    fn limits(&self) -> &[&str];

    /// Runs the client to its end; what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let said = output(self.command(arguments));
        reap_watchers();
        said
    }

    /// Starts a container that stays, without a network; the pid of its first process on the host.
    fn start_container(&self, name: &str, arguments: &[&str]) -> i32 {
        self.run(&[&["run", "-d", "--network", "none", "--name", name], self.limits(), arguments].concat());
        self.run(&["inspect", "-f", "{{.State.Pid}}", name]).parse().expect("a pid")
    }
}

impl Engine for Docker {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(arguments).stdin(Stdio::null());
        command
    }

    fn limits(&self) -> &[&str] {
        &[]
    }
}

impl Engine for Podman {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        for (option, path) in [("--root", "root"), ("--runroot", "run")] {
            command.arg(option).arg(self.directory.path().join(path));
        }
        // crun refuses hybrid hierarchies of control groups.
        command.args(["--cgroup-manager=cgroupfs", "--runtime", "runc"]).args(arguments).stdin(Stdio::null());
        command
    }

    fn limits(&self) -> &[&str] {
        // Its defaults are above what such a machine gives.
        &["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    }
}

/// A dockerd.
pub struct Docker {
    directory: TempDir,
    daemon: Child,
}

impl Docker {
    /// Starts one, with [`IMAGE`] in its store.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-docker-").tempdir().expect("a temporary directory");
        let log = fs::File::create(directory.path().join("log")).expect("a file");
        let mut command = Command::new("dockerd");
        for (option, path) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "docker.pid")] {
            command.arg(option).arg(directory.path().join(path));
        }
        command.args(["--bridge=none", "--iptables=false", "--host", &host(directory.path())]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let docker = Self { directory, daemon };
        let deadline = Instant::now() + WITHIN;
        while !docker.command(&["version"]).stderr(Stdio::null()).output().is_ok_and(|output| output.status.success()) {
            assert!(Instant::now() < deadline, "dockerd does not answer: {}", docker.log());
            thread::sleep(Duration::from_millis(50));
        }
        let archive = archive(docker.directory.path());
        docker.run(&["import", archive.to_str().expect("a path of letters"), IMAGE]);
        docker
    }

    /// What `DOCKER_HOST` must be for it.
    pub fn host(&self) -> String {
        host(self.directory.path())
    }

    /// The socket of its containerd.
    pub fn containerd(&self) -> PathBuf {
        self.directory.path().join("exec/containerd/containerd.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

fn host(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}

impl Drop for Docker {
    fn drop(&mut self) {
        let all = self.command(&["ps", "-aq"]).output().map(|output| output.stdout).unwrap_or_default();
        for container in String::from_utf8_lossy(&all).split_whitespace() {
            let _ = self.command(&["rm", "-f", container]).output();
        }
        kill(self.daemon.id() as i32, Signal::TERM);
        let _ = self.daemon.wait();
        unmount_below(self.directory.path());
        remove_groups("docker");
        remove_groups(CONTAINERD_NAMESPACE);
        // Where runc keeps what runs in a namespace of containerd; it leaves the empty directory.
        let _ = fs::remove_dir(Path::new("/run/containerd/runc").join(CONTAINERD_NAMESPACE));
    }
}

/// A store of podman, which has no daemon.
pub struct Podman {
    directory: TempDir,
}

impl Podman {
    /// An empty one, but for [`IMAGE`].
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tracer-podman-").tempdir().expect("a temporary directory");
        let podman = Self { directory };
        let archive = archive(podman.directory.path());
        podman.run(&["import", archive.to_str().expect("a path of letters"), IMAGE]);
        podman
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "-af", "-t", "0"]).output();
        // conmon has podman clean up behind a container that has ended, which mounts the store once more.
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && is_at_work(self.directory.path()) {
            thread::sleep(Duration::from_millis(20));
        }
        unmount_below(self.directory.path());
        remove_groups("libpod_parent");
    }
}

/// Reaps the shims and monitors of containers that have ended: they leave their parents, and come to this
/// process as the subreaper above the engine.
pub(crate) fn reap_watchers() {
    let me = std::process::id();
    let children = fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let comm = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if is_watcher(comm.trim_end().as_bytes()) {
            let _ = waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Whether a process still has that directory on its command line.
fn is_at_work(directory: &Path) -> bool {
    let directory = directory.to_string_lossy();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(&*directory))
}

/// Removes the control groups of that name that an engine has left, in every hierarchy. One that holds a
/// process stays, as rmdir(2) refuses it.
fn remove_groups(name: &str) {
    let below = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect::<Vec<_>>()
    };
    let root = Path::new("/sys/fs/cgroup");
    for hierarchy in below(root).into_iter().chain([root.to_owned()]) {
        let group = hierarchy.join(name);
        for inner in below(&group) {
            let _ = fs::remove_dir(inner);
        }
        let _ = fs::remove_dir(group);
    }
}

/// Removes the control group with that path in every hierarchy, and those around it in which nothing is left.
pub(crate) fn remove_groups_of(path: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.filter(|path| path.is_dir() && !path.is_symlink()).chain([root.to_owned()]) {
        for group in Path::new(path.trim_start_matches('/')).ancestors().filter(|group| *group != Path::new("")) {
            // rmdir(2) refuses one that is not empty.
            let _ = fs::remove_dir(hierarchy.join(group));
        }
    }
}

/// What an engine has left mounted would keep its directory from being removed.
pub(crate) fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut below: Vec<_> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
    below.retain(|mount| mount.starts_with(directory));
    for mount in below.into_iter().rev() {
        let _ = umount2(&mount, MntFlags::MNT_DETACH);
    }
}
