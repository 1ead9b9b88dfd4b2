//! The container that a cgroup path names.

use crate::host::Engine;

/// Characters of an id that an engine made.
const ID: usize = 64;

/// Reads `/proc/PID/cgroup`: the engine and the id, of the innermost container.
pub(super) fn container(text: &str) -> Option<(Engine, String)> {
    text.lines().find_map(|line| {
        // hierarchy-ID:controllers:path (cgroups(7))
        let path = line.splitn(3, ':').nth(2)?;
        let parts: Vec<_> = path.split('/').collect();
        (0..parts.len()).rev().find_map(|i| part(parts[i], &parts[..i]))
    })
}

/// The unit of systemd that `/proc/PID/cgroup` names, the innermost; none of those that hold units.
pub(super) fn unit(text: &str) -> Option<String> {
    let systemds = |line: &&str| line.starts_with("0::") || line.contains(":name=systemd:");
    text.lines().filter(systemds).find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let is_unit = |name: &&str| name.ends_with(".service") || (name.ends_with(".scope") && *name != "init.scope");
        path.split('/').rev().find(is_unit).map(str::to_owned)
    })
}

fn part(name: &str, before: &[&str]) -> Option<(Engine, String)> {
    // By systemd a scope, without it a plain directory.
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

/// Whether an engine may have made that id.
pub(super) fn is_engines_id(id: &str) -> bool {
    id.len() == ID && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
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
            // One hierarchy may know what the other does not.
            (format!("1:name=systemd:/\n2:cpu:/docker/{ID}\n0::/"), Engine::Docker),
        ] {
            assert_eq!(container(&path), Some((engine, ID.to_owned())), "{path}");
        }
    }

    #[test]
    fn units_of_systemd() {
        for (path, want) in [
            ("0::/system.slice/nginx.service", Some("nginx.service")),
            ("2:cpu:/x.service\n1:name=systemd:/system.slice/cron.service\n", Some("cron.service")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/app-1.scope", Some("app-1.scope")),
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
        assert_eq!(container(&nested), Some((Engine::Docker, inner)));
        for path in [
            "0::/".to_owned(),
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
