//! Events made by hand, and a world that lives through them: nothing here needs a kernel.

use tracer::{
    detector::Detector,
    event::{
        Adopter, Event, EventKind, Exec, Exit, ExitStatus, Fork, Look, Looked, Loss, Masks, Reap, Roles, Row,
        SignalSent, SignalTaken, TaskInfo, WaitCall,
    },
    host::{Container, Engine, GroupRoom, Holder, Room, Rooms, StartInfo},
    ident::{Args, Comm, PidNs},
    signal::{Aim, Place, Signal},
    sink::Sink,
    summary::Summary,
    thresholds::Thresholds,
    time::{BootNs, Seq, Span},
    world::World,
};
use tracer_common::{RecordKind, record::signal_flags};
pub use tracer_model::story::{HOST, key, task};
use tracer_model::story::{after_boot, born, born_in, end, kill, running, zombie};

/// A container's.
pub const INNER: PidNs = PidNs(4_026_532_841);
/// One nested in it.
pub const NESTED: PidNs = PidNs(4_026_532_999);

/// 2026-11-22 10:00:00 UTC, less the boot time at which the story starts.
const WALL: i64 = 1_795_341_600_000_000_000 - 100_000_000_000;

/// A name that nobody would choose in good faith: an escape sequence, a newline, a quote, HTML
/// and a stray byte.
pub const HOSTILE: [u8; 16] = *b"\x1b[1m\n\"<i>&\\\xffx\0\0\0";

pub fn info(pid: u32, parent: u32, comm: &str) -> TaskInfo {
    TaskInfo { comm: comm.into(), cgroup: 0, ..born(pid, parent) }
}

/// The same, in the container.
pub fn inner(pid: u32, ns_pid: u32, parent: u32, comm: &str) -> TaskInfo {
    TaskInfo { comm: comm.into(), cgroup: 0, ..born_in(INNER.0, pid, ns_pid, parent) }
}

pub fn row(task: TaskInfo) -> EventKind {
    EventKind::Row(Box::new(running(task)))
}

/// A zombie that was killed, and died so many milliseconds ago.
pub fn zombie_row(task: TaskInfo, ago: Option<u64>) -> EventKind {
    EventKind::Row(Box::new(Row { status: ExitStatus(9), ..zombie(task, ago) }))
}

pub fn fork(task: TaskInfo) -> EventKind {
    EventKind::Fork(Box::new(Fork { task, creator: task.parent }))
}

pub fn exec(pid: u32, comm: impl Into<Name>, args: &[u8]) -> EventKind {
    let args = Args { bytes: args.to_vec().into(), ..Args::default() };
    EventKind::Exec(Box::new(Exec {
        task: task(pid),
        comm: comm.into().0,
        old_tid: pid,
        args,
        mount_ns: 0,
        ignored: Some(0),
    }))
}

/// A name as text or as raw bytes.
pub struct Name(Comm);

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<[u8; 16]> for Name {
    fn from(name: [u8; 16]) -> Self {
        Self(Comm(name))
    }
}

pub fn exit(pid: u32, parent: u32, status: i32) -> Exit {
    Exit { status: ExitStatus(status), ..end(pid, parent, Adopter::None) }
}

pub fn signal(from: u32, to: u32, signal: Signal, flags: u16, result: u8) -> EventKind {
    let flags = flags | signal_flags::GROUP | signal_flags::NO_INFO;
    EventKind::Signal(SignalSent { flags, result, ..kill(from, to, signal) })
}

pub fn loss(forks: u64, signals: u64, undecodable: u64) -> EventKind {
    let mut loss = Loss { undecodable, ..Loss::default() };
    loss.ring[RecordKind::New as usize] = forks;
    loss.ring[RecordKind::Signal as usize] = signals;
    EventKind::Lost(loss)
}

pub fn start() -> EventKind {
    EventKind::Start(Box::new(StartInfo {
        version: "0.1.0".into(),
        kernel: "6.18.44".into(),
        boot_id: "0f3c9b1e-2c58-4a52-9c6b-6f3f7f0a1d11".into(),
        host: "night".into(),
        wall_offset_ns: WALL,
        hooks: ["task_newtask", "signal_generate"].map(Into::into).into(),
        degraded: vec!["this kernel does not say when a zombie died, so ages are lower bounds".into()],
        ring_size: 8 << 20,
        all_signals: true,
        fatal_signals: true,
        forwarded_signals: true,
        all_deliveries: true,
        arguments: vec!["tracer".into(), "watch".into()],
        has_command: false,
        thresholds: Thresholds::default(),
    }))
}

/// What the tracer finds when it starts: an init, a shell, a container of `sleep` with a shell
/// that was brought in from outside, a zombie from before.
pub fn snapshot() -> Vec<EventKind> {
    let outsider = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..inner(60, 20, 40, "sh") };
    let subreaper = TaskInfo { roles: Roles { subreaper: true, ..Roles::default() }, ..info(40, 1, "containerd-shim") };
    let kthreadd = TaskInfo { roles: Roles { kthread: true, ..Roles::default() }, ..info(2, 0, "kthreadd") };
    vec![
        EventKind::SnapshotBegin,
        row(info(1, 0, "systemd")),
        row(kthreadd),
        row(info(10, 1, "bash")),
        row(subreaper),
        row(inner(50, 1, 40, "sleep")),
        row(outsider),
        zombie_row(info(70, 10, "early"), None),
        zombie_row(inner(55, 7, 50, "worker"), Some(3_000)),
        EventKind::SnapshotEnd,
        EventKind::CommandLine(key(50), Args { bytes: (&b"sleep\x001000\0"[..]).into(), ..Args::default() }),
        EventKind::CommandLine(
            key(60),
            Args { bytes: (&b"sh\0-c\0echo \x1b[2J; true\0"[..]).into(), cut: true, ..Args::default() },
        ),
    ]
}

/// The start and the snapshot, then a bit of everything.
pub fn everything() -> Vec<EventKind> {
    let unkillable = signal_flags::UNKILLABLE;
    let mut events = vec![start(), signal(60, 50, Signal::INT, unkillable, 1)];
    events.extend(snapshot());
    events.extend([
        fork(info(100, 10, "bash")),
        exec(100, HOSTILE, b"/bin/evil\0\x1b]0;x\x07\0<script>\0\xe2\x80\xae\xff\0"),
        fork(inner(110, 30, 60, "sh")),
        fork(inner(111, 31, 110, "sh")),
        exec(111, "app", b"app\0"),
        signal(10, 50, Signal::TERM, unkillable | signal_flags::OUTSIDE, 1),
        signal(60, 50, Signal::KILL, unkillable, 1),
        signal(10, 100, Signal::TERM, signal_flags::BLOCKED, 0),
        signal(10, 100, Signal::TERM, signal_flags::BLOCKED, 2),
        EventKind::Signal(SignalSent {
            current: task(1),
            target: task(100),
            signal: Signal::ALRM,
            code: 0,
            flags: signal_flags::KERNEL_INFO | signal_flags::GROUP,
            result: 0,
            aim: Aim::Unknown,
            place: Place::default(),
        }),
        EventKind::Deliver(SignalTaken {
            target: task(100),
            signal: Signal(34),
            code: -1,
            flags: signal_flags::HANDLER,
        }),
        EventKind::Exit(Box::new(Exit { adopter: Adopter::NamespaceInit(task(50)), ..exit(110, 60, 9) })),
        EventKind::Look(Look { key: key(111), found: Some(Looked { state: b'S', ppid: 50, pts: Some(0) }) }),
        EventKind::Free(task(110)),
        EventKind::Exit(Box::new(Exit { leader: true, group_dead: false, live: 3, ..exit(100, 10, 0) })),
        EventKind::Exit(Box::new(exit(100, 10, 7 << 8))),
        EventKind::Reap(Reap { task: task(100), reaper: task(10), call: Some(WaitCall::Wait4) }),
        EventKind::Exit(Box::new(exit(111, 50, 0))),
        loss(3, 1_200, 0),
        loss(0, 0, 1),
    ]);
    events.extend(snapshot());
    events
}

/// What is known of the container, whose image has a hostile name, and who is its first process.
pub fn container() -> [EventKind; 2] {
    let id = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let container = Container {
        id: id.into(),
        engine: Engine::Docker,
        name: Some("web".into()),
        image: Some("evil\x1b[2J:1".into()),
        stop_signal: Some("SIGINT".into()),
        init: Some(false),
        ..Container::default()
    };
    [EventKind::Container(Box::new(container)), EventKind::Contained(key(50), id.into())]
}

/// A main thread that ends before its process, then the end of the container while it is loaded.
pub fn endings() -> Vec<EventKind> {
    let mut events = vec![start()];
    events.extend(snapshot());
    events.extend(container());
    events.extend([
        fork(info(300, 10, "threads")),
        EventKind::Exit(Box::new(Exit { group_dead: false, live: 2, ..exit(300, 10, 0) })),
        fork(inner(310, 40, 50, "app")),
        fork(info(320, 10, "make")),
        EventKind::CommandStarted(key(320), Args { bytes: b"make\0test\0"[..].into(), ..Args::default() }),
        fork(info(321, 320, "server")),
        EventKind::Exit(Box::new(Exit { adopter: Adopter::NamespaceInit(task(1)), ..exit(320, 10, 2 << 8) })),
        EventKind::CommandEnded(key(320), ExitStatus(2 << 8)),
        EventKind::Exit(Box::new(exit(50, 40, 9))),
        EventKind::Exit(Box::new(exit(60, 40, 9))),
        EventKind::Exit(Box::new(exit(310, 50, 9))),
        fork(info(330, 10, "worker")),
        signal(321, 330, Signal::TERM, 0, 0),
        EventKind::Exit(Box::new(exit(330, 10, 15))),
        signal(321, 10, Signal(35), signal_flags::HANDLER, 3),
    ]);
    events
}

/// Everything that lasts, and that it is over; each event so many milliseconds after the one before.
pub fn troubles() -> Vec<(u64, EventKind)> {
    const SOON: u64 = 10;
    let mut events = vec![start()];
    events.extend(snapshot());
    events.extend(container());
    let outsider = TaskInfo { roles: Roles { outsider: true, ..Roles::default() }, ..inner(710, 50, 40, "runc") };
    let asked = signal_flags::OUTSIDE | signal_flags::UNKILLABLE | signal_flags::HANDLER;
    events.extend([
        rooms((3_500, 500), 85, 3),
        fork(info(600, 1, "db")),
        signal(10, 600, Signal::TERM, signal_flags::BLOCKED, 0),
        fork(info(700, 10, "bash")),
        exec(700, "docker", b"docker\0exec\0-it\0web\0top\0"),
        fork(outsider),
        exec(710, "top", b"top\0"),
        EventKind::Exit(Box::new(exit(700, 10, 9))),
        EventKind::Free(task(700)),
        fork(inner(800, 60, 50, "app")),
        signal(10, 50, Signal::TERM, asked, 0),
        fork(info(500, 1, "server")),
    ]);
    for pid in 501..=504 {
        events.push(fork(info(pid, 500, "helper")));
    }
    for pid in 501..=504 {
        events.push(EventKind::Exit(Box::new(exit(pid, 500, 0))));
        // CLD_EXITED: it merges with one that is pending.
        let flags = signal_flags::HANDLER | signal_flags::GROUP;
        events.push(EventKind::Signal(SignalSent { flags, code: 1, result: 2, ..kill(pid, 500, Signal::CHLD) }));
    }
    events.push(EventKind::Free(task(501)));
    let mut events: Vec<_> = events.into_iter().map(|kind| (SOON, kind)).collect();
    for pid in 900..912 {
        events.push((150, fork(info(pid, 10, if pid % 3 == 0 { "curl" } else { "sh" }))));
        events.push((150, EventKind::Exit(Box::new(exit(pid, 10, 0)))));
    }
    let blocked = Masks { shared_pending: 1 << 14, blocked: 1 << 14, ..Masks::default() };
    let look = |pid, ppid, pts| EventKind::Look(Look { key: key(pid), found: Some(Looked { state: b'S', ppid, pts }) });
    events.extend([
        (SOON, EventKind::Tick),
        (8_000, look(710, 40, Some(3))),
        (SOON, look(600, 1, None)),
        (SOON, EventKind::Masks(task(600), Some(blocked))),
        (SOON, EventKind::Tick),
        (70_000, EventKind::Tick),
        (SOON, rooms((20, 90), 12, 3)),
        (SOON, EventKind::Exit(Box::new(exit(710, 40, 1)))),
        (SOON, EventKind::Exit(Box::new(exit(600, 1, 15)))),
        (SOON, EventKind::Exit(Box::new(Exit { adopter: Adopter::NamespaceInit(task(1)), ..exit(500, 1, 0) }))),
    ]);
    events.extend([70].into_iter().chain(900..912).map(|pid| (SOON, EventKind::Free(task(pid)))));
    events
}

/// Ptys and pids of the machine, of 4,096 and 32,768, and those of the container, of 100.
fn rooms((ptys, pids): (u64, u64), of_container: u64, failed: u64) -> EventKind {
    EventKind::Rooms(Box::new(Rooms {
        ptys: Some(Room { used: ptys, most: 4_096 }),
        pty_holders: vec![Holder { process: key(40), held: ptys - 10 }],
        pids: Some(Room { used: pids, most: 32_768 }),
        groups: vec![GroupRoom {
            process: key(50),
            room: Room { used: of_container, most: 100 },
            failed,
            members: vec![key(50), key(60)],
            ..GroupRoom::default()
        }],
        ..Rooms::default()
    }))
}

/// Lives through events, one every 10 ms from 100 s after boot on, then lets 10 s pass.
pub fn live(events: &[EventKind], sinks: &mut [&mut dyn Sink]) -> World {
    live_at(&events.iter().map(|kind| (10, kind.clone())).collect::<Vec<_>>(), sinks);
    world_of(events)
}

/// The same, with the milliseconds before each; the first is at 100 s.
pub fn live_at(events: &[(u64, EventKind)], sinks: &mut [&mut dyn Sink]) {
    let mut detector = Detector::new(&Thresholds::default());
    let mut summary = Summary::default();
    let begin = after_boot(100_000);
    let mut at = begin;
    let mut feed = |at, kind: EventKind| {
        let cpu = if kind.kind().is_some() { 3 } else { 0 };
        let event = Event { at, cpu, kind };
        let (step, world) = detector.step(&event, &[]);
        summary.count(&step, BootNs::ZERO);
        for sink in &mut *sinks {
            sink.step(world, &step).unwrap();
        }
        world.now()
    };
    for (i, (ms, kind)) in events.iter().enumerate() {
        at += Span::ms(if i == 0 { 0 } else { *ms });
        feed(at, kind.clone());
    }
    let end = feed(at + Span::ms(10_010), EventKind::Tick);
    summary = Summary {
        duration_ns: end - begin,
        ended_at: end,
        signals_seen: 4_120,
        walks_cut: 1,
        cpu_ns: Span::ms(21),
        processes: detector.world().process_count() as u64,
        namespaces: detector.world().namespace_count() as u64,
        ..summary
    };
    for sink in sinks {
        sink.finish(detector.world(), &summary).unwrap();
    }
}

/// The world after events.
pub fn world_of(events: &[EventKind]) -> World {
    let mut world = World::default();
    for (n, kind) in (0..).zip(events) {
        let event = Event { at: after_boot(100_000 + n * 10), cpu: 0, kind: kind.clone() };
        world.apply(&event, Seq(n), &mut Vec::new());
    }
    world
}
