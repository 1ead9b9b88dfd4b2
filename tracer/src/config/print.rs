//! Prints a configuration: each setting with what it means, and what is not set as a comment with its default.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::Arg;

use super::{SECTIONS, is_flag, name, options};

/// How wide comments are.
const WIDTH: usize = 100;

/// The whole configuration, with what was set.
pub fn print(set: &BTreeMap<String, Vec<String>>) -> String {
    let mut text =
        String::from("# The configuration of `tracer agent`. What begins with `# ` and a key has its default.\n");
    for section in SECTIONS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {}\n[{}]\n", section.about, section.name);
        for option in options(section).iter().filter(|option| !option.is_hide_set()) {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let help = help.split(" [default:").next().unwrap_or_default();
            let _ = write!(text, "\n{}", comment(&format!("{help}{}", words(option))));
            let _ = match set.get(name(option)) {
                Some(values) => writeln!(text, "{} = {}", name(option), value(option, values)),
                None => writeln!(text, "# {} = {}", name(option), default(option)),
            };
        }
    }
    text
}

/// The words that an option takes, if there are few.
fn words(option: &Arg) -> String {
    if option.is_hide_possible_values_set() || is_flag(option) {
        return String::new();
    }
    let words: Vec<_> = option.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}

fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            lines += &format!("{line}\n");
            line = String::from("#");
        }
        line += " ";
        line += word;
    }
    format!("{lines}{line}\n")
}

/// What an option has if nobody sets it.
fn default(option: &Arg) -> String {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let declared: Vec<_> =
        option.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    // Thresholds say theirs in their help, because there it may be that of a recording.
    let said = help.split_once(" [default: ").and_then(|(_, rest)| rest.strip_suffix(']')).map(str::to_owned);
    match said {
        Some(said) => value(option, &[said]),
        None if is_flag(option) => "false".to_owned(),
        None if declared.is_empty() && option.get_value_delimiter().is_some() => "[]".to_owned(),
        None if declared.is_empty() => format!("({})", option_value(option)),
        None => value(option, &declared),
    }
}

/// What kind of value an option takes.
fn option_value(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Values in TOML.
fn value(option: &Arg, values: &[String]) -> String {
    let one = |text: &String| match text.parse::<u64>() {
        Ok(number) => number.to_string(),
        Err(_) => toml::Value::String(text.clone()).to_string(),
    };
    match values {
        [] if is_flag(option) => "true".to_owned(),
        [text] if option.get_value_delimiter().is_none() => one(text),
        all => {
            let all: Vec<_> = all.iter().flat_map(|text| text.split(',')).map(|text| one(&text.to_owned())).collect();
            format!("[{}]", all.join(", "))
        }
    }
}
