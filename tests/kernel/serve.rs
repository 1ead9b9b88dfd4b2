//! `tracer watch --serve`: what happens comes to whoever reads the page, and nobody at its port holds up the tracing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use rustix::process::Signal;
use tracer_tests::{Run, machine::Need, stage::kill};

use crate::{Test, live};

/// How long an update may take on a machine under load.
const COMES_WITHIN: Duration = Duration::from_secs(30);
/// An ordinary user, without any capability.
const NOBODY: u32 = 65534;

pub fn trials() -> Vec<Test> {
    vec![
        live("a_finding_comes_to_the_page", a_finding_comes_to_the_page),
        live("a_flood_of_connections_blinds_nobody", a_flood_of_connections_blinds_nobody)
            .needs(Need::Program("python3")),
    ]
}

/// Somebody who reads the page.
struct Page {
    lines: BufReader<TcpStream>,
}

impl Page {
    /// The address and the path of the events.
    fn place(run: &Run) -> (String, String) {
        let url = run.says_aside("page: http://");
        let (host, path) = url.split_once('/').expect("an address and a path");
        (host.to_owned(), format!("/{path}events"))
    }

    fn open(run: &Run) -> Self {
        let (host, path) = Self::place(run);
        let mut stream = TcpStream::connect(&host).expect("somebody serves");
        stream.set_read_timeout(Some(COMES_WITHIN)).expect("a time");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it is read");
        let mut page = Self { lines: BufReader::new(stream) };
        assert!(page.line().starts_with("HTTP/1.1 200"));
        page
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).expect("it goes on") > 0, "the page has ended");
        line
    }

    /// Reads on until an update of that name tells something: its HTML.
    fn shows(&mut self, name: &str, what: &str) -> String {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < COMES_WITHIN {
            let line = self.line();
            if line.trim() != format!("event: {name}") {
                continue;
            }
            let packed = self.line();
            let packed = packed.strip_prefix("data: ").expect("data").trim();
            let packed = BASE64_STANDARD.decode(packed).expect("base64");
            last.clear();
            ZlibDecoder::new(&*packed).read_to_string(&mut last).expect("deflated text");
            if last.contains(what) {
                return last;
            }
        }
        panic!("the page does not show {what:?}:\n{last}");
    }
}

/// A zombie is found; the page tells it, then that it is over, then that tracing has ended.
fn a_finding_comes_to_the_page() {
    let mut run = Run::options().live(&["--serve", "0"]).start();
    let mut page = Page::open(&run);
    page.shows("live", "seen");
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    run.expect_finding("unreaped-child").about(child).parent(parent).once();
    let told = page.shows("live", &format!("(pid {child})"));
    assert!(told.contains("unreaped-child") && told.contains(&format!("(pid {parent})")), "{told}");
    stage.step("wait");
    stage.hears("reaped");
    page.shows("live", "class=\"ending\"");
    kill(run.id(), Signal::INT);
    page.shows("ended", "class=\"ending\"");
    run.end();
}

/// An ordinary user connects as often as possible, and holds what is accepted. Findings are reported all the same, and who
/// reads the page goes on reading.
fn a_flood_of_connections_blinds_nobody() {
    let mut run = Run::options().live(&["--serve", "0"]).start();
    let mut page = Page::open(&run);
    page.shows("live", "seen");
    let (host, _) = Page::place(&run);
    let port = host.rsplit_once(':').expect("a port").1;
    let script = format!(
        "import socket\nheld=[]\nwhile True:\n s=socket.socket()\n s.setblocking(False)\n s.connect_ex(('127.0.0.1',{port}))\n \
         held.append(s)\n if len(held)==500:\n  print('flooded',flush=True)\n  [s.close() for s in held[:250]]\n  del held[:250]\n"
    );
    let mut flood = Command::new("python3");
    flood.args(["-c", &script]).uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut flood = Flood(flood.spawn().expect("python3 runs"));
    let mut flooded = String::new();
    BufReader::new(flood.0.stdout.as_mut().expect("it is piped")).read_line(&mut flooded).expect("it floods");
    assert_eq!(flooded.trim(), "flooded");
    let mut stage = run.stage(&["parent", "never-waits"]);
    let parent = stage.pid("parent");
    stage.step("child");
    let child = stage.pid("child");
    run.expect_finding("unreaped-child").about(child).parent(parent).once();
    page.shows("live", &format!("(pid {child})"));
    drop(flood);
    let finished = run.finish();
    let lost = finished.summary.lost;
    assert!(lost.values().all(|&records| records == 0), "{lost:?}");
}

/// Ends when it is dropped.
struct Flood(std::process::Child);

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
