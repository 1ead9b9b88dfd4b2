//! A containerd with pods for a test, which are made by the calls that a kubelet makes (CRI). Its store is in a directory of
//! its own, and nothing is left behind.
//!
//! Pods use the machine's network: one of their own takes plug-ins that change the machine's.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::mount::{MsFlags, mount};
use prost::Message;
use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::{
    engine::{reap_watchers, remove_groups_of, root_file_system, unmount_below},
    machine::await_within,
    run::output,
    stage::kill,
};

pub mod messages;

use messages::{
    ContainerConfig, CreateContainerRequest, CreateContainerResponse, Done, ExecSyncRequest, ExecSyncResponse,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, ProfileType, Request, RunPodSandboxRequest, RunPodSandboxResponse, SecurityProfile,
};

/// The image with busybox, which is also what holds a pod's namespaces.
pub const BUSYBOX: &str = "localhost/small:1";
/// The namespace of the kubelet in containerd.
const NAMESPACE: &str = "k8s.io";
/// How long a call may take, on a machine under load.
const WITHIN: Duration = Duration::from_secs(60);

/// The daemon.
pub struct Containerd {
    directory: TempDir,
    /// Bundles and the socket, where a machine's own containerd has them: pods may have another /run.
    state: TempDir,
    daemon: Child,
    runtime: Runtime,
    channel: Channel,
    pods: Vec<String>,
    /// Control groups of pods, to be removed.
    groups: Vec<String>,
}

/// A pod that runs.
pub struct Pod {
    id: String,
    config: PodSandboxConfig,
}

impl Containerd {
    /// Starts one, with [`BUSYBOX`] in its store.
    pub fn start() -> Self {
        let mut new = tempfile::Builder::new();
        let new = new.prefix("tracer-containerd-");
        let directory = new.tempdir().expect("a temporary directory");
        let state = new.tempdir_in("/run").expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        // As systemd has every mount: containers can see what is mounted and unmounted below it.
        for flag in [MsFlags::MS_BIND, MsFlags::MS_SHARED] {
            mount(Some(state.path()), state.path(), None::<&str>, flag, None::<&str>).expect("a mount");
        }
        let socket = state.path().join("containerd.sock");
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = {BUSYBOX:?}\nrestrict_oom_score_adj = true\n",
            at("root"),
            state.path(),
            socket,
        );
        fs::write(at("config.toml"), configuration).expect("a file");
        let log = fs::File::create(at("log")).expect("a file");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(at("config.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint = format!("unix:{}", socket.display());
        let endpoint = Endpoint::from_shared(endpoint).expect("an address").timeout(WITHIN);
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        let containerd = Self { directory, state, daemon, runtime, channel, pods: Vec::new(), groups: Vec::new() };
        await_within(WITHIN, "containerd answers", || {
            let version = containerd.ctr(&["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        });
        let root = root_file_system(containerd.directory.path());
        containerd.import(BUSYBOX, &root, "/bin/sleep");
        containerd
    }

    /// The folder in which it has the bundles of containers.
    pub fn bundles(&self) -> PathBuf {
        self.state.path().join("io.containerd.runtime.v2.task")
    }

    /// Where a test can have files, as long as this lives.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory.path().join("files").join(name);
        fs::create_dir_all(&folder).expect("a directory");
        folder
    }

    /// Takes an image of one layer, with all that is in a directory.
    pub fn import(&self, name: &str, root: &Path, entry: &str) {
        let image = self.folder("image");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(root).arg("-cf").arg(image.join("layer.tar")).arg(".");
        succeeds(tar);
        let layer = fs::read(image.join("layer.tar")).expect("it was written");
        let sum: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
        let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let config = json!({
            "architecture": arch,
            "os": "linux",
            "config": { "Entrypoint": [entry], "Cmd": ["1000000"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] },
        });
        let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
        for (file, content) in [("config.json", config), ("manifest.json", manifest)] {
            fs::write(image.join(file), content.to_string()).expect("a file");
        }
        let archive = self.folder("archive").join("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&image).arg("-cf").arg(&archive).args(["manifest.json", "config.json", "layer.tar"]);
        succeeds(tar);
        let mut import = self.ctr(&["images", "import"]);
        import.arg(archive);
        succeeds(import);
    }

    /// Runs a pod without a container, in a control group as kubelets have them.
    pub fn run_pod(&mut self, namespace: &str, name: &str, pid: NamespaceMode) -> Pod {
        let uid = format!("{}-{name}", std::process::id());
        let group = format!("/kubepods/besteffort/pod{uid}");
        let labels = [("name", name), ("namespace", namespace), ("uid", &uid)];
        let labels = labels.map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.to_owned()));
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata { name: name.to_owned(), uid, namespace: namespace.to_owned() }),
            hostname: String::new(),
            log_directory: self.folder("logs").join(name).to_string_lossy().into_owned(),
            labels: labels.into(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: group.clone(),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces(pid)),
                    seccomp: Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault.into() }),
                }),
            }),
        };
        self.groups.push(group);
        let RunPodSandboxResponse { pod_sandbox_id: id } =
            self.call("RunPodSandbox", RunPodSandboxRequest { config: Some(config.clone()) });
        self.pods.push(id.clone());
        Pod { id, config }
    }

    /// Starts a container in a pod; its id.
    pub fn start_container(&self, pod: &Pod, container: ContainerConfig) -> String {
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(container),
            sandbox_config: Some(pod.config.clone()),
        };
        let CreateContainerResponse { container_id: id } = self.call("CreateContainer", request);
        let Done {} = self.call("StartContainer", Request { id: id.clone(), timeout: 0 });
        id
    }

    /// Stops a container, as a pod is stopped that is deleted: SIGTERM, and SIGKILL so many seconds later.
    pub fn stop_container(&self, id: &str, grace: i64) {
        let Done {} = self.call("StopContainer", Request { id: id.to_owned(), timeout: grace });
    }

    /// Runs a program in a container to its end.
    pub fn exec(&self, container: &str, words: &[&str]) -> ExecSyncResponse {
        let cmd = words.iter().map(|&word| word.to_owned()).collect();
        self.call("ExecSync", ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 30 })
    }

    /// The pid on the machine of a container's first process.
    pub fn pid(&self, container: &str) -> i32 {
        let file = self.bundles().join(NAMESPACE).join(container).join("init.pid");
        fs::read_to_string(file).expect("it runs").parse().expect("a pid")
    }

    /// What a container has written to one of its outputs, line by line.
    pub fn printed(&self, pod: &Pod, container: &str, stream: &str) -> Vec<String> {
        let log = Path::new(&pod.config.log_directory).join(format!("{container}.log"));
        let log = fs::read_to_string(log).unwrap_or_default();
        let (mut lines, mut part) = (Vec::new(), String::new());
        // TIME STREAM P|F TEXT; a long line comes in parts. The last one may not be whole yet.
        for line in log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let [_, from, tag, text] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            if from == stream {
                part.push_str(text);
                if tag == "F" {
                    lines.push(std::mem::take(&mut part));
                }
            }
        }
        lines
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.state.path().join("containerd.sock"));
        command.args(["--namespace", NAMESPACE]).args(arguments).stdin(Stdio::null());
        command
    }

    fn call<Q: Message + 'static, A: Message + Default + 'static>(&self, method: &str, question: Q) -> A {
        self.try_call(method, question).unwrap_or_else(|status| panic!("{method}: {status}"))
    }

    fn try_call<Q, A>(&self, method: &str, question: Q) -> Result<A, tonic::Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}")).expect("a path");
        let answer = self.runtime.block_on(async {
            let mut client = Grpc::new(self.channel.clone());
            client.ready().await.map_err(|error| tonic::Status::from_error(Box::new(error)))?;
            client.unary(tonic::Request::new(question), path, ProstCodec::<Q, A>::default()).await
        });
        reap_watchers();
        answer.map(tonic::Response::into_inner)
    }
}

/// The network is the machine's.
pub fn namespaces(pid: NamespaceMode) -> NamespaceOption {
    NamespaceOption { network: NamespaceMode::Node.into(), pid: pid.into() }
}

fn succeeds(command: Command) {
    let said = format!("{command:?}");
    let output = output(command);
    assert!(output.status.success(), "{said}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.pods) {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let done: Result<Done, _> = self.try_call(method, Request { id: id.clone(), timeout: 0 });
                if let Err(status) = done {
                    // The test may be failing already.
                    let _ = writeln!(std::io::stderr(), "{method}: {status}");
                }
            }
        }
        kill(self.daemon.id() as i32, Signal::TERM);
        let _ = self.daemon.wait();
        reap_watchers();
        for place in [&self.directory, &self.state] {
            unmount_below(place.path());
        }
        for group in &self.groups {
            remove_groups_of(group);
        }
        // Where runc keeps what runs; it leaves the empty directory.
        let _ = fs::remove_dir(Path::new("/run/containerd/runc").join(NAMESPACE));
    }
}
