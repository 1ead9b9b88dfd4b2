//! The `config.json` of an OCI bundle, and podman's list of its containers.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{
    host::{Container, Engine},
    programs::is_init,
};

/// The parts of a `config.json` that are used (config.md of the OCI runtime specification).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    annotations: Option<HashMap<String, String>>,
    process: Option<Process>,
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    args: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    r#type: String,
    path: String,
}

/// A container in podman's list, which is beside the containers' directories.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON once more.
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    image_name: Option<String>,
}

/// What a `config.json` says about its container; nothing if it is not one.
pub fn config(text: &[u8], container: &mut Container) {
    if let Ok(config) = serde_json::from_slice(text) {
        take(config, container);
    }
}

fn take(config: Config, container: &mut Container) {
    let mut annotations = config.annotations.unwrap_or_default();
    annotations.retain(|_, text| !text.is_empty());
    let mut first = |names: &[&str]| names.iter().find_map(|&name| annotations.remove(name));
    // CRI-O and podman keep their bundles alike.
    if first(&["io.kubernetes.cri-o.ContainerType"]).is_some() {
        container.engine = Engine::CriO;
    }
    container.pod = first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
    container.pod_namespace = first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
    container.name = first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]);
    container.image = first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]);
    container.stop_signal = first(&["org.opencontainers.image.stopSignal"]);
    container.pid_mode = config.linux.unwrap_or_default().namespaces.and_then(|all| pid_mode(&all));
    if container.pid_mode.is_none() {
        let args = config.process.and_then(|process| process.args).unwrap_or_default();
        container.init = args.first().map(|program| is_init(program));
    }
}

/// The container or path whose pid namespace a configuration asks for, if not one of its own.
fn pid_mode(namespaces: &[Namespace]) -> Option<String> {
    match namespaces.iter().find(|namespace| namespace.r#type == "pid") {
        None => Some("host".to_owned()),
        Some(namespace) => Some(namespace.path.clone()).filter(|path| !path.is_empty()),
    }
}

/// What podman's `containers.json` says about a container, if it lists it.
pub fn podman(text: &[u8], container: &mut Container) {
    let listed = serde_json::from_slice::<Vec<Listed>>(text).ok();
    let Some(listed) = listed.and_then(|all| all.into_iter().find(|listed| listed.id == container.id)) else { return };
    container.name = listed.names.into_iter().next();
    let metadata = serde_json::from_str::<Metadata>(&listed.metadata).ok();
    container.image = metadata.and_then(|metadata| metadata.image_name);
}
