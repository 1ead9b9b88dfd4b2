//! The filter options, and how they are parsed.

use std::fmt;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::{
    finding::{RuleDef, Severity},
    rules::{self, RULES},
    signal::Signal,
};

/// What to show. Pids are those of the host; an empty list does not narrow anything.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to show")]
pub struct Options {
    /// Only what this process takes part in, at either end
    #[arg(short, long = "pid", value_name = "PID,…", value_parser = pid(), value_delimiter = ',')]
    pub pids: Vec<u32>,

    /// Only signals that this process sends
    #[arg(long = "from-pid", value_name = "PID,…", value_parser = pid(), value_delimiter = ',')]
    pub from_pids: Vec<u32>,

    /// Only signals to this process, and findings about it
    #[arg(long = "to-pid", value_name = "PID,…", value_parser = pid(), value_delimiter = ',')]
    pub to_pids: Vec<u32>,

    /// Only this pid namespace and those nested in it, by inode number or by the pid of a member
    #[arg(long, value_name = "INODE|PID", value_parser = parse_ns)]
    pub ns: Option<NsArg>,

    /// Only this process and its descendants, also those that were adopted away
    #[arg(long, value_name = "PID", value_parser = pid())]
    pub tree: Option<u32>,

    /// Only what processes of these containers take part in, by name or id (or its beginning)
    #[arg(long = "container", value_name = "NAME|ID,…", value_delimiter = ',')]
    pub containers: Vec<String>,

    /// Only what containers of these images take part in, with the image as it was requested: nginx:1.25
    #[arg(long = "image", value_name = "IMAGE,…", value_delimiter = ',')]
    pub images: Vec<String>,

    /// Only what containers of these Kubernetes pods take part in
    #[arg(long = "pod", value_name = "POD,…", value_delimiter = ',')]
    pub pods: Vec<String>,

    /// On which side of a signal the container must be; `from` also hides its stop signal, which comes from the host
    #[arg(long, value_enum, default_value_t, value_name = "SIDE")]
    pub side: Side,

    /// Only these signals, or all but: TERM,KILL or '!CHLD'
    #[arg(short, long = "signal", value_name = "SIG,…", value_parser = parse_signal, value_delimiter = ',')]
    pub signals: Vec<SignalArg>,

    /// Only signals that had no effect, and findings about signals
    #[arg(long)]
    pub lost: bool,

    /// Only findings of these rules; `tracer rules` lists them
    #[arg(long = "rule", value_name = "RULE,…", value_parser = rule(), value_delimiter = ',', hide_possible_values = true)]
    pub rules: Vec<&'static RuleDef>,

    /// Only findings at least this urgent: info, warning or error
    #[arg(long, value_name = "SEVERITY", value_parser = severity(), hide_possible_values = true)]
    pub min_severity: Option<Severity>,
}

impl Options {
    /// The options as they are given on a command line; empty, if they narrow nothing. What was typed stands there as it
    /// was: to be escaped.
    pub fn words(&self) -> Vec<String> {
        let Self {
            pids,
            from_pids,
            to_pids,
            ns,
            tree,
            containers,
            images,
            pods,
            side,
            signals,
            lost,
            rules,
            min_severity,
        } = self;
        let side = side.to_possible_value().filter(|_| *side != Side::Any).map(|side| side.get_name().to_owned());
        let given = [
            ("--pid", list(pids)),
            ("--from-pid", list(from_pids)),
            ("--to-pid", list(to_pids)),
            ("--ns", list(ns)),
            ("--tree", list(tree)),
            ("--container", list(containers)),
            ("--image", list(images)),
            ("--pod", list(pods)),
            ("--side", list(&side)),
            ("--signal", list(signals)),
            ("--rule", list(rules.iter().map(|rule| rule.name))),
            ("--min-severity", list(min_severity)),
        ];
        let mut words: Vec<_> =
            given.into_iter().filter_map(|(name, list)| Some(format!("{name} {}", list?))).collect();
        words.extend(lost.then(|| "--lost".to_owned()));
        words
    }
}

/// What a person has listed; `None`, if that is nothing.
fn list<T: ToString>(all: impl IntoIterator<Item = T>) -> Option<String> {
    let all: Vec<_> = all.into_iter().map(|one| one.to_string()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// A pid namespace as the user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsArg {
    /// Its inode number, as in `ls -l /proc/PID/ns/pid`.
    Inode(u32),
    /// The host pid of a process that lives in it.
    Pid(u32),
}

impl fmt::Display for NsArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Inode(number) | Self::Pid(number)) = self;
        number.fmt(f)
    }
}

/// A side of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// It sends.
    From,
    /// It is sent to.
    To,
    /// Either.
    #[default]
    Any,
}

/// A signal to show, or not to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalArg {
    /// `TERM`
    Only(Signal),
    /// `!TERM`
    Except(Signal),
}

impl fmt::Display for SignalArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(signal) => signal.fmt(f),
            Self::Except(signal) => write!(f, "!{signal}"),
        }
    }
}

/// `PID_MAX_LIMIT`: ids of containers are no pids, and inode numbers of namespaces begin far above, at 4026531836.
pub const PID_MAX: u32 = 1 << 22;

/// Reads a pid namespace.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ns(text: &str) -> Result<NsArg, String> {
    let number = text.strip_prefix("pid:[").and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match number.parse() {
        Ok(pid @ 1..=PID_MAX) if number == text => Ok(NsArg::Pid(pid)),
        Ok(inode) if inode > PID_MAX => Ok(NsArg::Inode(inode)),
        _ => Err("give a host pid, or an inode number such as 4026532841 (see `ls -l /proc/PID/ns/pid`)".into()),
    }
}

/// Reads a signal to show, or not to show.
///
/// # Errors
/// What is wrong with it.
pub fn parse_signal(text: &str) -> Result<SignalArg, String> {
    let (name, make): (_, fn(Signal) -> SignalArg) = match text.strip_prefix('!') {
        Some(name) => (name, SignalArg::Except),
        None => (text, SignalArg::Only),
    };
    name.parse().map(make).map_err(|_| {
        let known: Vec<_> = (1..=31).map(|n| Signal(n).to_string().split_off("SIG".len())).collect();
        format!("no signal is called {name:?}; there are {} and RTMIN to RTMIN+30", known.join(", "))
    })
}

fn pid() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=i64::from(PID_MAX))
}

/// The name of a rule.
pub fn rule() -> impl TypedValueParser<Value = &'static RuleDef> {
    PossibleValuesParser::new(RULES.iter().map(|rule| PossibleValue::new(rule.name).help(rule.summary)))
        .try_map(|name| rules::find(&name).ok_or("no such rule"))
}

fn severity() -> impl TypedValueParser<Value = Severity> {
    PossibleValuesParser::new(["info", "warning", "error"]).try_map(|name| name.parse::<Severity>())
}
