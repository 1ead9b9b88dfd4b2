//! `tracer export`, as far as it takes no other software to judge it; see `tests/readers/` for the rest.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Row,
};
use serde_json::Value;
use tempfile::TempDir;
use tracer::{
    event::{
        EventKind::{self, Contained},
        TaskInfo,
    },
    ident::PidNs,
    signal::Signal,
    sink::export::{csv::Csv, parquet::Parquet, perfetto::Perfetto},
};
use tracer_common::record::signal_flags;

use crate::{
    command_line::{run, stdout, tracer},
    recordings::format,
    story::{self, live},
};

fn export(to: &str, out: &Path) -> Output {
    run(&["export", &format(1), "--to", to, "-o", out.to_str().unwrap()])
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn json_lines_are_those_of_replay() {
    let replayed = stdout(&["replay", &format(1), "-o", "json", "--events"]);
    assert_eq!(stdout(&["export", &format(1), "--to", "jsonl"]), replayed);
}

#[test]
fn a_row_of_csv_for_each_event_finding_and_loss() {
    let text = stdout(&["export", &format(1), "--to", "csv"]);
    let json = stdout(&["export", &format(1), "--to", "jsonl"]);
    let lines = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.filter(|line| line["type"] != "start" && line["type"] != "summary").collect();
    // A row is a line, whatever the names.
    assert_eq!(text.lines().count(), lines.len() + 1);

    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut texts = BTreeMap::<_, usize>::new();
    for (row, line) in rows.deserialize::<BTreeMap<String, String>>().zip(&lines) {
        let row = row.unwrap();
        let kind = ["kind", "rule"].map(|field| line[field].as_str()).into_iter().flatten().next().unwrap_or_default();
        assert_eq!((row["type"].as_str(), row["kind"].as_str()), (line["type"].as_str().unwrap(), kind));
        assert_eq!(
            (row["at"].as_str(), row["at_boot_ns"].as_str()),
            (line["at"].as_str().unwrap(), line["at_boot_ns"].as_str().unwrap())
        );
        let process = if line["process"].is_object() { &line["process"] } else { &line["target"] };
        assert_eq!(row["pid"], process["pid"].to_string());
        for (column, cell) in row {
            assert!(cell.parse::<i64>().is_ok() || !cell.starts_with(['=', '+', '-', '@']), "{column}: {cell}");
            assert!(!cell.chars().any(char::is_control), "{column}: {cell:?}");
            if cell.starts_with('\'') {
                *texts.entry(column).or_default() += 1;
            }
        }
    }
    // The recording has a program whose name is a formula.
    assert!(texts.contains_key("comm"), "{texts:?}");
}

/// The container `web`, whose init is sent a signal, and a child that ends.
fn contained() -> Vec<EventKind> {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend(story::container());
    events.extend([
        story::signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1),
        story::fork(story::inner(130, 9, 60, "sh")),
        EventKind::Exit(Box::new(story::exit(130, 60, 0))),
        EventKind::Free(story::task(130)),
    ]);
    events
}

const CONTAINER_ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

#[test]
fn rows_of_csv_have_containers() {
    let mut out = Vec::new();
    live(&contained(), &mut [&mut Csv::new(&mut out)]);
    let mut told = BTreeMap::<_, usize>::new();
    for row in csv::Reader::from_reader(&*out).into_deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        *told.entry((row["pid"].clone(), row["container"].clone(), row["container_id"].clone())).or_default() += 1;
    }
    let inside = ["50", "55", "130"];
    for (pid, container, id) in told.keys() {
        let want = if inside.contains(&pid.as_str()) { ("web", CONTAINER_ID) } else { ("", "") };
        assert_eq!((container.as_str(), id.as_str()), want, "{pid}");
    }
    assert!(inside.iter().all(|inside| told.keys().any(|(pid, ..)| pid == inside)), "{told:?}");
}

#[test]
fn tables_have_containers() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    live(&contained(), &mut [&mut Parquet::create(&out).unwrap()]);
    // What a row says of some of its columns.
    let rows = |table: &str, columns: [&str; 3]| -> Vec<[String; 3]> {
        let reader = SerializedFileReader::new(fs::File::open(out.join(table)).unwrap()).unwrap();
        let cells = |row: Row| {
            columns.map(|name| row.get_column_iter().find(|(column, _)| *column == name).unwrap().1.to_string())
        };
        reader.get_row_iter(None).unwrap().map(|row| cells(row.unwrap())).collect()
    };
    let quoted = |text: &str| format!("{text:?}");
    let of_web = |pid: &str| [pid.to_owned(), quoted("web"), quoted(CONTAINER_ID)];
    let of_none = |pid: &str| [pid.to_owned(), "null".to_owned(), "null".to_owned()];
    let about = ["pid", "container", "container_id"];
    for (table, inside, outside) in [
        ("processes.parquet", &["50", "55", "60", "130"][..], &["1", "10", "40"][..]),
        ("events.parquet", &["130"], &[]),
        ("findings.parquet", &["50", "55"], &["70"]),
    ] {
        let rows = rows(table, about);
        assert!(inside.iter().all(|pid| rows.contains(&of_web(pid))), "{table}: {rows:?}");
        assert!(outside.iter().all(|pid| rows.contains(&of_none(pid))), "{table}: {rows:?}");
    }
    let ends = |end: &str| {
        rows("signals.parquet", [&format!("{end}_pid"), &format!("{end}_container"), &format!("{end}_container_id")])
    };
    assert_eq!((ends("target"), ends("sender")), (vec![of_web("50")], vec![of_none("10")]));
}

#[test]
fn tracks_have_containers() {
    let mut out = Vec::new();
    let [known, Contained(_, id)] = story::container() else { panic!("another story") };
    let init = TaskInfo { pid_ns: PidNs(4_026_532_900), ..story::inner(140, 1, 40, "runc:[2:INIT]") };
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        story::fork(init),
        // To be seen on its track, which has no name yet.
        story::signal(40, 140, Signal::CONT, 0, 0),
        known,
        Contained(story::key(140), id),
        story::exec(140, "app", b"app\0"),
        story::fork(TaskInfo { pid_ns: init.pid_ns, ..story::inner(141, 2, 140, "child") }),
        story::signal(140, 10, Signal::HUP, 0, 0),
    ]);
    live(&events, &mut [&mut Perfetto::new(&mut out)]);
    let text = String::from_utf8_lossy(&out);
    let group = "pid namespace 4026532900: init app (pid 140), container web";
    for wanted in [group, "app 140 [1] @web", "child 141 [2] @web", "SIGCONT delivered", CONTAINER_ID] {
        assert!(text.contains(wanted), "no {wanted}");
    }
    assert!(!text.contains("bash 10 @"), "it is none of it");
}

#[test]
fn what_is_created_is_for_its_owner_only_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    for (to, expected) in [("jsonl", 0o600), ("csv", 0o600), ("perfetto", 0o600), ("parquet", 0o700)] {
        let out = folder.path().join(to);
        assert!(export(to, &out).status.success());
        assert_eq!(mode(&out), expected, "{to}");
        let again = complaint(&export(to, &out));
        assert!(again.contains("is there already; give another name"), "{again}");

        let link = folder.path().join(format!("{to}-link"));
        let nowhere = folder.path().join(format!("{to}-nowhere"));
        symlink(&nowhere, &link).unwrap();
        let linked = complaint(&export(to, &link));
        assert!(linked.contains("is there already"), "{linked}");
        assert!(!nowhere.exists());
    }
    let tables: Vec<_> = fs::read_dir(folder.path().join("parquet")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(tables.len(), 4);
    assert!(tables.iter().all(|table| mode(table) == 0o600));
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    for to in ["jsonl", "csv", "perfetto", "parquet", "lake"] {
        let out = folder.path().join(to);
        // Blocks of 512 bytes: the disk is full, as far as the program can tell.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$@""#, "sh", env!("CARGO_BIN_EXE_tracer")]);
        let output = shell.args(["export", &format(1), "--to", to, "-o"]).arg(&out).output().unwrap();
        let said = complaint(&output);
        assert!(said.contains("File too large"), "{to}: {said}");
        let is_empty = || files(&out).iter().all(|file| file.ends_with("_lake.json"));
        assert!(if to == "lake" { is_empty() } else { !out.exists() }, "{to}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { all.extend(files(&entry)) } else { all.push(entry) }
    }
    all.sort();
    all
}

#[test]
fn a_lake_grows_and_the_same_recording_is_in_it_once() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    assert!(export("lake", &lake).status.success());
    let first = files(&lake);
    assert!(first.iter().all(|file| mode(file) == 0o600));
    assert_eq!(mode(&lake), 0o700);
    let contents: Vec<_> = first.iter().map(|file| fs::read(file).unwrap()).collect();

    assert!(export("lake", &lake).status.success());
    assert_eq!(files(&lake), first);
    assert!(first.iter().zip(contents).all(|(file, before)| fs::read(file).unwrap() == before));

    let other = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/rules/slow-stop.fires.mcap");
    let other = other.to_str().unwrap();
    assert!(run(&["export", other, "--to", "lake", "-o", lake.to_str().unwrap()]).status.success());
    let all = files(&lake);
    assert!(first.iter().all(|file| all.contains(file)) && all.len() > first.len(), "{all:?}");
}

/// How many rows a whole file of a table has.
fn rows(file: &Path) -> usize {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    reader.into_iter().collect::<Result<Vec<Row>, _>>().unwrap().len()
}

#[test]
fn a_lake_whose_writers_are_killed_at_any_moment_is_whole() {
    let folder = TempDir::new().unwrap();
    let (lake, other) = (folder.path().join("lake"), folder.path().join("other"));
    let traces = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/rules");
    let recordings = ["slow-stop", "zombie-leak", "killed-by"].map(|rule| traces.join(format!("{rule}.fires.mcap")));
    let export = |recording: &Path, lake: &Path| {
        let mut export = tracer(&["export", recording.to_str().unwrap(), "--to", "lake", "-o", lake.to_str().unwrap()]);
        export.stderr(Stdio::null()).spawn().unwrap()
    };
    let begun = Instant::now();
    assert!(export(&recordings[0], &other).wait().unwrap().success());
    let longest = begun.elapsed();
    for round in 0..45 {
        let mut writer = export(&recordings[round as usize % 3], &lake);
        thread::sleep(longest * round / 40);
        writer.kill().unwrap();
        writer.wait().unwrap();
        for file in if lake.exists() { files(&lake) } else { Vec::new() } {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("parquet") => assert!(rows(&file) > 0, "{file:?}"),
                Some("part") => {}
                _ => assert_eq!(file.file_name().unwrap(), "_lake.json"),
            }
        }
    }
    for lake in [&lake, &other] {
        assert!(recordings.iter().all(|recording| export(recording, lake).wait().unwrap().success()));
    }
    let whole = |lake: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(lake).into_iter().filter(|file| file.extension().is_none_or(|extension| extension != "part"));
        files.map(|file| (file.strip_prefix(lake).unwrap().to_owned(), fs::read(&file).unwrap())).collect()
    };
    assert!(whole(&lake) == whole(&other), "{:?} and {:?}", files(&lake), files(&other));
}

#[test]
fn a_folder_that_is_no_lake_or_another_one_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("mine"), "").unwrap();
    let said = complaint(&export("lake", folder.path()));
    assert!(said.contains("holds something, and is no lake; name a new folder, or a lake"), "{said}");
    assert_eq!(files(folder.path()).len(), 1);

    for mark in [r#"{"lake":2}"#, "", "[]"] {
        let lake = TempDir::new().unwrap();
        fs::write(lake.path().join("_lake.json"), mark).unwrap();
        let said = complaint(&export("lake", lake.path()));
        assert!(said.contains("is a lake of another version than 1"), "{said}");
        assert_eq!(files(lake.path()).len(), 1);
    }
    let said = complaint(&run(&["export", &format(1), "--to", "lake"]));
    assert!(said.contains("a lake is a folder; say with -o where it is"), "{said}");
}

#[test]
fn a_lake_is_not_written_through_links() {
    let folder = TempDir::new().unwrap();
    let (lake, elsewhere) = (folder.path().join("lake"), folder.path().join("elsewhere"));
    assert!(export("lake", &lake).status.success());
    let file = files(&lake).into_iter().find(|file| file.to_str().unwrap().contains("table=signals")).unwrap();
    let unfinished = file.with_file_name(format!(".{}.part", file.file_name().unwrap().to_str().unwrap()));
    fs::write(&elsewhere, "before").unwrap();
    symlink(&elsewhere, &unfinished).unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&elsewhere, &file).unwrap();
    let said = complaint(&export("lake", &lake));
    assert!(said.contains("is no regular file, so it is not replaced"), "{said}");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "before");
}

#[test]
fn parquet_needs_a_folder() {
    let said = complaint(&run(&["export", &format(1), "--to", "parquet"]));
    assert!(said.contains("say with -o where to make it"), "{said}");
}

#[test]
fn perfetto_goes_through_a_pipe_like_into_a_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("run.pftrace");
    assert!(export("perfetto", &file).status.success());
    let piped = run(&["export", &format(1), "--to", "perfetto"]);
    assert!(piped.status.success());
    assert!(piped.stdout == fs::read(file).unwrap());
}

#[test]
fn a_trace_comes_through_a_pipe() {
    let trace = fs::File::open(format(1)).unwrap();
    let output = tracer(&["export", "-", "--to", "jsonl"]).stdin(trace).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == stdout(&["export", &format(1), "--to", "jsonl"]).into_bytes());
}

#[test]
fn what_a_damaged_trace_lacks_is_a_row_and_a_sentence() {
    let folder = TempDir::new().unwrap();
    let mut bytes = fs::read(format(1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let damaged = folder.path().join("damaged.mcap");
    fs::write(&damaged, bytes).unwrap();

    let output = run(&["export", damaged.to_str().unwrap(), "--to", "csv"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("damaged.mcap: "), "{said}");
    let rows = csv::Reader::from_reader(&*output.stdout).into_deserialize::<BTreeMap<String, String>>();
    let lost: Vec<u64> =
        rows.map(Result::unwrap).filter(|row| row["type"] == "lost").map(|row| row["lost"].parse().unwrap()).collect();
    assert!(!lost.is_empty() && lost.iter().all(|&lost| lost > 0), "{lost:?}");
}

#[test]
fn a_closed_pipe_ends_an_export_quietly() {
    for to in ["jsonl", "csv", "perfetto"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let args = ["export", &format(1), "--to", to];
        let mut child = tracer(&args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{to}");
    }
}
