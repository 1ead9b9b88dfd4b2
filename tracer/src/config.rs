//! The configuration of the agent: a file in TOML whose sections and keys are those of the options, so that each setting
//! is declared once, and checked in one way wherever it stands.
//!
//! What the command line says counts more than the environment, and that more than the file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, parser::ValueSource};
use toml::de::{DeTable, DeValue};

use crate::{
    cli::{
        Cli,
        agent::{SECTIONS, Section, Settings},
    },
    ident::{file_name, quote},
    source::witness::Witness,
};

mod print;

pub use print::print;

/// Before the name of a setting in the environment.
const VARIABLE: &str = "TRACER_";
/// How alike a key must be to one that there is, of 1, to be taken for it.
const ALIKE: f64 = 0.7;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {}", file_name(.0), .1)]
    Unread(PathBuf, io::Error),
    /// It can, but something in it is wrong.
    #[error("{}:{}: {}", file_name(.0), .1, .2)]
    At(PathBuf, usize, String),
    /// A variable is wrong.
    #[error("{0} in the environment: {1}")]
    Variable(String, String),
    /// All together cannot be.
    #[error("{0}")]
    Together(String),
}

/// Settings, and where each that was set comes from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// Those that were set, by their names.
    set: BTreeMap<String, Vec<String>>,
}

/// What somebody has set: the words for each option, by its name.
type Given = BTreeMap<String, Vec<OsString>>;

impl Config {
    /// What the command line of this process says, the environment, and the file if there is one, read by that one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(file: Option<&Path>, by: &Witness) -> Result<Self, ConfigError> {
        let commanded = Cli::command().try_get_matches_from(std::env::args_os());
        let commanded = commanded.map_or_else(|_| Given::new(), |matches| commanded_by(&matches));
        Self::of(file, by, |name| std::env::var_os(name), commanded)
    }

    /// The same, by that environment, and what was said besides.
    fn of(
        file: Option<&Path>,
        by: &Witness,
        variable: impl Fn(&str) -> Option<OsString>,
        commanded: Given,
    ) -> Result<Self, ConfigError> {
        let mut given = file.map_or_else(|| Ok(Given::new()), |file| read(file, by))?;
        given.extend(environment(variable)?);
        given.extend(commanded);
        let words = given.iter().map(|(name, values)| word_of(name, values));
        let matches = command().try_get_matches_from(words);
        let settings = matches.and_then(|matches| Settings::from_arg_matches(&matches));
        let settings = settings.map_err(|error| ConfigError::Together(reason(&error)))?;
        let set = given.into_iter().map(|(name, values)| (name, texts(&values))).collect();
        let config = Self { settings, set };
        config.agrees().map_err(|why| ConfigError::Together(why.to_owned()))?;
        Ok(config)
    }

    /// The keys outside of those sections that the other one has otherwise.
    pub fn differs_in(&self, other: &Self, besides: &[&str]) -> Vec<String> {
        let sections = SECTIONS.iter().filter(|section| !besides.contains(&section.name));
        let names = sections.flat_map(options).map(|option| name(&option).to_owned());
        names.filter(|name| self.set.get(name) != other.set.get(name)).collect()
    }

    /// What no option can check by itself.
    fn agrees(&self) -> Result<(), &'static str> {
        let Settings { recorder, reactions, .. } = &self.settings;
        if reactions.webhook_key.is_some() && reactions.webhook.is_none() {
            return Err("there is a key, but nothing is posted: give a server in webhook, too");
        }
        match (recorder.traces.is_some(), recorder.snapshot_on.is_empty(), recorder.before.is_zero()) {
            (true, true, _) => Err("traces are to be written, but never: give rules in snapshot-on, too"),
            (false, false, _) => Err("a trace is to be written, but nowhere: give a folder in traces, too"),
            (true, false, true) => Err("traces on findings are made of what is in memory: before cannot be 0s"),
            _ => Ok(()),
        }
    }
}

/// All options of the settings, as those of a command without a name.
fn command() -> Command {
    Settings::augment_args(Command::new("settings")).no_binary_name(true).disable_help_flag(true)
}

/// The options of a section.
fn options(section: &Section) -> Vec<Arg> {
    let command = (section.options)(Command::new(section.name));
    command.get_arguments().cloned().collect()
}

/// The name of an option: that of its key, and of its variable after [`VARIABLE`].
fn name(option: &Arg) -> &str {
    option.get_long().unwrap_or_default()
}

/// The word by which a command line would say it.
fn word_of(name: &str, values: &[OsString]) -> OsString {
    let mut word = OsString::from(format!("--{name}"));
    if !values.is_empty() {
        word.push("=");
        word.push(values.join(OsStr::new(",")));
    }
    word
}

fn texts(values: &[OsString]) -> Vec<String> {
    values.iter().map(|value| value.to_string_lossy().into_owned()).collect()
}

/// Whether somebody has only to name an option, without a value.
fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

/// What the command line of `tracer agent` says; nothing, if it is that of another command.
fn commanded_by(matches: &ArgMatches) -> Given {
    let Some(("agent", matches)) = matches.subcommand() else { return Given::new() };
    let mut given = Given::new();
    for option in SECTIONS.iter().flat_map(options) {
        let id = option.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = if is_flag(&option) { Vec::new() } else { raw(matches, id) };
        given.insert(name(&option).to_owned(), values);
    }
    given
}

fn raw(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    matches.get_raw(id).into_iter().flatten().map(OsStr::to_owned).collect()
}

/// What the environment says.
fn environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Given, ConfigError> {
    let mut given = Given::new();
    for section in SECTIONS {
        for option in options(section) {
            let (name, variable_name) = (name(&option), variable_of(&option));
            let Some(value) = variable(&variable_name) else { continue };
            let values = match (is_flag(&option), value.to_str()) {
                (false, _) => vec![value],
                (true, Some("true" | "1")) => Vec::new(),
                (true, Some("false" | "0" | "")) => continue,
                (true, _) => {
                    let why = format!("{} is neither true nor false", quote(value.as_encoded_bytes()));
                    return Err(ConfigError::Variable(variable_name, why));
                }
            };
            try_out(section, name, &values).map_err(|why| ConfigError::Variable(variable_name, why))?;
            given.insert(name.to_owned(), values);
        }
    }
    Ok(given)
}

/// The variable of an option.
fn variable_of(option: &Arg) -> String {
    format!("{VARIABLE}{}", name(option).to_uppercase().replace('-', "_"))
}

/// What a file says.
fn read(path: &Path, by: &Witness) -> Result<Given, ConfigError> {
    let text = by.configuration(path).map_err(|error| ConfigError::Unread(path.to_owned(), error))?;
    parse(&text).map_err(|Wrong { at, why }| {
        let line = text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1;
        ConfigError::At(path.to_owned(), line, why)
    })
}

/// What is wrong in a text, and at which byte.
#[derive(Debug)]
struct Wrong {
    at: usize,
    why: String,
}

/// What the text of a configuration says.
fn parse(text: &str) -> Result<Given, Wrong> {
    let table = DeTable::parse(text)
        .map_err(|error| Wrong { at: error.span().map_or(0, |span| span.start), why: quoted_only(error.message()) })?;
    let mut given = Given::new();
    for (key, value) in table.get_ref() {
        let wrong = |why: String| Wrong { at: key.span().start, why };
        let Some(section) = SECTIONS.iter().find(|section| section.name == key.get_ref()) else {
            return Err(wrong(unknown_section(key.get_ref(), value.get_ref())));
        };
        let DeValue::Table(keys) = value.get_ref() else {
            return Err(wrong(format!("{} is a section: write [{0}] on a line of its own", section.name)));
        };
        for (key, value) in keys {
            let wrong = |why: String| Wrong { at: key.span().start, why };
            let options = options(section);
            let Some(option) = options.iter().find(|option| name(option) == key.get_ref()) else {
                return Err(wrong(unknown_key(section, key.get_ref())));
            };
            if let Some(values) = values(option, value.get_ref()).map_err(wrong)? {
                try_out(section, name(option), &values).map_err(wrong)?;
                given.insert(name(option).to_owned(), values);
            }
        }
    }
    Ok(given)
}

/// The values that a key has, as the words of a command line; `None` for a flag that is not set.
fn values(option: &Arg, value: &DeValue<'_>) -> Result<Option<Vec<OsString>>, String> {
    let name = name(option);
    let is_list = option.get_value_delimiter().is_some();
    match value {
        DeValue::Boolean(set) if is_flag(option) => Ok(set.then(Vec::new)),
        _ if is_flag(option) => Err(format!("{name} is either true or false")),
        DeValue::Array(all) if is_list => {
            all.iter().map(|one| word(name, one.get_ref())).collect::<Result<_, _>>().map(Some)
        }
        DeValue::Array(_) => Err(format!("{name} takes one value, not a list")),
        one => word(name, one).map(|word| Some(vec![word])),
    }
}

fn word(name: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(number) => Ok(number.as_str().into()),
        other => Err(format!("{name} takes a text or a number, and this is a {}", other.type_str())),
    }
}

/// Has an option check its value by itself.
fn try_out(section: &Section, name: &str, values: &[OsString]) -> Result<(), String> {
    let command = (section.options)(Command::new(section.name)).no_binary_name(true).disable_help_flag(true);
    // That it needs another is a matter of all together.
    let command = command.mut_args(|option| option.required(false));
    command.try_get_matches_from([word_of(name, values)]).map(drop).map_err(|error| reason(&error))
}

/// The reason of clap, without the words for a command line around it.
fn reason(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    quoted_only(line.strip_prefix("error: ").unwrap_or(&line))
}

/// A message on one line, with nothing in it that a terminal would obey.
fn quoted_only(message: &str) -> String {
    crate::ident::tame(message).replace('\n', "; ")
}

fn unknown_section(found: &str, value: &DeValue<'_>) -> String {
    let what = quote(found.as_bytes());
    if !matches!(value, DeValue::Table(_))
        && let Some(section) = SECTIONS.iter().find(|section| options(section).iter().any(|one| name(one) == found))
    {
        return format!("{what} belongs below the line [{}]", section.name);
    }
    let names: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
    match nearest(found, names.iter().copied()) {
        Some(near) => format!("there is no section {what}; is it [{near}]?"),
        None => format!("there is no section {what}; there are {}", names.join(", ")),
    }
}

fn unknown_key(section: &Section, found: &str) -> String {
    let (what, its) = (quote(found.as_bytes()), section.name);
    let elsewhere = SECTIONS.iter().find(|section| options(section).iter().any(|option| name(option) == found));
    if let Some(elsewhere) = elsewhere {
        return format!("[{its}] has no key {what}: it belongs to [{}]", elsewhere.name);
    }
    let options = options(section);
    match nearest(found, options.iter().map(name)) {
        Some(near) => format!("[{its}] has no key {what}; is it {near}?"),
        None => format!("[{its}] has no key {what}; `tracer config print` shows all that there are"),
    }
}

fn nearest<'a>(found: &str, all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&found.replace('_', "-"), name);
    let near = all.map(|name| (likeness(name), name)).filter(|&(likeness, _)| likeness >= ALIKE);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(&self.set))
    }
}

#[cfg(test)]
mod tests;
