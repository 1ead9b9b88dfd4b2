//! Who is asked for: a process by its pid, the first one of a container, or that of a program or a unit by its name.

use std::{fmt, str::FromStr};

use crate::{
    filter::PID_MAX,
    host::{Container, Engine},
    ident::{Args, Comm, read_back},
    programs,
    when::When,
};

/// What the command line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhoArg {
    /// The process with this pid on the host; in a recording the last that had it, or the one that had it at that
    /// moment.
    Pid(u32, Option<When>),
    /// The first process of the container that is called so; for want of one the program, or the unit of systemd.
    Name(Name),
}

/// A name as it was given. It may be written as `tracer` prints it: in quotation marks, with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    given: String,
    /// What was meant, if it was written so.
    read: Vec<u8>,
}

/// How a name fits a unit, better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It is all of it.
    Whole,
    /// It is what a user's service manager calls it, without the service that this manager is.
    InManager,
}

impl FromStr for WhoArg {
    type Err = String;

    /// A number that can be a pid is one; the ids of containers have more digits.
    fn from_str(text: &str) -> Result<Self, String> {
        let moment = text.split_once('@').and_then(|(pid, at)| Some((pid, at.parse().ok()?)));
        let (number, at) = moment.map_or((text, None), |(pid, at)| (pid, Some(at)));
        match number.parse() {
            Ok(pid @ 1..=PID_MAX) if !number.starts_with(['0', '+']) => Ok(Self::Pid(pid, at)),
            Ok(0) => {
                Err("there is no pid 0; give a host pid, or the name of a container, a program or a unit".to_owned())
            }
            _ if text.is_empty() => Err("give a host pid, or the name of a container, a program or a unit".to_owned()),
            _ => Ok(Self::Name(text.into())),
        }
    }
}

impl fmt::Display for WhoArg {
    /// Without a moment. A name is not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid, _) => pid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl From<&str> for Name {
    fn from(given: &str) -> Self {
        Self { given: given.to_owned(), read: read_back(given).unwrap_or_else(|| given.into()) }
    }
}

impl fmt::Display for Name {
    /// As it was given, without quotation marks: not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_quoted = self.given.len() > 1 && self.given.starts_with('"') && self.given.ends_with('"');
        if is_quoted { String::from_utf8_lossy(&self.read).fmt(f) } else { self.given.fmt(f) }
    }
}

impl Name {
    /// What it can stand for.
    fn either(&self) -> [&[u8]; 2] {
        [self.given.as_bytes(), &self.read]
    }

    fn is(&self, name: impl AsRef<[u8]>) -> bool {
        self.either().contains(&name.as_ref())
    }

    /// What was meant: as it was given, if that was not written as `tracer` prints it.
    pub(super) fn read(&self) -> &[u8] {
        &self.read
    }

    /// Whether it is a program's: the kernel keeps 15 bytes of it, the command line the whole path.
    pub(super) fn is_program(&self, comm: &[u8], args: &Args) -> bool {
        let file = args.iter().next().map(programs::file_name);
        let is_cut_of = |name: &[u8]| {
            // The file of another program may have a name that begins alike.
            let is_others = file.is_some_and(|file| file != name && file.starts_with(comm));
            comm != name && comm == Comm::cut(name).bytes() && !is_others
        };
        self.is(comm) || file.is_some_and(|file| self.is(file)) || self.either().into_iter().any(is_cut_of)
    }

    /// Whether it is a unit's, which has that id.
    pub(super) fn fits_unit(&self, id: &str) -> Option<Fit> {
        let kinds = [".service", ".scope"];
        let is = |name: &str| {
            self.is(name) || kinds.iter().any(|kind| name.strip_suffix(kind).is_some_and(|name| self.is(name)))
        };
        match id.rsplit_once('/') {
            _ if is(id) => Some(Fit::Whole),
            Some((_, own)) if is(own) => Some(Fit::InManager),
            _ => None,
        }
    }

    /// Whether it says that it is a unit's.
    pub(super) fn says_unit(&self) -> bool {
        self.either().iter().any(|name| [&b".service"[..], b".scope"].iter().any(|kind| name.ends_with(kind)))
    }

    /// The containers of which it is the name or the whole id.
    pub(super) fn containers<'a>(&self, all: impl Iterator<Item = &'a Container>) -> Vec<&'a Container> {
        let is_so = |one: &&Container| {
            let Container { id, name, .. } = one;
            self.is(id) || name.as_ref().is_some_and(|name| self.is(name)) || self.is(&*one.label())
        };
        all.filter(is_container).filter(is_so).collect()
    }

    /// The containers of which it is the beginning of the id.
    pub(super) fn begins<'a>(&self, all: impl Iterator<Item = &'a Container>) -> Vec<&'a Container> {
        let is_so =
            |one: &&Container| self.either().iter().any(|name| !name.is_empty() && one.id.as_bytes().starts_with(name));
        all.filter(is_container).filter(is_so).collect()
    }
}

/// Units have names of their own kind.
pub(super) fn is_container(one: &&Container) -> bool {
    one.engine != Engine::Systemd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(program: &str) -> Args {
        Args::of(&[program.to_owned(), "other".to_owned()])
    }

    #[test]
    fn a_program_is_known_by_either_of_its_names() {
        let is = |name: &str, comm: &[u8], args: &Args| Name::from(name).is_program(comm, args);
        let long = args("/opt/bin/a-program-with-a-long-name");
        for name in ["a-program-with-a-long-name", "a-program-with-"] {
            assert!(is(name, b"a-program-with-", &long), "{name}");
        }
        assert!(is("a-program-with-a-long-name", b"a-program-with-", &Args::default()));
        assert!(!is("a-program-with-another", b"a-program-with-", &long), "it is another one");
        // A script: the command line begins with what runs it.
        assert!(is("a-program-with-a-long-name", b"a-program-with-", &args("/bin/bash")));
        assert!(is("tmux: server", b"tmux: server", &Args::default()));
        for name in ["other", "tmux", "bin", "server"] {
            assert!(!is(name, b"tmux: server", &long), "{name}");
        }
    }

    #[test]
    fn a_name_may_be_written_as_it_is_printed() {
        for (name, comm) in [
            ("\"tmux: server\"", &b"tmux: server"[..]),
            ("\"runc:[2:INIT]\"", b"runc:[2:INIT]"),
            ("runc:[2:INIT]", b"runc:[2:INIT]"),
            ("\"a\\\"b\\\\\\xff\"", b"a\"b\\\xff"),
            ("caf\\xe9", b"caf\xe9"),
            // Whoever is really called so is found, too.
            ("\"x\"", b"\"x\""),
            ("a\\nb", b"a\\nb"),
            ("a\\nb", b"a\nb"),
        ] {
            assert!(Name::from(name).is_program(comm, &Args::default()), "{name}");
        }
    }

    #[test]
    fn a_unit_is_known_by_all_of_its_name_or_the_last_part() {
        let fit = |name: &str, id: &str| Name::from(name).fits_unit(id);
        for name in ["nginx.service", "nginx", "\"nginx.service\""] {
            assert_eq!(fit(name, "nginx.service"), Some(Fit::Whole), "{name}");
            assert_eq!(fit(name, "user@1000.service/nginx.service"), Some(Fit::InManager), "{name}");
        }
        let id = "user@1000.service/app-a\\x2db.scope";
        for (name, wanted) in [
            (id, Some(Fit::Whole)),
            ("user@1000.service/app-a\\x2db", Some(Fit::Whole)),
            ("app-a\\x2db.scope", Some(Fit::InManager)),
            ("\"app-a\\\\x2db.scope\"", Some(Fit::InManager)),
            ("user@1000.service", None),
            ("app-a", None),
            ("", None),
        ] {
            assert_eq!(fit(name, id), wanted, "{name}");
        }
        assert_eq!(fit("ngin", "nginx.service"), None);
    }

    #[test]
    fn a_container_is_known_by_its_name_its_id_and_as_it_is_shown() {
        let of =
            |name: &str, uid| Container { id: "beef".into(), name: Some(name.into()), uid, ..Container::default() };
        let unit = Container { id: "web".into(), engine: Engine::Systemd, ..Container::default() };
        let all = [of("web", None), of("shop", Some(1000)), unit];
        let called = |name: &str| Name::from(name).containers(all.iter()).len();
        assert_eq!(
            ["web", "beef", "shop", "shop (uid 1000)", "\"shop (uid 1000)\"", "be"].map(called),
            [1, 2, 1, 1, 1, 0]
        );
        assert_eq!(Name::from("be").begins(all.iter()).len(), 2);
    }

    #[test]
    fn a_small_number_is_a_pid_and_all_else_a_name() {
        assert_eq!("4242".parse(), Ok(WhoArg::Pid(4242, None)));
        assert_eq!("4242@-10s".parse(), Ok(WhoArg::Pid(4242, "-10s".parse().ok())));
        assert_eq!("4242@12:34:09.5".parse(), Ok(WhoArg::Pid(4242, "12:34:09.5".parse().ok())));
        for name in ["web", "044f49741854", "99999999", "12ab", "-", "getty@tty1", "7@x.service", "web@12:00:00"] {
            assert_eq!(name.parse(), Ok(WhoArg::Name(name.into())), "{name}");
        }
        for bad in ["", "0"] {
            assert!(bad.parse::<WhoArg>().is_err(), "{bad}");
        }
    }
}
