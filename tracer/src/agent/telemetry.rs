//! Findings and numbers as OpenTelemetry has them, for a courier ([`courier`](super::courier)) that sends them on: what it
//! has no room for is counted, and it is never waited for while there is something to trace.

use std::{
    io::{self, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, recv},
};

use super::parcel::{Account, Parcel};
use crate::{
    console::{stderr::say, style::count},
    filter::{Filter, Missing},
    metrics::{
        Metrics,
        delivery::{Deliveries, Outcome},
        own::Own,
    },
    sink::{
        Sink,
        select::{Item, Moment, Select},
    },
    step::Step,
    summary::Summary,
    time::{BootNs, Span},
    world::World,
};

mod points;
mod record;

/// How much may wait for the courier, which takes everything at once and drops what it has no room for by itself.
const ROOM: usize = 2048;
/// How long the end waits for the courier, which has as long to send the rest.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// See the module.
pub struct Telemetry {
    select: Select,
    metrics: Metrics,
    summary: Summary,
    from: BootNs,
    interval: Span,
    /// When numbers are sent next.
    next: BootNs,
    /// When the processes were known, and numbers began to count.
    began: Option<BootNs>,
    channel: Channel,
}

impl Telemetry {
    /// For what that filter shows, each finding of its own if that is wanted; numbers that often.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(courier: UnixStream, filter: Filter, each: bool, interval: Duration, own: Own) -> io::Result<Self> {
        let select = Select::new(filter, &[]);
        let channel = Channel::open(courier, own.deliveries.clone().unwrap_or_default())?;
        Ok(Self {
            select: if each { select } else { select.few() },
            metrics: Metrics::default().with_own(own),
            summary: Summary::default(),
            from: BootNs::ZERO,
            interval: Span(u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)),
            next: BootNs::ZERO,
            began: None,
            channel,
        })
    }

    /// See [`Select::refilter`].
    ///
    /// # Errors
    /// See there.
    pub fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        self.select.refilter(filter, world)
    }

    fn numbers(&mut self, world: &World) {
        let Self { metrics, summary, began, channel, .. } = self;
        channel.heard();
        let wall = |at: BootNs| record::wall(world, at);
        let times = (began.map_or(0, wall), wall(world.now()));
        let metrics = metrics.families(world, summary).into_iter();
        let mut parcels =
            metrics.map(|family| Parcel::Metric(points::metric(family, times))).chain([Parcel::AllMetrics]);
        if !parcels.all(|parcel| channel.put(&parcel)) {
            // There will be newer ones.
            channel.counts.add(Outcome::NumbersDropped, 1);
        }
    }
}

impl Sink for Telemetry {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        self.summary.count(step, self.from);
        self.metrics.step(world, step)?;
        let channel = &mut self.channel;
        self.select.step(world, step, |moment, item| channel.record(world, moment, &item))?;
        if self.began.is_none() && world.is_whole() {
            (self.began, self.next) = (Some(world.now()), world.now());
        }
        if self.began.is_some() && world.now() >= self.next {
            self.next = world.now() + self.interval;
            self.numbers(world);
        }
        Ok(())
    }

    fn show_from(&mut self, from: BootNs) {
        self.from = from;
        self.select.show_from(from);
        self.metrics.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, world: &World, _summary: &Summary) -> io::Result<()> {
        let channel = &mut self.channel;
        self.select.finish(world, |moment, item| channel.record(world, moment, &item))?;
        self.numbers(world);
        self.channel.end();
        Ok(())
    }
}

/// The way to the courier, and its counts on the way back.
struct Channel {
    /// `None` once the courier has ended: whoever runs as its user can bring that about.
    parcels: Option<SyncSender<Vec<u8>>>,
    courier: UnixStream,
    counts: Arc<Deliveries>,
}

impl Channel {
    fn open(courier: UnixStream, counts: Arc<Deliveries>) -> io::Result<Self> {
        let (parcels, waiting) = sync_channel(ROOM);
        let out = courier.try_clone()?;
        thread::Builder::new().name("to the courier".into()).spawn(move || carry(out, &waiting))?;
        Ok(Self { parcels: Some(parcels), courier, counts })
    }

    fn record(&mut self, world: &World, moment: Moment, item: &Item<'_>) -> io::Result<()> {
        let Some(record) = record::of(world, moment, item)? else { return Ok(()) };
        if !self.put(&Parcel::Record(record)) {
            self.counts.add(Outcome::RecordDropped, 1);
        }
        Ok(())
    }

    /// Hands something over, if there is room for it.
    fn put(&mut self, parcel: &Parcel) -> bool {
        let Some(parcels) = &self.parcels else { return false };
        let put = parcels.try_send(parcel.encode());
        if matches!(put, Err(TrySendError::Disconnected(_))) {
            say("the courier of findings and numbers has ended: nothing is sent until the agent is started again");
            self.parcels = None;
        }
        put.is_ok()
    }

    /// Adds what the courier has counted since.
    fn heard(&self) {
        while self.hear() {}
    }

    /// Whether it had something to say.
    fn hear(&self) -> bool {
        let mut room = [0; Account::LENGTH];
        let Ok((length, _)) = recv(&self.courier, &mut room[..], RecvFlags::DONTWAIT) else { return false };
        let Some(account) = Account::decode(&room[..length]) else { return false };
        account.counts().for_each(|(outcome, count)| self.counts.add(outcome, count));
        true
    }

    /// Waits until the courier has sent the rest, or gives it up.
    fn end(&mut self) {
        drop(self.parcels.take());
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
            let is_ready = poll(&mut [PollFd::new(&self.courier, PollFlags::IN)], left.as_ref());
            if !matches!(is_ready, Ok(1)) || !self.hear() {
                break;
            }
        }
        let dropped = self.counts.count(Outcome::RecordDropped);
        if dropped > 0 {
            say(format_args!("{} did not get to the OTLP receiver", count(dropped, "record")));
        }
    }
}

/// Writes parcels until there can be no more, or the courier has ended.
fn carry(mut courier: UnixStream, parcels: &Receiver<Vec<u8>>) {
    while let Ok(parcel) = parcels.recv() {
        if courier.write_all(&parcel).is_err() {
            return;
        }
    }
    // The courier sends what it still has, and ends.
    let _ = courier.shutdown(Shutdown::Write);
}
