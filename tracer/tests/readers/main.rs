//! What is recorded, sent or handed out, read by software that was not written here: the exports by DuckDB, pyarrow,
//! pandas, polars and Perfetto's own definitions, the trace by the Python package `mcap`, the page by Chromium and axe,
//! what goes out by OTLP by the test agent of Datadog, the chart for Kubernetes by Helm and the API's schemas.
//!
//! They come from PyPI and npm into folders below `target/`, so `cargo xtask test` asks for them; where they cannot be
//! had, each test is ignored with the reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

mod chart;
mod hostile;
mod receiver;

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

const TRACER: &str = env!("CARGO_BIN_EXE_tracer");
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// As Debian's package `chromium` installs it.
const BROWSER: &str = "/usr/bin/chromium";
/// The packages that read exports, traces and pages.
const READERS: &str = "readers.txt";
/// Below `target/`.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// What a test does with an interpreter.
type Test = fn(&Python);

fn main() {
    let arguments = Arguments::from_args();
    let tests: [(&str, Test, &str); 9] = [
        ("parquet_and_every_query_of_its_page", parquet, READERS),
        ("the_lake_and_every_question", lake, READERS),
        ("perfetto_by_its_own_definitions", perfetto, READERS),
        ("the_trace_by_the_example", example, READERS),
        ("the_page_by_a_browser", page, READERS),
        ("the_live_page_by_a_browser", live_page, READERS),
        ("the_chart_by_helm_and_the_schemas", chart::chart, READERS),
        ("otlp_over_grpc", receiver::grpc, receiver::RECEIVERS),
        ("otlp_over_http", receiver::http, receiver::RECEIVERS),
    ];
    let pythons = [READERS, receiver::RECEIVERS].map(|packages| (packages, Python::find(packages)));
    let trials = tests.map(|(name, test, packages)| {
        let python = pythons.iter().find(|(with, _)| *with == packages).map(|(_, python)| python.clone());
        let ready = python.unwrap().and_then(|python| lack(name).map_or(Ok(python), Err));
        match ready {
            Ok(python) => Trial::test(name, move || {
                test(&python);
                Ok::<_, Failed>(())
            }),
            Err(why) => {
                let kind = format!("cannot run: {why}");
                Trial::test(name, || Ok(())).with_kind(kind).with_ignored_flag(true)
            }
        }
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

/// What a test takes beside the interpreter, and this machine does not have. Where everything must run, that is a failure.
fn lack(test: &str) -> Option<String> {
    let why = match test {
        _ if test.ends_with("browser") && !Path::new(BROWSER).exists() => format!("there is no {BROWSER}"),
        _ if test.starts_with("the_chart") => chart::lack()?.to_owned(),
        _ => return None,
    };
    assert!(env::var_os("TRACER_TESTS_STRICT").is_none(), "{why}");
    Some(why)
}

/// An interpreter that has the packages of a list.
#[derive(Clone)]
struct Python(PathBuf);

impl Python {
    /// Makes the environment, unless it is there; or says why it cannot be had, in one line.
    fn find(packages: &str) -> Result<Self, String> {
        if env::var_os("TRACER_TESTS_READERS").is_none() {
            return Err("`cargo xtask test` installs what reads the exports".to_owned());
        }
        let made = Self::make(packages);
        // Where everything must run, what cannot be had is a failure.
        assert!(made.is_ok() || env::var_os("TRACER_TESTS_STRICT").is_none(), "{:?}", made.err());
        made
    }

    fn make(packages: &str) -> Result<Self, String> {
        let wanted = fs::read_to_string(readers(packages)).map_err(|error| error.to_string())?;
        let folder = Path::new(TMP).join(packages.trim_end_matches(".txt"));
        let python = folder.join("bin/python");
        let stamp = folder.join("has");
        if fs::read_to_string(&stamp).is_ok_and(|has| has == wanted) {
            return Ok(Self(python));
        }
        let path = folder.to_string_lossy();
        run(Command::new("python3").args(["-m", "venv", "--clear", &path]))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r"];
        run(Command::new(&python).args(pip).arg(readers(packages)))?;
        fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
        Ok(Self(python))
    }

    /// A program of its packages.
    fn program(&self, name: &str) -> PathBuf {
        self.0.with_file_name(name)
    }

    /// What a script prints.
    fn says(&self, script: &Path, arguments: &[&Path], folder: &Path) -> String {
        let Self(python) = self;
        let mut command = Command::new(python);
        command.arg(script).args(arguments).current_dir(folder).env("TZ", "UTC").env("PYTHONDONTWRITEBYTECODE", "1");
        text(command)
    }
}

/// Runs to the end; the last line of its complaint if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&stderr).lines().last().unwrap_or("no reason is given").to_owned())
}

fn text(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn readers(file: &str) -> PathBuf {
    Path::new(PACKAGE).join("tests/readers").join(file)
}

fn workspace(file: &str) -> PathBuf {
    Path::new(PACKAGE).join("..").join(file)
}

fn recording() -> PathBuf {
    workspace("tests/traces/format-1.mcap")
}

fn export(to: &str, out: &Path) {
    let mut command = Command::new(TRACER);
    command.arg("export").arg(recording()).args(["--to", to, "-o"]).arg(out);
    assert_eq!(text(command), "");
}

fn parquet(python: &Python) {
    let folder = TempDir::new().unwrap();
    export("parquet", &folder.path().join("run"));
    let said = python.says(&readers("parquet_check.py"), &[&workspace("docs/export.md")], folder.path());
    insta::assert_snapshot!("parquet", said);
}

/// Of several recordings, one of them twice.
fn lake(python: &Python) {
    let folder = TempDir::new().unwrap();
    let rules = ["slow-stop", "zombie-leak", "killed-by", "init-ignored-signal", "signal-queue-overflow"];
    let rules = rules.map(|rule| workspace(&format!("tests/traces/rules/{rule}.fires.mcap")));
    for recording in [recording(), recording()].into_iter().chain(rules) {
        let mut command = Command::new(TRACER);
        command.arg("export").arg(recording).args(["--to", "lake", "-o"]).arg(folder.path().join("lake"));
        assert_eq!(text(command), "");
    }
    let pages = [workspace("docs/lake.md"), workspace("sql")];
    let said = python.says(&readers("lake_check.py"), &[&pages[0], &pages[1]], folder.path());
    insta::assert_snapshot!("lake", said);
}

fn perfetto(python: &Python) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("run.pftrace");
    export("perfetto", &file);
    let said = python.says(&readers("perfetto_check.py"), &[&file], folder.path());
    insta::assert_snapshot!("perfetto", said);
}

/// The example reads the same as `tracer dump`: each field of each record. It goes by the table of the trace,
/// and `dump` by that of today, in which a part of what was reserved may be a field: both must be 0 there.
fn example(python: &Python) {
    let folder = TempDir::new().unwrap();
    let said = python.says(&workspace("examples/read_trace.py"), &[&recording()], folder.path());
    let mut dump = Command::new(TRACER);
    dump.arg("dump").arg(recording()).args(["-o", "json"]);
    let dump = text(dump);
    assert_eq!(said.lines().count(), dump.lines().count());
    let mut fields = 0;
    for (theirs, ours) in said.lines().zip(dump.lines()) {
        let [_, "cpu", cpu, kind, object] = theirs.splitn(5, ' ').collect::<Vec<_>>()[..] else { panic!("{theirs}") };
        let theirs: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap();
        let ours: serde_json::Value = serde_json::from_str(ours).unwrap();
        assert_eq!(ours["record"], kind);
        assert_eq!(ours["header.cpu"].to_string(), cpu);
        let is_new = |name: &str| !theirs.contains_key(name) && name != "record" && !name.starts_with("header.");
        for (name, value) in ours.as_object().unwrap().iter().filter(|(name, _)| *name != "rest" && is_new(name)) {
            assert_eq!(value, 0, "{name}, which was reserved, of {ours}");
        }
        for (name, value) in theirs.iter().filter(|(name, _)| *name != "rest") {
            if name == "reserved" {
                let all_zero = |value: &serde_json::Value| match value.as_array() {
                    Some(values) => values.iter().all(|value| value == 0),
                    None => value == 0,
                };
                assert!(all_zero(value) && ours.get(name).is_none_or(all_zero), "{value} is reserved in {ours}");
                continue;
            }
            // Text is escaped by each in its own way.
            if let (Some(theirs), Some(ours)) = (value.as_str(), ours[name].as_str()) {
                let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != '\\' || c == ' ');
                assert!(!is_plain(theirs) || theirs == ours, "{name}: {theirs} {ours}");
            } else {
                assert_eq!(value, &ours[name], "{name} of {ours}");
            }
            fields += 1;
        }
    }
    assert!(fields > 10_000, "only {fields} fields were compared");
}

/// The page of a recording, and that of a machine on which every name is a lie.
fn page(python: &Python) {
    let folder = TempDir::new().unwrap();
    let [ordinary, hostile] = ["ordinary.html", "hostile.html"].map(|name| folder.path().join(name));
    let mut command = Command::new(TRACER);
    command.arg("report").arg(workspace("tests/traces/rules/slow-stop.fires.mcap")).arg("-o").arg(&ordinary);
    assert_eq!(text(command), "");
    fs::write(&hostile, hostile::page()).unwrap();
    let said = python.says(&readers("page_check.py"), &[Path::new(BROWSER), &ordinary, &hostile], folder.path());
    insta::assert_snapshot!("page", said);
}

/// The same pages as they come to be, and what is left when the program is gone.
fn live_page(python: &Python) {
    let folder = TempDir::new().unwrap();
    let lies = folder.path().join("hostile.mcap");
    hostile::record(&lies);
    let ordinary = workspace("tests/traces/rules/slow-stop.fires.mcap");
    let arguments = [Path::new(BROWSER), Path::new(TRACER), &ordinary, &lies];
    let said = python.says(&readers("live_check.py"), &arguments, folder.path());
    insta::assert_snapshot!("live_page", said);
}
