//! Parses the command lines of container runtimes and of shims.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{foreign::lxc, host::Engine, ident::Args, programs};

/// A container, as a command line names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Its id.
    pub id: String,
    /// The engine whose directories hold its bundle.
    pub engine: Engine,
    /// The directory of its OCI bundle, where `config.json` is.
    pub bundle: Option<PathBuf>,
    /// The user who must own the bundle, by their id on the host: the user who started the runtime or the shim.
    pub owner: u32,
}

/// Commands of OCI runtimes that bring a process into a container.
const COMMANDS: [&str; 4] = ["create", "run", "exec", "restore"];
/// Their options that take no value, so that the next word is not one.
const FLAGS: [&str; 11] = [
    "-d",
    "--detach",
    "-t",
    "--tty",
    "--no-pivot",
    "--no-new-keyring",
    "--no-subreaper",
    "--keep",
    "--no-new-privs",
    "--ignore-paused",
    "--lazy-pages",
];

impl Invocation {
    /// Reads a command line; `None` if it does not bring a process into a container. `owner` is the user who started
    /// it.
    pub fn of(args: &Args, owner: impl FnOnce() -> u32) -> Option<Self> {
        if let Some(id) = lxc::started(args) {
            return Some(Self { id: id.to_owned(), engine: Engine::Lxc, bundle: None, owner: owner() });
        }
        // For nearly every exec, this decides.
        if !args.iter().next().is_some_and(is_runtime) {
            return None;
        }
        let words: Vec<_> = args.iter().map(|word| str::from_utf8(word).unwrap_or_default()).collect();
        let (_, rest) = words.split_first()?;
        let command = rest.iter().position(|word| COMMANDS.contains(word))?;
        let mut bundle = None;
        let mut id = None;
        let mut after = rest[command + 1..].iter();
        while let Some(&word) = after.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, None),
            };
            if !word.starts_with('-') {
                id = Some(word);
                break;
            }
            if FLAGS.contains(&option) {
                continue;
            }
            let value = value.or_else(|| after.next().copied());
            if ["-b", "--bundle"].contains(&option) {
                bundle = value.map(PathBuf::from);
            }
        }
        // The id may be incomplete if the line was cut.
        let of_bundle = || id_of_bundle(bundle.as_deref()?);
        let id = if args.cut { of_bundle() } else { id.map(str::to_owned).or_else(of_bundle) }?;
        let engine = words.iter().find_map(|word| engine_of(word)).unwrap_or_default();
        (!id.is_empty()).then(|| Self { id, engine, bundle, owner: owner() })
    }

    /// The ordinary user who started it; `None` for root.
    pub fn uid(&self) -> Option<u32> {
        (self.owner != 0).then_some(self.owner)
    }

    /// The bundle of another container of the same shim: the shim of a pod serves all of its containers.
    pub fn bundle_of(&self, id: &str) -> Option<PathBuf> {
        let bundle = self.bundle.as_ref()?;
        if self.id == id { Some(bundle.clone()) } else { Some(bundle.parent()?.join(id)) }
    }
}

/// containerd and docker name the bundle after the container; podman and CRI-O, the directory around it.
fn id_of_bundle(bundle: &Path) -> Option<String> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    name(bundle).filter(|name| name != "userdata").or_else(|| name(bundle.parent()?))
}

/// The engine whose directories contain a path.
fn engine_of(path: &str) -> Option<Engine> {
    let engines = [
        ("/moby/", Engine::Docker),
        ("/runtime-runc/moby", Engine::Docker),
        ("/crio/", Engine::CriO),
        ("/overlay-containers/", Engine::Podman),
        ("/libpod/", Engine::Podman),
        ("/io.containerd.runtime", Engine::Containerd),
    ];
    engines.iter().find_map(|&(part, engine)| path.contains(part).then_some(engine))
}

/// Whether this is runc at work inside the container; it will become the container's program.
pub fn is_setup(args: &Args) -> bool {
    let mut words = args.iter();
    let is_itself = |word: &[u8]| is_runtime(word) || word.starts_with(b"/proc/self/");
    words.next().is_some_and(is_itself) && words.next() == Some(b"init")
}

/// Whether a program, by its path or name, is an OCI runtime (docker once called its own `docker-runc`).
fn is_runtime(program: &[u8]) -> bool {
    let name = programs::file_name(program);
    programs::is_runtime(name) || name == b"docker-runc"
}

/// The container that a shim was started for; `directory` is its working directory, `owner` the user who started it.
pub fn shim(words: &[String], directory: Option<&Path>, owner: u32) -> Option<Invocation> {
    let value = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).filter(|value| !value.is_empty())
    };
    if let Some(bundle) = value("-b") {
        // conmon
        let id = value("-c")?.clone();
        let engine = engine_of(bundle).unwrap_or_default();
        return Some(Invocation { id, engine, bundle: Some(bundle.into()), owner });
    }
    let id = value("-id")?.clone();
    let engine = if value("-namespace")? == "moby" { Engine::Docker } else { Engine::Containerd };
    Some(Invocation { id, engine, bundle: directory.map(Path::to_owned), owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        let bytes: String = line.split(' ').flat_map(|word| [word, "\0"]).collect();
        Args { bytes: bytes.into_bytes().into(), ..Args::default() }
    }

    fn call(line: &str) -> Option<Invocation> {
        Invocation::of(&args(line), || 0)
    }

    #[test]
    fn engines_call_their_runtimes_like_this() {
        let docker = "runc --root /var/run/docker/runtime-runc/moby --log \
                      /run/containerd/io.containerd.runtime.v2.task/moby/abc/log.json --log-format json";
        let created = format!(
            "{docker} create --bundle /run/containerd/io.containerd.runtime.v2.task/moby/abc --pid-file /x/init.pid abc"
        );
        let bundle = Some("/run/containerd/io.containerd.runtime.v2.task/moby/abc".into());
        assert_eq!(call(&created), Some(Invocation { id: "abc".into(), engine: Engine::Docker, bundle, owner: 0 }));
        let executed = format!("{docker} exec --process /tmp/runc-process1 --detach --pid-file /x/1.pid abc");
        assert_eq!(
            call(&executed),
            Some(Invocation { id: "abc".into(), engine: Engine::Docker, bundle: None, owner: 0 })
        );
        let podman = "/usr/bin/crun create --bundle /var/lib/containers/storage/overlay-containers/def/userdata \
                      --pid-file /run/pidfile def";
        let bundle = Some("/var/lib/containers/storage/overlay-containers/def/userdata".into());
        assert_eq!(call(podman), Some(Invocation { id: "def".into(), engine: Engine::Podman, bundle, owner: 0 }));
        assert_eq!(
            call("runc run -d --bundle=b test"),
            Some(Invocation { id: "test".into(), engine: Engine::Oci, bundle: Some("b".into()), owner: 0 })
        );
        assert_eq!(call("runc exec -t -e A=b test sh -c x").map(|call| call.id), Some("test".into()));
    }

    #[test]
    fn a_line_that_was_cut_still_has_the_bundle() {
        let cut = |line: &str| Invocation::of(&Args { cut: true, ..args(line) }, || 0).map(|call| call.id);
        let podman = "crun create --bundle /var/lib/containers/storage/overlay-containers/def/userdata --pid-file";
        assert_eq!(cut(podman), Some("def".into()));
        assert_eq!(cut("runc create --bundle /x/abc --pid-file y ab"), Some("abc".into()));
        assert_eq!(cut("runc exec ab"), None);
        assert_eq!(call("runc create"), None);
    }

    #[test]
    fn what_brings_nobody_in_is_no_call() {
        for line in ["runc init", "runc start abc", "runc kill abc 15", "runc delete abc", "sh -c run", "run", ""] {
            assert_eq!(call(line), None, "{line}");
        }
    }

    #[test]
    fn shims_know_their_containers() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let docker = words("/usr/bin/containerd-shim-runc-v2 -namespace moby -id abc -address /x.sock");
        let bundle = Path::new("/state/moby/abc");
        let call = shim(&docker, Some(bundle), 0).unwrap();
        assert_eq!(
            call,
            Invocation { id: "abc".into(), engine: Engine::Docker, bundle: Some(bundle.into()), owner: 0 }
        );
        assert_eq!(call.bundle_of("other"), Some("/state/moby/other".into()));
        let podman = words("/usr/bin/conmon --api-version 1 -c def -u def -b /s/overlay-containers/def/userdata");
        assert_eq!(shim(&podman, None, 0).map(|call| (call.id, call.engine)), Some(("def".into(), Engine::Podman)));
        assert_eq!(shim(&words("conmon"), None, 0), None);
    }
}
