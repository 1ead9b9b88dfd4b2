//! What of a stream had happened by a moment. Records stand in the order in which they are to be believed, not in that
//! of their times: what user space looks up has the time of the look, and stands before what the probes had written
//! into the ring buffer meanwhile.

use crate::{
    event::{Event, EventKind},
    time::{BootNs, Span},
};

/// How much later than its successor a record of the probes can be. They enter a buffer a moment after they took their
/// time, and are read by time as far as they are there; a processor of a virtual machine can be suspended in between.
const DISORDER: Span = Span::SECOND;

/// Judges the events of a stream, in their order.
#[derive(Debug)]
pub struct Until {
    /// Boot time.
    at: BootNs,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    New,
    /// The start state is being read in parts; events that happen meanwhile stand in between.
    Listing,
    /// The listing is complete; what else is known about it follows.
    Starting,
    Running,
}

/// The side of the moment on which an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It had happened by then.
    Before,
    /// It was read later, at the start of the stream, but describes what was there by then.
    Early,
    /// It happened later; a following one may not have.
    After,
    /// It happened later, as does everything that follows.
    Over,
}

impl Until {
    /// The moment is that boot time.
    pub fn new(at: BootNs) -> Self {
        Self { at, phase: Phase::New }
    }

    /// Which side the next event is on.
    pub fn judge(&mut self, event: &Event) -> Side {
        let is_before = event.at <= self.at;
        if is_before && self.phase == Phase::Running {
            return Side::Before;
        }
        self.phase = match (self.phase, is_of_start(&event.kind)) {
            // A stream that began later says nothing about the moment.
            (Phase::New, true) if !is_before => return Side::Over,
            (Phase::New | Phase::Listing, true) if event.kind == EventKind::SnapshotEnd => Phase::Starting,
            (Phase::New, true) | (Phase::Listing, _) => Phase::Listing,
            (Phase::Starting, true) => Phase::Starting,
            _ => Phase::Running,
        };
        match &event.kind {
            _ if is_before => Side::Before,
            EventKind::Row(row) if row.task.key.start > self.at => Side::After,
            kind if self.phase != Phase::Running && is_of_start(kind) => Side::Early,
            _ if self.phase != Phase::Running => Side::After,
            // A look can take any time, and the ring buffer can hold records for any time; only the order of the
            // probes' records says something.
            kind if is_of_probe(kind) && event.at > self.at + DISORDER => Side::Over,
            _ => Side::After,
        }
    }
}

/// The beginning of a stream: the start, and the first snapshot with all that is read for it, which takes a while with
/// many processes.
fn is_of_start(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Start(_)
            | EventKind::SnapshotBegin
            | EventKind::Row(_)
            | EventKind::CommandLine(..)
            | EventKind::SnapshotEnd
            | EventKind::Container(_)
            | EventKind::Contained(..)
            | EventKind::Rooms(_)
    )
}

/// Records that come through the ring buffer.
fn is_of_probe(kind: &EventKind) -> bool {
    kind.kind().is_some()
        || matches!(kind, EventKind::Adopt(_) | EventKind::Notify(_) | EventKind::Rename(..) | EventKind::Awaited(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Roles,
        ident::ProcKey,
        story::{after_boot, born, running, task},
    };

    fn s(seconds: u64) -> BootNs {
        after_boot(1_000 * seconds)
    }

    fn sides(at: BootNs, events: &[(BootNs, EventKind)]) -> Vec<Side> {
        let mut until = Until::new(at);
        events.iter().map(|(at, kind)| until.judge(&Event { at: *at, cpu: 0, kind: kind.clone() })).collect()
    }

    fn gone(pid: u32) -> EventKind {
        EventKind::Free(task(pid))
    }

    #[test]
    fn what_user_space_says_ahead_hides_nothing_that_happened_before() {
        let stream = [
            (s(9), EventKind::Tick),
            (s(12), EventKind::Tick),
            (s(9), gone(5)),
            (s(11), gone(6)),
            (s(10), gone(7)),
            (s(90), EventKind::Tick),
            (s(11).next(), gone(8)),
        ];
        let want = [Side::Before, Side::After, Side::Before, Side::After, Side::Before, Side::After, Side::Over];
        assert_eq!(sides(s(10), &stream), want);
    }

    #[test]
    fn what_is_read_at_the_start_tells_of_all_that_was_there() {
        let there = |start| {
            let key = ProcKey { start, tgid: 9 };
            let roles = Roles::default();
            EventKind::Row(Box::new(running(crate::event::TaskInfo { key, roles, ..born(9, 1) })))
        };
        let stream = [
            (s(9), EventKind::SnapshotBegin),
            (s(11), there(s(8))),
            (s(9), gone(3)),
            (s(12), gone(4)),
            (s(12), there(s(7))),
            (s(11), there(s(11))),
            (s(12), EventKind::SnapshotEnd),
            (s(13), gone(5)),
        ];
        let want =
            [Side::Before, Side::Early, Side::Before, Side::After, Side::Early, Side::After, Side::Early, Side::Over];
        assert_eq!(sides(s(10), &stream), want);
        assert_eq!(sides(s(8), &stream)[0], Side::Over);
        // A later snapshot is one of its time.
        let stream = [(s(9), EventKind::Tick), (s(11), there(s(8))), (s(11), EventKind::SnapshotEnd)];
        assert_eq!(sides(s(10), &stream), [Side::Before, Side::After, Side::After]);
    }
}
