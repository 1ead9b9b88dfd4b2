//! What is handed to shells and to `man`.

use std::{fs, process::Command};

use crate::command_line::{run, stdout};

/// Asks bash what it completes a line with.
fn completed(words: &[&str]) -> Vec<String> {
    let script = r#"source <("$1" completions bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _tracer tracer "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash", env!("CARGO_BIN_EXE_tracer")]).args(words);
    let output = bash.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_words() {
    assert_eq!(completed(&["tracer", "rep"]), ["replay", "report"]);
    assert_eq!(completed(&["tracer", "watch", "--min-sev"]), ["--min-severity"]);
    assert_eq!(completed(&["tracer", "watch", "--min-severity", ""]), ["info", "warning", "error"]);
    let rules = completed(&["tracer", "explain", "init-"]);
    assert!(rules.contains(&"init-ignored-signal".to_owned()), "{rules:?}");
}

#[test]
fn every_shell_gets_something_of_its_own() {
    for (shell, sign, word) in [
        ("zsh", "#compdef tracer", "init-ignored-signal"),
        ("fish", "complete -c tracer", "init-ignored-signal"),
        ("elvish", "edit:completion", "--min-severity"),
        ("powershell", "Register-ArgumentCompleter", "--min-severity"),
    ] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains(sign) && script.contains(word), "{shell}: {script}");
    }
}

#[test]
fn a_page_has_the_words_of_the_help() {
    let page = stdout(&["man", "watch"]);
    assert!(page.contains(".TH tracer-watch 1"), "{page}");
    // Dashes that may not become hyphens: who copies an option from the page must get what was typed.
    for words in [r"\fB\-\-serve\fR", r"\-\-duration", "Report dropped signals", "sudo tracer watch"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(stdout(&["man"]).contains("tracer\\-watch(1)"));
}

#[test]
fn all_pages_go_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    stdout(&["man", "--all", path]);
    stdout(&["man", "--all", path]);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let help = stdout(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let mut wanted: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty() && *word != "help")
        })
        .map(|command| format!("tracer-{command}.1"))
        .collect();
    wanted.push("tracer.1".to_owned());
    wanted.sort();
    assert_eq!(names, wanted);
    let failed = run(&["man", "--all", "/proc/no/such"]);
    assert!(!failed.status.success());
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("cannot write") && said.contains("No such file"), "{said}");
}
