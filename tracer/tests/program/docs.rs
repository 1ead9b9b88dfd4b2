//! The pages that are made of what the program says of itself.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use tracer::{
    rules::{RULES, RuleDef},
    sink::json::schema::{schema, table},
};

/// Compares a page with what it should be. `UPDATE_DOCS=1 cargo test -p tracer --test program docs` writes it anew.
fn check(name: &str, wanted: &str) {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, wanted).unwrap();
    }
    let is_current = fs::read_to_string(&page).is_ok_and(|text| text == wanted);
    assert!(
        is_current,
        "docs/{name} is not what the program says: UPDATE_DOCS=1 cargo test -p tracer --test program docs"
    );
}

#[test]
fn the_page_about_rules_says_what_the_rules_say() {
    check("rules.md", &rules());
}

#[test]
fn the_schema_is_what_the_rules_declare() {
    check("schema.json", &format!("{:#}\n", schema()));
}

#[test]
fn the_tables_of_facts_are_what_the_rules_declare() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
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
    check("json.md", &wanted);
}

const BEGIN: &str = "<!-- facts of ";
const NEXT: &str = "### `container`\n";
const END: &str = "<!-- end of facts -->";

fn rules() -> String {
    let mut page = "# Rules\n\nWhat `tracer` finds, as `tracer explain RULE` tells it. This page is made of the rules \
                    themselves: a test\nwrites it (`UPDATE_DOCS=1 cargo test -p tracer --test program docs`).\n\n\
                    | rule | severity | says |\n| --- | --- | --- |\n"
        .to_owned();
    for RuleDef { name, severity, summary, .. } in RULES {
        writeln!(page, "| [`{name}`](#{name}) | {severity} | {summary} |").unwrap();
    }
    for RuleDef { name, severity, summary, lasts, explanation, .. } in RULES {
        let lasts =
            if *lasts { "\nIt is told again while it lasts, less and less often, and when it is over.\n" } else { "" };
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
