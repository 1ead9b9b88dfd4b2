//! The page of a machine on which whatever somebody can choose tries to get out of its place.

use std::{fs::File, path::Path};

use jiff::tz::TimeZone;
use tracer::{
    detector::Detector,
    event::{Adopter, End, Event, EventKind, Exec, Fork, SignalSent, TaskInfo},
    history::History,
    host::{Container, Engine, StartInfo},
    ident::{Args, Comm},
    page::{self, About, Clock},
    signal::Signal,
    sink::{Counted, Sink},
    source::encode::encode,
    thresholds::Thresholds,
    trace::writer::Writer,
};
use tracer_common::record::signal_flags;
use tracer_model::{
    ident::lies::LIES,
    story::{after_boot, born, born_in, end, key, kill, running, task},
};

/// Has a sink take it all.
pub fn tell<S: Sink>(sink: &mut S) {
    let mut detector = Detector::new(&Thresholds::default());
    let mut sink = Counted::new(sink);
    for (n, kind) in (0..).zip(events(&start())) {
        let event = Event { at: after_boot(100_000 + 10 * n), cpu: 0, kind };
        let (step, world) = detector.step(&event, &[]);
        sink.step(world, &step).unwrap();
    }
    sink.finish(detector.world()).unwrap();
}

/// Runs if it is taken for anything but text.
const SCRIPT: &str = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">";

pub fn page() -> Vec<u8> {
    let mut history = History::default();
    tell(&mut history);
    let start = start();
    let about = About {
        file: tracer::ident::quote(SCRIPT),
        start: &start,
        complaints: vec![SCRIPT.to_owned()],
        clock: Clock::new(&TimeZone::UTC, start.wall_offset_ns, history.summary.began),
        is_over: true,
    };
    let mut out = Vec::new();
    page::write(&mut out, &mut history, &about).unwrap();
    out
}

/// The same as a recording.
pub fn record(path: &Path) {
    let mut writer = Writer::create(File::create_new(path).unwrap(), &start()).unwrap();
    let mut record = Vec::new();
    for (n, kind) in (0..).zip(events(&start()).into_iter().chain([EventKind::End(End::default())])) {
        let at = after_boot(100_000 + 10 * n);
        record.clear();
        encode(&Event { at, cpu: 0, kind }, &mut record);
        writer.record(at, &record).unwrap();
    }
    writer.finish().unwrap();
}

fn start() -> StartInfo {
    StartInfo {
        version: SCRIPT.to_owned(),
        kernel: SCRIPT.to_owned(),
        boot_id: String::new(),
        host: SCRIPT.to_owned(),
        wall_offset_ns: 1_795_341_600_000_000_000,
        hooks: Vec::new(),
        degraded: vec![SCRIPT.to_owned()],
        ring_size: 8 << 20,
        all_signals: true,
        fatal_signals: true,
        forwarded_signals: true,
        all_deliveries: true,
        arguments: vec![SCRIPT.to_owned()],
        has_command: false,
        thresholds: Thresholds::default(),
    }
}

/// For each lie a pid namespace whose init has that name, is sent a signal in vain, and ends.
fn events(start: &StartInfo) -> Vec<EventKind> {
    let row = |task: TaskInfo| EventKind::Row(Box::new(running(task)));
    let mut events = vec![EventKind::Start(Box::new(start.clone())), EventKind::SnapshotBegin, row(born(1, 0))];
    events.push(EventKind::SnapshotEnd);
    let container = Container {
        id: "0".repeat(64),
        engine: Engine::Docker,
        name: Some(SCRIPT.to_owned()),
        image: Some(SCRIPT.to_owned()),
        ..Container::default()
    };
    events.push(EventKind::Container(Box::new(container.clone())));
    for (n, name) in (0..).zip(LIES) {
        let pid = 100 + n;
        let init = born_in(4_026_532_500 + n, pid, 1, 1);
        events.push(EventKind::Fork(Box::new(Fork { task: init, creator: init.parent })));
        if n == 0 {
            events.push(EventKind::Contained(key(pid), container.id.clone()));
        }
        let args = Args { bytes: [name, SCRIPT.as_bytes()].join(&0).into(), ..Args::default() };
        let exec = Exec { task: task(pid), comm: Comm::cut(name), old_tid: pid, args, mount_ns: 0, ignored: Some(0) };
        events.push(EventKind::Exec(Box::new(exec)));
        let flags = signal_flags::GROUP | signal_flags::NO_INFO | signal_flags::UNKILLABLE | signal_flags::OUTSIDE;
        events.push(EventKind::Signal(SignalSent { flags, result: 1, ..kill(1, pid, Signal::TERM) }));
        events.push(EventKind::Exit(Box::new(end(pid, 1, Adopter::None))));
        events.push(EventKind::Tick);
    }
    events
}
