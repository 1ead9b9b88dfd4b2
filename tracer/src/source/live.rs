//! The live source: events from the kernel of this machine.
//!
//! It does not wait: the pump decides when to look. Every method hands over what has come up since the last call.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::Arc,
    time::Instant,
};

use aya::maps::{MapData, MapError, PerCpuArray, RingBuf};
use aya_log::EbpfLogger;
use log::Log;
use tracer_common::{Stats, SurveyRecord};

use crate::{
    event::{Event, EventKind, Loss, Survey},
    host::{Rooms, StartInfo},
    ident::ProcKey,
    rules::Wanted,
    source::{
        decode::{decode, decode_surveyed},
        doorbell::Doorbell,
        fill::Fill,
        hooks,
        inflow::{Inflow, time_of},
        kernel_log::KernelLog,
        limits,
        listing::Listing,
        load::{HOOKS, ITERATOR, LoadError, LoadOptions, Loaded, SURVEY, kernel_release, load},
        procfs,
        witness::Witness,
    },
    thresholds::Thresholds,
    time::{BootNs, Span},
};

/// Programs that are attached, and the buffers that they fill.
pub struct Live {
    loaded: Loaded,
    inflow: Inflow<RingBuf<MapData>>,
    /// Made when it is first waited for.
    doorbell: Option<Doorbell>,
    fill: Arc<Fill>,
    /// The log of the programs, if it was asked for.
    log: Option<EbpfLogger<ProbeLog>>,
    stats: PerCpuArray<MapData, Stats>,
    /// Who looks at what only root may see.
    witness: Witness,
    /// The kernel's log, from now on.
    kernel_log: KernelLog,
    /// Names of all hooks in use.
    hooks: Vec<String>,
    /// The totals as of the last `Lost` event.
    counted: Stats,
    counted_missed: u64,
    /// Records lost in user space since.
    here: Loss,
    simulate: Option<SimulatedLoss>,
    /// Boot time from which on all programs were attached.
    began: BootNs,
}

/// What was taken.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// Records.
    pub count: usize,
    /// There was nothing more.
    pub is_all: bool,
}

/// How many records between two looks at the clock.
const TIME_TAKES: usize = 32;
/// How long records from before the start are dropped in one go; the rest follows later.
const LONGEST_DISCARD: Span = Span::ms(100);

/// Drops a share of the records, for tests.
struct SimulatedLoss {
    share: f64,
    random: fastrand::Rng,
}

impl Live {
    /// Attaches all programs. From here on nothing is missed; [`Live::snapshot`] lists what existed before.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn attach(options: &LoadOptions) -> Result<Self, LoadError> {
        let mut loaded = load(options)?;
        loaded.load_ahead(&HOOKS);
        for hook in HOOKS {
            loaded.attach(hook, hook)?;
        }
        let optional = hooks::attach(&mut loaded, options.hooks)?;
        loaded.degraded.extend(optional.degraded);
        let mut live = Self::open(loaded)?;
        live.hooks = HOOKS.iter().map(|&hook| hook.to_owned()).chain(optional.names).collect();
        if options.simulate_loss > 0.0 {
            // A fixed seed, so that a failure can be reproduced.
            let random = fastrand::Rng::with_seed(1);
            live.simulate = Some(SimulatedLoss { share: options.simulate_loss, random });
        }
        if options.debug {
            live.log = Some(EbpfLogger::init_with_logger(&mut live.loaded.ebpf, ProbeLog).map_err(|error| {
                LoadError::Other { what: "the log of the programs".to_owned(), source: Box::new(error) }
            })?);
        }
        live.kernel_log = KernelLog::open();
        live.begin().map_err(map_error)?;
        Ok(live)
    }

    /// The same, while another one looks at what only root may see.
    #[must_use]
    pub fn with_witness(self, witness: Witness) -> Self {
        Self { witness, ..self }
    }

    /// Who looks at what only root may see.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The kernel's log, from when the programs were attached: for whoever follows the stream.
    pub fn take_kernel_log(&mut self) -> KernelLog {
        std::mem::take(&mut self.kernel_log)
    }

    /// From here on every program is attached. Earlier records are dropped: the first snapshot shows what they
    /// describe, and some of them are missing, such as the exit of a process whose fork was recorded.
    fn begin(&mut self) -> Result<(), MapError> {
        self.began = now();
        self.inflow.look();
        while self.inflow.take().is_some() && now() - self.began < LONGEST_DISCARD {}
        self.counted = self.stats()?;
        Ok(())
    }

    /// Loads only the iterator: for a snapshot, with nothing attached.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn snapshot_only() -> Result<Self, LoadError> {
        let options = LoadOptions { ring_size: 4096, ..LoadOptions::default() };
        Self::open(load(&options)?)
    }

    fn open(mut loaded: Loaded) -> Result<Self, LoadError> {
        loaded.load_iterators()?;
        let queue = RingBuf::try_from(map(&mut loaded, "EVENTS")?).map_err(map_error)?;
        let inflow = Inflow::new(queue, loaded.rings.take(), now);
        let stats = PerCpuArray::try_from(map(&mut loaded, "STATS")?).map_err(map_error)?;
        Ok(Self {
            fill: Arc::new(Fill::new(loaded.share.shared)),
            loaded,
            inflow,
            doorbell: None,
            log: None,
            stats,
            witness: Witness::here(),
            kernel_log: KernelLog::default(),
            hooks: Vec::new(),
            counted: Stats::default(),
            counted_missed: 0,
            here: Loss::default(),
            simulate: None,
            began: BootNs::ZERO,
        })
    }

    /// How full the ring buffer was that all processors share, into which their own rings overflow.
    pub fn fill(&self) -> Arc<Fill> {
        self.fill.clone()
    }

    /// The first event of the stream.
    pub fn start_event(&self, options: &LoadOptions, thresholds: &Thresholds) -> Event {
        let LoadOptions { ring_size, all_signals, all_deliveries, .. } = *options;
        let now = now();
        let info = StartInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel_release(),
            boot_id: procfs::line("/proc/sys/kernel/random/boot_id"),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            wall_offset_ns: wall_offset(),
            hooks: self.hooks.clone(),
            degraded: self.loaded.degraded.clone(),
            ring_size,
            all_signals,
            fatal_signals: true,
            forwarded_signals: true,
            all_deliveries,
            arguments: own_arguments(),
            has_command: options.has_command,
            thresholds: *thresholds,
        };
        Event { at: now, cpu: 0, kind: EventKind::Start(Box::new(info)) }
    }

    /// Hands over what is there, by time, each record as its event and as its bytes, until there is no more or the time is
    /// up. Returns how many there were, and whether that was all.
    ///
    /// # Errors
    /// Only what `take` returns.
    pub fn drain<E>(
        &mut self,
        until: Instant,
        mut take: impl FnMut(Event, &[u8]) -> Result<(), E>,
    ) -> Result<Drained, E> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        self.inflow.look();
        let mut count = 0;
        let is_all = loop {
            if count % TIME_TAKES == TIME_TAKES - 1 && Instant::now() >= until {
                break false;
            }
            let Some(bytes) = self.inflow.take() else { break true };
            count += 1;
            if time_of(bytes) < self.began {
                continue;
            }
            if let Some(SimulatedLoss { share, random }) = &mut self.simulate
                && random.f64() < *share
            {
                self.here.lose(bytes);
                continue;
            }
            match decode(bytes) {
                Ok(event) => take(event, bytes)?,
                Err(_) => self.here.undecodable += 1,
            }
        };
        self.fill.emptied(self.inflow.freed());
        Ok(Drained { count, is_all })
    }

    /// Waits for a record; not at all if there is one. Needs the event loop.
    ///
    /// # Errors
    /// If the kernel gives no descriptor to wait with.
    pub async fn record(&mut self) -> io::Result<()> {
        let Self { inflow, doorbell, .. } = self;
        let bell = match doorbell {
            Some(bell) => bell,
            none => none.insert(Doorbell::new(inflow.queue().as_fd())?),
        };
        bell.rings(inflow.queue().as_fd(), || inflow.has_in_rings()).await
    }

    /// What has been lost since the last call, if anything.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn lost(&mut self) -> Result<Option<Event>, MapError> {
        let totals = self.stats()?;
        let mut loss = std::mem::take(&mut self.here);
        for ((now, before), lost) in totals.lost.iter().zip(&self.counted.lost).zip(&mut loss.ring) {
            *lost += now - before;
        }
        self.counted = totals;
        Ok((loss.total() > 0).then(|| Event { at: now(), cpu: 0, kind: EventKind::Lost(loss) }))
    }

    /// The counters of all processors, added up.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn stats(&self) -> Result<Stats, MapError> {
        let mut sum = Stats::default();
        for one in self.stats.get(&0, 0)?.iter() {
            let Stats { lost, signals, deliveries, walks_cut } = one;
            for (sum, one) in sum.lost.iter_mut().zip(lost) {
                *sum += one;
            }
            sum.signals += signals;
            sum.deliveries += deliveries;
            sum.walks_cut += walks_cut;
        }
        Ok(sum)
    }

    /// Lists every process: `SnapshotBegin`, a `Row` each with its command line, `SnapshotEnd`.
    ///
    /// # Errors
    /// If the kernel's iterator fails.
    pub fn snapshot(&mut self) -> io::Result<Vec<Event>> {
        let (mut listing, begin) = self.list()?;
        let mut events = vec![begin];
        while listing.read_on(&mut events)? {}
        let with_args = listing.close(&mut events);
        events.extend(self.command_lines(&with_args)?);
        self.here.undecodable += listing.undecodable;
        events.push(Event { at: now(), cpu: 0, kind: EventKind::SnapshotEnd });
        Ok(events)
    }

    /// Begins to list every process, in parts; `SnapshotBegin` comes first.
    ///
    /// # Errors
    /// If the kernel's iterator fails.
    pub fn list(&mut self) -> io::Result<(Listing, Event)> {
        // Before the iterator starts: an older process that it does not meet is gone.
        let begin = Event { at: now(), cpu: 0, kind: EventKind::SnapshotBegin };
        Ok((Listing::new(self.loaded.start(ITERATOR)?), begin))
    }

    /// The command lines of processes, as they are now, and how far they can be believed.
    ///
    /// # Errors
    /// If the helper that looks as root is gone.
    pub fn command_lines(&self, keys: &[ProcKey]) -> io::Result<Vec<Event>> {
        self.witness.command_lines(keys)
    }

    /// Whether the processes could be listed now.
    ///
    /// # Errors
    /// Why not.
    pub fn try_iterator(&mut self) -> io::Result<()> {
        self.loaded.start(ITERATOR).map(drop)
    }

    /// Counts what could not be read of a list.
    pub fn listed(&mut self, listing: &Listing) {
        self.here.undecodable += listing.undecodable;
    }

    /// Surveys what no tracepoint shows, and how often the kernel skipped our programs, which the next [`Live::lost`]
    /// reports.
    ///
    /// # Errors
    /// If the kernel's iterator fails.
    pub fn survey(&mut self) -> io::Result<Event> {
        let began = now();
        let mut found = Vec::new();
        for row in self.loaded.iterate(SURVEY)?.chunks(size_of::<SurveyRecord>()) {
            match decode_surveyed(row) {
                Ok(surveyed) => found.push(surveyed),
                Err(_) => self.here.undecodable += 1,
            }
        }
        let missed = self.loaded.missed();
        self.here.missed += missed.saturating_sub(self.counted_missed);
        self.counted_missed = missed;
        Ok(Event { at: now(), cpu: 0, kind: EventKind::Survey(Box::new(Survey { began, found })) })
    }

    /// Looks at a process, for a rule that is about to report it.
    ///
    /// # Errors
    /// If the helper that looks as root is gone.
    pub fn look(&self, wanted: Wanted) -> io::Result<Vec<Event>> {
        // Taken before the look: what happens from here on may contradict it.
        let at = now();
        let kind = match wanted {
            Wanted::Look(key) => EventKind::Look(procfs::look(key)),
            Wanted::Room(key) => {
                let of = limits::pids_of(key.tgid).map(|room| (key, room));
                EventKind::Rooms(Box::new(Rooms { of, ..Rooms::default() }))
            }
            Wanted::Masks(task) => EventKind::Masks(task, procfs::masks(task)),
            Wanted::Held(_) | Wanted::Pipe(..) => return self.witness.look(wanted),
        };
        Ok(vec![Event { at, cpu: 0, kind }])
    }
}

/// The arguments of this program, as many as a reader of the trace accepts: a command can have megabytes.
fn own_arguments() -> Vec<String> {
    /// Bytes of all.
    const MOST: usize = 64 << 10;
    let mut left = MOST;
    // They need not be UTF-8; they are only shown to a person.
    let all = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    all.map_while(|argument| {
        left = left.checked_sub(argument.len() + 1)?;
        Some(argument)
    })
    .collect()
}

/// Writes the log of the programs to standard error.
struct ProbeLog;

impl Log for ProbeLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // If standard error is gone, there is nobody to report that to.
        let _ = writeln!(io::stderr(), "probe: {}", record.args());
    }

    fn flush(&self) {}
}

fn map(loaded: &mut Loaded, name: &str) -> Result<aya::maps::Map, LoadError> {
    loaded.ebpf.take_map(name).ok_or_else(|| LoadError::Other {
        what: format!("the map {name}"),
        source: "the object that was built in does not have it".into(),
    })
}

fn map_error(error: MapError) -> LoadError {
    LoadError::Other { what: "a map".to_owned(), source: Box::new(error) }
}

/// The boot-time clock: the clock of every event.
pub fn now() -> BootNs {
    BootNs(nanoseconds(rustix::time::ClockId::Boottime) as u64)
}

/// Processor time that this process has used.
pub fn cpu_time() -> Span {
    Span(nanoseconds(rustix::time::ClockId::ProcessCPUTime) as u64)
}

/// Nanoseconds to add to the boot-time clock to get the time since 1970.
fn wall_offset() -> i64 {
    nanoseconds(rustix::time::ClockId::Realtime) - nanoseconds(rustix::time::ClockId::Boottime)
}

fn nanoseconds(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
