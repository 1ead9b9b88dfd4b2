//! What a configuration says, and what is said about a wrong one.

use std::{fs, path::Path};

use crate::command_line::{run, stdout};

/// The configuration that packages bring.
fn packaged() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/tracer.toml");
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_packaged_configuration_is_right() {
    let said = stdout(&["config", "check", &packaged()]);
    assert!(said.ends_with("packaging/tracer.toml is right\n"), "{said}");
    let printed = stdout(&["config", "print", &packaged()]);
    for line in ["metrics = \"127.0.0.1:9469\"", "user = \"tracer\"", "# traces = (DIR)"] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }
}

#[test]
fn every_setting_is_printed_with_what_it_means() {
    insta::assert_snapshot!(stdout(&["config", "print"]));
}

#[test]
fn a_wrong_one_is_refused_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracer.toml");
    fs::write(&path, "[metrics]\nmetrics = \"localhost\"\n").unwrap();
    let path = path.to_str().unwrap();
    for command in [&["config", "check", path][..], &["config", "print", path], &["agent", "--config", path]] {
        let output = run(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let why =
            ":2: invalid value 'localhost' for '--metrics <[ADDRESS:]PORT>': give a port, or an address and a port";
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
}
