//! Agents and flight recorders that run, and what they may do.

use super::check::Check;
use crate::{foreign::stat, source::procfs, trace::kept};

/// One for each; nothing if none runs, or this user may not know.
pub(super) fn checks() -> Vec<Check> {
    let alive = kept::recorders().into_iter().filter_map(|pid| {
        let status = procfs::text(&format!("/proc/{pid}/status"));
        (!status.is_empty()).then(|| check(pid, &status))
    });
    alive.collect()
}

fn check(pid: u32, status: &str) -> Check {
    let field = |name| stat::field(status, name).unwrap_or_default();
    let user = field("Uid").split('\t').next().unwrap_or_default();
    let capabilities = match u64::from_str_radix(field("CapEff"), 16) {
        Ok(0) => "no capability".to_owned(),
        _ => format!("capabilities {}", field("CapEff")),
    };
    let mut limits = vec![format!("user {user}"), capabilities];
    if field("NoNewPrivs") == "1" {
        limits.push("no new privileges".to_owned());
    }
    if field("Seccomp") == "2" {
        limits.push("seccomp".to_owned());
    }
    // A recorder that was started as root with a terminal in front of it stays what it is.
    Check::ok("recorder", format!("pid {pid}: {}", limits.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_may_do_is_said() {
        let status =
            "Name:\ttracer\nUid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(check(7, status).detail, "pid 7: user 65534, no capability, no new privileges, seccomp");
        let root = "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n";
        assert_eq!(check(7, root).detail, "pid 7: user 0, capabilities 000001ffffffffff");
    }
}
