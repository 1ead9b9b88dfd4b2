//! The options of `tracer top`.

use clap::Args;

use super::{Probes, ThresholdArgs};

/// Options of `tracer top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer top                   what happens now; ? shows the keys
  sudo tracer top --kept            the last minutes, as an agent or a flight recorder has kept them
  tracer replay run.mcap --tui      the same screen over a recording

No key ends a process. A pause looks back over what is in memory: the last ten minutes, or less if
much happens. `s` saves that as a recording, `o` writes a page for a browser.")]
pub struct Top {
    /// Leave the mouse to the terminal; `m` takes it
    #[arg(long)]
    pub no_mouse: bool,

    /// Look back over what an agent or a flight recorder on this machine has in memory, instead of tracing
    #[arg(long)]
    pub kept: bool,

    /// How to trace.
    #[command(flatten)]
    pub probes: Probes,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}
