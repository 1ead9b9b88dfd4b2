//! Who is asked for: a process, or the first one of a container.

use std::{fmt, str::FromStr};

use crate::filter::PID_MAX;

/// Whom somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhoArg {
    /// The process with this pid on the host.
    Pid(u32),
    /// The first process of the container that is called so.
    Container(String),
}

impl FromStr for WhoArg {
    type Err = String;

    /// A number that can be a pid is one; ids of containers have more digits.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(pid @ 1..=PID_MAX) if !text.starts_with(['0', '+']) => Ok(Self::Pid(pid)),
            Ok(0) => Err("there is no pid 0; give a host pid, or the name or id of a container".to_owned()),
            _ if text.is_empty() => Err("give a host pid, or the name or id of a container".to_owned()),
            _ => Ok(Self::Container(text.to_owned())),
        }
    }
}

impl fmt::Display for WhoArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Container(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_is_a_pid_and_all_else_a_container() {
        assert_eq!("4242".parse(), Ok(WhoArg::Pid(4242)));
        for name in ["web", "044f49741854", "99999999", "12ab", "-"] {
            assert_eq!(name.parse(), Ok(WhoArg::Container(name.into())), "{name}");
        }
        for bad in ["", "0"] {
            assert!(bad.parse::<WhoArg>().is_err(), "{bad}");
        }
    }
}
