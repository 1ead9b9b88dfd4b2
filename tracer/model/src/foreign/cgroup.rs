//! The container that a cgroup path names.

use std::path::PathBuf;

use crate::{foreign::lxc, host::Engine};

/// Characters of an id that an engine made.
const ID: usize = 64;

/// What the path of a control group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Whose container it is.
    pub engine: Engine,
    /// The container's id.
    pub id: String,
    /// It lies within the group of another container.
    pub is_nested: bool,
    /// The path of the group that names it, below the mount point.
    pub group: PathBuf,
}

/// Reads `/proc/PID/cgroup`: the innermost container.
pub fn container(text: &str) -> Option<Named> {
    text.lines().find_map(|line| {
        // hierarchy-ID:controllers:path (cgroups(7))
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let parts: Vec<_> = path.split('/').collect();
        let mut named = (0..parts.len()).rev().filter_map(|at| Some((at, part(parts[at], &parts[..at])?)));
        let (at, (engine, id)) = named.next()?;
        let hierarchy = controllers.strip_prefix("name=").unwrap_or(controllers);
        let group = std::iter::once(hierarchy).chain(parts[..=at].iter().copied()).filter(|part| !part.is_empty());
        Some(Named { engine, id, is_nested: named.next().is_some(), group: group.collect() })
    })
}

/// The systemd unit that `/proc/PID/cgroup` names, but no unit that contains others. Below a unit, and so below a
/// user's own service manager, others choose the names of groups; a unit of such a manager is reported together with
/// it.
pub fn unit(text: &str) -> Option<String> {
    let systemds = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    text.lines().filter(systemds).find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let is_unit = |name: &&str| name.ends_with(".service") || (name.ends_with(".scope") && *name != "init.scope");
        let mut units = path.split('/').filter(is_unit);
        let unit = units.next()?;
        let inner = units.next().filter(|_| unit.starts_with("user@"));
        Some(match inner {
            Some(inner) if unit == "user@0.service" => inner.to_owned(),
            Some(inner) => format!("{unit}/{inner}"),
            None => unit.to_owned(),
        })
    })
}

fn part(name: &str, before: &[&str]) -> Option<(Engine, String)> {
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return lxc::is_name(name).then(|| (Engine::Lxc, name.to_owned()));
    }
    // A scope with systemd, a plain directory without it.
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let prefixed = [
        ("docker-", Engine::Docker),
        ("libpod-", Engine::Podman),
        ("crio-", Engine::CriO),
        ("cri-containerd-", Engine::Containerd),
    ];
    let found = prefixed.iter().find_map(|&(prefix, engine)| Some((engine, name.strip_prefix(prefix)?)));
    let (engine, id) = found.unwrap_or_else(|| {
        let is_dockers = before.last() == Some(&"docker");
        (if is_dockers { Engine::Docker } else { Engine::Containerd }, name)
    });
    is_engines_id(id).then(|| (engine, id.to_owned()))
}

/// Whether the id has the form that engines use.
pub fn is_engines_id(id: &str) -> bool {
    id.len() == ID && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn each_engine_has_its_own_way_to_say_it() {
        for (path, engine) in [
            (format!("0::/system.slice/docker-{ID}.scope"), Engine::Docker),
            (format!("5:memory:/docker/{ID}"), Engine::Docker),
            (format!("0::/machine.slice/libpod-{ID}.scope/container"), Engine::Podman),
            (format!("3:pids:/libpod_parent/libpod-{ID}"), Engine::Podman),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope"), Engine::CriO),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"), Engine::Containerd),
            (format!("0::/kubepods/besteffort/pod-1/{ID}"), Engine::Containerd),
            (format!("0::/lxc.payload.{ID}/init.scope"), Engine::Lxc),
            // One hierarchy may show what another does not.
            (format!("1:name=systemd:/\n2:cpu:/docker/{ID}\n0::/"), Engine::Docker),
        ] {
            let named = container(&path).map(|named| (named.engine, named.id, named.is_nested));
            assert_eq!(named, Some((engine, ID.to_owned(), false)), "{path}");
        }
    }

    #[test]
    fn units_of_systemd() {
        for (path, want) in [
            ("0::/system.slice/nginx.service", Some("nginx.service")),
            ("2:cpu:/x.service\n1:name=systemd:/system.slice/cron.service\n", Some("cron.service")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/app-1.scope", Some("app-1.scope")),
            ("0::/user.slice/user-7.slice/user@7.service/app.slice/sshd.service", Some("user@7.service/sshd.service")),
            ("0::/user.slice/user-7.slice/session-3.scope", Some("session-3.scope")),
            ("0::/system.slice/runner.service/sshd.service", Some("runner.service")),
            ("0::/init.scope", None),
            ("0::/", None),
        ] {
            assert_eq!(unit(path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn the_innermost_counts_and_no_other_name_is_an_id() {
        let inner = ID.replace('0', "f");
        let nested = format!("0::/docker/{ID}/docker/{inner}");
        let named = container(&nested).unwrap();
        assert_eq!((named.engine, named.id.as_str(), named.is_nested), (Engine::Docker, &inner[..], true));
        assert_eq!(named.group, Path::new(&format!("docker/{ID}/docker/{inner}")));
        let old = format!("5:memory:/docker/{ID}/x");
        assert_eq!(container(&old).unwrap().group, Path::new(&format!("memory/docker/{ID}")));
        assert_eq!(container("4:pids:/lxc.payload.web\n0::/").map(|named| named.id).as_deref(), Some("web"));
        for path in [
            "0::/".to_owned(),
            "0::/lxc.monitor.web".to_owned(),
            "0::/lxc.payload.".to_owned(),
            "0::/lxc.payload.web\u{3}".to_owned(),
            format!("0::/lxc.payload.{ID}x"),
            "0::/user.slice/user-0.slice/session-1.scope".to_owned(),
            format!("0::/machine.slice/libpod-conmon-{ID}.scope"),
            format!("0::/docker/{}", &ID[1..]),
            format!("0::/docker/{}", ID.to_uppercase()),
            String::new(),
            "garbage".to_owned(),
        ] {
            assert_eq!(container(&path), None, "{path}");
        }
    }
}
