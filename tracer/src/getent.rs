//! `getent(1)`, which asks whatever the system's databases of users and hosts are made of (nsswitch.conf(5)). Not by the C
//! library's functions: they load modules at run time, which ends a program that is linked statically.

use std::{
    ffi::OsStr,
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Where it is: Debian and its kin, old systems, NixOS. Never by PATH, which others may have set.
const PLACES: [&str; 3] = ["/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"];
/// How much of an answer is read: a user may be in 65536 groups (`NGROUPS_MAX`).
const MOST: u64 = 1 << 20;
/// How long a directory service that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// There is no such program here, so nothing but files can be asked.
pub struct NoProgram;

/// What it says of a key in a database; nothing if it knows none, fails, or takes too long.
///
/// # Errors
/// If there is no such program.
pub fn ask(database: &str, key: &OsStr) -> Result<Vec<u8>, NoProgram> {
    let program = PLACES.into_iter().map(Path::new).find(|place| place.exists()).ok_or(NoProgram)?;
    let mut command = Command::new(program);
    command.args(["--", database]).arg(key).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    Ok(answer(&mut command, PATIENCE).unwrap_or_default())
}

/// Standard output of a program that ends well, in time.
fn answer(command: &mut Command, patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
    let mut answer = Vec::new();
    let mut output = child.stdout.take()?.take(MOST);
    let is_whole = loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(output.get_ref(), PollFlags::IN)], left.as_ref()) {
            Ok(0) => break false,
            Err(Errno::INTR) => continue,
            Err(_) => break false,
            Ok(_) => {}
        }
        let mut part = [0; 4096];
        match output.read(&mut part) {
            Ok(0) => break output.limit() > 0,
            Ok(count) => answer.extend(&part[..count]),
            Err(_) => break false,
        }
    };
    if !is_whole {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    (is_whole && status.success()).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str, patience: Duration) -> Option<Vec<u8>> {
        answer(Command::new("/bin/sh").args(["-c", script]), patience)
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        assert_eq!(said("echo a", PATIENCE).as_deref(), Some(&b"a\n"[..]));
        assert_eq!(said("echo a; exit 2", PATIENCE), None);
        assert_eq!(said("echo a; exec sleep 1000", Duration::from_millis(50)), None, "it hangs, and is ended");
    }
}
