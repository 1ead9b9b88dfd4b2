//! The pages that are made of what the program says of itself.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tracer::{
    finding::{About, RuleDef},
    rules::RULES,
    sink::json::schema::{schema, table},
    trace::layout,
};
use tracer_common::{RecordKind, describe::Record};

mod pictures;

/// `UPDATE_DOCS=1 cargo test -p tracer --test program docs` writes it anew.
#[test]
fn the_page_about_rules_says_what_the_rules_say() {
    compare("docs/rules.md", &rules());
}

/// The same for the table of records.
#[test]
fn the_page_about_traces_says_what_the_records_say() {
    compare_part("docs/trace-format.md", "records", &records());
}

#[test]
fn the_first_page_lists_every_rule() {
    compare_part("README.md", "rules", &by_subject());
}

/// The promise of the format: each record and each field is where it was in the first trace of it.
#[test]
fn nothing_has_moved_since_the_first_trace_of_this_format() {
    let trace = fs::read(root().join("tests/traces/format-1.mcap")).unwrap();
    let message = mcap::MessageStream::new(&trace).unwrap().next().unwrap().unwrap();
    let first: Value = serde_json::from_slice(&message.channel.schema.as_ref().unwrap().data).unwrap();
    let now = layout::table();
    for old in first["records"].as_array().unwrap() {
        let new = now["records"].as_array().unwrap().iter().find(|new| new["kind"] == old["kind"]).unwrap();
        // A record may have more fields now, behind those that it had.
        assert!(old["name"] == new["name"] && old["size"].as_u64() <= new["size"].as_u64(), "{old} {new}");
        for old in old["fields"].as_array().unwrap() {
            // What was reserved can have a meaning now. What varies in length is no field any more.
            if old["name"] == "reserved" || old["offset"].as_u64() >= new["size"].as_u64() {
                continue;
            }
            let new = new["fields"].as_array().unwrap().iter().find(|new| new["name"] == old["name"]).unwrap();
            assert_eq!((&old["offset"], &old["type"]), (&new["offset"], &new["type"]), "{old}");
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The part of a page between two marks.
fn compare_part(page: &str, mark: &str, wanted: &str) {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    compare(page, &format!("{before}{begin}{wanted}{end}{after}"));
}

fn compare(page: &str, wanted: &str) {
    let path = root().join(page);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let is_current = fs::read_to_string(&path).is_ok_and(|text| text == wanted);
    assert!(is_current, "{page} is out of date: UPDATE_DOCS=1 cargo test -p tracer --test program docs");
}

/// The rules by subject.
fn by_subject() -> String {
    let mut table = "| about | rules |\n| --- | --- |\n".to_owned();
    for about in About::ALL {
        let rules = RULES.iter().filter(|rule| rule.about == about).map(|rule| format!("`{}`", rule.name));
        writeln!(table, "| {} | {} |", about.heading(), rules.collect::<Vec<_>>().join(", ")).unwrap();
    }
    table
}

fn records() -> String {
    let mut table = "| kind | name | from | what | then |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for Record { kind, from, about, rest, .. } in RecordKind::ALL.iter().map(|kind| kind.record()) {
        let (number, name, about, rest) = (*kind as u8, kind.name(), about.trim(), rest.about());
        writeln!(table, "| {number} | `{name}` | {from} | {about} | {rest} |").unwrap();
    }
    table
}

#[test]
fn the_schema_is_what_the_rules_declare() {
    compare("docs/schema.json", &format!("{:#}\n", schema()));
}

#[test]
fn the_tables_of_facts_are_what_the_rules_declare() {
    let page = root().join("docs/json.md");
    let page = fs::read_to_string(page).unwrap();
    let mut wanted = String::new();
    let mut rest = page.as_str();
    // Each stands between two marks.
    while let Some(at) = rest.find(BEGIN) {
        let (before, after) = rest.split_at(at + BEGIN.len());
        let (name, _) = after.split_once(" -->").expect("a mark that is not closed");
        let rule = tracer::rules::find(name).unwrap_or_else(|| panic!("no rule is called {name}"));
        write!(wanted, "{before}{name} -->\n{}", table(rule.facts)).unwrap();
        rest = &after[after.find(END).expect("a table without an end")..];
    }
    let (findings, others) = rest.split_once(NEXT).expect("what comes after the findings");
    wanted.push_str(findings);
    for RuleDef { name, summary, facts, .. } in RULES {
        if !page.contains(&format!("{BEGIN}{name} -->")) {
            write!(wanted, "**`{name}`**: {summary}.\n\n{BEGIN}{name} -->\n{}{END}\n\n", table(facts)).unwrap();
        }
    }
    write!(wanted, "{NEXT}{others}").unwrap();
    compare("docs/json.md", &wanted);
}

const BEGIN: &str = "<!-- facts of ";
const NEXT: &str = "### `container`\n";
const END: &str = "<!-- end of facts -->";

fn rules() -> String {
    let mut page = "# Rules\n\nThis page describes what `tracer` finds, as `tracer explain RULE` does. It is generated \
                    from the rules themselves:\na test writes it (`UPDATE_DOCS=1 cargo test -p tracer --test program docs`).\n\n\
                    | rule | severity | says |\n| --- | --- | --- |\n"
        .to_owned();
    for RuleDef { name, severity, summary, .. } in RULES {
        writeln!(page, "| [`{name}`](#{name}) | {severity} | {summary} |").unwrap();
    }
    for RuleDef { name, severity, summary, lasts, explanation, .. } in RULES {
        let lasts = if *lasts {
            "\nIt is reported again while it lasts, less and less often, and when it is over.\n"
        } else {
            ""
        };
        // One heading below that of the rule.
        let explanation: Vec<_> = explanation
            .trim()
            .lines()
            .map(|line| if line.starts_with('#') { format!("#{line}") } else { line.to_owned() })
            .collect();
        write!(page, "\n## {name}\n\n**{severity}**: {summary}.\n{lasts}\n{}\n", explanation.join("\n")).unwrap();
    }
    page
}
