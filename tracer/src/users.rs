//! The user database: `/etc/passwd` and `/etc/group`, and the system's own `getent` for whatever else holds users there
//! (systemd-homed, LDAP, SSSD).
//!
//! The files alone are asked where they are all that the system asks, or where what they say is final.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
};

use crate::getent::{self, NoProgram};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const NSSWITCH: &str = "/etc/nsswitch.conf";

/// An entry of the user database (passwd(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name with which they log in.
    pub name: OsString,
    /// The user's number.
    pub uid: u32,
    /// Their first group.
    pub gid: u32,
    /// Their home.
    pub dir: OsString,
    /// Their shell.
    pub shell: OsString,
}

/// By what a user is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The number.
    Uid(u32),
    /// The name.
    Name(&'a OsStr),
}

impl Key<'_> {
    fn fits(self, user: &User) -> bool {
        match self {
            Self::Uid(uid) => user.uid == uid,
            Self::Name(name) => user.name == name,
        }
    }
}

/// Their entry, if there is one and it can be had.
pub fn user(key: Key<'_>) -> Option<User> {
    let in_file = || entry(&read(PASSWD), key);
    let services = services(&read(NSSWITCH), &["passwd"]);
    if is_files_alone(&services) {
        return in_file();
    }
    if is_files_first(&services)
        && let Some(user) = in_file()
    {
        return Some(user);
    }
    match asked("passwd", key) {
        Ok(answer) => entry(&answer, key),
        Err(NoProgram) => in_file(),
    }
}

/// Who is meant by a name, or by a number that nobody has as a name: in an image without a user database there are only
/// numbers, and a user without an entry is in the group of the same number.
pub fn meant(name: &str) -> Option<User> {
    user(Key::Name(name.as_ref())).or_else(|| {
        let uid = id(name.as_bytes())?;
        let nameless = || User { name: name.into(), uid, gid: uid, dir: OsString::from("/"), shell: OsString::new() };
        Some(user(Key::Uid(uid)).unwrap_or_else(nameless))
    })
}

/// The groups of a user whose first group is `gid`, that one first (getgrouplist(3)). Where the system gives no answer,
/// those of the file: too few rather than too many.
pub fn groups(name: &OsStr, gid: u32) -> Vec<u32> {
    let services = services(&read(NSSWITCH), &["initgroups", "group"]);
    let answer = if is_files_alone(&services) { None } else { asked("initgroups", Key::Name(name)).ok() };
    let others = answer.and_then(|answer| of_getent(&answer, name)).unwrap_or_else(|| memberships(&read(GROUP), name));
    let others: BTreeSet<_> = others.into_iter().filter(|&other| other != gid).collect();
    std::iter::once(gid).chain(others).collect()
}

/// The number of a group, if there is one of that name.
pub fn group(name: &OsStr) -> Option<u32> {
    let in_file = || number(&read(GROUP), name);
    if is_files_alone(&services(&read(NSSWITCH), &["group"])) {
        return in_file();
    }
    asked("group", Key::Name(name)).map_or_else(|NoProgram| in_file(), |answer| number(&answer, name))
}

/// What `getent` says of somebody; it takes digits for a number.
fn asked(database: &str, key: Key<'_>) -> Result<Vec<u8>, NoProgram> {
    match key {
        Key::Uid(uid) => getent::ask(database, uid.to_string().as_ref()),
        Key::Name(name) if is_name(name) => getent::ask(database, name),
        Key::Name(_) => Ok(Vec::new()),
    }
}

fn is_name(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().iter().all(u8::is_ascii_digit)
}

/// What is there; nothing if it cannot be read.
fn read(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// The services of the first of these databases that `nsswitch.conf` has, and the actions between them.
fn services(config: &[u8], databases: &[&str]) -> Vec<String> {
    let config = String::from_utf8_lossy(config);
    let lines = || config.lines().map(|line| line.split('#').next().unwrap_or_default());
    let of = |database: &str| {
        lines().find_map(|line| {
            let (name, services) = line.split_once(':')?;
            (name.trim() == database).then(|| services.split_whitespace().map(str::to_owned).collect())
        })
    };
    databases.iter().find_map(|database| of(database)).unwrap_or_default()
}

/// Whether a user whom the file knows is looked for nowhere else. The first service that knows one ends the search,
/// unless an action in brackets says otherwise.
fn is_files_first(services: &[String]) -> bool {
    services.first().is_some_and(|first| first == "files")
        && services.get(1).is_none_or(|second| !second.starts_with('['))
}

/// Without a line for it, a database is its file.
fn is_files_alone(services: &[String]) -> bool {
    services.iter().all(|service| service == "files")
}

/// The first entry of that user among lines of passwd(5).
fn entry(lines: &[u8], key: Key<'_>) -> Option<User> {
    lines.split(|&byte| byte == b'\n').filter_map(parse).find(|user| key.fits(user))
}

/// A line of passwd(5). One that does not hold all that it should is no user.
fn parse(line: &[u8]) -> Option<User> {
    let fields: Vec<_> = line.split(|&byte| byte == b':').collect();
    let [name, _password, uid, gid, _comment, dir, shell] = fields[..] else { return None };
    // `+` and `-` stand for entries of NIS.
    let is_name = name.first().is_some_and(|first| !b"#+-".contains(first));
    if !is_name {
        return None;
    }
    let owned = |bytes| OsStr::from_bytes(bytes).to_owned();
    Some(User { name: owned(name), uid: id(uid)?, gid: id(gid)?, dir: owned(dir), shell: owned(shell) })
}

/// Lines of group(5): name, number and members of each.
fn all_groups(lines: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let fields: Vec<_> = line.split(|&byte| byte == b':').collect();
        let [group, _password, gid, members] = fields[..] else { return None };
        let is_name = group.first().is_some_and(|first| !b"#+-".contains(first));
        if is_name { Some((group, id(gid)?, members)) } else { None }
    })
}

/// The groups that have this member, among lines of group(5).
fn memberships(lines: &[u8], name: &OsStr) -> Vec<u32> {
    let has = |members: &[u8]| members.split(|&byte| byte == b',').any(|member| member == name.as_bytes());
    all_groups(lines).filter(|(_, _, members)| has(members)).map(|(_, gid, _)| gid).collect()
}

/// The first group of that name, among lines of group(5).
fn number(lines: &[u8], name: &OsStr) -> Option<u32> {
    all_groups(lines).find(|&(group, ..)| group == name.as_bytes()).map(|(_, gid, _)| gid)
}

/// The line that `getent initgroups NAME` prints: the name, then numbers.
fn of_getent(answer: &[u8], name: &OsStr) -> Option<Vec<u32>> {
    let numbers = answer.strip_prefix(name.as_bytes())?.strip_suffix(b"\n")?;
    let is_apart = numbers.first().is_none_or(u8::is_ascii_whitespace);
    let words = numbers.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.map(id).collect::<Option<Vec<_>>>().filter(|_| is_apart)
}

/// A number of a user or group. -1 means nobody, and to many system calls "leave it as it is".
pub fn id(digits: &[u8]) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok();
    number.filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
        #old:x:7:7::/:/bin/sh\n\
        +nis:x:8:8::/:/bin/sh\n\
        short:x:9:9\n\
        minus:x:-1:9::/:/bin/sh\n\
        most:x:4294967295:9::/:/bin/sh\n\
        signed:x:+5:9::/:/bin/sh\n\
        ann:x:1000:1001:Ann,,,:/home/ann:/bin/zsh\n\
        again:x:1000:0::/root:/bin/sh\n\
        ann:x:0:0::/root:/bin/sh";

    fn named(name: &str) -> Option<User> {
        entry(USERS, Key::Name(name.as_ref()))
    }

    #[test]
    fn the_first_whole_entry_counts() {
        let ann = named("ann").unwrap();
        assert_eq!(
            (ann.uid, ann.gid, ann.dir.to_str(), ann.shell.to_str()),
            (1000, 1001, Some("/home/ann"), Some("/bin/zsh"))
        );
        assert_eq!(entry(USERS, Key::Uid(1000)), Some(ann));
        for nobody in ["", "an", "ANN", "#old", "old", "+nis", "nis", "short", "minus", "most", "signed"] {
            assert_eq!(named(nobody), None, "{nobody}");
        }
        assert_eq!(entry(USERS, Key::Uid(5)), None);
    }

    #[test]
    fn a_number_is_a_user_with_an_entry_or_without() {
        assert_eq!(meant("0"), user(Key::Name("root".as_ref())));
        let nameless = meant("4000000001").unwrap();
        assert_eq!(
            (nameless.uid, nameless.gid, nameless.name.to_str()),
            (4_000_000_001, 4_000_000_001, Some("4000000001"))
        );
        for nobody in ["", "-1", "4294967295", "+7", "no-such-user", "0x0"] {
            assert_eq!(meant(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn groups_are_those_that_name_the_whole_user() {
        let lines = b"root:x:0:\nwheel:x:10:bob,ann\nx:x:11:annabel,an\n+nis:x:12:ann\nbad:x:y:ann\nlast:x:13:ann";
        assert_eq!(memberships(lines, "ann".as_ref()), [10, 13]);
        assert_eq!(memberships(lines, "".as_ref()), [0], "which no user is called");
        for (name, gid) in [("wheel", Some(10)), ("last", Some(13)), ("+nis", None), ("bad", None), ("las", None)] {
            assert_eq!(number(lines, name.as_ref()), gid, "{name}");
        }
        assert_eq!(group("root".as_ref()), Some(0));
    }

    #[test]
    fn an_answer_about_somebody_else_is_none() {
        assert_eq!(of_getent(b"ann                  27 44\n", "ann".as_ref()), Some(vec![27, 44]));
        assert_eq!(of_getent(b"ann                  \n", "ann".as_ref()), Some(vec![]));
        for bad in [&b"annabel 27\n"[..], b"ann 27", b"ann 27 x\n", b"bob 27\n", b""] {
            assert_eq!(of_getent(bad, "ann".as_ref()), None);
        }
    }

    #[test]
    fn the_files_are_final_where_the_system_says_so() {
        let config = b"# passwd: ldap\npasswd:\tfiles systemd # first\ngroup: files [SUCCESS=merge] systemd\n";
        assert_eq!(services(config, &["passwd"]), ["files", "systemd"]);
        assert_eq!(services(config, &["initgroups", "group"]), ["files", "[SUCCESS=merge]", "systemd"]);
        assert!(is_files_alone(&services(b"passwd: files\n", &["passwd"])));
        assert!(is_files_alone(&services(b"", &["passwd"])));
        assert!(!is_files_alone(&services(config, &["group"])));
        assert!(is_files_first(&services(config, &["passwd"])) && !is_files_first(&services(config, &["group"])));
        assert!(!is_files_first(&services(b"passwd: sss files\n", &["passwd"])));
    }

    /// The C library's own answers, by the programs that give them.
    #[test]
    fn the_users_of_this_machine_are_those_of_the_system() {
        let Ok(listed) = Command::new("getent").arg("passwd").output() else { return };
        let users: Vec<_> = listed.stdout.split(|&byte| byte == b'\n').filter_map(parse).collect();
        for known in &users {
            let found = user(Key::Name(&known.name)).unwrap();
            assert_eq!(&found, known);
            assert_eq!(user(Key::Uid(known.uid)).unwrap().uid, known.uid);
            let said = Command::new("id").arg("-G").arg("--").arg(&known.name).output().unwrap();
            let said: BTreeSet<u32> =
                String::from_utf8_lossy(&said.stdout).split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(groups(&known.name, known.gid).into_iter().collect::<BTreeSet<_>>(), said, "{known:?}");
        }
    }
    #[test]
    fn a_number_is_no_name() {
        assert!(is_name("ann".as_ref()) && is_name("0ann".as_ref()));
        assert!(!is_name("1000".as_ref()) && !is_name("".as_ref()));
    }
}
