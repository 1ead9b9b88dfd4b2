//! `tracer tree` against `/proc`, and scenario 21: processes that came from outside.

use std::collections::BTreeMap;

use rustix::process::Signal;
use tracer::source::hooks::Hooks;
use tracer_tests::{
    Stage, Stream,
    contract::{Line, TreeProcess},
    machine,
    run::{output, tracer},
    stage::kill,
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("equals_proc", equals_proc),
        live("one_namespace", one_namespace),
        live("roles", roles),
        live("outsiders_stay_outsiders", outsiders_stay_outsiders),
        live("zombies", zombies),
    ]
}

fn tree(args: &[&str]) -> BTreeMap<i32, TreeProcess> {
    let output = output(tracer(&[&["tree", "-o", "json"], args].concat()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(|line| match Line::parse(line) {
        Ok(Line::Process(process)) => (process.pid, *process),
        other => panic!("{other:?}: {line}"),
    });
    let processes: BTreeMap<_, _> = lines.collect();
    assert_eq!(processes.len(), text.lines().count(), "a process appears twice");
    processes
}

/// Compares every process that is there before and after, in all that both show.
fn equals_proc() {
    let mut stages = [&["nested", "3"][..], &["orphanage"], &["dead-leader"], &["traced"], &["crowd", "100"]]
        .map(|act| Stage::act(act, &Default::default()));
    let [nested, orphanage, leader, traced, crowd] = &mut stages;
    nested.pids("init3", 1);
    orphanage.hears("leaf");
    kill(orphanage.pid("shell"), Signal::KILL);
    leader.hears("process");
    traced.hears("tracer");
    kill(traced.pid("child"), Signal::KILL);
    crowd.hears("crowd");

    let before: BTreeMap<_, _> = machine::processes().into_iter().map(|stat| (stat.pid, stat)).collect();
    let told = tree(&[]);
    let after: BTreeMap<_, _> = machine::processes().into_iter().map(|stat| (stat.pid, stat)).collect();

    let mut compared = 0;
    for (pid, stat) in &before {
        let same = |other: &&machine::Stat| (other.start_ticks, other.ppid) == (stat.start_ticks, stat.ppid);
        let Some(later) = after.get(pid).filter(same) else { continue };
        compared += 1;
        let process = told.get(pid).unwrap_or_else(|| panic!("{stat:?} is not in the tree"));
        // A tick is a hundredth of a second.
        assert_eq!(process.start_boot_ns / 10_000_000, stat.start_ticks, "{process:?}");
        assert_eq!(process.ns_pid, stat.ns_pid, "{process:?}");
        // Some kernels hide their pid 1 even from root.
        if let Some(namespace) = machine::pid_ns(*pid) {
            assert_eq!(process.pid_ns, namespace, "{process:?}");
        }
        assert_eq!(process.parent.as_ref().map_or(0, |parent| parent.pid), stat.ppid, "{process:?}");
        assert_eq!(process.roles.contains(&"kernel-thread".to_owned()), stat.is_kthread, "{process:?}");
        if stat.state == later.state {
            let is_dead = matches!(process.state.as_str(), "zombie" | "leader-dead");
            assert_eq!(is_dead, stat.state == 'Z', "{stat:?}, but {process:?}");
        }
    }
    assert!(compared > 100, "only {compared} processes");
    let ghosts: Vec<_> = told
        .values()
        .filter(|process| !before.contains_key(&process.pid) && !after.contains_key(&process.pid))
        .collect();
    // One of them is `tracer tree` itself.
    let ghosts: Vec<_> = ghosts.into_iter().filter(|process| process.comm != "tracer").collect();
    assert!(ghosts.is_empty(), "these are not in /proc: {ghosts:#?}");
}

fn one_namespace() {
    let mut stage = Stage::act(&["nested", "3"], &Default::default());
    let [init1, init2, init3] = ["init1", "init2", "init3"].map(|name| stage.pid(name));
    let namespace = machine::pid_ns(init2).expect("it lives");

    for name in [init2.to_string(), namespace.to_string()] {
        let pids: Vec<_> = tree(&["--ns", &name]).into_keys().collect();
        let mut nested = vec![init2, init3];
        nested.sort_unstable();
        assert_eq!(pids, nested, "--ns {name}, but not {init1}");
    }
}

fn roles() {
    let mut namespace = Stage::act(&["init", "plain"], &Default::default());
    let init = namespace.pid("init");
    let mut stage = Stage::act(&["inside", &init.to_string()], &Default::default());
    stage.step("fork");
    let [inside, leaf] = ["inside", "leaf"].map(|name| stage.pid(name));
    let mut chain = Stage::act(&["subreapers"], &Default::default());
    let [outer, inner, middle] = ["outer", "inner", "middle"].map(|name| chain.pid(name));

    let told = tree(&[]);
    let roles = |pid: i32| told[&pid].roles.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(roles(init), ["init"]);
    // Its parent is outside, and has no pid in the namespace.
    assert_eq!(roles(inside), ["outsider"]);
    assert_eq!(told[&inside].parent.as_ref().map(|parent| parent.pid), Some(stage.id()));
    assert_eq!(roles(leaf), [""; 0]);
    assert_eq!((roles(outer), roles(inner), roles(middle)), (vec!["subreaper"], vec!["subreaper"], vec![]));
}

/// A parent outside is followed by another outside, and one inside by one inside, so that the birth and a later look
/// agree.
fn outsiders_stay_outsiders() {
    let mut stream = Stream::attach(Hooks::Tracepoint);
    let mut namespace = Stage::act(&["init", "plain"], &Default::default());
    let [init] = stream.meet(&mut namespace, ["init"]);
    let mut stage = Stage::act(&["inside", &init.to_string()], &Default::default());
    stage.step("fork");
    let [inside, leaf, outside] = stream.meet(&mut stage, ["inside", "leaf", "outside"]);
    stream.wait_until("their births", |stream| stream.process("leaf").is_some());
    let born: Vec<_> = ["inside", "leaf"].map(|name| stream.process(name).expect("it lives").roles.outsider).into();
    let found = || {
        let told = tree(&[]);
        [inside, leaf].iter().filter_map(|pid| told.get(pid)).map(is_outsider).collect::<Vec<_>>()
    };
    assert_eq!((&born, found()), (&vec![true, false], born.clone()));

    kill(outside, Signal::KILL);
    stream.wait_until("the new parent", |stream| parent_of(stream, "inside") == Some(std::process::id()));
    assert_eq!(found(), born);

    kill(inside, Signal::KILL);
    stream.wait_until("the new parent", |stream| parent_of(stream, "leaf") == Some(init as u32));
    assert_eq!(found(), born);
}

fn is_outsider(process: &TreeProcess) -> bool {
    process.roles.contains(&"outsider".to_owned())
}

fn parent_of(stream: &Stream, name: &str) -> Option<u32> {
    stream.process(name)?.parent.map(|parent| parent.key.tgid)
}

fn zombies() {
    let mut stage = Stage::act(&["parent", "never-waits"], &Default::default());
    stage.step("child");
    let [parent, child] = ["parent", "child"].map(|name| stage.pid(name));
    let mut held = Stage::act(&["traced"], &Default::default());
    let [traced, tracer] = ["child", "tracer"].map(|name| held.pid(name));
    kill(traced, Signal::KILL);

    let told = tree(&["--zombies"]);
    for (zombie, debtor) in [(child, parent), (traced, tracer)] {
        let zombie = &told[&zombie];
        assert_eq!(zombie.state, "zombie");
        assert_eq!(zombie.owed_by.as_ref().map(|process| process.pid), Some(debtor), "{zombie:?}");
        assert!(zombie.age_ns.is_some() && zombie.age_is_lower_bound.is_some(), "{zombie:?}");
    }
    assert!(!told.contains_key(&parent), "only zombies were asked for");
}
