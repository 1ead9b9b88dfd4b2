//! The options of `tracer agent`, in the sections of its configuration.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Command, Subcommand, ValueEnum};
use hyper::Uri;

use super::{Probes, ThresholdArgs, parse_duration, record::parse_size};
use crate::{
    filter::{Options, rule},
    finding::RuleDef,
    sink::trace::Redact,
};

/// Options of `tracer agent`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  sudo tracer agent --config /etc/tracer/tracer.toml
  sudo tracer agent --metrics 9469 --min-severity warning --user nobody
  sudo TRACER_METRICS=9469 tracer agent

Options have the names of the keys of the configuration: `tracer config print` shows all of them.
An option counts more than a variable TRACER_…, and that more than the configuration.
SIGHUP has the configuration read again: filters and thresholds change, all else with a restart.
docs/agent.md describes it.")]
pub struct Agent {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What else is configured.
    #[command(flatten)]
    pub settings: Settings,
}

/// What can be configured, by section.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// `[findings]`
    #[command(flatten)]
    pub findings: Findings,
    /// `[thresholds]`
    #[command(flatten)]
    pub thresholds: ThresholdArgs,
    /// `[recorder]`
    #[command(flatten)]
    pub recorder: Recorder,
    /// `[reactions]`
    #[command(flatten)]
    pub reactions: Reactions,
    /// `[metrics]`
    #[command(flatten)]
    pub metrics: Metrics,
    /// `[otlp]`
    #[command(flatten)]
    pub otlp: Otlp,
    /// `[lake]`
    #[command(flatten)]
    pub lake: Lake,
    /// `[process]`
    #[command(flatten)]
    pub process: Process,
    /// `[probes]`
    #[command(flatten)]
    pub probes: Probes,
}

/// A section of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is about, for a person.
    pub about: &'static str,
    /// Adds its options to a command.
    pub options: fn(Command) -> Command,
}

/// All sections, in the order in which they are printed.
pub static SECTIONS: &[Section] = &[
    Section {
        name: "findings",
        about: "What is reported, and where. Reloaded on SIGHUP.",
        options: Findings::augment_args,
    },
    Section {
        name: "thresholds",
        about: "From when on something is a finding. Reloaded on SIGHUP.",
        options: ThresholdArgs::augment_args,
    },
    Section {
        name: "recorder",
        about: "The last minutes in memory, which `tracer why` and `tracer top --kept` ask for, and traces on findings.",
        options: Recorder::augment_args,
    },
    Section {
        name: "reactions",
        about: "What is done about the findings that are reported.",
        options: Reactions::augment_args,
    },
    Section { name: "metrics", about: "Numbers for Prometheus.", options: Metrics::augment_args },
    Section {
        name: "otlp",
        about: "Findings and numbers for a receiver of OpenTelemetry's protocol.",
        options: Otlp::augment_args,
    },
    Section { name: "lake", about: "Tables for questions to many hosts.", options: Lake::augment_args },
    Section { name: "process", about: "The agent itself.", options: Process::augment_args },
    Section { name: "probes", about: "How to trace.", options: Probes::augment_args },
];

/// Where findings go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// To the journal if systemd has started the agent with its output there, else to standard output
    #[default]
    Auto,
    /// To the journal, with fields to search for
    Journal,
    /// To standard output, a JSON object a line, as docs/json.md describes
    Stdout,
    /// Nowhere: they are counted
    None,
}

/// What is reported, and where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Findings")]
pub struct Findings {
    /// Where findings go
    #[arg(long, value_enum, default_value_t, value_name = "PLACE")]
    pub findings_to: Place,

    /// Report each finding by itself, not only the first three similar ones and then how many more
    #[arg(long)]
    pub each: bool,

    /// The filter.
    #[command(flatten)]
    pub filter: Options,
}

/// The recent past in memory, and traces on findings.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recorder")]
pub struct Recorder {
    /// How much of the recent past is kept in memory, at most 64 MiB; 0s keeps nothing
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub before: Duration,

    /// A group whose members may ask for it, besides root
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,

    /// A folder for traces: one is written when a rule of --snapshot-on finds something
    #[arg(long, value_name = "DIR")]
    pub traces: Option<PathBuf>,

    /// The rules whose findings have a trace written: what is in memory, and 5 s more
    #[arg(long, value_name = "RULE,…", value_parser = rule(), value_delimiter = ',', hide_possible_values = true)]
    pub snapshot_on: Vec<&'static RuleDef>,

    /// How much those traces may take together; the oldest are removed
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub budget: u64,

    /// Keep this out of memory and traces
    #[arg(long, value_enum, value_name = "WHAT")]
    pub redact: Option<Redact>,
}

/// Tables for questions to many hosts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Lake")]
pub struct Lake {
    /// A folder for tables of findings, stops, signals and processes, by day: docs/lake.md
    #[arg(long, value_name = "DIR")]
    pub lake: Option<PathBuf>,

    /// How much this host's part of it may take; the oldest days are removed
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    pub lake_budget: u64,
}

/// What is done about findings.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reactions")]
pub struct Reactions {
    /// Run this program for each, with its line of JSON on standard input
    #[arg(long, value_name = "PROGRAM")]
    pub on_finding: Option<PathBuf>,

    /// Post it to this server, as JSON; there is no TLS, so use a program or a forwarder to go far
    #[arg(long, value_name = "http://HOST[:PORT]/PATH", value_parser = parse_webhook)]
    pub webhook: Option<Uri>,

    /// A file with the key that signs what is posted: X-Tracer-Signature is sha256= and its HMAC-SHA256
    #[arg(long, value_name = "FILE")]
    pub webhook_key: Option<PathBuf>,

    /// The user who does that, or the number of one; 65534 is nobody, also where there is no list of users
    #[arg(long, value_name = "USER", default_value = "65534")]
    pub reaction_user: String,

    /// How long one may take; then it is ended
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub reaction_within: Duration,

    /// How many findings a minute; of the others, the next one says how many they were
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub reactions_a_minute: u32,
}

/// What the messenger of an agent is told.
#[derive(Args, Clone, Debug)]
pub struct Messenger {
    /// Who it becomes
    #[arg(long)]
    pub user: String,
    /// What it runs
    #[arg(long)]
    pub run: Option<PathBuf>,
    /// What it asks
    #[arg(long)]
    pub post: Option<Uri>,
    /// The file with the key
    #[arg(long)]
    pub key: Option<PathBuf>,
    /// How long that may take
    #[arg(long)]
    pub within_ms: u64,
}

/// Numbers for Prometheus.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Metrics")]
pub struct Metrics {
    /// Serve them at this address, as http://ADDRESS:PORT/metrics; without an address on this machine only
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = parse_any_address)]
    pub metrics: Option<SocketAddr>,
}

/// Findings and numbers by OTLP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "OTLP")]
pub struct Otlp {
    /// Send them to this receiver; there is no TLS, so use a collector on this machine to go far
    #[arg(long, value_name = "http://HOST[:PORT]", value_parser = parse_receiver)]
    pub otlp: Option<Uri>,

    /// Over gRPC, at port 4317 if no other is given, or over HTTP, at port 4318
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    pub otlp_protocol: Protocol,

    /// How often numbers are sent; findings are sent at once
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_interval)]
    pub otlp_interval: Duration,

    /// What else is to be said of the resource that sends them, such as deployment.environment.name=test
    #[arg(long, value_name = "NAME=VALUE,…", value_delimiter = ',', value_parser = parse_attribute)]
    pub otlp_attributes: Vec<(String, String)>,

    /// The user who does that, or the number of one; 65534 is nobody, also where there is no list of users
    #[arg(long, value_name = "USER", default_value = "65534")]
    pub otlp_user: String,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// gRPC
    #[default]
    Grpc,
    /// HTTP/1.1, with protobuf as its body
    Http,
}

/// What the courier of an agent is told.
#[derive(Args, Clone, Debug)]
pub struct Courier {
    /// Who it becomes
    #[arg(long)]
    pub user: String,
    /// To whom it speaks
    #[arg(long)]
    pub to: Uri,
    /// How
    #[arg(long, value_enum)]
    pub protocol: Protocol,
    /// What is said of the resource
    #[arg(long = "attribute", value_parser = parse_attribute)]
    pub attributes: Vec<(String, String)>,
}

/// The agent itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Process")]
pub struct Process {
    /// The user, or the number of one, that the agent becomes once the programs are attached; as nothing else should run, which could end it
    #[arg(long, value_name = "USER", default_value = "tracer")]
    pub user: String,
}

/// Options of `tracer config`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    pub act: ConfigAct,
}

/// What to do with a configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigAct {
    /// Say whether a configuration is right, and what is wrong with it
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Print each setting, what it means, and its value by that configuration and the variables TRACER_…
    Print {
        /// The configuration [default: none]
        file: Option<PathBuf>,
    },
}

/// A server that is spoken to without TLS.
fn parse_webhook(text: &str) -> Result<Uri, String> {
    let wanted = "give an address, such as http://127.0.0.1:8080/findings";
    let uri: Uri = text.parse().map_err(|_| wanted)?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => Ok(uri),
        (Some("https"), _) => Err("there is no TLS here: have a program of on-finding post it, or a forwarder".into()),
        _ => Err(wanted.into()),
    }
}

/// A receiver of OTLP: the paths are those of the protocol.
fn parse_receiver(text: &str) -> Result<Uri, String> {
    let wanted = "give an address, such as http://127.0.0.1:4317";
    let uri: Uri = text.parse().map_err(|_| wanted)?;
    match (uri.scheme_str(), uri.host(), uri.path()) {
        (Some("http"), Some(_), "/" | "") => Ok(uri),
        (Some("http"), Some(_), _) => Err(format!("{wanted}: the protocol says which paths there are")),
        (Some("https"), ..) => Err("there is no TLS here: have a collector on this machine pass it on".into()),
        _ => Err(wanted.into()),
    }
}

/// A time that passes.
fn parse_interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("give a time above 0s".into()),
        interval => Ok(interval),
    }
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give a name and a value, as NAME=VALUE")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_name { Ok((name.to_owned(), value.to_owned())) } else { Err("a name has letters, digits, ., _ and -".into()) }
}

/// `PORT`, or an address and a port. Others may reach it: the numbers are no secret.
fn parse_any_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|| text.parse().ok())
        .ok_or_else(|| "give a port, or an address and a port: 9469, 0.0.0.0:9469, [::1]:9469".to_owned())
}
