//! The user on whose behalf `tracer` runs as root: whoever called sudo, run0, pkexec or doas. Files are created, and
//! the command of a recording runs, with that user's rights: somebody who may only run `tracer` as root must not write
//! a file that they could not write themselves.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    os::unix::ffi::OsStrExt as _,
    sync::OnceLock,
    thread,
};

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, setfsgid, setfsuid, setgid, setgroups, setuid},
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups};

use crate::users::{self, Key, User};

/// Variables in which those programs say who called them.
pub const VARIABLES: [&str; 6] = ["SUDO_COMMAND", "SUDO_USER", SUDO_UID, SUDO_GID, PKEXEC_UID, DOAS_USER];

const SUDO_UID: &str = "SUDO_UID";
const SUDO_GID: &str = "SUDO_GID";
const PKEXEC_UID: &str = "PKEXEC_UID";
const DOAS_USER: &str = "DOAS_USER";

/// A user, as the kernel and the user database know them.
#[derive(Clone, Debug)]
pub struct Caller {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    user: Option<User>,
}

/// The caller cannot be determined. It is never taken to be root then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallerError {
    /// A variable does not hold what it should.
    #[error(
        "it is not known for whom files are to be written: {0} is {1}; run tracer by sudo as it is, or as root without it"
    )]
    NoId(&'static str, String),
    /// A user without a group.
    #[error("it is not known for whom files are to be written: {0} names {1:?}, who is not in the user database")]
    NoUser(&'static str, String),
}

static CALLER: OnceLock<Result<Option<Caller>, CallerError>> = OnceLock::new();

/// This program works for itself, whoever has called it: before anybody asks.
pub fn nobody_else() {
    // If somebody has asked, that was for nothing that is written.
    let _ = CALLER.set(Ok(None));
}

/// Who called this program by sudo or the like; `None` if this process is not root, or root itself called.
///
/// # Errors
/// If that cannot be told.
pub fn caller() -> Result<Option<&'static Caller>, CallerError> {
    let caller = CALLER.get_or_init(|| {
        if Uid::effective().is_root() { Caller::find(|name| std::env::var_os(name)) } else { Ok(None) }
    });
    match caller {
        Ok(caller) => Ok(caller.as_ref()),
        Err(error) => Err(error.clone()),
    }
}

/// Runs `act`, which works on files, with the rights of the caller if there is one.
///
/// # Errors
/// If it is not known who called, or there can be no thread with their rights.
pub fn as_caller<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    match caller().map_err(io::Error::other)? {
        None => act(),
        Some(caller) => caller.act(act),
    }
}

impl Caller {
    /// The user's number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, CallerError> {
        let user = if let Some(uid) = variable(SUDO_UID) {
            let uid = id(SUDO_UID, Some(uid.as_os_str()))?;
            let gid = id(SUDO_GID, variable(SUDO_GID).as_deref())?;
            Self::new(uid, gid, users::user(Key::Uid(uid)))
        } else if let Some(uid) = variable(PKEXEC_UID) {
            let uid = id(PKEXEC_UID, Some(uid.as_os_str()))?;
            known(PKEXEC_UID, Key::Uid(uid), &uid.to_string())?
        } else if let Some(name) = variable(DOAS_USER) {
            known(DOAS_USER, Key::Name(&name), &name.to_string_lossy())?
        } else {
            return Ok(None);
        };
        Ok((!user.uid.is_root()).then_some(user))
    }

    fn new(uid: u32, gid: u32, user: Option<User>) -> Self {
        let groups = user.as_ref().map_or_else(|| vec![gid], |user| users::groups(&user.name, gid));
        let groups = groups.into_iter().map(Gid::from_raw).collect();
        Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups, user }
    }

    /// Their entry in the user database, if there is one.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Makes this process theirs for good. Only makes system calls.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn become_for_good(&self) -> io::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.gid)?;
        Ok(setuid(self.uid)?)
    }

    /// Runs `act` in a thread that has their rights on files and none of root's. The rights end with the thread, and
    /// nothing is looked up before and used after.
    ///
    /// # Errors
    /// If there can be no such thread, and what `act` returns.
    fn act<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, || {
                self.assume()?;
                act()
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Gives this thread, and no other, their rights with files (credentials(7), capabilities(7)).
    fn assume(&self) -> io::Result<()> {
        // Not by the C library, which does it to all threads.
        let groups: Vec<_> = self.groups.iter().map(|gid| rustix::thread::Gid::from_raw(gid.as_raw())).collect();
        set_thread_groups(&groups)?;
        // They return the previous value, never an error.
        setfsgid(self.gid);
        setfsuid(self.uid);
        if setfsgid(self.gid) != self.gid || setfsuid(self.uid) != self.uid {
            return Err(Errno::EPERM.into());
        }
        // The kernel drops the file capabilities by itself, except under some `securebits`.
        let sets = capabilities(None)?;
        Ok(set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..sets })?)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{} (uid {})", user.name.display(), self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// The number that a variable holds.
fn id(name: &'static str, value: Option<&OsStr>) -> Result<u32, CallerError> {
    let Some(value) = value else { return Err(CallerError::NoId(name, "not set".to_owned())) };
    users::id(value.as_bytes()).ok_or_else(|| CallerError::NoId(name, format!("{value:?}, which is no id")))
}

fn known(variable: &'static str, key: Key<'_>, name: &str) -> Result<Caller, CallerError> {
    let user = users::user(key).ok_or_else(|| CallerError::NoUser(variable, name.to_owned()))?;
    Ok(Caller::new(user.uid, user.gid, Some(user)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<Caller>, CallerError> {
        Caller::find(|name| variables.iter().find(|(have, _)| *have == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn who_called_is_told_or_refused() {
        assert!(find(&[]).unwrap().is_none());
        assert!(find(&[(SUDO_UID, "0"), (SUDO_GID, "0")]).unwrap().is_none(), "root called it");
        let nobody = find(&[(SUDO_UID, "65534"), (SUDO_GID, "1234")]).unwrap().unwrap();
        assert_eq!((nobody.uid.as_raw(), nobody.gid.as_raw()), (65_534, 1_234));
        assert_eq!(find(&[(PKEXEC_UID, "65534")]).unwrap().unwrap().uid.as_raw(), 65_534);
        assert_eq!(find(&[(DOAS_USER, "nobody")]).unwrap().unwrap().uid.as_raw(), 65_534);
        for bad in [
            &[(SUDO_UID, "1000")][..],
            &[(SUDO_UID, "0")],
            &[(SUDO_UID, "1000"), (SUDO_GID, "")],
            &[(SUDO_UID, "1000"), (SUDO_GID, "-1")],
            &[(SUDO_UID, "1000"), (SUDO_GID, "4294967295")],
            &[(SUDO_UID, "4294967295"), (SUDO_GID, "1000")],
            &[(SUDO_UID, "4294967296"), (SUDO_GID, "1000")],
            &[(SUDO_UID, "ubuntu"), (SUDO_GID, "1000")],
            &[(PKEXEC_UID, "4000000000")],
            &[(DOAS_USER, "nobody-of-that-name")],
        ] {
            let error = find(bad).expect_err("nobody is told").to_string();
            assert!(error.contains("it is not known for whom"), "{error}");
        }
    }

    #[test]
    fn a_thread_has_their_rights_with_files_and_no_other_has() {
        if !Uid::effective().is_root() {
            return;
        }
        let nobody = find(&[(SUDO_UID, "65534"), (SUDO_GID, "1234")]).unwrap().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        // A folder of root.
        let denied = nobody.act(|| fs::write(&file, "x")).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let denied = nobody.act(|| fs::read(&file)).unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let open = tempfile::tempdir().unwrap();
        fs::set_permissions(open.path(), Permissions::from_mode(0o777)).unwrap();
        nobody.act(|| fs::write(open.path().join("theirs"), "x")).unwrap();
        let theirs = open.path().join("theirs").metadata().unwrap();
        assert_eq!((theirs.uid(), theirs.gid()), (65_534, 1_234));
        assert_eq!(file.metadata().unwrap().uid(), 0);
    }
}
