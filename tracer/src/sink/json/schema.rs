//! The JSON Schema of the lines (`docs/schema.json`). Findings come from what the rules declare, thresholds from their
//! declaration; the other lines are listed here.

use serde_json::{Map, Value, json};

use crate::{
    finding::{FactDef, Kind, Presence, Role, RuleDef},
    rules::RULES,
    thresholds::{THRESHOLDS, Unit},
};

/// The fields of the lines that are no findings, each with its type: by the type of the line, and the kind of an
/// event. A field with a question mark may be missing; a type with one may be null.
const LINES: &[(&str, &str, &str)] = &[
    (
        "start",
        "",
        "version:text kernel:text boot_id:text host:text at:time at_boot_ns:boot hooks:texts degraded:texts \
         ring_size:count all_signals:flag processes:count namespaces:count zombies:count thresholds:thresholds",
    ),
    ("event", "fork", "process:process parent:process? creator?:process"),
    ("event", "exec", "process:process before:text argv:texts argv_cut:flag"),
    (
        "event",
        "exit",
        "process:process status:status leader_only:flag autoreap:flag owed_by:process? adopter:process? \
         adopter_class:text?",
    ),
    ("event", "reap", "process:process by:process? by_tid:count? call:text? reaped_at_most:flag zombie_for_ns:count?"),
    (
        "event",
        "signal",
        "sender:sender? target:process target_tid:count signal:text code:number code_name:text? result:text verdict:text",
    ),
    (
        "event",
        "deliver",
        "sender:sender? target:process target_tid:count signal:text code:number code_name:text? verdict:text \
         sent_at_boot_ns:boot? sent_seq:count?",
    ),
    (
        "container",
        "",
        "at:time at_boot_ns:boot seq:count label:text id:text engine:text name?:text image?:text pod?:text \
         pod_namespace?:text stop_signal?:text pid_mode?:text uid?:count init?:flag",
    ),
    (
        "lost",
        "",
        "at:time at_boot_ns:boot seq:count fork:count exec:count exit:count reap:count signal:count deliver:count \
         adopt:count notify:count rename:count snapshot:count undecodable:count missed:count unreadable:count \
         total:count",
    ),
    ("limited", "", "at:time at_boot_ns:boot seq:count what:text"),
    ("unwritten", "", "lines:count"),
    (
        "summary",
        "",
        "at:time at_boot_ns:boot duration_ns:count events:counts findings:counts findings_not_shown?:counts \
         signals_seen:count lost:counts unwritten?:count walks_cut:count cpu_ns:count processes:count namespaces:count \
         zombies:count",
    ),
];

/// What every event has.
const EVENT: &str = "at:time at_boot_ns:boot cpu:count seq:count";
/// What every finding has besides its rule and severity.
const FINDING: &str = "at:time at_boot_ns:boot since:time since_boot_ns:boot process:process confidence_note?:text \
                       headline:text message:text fix:text evidence:numbers times?:count signals?:counts";

/// The schema of every line of `tracer watch -o json`, and of a replay. The lines of other commands pass as they are.
pub fn schema() -> Value {
    let mut defs = Map::new();
    for (name, def) in shared() {
        defs.insert(name.to_owned(), def);
    }
    let mut lines = Vec::new();
    let mut line = |name: String, def: Value| {
        lines.push(json!({ "$ref": format!("#/$defs/{name}") }));
        defs.insert(name, def);
    };
    for (kind_of_line, kind, fields) in LINES {
        let (mut object, name) = (Object::default(), format!("{kind_of_line} {kind}"));
        object.constant("type", kind_of_line);
        if !kind.is_empty() {
            object.constant("kind", kind);
            object.fields(EVENT);
        }
        object.fields(fields);
        line(name.trim().replace(' ', "-"), object.finish());
    }
    for rule in RULES {
        line(format!("finding-{}", rule.name), finding(rule));
    }
    let of_others = ["process", "why", "rule", "check", "verdict", "audit", "audit-machine"];
    lines.push(json!({
        "type": "object", "properties": { "type": { "enum": of_others } }, "required": ["type"],
    }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of tracer -o json",
        "oneOf": lines,
        "$defs": defs,
    })
}

/// What several lines are made of.
fn shared() -> Vec<(&'static str, Value)> {
    let mut process = Object::default();
    process.fields(
        "pid:count start_boot_ns:boot comm:text pid_ns:count ns_pid:count ns_level:count container?:text container_id?:text",
    );
    let causes = ["timer", "terminal", "fault", "oom", "namespace-end", "other"];
    let only = |name: &str, def: Value| json!({ "type": "object", "properties": { name: def }, "required": [name], "additionalProperties": false });
    let mut thresholds = Object::default();
    for def in THRESHOLDS {
        let kind = if def.unit == Unit::Flag { "flag" } else { "count" };
        let described = json!({ "$ref": format!("#/$defs/{kind}"), "description": def.help.trim() });
        thresholds.field(&def.field(), described, true);
    }
    vec![
        ("text", json!({ "type": "string" })),
        ("texts", json!({ "type": "array", "items": { "type": "string" } })),
        ("flag", json!({ "type": "boolean" })),
        ("count", json!({ "type": "integer", "minimum": 0 })),
        ("number", json!({ "type": "integer" })),
        ("numbers", json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } })),
        ("counts", json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } })),
        ("time", json!({ "type": "string", "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z$" })),
        ("boot", json!({ "type": "string", "pattern": "^\\d+$" })),
        ("signal", json!({ "type": "string", "pattern": "^SIG[A-Z0-9+-]+$" })),
        ("process", process.finish()),
        ("sender", json!({ "oneOf": [{ "$ref": "#/$defs/process" }, only("kernel", json!({ "enum": causes }))] })),
        (
            "status",
            json!({ "oneOf": [
                only("code", json!({ "type": "integer" })),
                only("signal", json!({ "$ref": "#/$defs/signal" })),
            ] }),
        ),
        ("thresholds", thresholds.finish()),
    ]
}

fn finding(rule: &RuleDef) -> Value {
    let mut object = Object::default();
    object.constant("type", "finding");
    object.constant("rule", rule.name);
    object.constant("severity", rule.severity.id());
    object.field("stage", json!({ "enum": ["new", "ongoing", "resolved", "withdrawn", "repeated"] }), true);
    object.field("confidence", json!({ "enum": ["certain", "incomplete"] }), true);
    object.fields(FINDING);
    object.facts(rule.facts);
    object.described(rule.summary)
}

/// The type of a fact.
fn fact(def: &FactDef) -> Value {
    let of = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    match def.kind {
        Kind::Signal => of("signal"),
        Kind::Sender => of("sender"),
        Kind::Process => of("process"),
        Kind::Processes => json!({ "type": "array", "items": of("process") }),
        Kind::Span | Kind::Count => of("count"),
        Kind::Number => of("number"),
        Kind::Status => of("status"),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Flag => of("flag"),
        Kind::Text | Kind::Name | Kind::Group => of("text"),
        Kind::Record(defs) => record(defs),
        Kind::List(defs) => json!({ "type": "array", "items": record(defs) }),
        // Nobody sees it.
        Kind::Key => json!(false),
    }
}

fn record(defs: &[FactDef]) -> Value {
    let mut object = Object::default();
    object.facts(defs);
    object.finish()
}

fn or_null(def: Value) -> Value {
    json!({ "oneOf": [def, { "type": "null" }] })
}

/// An object of which all fields are known.
#[derive(Default)]
struct Object {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Object {
    fn field(&mut self, name: &str, def: Value, is_required: bool) {
        self.properties.insert(name.to_owned(), def);
        if is_required {
            self.required.push(name.to_owned());
        }
    }

    fn constant(&mut self, name: &str, word: &str) {
        self.field(name, json!({ "const": word }), true);
    }

    /// As in [`LINES`].
    fn fields(&mut self, fields: &str) {
        for field in fields.split_whitespace() {
            let (name, kind) = field.split_once(':').unwrap_or((field, "text"));
            let known = json!({ "$ref": format!("#/$defs/{}", kind.trim_end_matches('?')) });
            let def = if kind.ends_with('?') { or_null(known) } else { known };
            self.field(name.trim_end_matches('?'), def, !name.ends_with('?'));
        }
    }

    fn facts(&mut self, defs: &[FactDef]) {
        for def in defs.iter().filter(|def| def.is_shown()) {
            let is_nullable = def.presence == Presence::Nullable || matches!(def.kind, Kind::Sender);
            let kind = if is_nullable { or_null(fact(def)) } else { fact(def) };
            let mut described = json!({ "description": def.meaning });
            if let (Some(described), Value::Object(kind)) = (described.as_object_mut(), kind) {
                described.extend(kind);
            }
            self.field(def.name, described, def.presence != Presence::Optional);
        }
    }

    fn finish(self) -> Value {
        let Self { properties, required } = self;
        json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        })
    }

    fn described(self, what: &str) -> Value {
        let mut object = self.finish();
        object["description"] = what.into();
        object
    }
}

/// The table of the facts of a rule, for the documentation: Markdown.
pub fn table(defs: &[FactDef]) -> String {
    let mut table = "| field | type | meaning |\n| --- | --- | --- |\n".to_owned();
    for (name, def) in rows("", defs) {
        let mut kind = kind(def);
        if def.presence == Presence::Nullable || matches!(def.kind, Kind::Sender) {
            kind += " or null";
        }
        let missing = if def.presence == Presence::Optional { "; only where there is one" } else { "" };
        let words = match def.kind {
            Kind::Word(words) => {
                format!(": {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        table += &format!("| `{name}` | {kind} | {}{missing}{words} |\n", def.meaning);
    }
    table
}

/// Facts and those inside of them, by their paths.
fn rows(path: &str, defs: &'_ [FactDef]) -> Vec<(String, FactDef)> {
    let mut all = Vec::new();
    for def in defs.iter().filter(|def| def.is_shown()) {
        let name = format!("{path}{}", def.name);
        all.push((name.clone(), *def));
        match def.kind {
            // What another rule declares is explained there.
            Kind::Record(inner) if !inner.iter().any(|def| def.role == Role::FatalSignal) => {
                all.extend(rows(&format!("{name}."), inner));
            }
            Kind::List(inner) => all.extend(rows(&format!("{name}[]."), inner)),
            _ => {}
        }
    }
    all
}

fn kind(def: FactDef) -> String {
    match def.kind {
        Kind::Signal | Kind::Word(_) | Kind::Text | Kind::Name | Kind::Group => "string",
        Kind::Sender => "sender",
        Kind::Process => "process",
        Kind::Processes => "processes",
        Kind::Span => "nanoseconds",
        Kind::Count | Kind::Number => "number",
        Kind::Status => "status",
        Kind::Flag => "bool",
        Kind::Record(_) => "object",
        Kind::List(_) => "objects",
        Kind::Key => "",
    }
    .to_owned()
}
