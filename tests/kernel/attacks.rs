//! What an ordinary user of the machine can do to a tracer that runs as root: not kill it, not blind it, not mislead it.

use std::{os::unix::process::CommandExt, process::Command};

use crate::Test;

mod belief;
mod reads;

pub fn trials() -> Vec<Test> {
    [belief::trials(), reads::trials()].into_iter().flatten().collect()
}

/// An ordinary user, without any capability.
const NOBODY: u32 = 65534;

/// A program that calls itself something else, for a moment, as that user.
fn fake(name: &str, arguments: &[&str], user: u32) {
    let mut command = Command::new("/bin/true");
    let status = command.arg0(name).args(arguments).uid(user).gid(user).status().expect("/bin/true can be run");
    assert!(status.success());
}
