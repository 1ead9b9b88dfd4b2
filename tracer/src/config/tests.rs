use std::fs;

use super::*;

const PATH: &str = "tracer.toml";

fn of(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    fs::write(&path, text).unwrap();
    let variable = |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| value.into());
    Config::of(Some(&path), &Witness::here(), variable, Given::new())
}

/// What is wrong with a configuration, without the folder of the file.
fn wrong(text: &str) -> String {
    let error = of(text, &[]).unwrap_err().to_string();
    error.rsplit_once(PATH).map_or(error.clone(), |(_, rest)| rest.to_owned())
}

#[test]
fn what_is_not_set_has_its_default() {
    let config = of("", &[]).unwrap();
    let Settings { findings, recorder, metrics, process, probes, .. } = config.settings;
    assert!(!findings.each && findings.filter.rules.is_empty() && metrics.metrics.is_none());
    assert_eq!((recorder.before.as_secs(), recorder.budget), (60, 1 << 30));
    assert_eq!((process.user.as_str(), probes.ring_size), ("tracer", 16 << 20));
}

#[test]
fn keys_are_the_names_of_options_and_lists_are_lists() {
    let text = "[findings]\neach = true\nrule = [\"slow-stop\", \"zombie-leak\"]\nsignal = \"!CHLD\"\n\
                [thresholds]\nunreaped-after = \"5s\"\nzombie-leak-at = 20\nthread-adoptions = false\n\
                [metrics]\nmetrics = 9469\n[probes]\nring-size = \"1MiB\"\n";
    let Settings { findings, thresholds, metrics, probes, .. } = of(text, &[]).unwrap().settings;
    let rules: Vec<_> = findings.filter.rules.iter().map(|rule| rule.name).collect();
    assert_eq!((findings.each, rules), (true, vec!["slow-stop", "zombie-leak"]));
    let thresholds = thresholds.over(crate::thresholds::Thresholds::default());
    assert_eq!((thresholds.unreaped_after, thresholds.zombie_leak_at), (crate::time::Span::seconds(5), 20));
    assert!(!thresholds.thread_adoptions);
    assert_eq!(metrics.metrics.unwrap().to_string(), "127.0.0.1:9469");
    assert_eq!(probes.ring_size, 1 << 20);
}

#[test]
fn the_command_line_counts_more_than_the_environment_and_that_more_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    fs::write(&path, "[findings]\nrule = [\"slow-stop\"]\n[process]\nuser = \"file\"\n[recorder]\nbefore = \"1s\"\n")
        .unwrap();
    let variable = |name: &str| match name {
        "TRACER_BEFORE" => Some("2s".into()),
        "TRACER_USER" => Some("environment".into()),
        "TRACER_EACH" => Some("1".into()),
        _ => None,
    };
    let matches = Cli::command().try_get_matches_from(["tracer", "agent", "--user", "line", "--rule", "killed-by"]);
    let config = Config::of(Some(&path), &Witness::here(), variable, commanded_by(&matches.unwrap())).unwrap();
    let Settings { findings, recorder, process, .. } = &config.settings;
    assert_eq!((process.user.as_str(), recorder.before.as_secs(), findings.each), ("line", 2, true));
    let rules: Vec<_> = findings.filter.rules.iter().map(|rule| rule.name).collect();
    assert_eq!(rules, ["killed-by"], "a list of the line is not added to that of the file");
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_would_be_right() {
    for (text, why) in [
        ("[findings\n", ":1: "),
        ("\n[finding]\n", ":2: there is no section finding; is it [findings]?"),
        ("[zzzzz]\n", ":1: there is no section zzzzz; there are findings, thresholds"),
        ("each = true\n", ":1: each belongs below the line [findings]"),
        ("[findings]\neech = true\n", ":2: [findings] has no key eech; is it each?"),
        ("[findings]\nring-size = 1\n", ":2: [findings] has no key ring-size: it belongs to [probes]"),
        ("[findings]\nmin_severity = \"info\"\n", "is it min-severity?"),
        ("[findings]\neach = 3\n", ":2: each is either true or false"),
        ("[findings]\nrule = [\"slow-stp\"]\n", ":2: invalid value 'slow-stp'"),
        ("[probes]\nring-size = \"5MiB\"\n", "the nearest are 4MiB and 8MiB"),
        ("[probes]\nring-size = [1]\n", ":2: ring-size takes one value, not a list"),
        ("[probes]\nring-size = 1.5\n", ":2: ring-size takes a text or a number, and this is a float"),
        ("[recorder]\nbefore = \"\\u001b[31m\"\n", ":2: invalid value '"),
        ("findings = 3\n", ":1: findings is a section"),
        ("[recorder]\ntraces = \"/x\"\n", "give rules in snapshot-on"),
        ("[reactions]\nwebhook-key = \"/key\"\n", "give a server in webhook"),
        ("[reactions]\nwebhook = \"https://x/\"\n", "there is no TLS here"),
        ("[recorder]\nsnapshot-on = [\"slow-stop\"]\n", "give a folder in traces"),
        ("[otlp]\notlp = \"https://x\"\n", "there is no TLS here"),
        ("[otlp]\notlp = \"http://x/v1/logs\"\n", "the protocol says which paths there are"),
        ("[otlp]\notlp = \"x:4317\"\n", "give an address, such as http://127.0.0.1:4317"),
        ("[otlp]\notlp-interval = \"0s\"\n", "give a time above 0s"),
        ("[otlp]\notlp-attributes = [\"a=b\", \"c\"]\n", "give a name and a value, as NAME=VALUE"),
    ] {
        let said = wrong(text);
        assert!(said.contains(why) && !said.contains('\n') && !said.contains('\u{1b}'), "{text}: {said}");
    }
    let error = of("", &[("TRACER_RING_SIZE", "x")]).unwrap_err().to_string();
    assert!(error.starts_with("TRACER_RING_SIZE in the environment: invalid value 'x'"), "{error}");
    let error = of("", &[("TRACER_EACH", "x")]).unwrap_err().to_string();
    assert!(error.ends_with("x is neither true nor false"), "{error}");
    let missing =
        Config::of(Some(Path::new("/none/x.toml")), &Witness::here(), |_| None, Given::new()).unwrap_err().to_string();
    assert_eq!(missing, "cannot read /none/x.toml: No such file or directory (os error 2)");
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let text = "[findings]\nrule = [\"slow-stop\", \"zombie-leak\"]\neach = true\n[recorder]\nbefore = \"30s\"\n\
                [thresholds]\nzombie-leak-at = 20\n";
    let printed = of(text, &[]).unwrap().to_string();
    for line in ["rule = [\"slow-stop\", \"zombie-leak\"]", "each = true", "before = \"30s\"", "zombie-leak-at = 20"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
    assert_eq!(of(&printed, &[]).unwrap().to_string(), printed);
    // Defaults are right as well: what is a comment can be made a setting.
    let default = of("", &[]).unwrap().to_string();
    let set: String = default
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.contains("= (") && !rest.contains("= []") => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    of(&set, &[]).unwrap_or_else(|error| panic!("{error}\n{set}"));
}
