//! Who is asked for: a process by its pid, the first one of a container, or a program by its name.

use std::{fmt, str::FromStr};

use crate::{
    filter::PID_MAX,
    ident::{Args, Comm},
};

/// Whom somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhoArg {
    /// The process with this pid on the host.
    Pid(u32),
    /// The first process of the container that is called so; for want of one the program, or the unit of systemd.
    Name(String),
}

impl FromStr for WhoArg {
    type Err = String;

    /// A number that can be a pid is one; ids of containers have more digits.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(pid @ 1..=PID_MAX) if !text.starts_with(['0', '+']) => Ok(Self::Pid(pid)),
            Ok(0) => {
                Err("there is no pid 0; give a host pid, or the name of a container, a program or a unit".to_owned())
            }
            _ if text.is_empty() => Err("give a host pid, or the name of a container, a program or a unit".to_owned()),
            _ => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for WhoArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Whether a name is a program's: the kernel keeps 15 bytes of it, the command line the whole path.
pub(super) fn is_called(name: &str, comm: &[u8], args: &Args) -> bool {
    let file = args.iter().next().and_then(|program| program.rsplit(|&byte| byte == b'/').next());
    comm == Comm::cut(name.as_bytes()).bytes() || file == Some(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_either_of_its_names() {
        let args = Args::of(&["/opt/bin/a-program-with-a-long-name".to_owned(), "other".to_owned()]);
        for name in ["a-program-with-a-long-name", "a-program-with-"] {
            assert!(is_called(name, b"a-program-with-", &args), "{name}");
        }
        assert!(is_called("tmux: server", b"tmux: server", &Args::default()));
        for name in ["other", "tmux", "bin", ""] {
            assert!(!is_called(name, b"tmux: server", &args), "{name}");
        }
    }

    #[test]
    fn a_small_number_is_a_pid_and_all_else_a_name() {
        assert_eq!("4242".parse(), Ok(WhoArg::Pid(4242)));
        for name in ["web", "044f49741854", "99999999", "12ab", "-"] {
            assert_eq!(name.parse(), Ok(WhoArg::Name(name.into())), "{name}");
        }
        for bad in ["", "0"] {
            assert!(bad.parse::<WhoArg>().is_err(), "{bad}");
        }
    }
}
