//! What the OCI bundle of a container, and the files beside it, say: annotations of Kubernetes, podman and nerdctl, its
//! pid namespace, and the socket of its containerd.
//!
//! A command line says where the bundle is, so all of it is read as untrusted input: see [`read_owned`].

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::{
    foreign::{self, runtime::Invocation},
    host::{Container, Engine},
    source::{reads::read_owned, walk::find},
};

/// The most that is read of a configuration; engines write some ten thousand bytes.
const CONFIG_MAX: usize = 1 << 20;
/// The most that is read of podman's list of all containers; it writes a thousand bytes per container.
const LIST_MAX: usize = 4 << 20;

/// What the bundle says about a container; only what the call says, if there is no bundle to believe.
pub(super) fn container(call: &Invocation) -> Container {
    let Invocation { id, engine, bundle, owner } = call;
    let mut container = Container { id: id.clone(), engine: *engine, uid: call.uid(), ..Container::default() };
    let Some(bundle) = bundle else { return container };
    if let Ok(text) = read_owned(&bundle.join("config.json"), *owner, CONFIG_MAX) {
        foreign::bundle::config(&text, &mut container);
    }
    if container.engine == Engine::Podman {
        podman(bundle, *owner, &mut container);
    }
    container
}

fn podman(bundle: &Path, owner: u32, container: &mut Container) {
    // DIRECTORY/overlay-containers/ID/userdata, and DIRECTORY/overlay-containers/containers.json
    let list = bundle.ancestors().nth(2).map(|directory| directory.join("containers.json"));
    if let Some(text) = list.and_then(|list| read_owned(&list, owner, LIST_MAX).ok()) {
        foreign::bundle::podman(&text, container);
    }
}

/// The containerd that keeps a bundle: its socket, and the name of the containerd namespace.
pub(super) fn containerd(call: &Invocation) -> Option<(PathBuf, String)> {
    // STATE/io.containerd.runtime.v2.task/NAMESPACE/ID; the socket is in STATE, or beside it (dockerd's own).
    let mut around = call.bundle.as_deref()?.ancestors().skip(1);
    let namespace = around.next()?.file_name()?.to_str()?.to_owned();
    let is_believed =
        |path: &PathBuf| find(path).is_ok_and(|found| found.kind == FileType::Socket && found.owner == call.owner);
    let socket = around.skip(1).take(2).map(|directory| directory.join("containerd.sock")).find(is_believed)?;
    Some((socket, namespace))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use rustix::process::geteuid;

    use super::*;

    fn call(engine: Engine, bundle: &Path) -> Invocation {
        Invocation { id: "abc".into(), engine, bundle: Some(bundle.into()), owner: geteuid().as_raw() }
    }

    /// What a bundle with this configuration says.
    fn told(config: &str) -> Container {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), config).unwrap();
        container(&call(Engine::Oci, directory.path()))
    }

    #[test]
    fn a_configuration_tells_of_its_container() {
        let found = told(
            r#"{"ociVersion": "1", "process": {"args": ["/sbin/tini", "app"]},
                "annotations": {"nerdctl/name": "web", "org.opencontainers.image.stopSignal": "INT",
                                "io.kubernetes.cri.image-name": ""},
                "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}"#,
        );
        assert_eq!((found.name.as_deref(), found.image.as_deref()), (Some("web"), None));
        assert_eq!((found.stop_signal.as_deref(), found.pid_mode, found.init), (Some("INT"), None, Some(true)));
        let host = told(r#"{"linux": {"namespaces": []}, "process": {"args": ["tini"]}}"#);
        assert_eq!((host.pid_mode.as_deref(), host.init), (Some("host"), None));
        let other = told(r#"{"linux": {"namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}]}}"#);
        assert_eq!(other.pid_mode.as_deref(), Some("/proc/1/ns/pid"));
    }

    #[test]
    fn what_is_no_configuration_tells_nothing() {
        for config in ["", "[]", "null", "{\"annotations\": [1]}", "{\"annotations\": null, \"process\": null}"] {
            assert_eq!(told(config), Container { id: "abc".into(), ..Container::default() }, "{config}");
        }
        let long = format!(r#"{{"annotations": {{"nerdctl/name": "{}"}}}}"#, "x".repeat(CONFIG_MAX));
        assert_eq!(told(&long).name, None);
    }

    #[test]
    fn the_bundle_of_somebody_else_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), r#"{"annotations": {"nerdctl/name": "web"}}"#).unwrap();
        let call = call(Engine::Oci, directory.path());
        assert_eq!(container(&call).name.as_deref(), Some("web"));
        assert_eq!(container(&Invocation { owner: call.owner + 1, ..call.clone() }).name, None);
        // A directory that is a link does not change whose file it is.
        let outer = tempfile::tempdir().unwrap();
        let link = outer.path().join("link");
        symlink(directory.path(), &link).unwrap();
        assert_eq!(container(&Invocation { owner: call.owner + 1, bundle: Some(link), ..call }).name, None);
    }

    #[test]
    fn podman_keeps_names_in_a_list() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("abc/userdata");
        let list = r#"[{"id": "x"}, {"id": "abc", "names": ["web"], "metadata": "{\"image-name\": \"shop:1\"}"}]"#;
        fs::write(directory.path().join("containers.json"), list).unwrap();
        let found = container(&call(Engine::Podman, &bundle));
        assert_eq!((found.name.as_deref(), found.image.as_deref()), (Some("web"), Some("shop:1")));
    }

    #[test]
    fn containerd_is_asked_at_a_socket_of_the_owner() {
        let state = tempfile::tempdir().unwrap();
        let call = call(Engine::Containerd, &state.path().join("io.containerd.runtime.v2.task/default/abc"));
        assert_eq!(containerd(&call), None);
        let socket = state.path().join("containerd.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(containerd(&call), Some((socket, "default".into())));
        assert_eq!(containerd(&Invocation { owner: call.owner + 1, ..call }), None);
    }
}
