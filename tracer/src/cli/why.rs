//! The options of `tracer why`.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use crate::{when::When, why::WhoArg};

/// Options of `tracer why`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer why 4242                        this machine, now: what can be seen of pid 4242, and what a
                                         flight recorder has kept of it
  sudo tracer why web                    pid 1 of the container web
  sudo tracer why redis-server           the program of that name, or the unit of systemd
  sudo tracer record -o run.mcap         history needs a recording, until Ctrl-C
  tracer why 4242 run.mcap               the life of pid 4242 as it was recorded
  tracer why web run.mcap --at -10s      as it was known ten seconds before the end
  tracer why redis-server run.mcap       why did redis-server end?
  tracer why nginx.service run.mcap      the main process of a unit of systemd
  tracer why 4242@12:34:09 run.mcap      the process that had pid 4242 at that moment, all its life

Pids are those of the host, or of the host that was recorded. Where one was used more than once, the
last process that had it is shown; with --at, the last up to that moment.

A name is a container's (name or id), else a program's (its file's, or as `ps` shows it), else a
unit's, with or without .service; with it, first a unit's. It may be written as tracer prints it, in
quotation marks. Of several processes of a name in a recording, the one is shown that tells most: one
that a signal killed, or that failed, or that a finding is about, or that lives; of those the one that
started the others, or the last. The page names the others, with how each ended.

Without a recording, /proc is read, and root asks each flight recorder that runs (`tracer record
--snapshot-on`) for what it has kept, in memory and in its files. No eBPF, and no root for one's own
processes.")]
pub struct Why {
    /// A host pid; or the name of a container (or its id), of a program, or of a unit of systemd
    #[arg(value_name = "PID|NAME")]
    pub who: WhoArg,

    /// A recording to take it from; `-` is standard input [default: this machine, now, and its flight recorders]
    pub file: Option<PathBuf>,

    /// The moment: 12:34:09, 2026-11-24T12:34:09Z, +2m or -10s [default: the end]
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, requires = "file")]
    pub at: Option<When>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}
