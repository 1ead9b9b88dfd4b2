//! The options for the thresholds of findings: one for each threshold that is declared.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use super::parse_duration;
use crate::thresholds::{THRESHOLDS, ThresholdDef, Thresholds, Unit};

/// Thresholds of findings. Those not given are as recorded, or the default.
#[derive(Clone, Debug, Default)]
pub struct ThresholdArgs {
    given: Vec<(&'static ThresholdDef, u64)>,
}

impl ThresholdArgs {
    /// These, and `others` where none is given.
    pub fn over(&self, mut others: Thresholds) -> Thresholds {
        for (def, value) in &self.given {
            (def.set)(&mut others, *value);
        }
        others
    }
}

fn arg(def: &'static ThresholdDef) -> Arg {
    let default = (def.get)(&Thresholds::default());
    let help = |default: String| format!("{} [default: {default}]", def.help.trim());
    let arg = Arg::new(def.name).long(def.option()).help_heading("Thresholds");
    match def.unit {
        Unit::Time => {
            let default = format!("{}s", Duration::from_nanos(default).as_secs_f64());
            arg.value_name("TIME").value_parser(parse_duration).help(help(default))
        }
        Unit::Count => {
            arg.value_name("COUNT").value_parser(value_parser!(u64).range(1..)).help(help(default.to_string()))
        }
        Unit::Percent => {
            arg.value_name("PERCENT").value_parser(value_parser!(u64).range(1..=100)).help(help(default.to_string()))
        }
        Unit::Flag => arg.action(ArgAction::SetTrue).help(def.help.trim()),
    }
}

impl Args for ThresholdArgs {
    fn augment_args(command: Command) -> Command {
        command.args(THRESHOLDS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ThresholdArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = |def: &'static ThresholdDef| {
            let value = match def.unit {
                // 584 years are long enough.
                Unit::Time => matches
                    .get_one::<Duration>(def.name)
                    .map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
                Unit::Count | Unit::Percent => matches.get_one::<u64>(def.name).copied(),
                Unit::Flag => matches.get_flag(def.name).then_some(1),
            };
            Some((def, value?))
        };
        Ok(Self { given: THRESHOLDS.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
