//! What the kernel really did, by a second set of programs beside a tracer's own, whose buffer holds all of it: what
//! came to the tracer and what it says was lost must be as much.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use tracer::{
    event::EventKind,
    source::{hooks::Hooks, live::Live, load::LoadOptions},
};
use tracer_common::RecordKind;

use crate::{
    agent::{Agent, number_in},
    machine::patience,
};

/// Each kind by its words in `tracer_events_total` and in `tracer_events_dropped_total`. Those that tracepoints tell,
/// to each set of programs alike; see `fidelity::ledger`.
const KINDS: [(&str, &str, RecordKind); 4] = [
    ("fork", "new", RecordKind::New),
    ("exec", "exec", RecordKind::Exec),
    ("signal", "signal", RecordKind::Signal),
    ("deliver", "deliver", RecordKind::Deliver),
];

type Counts = [u64; KINDS.len()];

/// Enough for a few seconds of a storm: while that has all processors, this is not drained.
const ROOM: u32 = 64 << 20;
/// How long the counts may take to be the same: others live on this machine, and make records in between.
const WITHIN: Duration = Duration::from_secs(60);
/// Moments at which nothing happens that the first difference is taken from.
const MOMENTS: u32 = 5;

/// The programs, and what they have seen.
pub struct Tally {
    live: Live,
    told: [u64; RecordKind::IN_KERNEL],
    /// Programs that the kernel skipped, or records that found no room: then it proves nothing.
    lost: u64,
    /// How much more these had seen than the agent's, when they began.
    ahead: Counts,
}

impl Tally {
    /// Begins beside an agent that keeps every signal.
    ///
    /// # Panics
    /// If its programs cannot be attached.
    pub fn beside(agent: &Agent) -> Self {
        let options = LoadOptions {
            hooks: Hooks::Tracepoint,
            ring_size: ROOM,
            all_signals: true,
            all_deliveries: true,
            ..LoadOptions::default()
        };
        let live = Live::attach(&options).unwrap_or_else(|error| panic!("the tally: {error}"));
        let mut tally = Self { live, told: [0; RecordKind::IN_KERNEL], lost: 0, ahead: Counts::default() };
        // The agent is told of everything a moment later, so the least is right.
        let mut moments = 0;
        let until = Instant::now() + patience(WITHIN);
        let mut least: Option<[i64; KINDS.len()]> = None;
        while moments < MOMENTS {
            assert!(Instant::now() < until, "there is no moment at which nothing happens");
            let Some(ahead) = tally.ahead_of(agent) else { continue };
            moments += 1;
            let before = least.get_or_insert(ahead);
            before.iter_mut().zip(ahead).for_each(|(before, ahead)| *before = ahead.min(*before));
        }
        tally.ahead = least.expect("there was a moment").map(|ahead| ahead as u64);
        tally
    }

    /// Waits until all that has happened has come to the agent, or is said to be lost. False if the kernel has skipped
    /// programs, which can be of either.
    ///
    /// # Panics
    /// If that does not come to be.
    pub fn must_add_up(&mut self, agent: &Agent) -> bool {
        let until = Instant::now() + patience(WITHIN);
        let mut last = None;
        while Instant::now() < until {
            if self.lost > 0 || agent.number("tracer_events_dropped_total{place=\"recursion\",kind=\"\"}") > 0 {
                return false;
            }
            let Some(ahead) = self.ahead_of(agent) else { continue };
            if ahead.map(|ahead| ahead as u64) == self.ahead {
                return true;
            }
            last = Some(ahead);
        }
        let short: Vec<_> = last.into_iter().flatten().zip(self.ahead).map(|(now, then)| now - then as i64).collect();
        panic!("records that have neither come nor are said to be lost: {short:?} of {KINDS:?}\n{}", agent.numbers());
    }

    /// How much more these have seen than the agent's, if nothing happened while both were asked.
    fn ahead_of(&mut self, agent: &Agent) -> Option<[i64; KINDS.len()]> {
        let before = self.counts();
        let numbers = agent.numbers();
        if self.counts() != before {
            return None;
        }
        let mut ahead = before.map(|count| count as i64);
        for (ahead, (event, record, _)) in ahead.iter_mut().zip(KINDS) {
            let came = number_in(&numbers, &format!("tracer_events_total{{kind=\"{event}\"}}"));
            let lost = format!("tracer_events_dropped_total{{place=\"ring\",kind=\"{record}\"}}");
            *ahead -= (came + number_in(&numbers, &lost)) as i64;
        }
        Some(ahead)
    }

    fn counts(&mut self) -> Counts {
        let Self { live, told, lost, .. } = self;
        let until = Instant::now() + patience(WITHIN);
        let drained = live.drain::<Infallible>(until, |_, record| {
            // The kind stands after the time (`Header`).
            if let Some(told) = record.get(8).and_then(|&kind| told.get_mut(usize::from(kind))) {
                *told += 1;
            }
            Ok(())
        });
        let Ok(_) = drained;
        if let Some(event) = live.lost().expect("the counters can be read")
            && let EventKind::Lost(loss) = event.kind
        {
            *lost += loss.total();
        }
        KINDS.map(|(.., kind)| told[kind as usize])
    }
}
