//! The JSON contract of `docs/json.md`, read back strictly: a field that is not in these structs
//! fails a test.
#![expect(dead_code, reason = "fields are declared to be parsed, not to be read")]

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;
use tracer::{
    event::EventKind,
    filter::Filter,
    host::Rooms,
    kind::Kind,
    sink::{
        Counted,
        json::{Json, schema::schema, unwritten_line},
    },
    world::World,
};

use crate::story::{self, endings, everything, live};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Process {
    pid: u32,
    start_boot_ns: Digits,
    comm: String,
    pid_ns: u32,
    ns_pid: u32,
    ns_level: u32,
    container: Option<String>,
    container_id: Option<String>,
}

/// A number in a string.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Digits(u64);

impl TryFrom<String> for Digits {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// RFC 3339 in UTC with nine digits of a second.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Time(jiff::Timestamp);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = text.len() == "2026-11-22T10:00:00.000000000Z".len() && text.ends_with('Z');
        let time = text.parse().map_err(|error| format!("{error}"))?;
        fits.then_some(Self(time)).ok_or(text)
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Sender {
    Process(Process),
    Kernel(Kernel),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kernel {
    kernel: Cause,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    Timer,
    Terminal,
    Fault,
    Oom,
    NamespaceEnd,
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Status {
    Code(u8),
    Signal(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AdopterClass {
    Thread,
    Subreaper,
    NamespaceInit,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Known {
    Exact,
    Verified,
    Predicted,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Wait4,
    Waitid,
    IoUring,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Result_ {
    Delivered,
    Ignored,
    AlreadyPending,
    Overflow,
    LoseInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Delivered,
    Queued,
    Merged,
    IgnoredByChoice,
    IgnoredByDefault,
    NoHandler,
    KillFromInside,
    DroppedAtDelivery,
    QueueOverflow,
    SiginfoLost,
    TargetExiting,
    KernelThread,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    Warning,
    Error,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    r#type: String,
    version: String,
    kernel: String,
    boot_id: String,
    host: String,
    at: Time,
    at_boot_ns: Digits,
    hooks: Vec<String>,
    degraded: Vec<String>,
    ring_size: u32,
    all_signals: bool,
    processes: u64,
    namespaces: u64,
    zombies: u64,
    /// The schema knows them.
    thresholds: serde_json::Value,
}

/// What every event has, then what each kind has: serde cannot refuse unknown fields of flattened
/// structs, so each kind is spelled out.
macro_rules! event {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            r#type: String,
            kind: String,
            at: Time,
            at_boot_ns: Digits,
            cpu: u16,
            seq: u64,
            $($field: $type,)*
        }
    };
}

event!(Fork { process: Process, parent: Option<Process>, creator: Option<Process>, });
event!(Exec { process: Process, before: String, argv: Vec<String>, argv_cut: bool, });
event!(Exit {
    process: Process,
    status: Status,
    leader_only: bool,
    autoreap: bool,
    owed_by: Option<Process>,
    adopter: Option<Process>,
    adopter_class: Option<AdopterClass>,
});
event!(Reap {
    process: Process,
    by: Option<Process>,
    by_tid: Option<u32>,
    call: Option<Call>,
    reaped_at_most: bool,
    zombie_for_ns: Option<u64>,
});
event!(SignalSent {
    sender: Option<Sender>,
    target: Process,
    target_tid: u32,
    signal: String,
    code: i32,
    code_name: Option<String>,
    result: Result_,
    verdict: Verdict,
});
event!(SignalTaken {
    sender: Option<Sender>,
    target: Process,
    target_tid: u32,
    signal: String,
    code: i32,
    code_name: Option<String>,
    verdict: Verdict,
    sent_at_boot_ns: Option<Digits>,
    sent_seq: Option<u64>,
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    fork: u64,
    exec: u64,
    exit: u64,
    reap: u64,
    signal: u64,
    deliver: u64,
    adopt: u64,
    notify: u64,
    rename: u64,
    snapshot: u64,
    undecodable: u64,
    missed: u64,
    unreadable: u64,
    total: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limited {
    r#type: String,
    at: Time,
    at_boot_ns: Digits,
    seq: u64,
    what: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    r#type: String,
    at: Time,
    at_boot_ns: Digits,
    seq: u64,
    fork: u64,
    exec: u64,
    exit: u64,
    reap: u64,
    signal: u64,
    deliver: u64,
    adopt: u64,
    notify: u64,
    rename: u64,
    snapshot: u64,
    undecodable: u64,
    missed: u64,
    unreadable: u64,
    total: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unwritten {
    r#type: String,
    lines: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summary {
    r#type: String,
    at: Time,
    at_boot_ns: Digits,
    duration_ns: u64,
    events: BTreeMap<String, u64>,
    findings: BTreeMap<String, u64>,
    #[serde(default)]
    findings_not_shown: BTreeMap<String, u64>,
    signals_seen: u64,
    lost: Counts,
    unwritten: Option<u64>,
    walks_cut: u64,
    cpu_ns: u64,
    processes: u64,
    namespaces: u64,
    zombies: u64,
}

/// What is known of a container.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditContainer {
    id: String,
    engine: Engine,
    name: Option<String>,
    image: Option<String>,
    pod: Option<String>,
    pod_namespace: Option<String>,
    stop_signal: Option<String>,
    pid_mode: Option<String>,
    uid: Option<u32>,
    init: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    r#type: String,
    at: Time,
    at_boot_ns: Digits,
    seq: u64,
    label: String,
    id: String,
    engine: Engine,
    name: Option<String>,
    image: Option<String>,
    pod: Option<String>,
    pod_namespace: Option<String>,
    stop_signal: Option<String>,
    pid_mode: Option<String>,
    uid: Option<u32>,
    init: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Engine {
    Docker,
    Podman,
    Containerd,
    CriO,
    Oci,
}

/// The line of `tracer tree -o json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    r#type: String,
    pid: u32,
    start_boot_ns: Digits,
    comm: String,
    pid_ns: u32,
    ns_pid: u32,
    ns_level: u32,
    container: Option<String>,
    container_id: Option<String>,
    parent: Option<Process>,
    state: State,
    roles: Vec<Role>,
    argv: Vec<String>,
    argv_cut: bool,
    status: Option<Status>,
    age_ns: Option<u64>,
    age_is_lower_bound: Option<bool>,
    owed_by: Option<Process>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Running,
    Exiting,
    LeaderDead,
    Zombie,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Init,
    Subreaper,
    Outsider,
    KernelThread,
}

/// The line of `tracer rules -o json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    r#type: String,
    name: String,
    severity: Severity,
    summary: String,
    explanation: String,
}

/// The lines of `tracer doctor -o json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    r#type: String,
    name: String,
    status: CheckStatus,
    detail: String,
    next_step: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CheckStatus {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoctorVerdict {
    r#type: String,
    live_tracing: bool,
    sentences: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Audited {
    pid: i32,
    ns_pid: Option<i32>,
    comm: String,
    argv: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Certainty {
    Sure,
    Likely,
    Guess,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    used: u64,
    most: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    r#type: String,
    process: Audited,
    pid_ns: Option<u32>,
    container: Option<AuditContainer>,
    processes: usize,
    signal: String,
    acts: bool,
    sure: Certainty,
    why: String,
    fix: String,
    zombies: Vec<Audited>,
    outsiders: Vec<Audited>,
    pids: Option<Room>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditMachine {
    r#type: String,
    ptys: Option<Room>,
    pids: Option<Room>,
    stopped: Vec<Audited>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyRecorded {
    r#type: String,
    from: String,
    file: Option<String>,
    recorder: Option<u32>,
    at: Time,
    at_boot_ns: Digits,
    process: Process,
    container: Option<AuditContainer>,
    argv: Vec<String>,
    argv_cut: bool,
    roles: Vec<Role>,
    chosen: WhyChosen,
    state: WhyState,
    owed_by: Option<Process>,
    born: WhyBorn,
    programs: Vec<WhyProgram>,
    programs_left_out: u64,
    parents: Vec<WhyParent>,
    parents_left_out: u64,
    leader_ended: Option<WhyMoment>,
    ended: Option<WhyEnded>,
    reaped: Option<WhyReaped>,
    signals: Vec<WhySignal>,
    signals_left_out: u64,
    sent: Vec<WhySent>,
    sent_left_out: u64,
    stop: Option<WhyStop>,
    children_born: u64,
    children_adopted: u64,
    children_reaped: u64,
    children: Vec<Process>,
    children_left_out: u64,
    zombies: Vec<WhyZombie>,
    zombies_left_out: u64,
    findings: Vec<WhyFinding>,
    findings_left_out: u64,
    others: Vec<WhyOther>,
    others_left_out: u64,
    all_signals: bool,
    lost: Counts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WhyChosen {
    Asked,
    Killed,
    Failed,
    Found,
    Alive,
    First,
    Last,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WhyState {
    Running,
    Exiting,
    LeaderDead,
    Zombie,
    Gone,
    Stopped,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyMoment {
    at: Time,
    at_boot_ns: Digits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyBorn {
    at: Time,
    at_boot_ns: Digits,
    seen: bool,
    creator: Option<Process>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyProgram {
    at: Time,
    at_boot_ns: Digits,
    comm: String,
    argv: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyParent {
    at: Time,
    at_boot_ns: Digits,
    parent: Option<Process>,
    dead_parent: Option<Process>,
    adopter_class: Option<AdopterClass>,
    adopter_known: Option<Known>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyEnded {
    at: Time,
    at_boot_ns: Digits,
    ended_at_most: bool,
    status: Status,
    autoreap: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyReaped {
    at: Time,
    at_boot_ns: Digits,
    by: Option<Process>,
    call: Option<Call>,
    reaped_at_most: bool,
    zombie_for_ns: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhySignal {
    at: Time,
    at_boot_ns: Digits,
    last_at: Time,
    last_at_boot_ns: Digits,
    signal: String,
    sender: Option<Sender>,
    more_senders: bool,
    verdict: Verdict,
    count: u64,
    taken: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhySent {
    at: Time,
    at_boot_ns: Digits,
    last_at: Time,
    last_at_boot_ns: Digits,
    signal: String,
    target: Process,
    verdict: Verdict,
    count: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyStop {
    at: Time,
    at_boot_ns: Digits,
    signal: String,
    sender: Option<Sender>,
    asked_by: Vec<Process>,
    verdict: Verdict,
    taken_at_boot_ns: Option<Digits>,
    ended_after_ns: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyZombie {
    process: Process,
    age_ns: u64,
    age_is_lower_bound: bool,
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyFinding {
    count: u64,
    /// A line of its own; see [`parse`].
    finding: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyOther {
    process: Process,
    ended_at_boot_ns: Option<Digits>,
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyLive {
    r#type: String,
    from: String,
    process: Audited,
    pid_ns: Option<u32>,
    container: Option<AuditContainer>,
    init: Option<Audited>,
    outsider: bool,
    kernel_thread: bool,
    state: WhyState,
    state_letter: char,
    age_s: u64,
    threads: u64,
    parents: Vec<Audited>,
    tracer: Option<Audited>,
    zombies: Vec<Audited>,
    children: Vec<Audited>,
    pending: Vec<String>,
    blocked: Vec<String>,
    ignored: Vec<String>,
    caught: Vec<String>,
    awaited: Option<Vec<String>>,
    signal: String,
    acts: bool,
    sure: Certainty,
    why: String,
    fix: Option<String>,
}

/// Reads a line as what it says it is.
///
/// # Panics
/// If it is not exactly that.
pub fn parse(line: &str) -> String {
    fn strict<T: serde::de::DeserializeOwned>(line: &str) {
        if let Err(error) = serde_json::from_str::<T>(line) {
            panic!("{error} in\n{line}");
        }
    }
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    if word("type") == "why" {
        match word("from").as_str() {
            "recording" => strict::<WhyRecorded>(line),
            "machine" => strict::<WhyLive>(line),
            other => panic!("from {other:?}: {line}"),
        }
        let findings = value["findings"].as_array().into_iter().flatten();
        findings.for_each(|found| assert!(parse(&found["finding"].to_string()).starts_with("finding")));
        return format!("why{}", word("from"));
    }
    check_schema(&value);
    match (word("type").as_str(), word("kind").as_str(), word("rule").as_str()) {
        ("start", "", "") => strict::<Start>(line),
        ("event", "fork", "") => strict::<Fork>(line),
        ("event", "exec", "") => strict::<Exec>(line),
        ("event", "exit", "") => strict::<Exit>(line),
        ("event", "reap", "") => strict::<Reap>(line),
        ("event", "signal", "") => strict::<SignalSent>(line),
        ("event", "deliver", "") => strict::<SignalTaken>(line),
        // The schema knows them, and their facts.
        ("finding", "", rule) if tracer::rules::find(rule).is_some() => {}
        ("container", "", "") => strict::<Container>(line),
        ("lost", "", "") => strict::<Lost>(line),
        ("limited", "", "") => strict::<Limited>(line),
        ("unwritten", "", "") => strict::<Unwritten>(line),
        ("summary", "", "") => strict::<Summary>(line),
        ("process", "", "") => strict::<Member>(line),
        ("rule", "", "") => strict::<Rule>(line),
        ("check", "", "") => strict::<Check>(line),
        ("audit", "", "") => strict::<Audit>(line),
        ("audit-machine", "", "") => strict::<AuditMachine>(line),
        ("verdict", "", "") => strict::<DoctorVerdict>(line),
        other => panic!("unknown line {other:?}: {line}"),
    }
    format!("{}{}{}", word("type"), word("kind"), word("rule"))
}

/// Holds a line to the published schema, by a validator that is not ours.
fn check_schema(line: &serde_json::Value) {
    static VALIDATOR: OnceLock<jsonschema::Validator> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| jsonschema::draft202012::new(&schema()).unwrap());
    if let Err(error) = validator.validate(line) {
        panic!("{error} in\n{line}");
    }
}

fn json(events: &[EventKind], kinds: &[Kind]) -> String {
    let mut sink = Json::new(Vec::new(), Filter::default(), kinds);
    live(events, &mut [&mut sink]);
    String::from_utf8(sink.into_inner()).unwrap()
}

#[test]
fn what_is_not_looked_at_is_said_once() {
    let rooms = |left_out| EventKind::Rooms(Box::new(Rooms { groups_left_out: Some(left_out), ..Rooms::default() }));
    let limited = |text: &str| text.lines().filter(|line| parse(line) == "limited").count();
    let events = [vec![story::start()], story::snapshot(), vec![rooms(1_136), rooms(0)]].concat();
    let text = json(&events, &[]);
    assert!(limited(&text) == 1 && text.contains("at least 1136 of them"), "{text}");
    // What a file that begins with an image of the world says before that is whole.
    let image = [vec![story::start(), EventKind::SnapshotBegin, rooms(7), EventKind::SnapshotEnd]].concat();
    assert_eq!(limited(&json(&image, &[])), 1);
}

#[test]
fn every_line_keeps_the_contract() {
    let text = json(&everything(), &Kind::ALL);
    let seen: Vec<_> = text.lines().map(parse).collect();
    assert_eq!(seen.first().map(String::as_str), Some("start"));
    assert_eq!(seen.last().map(String::as_str), Some("summary"));
    let endings = json(&endings(), &Kind::ALL);
    assert!(endings.lines().map(parse).any(|line| line == "container"));
    for wanted in [
        "eventfork",
        "eventexec",
        "eventexit",
        "eventreap",
        "eventsignal",
        "eventdeliver",
        "lost",
        "findinginit-ignored-signal",
        "findingunreaped-child",
        "findingorphan-adopted",
    ] {
        assert!(seen.iter().any(|seen| seen == wanted), "no {wanted}");
    }
}

#[test]
fn nothing_harms_a_terminal() {
    let text = json(&everything(), &Kind::ALL);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
    assert!(text.contains(r#""comm":"\u001b[1m\n\"<i>&\\�x""#));
}

#[test]
fn all_kinds() {
    insta::assert_snapshot!(json(&everything(), &Kind::ALL));
}

#[test]
fn without_events_there_are_only_findings_and_losses() {
    let text = json(&everything(), &[]);
    assert!(text.lines().all(|line| !parse(line).starts_with("event")));
    assert_eq!(text.lines().filter(|line| parse(line) == "lost").count(), 2);
}

#[test]
fn what_is_found_before_the_start_line_comes_after_it() {
    let text = json(&everything(), &[]);
    let kinds: Vec<_> = text.lines().take(2).map(parse).collect();
    assert_eq!(kinds, ["start", "findinginit-ignored-signal"]);
}

#[test]
fn a_run_without_a_snapshot_still_tells_what_it_found() {
    let text = json(&[story::start(), story::loss(1, 0, 0)], &[]);
    let kinds: Vec<_> = text.lines().map(parse).collect();
    assert_eq!(kinds, ["lost", "summary"]);
}

#[test]
fn lines_that_nobody_read_are_said_where_they_are_missing_and_in_the_summary() {
    assert_eq!(parse(unwritten_line(3).trim_end()), "unwritten");
    let summary = |lines| {
        let mut sink = Json::new(Vec::new(), Filter::default(), &[]);
        let mut counted = Counted::new(&mut sink);
        counted.unwritten(lines);
        counted.finish(&World::default()).unwrap();
        let text = String::from_utf8(sink.into_inner()).unwrap();
        assert_eq!(parse(text.trim_end()), "summary");
        text
    };
    assert!(summary(1_203).contains(r#""unwritten":1203,"#));
    assert!(!summary(0).contains("unwritten"), "a replay says what was said live");
}

#[test]
fn findings_of_endings() {
    insta::assert_snapshot!(json(&endings(), &[]));
}

#[test]
fn what_lasts() {
    let mut sink = Json::new(Vec::new(), Filter::default(), &[]);
    story::live_at(&story::troubles(), &mut [&mut sink]);
    let text = String::from_utf8(sink.into_inner()).unwrap();
    for line in text.lines() {
        parse(line);
    }
    insta::assert_snapshot!(text);
}

/// The page is a contract, so its examples are held to it; each type and kind has one.
#[test]
fn the_examples_of_the_documentation_are_right() {
    let page = include_str!("../../../docs/json.md");
    let mut seen: Vec<_> = page.lines().filter(|line| line.starts_with('{')).map(parse).collect();
    // Those of findings come with the table of their facts, where there is one.
    assert!(seen.iter().filter(|line| line.starts_with("finding")).count() > 10);
    seen.retain(|line| !line.starts_with("finding"));
    seen.dedup();
    let mut wanted = vec!["start".to_owned()];
    wanted.extend(Kind::ALL.map(|kind| format!("event{}", kind.id())));
    wanted.extend(
        [
            "container",
            "lost",
            "limited",
            "unwritten",
            "summary",
            "process",
            "whyrecording",
            "whymachine",
            "rule",
            "audit",
            "audit-machine",
            "check",
            "verdict",
        ]
        .map(Into::into),
    );
    assert_eq!(seen, wanted);
}
