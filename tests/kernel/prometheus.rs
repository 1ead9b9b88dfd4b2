//! The rules and the dashboard for Prometheus: they are right, and a real Prometheus that reads an agent raises an alert.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::{prctl, signal};
use serde_json::{Value, json};
use tracer_tests::{agent::Agent, machine::Need, run::output};

use crate::{Test, live};

/// How long it may take until an alert is raised; it is told to look each second.
const RAISED_WITHIN: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Test> {
    vec![
        Test { name: "rules_and_dashboard", body: rules_and_dashboard, needs: vec![Need::Program("promtool")] },
        live("a_leak_raises_an_alert", a_leak_raises_an_alert).needs(Need::Program("prometheus")),
    ]
}

fn packaged(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(packaged("prometheus"));
    let said = output(command);
    let said = (said.status.success(), String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.0, "{arguments:?}: {said:#?}");
}

/// promtool accepts the rules, and what they say in examples; and each question of the dashboard is one.
fn rules_and_dashboard() {
    promtool(&["check", "rules", "tracer.rules.yml"]);
    promtool(&["test", "rules", "tracer.test.yml"]);
    let dashboard = fs::read(packaged("grafana/tracer.json")).expect("it is there");
    let dashboard: Value = serde_json::from_slice(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("questions"));
    let questions: Vec<_> = targets.map(|target| target["expr"].as_str().expect("a question")).collect();
    assert!(questions.len() >= 9, "{questions:?}");
    // A rule for each, with a time where Grafana puts one.
    let rule = |(i, question): (usize, &&str)| json!({"record": format!("question_{i}"), "expr": question.replace("$__rate_interval", "1m")});
    let rules: Vec<_> = questions.iter().enumerate().map(rule).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dashboard.yml");
    // JSON is YAML.
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())
        .expect("it can be written");
    promtool(&["check", "rules", file.to_str().expect("a name")]);
    // All that they ask for is documented, which says that it is there.
    let documented = fs::read_to_string(packaged("../docs/metrics.md")).expect("it is there");
    let rules = fs::read_to_string(packaged("prometheus/tracer.rules.yml")).expect("it is there");
    for text in questions.into_iter().chain([rules.as_str()]) {
        for name in
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("tracer_"))
        {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(documented.contains(&format!("`{name}`")), "{name} is nowhere documented");
        }
    }
}

/// A Prometheus that ends with this test.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    fn reading(address: &str, folder: &std::path::Path) -> Self {
        // As packaged, but sooner.
        let rules = fs::read_to_string(packaged("prometheus/tracer.rules.yml")).expect("it is there");
        fs::write(folder.join("rules.yml"), rules.replace("for: 2m", "for: 2s")).expect("it can be written");
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [folder.join("rules.yml")],
            "scrape_configs": [{"job_name": "tracer", "static_configs": [{"targets": [address]}]}],
        });
        let file = folder.join("prometheus.yml");
        fs::write(&file, configuration.to_string()).expect("it can be written");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).expect("a file"));
        // SAFETY: prctl(2) is safe to call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(signal::Signal::SIGKILL)?));
        }
        Self { child: command.spawn().expect("prometheus runs"), port }
    }

    /// Its alerts; `None` while it does not answer.
    fn alerts(&self) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /api/v1/alerts HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Twelve zombies of one parent: after a while, the alert about leaks names the program that does not reap them.
fn a_leak_raises_an_alert() {
    let agent = Agent::start("");
    let folder = tempfile::tempdir().expect("a folder");
    let prometheus = Prometheus::reading(&agent.address, folder.path());
    let mut leak = Command::new("sh");
    // Its shell starts them, and becomes a program that never waits.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do true & done; exec sleep 1000";
    let mut leak = leak.args(["-c", script]).stdin(Stdio::null()).spawn().expect("sh runs");
    let began = Instant::now();
    let mut last = None;
    let fires = |alerts: &Value| {
        let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().find(|alert| {
            alert["labels"]["alertname"] == "TracerZombieLeak"
                && alert["labels"]["parent_comm"] == "sleep"
                && alert["state"] == "firing"
        })
    };
    let fired = loop {
        if let Some(alerts) = prometheus.alerts() {
            if let Some(alert) = fires(&alerts) {
                break alert;
            }
            last = Some(alerts);
        }
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(began.elapsed() < RAISED_WITHIN, "{last:#?}\n{}\n{}", log(), agent.numbers());
        thread::sleep(Duration::from_millis(200));
    };
    leak.kill().expect("it lives");
    leak.wait().expect("it ends");
    let told = fired["annotations"]["summary"].as_str().unwrap_or_default();
    assert_eq!(told, "sleep does not reap its children", "{fired:#}");
    agent.end();
}
