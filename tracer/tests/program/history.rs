//! What is kept of a recording for whoever draws it.

use tracer::{
    event::{EventKind, Exit, ExitStatus},
    finding::Stage,
    history::{History, Life, Place, SentBy},
    signal::{Signal, Verdict},
    time::{BootNs, Span},
};
use tracer_common::record::signal_flags;

use crate::story::{self, exec, exit, fork, info, inner, key, live, live_at, loss, signal, task};

fn history(events: &[EventKind]) -> History {
    let mut history = History::default();
    live(events, &mut [&mut history]);
    history
}

fn begun() -> Vec<EventKind> {
    let mut events = vec![story::start()];
    events.extend(story::snapshot());
    events
}

fn life(history: &History, pid: u32) -> &Life {
    history.lives.iter().find(|life| life.process.key == key(pid)).unwrap()
}

#[test]
fn a_life_has_its_names_its_end_and_who_reaped_it() {
    let mut events = begun();
    events.extend([
        fork(info(100, 10, "bash")),
        exec(100, "sleep", b"sleep\x0010\0"),
        EventKind::Exit(Box::new(Exit { status: ExitStatus(15), ..exit(100, 10, 0) })),
        EventKind::Free(task(100)),
    ]);
    let history = history(&events);
    // Kernel threads are none of them: 1, 10, 40, 50, 60, 70, 55 and this one.
    assert_eq!((history.lives.seen(), history.lives.len()), (8, 8));
    let life = life(&history, 100);
    let names: Vec<_> = life.names.iter().map(|(_, name)| name.to_string()).collect();
    assert_eq!(
        (names, life.args.to_string(), life.place),
        (vec!["bash".into(), "sleep".into()], "sleep 10".into(), Place::Host)
    );
    let end = life.end.unwrap();
    assert!(life.is_seen && end.is_exact && end.is_owed && end.zombie == Some(end.at));
    assert_eq!((end.status.signal(), life.gone.unwrap().1), (Some(Signal::TERM), Some(key(10))));
    assert_eq!(life.parents.last().unwrap().1, Some(key(10)));
}

#[test]
fn a_life_has_the_names_that_it_gives_itself() {
    let mut events = begun();
    let comm = |name| info(100, 10, name).comm;
    // As busybox does, which executes itself by another name; then it says the same again.
    events.extend([fork(info(100, 10, "sh")), exec(100, "exe", b"sleep\x0010\0")]);
    events.extend([EventKind::Rename(key(100), comm("sleep")), EventKind::Rename(key(100), comm("sleep"))]);
    let history = history(&events);
    let names: Vec<_> = life(&history, 100).names.iter().map(|(_, name)| name.to_string()).collect();
    assert_eq!(names, ["sh", "exe", "sleep"]);
}

#[test]
fn a_signal_has_both_ends_and_its_fate() {
    let mut events = begun();
    events.extend([
        signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1),
        signal(10, 1, Signal::CHLD, 0, 1),
    ]);
    let history = history(&events);
    let sent: Vec<_> =
        history.signals.iter().map(|sent| (sent.from, sent.to, sent.fate(), sent.is_routine())).collect();
    assert_eq!(
        sent,
        [
            (SentBy::Process(key(10)), key(50), Verdict::InitNoHandler, false),
            (SentBy::Process(key(10)), key(1), Verdict::IgnoredByDefault, true),
        ]
    );
    assert!(life(&history, 50).is_found && !life(&history, 40).is_found);
    assert_eq!(history.findings.iter().filter(|found| found.finding.rule.name == "init-ignored-signal").count(), 1);
}

#[test]
fn a_loss_is_a_time_that_ends_when_all_is_known_again() {
    let mut events = begun();
    events.push(loss(1, 2, 0));
    let open = history(&events);
    assert_eq!(open.gaps.iter().map(|gap| gap.records).collect::<Vec<_>>(), [3]);
    // Nobody has compared since.
    assert_eq!(open.gaps[0].until, open.summary.ended_at);
    events.extend(story::snapshot());
    events.push(fork(info(200, 10, "late")));
    let closed = history(&events);
    assert!(closed.gaps[0].from < closed.gaps[0].until && closed.gaps[0].until < closed.summary.ended_at);
}

#[test]
fn a_finding_stands_once_with_what_became_of_it() {
    let mut events: Vec<_> = begun().into_iter().map(|kind| (10, kind)).collect();
    events.push((5_000, EventKind::Tick));
    events.push((10, EventKind::Free(task(55))));
    events.push((1_000, EventKind::Tick));
    let mut history = History::default();
    live_at(&events, &mut [&mut history]);
    let about: Vec<_> = history.findings.iter().filter(|found| found.finding.process.key == key(55)).collect();
    let [found] = about[..] else { panic!("{about:?}") };
    assert_eq!((found.finding.rule.name, found.finding.stage), ("unreaped-child", Stage::New));
    let ending = found.ending.as_ref().unwrap();
    assert!(ending.stage == Stage::Resolved && ending.at > found.finding.at && !ending.headline.is_empty());
    assert!(!found.finding.fixes.is_empty());
}

/// More than anybody can look at: those are left that tell something, and all are counted.
#[test]
fn too_many_processes_are_thinned_by_what_they_tell() {
    let mut events = begun();
    for pid in 1_000..18_000 {
        events.push(fork(info(pid, 10, "worker")));
        if pid == 1_500 {
            events.push(signal(10, pid, Signal::TERM, 0, 0));
        }
        events.push(EventKind::Exit(Box::new(exit(pid, 10, 0))));
        events.push(EventKind::Free(task(pid)));
    }
    events.push(fork(inner(20_000, 30, 50, "last")));
    let history = history(&events);
    assert_eq!((history.lives.seen(), history.lives.len()), (17_008, 8_000));
    for pid in [1, 10, 50, 1_500, 20_000] {
        life(&history, pid);
    }
    // When the two ended that were zombies at the beginning is not known.
    let (_, until) = history.density.span().unwrap();
    assert!(until > BootNs::ZERO);
    assert_eq!(history.density.buckets().iter().map(|bucket| bucket.exits).sum::<u64>(), 17_000);
}

/// A run that goes on, and what is kept of it.
fn of_late(events: &[(u64, EventKind)]) -> History {
    let mut history = History::of_late(Span::seconds(600));
    live_at(events, &mut [&mut history]);
    history
}

#[test]
fn of_a_run_that_goes_on_the_last_minutes_are_kept() {
    let mut events: Vec<_> = begun().into_iter().map(|kind| (0, kind)).collect();
    let life = |pid| {
        [
            fork(info(pid, 10, "bash")),
            signal(10, pid, Signal::USR1, 0, 0),
            EventKind::Exit(Box::new(exit(pid, 10, 0))),
            EventKind::Free(task(pid)),
        ]
    };
    events.extend(life(100).map(|kind| (1, kind)));
    events.push((700_000, EventKind::Tick));
    events.extend(life(101).map(|kind| (1, kind)));
    let history = of_late(&events);
    let (lives, signals) = (&history.lives, &history.signals);
    assert!(
        lives.iter().all(|life| life.process.key != key(100)) && lives.iter().any(|life| life.process.key == key(101))
    );
    assert_eq!((lives.forgotten(), lives.seen(), lives.len()), (1, 9, 8));
    assert_eq!((signals.len(), signals.seen()), (1, 1));
    let (from, until) = history.density.span().unwrap();
    assert!(until - from <= Span::seconds(606), "{:?}", until - from);
    assert_eq!(history.density.buckets().iter().map(|bucket| bucket.signals).sum::<u64>(), 1);
    assert_eq!(history.kept_from(), history.summary.ended_at - Span::seconds(600));
}

#[test]
fn of_a_run_that_goes_on_the_last_findings_are_kept() {
    let mut events: Vec<_> = begun().into_iter().map(|kind| (0, kind)).collect();
    let dropped = || signal(10, 50, Signal::TERM, signal_flags::UNKILLABLE | signal_flags::OUTSIDE, 1);
    // So far apart that they are not folded.
    events.extend((0..100).flat_map(|_| [(699_000, EventKind::Tick), (1_000, dropped())]));
    let numbers = |history: &History| history.findings.iter().map(|found| found.number).collect::<Vec<_>>();
    let history = of_late(&events);
    // The two zombies from before the start go on.
    assert_eq!(numbers(&history), [0, 1].into_iter().chain(24..102).collect::<Vec<_>>());
    assert_eq!(history.findings.more().values().sum::<u64>(), 22);
    let mut whole = History::default();
    live_at(&events, &mut [&mut whole]);
    assert_eq!(numbers(&whole), (0..80).collect::<Vec<_>>());
    assert_eq!(whole.findings.more().values().sum::<u64>(), 22);
}
