//! A lake of many hosts and days. For `cargo xtask fleet`.
//!
//! `fleet make HOSTS DAYS LAKE RECORDING...` makes one, by the code that writes all lakes. Each host-day begins with what
//! was recorded in one of these files, told of that host, with the first process that is born in it put into a container. A
//! quiet day follows. It prints how long that took, and what the lake has, as a JSON object. `fleet forget LAKE` has the
//! kernel forget what it has read of the files.

use std::{
    env,
    fs::{self, File},
    iter,
    ops::ControlFlow,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::fs::{Advice, fadvise};
use tracer::{
    detector::Detector,
    event::{Event, EventKind, Exec, Fork, Notify, Reap, SignalSent, WaitCall},
    host::{Container, StartInfo},
    ident::{Args, Comm, ProcKey},
    lake::Lake,
    signal::Signal,
    sink::Counted,
    source::trace::Trace,
    time::{BootNs, Span},
    world::World,
};
use tracer_tests::made::{exit, leader, signal, task};

/// The first day: 2026-11-01, in seconds since 1970.
const FIRST_DAY: i64 = 1_793_491_200;
const SECONDS: i64 = 86_400;
const MINUTES: u64 = 1_440;
/// Containers of a host, of so many services that there are. Each has a new release from week to week.
const CONTAINERS: u32 = 8;
const SERVICES: u32 = 200;
/// What runs each minute outside of containers, as timers and agents do.
const CHORES: [&str; 8] = ["cron", "sh", "logrotate", "node_exporter", "systemctl", "sadc", "chronyc", "apt-check"];
/// The pids of containers' first processes, and those of all that comes and goes, are above those of the recordings.
const FIRST: u32 = 3_000_000;
const LATER: u32 = 3_100_000;

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["make", hosts, days, lake, ref files @ ..] => make(hosts.parse()?, days.parse()?, Path::new(lake), files),
        ["forget", lake] => {
            each_file(Path::new(lake), &mut |file| Ok(fadvise(File::open(file)?, 0, None, Advice::DontNeed)?))
        }
        _ => bail!("say what: make HOSTS DAYS LAKE RECORDING..., or forget LAKE"),
    }
}

fn make(hosts: u32, days: u32, lake: &Path, files: &[&str]) -> Result<()> {
    let recordings: Vec<_> = files.iter().map(|file| Recording::read(Path::new(file))).collect::<Result<_>>()?;
    ensure!(!recordings.is_empty(), "name a recording");
    let next = AtomicU32::new(1);
    let began = Instant::now();
    let write = |host: u32| {
        let recording = |day: u32| &recordings[(host + day) as usize % recordings.len()];
        (0..days).try_for_each(|day| HostDay::write(lake, recording(day), host, day))
    };
    let work = || iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|&host| host < hosts)).try_for_each(write);
    // The first makes the lake, which cannot be made by two at once.
    write(0)?;
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a thread has failed"))?)
    })?;
    let write_s = began.elapsed().as_secs_f64();
    let (mut count, mut bytes) = (0_u64, 0);
    each_file(lake, &mut |file| {
        (count, bytes) = (count + 1, bytes + file.metadata()?.len());
        Ok(())
    })?;
    println!("{}", serde_json::json!({ "write_s": write_s, "files": count, "bytes": bytes }));
    Ok(())
}

fn each_file(folder: &Path, take: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { each_file(&path, take) } else { take(&path) }?;
    }
    Ok(())
}

/// The events of a file.
struct Recording {
    start: StartInfo,
    events: Vec<Event>,
}

impl Recording {
    fn read(file: &Path) -> Result<Self> {
        let mut trace = Trace::open(file)?;
        let (start, mut events) = (trace.start().clone(), Vec::new());
        trace.play(|event, _| {
            // The day goes on after the recording.
            if !matches!(event.kind, EventKind::Start(_) | EventKind::End(_)) {
                events.push(event.clone());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self { start, events })
    }

    fn began(&self) -> BootNs {
        self.events.first().map(|event| event.at).unwrap_or_default()
    }
}

/// A day of a host that is being written.
struct HostDay<'a> {
    sink: Counted<'a, Lake>,
    detector: Detector,
    now: BootNs,
    host: u32,
    day: u32,
    /// How many processes have come and gone.
    born: u32,
}

impl HostDay<'_> {
    fn write(lake: &Path, recording: &Recording, host: u32, day: u32) -> Result<()> {
        let began = recording.began();
        let midnight = (FIRST_DAY + SECONDS * i64::from(day)) * 1_000_000_000;
        let start = StartInfo {
            host: format!("node-{host:05}"),
            boot_id: format!("{host:08x}-{day:04x}"),
            wall_offset_ns: midnight - i64::try_from(began.0).context("a boot time")?,
            ..recording.start.clone()
        };
        let mut lake = Lake::new(lake);
        let detector = Detector::new(&start.thresholds);
        let mut this = HostDay { sink: Counted::new(&mut lake), detector, now: began, host, day, born: 0 };
        this.put(EventKind::Start(Box::new(start)))?;
        let mut is_contained = false;
        for event in &recording.events {
            this.now = event.at;
            this.put(event.kind.clone())?;
            if let EventKind::Fork(fork) = &event.kind
                && !is_contained
            {
                this.contain(fork.task.key, CONTAINERS)?;
                is_contained = true;
            }
        }
        this.quiet_day(began)?;
        let HostDay { sink, detector, .. } = this;
        sink.finish(detector.world())?;
        Ok(())
    }

    fn put(&mut self, kind: EventKind) -> Result<()> {
        let Self { sink, detector, now, .. } = self;
        let event = Event { at: *now, cpu: 0, kind };
        let (step, world) = detector.step(&event, &[]);
        Ok(sink.step(world, &step)?)
    }

    /// What is left of the day: in each minute, the containers have their health checked, and the host does its chores.
    fn quiet_day(&mut self, began: BootNs) -> Result<()> {
        let init = init(self.detector.world()).context("the recording has no pid 1")?;
        let mut services = Vec::new();
        for number in 0..CONTAINERS {
            let key = ProcKey { start: self.now, tgid: FIRST + number };
            self.put(EventKind::Fork(Box::new(Fork {
                task: task(key, Some(init), "service"),
                creator: Some(leader(init)),
            })))?;
            self.contain(key, number)?;
            services.push(key);
        }
        for minute in 0..MINUTES {
            let at = began + Span(minute * 60_000_000_000);
            if at <= self.now {
                continue;
            }
            self.now = at;
            self.put(EventKind::Tick)?;
            for &service in &services {
                self.come_and_go(service, "healthcheck")?;
            }
            for chore in CHORES {
                self.come_and_go(init, chore)?;
            }
        }
        Ok(())
    }

    /// Puts a process into one of the host's containers.
    fn contain(&mut self, key: ProcKey, number: u32) -> Result<()> {
        let Self { host, day, .. } = *self;
        let service = (host * CONTAINERS + number) % SERVICES;
        let release = (day + service) / 7;
        let container = Container {
            id: format!("{host:032x}{number:016x}{day:016x}"),
            name: Some(format!("service-{service}")),
            image: Some(format!("registry.example/service-{service}:1.{release}")),
            pod: Some(format!("service-{service}-{host:x}")),
            pod_namespace: Some(format!("team-{}", service % 20)),
            ..Container::default()
        };
        self.put(EventKind::Contained(key, container.id.clone()))?;
        self.put(EventKind::Container(Box::new(container)))
    }

    /// A process is born, runs something, ends well, and is reaped.
    fn come_and_go(&mut self, parent: ProcKey, comm: &str) -> Result<()> {
        self.now += Span(1_000_000);
        let key = ProcKey { start: self.now, tgid: LATER + self.born };
        self.born += 1;
        let born = Fork { task: task(key, Some(parent), "sh"), creator: Some(leader(parent)) };
        self.put(EventKind::Fork(Box::new(born)))?;
        let (args, ignored) = (Args::default(), Some(0));
        let exec = Exec { task: leader(key), comm: Comm::from(comm), old_tid: key.tgid, args, mount_ns: 0, ignored };
        self.put(EventKind::Exec(Box::new(exec)))?;
        self.now += Span(10_000_000);
        self.put(EventKind::Exit(Box::new(exit(key, parent))))?;
        // CLD_EXITED.
        self.put(EventKind::Signal(SignalSent { code: 1, ..signal(key, parent, Signal::CHLD) }))?;
        let (child, parent) = (leader(key), leader(parent));
        self.put(EventKind::Notify(Notify { task: child, to: parent, traced: false, signal: Signal::CHLD.0.into() }))?;
        self.put(EventKind::Reap(Reap { task: child, reaper: parent, call: Some(WaitCall::Wait4) }))?;
        self.put(EventKind::Free(child))
    }
}

/// Pid 1.
fn init(world: &World) -> Option<ProcKey> {
    world.by_pid(1).map(|process| process.key)
}
