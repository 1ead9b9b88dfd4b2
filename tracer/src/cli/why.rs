//! The options of `tracer why`.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;

use super::{Output, PID_MAX};
use crate::when::When;

/// Options of `tracer why`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer why 4242                        this machine, now: what can be seen of pid 4242
  sudo tracer why web                    pid 1 of the container web
  sudo tracer record -o run.mcap         history needs a recording, until Ctrl-C
  tracer why 4242 run.mcap               the life of pid 4242 as it was recorded
  tracer why web run.mcap --at -10s      as it was known ten seconds before the end

Pids are those of the host, or of the host that was recorded. Where one was used more than once, the
last process that had it is shown; with --at, the last up to that moment.

Without a recording nothing but /proc is read: no eBPF, and no root for one's own processes.")]
pub struct Why {
    /// A process by its host pid, or pid 1 of a container by name or id (or its beginning)
    #[arg(value_name = "PID|CONTAINER")]
    pub who: WhoArg,

    /// A recording to take it from; `-` is standard input [default: this machine, now]
    pub file: Option<PathBuf>,

    /// The moment: 12:34:09, 2026-11-24T12:34:09Z, +2m or -10s [default: the end]
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, requires = "file")]
    pub at: Option<When>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// Whom the command line means.
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
