//! What the reader asks to see: the filter options of the command line, or just a part of a name.

use clap::Parser;

use crate::{
    change::Change,
    event::EventKind,
    filter::{Filter, Options},
    finding::Finding,
    host::Container,
    ident::tame,
    top::rows::{Condition, Shown},
    world::World,
};

/// The options as a line of their own.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Words {
    #[command(flatten)]
    options: Options,
}

/// What is shown; by default, everything.
#[derive(Debug, Default)]
pub struct Query {
    given: String,
    what: Asked,
    /// Only zombies, and whom a finding is about.
    only_troubled: bool,
}

#[derive(Debug, Default)]
enum Asked {
    #[default]
    All,
    /// In a name, a command line or a headline; lower case.
    Text(String),
    Filter(Box<Filter>),
}

impl Query {
    /// Reads what was typed: options if it begins with a dash.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn read(given: &str) -> Result<Self, String> {
        let given = given.trim();
        let what = if given.is_empty() {
            Asked::All
        } else if given.starts_with('-') {
            let words = Words::try_parse_from(given.split_whitespace()).map_err(|error| first_line(&error))?;
            // A pid means each process that had it: those of the past are looked at as well.
            Asked::Filter(Box::new(Filter::from(&words.options).of_recording()))
        } else {
            Asked::Text(given.to_lowercase())
        };
        Ok(Self { given: given.to_owned(), what, only_troubled: false })
    }

    /// The same, for zombies and for whom a finding is about only.
    #[must_use]
    pub fn only_troubled(self, only_troubled: bool) -> Self {
        Self { only_troubled, ..self }
    }

    /// Whether only zombies, and whom a finding is about.
    pub fn is_only_troubled(&self) -> bool {
        self.only_troubled
    }

    /// What was typed.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        matches!(self.what, Asked::All) && !self.only_troubled
    }

    /// Looks up what it names in a world; what is not there yet may come.
    pub fn resolve(&mut self, world: &World) {
        if let Asked::Filter(filter) = &mut self.what {
            // In a recording, nothing is missing before its end.
            let _ = filter.resolve(world);
        }
    }

    /// Notes what changed, and what was heard of containers.
    pub fn follow(&mut self, world: &World, changes: &[Change], event: &EventKind) {
        if let Asked::Filter(filter) = &mut self.what {
            changes.iter().for_each(|change| filter.follow(world, change));
            filter.hear(event);
        }
    }

    /// Whether a process is shown.
    pub fn shows_process(&self, world: &World, shown: &Shown) -> bool {
        let is_troubled = || shown.accused.is_some() || matches!(shown.condition, Condition::Zombie { .. });
        if self.only_troubled && !is_troubled() {
            return false;
        }
        match &self.what {
            Asked::All => true,
            Asked::Filter(filter) => filter.shows_process(world, &shown.identity),
            Asked::Text(text) => {
                let container = world.container_of(&shown.identity).map(Container::place);
                let said = [shown.identity.comm.to_string(), shown.args.to_string()];
                said.into_iter().chain(container).any(|said| said.to_lowercase().contains(text))
            }
        }
    }

    /// Whether a finding is shown.
    pub fn shows_finding(&self, world: &World, finding: &Finding) -> bool {
        match &self.what {
            Asked::All => true,
            Asked::Filter(filter) => filter.shows_finding(world, finding),
            Asked::Text(text) => finding.message().to_lowercase().contains(text) || finding.rule.name.contains(text),
        }
    }
}

/// clap's messages have many lines; the first says what is wrong.
fn first_line(error: &clap::Error) -> String {
    let text = tame(&error.render().to_string());
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
