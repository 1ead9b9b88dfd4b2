//! `tracer report`, as far as it takes no browser to judge it; see `tests/readers/` for the rest.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tracer::{
    detector::Detector,
    event::{Event, EventKind},
    history::History,
    page::{self, About, Clock},
    signal::Signal,
    sink::Counted,
    thresholds::Thresholds,
};
use tracer_model::story::after_boot;

use crate::{
    command_line::{run, stdout},
    recordings::format,
    story::{self, exec, exit, fork, info, signal, task},
};

/// A recording in which that rule fires.
fn fires(rule: &str) -> String {
    let traces = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/traces/rules");
    traces.join(format!("{rule}.fires.mcap")).into_os_string().into_string().unwrap()
}

pub fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} after {begin}")).0
}

/// What the script draws.
pub fn data(page: &str) -> Value {
    serde_json::from_str(&unpacked(between(page, "id=\"data\">", "</script>"))).unwrap()
}

/// What the script unpacks.
pub fn unpacked(packed: &str) -> String {
    let mut text = String::new();
    ZlibDecoder::new(&*BASE64_STANDARD.decode(packed).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn escaped(text: &str) -> String {
    [('&', "&#38;"), ('<', "&#60;"), ('>', "&#62;"), ('"', "&#34;"), ('\'', "&#39;")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(*from, to))
}

#[test]
fn every_finding_is_there_with_all_that_it_says() {
    for rule in tracer::rules::RULES {
        let file = fires(rule.name);
        let page = stdout(&["report", &file]);
        let mut told = 0;
        for line in stdout(&["replay", &file, "-o", "json"]).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["type"] != "finding" || line["stage"] != "new" {
                continue;
            }
            told += 1;
            let message = line["message"].as_str().unwrap();
            let headline =
                escaped(message.split_once(". ").map_or(message, |(headline, _)| headline).trim_end_matches('.'));
            // One that goes on is told as it was last.
            let grows = line["stage"] == "new" && ["zombie-leak", "pid-pressure"].contains(&rule.name);
            assert!(grows || page.contains(&headline), "{}: {headline}", rule.name);
        }
        assert!(told > 0 && page.contains(&format!("<summary>What {} means", rule.name)), "{}", rule.name);
    }
}

#[test]
fn what_is_most_urgent_stands_first() {
    let page = stdout(&["report", &fires("slow-stop")]);
    let lead = between(&page, "<ol class=\"lead\">", "</ol>");
    assert_eq!(lead.matches("<li ").count(), 3);
    assert!(lead.trim_start().starts_with("<li class=\"warning\">"), "{lead}");
    let is_over: Vec<_> = lead.split("<li ").skip(1).map(|sentence| sentence.contains("class=\"over\"")).collect();
    assert!(is_over.is_sorted(), "{lead}");
    let stops = between(&page, "<tbody>", "</tbody>");
    for wanted in ["sleep (pid ", "SIGTERM", "kill (pid ", "no-handler", "killed", "1.0 s"] {
        assert!(stops.contains(wanted), "{wanted}: {stops}");
    }
    let quiet = stdout(&["report", &fires("slow-stop").replace(".fires.", ".quiet.")]);
    assert!(!quiet.contains("<td class=\"lost\">"));
}

#[test]
fn nothing_but_its_own_script_and_style_is_allowed() {
    let page = stdout(&["report", &format(1)]);
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let policy = policy.replace("&#39;", "'");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for (directive, text) in [
        ("style-src", between(&page, "<style>", "</style>")),
        ("script-src", page.rsplit_once("<script>").unwrap().1.split_once("</script>").unwrap().0),
    ] {
        let hash = BASE64_STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{directive}: {hash} in {policy}");
    }
    // What the policy would forbid is not there either, and nobody is asked for anything.
    for bad in [" style=", " onclick=", " src=", "url(", "@import", "fetch(", "XMLHttp", "eval("] {
        assert!(!page.contains(bad), "{bad}");
    }
}

#[test]
fn what_is_drawn_is_what_was_recorded() {
    let page = stdout(&["report", &format(1)]);
    let data = data(&page);
    let columns = |name: &str| data[name].as_object().unwrap().values().map(|it| it.as_array().unwrap().len());
    for name in ["lives", "signals"] {
        let lengths: Vec<_> = columns(name).collect();
        assert!(lengths[0] > 0 && lengths.iter().all(|length| *length == lengths[0]), "{name}: {lengths:?}");
    }
    let lines = stdout(&["replay", &format(1), "-o", "json", "--events=signal"]);
    assert_eq!(columns("signals").next().unwrap(), lines.matches("\"kind\":\"signal\"").count());
    assert!(!page.contains("Left out of this page"));
}

/// The size that an incident may have on a page, and what it may not.
#[test]
fn a_large_incident_fits_and_what_is_left_out_is_counted() {
    let EventKind::Start(start) = story::start() else { panic!("a story begins with its start") };
    for (processes, signals, is_whole) in [(5_000, 40_000, true), (9_000, 70_000, false)] {
        let mut detector = Detector::new(&Thresholds::default());
        let mut history = History::default();
        let mut sink = Counted::new(&mut history);
        let mut at = 100_000_000_000;
        let mut feed = |kind| {
            // As uneven as clocks are.
            at += 20_011 + at % 7_919;
            let event = Event { at: tracer::time::BootNs(at), cpu: 0, kind };
            let (step, world) = detector.step(&event, &[]);
            sink.step(world, &step).unwrap();
        };
        std::iter::once(story::start()).chain(story::snapshot()).for_each(&mut feed);
        let per_process = signals / processes;
        for n in 0..processes {
            let pid = 1_000 + n;
            feed(fork(info(pid, 10, "bash")));
            // Nothing that could be packed well.
            let line: String =
                (0..12_u32).map(|word| format!("{:x}\0", (n * 12 + word).wrapping_mul(0x9e37_79b1))).collect();
            feed(exec(pid, "worker", line.as_bytes()));
            for k in 0..per_process {
                feed(signal(10, 1_000 + n - n.min(k), Signal::USR1, 0, 0));
            }
            if n % 3 > 0 {
                feed(EventKind::Exit(Box::new(exit(pid, 10, 256))));
                feed(EventKind::Free(task(pid)));
            }
        }
        sink.finish(detector.world()).unwrap();
        let about = About {
            file: "run.mcap".to_owned(),
            start: &start,
            complaints: Vec::new(),
            clock: Clock::new(&TimeZone::UTC, start.wall_offset_ns, after_boot(100_000)),
            is_over: true,
        };
        let mut out = Vec::new();
        page::write(&mut out, &mut history, &about).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(page.len() <= 2 << 20, "{processes}: {} bytes", page.len());
        let drawn = |column: &str| data(&page)[column]["to"].as_array().map_or(0, Vec::len);
        if is_whole {
            assert!(drawn("signals") >= 40_000 && !page.contains("processes are drawn"), "{}", drawn("signals"));
        } else {
            assert!(page.contains("of 9007 processes are drawn"), "{}", between(&page, "left-title", "</ul>"));
            assert!(page.contains(&format!("{} of ", drawn("signals"))));
        }
    }
}

#[test]
fn it_is_for_its_owner_only_and_nothing_is_overwritten() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("run.mcap");
    fs::copy(format(1), &copy).unwrap();
    let out = folder.path().join("run.html");
    let report = |out: &Path| run(&["report", copy.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert!(report(&out).status.success());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&out).unwrap(), stdout(&["report", copy.to_str().unwrap(), "-o", "-"]));
    for taken in [&out, &copy] {
        let refused = report(taken);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && said.contains("is there already"), "{said}");
    }
    assert_eq!(fs::read(&copy).unwrap(), fs::read(format(1)).unwrap());
}

#[test]
fn a_page_that_cannot_be_written_is_removed() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run.html");
    // Blocks of 512 bytes: the disk is full, as far as the program can tell.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$@""#, "sh", env!("CARGO_BIN_EXE_tracer")]);
    let output = shell.args(["report", &format(1), "-o"]).arg(&out).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write ") && said.contains("File too large") && !out.exists(), "{said}");
}

#[test]
fn a_recording_that_was_cut_makes_a_page_that_says_so() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(format(1)).unwrap();
    let cut = folder.path().join("cut.mcap");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let page = stdout(&["report", cut.to_str().unwrap()]);
    assert!(between(&page, "<dl class=\"facts\" id=\"facts\">", "</dl>").contains("the recording was not closed"));
    assert!(page.trim_end().ends_with("</html>"));
    data(&page);
    fs::write(&cut, "").unwrap();
    let refused = run(&["report", cut.to_str().unwrap()]);
    assert!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{refused:?}");
}

#[test]
fn what_stands_first_says_where_and_what_to_do() {
    let page = stdout(&["report", &fires("exec-leftover")]);
    let lead = between(&page, "<ol class=\"lead\">", "</ol>");
    let card = between(&page, "<article", "</article>");
    let fix = between(card, "<dt>fix</dt><dd>", "</dd>");
    assert!(lead.contains(&format!("<p class=\"fix\"><b>fix</b> {fix}</p>")), "{lead}");
    // The same advice is not given twice: the dropped signal and the slow stop have one fix.
    let page = stdout(&["report", &fires("slow-stop")]);
    let lead = between(&page, "<ol class=\"lead\">", "</ol>");
    let fixes: Vec<_> = lead.split("<b>fix</b> ").skip(1).map(|rest| rest.split_once("</p>").unwrap().0).collect();
    assert!(!fixes.is_empty() && fixes.len() < lead.matches("<li ").count(), "{lead}");
    assert!(fixes.iter().all(|fix| fixes.iter().filter(|other| *other == fix).count() == 1), "{lead}");
}

#[test]
fn a_page_can_be_of_a_part_and_says_so() {
    let file = fires("slow-stop");
    let whole = stdout(&["report", &file]);
    let pid = data(&whole)["lives"]["pid"].as_array().unwrap().last().unwrap().clone();
    assert!(!whole.contains("<dt>shown</dt>"));
    let lives = |page: &str| data(page)["lives"]["pid"].as_array().unwrap().len();
    let part = stdout(&["report", &file, "--rule", "slow-stop", "-s", "TERM"]);
    assert!(part.contains("<dt>shown</dt><dd>only --signal SIGTERM --rule slow-stop</dd>"), "{part}");
    assert!(part.contains("class=\"finding warning\"") && !part.contains("<h4>init-ignored-signal"), "{part}");
    let names: Vec<_> = data(&part)["signal_names"].as_object().unwrap().values().cloned().collect();
    assert_eq!(names, ["SIGTERM"]);
    let one = stdout(&["report", &file, "--pid", &pid.to_string()]);
    assert!(lives(&one) < lives(&whole), "{} of {}", lives(&one), lives(&whole));
    assert!(data(&one)["lives"]["pid"].as_array().unwrap().contains(&pid));
    assert!(one.contains("have to do with what this page was asked for"));
    // A time in which nothing was found.
    let early = stdout(&["report", &file, "--until", "+1ms"]);
    assert!(early.contains("The rules found nothing in the part that is shown.") && early.contains("only until 20"));
    let none = run(&["report", &file, "--container", "nobody"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("no container, image or pod nobody"));
}
