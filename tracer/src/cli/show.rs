//! What to show of what is seen: the options that a live and a recorded view share.

use clap::{Args, builder::TypedValueParser};

use super::{parse_ns, parse_signal, pid, rule, severity, word};
use crate::{
    filter::{Filter, NsArg, Options, Side, SignalArg},
    finding::Severity,
    kind::Kind,
    rules::RuleDef,
};

/// What to show: the same for what happens and for what happened.
#[derive(Args, Clone, Debug, Default)]
pub struct Show {
    /// Show events too: all, or those of the kinds named
    #[arg(long, value_parser = kind(), value_name = "KIND,…", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    pub events: Option<Vec<Kind>>,

    /// Tell each finding by itself: of many that are alike, the first three are told, then how many more
    #[arg(long)]
    pub each: bool,

    /// Which of it.
    #[command(flatten)]
    pub filter: FilterArgs,
}

impl Show {
    /// The kinds of events to show.
    pub fn kinds(&self) -> &[Kind] {
        match self.events.as_deref() {
            None => &[],
            Some([]) => &Kind::ALL,
            Some(kinds) => kinds,
        }
    }
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    word(&Kind::ALL, Kind::id, Kind::summary)
}

/// What to show of what is seen.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to show")]
pub struct FilterArgs {
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

    /// Only what containers of these images take part in, as the image was asked for: nginx:1.25
    #[arg(long = "image", value_name = "IMAGE,…", value_delimiter = ',')]
    pub images: Vec<String>,

    /// Only what containers of these Kubernetes pods take part in
    #[arg(long = "pod", value_name = "POD,…", value_delimiter = ',')]
    pub pods: Vec<String>,

    /// Of signals, at which side the container must be; `from` also hides its stop signal, which comes
    /// from the host
    #[arg(long, value_enum, default_value_t, value_name = "SIDE")]
    pub side: Side,

    /// Only these signals, or all but: TERM,KILL or '!CHLD'
    #[arg(short, long = "signal", value_name = "SIG,…", value_parser = parse_signal, value_delimiter = ',')]
    pub signals: Vec<SignalArg>,

    /// Only signals that did nothing, and findings about signals
    #[arg(long)]
    pub lost: bool,

    /// Only findings of these rules; `tracer rules` lists them
    #[arg(long = "rule", value_name = "RULE,…", value_parser = rule(), value_delimiter = ',', hide_possible_values = true)]
    pub rules: Vec<&'static RuleDef>,

    /// Only findings that are at least this urgent: info, warning or error
    #[arg(long, value_name = "SEVERITY", value_parser = severity(), hide_possible_values = true)]
    pub min_severity: Option<Severity>,
}

impl From<&FilterArgs> for Filter {
    fn from(args: &FilterArgs) -> Self {
        let FilterArgs {
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
        } = args.clone();
        Self::from(&Options {
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
        })
    }
}
