//! Who may use the engine's socket. To the engine, they are as good as root.

use std::{env, fs, os::unix::fs::MetadataExt};

use crate::{ident::ProcKey, source::procfs};

/// Where dockerd listens if nobody says otherwise.
const USUAL: &str = "/run/docker.sock";

/// Whether a process of an ordinary user may talk to dockerd, by the socket's owner, group and mode.
pub(super) fn may_use(key: ProcKey, uid: u32) -> bool {
    let host = env::var("DOCKER_HOST").unwrap_or_default();
    let Ok(socket) = fs::metadata(host.strip_prefix("unix://").unwrap_or(USUAL)) else { return false };
    let status = procfs::text(&format!("/proc/{}/status", key.tgid));
    // The start time tells whether another process has that pid now.
    allows(socket.mode(), socket.uid(), socket.gid(), uid, &status) && procfs::look(key).found.is_some()
}

/// Connecting takes the right to write (unix(7)).
fn allows(mode: u32, owner: u32, group: u32, uid: u32, status: &str) -> bool {
    if uid == owner {
        return mode & 0o200 != 0;
    }
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|number| number.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let is_member = numbers("Groups:").contains(&group) || numbers("Gid:").get(1) == Some(&group);
    mode & if is_member { 0o020 } else { 0o002 } != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tdocker\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t8 27 999 \n";

    #[test]
    fn the_group_of_the_socket_may_and_nobody_else() {
        assert!(allows(0o140_660, 0, 999, 7, STATUS));
        assert!(allows(0o140_660, 0, 8, 7, STATUS));
        assert!(!allows(0o140_660, 0, 99, 7, STATUS));
        assert!(!allows(0o140_640, 0, 999, 7, STATUS));
        assert!(allows(0o140_666, 0, 99, 7, STATUS));
        assert!(allows(0o140_600, 7, 99, 7, STATUS));
        assert!(!allows(0o140_660, 0, 999, 7, "garbage"));
    }
}
