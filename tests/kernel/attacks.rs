//! What an ordinary user of the machine cannot do to a `tracer` that runs as root: kill it, blind it, or mislead it.

use std::{os::unix::process::CommandExt, process::Command};

use crate::Test;

mod belief;
mod reads;

pub fn trials() -> Vec<Test> {
    [belief::trials(), reads::trials()].into_iter().flatten().collect()
}

/// An ordinary user, without any capability.
const NOBODY: u32 = 65534;

/// A program that briefly takes another name, as that user.
fn fake(name: &str, arguments: &[&str], user: u32) {
    let mut command = Command::new("/bin/true");
    let status = command.arg0(name).args(arguments).uid(user).gid(user).status().expect("/bin/true can be run");
    assert!(status.success());
}
