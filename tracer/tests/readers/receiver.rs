//! A receiver of OTLP gets what an agent's courier sends, and tells what it was.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{prctl, signal::Signal},
    unistd::Uid,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracer::{
    agent::telemetry::Telemetry,
    filter::Filter,
    metrics::{
        delivery::{Deliveries, Outcome},
        own::Own,
    },
};
use tracer_model::ident::lies::LIES;

use crate::{Python, TRACER, hostile};

/// The packages with a receiver.
pub const RECEIVERS: &str = "receivers.txt";
/// How long it may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Datadog's agent for tests, which keeps what it gets.
struct Receiver {
    child: Child,
    port: u16,
    grpc: u16,
}

impl Receiver {
    fn start(python: &Python, folder: &TempDir) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [own, port, grpc] = [free(), free(), free()];
        let mut command = Command::new(python.program("ddapm-test-agent"));
        for (option, port) in [("--port", own), ("--otlp-http-port", port), ("--otlp-grpc-port", grpc)] {
            command.arg(option).arg(port.to_string());
        }
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(folder.path());
        // SAFETY: prctl(2) is safe to call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let receiver = Self { child: command.spawn().unwrap(), port, grpc };
        let began = Instant::now();
        while receiver.got("logs").is_none() || TcpStream::connect(("127.0.0.1", grpc)).is_err() {
            assert!(began.elapsed() < STARTS_WITHIN, "the receiver does not start");
            thread::sleep(Duration::from_millis(50));
        }
        receiver
    }

    /// What it got: `logs` or `metrics`; `None` while it does not answer.
    fn got(&self, what: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /test/session/{what} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split(' ').nth(1).filter(|&status| status == "200").and_then(|_| serde_json::from_str(body).ok())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn grpc(python: &Python) {
    let folder = TempDir::new().unwrap();
    let receiver = Receiver::start(python, &folder);
    delivers(&receiver, "grpc", receiver.grpc);
}

pub fn http(python: &Python) {
    let folder = TempDir::new().unwrap();
    let receiver = Receiver::start(python, &folder);
    delivers(&receiver, "http", receiver.port);
}

/// Sends everything that happens on a machine on which every name is a lie.
fn delivers(receiver: &Receiver, protocol: &str, port: u16) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(TRACER);
    let (to, user) = (format!("http://127.0.0.1:{port}"), Uid::effective().to_string());
    command.args(["agent-courier", "--user", &user, "--to", &to, "--protocol", protocol]);
    command.args(["--attribute", "deployment.environment.name=test"]);
    let mut courier = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    // It has the only copy of the other end, so that this one learns of its end.
    drop(command);
    let delivered = Arc::new(Deliveries::default());
    let often = Duration::from_millis(100);
    let own = Own { deliveries: Some(delivered.clone()), fill: None };
    hostile::tell(&mut Telemetry::new(ours, Filter::default(), true, often, own).unwrap());
    assert!(courier.wait().unwrap().success());

    let counts = Outcome::ALL.map(|outcome| delivered.count(outcome));
    let logs = receiver.got("logs").unwrap();
    let records: Vec<_> = all(&logs, "/resource_logs", "/scope_logs", "/log_records").collect();
    let findings: Vec<_> = records.iter().filter(|record| record["event_name"] == "tracer.finding").collect();
    assert!(findings.len() >= LIES.len(), "{} for {} lies", findings.len(), LIES.len());
    assert_eq!((counts[0], counts[1]), (records.len() as u64, 0), "each was delivered, and counted");
    let first = &findings[0];
    assert_eq!((&first["severity_text"], &first["severity_number"]), (&json!("WARN"), &json!("SEVERITY_NUMBER_WARN")));
    assert_eq!(attribute(first, "tracer.rule"), "init-ignored-signal");
    assert_eq!(attribute(first, "process.pid"), "100");
    assert_eq!(attribute(first, "container.id"), "0".repeat(64));
    assert_eq!(attribute(first, "container.runtime.name"), "docker");
    assert!(attribute(first, "container.name").contains("</script>"));
    let line: Value = serde_json::from_str(&attribute(first, "tracer.json")).unwrap();
    assert_eq!(first["body"]["string_value"], line["headline"]);
    // 2026-11-22T10:01:40Z and what follows.
    let at: u64 = first["time_unix_nano"].as_str().unwrap().parse().unwrap();
    assert_eq!(at / 1_000_000_000, 1_795_341_700);
    let is_tame = |text: &str| text.chars().all(|c| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c));
    assert!(records.iter().all(|record| is_tame(record["body"]["string_value"].as_str().unwrap())));
    let resource = &logs[0]["resource_logs"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "tracer");
    assert_eq!(attribute(resource, "deployment.environment.name"), "test");

    let metrics = receiver.got("metrics").unwrap();
    // The newest first.
    let all: Vec<_> = all(&metrics, "/resource_metrics", "/scope_metrics", "/metrics").collect();
    let named = |name: &str| *all.iter().find(|metric| metric["name"] == name).unwrap();
    let found = named("tracer.findings");
    assert_eq!(found["sum"]["is_monotonic"], true, "{found}");
    let points = found["sum"]["data_points"].as_array().unwrap();
    let ignored = points.iter().find(|point| attribute(point, "rule") == "init-ignored-signal").unwrap();
    assert_eq!(ignored["as_int"], LIES.len().to_string());
    let stops = named("tracer.stop");
    assert_eq!((&stops["unit"], stops["histogram"]["data_points"].as_array().unwrap().len()), (&json!("s"), 1));
    // Nobody has reaped them.
    assert_eq!(named("tracer.processes")["gauge"]["data_points"][0]["as_int"], (LIES.len() + 1).to_string());
    assert!(counts[2] >= 2 && counts[2] + counts[3] >= 2, "{counts:?}");
}

/// All things of that kind, whatever they came with.
fn all<'a>(
    requests: &'a Value,
    resources: &'a str,
    scopes: &'a str,
    things: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let within = |value: &'a Value, path: &str| value.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let resources = within(requests, "").flat_map(move |request| within(request, resources));
    resources.flat_map(move |resource| within(resource, scopes)).flat_map(move |scope| within(scope, things))
}

/// The value of an attribute; empty if it has none of that name.
fn attribute(of: &Value, name: &str) -> String {
    let attributes = of["attributes"].as_array().into_iter().flatten();
    let value = attributes.filter(|attribute| attribute["key"] == name).map(|attribute| &attribute["value"]).next();
    let text = value.and_then(|value| value["string_value"].as_str().or(value["int_value"].as_str()));
    text.unwrap_or_default().to_owned()
}
