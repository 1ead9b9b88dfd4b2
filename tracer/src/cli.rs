//! The command line: types and value parsers, no behaviour.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;
use jiff::SignedDuration;

use crate::{
    audit::Gate,
    console::style,
    filter::{NsArg, Options, parse_ns, rule},
    finding::RuleDef,
    ident::quote,
    serve::door::parse_address,
    signal::Signal,
    source::{hooks::Hooks, load::LoadOptions, rings::Transport},
    thresholds::Thresholds,
    when::When,
};

pub mod agent;
mod part;
mod record;
mod show;
mod thresholds;
mod top;
mod why;

pub use agent::Agent;
pub use part::Part;
pub use record::Record;
pub use show::Show;
pub use thresholds::ThresholdArgs;
pub use top::Top;
pub use why::Why;

/// Says what really happens to signals and to children that should be reaped.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "Start with `tracer demo` to see what it tells, `tracer doctor` to see what this machine allows.\n\
                  Live commands need root: sudo tracer watch"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report dropped signals, unreaped children and adopted orphans as they happen
    Watch(Box<Watch>),
    /// Show processes and findings on a full screen, as they are now and were a moment ago
    Top(Box<Top>),
    /// Keep what happens in a file, while a command runs or until Ctrl-C; fail on findings
    Record(Box<Record>),
    /// Show what a recording tells, as it was live
    Replay(Box<Replay>),
    /// Print each record of a recording, field by field
    Dump(Dump),
    /// Write a recording in the format of another tool: Perfetto, Parquet, JSON lines, CSV
    Export(Export),
    /// Write what a recording tells as one page to look at in a browser, and to attach to a ticket
    Report(Box<Report>),
    /// Print the process tree of each pid namespace as it is now, or was at a moment of a recording
    Tree(Tree),
    /// Tell all about one process: its life in a recording, or what can be seen of it now
    Why(Why),
    /// Predict, without eBPF, which containers ignore their stop signal or fail to reap
    Audit(Audit),
    /// Watch without a terminal, as a service: findings to the journal, numbers, the last minutes in memory
    Agent(Box<Agent>),
    /// Check or print a configuration of the agent
    Config(agent::Config),
    /// Tell of findings for an agent, which has started this
    #[command(hide = true)]
    AgentMessenger(agent::Messenger),
    /// Send findings and numbers for an agent, which has started this
    #[command(hide = true)]
    AgentCourier(agent::Courier),
    /// Look at processes for an agent, which has started this
    #[command(hide = true)]
    AgentHelper {
        /// The configuration
        config: Option<PathBuf>,
    },
    /// Say what this machine allows, and what therefore cannot be proved
    Doctor(Doctor),
    /// Explain a rule: what it means, why the kernel does so, how to fix it
    Explain(Explain),
    /// List all rules
    Rules(Rules),
    /// Stage dropped signals, zombies and orphans in throw-away namespaces, and show what is said
    Demo(Demo),
    /// Print the completions of this command line for a shell
    Completions(Completions),
    /// Print the manual page of a command, or write all pages into a folder
    Man(Man),
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, as docs/json.md describes
    Json,
}

/// Options of `tracer watch`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer watch                             findings only, until Ctrl-C
  sudo tracer watch --ns 4242 --events          everything in the namespace of pid 4242
  sudo tracer watch --events=signal --lost      only signals that did nothing
  sudo tracer watch --to-pid 4242 -s TERM,KILL --events=signal
  sudo tracer watch -o json --min-severity warning --duration 1m | jq .
  sudo tracer watch --serve 7070                and a live page for a browser on this machine

Filters narrow what is shown; everything is still observed.
Pids are those of the host.")]
pub struct Watch {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// What to show.
    #[command(flatten)]
    pub show: Show,

    /// Keep a trace of it in this file, for `tracer replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Show all of it on a page for a browser, too: on this loopback address; port 0 is any free one
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = parse_address)]
    pub serve: Option<SocketAddr>,

    /// Stop after this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// How to trace.
    #[command(flatten)]
    pub probes: Probes,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}

/// How to trace.
#[derive(Args, Clone, Debug)]
pub struct Probes {
    /// Memory for events on their way from the kernel: a power of two, 4KiB to 1GiB. Half of it is for signals, in a ring
    /// for each processor
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = parse_ring_size)]
    pub ring_size: u32,

    /// Which way signals take from the kernel
    #[arg(long, value_enum, default_value_t, value_name = "WAY", hide_short_help = true)]
    pub transport: Transport,

    /// Hooks besides the tracepoints, for the exact moments of reaps and adoptions
    #[arg(long, value_enum, default_value_t, value_name = "WHICH", hide_short_help = true)]
    pub hooks: Hooks,

    /// Print the log of the eBPF programs to standard error
    #[arg(long, hide_short_help = true)]
    pub debug_probes: bool,

    /// Throw away this share of the records, 0 to 1, and count them as lost: to see what a loss does
    #[arg(long, value_name = "RATE", default_value_t, value_parser = parse_share, hide_short_help = true)]
    pub simulate_loss: f64,
}

impl From<&Probes> for LoadOptions {
    fn from(probes: &Probes) -> Self {
        let Probes { ring_size, transport, hooks, debug_probes, simulate_loss } = *probes;
        Self { ring_size, transport, hooks, debug: debug_probes, simulate_loss, ..Self::default() }
    }
}

/// Options of `tracer replay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer replay run.mcap                    the findings of a recording
  tracer replay run.mcap --events -o json   everything in it
  tracer replay run.mcap --from -10s        the last ten seconds
  tracer replay run.mcap --at 12:34:09 --events --tree 4242
  tracer replay run.mcap --tui              the screen of `tracer top`, over the recording
  tracer replay run.mcap --serve 7070 --speed 1x
  ssh host cat run.mcap | tracer replay -

Pids are those of the host that was recorded. Moments: 12:34:09.5 (on the day of the recording),
2026-11-24T12:34:09Z, +2m (after the beginning), -10s (before the end).")]
pub struct Replay {
    /// The trace; `-` is standard input
    pub file: PathBuf,

    /// On a full screen, as `tracer top`: with --at, that moment first; `/` takes the filter options
    #[arg(long, conflicts_with_all = [
        "output", "events", "each", "from", "until", "scope", "speed", "serve", "pids", "from_pids", "to_pids", "ns", "tree",
        "containers", "images", "pods", "side", "signals", "lost", "rules", "min_severity",
    ])]
    pub tui: bool,

    /// With --tui: leave the mouse to the terminal; `m` takes it
    #[arg(long, requires = "tui", hide_short_help = true)]
    pub no_mouse: bool,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// What to show.
    #[command(flatten)]
    pub show: Show,

    /// Which part of the recording.
    #[command(flatten)]
    pub part: Part,

    /// How fast: 1x is as it was, 10x ten times faster, max without waiting
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = parse_speed)]
    pub speed: Speed,

    /// Show it on a page for a browser, too, until Ctrl-C: on this loopback address; port 0 is any free one
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = parse_address)]
    pub serve: Option<SocketAddr>,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}

/// Playback speed relative to the original; `None` does not wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(pub Option<f64>);

/// Options of `tracer dump`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "docs/trace-format.md says what the fields mean. Nothing is looked up, counted or joined:
`tracer replay` does that.")]
pub struct Dump {
    /// The trace; `-` is standard input
    pub file: PathBuf,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// Options of `tracer export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer export run.mcap --to perfetto -o run.pftrace   for the Perfetto UI
  tracer export run.mcap --to parquet -o run            a folder of tables, for DuckDB, pandas, polars
  tracer export run.mcap --to lake -o lake              adds it to tables of many hosts: docs/lake.md
  tracer export run.mcap --to csv -o run.csv            for a spreadsheet
  tracer export run.mcap --to jsonl | jq 'select(.kind == \"signal\")'

docs/export.md describes the formats, with queries.")]
pub struct Export {
    /// The trace; `-` is standard input
    pub file: PathBuf,

    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: Format,

    /// Where to: a file that is not there yet, for parquet a folder, for a lake also one that is there; `-` is standard output [default: -]
    #[arg(short, long, value_name = "OUT", default_value = "-", hide_default_value = true)]
    pub out: PathBuf,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}

/// Formats of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A track for each process, for the Perfetto UI and its trace processor
    Perfetto,
    /// The lines of `tracer replay -o json --events`
    Jsonl,
    /// Tables of processes, signals, events and findings
    Parquet,
    /// Tables of many hosts and days, to which a recording is added
    Lake,
    /// One table of everything
    Csv,
}

/// Options of `tracer report`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer report run.mcap -o run.html         findings, stops, a time line and the process tree
  tracer report run.mcap -o run.html --container payments --from -5m
  ssh host cat run.mcap | tracer report - > run.html

The page is one file that loads nothing and needs no network. Command lines and names are on it.
It says what was asked for. docs/report.md describes it. Pids are those of the host that was recorded.
Moments: see `tracer replay --help`.")]
pub struct Report {
    /// The trace; `-` is standard input
    pub file: PathBuf,

    /// Where to: a file that is not there yet; `-` is standard output [default: -]
    #[arg(short, long, value_name = "OUT", default_value = "-", hide_default_value = true)]
    pub out: PathBuf,

    /// What to show.
    #[command(flatten)]
    pub filter: Options,

    /// Which part of the recording.
    #[command(flatten)]
    pub part: Part,

    /// From when on something is a finding.
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
}

/// Options of `tracer tree`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer tree                  every pid namespace
  sudo tracer tree --ns 4242        the namespace of pid 4242 and those nested in it
  sudo tracer tree --zombies        zombies, and who owes them a wait
  tracer tree run.mcap --at -10s    as it was ten seconds before the end of a recording")]
pub struct Tree {
    /// A recording to take it from; `-` is standard input [default: this machine, now]
    pub file: Option<PathBuf>,

    /// The moment: 12:34:09, 2026-11-24T12:34:09Z, +2m or -10s [default: the end]
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, requires = "file")]
    pub at: Option<When>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// Only this pid namespace and those nested in it, by inode number or by the pid of a member
    #[arg(long, value_name = "INODE|PID", value_parser = parse_ns)]
    pub ns: Option<NsArg>,

    /// Only zombies and their ancestors
    #[arg(long)]
    pub zombies: bool,
}

/// Options of `tracer audit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer audit                       every pid namespace of this machine
  sudo tracer audit --signal QUIT         another stop signal than SIGTERM
  tracer audit -o json | jq 'select(.acts == false)'
  sudo tracer audit --fail-on init-ignored-signal,unreaped-child

Without root only one's own processes are seen in full, and less is sure.")]
pub struct Audit {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,

    /// The signal with which they are asked to end [default: that of the container, else TERM]
    #[arg(short, long, value_name = "SIGNAL")]
    pub signal: Option<Signal>,

    // The threshold of the same name in words of its own: here nothing is reported from then on.
    /// Pids or pseudo-terminals of which so much is in use, of a hundred, are running out
    #[arg(long, value_name = "PERCENT", default_value_t = Thresholds::default().pressure_at, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub pressure_at: u64,

    /// Exit with 3 if one of these is found
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    pub fail_on: Vec<Gate>,
}

/// Options of `tracer doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// Options of `tracer demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Without root, or where live tracing does not work, it shows a recording of itself.")]
pub struct Demo {
    /// Show the recording, and stage nothing
    #[arg(long)]
    pub recorded: bool,

    /// Keep a trace of it in this file
    #[arg(long, value_name = "FILE", conflicts_with = "recorded")]
    pub record: Option<PathBuf>,
}

/// Options of `tracer explain`.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// The rule
    #[arg(value_name = "RULE", value_parser = rule())]
    pub rule: &'static RuleDef,
}

/// Options of `tracer rules`.
#[derive(Args, Clone, Debug)]
pub struct Rules {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// Options of `tracer completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  source <(tracer completions bash)             for this shell
  tracer completions bash | sudo tee /usr/share/bash-completion/completions/tracer >/dev/null
  tracer completions zsh | sudo tee /usr/share/zsh/vendor-completions/_tracer >/dev/null
  tracer completions fish > ~/.config/fish/completions/tracer.fish")]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Options of `tracer man`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  tracer man watch | man -l -
  sudo tracer man --all /usr/local/share/man/man1      then: man tracer-watch")]
pub struct Man {
    /// The command [default: the program as a whole]
    #[arg(value_parser = parse_command)]
    pub command: Option<String>,

    /// Write all pages into this folder, over those that are there
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub all: Option<PathBuf>,
}

/// The name of a command.
fn parse_command(text: &str) -> Result<String, String> {
    // Not a list of possible values: this would need the whole definition, of which it is a part.
    let program = Cli::command();
    let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
    if names.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("no command is called {}; there are {}", quote(text), names.join(", ")))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wanted = "give a number and a unit, such as 500ms, 2s, 1m30s or 1h";
    let signed: SignedDuration = text.parse().map_err(|_| wanted)?;
    Duration::try_from(signed).map_err(|_| format!("a time cannot be negative; {wanted}"))
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed(None));
    }
    let times = text.strip_suffix('x').and_then(|times| times.parse().ok());
    let times = times.filter(|times: &f64| times.is_finite() && *times > 0.0);
    times.map(|times| Speed(Some(times))).ok_or_else(|| "give a speed such as 1x, 10x, 0.5x or max".to_owned())
}

/// A share: a number from 0 to 1.
///
/// # Errors
/// What is wrong with it.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "give a share from 0 to 1, such as 0.01".to_owned())
}

const RING_MIN: u64 = 4 << 10;
const RING_MAX: u64 = 1 << 30;

/// The size of a ring buffer in bytes. The kernel wants a power of two that is a multiple of the page
/// size.
///
/// # Errors
/// What is wrong with it, and the nearest that is not.
pub fn parse_ring_size(text: &str) -> Result<u32, String> {
    let allowed = "the size must be a power of two from 4KiB to 1GiB";
    let bytes =
        parse_size::Config::new().with_binary().parse_size(text).map_err(|_| format!("{allowed}, such as 8MiB"))?;
    let show = |bytes| style::size(bytes).replace(' ', "");
    match bytes {
        ..RING_MIN => Err(format!("{allowed}; the nearest is {}", show(RING_MIN))),
        RING_MIN..=RING_MAX if bytes.is_power_of_two() => Ok(bytes as u32),
        RING_MIN..RING_MAX => {
            let above = bytes.next_power_of_two();
            Err(format!("{allowed}; the nearest are {} and {}", show(above / 2), show(above)))
        }
        _ => Err(format!("{allowed}; the nearest is {}", show(RING_MAX))),
    }
}

/// One of these words, each with what it means.
fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
    summary: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&one| PossibleValue::new(word(one)).help(summary(one))))
        .try_map(move |name| all.iter().copied().find(|&one| word(one) == name).ok_or("no such word"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filter::{SignalArg, parse_signal},
        kind::Kind,
        thresholds::Thresholds,
    };

    fn watch(args: &str) -> Result<Box<Watch>, clap::Error> {
        let cli = Cli::try_parse_from(["tracer", "watch"].into_iter().chain(args.split_whitespace()))?;
        match cli.command {
            Command::Watch(watch) => Ok(watch),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_rules() {
        let watch = watch("").unwrap();
        assert_eq!(watch.thresholds.over(Thresholds::default()), Thresholds::default());
        assert_eq!(watch.probes.ring_size, 16 << 20);
        assert!(watch.show.kinds().is_empty());
    }

    #[test]
    fn events_with_and_without_kinds() {
        assert_eq!(watch("--events").unwrap().show.kinds(), Kind::ALL);
        assert_eq!(watch("--events=fork,signal").unwrap().show.kinds(), [Kind::Fork, Kind::Signal]);
        assert_eq!(watch("--events -p 1").unwrap().show.kinds(), Kind::ALL);
        assert!(watch("--events=forks").is_err());
        assert!(watch("--events fork").is_err());
    }

    #[test]
    fn namespaces_by_inode_or_pid() {
        assert_eq!(parse_ns("4026531836"), Ok(NsArg::Inode(4_026_531_836)));
        assert_eq!(parse_ns("pid:[4026531836]"), Ok(NsArg::Inode(4_026_531_836)));
        assert_eq!(parse_ns("4242"), Ok(NsArg::Pid(4242)));
        for bad in ["", "0", "-1", "x", "pid:[4242]", "99999999999"] {
            assert!(parse_ns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_to_show_or_not() {
        assert_eq!(
            watch("-s TERM,!CHLD,sigkill,34").unwrap().show.filter.signals,
            [
                SignalArg::Only(Signal::TERM),
                SignalArg::Except(Signal::CHLD),
                SignalArg::Only(Signal::KILL),
                SignalArg::Only(Signal(34))
            ]
        );
        let error = parse_signal("!TREM").unwrap_err();
        assert!(error.starts_with("no signal is called \"TREM\"; there are HUP, INT,"), "{error}");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "30", "-2s", "2 parsecs", "s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ring_is_a_power_of_two() {
        assert_eq!(parse_ring_size("4KiB"), Ok(4096));
        assert_eq!(parse_ring_size("4096"), Ok(4096));
        assert_eq!(parse_ring_size("8M"), Ok(8 << 20));
        assert_eq!(parse_ring_size("1GiB"), Ok(1 << 30));
        for (bad, hint) in [
            ("5MiB", "the nearest are 4MiB and 8MiB"),
            ("1000", "the nearest is 4KiB"),
            ("2GiB", "the nearest is 1GiB"),
            ("0", "the nearest is 4KiB"),
            ("much", "such as 8MiB"),
            ("-1", "such as 8MiB"),
        ] {
            let error = parse_ring_size(bad).unwrap_err();
            assert!(error.ends_with(hint), "{bad}: {error}");
        }
    }

    #[test]
    fn unknown_names_are_told_with_the_known_ones() {
        for (args, wanted) in [
            ("--rule unreaped-chld", "'unreaped-child'"),
            ("--min-severity warn", "warning"),
            ("--events=sinal", "'signal'"),
            ("-p 0", "0 is not in"),
        ] {
            let error = watch(args).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
