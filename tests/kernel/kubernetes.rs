//! The DaemonSet of `packaging/kubernetes`: a real containerd runs it by the calls and with the settings of a kubelet, beside
//! pods with troubles, whose names its findings have.

use std::{
    collections::HashMap,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tracer_tests::{
    agent::status,
    contract::{Container, Finding, Line},
    cri::{
        BUSYBOX, Containerd, Pod,
        messages::{
            Capability, ContainerConfig, LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext,
            Mount, MountPropagation, Named, NamespaceMode, ProfileType, SecurityProfile,
        },
        namespaces,
    },
    machine::{Need, await_within, tracer_path},
    run::output,
};

use crate::{Test, live};

/// How long it may take until something is said.
const SAID_WITHIN: Duration = Duration::from_secs(60);
/// What a kubelet has hidden of /proc and /sys, and what it has made read-only (`defaultMaskedPaths` and
/// `defaultReadonlyPaths` of its package `securitycontext`).
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub fn trials() -> Vec<Test> {
    vec![
        live("daemon_set_of_kubernetes", daemon_set_of_kubernetes)
            .needs(Need::Program("containerd"))
            .needs(Need::Program("busybox")),
    ]
}

/// What is installed, by kind.
struct Manifest(Vec<Value>);

impl Manifest {
    /// That of the defaults, but for where containerd has its bundles, and a port that is free.
    fn read(bundles: &Path, port: u16) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/kubernetes/daemonset.yaml");
        let text = fs::read_to_string(file).expect("it is there");
        let text = text
            .replace("/run/containerd/io.containerd.runtime.v2.task", bundles.to_str().expect("a path of letters"))
            .replace("0.0.0.0:9469", &format!("0.0.0.0:{port}"))
            .replace("containerPort: 9469", &format!("containerPort: {port}"));
        Self(serde_saphyr::from_multiple(&text).expect("YAML"))
    }

    fn get(&self, kind: &str) -> &Value {
        self.0.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
    }

    /// All that a pod of the DaemonSet has.
    fn pod(&self) -> &Value {
        &self.get("DaemonSet")["spec"]["template"]["spec"]
    }

    /// The container, as a kubelet would ask for it.
    fn container(&self, containerd: &Containerd, image: &str) -> ContainerConfig {
        let pod = self.pod();
        let [container] = &pod["containers"].as_array().expect("containers")[..] else { panic!("one container") };
        let name = text(&container["name"]);
        let pid = if pod["hostPID"] == true { NamespaceMode::Node } else { NamespaceMode::Container };
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        ContainerConfig {
            metadata: Some(Named { name: name.clone() }),
            image: Some(Named { name: image.to_owned() }),
            command: Vec::new(),
            args: texts(&container["args"]),
            mounts: mounts.iter().map(|mount| self.mount(mount, containerd)).collect(),
            labels: HashMap::from([("io.kubernetes.container.name".to_owned(), name.clone())]),
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig {
                resources: Some(resources(&container["resources"])),
                security_context: Some(security(&container["securityContext"], pid)),
            }),
        }
    }

    fn mount(&self, mount: &Value, containerd: &Containerd) -> Mount {
        let volumes = self.pod()["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("each mount has its volume");
        let name = text(&volume["name"]);
        let host_path = if let Some(path) = volume["hostPath"]["path"].as_str() {
            assert!(volume["hostPath"]["type"] == "Directory" && Path::new(path).is_dir(), "{volume}");
            PathBuf::from(path)
        } else if volume["configMap"].is_object() {
            let folder = containerd.folder(&name);
            for (file, content) in self.get("ConfigMap")["data"].as_object().expect("files") {
                fs::write(folder.join(file), text(content)).expect("a file");
            }
            folder
        } else {
            assert!(volume["emptyDir"].is_object(), "{volume}");
            let folder = containerd.folder(&name);
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("it is ours");
            folder
        };
        let propagation = match mount["mountPropagation"].as_str() {
            None => MountPropagation::Private,
            Some("HostToContainer") => MountPropagation::HostToContainer,
            Some(other) => panic!("{other}"),
        };
        Mount {
            container_path: text(&mount["mountPath"]),
            host_path: host_path.to_str().expect("a path of letters").to_owned(),
            readonly: mount["readOnly"] == true,
            propagation: propagation.into(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn resources(value: &Value) -> LinuxContainerResources {
    let memory = text(&value["limits"]["memory"]);
    let memory: i64 = memory.strip_suffix("Mi").and_then(|number| number.parse().ok()).expect("MiB");
    let cpu = text(&value["requests"]["cpu"]);
    let cpu: i64 = cpu.strip_suffix('m').and_then(|number| number.parse().ok()).expect("thousandths");
    LinuxContainerResources { cpu_shares: cpu * 1024 / 1000, memory_limit_in_bytes: memory << 20 }
}

fn security(value: &Value, pid: NamespaceMode) -> LinuxContainerSecurityContext {
    // A setting that nobody applies here would be tried by nobody.
    for (key, value) in value.as_object().expect("settings") {
        match key.as_str() {
            "privileged" | "runAsNonRoot" => assert_eq!(value, false, "{key}"),
            "appArmorProfile" => assert_eq!(value["type"], "Unconfined"),
            "seccompProfile" => assert_eq!(value["type"], "RuntimeDefault"),
            "runAsUser" | "runAsGroup" | "allowPrivilegeEscalation" | "readOnlyRootFilesystem" | "capabilities" => {}
            other => panic!("{other}"),
        }
    }
    let all = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: texts(&value["capabilities"]["add"]),
            drop_capabilities: texts(&value["capabilities"]["drop"]),
        }),
        namespace_options: Some(namespaces(pid)),
        run_as_user: value["runAsUser"].as_i64(),
        readonly_rootfs: value["readOnlyRootFilesystem"] == true,
        no_new_privs: value["allowPrivilegeEscalation"] == false,
        run_as_group: value["runAsGroup"].as_i64(),
        masked_paths: all(&MASKED),
        readonly_paths: all(&READ_ONLY),
        seccomp: Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault.into() }),
    }
}

/// A directory with the program that is tested, and with the libraries that it loads, if it does.
fn image(folder: PathBuf) -> PathBuf {
    let mut ldd = Command::new("ldd");
    ldd.arg(tracer_path());
    let libraries = String::from_utf8(output(ldd).stdout).expect("text");
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    let program = (tracer_path(), PathBuf::from("/usr/bin/tracer"));
    for (file, place) in libraries.map(|file| (file.clone(), file)).chain([program]) {
        let inside = folder.join(place.strip_prefix("/").expect("a whole path"));
        fs::create_dir_all(inside.parent().expect("it is in a folder")).expect("a directory");
        fs::copy(&file, &inside).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    folder
}

/// Has a pod with a container of busybox that runs a script.
fn start(containerd: &mut Containerd, pod: &str, container: &str, script: &str) -> String {
    let pod = containerd.run_pod("prod", pod, NamespaceMode::Container);
    let config = ContainerConfig {
        metadata: Some(Named { name: container.to_owned() }),
        image: Some(Named { name: BUSYBOX.to_owned() }),
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        log_path: format!("{container}.log"),
        linux: Some(LinuxContainerConfig {
            resources: None,
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(namespaces(NamespaceMode::Container)),
                seccomp: Some(SecurityProfile { profile_type: ProfileType::RuntimeDefault.into() }),
                ..LinuxContainerSecurityContext::default()
            }),
        }),
        ..ContainerConfig::default()
    };
    containerd.start_container(&pod, config)
}

/// The agent, as whoever collects the output of containers sees it.
struct Agent<'a> {
    containerd: &'a Containerd,
    pod: &'a Pod,
}

impl Agent<'_> {
    fn says<T>(&self, what: &str, wanted: impl Fn(Line) -> Option<T>) -> T {
        let until = Instant::now() + SAID_WITHIN;
        loop {
            let said = self.containerd.printed(self.pod, "tracer", "stdout");
            if let Some(found) = said.iter().find_map(|line| wanted(Line::parse(line).expect("the contract"))) {
                return found;
            }
            let complained = self.containerd.printed(self.pod, "tracer", "stderr");
            assert!(Instant::now() < until, "not {what}, but {said:#?} and {complained:#?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn knows(&self, id: &str) -> Container {
        self.says("the pod", |line| match line {
            Line::Container(container) if container.id == id && container.pod.is_some() => Some(container),
            _ => None,
        })
    }

    fn finds(&self, rule: &str, container: &str) -> Finding {
        self.says(rule, |line| match line {
            Line::Finding(found) if found.rule == rule && found.process.container.as_deref() == Some(container) => {
                Some(*found)
            }
            _ => None,
        })
    }
}

/// An answer, as a kubelet or Prometheus asks for it.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

/// It may do no more than it needs, its probes are answered, and its findings name container, pod and namespace: of a pod
/// that was there before it, and of one that comes later.
fn daemon_set_of_kubernetes() {
    const IMAGE: &str = "localhost/tracer:1";
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let mut containerd = Containerd::start();
    containerd.import(IMAGE, &image(containerd.folder("tracer")), "/usr/bin/tracer");
    let old = start(&mut containerd, "old-1", "db", "exec sleep 1000");

    let manifest = Manifest::read(&containerd.bundles(), port);
    let host = containerd.run_pod("tracer", "tracer-1", NamespaceMode::Node);
    let agent = containerd.start_container(&host, manifest.container(&containerd, IMAGE));
    let container = &manifest.pod()["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = text(&container[probe]["httpGet"]["path"]);
        assert_eq!(container[probe]["httpGet"]["port"], container["ports"][0]["name"]);
        await_within(SAID_WITHIN, &format!("{probe} is answered"), || get(port, &path).is_some());
    }
    let pid = rustix::process::Pid::from_raw(containerd.pid(&agent)).expect("a pid");
    let user = "94690\t94690\t94690\t94690";
    assert_eq!([status(pid, "Uid"), status(pid, "Gid"), status(pid, "CapPrm")], [user, user, "0000000000000000"]);
    // Those of capability.h: 2, 6, 7, 19, 38 and 39.
    assert_eq!([status(pid, "CapBnd"), status(pid, "NoNewPrivs")], ["000000c0000800c4", "1"]);

    let web = start(
        &mut containerd,
        "shop-1",
        "web",
        // They end when the shell, which would wait for them, has become another program.
        "i=0; while [ $i -lt 12 ]; do while read -r init < /proc/1/comm && [ $init = sh ]; do :; done & i=$((i + 1)); \
         done; exec sleep 1000",
    );
    let said = Agent { containerd: &containerd, pod: &host };
    for (id, pod, label) in [(&old, "old-1", "db"), (&web, "shop-1", "web")] {
        let known = said.knows(id);
        assert_eq!((known.engine.as_str(), known.label.as_str()), ("containerd", label));
        assert_eq!((known.pod.as_deref(), known.pod_namespace.as_deref()), (Some(pod), Some("prod")));
        assert_eq!(known.image.as_deref(), Some(BUSYBOX));
    }
    let leak = said.finds("zombie-leak", "web");
    assert!(leak.message.contains("Container: web (pod prod/shop-1, "), "{leak:?}");
    assert_eq!(leak.process.pid, containerd.pid(&web));

    // What somebody asks who looks into it.
    let why = containerd.exec(&agent, &["/usr/bin/tracer", "why", "web"]);
    let told = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.exit_code == 0 && told.contains("pod prod/shop-1"), "{told}{}", String::from_utf8_lossy(&why.stderr));

    containerd.stop_container(&old, 2);
    let slow = said.finds("slow-stop", "db");
    assert!(slow.message.contains("pod prod/old-1"), "{slow:?}");
    assert_eq!(slow.verdict.as_deref(), Some("no-handler"));
    let numbers = get(port, "/metrics").expect("numbers");
    assert!(numbers.contains("tracer_findings_total{rule=\"zombie-leak\""), "{numbers}");
}
