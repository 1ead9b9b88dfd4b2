//! The one loop: takes events from the live source to the detector, and each step to the sinks.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tracer_common::Stats;

use crate::{
    console::{outlet::Drain, stderr, style},
    detector::Detector,
    event::{End, Event, EventKind, ExitStatus},
    event_loop::{Leave, sleep},
    host::Rooms,
    ident::{Args, ProcKey},
    rules::Wanted,
    sink::{Counted, Sink},
    source::{
        containers::Containers,
        encode::encode,
        kernel_log::KernelLog,
        limits::LimitsWatch,
        listing::Listing,
        live::{self, Drained, Live},
        load::LoadOptions,
        witness::Witness,
    },
    step::Step,
    thresholds::Thresholds,
    time::{BootNs, Span},
    world::World,
};

mod pace;

pub use pace::BUSY;
use pace::Pace;

/// How often time passes for the rules.
const HOUSEKEEPING: Span = Span::ms(50);
/// How often the state that no tracepoint shows is surveyed.
const SURVEY: Span = Span::SECOND;
/// How often it is surveyed while nothing happens.
const QUIET_SURVEY: Span = Span::seconds(5);
/// How many doubtful processes are looked at in one turn; the others follow in the next.
const DOUBTS: usize = 512;
/// How long the world may go without a snapshot while events are being lost. A second after the end of a storm it
/// agrees with the kernel again, even if others go on losing.
const LONGEST_BEHIND: Span = Span::ms(500);
/// And that many times as long as the last snapshot took: with very many processes, snapshots must not take all the
/// time, or more is lost because of them.
const LONGEST_IN_SNAPSHOTS: u64 = 4;
/// How long the end of the stream waits for a last look at the limits.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// How long records are taken, or processes listed, before something else gets its turn: signals must be noticed.
const SLICE: Duration = Duration::from_millis(20);
/// How long the first tree waits for command lines. With so many processes that reading them all takes longer, the rest
/// comes later.
const PATIENCE: Duration = Duration::from_millis(100);
/// For how many processes command lines and containers are looked up at once.
const AT_ONCE: usize = 128;

const CANNOT_LIST: &str = "cannot list the processes with the kernel's task iterator";

/// A live source, the detector that it feeds, and what is between them.
pub struct Pump {
    live: Live,
    detector: Detector,
    containers: Containers,
    limits: LimitsWatch,
    kernel_log: KernelLog,
    /// Boot time at which the stream began.
    began: BootNs,
    /// Processor time that had been used by then.
    cpu_before: Span,
    /// Buffer for the record of an event that user space makes.
    record: Vec<u8>,
    /// Boot time of the last housekeeping.
    kept: BootNs,
    /// Boot time of the last survey, and whether anything has happened since.
    surveyed: BootNs,
    has_happened: bool,
    /// Boot time of the first loss since the last snapshot.
    behind_since: Option<BootNs>,
    /// The snapshot that is being taken.
    snapshot: Option<Snapshot>,
    /// How long the last snapshot took.
    snapshot_took: Span,
    /// The last turn did not take everything.
    is_behind: bool,
    /// How long to wait for the next turn.
    pace: Pace,
    /// A command that was started, but whose birth has not been seen yet.
    awaited: Option<Awaited>,
    /// The pid of the process whose tree is asked for, until it is known which one that is.
    tree: Option<u32>,
}

/// A snapshot in progress. It is taken in parts, because there may be many processes.
struct Snapshot {
    began: Instant,
    /// While rows are still to come.
    listing: Option<Listing>,
    /// Processes whose command lines and containers are still to be looked up, youngest first. The oldest are taken
    /// first, so that a process that floods the list only delays itself.
    unread: Vec<ProcKey>,
    /// All rows were taken, and `SnapshotEnd` was reported.
    is_told: bool,
    /// How long it has taken so far.
    took: Duration,
}

/// See [`Pump::await_command`].
struct Awaited {
    pid: u32,
    args: Args,
}

impl Awaited {
    /// The process, if this is its birth. The pid cannot be another's: its owner has not been reaped, and an older
    /// owner of that pid was no child of ours.
    fn born_in(&self, event: &Event) -> Option<ProcKey> {
        let EventKind::Fork(fork) = &event.kind else { return None };
        let is_ours = fork.creator.is_some_and(|creator| creator.key.tgid == std::process::id());
        (is_ours && fork.task.key.tgid == self.pid).then_some(fork.task.key)
    }
}

impl Pump {
    /// Begins the stream, with the processes that exist.
    ///
    /// # Errors
    /// If the processes cannot be listed, and what `show` returns.
    pub fn start(
        live: Live,
        options: &LoadOptions,
        thresholds: &Thresholds,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<Self> {
        let mut pump = Self::begin(live, options, thresholds, show)?;
        while pump.is_listing() {
            pump.turn(show)?;
        }
        Ok(pump)
    }

    /// Begins the stream. The existing processes follow with the next turns.
    ///
    /// # Errors
    /// If the processes cannot be listed, and what `show` returns.
    pub fn begin(
        mut live: Live,
        options: &LoadOptions,
        thresholds: &Thresholds,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<Self> {
        let now = live::now();
        let mut pump = Self {
            detector: Detector::new(thresholds),
            containers: Containers::new(live.witness()),
            limits: LimitsWatch::new(thresholds.pressure_at, live.witness()),
            kernel_log: live.take_kernel_log(),
            live,
            began: now,
            cpu_before: live::cpu_time(),
            record: Vec::new(),
            kept: BootNs::ZERO,
            // The first snapshot shows all that a survey would.
            surveyed: now,
            has_happened: false,
            behind_since: None,
            snapshot: None,
            snapshot_took: Span::ZERO,
            is_behind: true,
            pace: Pace::default(),
            awaited: None,
            tree: options.tree,
        };
        pump.step(&pump.live.start_event(options, thresholds), show)?;
        // The programs are attached: what happens while the snapshot is taken is in the ring buffer.
        pump.begin_snapshot(show)?;
        Ok(pump)
    }

    /// From now on findings have these thresholds.
    ///
    /// # Errors
    /// What `show` returns.
    pub fn judge_by(
        &mut self,
        thresholds: &Thresholds,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> io::Result<()> {
        self.limits = LimitsWatch::new(thresholds.pressure_at, self.live.witness());
        self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::Thresholds(Box::new(*thresholds)) }, show)
    }

    /// Whether rows of existing processes are still to come.
    pub fn is_listing(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_told)
    }

    /// Whether the last turn left something to take or to list.
    pub fn is_behind(&self) -> bool {
        self.is_behind || self.snapshot.is_some()
    }

    /// Who looks at what only root may see.
    pub fn witness(&self) -> &Witness {
        self.live.witness()
    }

    /// The current state.
    pub fn world(&self) -> &World {
        self.detector.world()
    }

    /// Takes what has come up since the last turn, for a limited time ([`Pump::is_behind`] says whether anything is
    /// left), and lets time pass. Returns the number of records.
    ///
    /// # Errors
    /// If the kernel side cannot be read, and what `show` returns.
    pub fn turn(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<usize> {
        let began = live::now();
        let Self { live, detector, containers, kernel_log, awaited, record: room, .. } = self;
        let Drained { count, is_all } = live.drain(Instant::now() + SLICE, |event, record| {
            // Before the records: a process that executes a container's program then does so inside the container.
            for kind in containers.see(&event, detector.world()) {
                tell(detector, room, &Event { at: event.at, cpu: 0, kind }, show)?;
            }
            kernel_log.see(&event);
            let (step, world) = detector.step(&event, record);
            show(world, &step)?;
            for kind in containers.then() {
                tell(detector, room, &Event { at: event.at, cpu: 0, kind }, show)?;
            }
            let Some(key) = awaited.as_ref().and_then(|awaited| awaited.born_in(&event)) else { return Ok(()) };
            let args = awaited.take().map_or_else(Args::default, |awaited| awaited.args);
            tell(detector, room, &Event { at: event.at, cpu: 0, kind: EventKind::CommandStarted(key, args) }, show)
        })?;
        self.is_behind = !is_all;
        self.pace.after(count);
        self.has_happened |= count > 0;
        // Everything up to then is known now.
        let come_to = if is_all { began } else { self.detector.world().now() };
        for kind in self.containers.answers().into_iter().chain(self.kernel_log.news(live::now())) {
            self.step(&Event { at: live::now(), cpu: 0, kind }, show)?;
        }
        let rooms = self.limits.news(self.detector.world());
        self.measured(rooms, show)?;
        // At once, so that a loss stands in the stream where it happened: after the records that still found room,
        // before those that found room again.
        let lost = self.live.lost().context("cannot read the kernel side's counters")?;
        let now = live::now();
        if let Some(lost) = &lost {
            self.step(lost, show)?;
            self.behind_since.get_or_insert(now);
        }
        if now - self.kept >= HOUSEKEEPING || self.detector.is_more_due(come_to.min(self.kept)) {
            self.kept = now;
            self.catch_up(now, lost.is_some(), show)?;
            if now - self.surveyed >= self.survey_interval() {
                self.survey(show)?;
            }
            self.let_time_pass(come_to, show)?;
        }
        self.go_on_with_snapshot(show)?;
        Ok(count)
    }

    fn survey_interval(&self) -> Span {
        if self.has_happened { SURVEY } else { QUIET_SURVEY }
    }

    /// Recovers after a loss.
    fn catch_up(
        &mut self,
        now: BootNs,
        is_losing: bool,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<()> {
        let Some(since) = self.behind_since else { return Ok(()) };
        let is_idle = self.snapshot.is_none();
        if is_idle && is_snapshot_due(now - since, is_losing, self.snapshot_took) {
            self.begin_snapshot(show)?;
            self.behind_since = is_losing.then_some(now);
        }
        Ok(())
    }

    /// Asks the rules that wanted to be asked again, after a look at the processes concerned. Time passes no further
    /// than the stream has come: what a rule asks about may be in records still to be read.
    fn let_time_pass(
        &mut self,
        come_to: BootNs,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<()> {
        for wanted in self.detector.due(come_to, DOUBTS) {
            for event in self.live.look(wanted)? {
                self.step(&event, show)?;
            }
        }
        self.step(&Event { at: come_to, cpu: 0, kind: EventKind::Tick }, show)?;
        Ok(())
    }

    /// Looks at a process in `/proc` now, whether or not the world is in doubt about it.
    ///
    /// # Errors
    /// What `show` returns.
    pub fn look_at(
        &mut self,
        key: ProcKey,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> io::Result<()> {
        self.live.look(Wanted::Look(key))?.iter().try_for_each(|event| self.step(event, show))
    }

    /// Surveys what no tracepoint shows: who is traced, who is a subreaper, and how much is left of pids and ptys.
    ///
    /// # Errors
    /// If the kernel's iterator fails, and what `show` returns.
    pub fn survey(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<()> {
        self.surveyed = live::now();
        self.has_happened = false;
        self.live.witness().check()?;
        let event = self.live.survey().context("cannot survey the processes with the kernel's task iterator")?;
        self.step(&event, show)?;
        self.limits.ask();
        Ok(())
    }

    /// Begins a snapshot.
    fn begin_snapshot(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<()> {
        let began = Instant::now();
        let (listing, begin) = self.live.list().context(CANNOT_LIST)?;
        self.step(&begin, show)?;
        let (listing, unread) = (Some(listing), Vec::new());
        self.snapshot = Some(Snapshot { began, listing, unread, is_told: false, took: began.elapsed() });
        Ok(())
    }

    /// Continues the snapshot in progress, if there is one, for a limited time.
    fn go_on_with_snapshot(
        &mut self,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<()> {
        let Some(mut snapshot) = self.snapshot.take() else { return Ok(()) };
        let began = Instant::now();
        while began.elapsed() < SLICE {
            if let Some(listing) = &mut snapshot.listing {
                let mut events = Vec::new();
                if !listing.read_on(&mut events).context(CANNOT_LIST)? {
                    snapshot.unread = listing.close(&mut events);
                    snapshot.unread.reverse();
                    self.live.listed(listing);
                    snapshot.listing = None;
                }
                for event in &events {
                    self.step(event, show)?;
                }
                continue;
            }
            if snapshot.unread.is_empty() {
                break;
            }
            let next = snapshot.unread.split_off(snapshot.unread.len().saturating_sub(AT_ONCE));
            let there = next.into_iter().rev().filter(|&key| self.detector.world().get(key).is_some());
            let there: Vec<_> = there.collect();
            for event in self.live.command_lines(&there)? {
                self.step(&event, show)?;
            }
            for kind in self.containers.survey(&there, self.detector.world()) {
                self.step(&Event { at: live::now(), cpu: 0, kind }, show)?;
            }
        }
        snapshot.took += began.elapsed();
        let is_through = snapshot.listing.is_none() && snapshot.unread.is_empty();
        if is_through {
            for kind in self.containers.surveyed(self.detector.world()) {
                self.step(&Event { at: live::now(), cpu: 0, kind }, show)?;
            }
        }
        let is_late = snapshot.listing.is_none() && snapshot.began.elapsed() >= PATIENCE;
        if !snapshot.is_told && (is_through || is_late) {
            snapshot.is_told = true;
            self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::SnapshotEnd }, show)?;
            let root = self.tree.take().and_then(|pid| self.world().by_pid(pid)).map(|process| process.key);
            if let Some(root) = root {
                self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::TreeRoot(root) }, show)?;
            }
        }
        if is_through {
            self.snapshot_took = snapshot.took.into();
            self.limits.ask();
        } else {
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// Takes a snapshot in one go, or completes the one in progress; slow command lines follow later.
    fn snapshot(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<()> {
        if self.snapshot.is_none() {
            self.begin_snapshot(show)?;
        }
        while self.is_listing() {
            self.go_on_with_snapshot(show)?;
        }
        Ok(())
    }

    fn measured(
        &mut self,
        rooms: Option<Rooms>,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> io::Result<()> {
        match rooms {
            Some(rooms) => self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::Rooms(Box::new(rooms)) }, show),
            None => Ok(()),
        }
    }

    fn step(
        &mut self,
        event: &Event,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> io::Result<()> {
        tell(&mut self.detector, &mut self.record, event, show)
    }

    /// A child of this process was started, and is what the stream is about from now on. That is reported right after
    /// its birth, before anything that it does. It must not be reaped before [`Pump::command_ended`].
    pub fn await_command(&mut self, pid: u32, args: Args) {
        self.awaited = Some(Awaited { pid, args });
    }

    /// That child has ended: takes what it did, and finds out who it was if its birth was lost. It may be reaped after
    /// that.
    ///
    /// # Errors
    /// If the kernel side cannot be read, and what `show` returns.
    pub fn command_ending(
        &mut self,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<()> {
        self.take_all(show)?;
        let Some(Awaited { pid, args }) = self.awaited.take() else { return Ok(()) };
        self.snapshot(show)?;
        if let Some(key) = self.world().by_pid(pid).map(|process| process.key) {
            self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::CommandStarted(key, args) }, show)?;
        }
        Ok(())
    }

    /// Takes everything that has happened until now.
    fn take_all(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<()> {
        let now = live::now();
        self.turn(show)?;
        while self.is_behind && self.detector.world().now() < now {
            self.turn(show)?;
        }
        Ok(())
    }

    /// Reports how the command ended.
    ///
    /// # Errors
    /// What `show` returns.
    pub fn command_ended(
        &mut self,
        status: ExitStatus,
        show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<()> {
        if let Some(key) = self.world().command().map(|command| command.identity.key) {
            self.step(&Event { at: live::now(), cpu: 0, kind: EventKind::CommandEnded(key, status) }, show)?;
        }
        Ok(())
    }

    /// Ends the stream: takes what is left, and reports what the run cost.
    ///
    /// # Errors
    /// If the kernel side cannot be read, and what `show` returns.
    pub fn end(&mut self, show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized)) -> Result<()> {
        if self.is_listing() {
            self.snapshot(show)?;
        }
        self.take_all(show)?;
        // Including housekeeping: what happened before the end belongs to the run.
        self.kept = BootNs::ZERO;
        self.turn(show)?;
        let rooms = self.limits.last(self.detector.world(), LAST_LOOK);
        self.measured(rooms, show)?;
        let end = self.end_event()?;
        self.step(&end, show)?;
        Ok(())
    }

    /// The last event of the stream, as it would be now.
    ///
    /// # Errors
    /// If the kernel side cannot be read.
    pub fn end_event(&self) -> Result<Event> {
        let Stats { signals, walks_cut, .. } = self.live.stats().context("cannot read the kernel side's counters")?;
        let cpu_ns = live::cpu_time() - self.cpu_before;
        let end = End { began: self.began, cpu_ns, signals, walks_cut };
        Ok(Event { at: live::now(), cpu: 0, kind: EventKind::End(end) })
    }
}

/// Takes in an event that user space made.
fn tell(
    detector: &mut Detector,
    room: &mut Vec<u8>,
    event: &Event,
    show: &mut (impl FnMut(&World, &Step<'_>) -> io::Result<()> + ?Sized),
) -> io::Result<()> {
    room.clear();
    encode(event, room);
    let (step, world) = detector.step(event, room);
    show(world, &step)
}

/// Whether to take a snapshot now, given how long ago the loss was.
fn is_snapshot_due(behind: Span, is_losing: bool, last_took: Span) -> bool {
    // Not during a loss, which would spoil the snapshot; but an endless loss must not let the world drift away either.
    !is_losing || behind >= LONGEST_BEHIND.max(last_took * LONGEST_IN_SNAPSHOTS)
}

/// Runs until SIGINT, SIGTERM or SIGHUP, the end of `duration`, or a closed output. The sink writes through `out`; the
/// loop never waits for it, but the end does, until a signal asks it not to.
///
/// # Errors
/// If the source fails, or the sink cannot write; a closed pipe is an [`io::Error`] of the kind
/// [`io::ErrorKind::BrokenPipe`].
pub async fn run(
    live: Live,
    options: &LoadOptions,
    thresholds: &Thresholds,
    duration: Option<Duration>,
    sink: &mut dyn Sink,
    out: &Drain,
) -> Result<()> {
    let mut leave = Leave::new()?;
    let mut sink = Counted::new(sink);
    let mut pump = Pump::begin(live, options, thresholds, &mut |world, step| sink.step(world, step))?;
    let end = sleep(duration);
    tokio::pin!(end);
    let is_asked = loop {
        pump.turn(&mut |world, step| sink.step(world, step))?;
        sink.flush()?;
        tokio::select! {
            biased;
            () = leave.asked() => break true,
            () = &mut end => break false,
            () = pump.rest() => {}
        }
    };
    pump.end(&mut |world, step| sink.step(world, step))?;
    out.last_words();
    sink.unwritten(out.unwritten());
    sink.finish(pump.world())?;
    let unwritten = out.end(leave.asked(), is_asked).await?;
    if unwritten > 0 {
        let lines = style::count(unwritten, "line");
        stderr::say(format_args!("{lines} of output were not written, as nobody read them in time"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Span = Span::MS;

    #[test]
    fn a_loss_that_has_ended_is_made_good_at_once() {
        assert!(is_snapshot_due(Span::ZERO, false, 900 * MS));
    }

    #[test]
    fn a_loss_without_an_end_is_made_good_in_time_for_a_second() {
        assert!(!is_snapshot_due(400 * MS, true, 10 * MS));
        assert!(is_snapshot_due(500 * MS, true, 10 * MS));
    }

    #[test]
    fn slow_snapshots_take_a_fifth_of_the_time_at_the_most() {
        assert!(!is_snapshot_due(1_100 * MS, true, 300 * MS));
        assert!(is_snapshot_due(1_200 * MS, true, 300 * MS));
    }
}
