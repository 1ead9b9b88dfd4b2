//! `tracer tree`, as text and as JSON.

use tracer::{
    console::style::Screen,
    event::{EventKind, Roles, TaskInfo},
    tree::{Extract, print_json, print_text},
    world::World,
};

use crate::{
    json,
    story::{self, INNER, NESTED, info, inner, key, row, world_of},
};

fn world() -> World {
    let mut events = story::everything();
    let kworker = TaskInfo { roles: Roles { kthread: true, ..Roles::default() }, ..info(90, 2, "kworker/0:1") };
    let nested = TaskInfo {
        pid_ns: NESTED,
        parent_ns: Some(INNER),
        ns_level: 2,
        ns_pid: 1,
        mid_pids: [40, 1, 0],
        roles: Roles { init: true, ..Roles::default() },
        ..inner(120, 40, 60, "tini")
    };
    events.extend([
        row(kworker),
        // A helper program that the kernel started.
        row(info(91, 90, "modprobe")),
        row(info(11, 10, "vim")),
        row(nested),
        row(TaskInfo {
            ns_pid: 2,
            mid_pids: [41, 2, 0],
            roles: Roles::default(),
            ..TaskInfo { key: key(121), parent: Some(story::task(120)), comm: "app".into(), ..nested }
        }),
        row(inner(61, 21, 60, "cat")),
        EventKind::Tick,
    ]);
    world_of(&events)
}

fn text(scope: Extract, width: Option<usize>) -> String {
    let mut out = Vec::new();
    print_text(&world(), scope, Screen { colour: false, width }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_namespace() {
    insta::assert_snapshot!(text(Extract::default(), None));
}

#[test]
fn only_zombies_and_the_way_to_them() {
    insta::assert_snapshot!(text(Extract { ns: None, zombies: true }, None));
}

#[test]
fn one_namespace_and_what_is_nested() {
    let text = text(Extract { ns: Some(INNER), zombies: false }, None);
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with("pid namespace")).collect();
    assert_eq!(headings.len(), 2, "{text}");
    assert!(headings[0].starts_with("pid namespace 4026532841 (level 1, in 4026531836): init sleep (pid 50)"));
}

#[test]
fn commands_are_cut_at_the_screen() {
    for line in text(Extract::default(), Some(40)).lines().filter(|line| line.ends_with('…')) {
        assert!(line.chars().count() <= 40, "{line}");
    }
}

#[test]
fn no_zombies_is_an_answer() {
    let mut out = Vec::new();
    print_text(&World::default(), Extract { ns: None, zombies: true }, Screen::default(), &mut out).unwrap();
    assert_eq!(out, b"no zombies\n");
}

#[test]
fn json_lines_keep_the_contract() {
    let mut out = Vec::new();
    print_json(&world(), Extract::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), world().process_count());
    for line in text.lines() {
        assert_eq!(json::parse(line), "process");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn json_of_zombies_only() {
    let mut out = Vec::new();
    print_json(&world(), Extract { ns: Some(INNER), zombies: true }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().count() >= 1);
    assert!(text.lines().all(|line| line.contains(r#""state":"zombie""#) && line.contains(r#""owed_by":{"pid":50"#)));
}

#[test]
fn containers_have_names() {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events.extend(story::container());
    // Came into its namespace, and belongs to another.
    let joined = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..inner(65, 22, 40, "sidecar") };
    events.extend([row(joined), EventKind::Contained(key(65), "joined".into())]);
    let mut out = Vec::new();
    print_text(&world_of(&events), Extract::default(), Screen::default(), &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
