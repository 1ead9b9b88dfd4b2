//! What each filter of `tracer watch` shows, over the same events as the outputs.

use clap::Parser;
use jiff::tz::TimeZone;
use tracer::{
    cli::{Cli, Command},
    console::style::Screen,
    event::EventKind,
    filter::Filter,
    signal::Signal,
    sink::{Sink, json::Json, text::Text},
};
use tracer_common::record::signal_flags;

use crate::story::{self, everything, exit, fork, info, live};

/// The lines that `tracer watch -o json` with these options prints, shortened: `fork 100`,
/// `signal TERM 10>50`, `finding init-ignored-signal 50`.
fn watch(options: &str, events: &[EventKind]) -> Vec<String> {
    let cli = Cli::parse_from(["tracer", "watch"].into_iter().chain(options.split_whitespace()));
    let Command::Watch(watch) = cli.command else { unreachable!("it is watch") };
    let mut sink = Json::new(Vec::new(), Filter::from(&watch.show.filter), watch.show.kinds());
    live(events, &mut [&mut sink]);
    let text = String::from_utf8(sink.into_inner()).unwrap();
    text.lines().filter_map(shorten).collect()
}

fn shorten(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    match line["type"].as_str().unwrap() {
        "event" if line["signal"].is_string() => Some(format!(
            "{} {} {}>{}",
            word(&line["kind"]),
            word(&line["signal"]).trim_start_matches("SIG"),
            line["sender"]["pid"].as_u64().map_or("?".into(), |pid| pid.to_string()),
            line["target"]["pid"],
        )),
        "event" => Some(format!("{} {}", word(&line["kind"]), line["process"]["pid"])),
        "finding" => Some(format!("finding {} {}", word(&line["rule"]), line["process"]["pid"])),
        _ => None,
    }
}

fn shown(options: &str) -> Vec<String> {
    watch(options, &everything())
}

#[test]
fn by_signal() {
    assert_eq!(
        shown("--events -s TERM"),
        ["signal TERM 10>50", "finding init-ignored-signal 50", "signal TERM 10>100", "signal TERM 10>100",]
    );
    let all_but = shown("--events -s !TERM");
    assert!(!all_but.iter().any(|line| line.contains(" TERM ")), "{all_but:?}");
    assert!(all_but.contains(&"fork 100".to_owned()));
    assert!(all_but.contains(&"signal KILL 60>50".to_owned()));
    assert_eq!(shown("--events=signal,deliver -s RTMIN"), ["deliver RTMIN ?>100"]);
}

#[test]
fn the_summary_counts_what_was_shown_and_apart_what_was_not() {
    let summary = |options: &str| {
        let cli = Cli::parse_from(["tracer", "watch"].into_iter().chain(options.split_whitespace()));
        let Command::Watch(watch) = cli.command else { unreachable!("it is watch") };
        let filter = || Filter::from(&watch.show.filter);
        let screen = Screen { colour: false, width: None };
        let (mut json, mut text) = (
            Json::new(Vec::new(), filter(), watch.show.kinds()).few(),
            Text::new(Vec::new(), screen, TimeZone::UTC, filter(), watch.show.kinds()),
        );
        live(&everything(), &mut [&mut json, &mut text]);
        let json = String::from_utf8(json.into_inner()).unwrap();
        let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        let text = String::from_utf8(text.into_inner()).unwrap();
        let rows: Vec<_> =
            text.lines().filter(|line| line.starts_with("  findings") || line.contains("not shown")).collect();
        (last["findings"].to_string(), last["findings_not_shown"].to_string(), rows.join("; "))
    };
    let (all, none, rows) = summary("");
    assert!(none == "null" && all.len() > 20 && !rows.contains("not shown"), "{all} {none} {rows}");
    let (shown, rest, rows) = summary("--rule unreaped-child");
    assert_eq!(shown, r#"{"unreaped-child":2}"#);
    assert!(rest.contains("init-ignored-signal") && !rest.contains("unreaped"), "{rest}");
    assert!(rows.starts_with("  findings  unreaped-child 2;   not shown init-ignored-signal "), "{rows}");
}

#[test]
fn by_container() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend(story::container());
    events.extend([
        fork(info(100, 10, "bash")),
        fork(story::inner(130, 9, 60, "sh")),
        story::signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1),
        story::signal(50, 10, Signal::CHLD, 0, 0),
        story::signal(10, 100, Signal::TERM, 0, 0),
    ]);
    let shown = |options: &str| watch(&format!("--events {options}"), &events);
    let of_it = ["fork 130", "signal TERM 10>50", "finding init-ignored-signal 50", "signal CHLD 50>10"];
    let signals =
        |options: &str| shown(options).into_iter().filter(|line| line.starts_with("signal")).collect::<Vec<_>>();
    for name in ["--container web", "--container 0f1e2d3c", "--container x,web", "--image evil\u{1b}[2J:1"] {
        let shown = shown(name);
        assert!(of_it.iter().all(|line| shown.contains(&(*line).to_owned())), "{name}: {shown:?}");
        assert!(!shown.iter().any(|line| line.contains("100")), "{name}: {shown:?}");
    }
    // The signal comes from the host.
    assert_eq!(signals("--container web --side to"), ["signal TERM 10>50"]);
    assert_eq!(signals("--container web --side from"), ["signal CHLD 50>10"]);
    for name in ["--container we", "--image web", "--pod web"] {
        assert!(shown(name).is_empty(), "{name}: {:?}", shown(name));
    }
}

#[test]
fn what_is_lost() {
    assert_eq!(
        shown("--events --lost"),
        [
            "finding init-ignored-signal 50",
            "signal TERM 10>50",
            "finding init-ignored-signal 50",
            "signal KILL 60>50",
            "finding init-ignored-signal 50",
        ]
    );
}

#[test]
fn by_sender_target_or_either() {
    assert_eq!(
        shown("--events --from-pid 60"),
        ["finding init-ignored-signal 50", "signal KILL 60>50", "finding init-ignored-signal 50"]
    );
    let to = shown("--events=signal --to-pid 50 --rule init-ignored-signal");
    assert_eq!(to.len(), 5, "{to:?}");
    assert!(to.iter().all(|line| line.ends_with("50")), "{to:?}");
    let either = shown("--events -p 60");
    for wanted in ["fork 110", "exit 110", "reap 110", "signal KILL 60>50"] {
        assert!(either.contains(&wanted.to_owned()), "{wanted}: {either:?}");
    }
    assert!(!either.iter().any(|line| line.contains("100")), "{either:?}");
    assert_eq!(shown("--events=signal -p 10,60 --from-pid 60 --lost --min-severity error"), ["signal KILL 60>50"]);
}

#[test]
fn by_namespace() {
    let inner = shown("--events --ns 4026532841");
    assert_eq!(inner, shown("--events --ns 50"));
    for wanted in ["fork 110", "exec 111", "signal TERM 10>50", "finding unreaped-child 55"] {
        assert!(inner.contains(&wanted.to_owned()), "{wanted}: {inner:?}");
    }
    assert!(!inner.iter().any(|line| line.ends_with(" 100") || line.ends_with(">100")), "{inner:?}");
    // All but what was found before the snapshot told where the target lives.
    assert_eq!(shown("--events --ns 1"), shown("--events")[1..]);
}

#[test]
fn by_rule_and_severity() {
    assert!(shown("--rule orphan-adopted").iter().all(|line| line.starts_with("finding orphan-adopted")));
    assert!(!shown("--min-severity warning").iter().any(|line| line.contains("orphan-adopted")));
    assert!(shown("--min-severity error").is_empty());
}

#[test]
fn a_tree_keeps_who_was_adopted_away_and_their_children() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend([
        fork(info(200, 10, "a")),
        fork(info(201, 200, "b")),
        // 200 dies, 201 goes to pid 1, which is not below 10, and has a child there.
        EventKind::Exit(Box::new(tracer::event::Exit {
            adopter: tracer::event::Adopter::NamespaceInit(story::task(1)),
            ..exit(200, 10, 0)
        })),
        EventKind::Free(story::task(200)),
        fork(info(202, 201, "c")),
        fork(info(203, 1, "d")),
    ]);
    assert_eq!(
        watch("--events=fork,exit --tree 10 --min-severity error", &events),
        ["fork 200", "fork 201", "exit 200", "fork 202"]
    );
}

#[test]
fn what_does_not_exist_is_told_at_the_start() {
    for (options, wanted) in [
        ("-p 4000", "there is no process with pid 4000"),
        ("--from-pid 4000", "there is no process with pid 4000"),
        ("--to-pid 10,4000", "there is no process with pid 4000"),
        ("--tree 4000", "there is no process with pid 4000"),
        ("--ns 4000", "there is no process with pid 4000"),
        ("--ns 4026530000", "there is no pid namespace 4026530000"),
    ] {
        let cli = Cli::parse_from(["tracer", "watch"].into_iter().chain(options.split_whitespace()));
        let Command::Watch(watch) = cli.command else { unreachable!("it is watch") };
        let mut sink = Json::new(Vec::new(), Filter::from(&watch.show.filter), &[]);
        let mut detector = tracer::detector::Detector::new(&Default::default());
        let result = everything().into_iter().try_for_each(|kind| {
            let event = tracer::event::Event { at: tracer::time::BootNs(1), cpu: 0, kind };
            let (step, world) = detector.step(&event, &[]);
            sink.step(world, &step)
        });
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{options}: {error}");
    }
}
