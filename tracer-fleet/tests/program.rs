//! The program over a small lake of recordings, which `tracer export` makes: every question, the days, what cannot be asked,
//! what no SQL may do, and copies, also by way of an object store. `cargo xtask fleet --check` builds that `tracer`, installs
//! a server that speaks S3, and says where both are.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Recordings of two days.
const RECORDINGS: [&str; 5] = [
    "format-1",
    "rules/slow-stop.fires",
    "rules/zombie-leak.fires",
    "rules/killed-by.fires",
    "rules/init-ignored-signal.fires",
];
const DAYS: [&str; 2] = ["2026-11-24", "2026-11-29"];
const TABLES: [&str; 6] = ["hosts", "findings", "stops", "signals", "processes", "losses"];

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/traces")
}

fn add(recording: &str, lake: &Path) {
    let tracer = env::var_os("TRACER_BIN").expect("TRACER_BIN says where tracer is: use `cargo xtask fleet --check`");
    let mut export = Command::new(tracer);
    export.arg("export").arg(traces().join(format!("{recording}.mcap"))).args(["--to", "lake", "-o"]).arg(lake);
    let Output { status, stderr, .. } = export.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
}

/// A folder with a lake in it, whose name an engine could take for a pattern.
fn lake(recordings: &[&str]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("it's [a] lake");
    recordings.iter().for_each(|recording| add(recording, &lake));
    (folder, lake)
}

fn fleet(arguments: &[&str], lake: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracer-fleet")).args(arguments).arg(lake).output().unwrap()
}

/// The answer.
fn says(arguments: &[&str], lake: &Path) -> String {
    let Output { status, stdout, stderr } = fleet(arguments, lake);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The complaint.
fn fails(arguments: &[&str], lake: &Path) -> String {
    let Output { status, stdout, stderr } = fleet(arguments, lake);
    assert_eq!(status.code(), Some(1), "{arguments:?}");
    assert_eq!(String::from_utf8_lossy(&stdout), "", "{arguments:?}");
    String::from_utf8(stderr).unwrap()
}

/// The one value of an answer.
fn value(arguments: &[&str], lake: &Path) -> String {
    let said = says(&[arguments, &["--format", "csv"]].concat(), lake);
    said.lines().nth(1).unwrap_or_default().to_owned()
}

/// All names of the folder `sql`.
fn questions() -> Vec<String> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql")).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_question_is_listed_and_answered_in_every_format() {
    let (_folder, lake) = lake(&RECORDINGS);
    let listed = Command::new(env!("CARGO_BIN_EXE_tracer-fleet")).arg("questions").output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let listed: Vec<_> = listed.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), questions());
    assert!(listed.iter().all(|(_, text)| text.contains('?')), "{listed:?}");
    for question in questions() {
        let table = says(&["query", &question], &lake);
        let json = says(&["query", &question, "--format", "json"], &lake);
        let csv = says(&["query", &question, "--format", "csv"], &lake);
        let rows: Vec<serde_json::Map<_, _>> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(csv.lines().count(), rows.len() + 1, "{csv}");
        let columns: Vec<_> = csv.lines().next().unwrap().split(',').collect();
        assert_eq!(table.split_whitespace().take(columns.len()).collect::<Vec<_>>(), columns);
        if rows.is_empty() {
            assert_eq!(table.lines().nth(1), Some("no rows"), "{question}");
        } else {
            assert_eq!(table.lines().count(), rows.len() + 1, "{table}");
        }
        let mut sorted = columns.clone();
        sorted.sort_unstable();
        assert!(rows.iter().all(|row| row.keys().eq(&sorted)), "{question}");
    }
    let stops = says(&["query", "stops", "--format", "csv"], &lake);
    assert_eq!(stops.lines().nth(1), Some("2026-11-24,sleep,3,3,4.7,3.1"));
    // A sum is a number in JSON, too.
    let killed = says(&["query", "killed", "--format", "json"], &lake);
    let killed: serde_json::Value = serde_json::from_str(killed.lines().next().unwrap()).unwrap();
    assert!(killed["times"].as_f64().is_some_and(|times| times > 1.0), "{killed}");
}

#[test]
fn other_days_are_not_read() {
    let (_folder, lake) = lake(&RECORDINGS);
    let days = "SELECT string_agg(DISTINCT CAST(day AS VARCHAR), ' ' ORDER BY CAST(day AS VARCHAR)) FROM hosts";
    assert_eq!(value(&["query", "-q", days], &lake), DAYS.join(" "));
    for (limits, seen) in [
        (vec!["--since", DAYS[1]], DAYS[1]),
        (vec!["--until", DAYS[0]], DAYS[0]),
        (vec!["--since", DAYS[0], "--until", "2026-11-28"], DAYS[0]),
        (vec!["--since", "2026-11-25", "--until", "2026-11-28"], ""),
    ] {
        let asked = [&["query", "-q", days], &*limits].concat();
        assert_eq!(value(&asked, &lake).trim_matches('"'), seen, "{limits:?}");
    }
    // What is damaged on another day does nothing.
    let damaged = lake.join(format!("table=hosts/day={}/bucket=b0", DAYS[0]));
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join("a.parquet"), "PAR1 is not enough").unwrap();
    assert_eq!(value(&["query", "-q", days, "--since", DAYS[1]], &lake), DAYS[1]);
    assert!(fails(&["query", "-q", days], &lake).contains("bucket=b0/a.parquet"));
    // The engine does the same for a condition.
    let plan =
        says(&["query", "-q", "SELECT sum(findings) FROM findings WHERE day = '2026-11-24'", "--explain"], &lake);
    assert!(plan.contains("findings: files 5, days 2, days that are not looked at 0"), "{plan}");
    assert!(plan.contains("Scanning Files: 1/5"), "{plan}");
    let plan = says(&["query", "killed", "--explain", "--since", DAYS[1]], &lake);
    assert!(plan.contains("findings: files 4, days 1, days that are not looked at 1"), "{plan}");
}

#[test]
fn half_a_file_and_a_table_without_files_are_no_error() {
    let (_folder, lake) = lake(&RECORDINGS[..1]);
    for table in TABLES {
        assert_ne!(value(&["query", "-q", &format!("SELECT count(*) FROM {table}")], &lake), "", "{table}");
    }
    // An agent is at work.
    let folder = lake.join(format!("table=stops/day={}/bucket=b5", DAYS[0]));
    fs::write(folder.join(".x.parquet.part"), "half").unwrap();
    says(&["query", "stops"], &lake);
    for table in TABLES {
        let _ = fs::remove_dir_all(lake.join(format!("table={table}")));
    }
    for question in questions() {
        assert_eq!(says(&["query", &question], &lake).lines().nth(1), Some("no rows"), "{question}");
    }
}

/// The columns that a table has without files are those that its files have.
#[test]
fn an_empty_table_has_all_columns() {
    let (_folder, full) = lake(&RECORDINGS);
    let (_other, empty) = lake(&RECORDINGS[..1]);
    for table in TABLES {
        let _ = fs::remove_dir_all(empty.join(format!("table={table}")));
    }
    // No recording has lost something.
    for table in &TABLES[..5] {
        let describe = format!("SELECT column_name, column_type FROM (DESCRIBE {table}) ORDER BY column_name");
        let describe = ["query", "-q", &describe, "--format", "csv"];
        assert_eq!(says(&describe, &full), says(&describe, &empty));
    }
}

#[test]
fn what_is_no_lake_or_no_question_is_told() {
    let (folder, lake) = lake(&RECORDINGS[..1]);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    assert!(fails(&["query", "stops"], &other).contains("is no lake: there is no _lake.json in it; name a folder"));
    assert!(fails(&["query", "stops"], &folder.path().join("nowhere")).contains("No such file or directory"));
    fs::write(other.join("_lake.json"), "{\"lake\":2}").unwrap();
    assert!(
        fails(&["query", "stops"], &other).contains("is a lake of version 2, and this program knows those up to 1")
    );
    fs::write(other.join("_lake.json"), "lake").unwrap();
    assert!(fails(&["query", "stops"], &other).contains("does not say the version"));

    let said = fails(&["query", "stop"], &lake);
    assert!(said.contains("there is no question `stop`; is stops meant?"), "{said}");
    assert!(questions().iter().all(|question| said.contains(question)), "{said}");
    assert!(fails(&["query"], &lake).contains("name a question (images, killed,"));
    assert!(
        fails(&["query", "stops", "--since", "2026-12-01", "--until", "2026-11-01"], &lake).contains("no day is both")
    );
    assert!(fails(&["query", "-q", "SELECT nothing FROM hosts"], &lake).contains("\"nothing\" not found"));
    let Output { status, stderr, .. } = fleet(&["query", "stops", "--since", "yesterday"], &lake);
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("a day is like 2026-11-30"));
}

#[test]
fn no_sql_writes_or_reads_what_is_not_in_the_lake() {
    let (folder, lake) = lake(&RECORDINGS[..1]);
    let outside = folder.path().join("outside.csv");
    fs::write(&outside, "secret\n1\n").unwrap();
    let outside = outside.display();
    for sql in [
        "COPY (SELECT 1) TO 'x.csv'",
        "SELECT 1; COPY (SELECT 1) TO 'x.csv'",
        "SELECT 1') ; COPY (SELECT 1) TO 'x.csv'; SELECT ('1",
        "COPY hosts TO '/tmp/tracer-fleet-x.csv'",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH 'x.db'",
        "EXPORT DATABASE 'x'",
        "CREATE TABLE x AS SELECT 1",
        "PRAGMA version",
        "CALL enable_logging(storage = 'file', storage_path = 'x')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('../outside.csv')",
        &format!("SELECT * FROM read_csv('{outside}')"),
        &format!("SELECT * FROM query('SELECT * FROM read_csv(''{outside}'')')"),
        "SELECT * FROM read_parquet('https://localhost/x.parquet')",
    ] {
        let said = fails(&["query", "-q", sql], &lake);
        assert!(said.starts_with("error: the engine says: "), "{sql}: {said}");
        // Its settings do not say so: it is not asked with them.
        assert!(!said.contains("secret"), "{sql}: {said}");
    }
    assert!(fails(&["query", "-q", "DROP VIEW hosts"], &lake).contains("a lake is only read, by one SELECT"));
    // Not refused, but without effect.
    let log = folder.path().join("log");
    for place in ["x", text(&log)] {
        let sql = format!("SELECT * FROM enable_logging(storage = 'file', storage_path = '{place}'), hosts");
        fleet(&["query", "-q", &sql], &lake);
    }
    assert!(!log.exists());
    let mut names: Vec<_> = fs::read_dir(&lake).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = ["_lake.json", "table=findings", "table=hosts", "table=processes", "table=signals", "table=stops"];
    assert_eq!(names, expected);
    assert!(!Path::new("/tmp/tracer-fleet-x.csv").exists());
}

#[test]
fn a_table_has_no_control_characters() {
    let (_folder, lake) = lake(&RECORDINGS[..1]);
    let hostile = "SELECT concat(chr(27), ']0;x', chr(10), 'a', chr(8238)) AS \"\u{1b}[31m\"";
    let said = says(&["query", "-q", hostile], &lake);
    assert_eq!(said.lines().count(), 2, "{said:?}");
    assert!(said.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{said:?}");
    let said = fails(&["query", "-q", "SELECT CAST(concat(chr(27), 'x') AS INTEGER)"], &lake);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

/// `tracer-fleet copy`, and how many files it sent and found there; or what it complains about.
fn copies(arguments: &[&str], environment: &[(&str, &str)]) -> Result<[usize; 2], String> {
    let mut copy = Command::new(env!("CARGO_BIN_EXE_tracer-fleet"));
    copy.arg("copy").args(arguments).env_remove("AWS_PROFILE").envs(environment.iter().copied());
    let Output { status, stdout, stderr } = copy.output().unwrap();
    if !status.success() {
        return Err(String::from_utf8(stderr).unwrap());
    }
    let said = String::from_utf8(stdout).unwrap();
    let numbers: Vec<usize> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [sent, there] = numbers[..] else { panic!("{said}") };
    Ok([sent, there])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names and contents of all files of a lake.
fn content(lake: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![lake.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.push((path.strip_prefix(lake).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_copy_has_what_is_new_and_nothing_else() {
    let (folder, from) = lake(&RECORDINGS[..2]);
    let to = folder.path().join("copies/a copy");
    // What somebody is about to write.
    let unfinished = from.join(format!("table=hosts/day={}/.x.parquet.part", DAYS[0]));
    fs::write(&unfinished, "half").unwrap();
    let first = copies(&[text(&from), text(&to)], &[]).unwrap();
    fs::remove_file(&unfinished).unwrap();
    assert_eq!(content(&to), content(&from));
    assert_eq!(first, [content(&from).len() - 1, 0]);
    let one = to.join(&content(&to).last().unwrap().0);
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o077, 0, "nobody else reads it");
    assert_eq!(copies(&[text(&from), text(&to)], &[]), Ok([0, first[0]]));

    // Another day comes, and a file grows.
    add(RECORDINGS[2], &from);
    let grown = content(&from).into_iter().find(|(path, _)| path.starts_with("table=hosts")).unwrap().0;
    fs::write(to.join(&grown), "less").unwrap();
    let second = copies(&[text(&from), text(&to), "--since", DAYS[0]], &[]).unwrap();
    assert_eq!(content(&to), content(&from));
    assert_eq!(second, [content(&from).len() - first[0], first[0] - 1]);
    assert_eq!(says(&["query", "killed"], &to), says(&["query", "killed"], &from));

    // Of one day only.
    let part = folder.path().join("part");
    copies(&[text(&from), text(&part), "--since", DAYS[1]], &[]).unwrap();
    assert!(part.join(format!("table=hosts/day={}", DAYS[1])).exists());
    assert!(!part.join(format!("table=hosts/day={}", DAYS[0])).exists());
}

#[test]
fn what_is_no_lake_is_not_copied_and_not_written_to() {
    let (folder, from) = lake(&RECORDINGS[..1]);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("theirs"), "").unwrap();
    let fails = |from: &str, to: &str| copies(&[from, to], &[]).unwrap_err();
    assert!(fails(text(&other), text(&from)).contains("other is no lake: there is no _lake.json; name what"));
    assert!(fails(text(&from), text(&other)).contains("other holds something, and is no lake; name a new place"));
    assert!(fails(text(&from), "ftp://host/lake").contains("ftp is not known here; a lake is a folder, or s3://"));
    assert!(fails(&format!("{}/nowhere", text(&other)), "s3://b/lake").contains("No such file or directory"));
    let large = from.join(&content(&from).last().unwrap().0).with_file_name("large.parquet");
    fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    assert!(fails(text(&from), text(&folder.path().join("new"))).contains("1099511627776 bytes: no file of a lake is"));
    fs::remove_file(&large).unwrap();
    fs::write(other.join("_lake.json"), "{\"lake\":2}").unwrap();
    assert!(fails(text(&from), text(&other)).contains("is a lake of version 2, and this program knows those up to 1"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 2);
}

/// A server that speaks S3, with a folder for its buckets.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let program =
            env::var_os("S3_SERVER").expect("S3_SERVER says where s3s-fs is: use `cargo xtask fleet --check`");
        // A port that is free now.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--access-key",
            "key",
            "--secret-key",
            "secret",
        ]);
        let child = command.arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, url: format!("http://127.0.0.1:{port}") };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the server does not start");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn environment(&self) -> [(&str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_lake_goes_by_way_of_an_object_store() {
    let (folder, from) = lake(&RECORDINGS);
    let buckets = folder.path().join("buckets");
    fs::create_dir_all(buckets.join("fleet")).unwrap();
    let server = Server::start(&buckets);
    let (back, url) = (folder.path().join("back"), "s3://fleet/a/lake");
    let all = content(&from).len() - 1;
    assert_eq!(copies(&[text(&from), url], &server.environment()), Ok([all, 0]));
    assert_eq!(copies(&[text(&from), url], &server.environment()), Ok([0, all]));
    assert_eq!(copies(&[url, text(&back)], &server.environment()), Ok([all, 0]));
    assert_eq!(content(&back), content(&from));
    // Of what the store has, only what is asked for is fetched.
    let part = folder.path().join("part");
    let [some, 0] = copies(&[url, text(&part), "--until", DAYS[0]], &server.environment()).unwrap() else { panic!() };
    assert!((1..all).contains(&some));
    let wrong = [server.environment().as_slice(), &[("AWS_SECRET_ACCESS_KEY", "another")]].concat();
    let said = copies(&[text(&from), url], &wrong).unwrap_err();
    assert!(said.contains("cannot read _lake.json of s3://fleet/a/lake"), "{said}");
    let said = copies(&[text(&from), "s3://nobodys/lake"], &server.environment()).unwrap_err();
    assert!(said.contains("s3://nobodys/lake"), "{said}");
}
