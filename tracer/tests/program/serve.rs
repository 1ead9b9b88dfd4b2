//! The live page over a real socket: who gets it, what it says, and what others at the port cannot do.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{
    command_line::{run, stdout, tracer},
    page::{between, data, unpacked},
    recordings::format,
};

/// How long an answer may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `tracer replay --serve` that goes on until this is dropped.
struct Server {
    replay: Child,
    /// `127.0.0.1:PORT`.
    host: String,
    /// `/TOKEN/`.
    path: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = tracer(&[&["replay", &format(1), "--serve", "0"], args].concat());
        let mut replay = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(replay.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("page: ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        let (host, path) = line.trim().split_once("http://").unwrap().1.split_once('/').unwrap();
        Self { replay, host: host.to_owned(), path: format!("/{path}") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// All that is answered to a request.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&get(path, &self.host))
    }

    /// The names and the data of all events, until the last one.
    fn events(&self) -> Vec<(String, String)> {
        let answer = self.get(&format!("{}events", self.path));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        let body = unchunked(body);
        let events = body.split("\n\n").filter_map(|event| event.strip_prefix("event: ")?.split_once('\n'));
        events.map(|(name, data)| (name.to_owned(), data.replace("data: ", ""))).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.replay.kill();
        let _ = self.replay.wait();
    }
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// A body without the sizes of its chunks.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size];
        body = &rest[size + 2..];
    }
    whole
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

#[test]
fn it_says_and_draws_what_the_page_of_the_recording_does() {
    let server = Server::start(&[]);
    let events = server.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert!(matches!(names[..], ["hello", "ended"] | ["hello", "live", "ended"]), "{names:?}");
    let frame = server.get(&server.path);
    assert!(frame.contains(&format!("data-countersign=\"{}\"", events[0].1)), "it knows who answers");
    assert!(!server.path.contains(&events[0].1), "whoever takes the address over does not");
    let (told, drawn) = events.last().unwrap().1.split_once('\n').unwrap();
    let (told, drawn): (_, Value) = (unpacked(told), serde_json::from_str(&unpacked(drawn)).unwrap());
    let report = stdout(&["report", &format(1)]);
    assert_eq!(drawn, data(&report));
    for (begin, end) in [
        ("<div id=\"lead\">", "</div>"),
        ("<dl class=\"facts\" id=\"facts\">", "</dl>"),
        ("<section id=\"findings\"", "<section id=\"stops\""),
        ("<section id=\"stops\"", "<section id=\"time\""),
    ] {
        assert_eq!(between(&told, begin, end), between(&report, begin, end), "{begin}");
    }
    assert_eq!((told.matches("<script").count(), told.matches("<style").count()), (0, 0));
    // Who comes later gets the same.
    assert_eq!(server.events().last(), events.last());
}

#[test]
fn only_who_knows_the_token_reads_and_only_under_the_name_that_is_served() {
    let server = Server::start(&[]);
    let Server { host, path, .. } = &server;
    let port = host.split_once(':').unwrap().1;
    let wrong = path.replace(&path[1..2], if &path[1..2] == "0" { "1" } else { "0" });
    for (path, wanted) in [
        (path.as_str(), "200"),
        ("/health", "200"),
        ("/", "404"),
        ("/events", "404"),
        (&wrong, "404"),
        (&format!("{wrong}events"), "404"),
        (&format!("{wrong}metrics"), "404"),
        (&format!("{path}metrics"), "200"),
        ("/metrics", "404"),
        (&path[..path.len() - 1], "404"),
        (&format!("{}/", &path[..path.len() - 2]), "404"),
        (&format!("{path}/events"), "404"),
        (&format!("{path}../health"), "404"),
        ("/%2e%2e/events", "404"),
    ] {
        let answer = server.get(path);
        assert_eq!(status(&answer), wanted, "{path}: {answer}");
        assert_eq!(answer.contains("What happened"), path == server.path, "{path}");
    }
    let events = format!("{path}events");
    for (host, wanted) in [
        (format!("localhost:{port}"), "200"),
        ("127.0.0.1:1".to_owned(), "200"),
        (format!("evil.example:{port}"), "421"),
        ("127.0.0.2".to_owned(), "421"),
        (String::new(), "421"),
    ] {
        for path in [path, &events, "/health"] {
            assert_eq!(status(&server.ask(&get(path, &host))), wanted, "{host}{path}");
        }
    }
    assert_eq!(status(&server.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"))), "421");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"] {
        let answer = server.ask(&get(path, host).replacen("GET", method, 1));
        assert_eq!(status(&answer), "405", "{method}");
    }
    let head = server.ask(&get(path, host).replacen("GET", "HEAD", 1));
    assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
    assert!(server.get("/health").ends_with("\r\n\r\nok"));
}

#[test]
fn numbers_for_prometheus_are_those_of_the_recording() {
    let server = Server::start(&[]);
    // The recording has been played to its end.
    server.events();
    let answer = server.get(&format!("{}metrics", server.path));
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let lines = stdout(&["replay", &format(1), "-o", "json", "--each"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = lines.last().unwrap();
    for (kind, count) in ended["events"].as_object().unwrap() {
        assert!(text.contains(&format!("\ntracer_events_total{{kind=\"{kind}\"}} {count}\n")), "{kind}: {text}");
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
    }
    let found = lines.iter().filter(|line| line["type"] == "finding" && line["stage"] == "new").count();
    let told = text.lines().filter(|line| line.starts_with("tracer_findings_total{"));
    let told: usize = told.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert!(found > 0 && told == found, "{found}: {text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("tracer_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn every_answer_tells_the_browser_to_be_careful() {
    let server = Server::start(&[]);
    for path in [server.path.as_str(), "/health", "/", "/x/y/z"] {
        let answer = server.get(path).to_lowercase();
        for header in [
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; ",
        ] {
            assert!(answer.contains(header), "{path}: {header} in {answer}");
        }
        assert!(!answer.contains("access-control-"), "{answer}");
    }
    let frame = server.get(&server.path);
    let policy = between(&frame, "content-security-policy: ", "\r\n");
    let (script, _) = frame.rsplit_once("</script>").unwrap();
    let script = script.rsplit_once("<script>").unwrap().1;
    let hash = BASE64_STANDARD.encode(<sha2::Sha256 as sha2::Digest>::digest(script));
    assert!(policy.contains(&format!("script-src 'sha256-{hash}';")), "{policy}");
    assert!(policy.ends_with("connect-src 'self'; frame-ancestors 'none'"), "{policy}");
}

#[test]
fn nobody_can_keep_others_out_by_holding_connections() {
    let server = Server::start(&[]);
    // One half says nothing, the other never ends its request.
    let held: Vec<_> = (0..300)
        .map(|n| {
            let mut stream = server.connect();
            if n % 2 == 0 {
                // It may have been turned away by then.
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: ");
            }
            stream
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(status(&server.get(&server.path)), "200");
    }
    drop(held);
}

#[test]
fn a_head_without_an_end_is_refused() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let mut line = format!("GET {} HTTP/1.1\r\nHost: {}\r\nX: ", server.path, server.host).into_bytes();
    line.resize(1 << 20, b'x');
    // The other side may close before it has all.
    let _ = stream.write_all(&line);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(status(&server.get("/health")), "200");
}

#[test]
fn a_part_of_a_recording_is_served_as_well() {
    let whole = Server::start(&[]).events();
    let part = Server::start(&["--until", "+0s"]).events();
    let findings = |events: &[(String, String)]| unpacked(events.last().unwrap().1.split_once('\n').unwrap().0);
    assert!(findings(&whole).contains("<article "));
    assert!(!findings(&part).contains("<article "));
}

#[test]
fn addresses_that_others_can_reach_are_refused() {
    for address in ["0.0.0.0:7070", "[::]:7070"] {
        let refused = run(&["replay", &format(1), "--serve", address]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains("ssh -L 7070:127.0.0.1:7070"), "{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_at_once() {
    let server = Server::start(&[]);
    let refused = run(&["replay", &format(1), "--serve", &server.host]);
    let said = String::from_utf8(refused.stderr).unwrap();
    let wanted = format!("cannot serve a page on {}: ", server.host);
    assert!(refused.status.code() == Some(1) && said.contains(&wanted) && refused.stdout.is_empty(), "{said}");
}
