//! The pages that are made of what the program says of itself.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use tracer::rules::{RULES, RuleDef};

/// `UPDATE_DOCS=1 cargo test -p tracer --test program docs` writes it anew.
#[test]
fn the_page_about_rules_says_what_the_rules_say() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let wanted = rules();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &wanted).unwrap();
    }
    let is_current = fs::read_to_string(&page).is_ok_and(|text| text == wanted);
    assert!(
        is_current,
        "docs/rules.md is not what the rules say: UPDATE_DOCS=1 cargo test -p tracer --test program docs"
    );
}

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
