//! `getent(1)`, which asks whatever the system's user database is made of.

use std::{
    ffi::{OsStr, OsString},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::Key;

/// Where it is: Debian and its kin, old systems, NixOS. Never by PATH, which others may have set.
const PLACES: [&str; 3] = ["/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"];
/// How much of an answer is read: a user may be in 65536 groups (`NGROUPS_MAX`).
const MOST: u64 = 1 << 20;
/// How long a directory service that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// There is no such program here, so nothing but files can be asked.
pub struct NoProgram;

/// What it says of somebody; nothing if it knows nobody, fails, or takes too long.
pub fn ask(database: &str, key: Key<'_>) -> Result<Vec<u8>, NoProgram> {
    let program = PLACES.into_iter().map(Path::new).find(|place| place.exists()).ok_or(NoProgram)?;
    let key: OsString = match key {
        Key::Uid(uid) => uid.to_string().into(),
        Key::Name(name) if is_name(name) => name.to_owned(),
        Key::Name(_) => return Ok(Vec::new()),
    };
    let mut command = Command::new(program);
    command.args(["--", database]).arg(key).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    Ok(answer(&mut command, PATIENCE).unwrap_or_default())
}

/// It takes digits for a number.
fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && !bytes.iter().all(u8::is_ascii_digit)
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

    #[test]
    fn a_number_is_no_name() {
        assert!(is_name("ann".as_ref()) && is_name("0ann".as_ref()));
        assert!(!is_name("1000".as_ref()) && !is_name("".as_ref()));
    }
}
