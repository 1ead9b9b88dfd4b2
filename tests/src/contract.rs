//! The JSON that `tracer` promises (`docs/json.md`), read strictly: a field too many or too few, or a word outside its
//! closed set, fails the test that reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use tracer::finding::{FactDef, Kind, Presence};

/// The fields of each line besides `type`; those with a question mark may be missing. A line of type event has those
/// of its kind too, a finding the facts that its rule declares.
const FIELDS: &[(&str, &str)] = &[
    (
        "start",
        "version kernel boot_id host at at_boot_ns hooks degraded ring_size all_signals processes namespaces zombies \
         thresholds",
    ),
    ("container", "at at_boot_ns seq label id engine name? image? pod? pod_namespace? stop_signal? pid_mode? init?"),
    (
        "lost",
        "at at_boot_ns seq fork exec exit reap signal deliver adopt notify rename snapshot undecodable missed unreadable total",
    ),
    ("limited", "at at_boot_ns seq what"),
    ("unwritten", "lines"),
    (
        "summary",
        "at at_boot_ns duration_ns events findings findings_not_shown? signals_seen lost unwritten? walks_cut cpu_ns processes namespaces zombies",
    ),
    (
        "process",
        "pid start_boot_ns comm pid_ns ns_pid ns_level container? container_id? parent state roles argv argv_cut age_ns? age_is_lower_bound? \
         status? owed_by?",
    ),
    ("why", "from process container state"),
    (
        "recording",
        "file recorder at at_boot_ns argv argv_cut roles chosen owed_by born programs programs_left_out parents parents_left_out \
         leader_ended ended reaped signals signals_left_out sent sent_left_out stop children_born children_adopted \
         children_reaped children children_left_out zombies zombies_left_out findings findings_left_out others \
         others_left_out all_signals lost",
    ),
    (
        "machine",
        "pid_ns init outsider kernel_thread state_letter age_s threads parents tracer zombies children pending \
         blocked ignored caught awaited unseen? signal acts sure why fix",
    ),
    ("event", "kind at at_boot_ns cpu seq"),
    ("fork", "process parent creator?"),
    ("exec", "process before argv argv_cut"),
    ("exit", "process status leader_only autoreap owed_by adopter adopter_class"),
    ("reap", "process by by_tid call reaped_at_most zombie_for_ns"),
    ("signal", "sender target target_tid signal code code_name result verdict"),
    ("deliver", "sender target target_tid signal code code_name verdict sent_at_boot_ns sent_seq"),
    (
        "finding",
        "rule severity stage times? signals? at at_boot_ns since since_boot_ns process confidence confidence_note? headline message fix evidence",
    ),
];

/// The closed sets, by the field that holds a word of them.
const WORDS: &[(&str, &[&str])] = &[
    ("severity", &["info", "warning", "error"]),
    ("stage", &["new", "ongoing", "resolved", "withdrawn", "repeated"]),
    ("confidence", &["certain", "incomplete"]),
    ("adopter_class", &["thread", "subreaper", "namespace-init"]),
    ("call", &["wait4", "waitid", "io_uring"]),
    ("result", &["delivered", "ignored", "already-pending", "overflow", "lose-info"]),
    (
        "verdict",
        &[
            "delivered",
            "queued",
            "merged",
            "ignored-by-choice",
            "ignored-by-default",
            "no-handler",
            "kill-from-inside",
            "dropped-at-delivery",
            "queue-overflow",
            "siginfo-lost",
            "target-exiting",
            "kernel-thread",
        ],
    ),
    ("engine", &["docker", "podman", "containerd", "cri-o", "oci", "systemd", "lxc"]),
    ("state", &["running", "leader-dead", "exiting", "zombie", "stopped", "gone"]),
    ("sure", &["sure", "likely", "guess"]),
];

/// One line of JSON.
#[derive(Clone, Debug)]
pub enum Line {
    /// Tracing is on and the world is complete.
    Start(Start),
    /// Something happened.
    Event(Box<Event>),
    /// A rule found something.
    Finding(Box<Finding>),
    /// A container is known.
    Container(Container),
    /// Records were lost.
    Lost(BTreeMap<String, Value>),
    /// Something is not looked at.
    Limited(BTreeMap<String, Value>),
    /// Nobody read so many lines in time.
    Unwritten(BTreeMap<String, Value>),
    /// The end.
    Summary(Summary),
    /// A process of `tracer tree`.
    Process(Box<TreeProcess>),
    /// The page of `tracer why`.
    Why(Value),
}

impl Line {
    /// Reads one line, and says what is wrong with it.
    ///
    /// # Errors
    /// If it does not follow the contract.
    pub fn parse(text: &str) -> Result<Self, String> {
        fn typed<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, String> {
            serde_json::from_value(Value::Object(object)).map_err(|e| e.to_string())
        }
        let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|e| format!("is no object: {e}"))?;
        let Some(Value::String(kind)) = object.remove("type") else { return Err("has no type".to_owned()) };
        let more = match kind.as_str() {
            "event" => object.get("kind"),
            "why" => object.get("from"),
            _ => None,
        };
        let rule = if kind == "finding" { object.get("rule").and_then(Value::as_str) } else { None };
        let rule =
            rule.map(|name| tracer::rules::find(name).ok_or(format!("is of no known rule: {name:?}"))).transpose()?;
        let facts = rule.map_or(&[][..], |rule| rule.facts);
        check_fields(&object, &[Some(kind.as_str()), more.and_then(Value::as_str)], facts)?;
        check_words(&object)?;
        check_facts(&object, facts)?;
        match kind.as_str() {
            "start" => typed(object).map(Self::Start),
            "event" => typed(object).map(Self::Event),
            "finding" => typed(object).map(Self::Finding),
            "container" => typed(object).map(Self::Container),
            "lost" => typed(object).map(Self::Lost),
            "limited" => typed(object).map(Self::Limited),
            "unwritten" => typed(object).map(Self::Unwritten),
            "summary" => typed(object).map(Self::Summary),
            "process" => typed(object).map(Self::Process),
            "why" => {
                let found = object.get("findings").and_then(Value::as_array).into_iter().flatten();
                found.map(|found| found["finding"].to_string()).try_for_each(|line| Self::parse(&line).map(drop))?;
                Ok(Self::Why(Value::Object(object)))
            }
            _ => Err(format!("has the unknown type {kind:?}")),
        }
    }
}

fn check_fields(object: &Map<String, Value>, kinds: &[Option<&str>], facts: &[FactDef]) -> Result<(), String> {
    let optional = |def: &FactDef| if def.presence == Presence::Optional { "?" } else { "" };
    let facts: Vec<_> =
        facts.iter().filter(|def| def.is_shown()).map(|def| format!("{}{}", def.name, optional(def))).collect();
    let mut known: Vec<&str> = facts.iter().map(String::as_str).collect();
    for kind in kinds.iter().flatten() {
        let (_, fields) =
            FIELDS.iter().find(|(name, _)| name == kind).ok_or(format!("is of no known kind: {kind:?}"))?;
        known.extend(fields.split_whitespace());
    }
    let name = |field: &str| field.trim_end_matches('?').to_owned();
    if let Some(missing) = known.iter().find(|field| !field.ends_with('?') && !object.contains_key(**field)) {
        return Err(format!("has no {missing:?}"));
    }
    match object.keys().find(|key| !known.iter().any(|field| name(field) == **key)) {
        Some(unknown) => Err(format!("has the unknown field {unknown:?}")),
        None => Ok(()),
    }
}

/// Each fact is a word of its closed set, where it has one.
fn check_facts(object: &Map<String, Value>, facts: &[FactDef]) -> Result<(), String> {
    for def in facts {
        match (def.kind, object.get(def.name)) {
            (Kind::Word(words), Some(Value::String(word))) if !words.contains(&word.as_str()) => {
                return Err(format!("says {:?} is {word:?}, which is none of {words:?}", def.name));
            }
            (Kind::Record(facts), Some(Value::Object(inner))) => {
                check_fields(inner, &[], facts)?;
                check_facts(inner, facts)?;
            }
            (Kind::List(facts), Some(Value::Array(all))) => {
                for inner in all.iter().filter_map(Value::as_object) {
                    check_fields(inner, &[], facts)?;
                    check_facts(inner, facts)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_words(object: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in object {
        if let (Some((_, words)), Value::String(word)) = (WORDS.iter().find(|(name, _)| name == key), value)
            && !words.contains(&word.as_str())
        {
            return Err(format!("says {key:?} is {word:?}, which is none of {words:?}"));
        }
        match (key.as_str(), value) {
            ("at" | "since", value) if !value.as_str().is_some_and(is_time) => {
                return Err(format!("says {key:?} is {value}, which is no UTC time with nanoseconds"));
            }
            // What is over needs no fix.
            ("fix", Value::String(text))
                if text.is_empty()
                    && object.get("stage").is_some_and(|stage| stage == "resolved" || stage == "withdrawn") => {}
            ("headline" | "message" | "fix", Value::String(text))
                if text.is_empty() || text.contains(char::is_control) =>
            {
                return Err(format!("has a {key} that is empty or holds control characters: {text:?}"));
            }
            (_, Value::Object(inner)) => check_words(inner)?,
            (_, Value::Array(all)) => all.iter().filter_map(Value::as_object).try_for_each(check_words)?,
            _ => {}
        }
    }
    Ok(())
}

/// RFC 3339 with nine digits after the second.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000000Z"
}

/// A process.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Process {
    pub pid: i32,
    #[serde(deserialize_with = "number_in_string")]
    pub start_boot_ns: u64,
    pub comm: String,
    pub pid_ns: u32,
    pub ns_pid: i32,
    pub ns_level: u32,
    pub container: Option<String>,
    pub container_id: Option<String>,
}

/// Who sent a signal.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Sender {
    /// The kernel, with one of its reasons.
    Kernel {
        /// Which.
        kernel: KernelSender,
    },
    /// A process.
    Process(Process),
}

/// See [`Sender`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "docs/json.md explains the words")]
pub enum KernelSender {
    Timer,
    Terminal,
    Fault,
    Oom,
    NamespaceEnd,
    Other,
}

/// See [`Line::Start`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Start {
    pub hooks: Vec<String>,
    pub degraded: Vec<String>,
    pub ring_size: u32,
    pub processes: u64,
    pub namespaces: u64,
    pub zombies: u64,
}

/// See [`Line::Event`]; what not every kind has is optional.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Event {
    pub kind: String,
    pub seq: u64,
    pub process: Option<Process>,
    pub parent: Option<Process>,
    pub sender: Option<Sender>,
    pub target: Option<Process>,
    pub signal: Option<String>,
    pub verdict: Option<String>,
    pub status: Option<Value>,
    pub owed_by: Option<Process>,
    pub adopter: Option<Process>,
    pub by: Option<Process>,
    pub by_tid: Option<i32>,
    pub call: Option<String>,
    pub argv: Option<Vec<String>>,
    pub reaped_at_most: Option<bool>,
}

/// See [`Line::Finding`]; what not every rule has is optional.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Finding {
    pub rule: String,
    pub severity: String,
    pub stage: String,
    pub times: Option<u64>,
    #[serde(default)]
    pub signals: BTreeMap<String, u64>,
    #[serde(deserialize_with = "number_in_string")]
    pub at_boot_ns: u64,
    #[serde(deserialize_with = "number_in_string")]
    pub since_boot_ns: u64,
    pub process: Process,
    pub confidence: String,
    pub headline: String,
    pub message: String,
    pub evidence: Vec<u64>,
    pub signal: Option<String>,
    pub sender: Option<Sender>,
    pub reason: Option<String>,
    pub parent: Option<Process>,
    pub age_ns: Option<u64>,
    pub age_is_lower_bound: Option<bool>,
    pub blame: Option<String>,
    pub adopter: Option<Process>,
    pub adopter_class: Option<String>,
    pub adopter_known: Option<String>,
    pub dead_parent: Option<Process>,
    pub killed: Option<u64>,
    pub left: Option<u64>,
    pub killed_by: Option<Value>,
    pub took_ns: Option<u64>,
    pub threads: Option<u32>,
    pub verdict: Option<String>,
    pub killer: Option<Sender>,
    pub wasted_ns: Option<u64>,
    pub running: Option<u64>,
    pub zombies: Option<u64>,
    pub processes: Option<Vec<Remnant>>,
    pub code_name: Option<String>,
    pub how: Option<String>,
    pub ancestors: Option<Vec<Process>>,
    pub asked_by: Option<Vec<Process>>,
    pub origin: Option<Vec<Step>>,
    pub call: Option<Call>,
    pub terminal: Option<String>,
    pub children_told: Option<u64>,
    pub children_not_told: Option<u64>,
    pub count: Option<u64>,
    pub victims: Option<Vec<Process>>,
    pub raised_again: Option<u64>,
    pub core_dumps: Option<u64>,
    pub out_of_memory: Option<Exhausted>,
    pub lost: Option<u64>,
    pub siginfo_lost: Option<u64>,
    pub per_hour: Option<u64>,
    pub limit: Option<Limit>,
    pub merged: Option<u64>,
    pub reaped: Option<u64>,
    pub children: Option<Vec<Process>>,
    pub has_ended: Option<bool>,
    pub client: Option<Process>,
    pub client_status: Option<Value>,
    pub pty: Option<String>,
    pub used: Option<u64>,
    pub most: Option<u64>,
    pub of_machine: Option<bool>,
    pub failed: Option<u64>,
    pub holders: Option<Vec<Holder>>,
    pub exiting: Option<bool>,
    pub wchan: Option<String>,
    pub file: Option<String>,
    pub frozen: Option<String>,
    pub tracer: Option<Process>,
    pub waiting: Option<String>,
    pub below: Option<u64>,
    pub waiter_tid: Option<i32>,
    pub taker_tid: Option<i32>,
    pub pipe_writer: Option<Process>,
    pub what: Option<String>,
    pub status: Option<Value>,
    pub passed_to: Option<Vec<Process>>,
    pub named: Option<Vec<Fallen>>,
    pub former: Option<Process>,
    pub inherited_from: Option<Process>,
    pub is_first: Option<bool>,
}

/// One that died with its namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Fallen {
    pub process: Process,
    pub signal: Option<String>,
    pub verdict: Option<String>,
    pub before_ns: Option<u64>,
    pub from_outside: bool,
    pub left_by: Option<Process>,
}

impl Finding {
    /// Whether it is told for the first time.
    pub fn is_new(&self) -> bool {
        self.stage == "new"
    }
}

/// What led to a signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Step {
    pub signal: Option<String>,
    pub from: Option<String>,
    pub sender: Option<Sender>,
    pub asked_by: Vec<Process>,
    pub to: Process,
    pub status: Option<Value>,
    pub before_ns: u64,
    pub how: String,
    pub certainty: String,
}

/// One call, or one key, for many.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Call {
    pub aim: String,
    pub group: Option<u32>,
    pub session: Option<Process>,
    pub terminal: Option<String>,
    pub sent: u64,
    pub handled: u64,
    pub handlers: Vec<Process>,
}

/// A limit that a leak will reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Limit {
    pub used: u64,
    pub most: u64,
    pub of_machine: bool,
    pub in_ns: u64,
}

/// Whose memory had run out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Exhausted {
    pub whose: String,
    pub group: Option<String>,
}

/// Who has most of what runs out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Holder {
    pub process: Process,
    pub count: u64,
}

/// A process that a command left behind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Remnant {
    pub process: Process,
    pub parent: Option<Process>,
    pub state: String,
}

/// See [`Line::Container`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Container {
    pub label: String,
    pub id: String,
    pub engine: String,
    pub name: Option<String>,
    pub image: Option<String>,
    pub pod: Option<String>,
    pub pod_namespace: Option<String>,
    pub stop_signal: Option<String>,
    pub pid_mode: Option<String>,
    pub uid: Option<u32>,
    pub init: Option<bool>,
}

/// See [`Line::Summary`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct Summary {
    pub duration_ns: u64,
    pub events: BTreeMap<String, u64>,
    pub findings: BTreeMap<String, u64>,
    #[serde(default)]
    pub findings_not_shown: BTreeMap<String, u64>,
    pub lost: BTreeMap<String, u64>,
    #[serde(default)]
    pub unwritten: u64,
    pub signals_seen: u64,
    pub cpu_ns: u64,
    pub processes: u64,
    pub namespaces: u64,
    pub zombies: u64,
}

/// See [`Line::Process`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/json.md explains the fields")]
pub struct TreeProcess {
    pub pid: i32,
    #[serde(deserialize_with = "number_in_string")]
    pub start_boot_ns: u64,
    pub comm: String,
    pub pid_ns: u32,
    pub ns_pid: i32,
    pub ns_level: u32,
    pub container: Option<String>,
    pub container_id: Option<String>,
    pub parent: Option<Process>,
    pub state: String,
    pub roles: Vec<String>,
    pub argv: Vec<String>,
    pub age_ns: Option<u64>,
    pub age_is_lower_bound: Option<bool>,
    pub owed_by: Option<Process>,
}

fn number_in_string<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: &str = r#"{"type":"lost","at":"2026-11-22T12:00:00.000000001Z","at_boot_ns":"1","seq":1,"fork":1,"exec":0,
        "exit":0,"reap":0,"signal":0,"deliver":0,"adopt":0,"notify":0,"rename":0,"snapshot":0,
        "undecodable":0,"missed":0,"unreadable":0,"total":1}"#;

    #[test]
    fn a_line_that_keeps_the_contract() {
        assert!(matches!(Line::parse(LOST), Ok(Line::Lost(lost)) if lost["fork"] == 1));
    }

    #[test]
    fn the_examples_of_the_documentation() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
        let page = std::fs::read_to_string(page).expect("docs/json.md");
        let examples: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"type\":")).collect();
        assert!(examples.len() > 10, "only {} examples", examples.len());
        for example in examples {
            // Lines of other commands than `watch` and `tree`; the program's own tests read those.
            let elsewhere = ["rule", "check", "verdict", "audit", "audit-machine"];
            let is_elsewhere = elsewhere.iter().any(|word| example.contains(&format!("\"type\":\"{word}\"")));
            if !is_elsewhere {
                Line::parse(example).unwrap_or_else(|why| panic!("it {why}: {example}"));
            }
        }
    }

    #[test]
    fn lines_that_break_it() {
        for (from, to, why) in [
            ("lost", "found", "is of no known kind: \"found\""),
            ("\"seq\":1,", "", "has no \"seq\""),
            ("\"seq\"", "\"more\":0,\"seq\"", "has the unknown field \"more\""),
            (".000000001Z", "Z", "no UTC time"),
        ] {
            let error = Line::parse(&LOST.replace(from, to)).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
