use std::{
    collections::BTreeMap,
    fs::File,
    time::{Duration, Instant},
};

use parquet::{file::reader::SerializedFileReader, record::Field};
use tempfile::TempDir;

use super::*;
use crate::{
    detector::Detector,
    event::{Event, EventKind, Fork},
    ident::Comm,
    signal::Signal,
    sink::Counted,
    story::{born, key, kill, start},
    thresholds::Thresholds,
};

/// How long the thread may take on a machine under load.
const WITHIN: Duration = Duration::from_secs(30);
const NOON: i64 = 1_796_040_000_000_000_000;

/// The beginning of a stream whose boot time 0 is so many seconds after noon of a day.
fn begin(seconds: i64) -> EventKind {
    let EventKind::Start(mut info) = start(&Thresholds::default()) else { panic!("it begins") };
    (info.host, info.boot_id) = ("one/host".to_owned(), "0b007-1d".to_owned());
    info.wall_offset_ns = NOON + seconds * 1_000_000_000;
    EventKind::Start(info)
}

/// What happens at the beginning, and then each second something else.
fn feed(lake: &mut Lake, began: EventKind, events: impl IntoIterator<Item = EventKind>, ends: bool) {
    let mut detector = Detector::new(&Thresholds::default());
    let mut sink = Counted::new(lake);
    for (second, kind) in std::iter::once(began).chain(events).enumerate() {
        let event = Event { at: BootNs(second as u64 * 1_000_000_000), cpu: 0, kind };
        let (step, world) = detector.step(&event, &[]);
        sink.step(world, &step).unwrap();
    }
    if ends {
        sink.finish(detector.world()).unwrap();
    }
}

/// The rows of a table, by file.
fn rows(lake: &Path, table: &str) -> BTreeMap<PathBuf, Vec<BTreeMap<String, Field>>> {
    let folder = Folder::open(lake, "one/host", "", 0).unwrap();
    let rows = |path: &PathBuf| {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let rows = reader.into_iter().map(|row| row.unwrap());
        rows.map(|row| row.get_column_iter().map(|(name, value)| (name.clone(), value.clone())).collect()).collect()
    };
    folder.files(table).unwrap().iter().map(|path| (path.clone(), rows(path))).collect()
}

fn numbers(lake: &Path, table: &str, column: &str) -> Vec<i64> {
    let rows = rows(lake, table).into_values().flatten();
    rows.map(|row| if let Field::Long(number) = row[column] { number } else { panic!("{:?}", row[column]) }).collect()
}

fn ticks(count: usize) -> impl Iterator<Item = EventKind> {
    std::iter::repeat_n(EventKind::Tick, count)
}

#[test]
fn an_agent_that_is_killed_leaves_all_minutes_but_the_last_and_the_next_one_says_so() {
    let folder = TempDir::new().unwrap();
    let kept = Kept { budget: u64::MAX };
    let mut lake = Lake::new(folder.path()).kept(kept);
    feed(&mut lake, begin(0), ticks(150), false);
    drop(lake);
    let began = Instant::now();
    while numbers(folder.path(), "hosts", "until_ns").len() < 2 {
        assert!(began.elapsed() < WITHIN, "it is not written");
        std::thread::yield_now();
    }
    let until = NOON + 119_000_000_000;
    assert_eq!(numbers(folder.path(), "hosts", "until_ns"), [NOON + 59_000_000_000, until]);

    let mut next = Lake::new(folder.path()).kept(kept);
    feed(&mut next, begin(3_600), ticks(1), true);
    assert_eq!(numbers(folder.path(), "losses", "time_ns"), [until]);
    assert_eq!(numbers(folder.path(), "losses", "until_ns"), [NOON + 3_600_000_000_000]);
    let (_, losses) = rows(folder.path(), "losses").pop_first().unwrap();
    assert_eq!((&losses[0]["place"], &losses[0]["records"]), (&Field::Str("not watched".into()), &Field::Null));
}

#[test]
fn an_export_that_is_not_finished_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let mut lake = Lake::new(folder.path());
    // More than a day, so that files are full before the end.
    feed(&mut lake, begin(0), ticks(2 * 86_400), false);
    assert!(!rows(folder.path(), "hosts").is_empty());
    drop(lake);
    assert!(rows(folder.path(), "hosts").is_empty());
}

#[test]
fn no_engine_takes_half_a_file_for_a_table() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    files::place(&path, |_| {
        let names = folder.path().read_dir()?.map(|entry| Ok(entry?.file_name().into_string().unwrap()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        assert!(names.iter().all(|name| name.starts_with('.') && !name.ends_with(".parquet")), "{names:?}");
        assert_eq!(names.len(), 1);
        Ok(())
    })
    .unwrap();
    assert!(path.exists());
}

#[test]
fn each_day_has_its_files_and_the_oldest_make_room() {
    let folder = TempDir::new().unwrap();
    let mut lake = Lake::new(folder.path());
    feed(&mut lake, begin(0), ticks(86_400), true);
    let days: Vec<_> = rows(folder.path(), "hosts").into_keys().collect();
    assert_eq!(days.len(), 2);
    assert!(
        days[0].to_string_lossy().contains("day=2026-11-30/bucket=") && days[1].to_string_lossy().contains("-12-01")
    );

    let size = days[1].metadata().unwrap().len();
    let mut kept = Lake::new(folder.path()).kept(Kept { budget: size * 2 });
    feed(&mut kept, begin(2 * 86_400), ticks(60), true);
    let left: Vec<_> = rows(folder.path(), "hosts").into_keys().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&days[0]) && left.contains(&days[1]), "{left:?}");
}

#[test]
fn names_without_end_are_bounded_and_all_signals_are_counted() {
    let folder = TempDir::new().unwrap();
    let mut lake = Lake::new(folder.path());
    let mut detector = Detector::new(&Thresholds::default());
    let mut sink = Counted::new(&mut lake);
    let named = |n: u32| {
        let mut comm = [0; 16];
        comm[..8].copy_from_slice(format!("{n:08}").as_bytes());
        EventKind::Rename(key(2), Comm(comm))
    };
    let fork = |task| EventKind::Fork(Box::new(Fork { task, creator: None }));
    let begun = std::iter::once(begin(0)).chain([1, 2].map(|pid| fork(born(pid, 0))));
    let storm = (0..5_000).flat_map(|n| [named(n), EventKind::Signal(kill(1, 2, Signal::TERM))]);
    for kind in begun.chain(storm) {
        let event = Event { at: BootNs(3_000_000_000), cpu: 0, kind };
        let (step, world) = detector.step(&event, &[]);
        sink.step(world, &step).unwrap();
    }
    sink.finish(detector.world()).unwrap();
    let signals = numbers(folder.path(), "signals", "signals");
    assert_eq!(signals.iter().sum::<i64>(), 5_000);
    assert!(signals.len() < 1_100, "{}", signals.len());
    assert_eq!(signals.iter().max(), Some(&(5_000 - 1_024)));
}

#[test]
fn many_hosts_make_one_lake_at_once() {
    let row = |host: i64| LossRow {
        time: Micros(NOON),
        time_ns: NOON,
        until_ns: NOON,
        host: format!("host{host}"),
        boot_id: String::new(),
        place: "ring",
        kind: "signals",
        records: Some(host),
    };
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let lake = folder.path().join("lake");
        let (lake, start) = (&lake, &std::sync::Barrier::new(8));
        std::thread::scope(|scope| {
            let hosts: Vec<_> = (0..8)
                .map(|host| {
                    scope.spawn(move || {
                        start.wait();
                        let mut folder =
                            Folder::open(lake, &format!("host{host}"), "", 0).map_err(|error| format!("{error:#}"))?;
                        let mut part = files::Part::of("losses");
                        part.put(&mut folder, (NOON, NOON), row(host)).unwrap();
                        part.save(&mut folder).map_err(|error| error.to_string())
                    })
                })
                .collect();
            for host in hosts {
                assert_eq!(host.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(std::fs::read_dir(lake).unwrap().count(), 2, "the mark and one table");
    }
}
