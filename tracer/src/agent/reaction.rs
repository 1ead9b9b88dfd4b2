//! Findings for whoever is to do something about them: a messenger ([`Messenger`](super::messenger)) runs a program or
//! asks a server. It gets no more than it is meant to, and is never waited for; what it does not get is counted, and the
//! next one says so.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{SendFlags, send},
};

use crate::{
    console::stderr::say,
    filter::{Filter, Missing},
    sink::{
        Sink,
        json::line_of,
        select::{Item, Select},
    },
    step::Step,
    summary::Summary,
    time::BootNs,
    world::World,
};

/// See the module.
pub struct Reaction {
    select: Select,
    /// `None` once the messenger has ended: whoever runs as its user can bring that about.
    messenger: Option<OwnedFd>,
    allowance: Allowance,
    /// Findings that the messenger did not get since the last that it got.
    skipped: u64,
}

impl Reaction {
    /// For what that filter shows; so many a minute.
    pub fn new(messenger: OwnedFd, filter: Filter, a_minute: u32) -> Self {
        let allowance = Allowance::new(a_minute, Instant::now());
        Self { select: Select::new(filter, &[]).few(), messenger: Some(messenger), allowance, skipped: 0 }
    }

    /// See [`Select::refilter`].
    ///
    /// # Errors
    /// See there.
    pub fn refilter(&mut self, filter: Filter, world: &World) -> Result<(), Missing> {
        self.select.refilter(filter, world)
    }
}

impl Sink for Reaction {
    fn step(&mut self, world: &World, step: &Step<'_>) -> io::Result<()> {
        let Self { select, messenger, allowance, skipped } = self;
        select.step(world, step, |moment, item| {
            if !matches!(item, Item::Finding(_) | Item::Repeated(..)) {
                return Ok(());
            }
            let Some(line) = line_of(world, moment, &item)? else { return Ok(()) };
            let Some(to) = messenger.as_ref().filter(|_| allowance.takes(Instant::now())) else {
                *skipped += 1;
                return Ok(());
            };
            match send(to, &message(*skipped, &line), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => *skipped = 0,
                // It is at work, and enough waits for it already; or this one is too long for a message.
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::MSGSIZE) => *skipped += 1,
                Err(error) => {
                    say(format_args!(
                        "the messenger of findings has ended, and nobody is told until the agent is started again: {error}"
                    ));
                    *messenger = None;
                }
            }
            Ok(())
        })
    }

    fn show_from(&mut self, from: BootNs) {
        self.select.show_from(from);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _world: &World, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// A finding for the messenger, and how many it did not get before.
fn message(skipped: u64, line: &str) -> Vec<u8> {
    [&skipped.to_le_bytes(), line.as_bytes()].concat()
}

/// What [`message`] has made; `None` for anything else.
pub(super) fn read_message(message: &[u8]) -> Option<(u64, &str)> {
    let (skipped, line) = message.split_first_chunk()?;
    Some((u64::from_le_bytes(*skipped), std::str::from_utf8(line).ok()?))
}

/// So many a minute, all at once or one after the other.
#[derive(Debug)]
struct Allowance {
    most: f64,
    left: f64,
    at: Instant,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Allowance {
    fn new(a_minute: u32, now: Instant) -> Self {
        Self { most: a_minute.into(), left: a_minute.into(), at: now }
    }

    fn takes(&mut self, now: Instant) -> bool {
        let grown = (now - self.at).as_secs_f64() / MINUTE.as_secs_f64() * self.most;
        (self.left, self.at) = ((self.left + grown).min(self.most), now);
        let is_left = self.left >= 1.0;
        self.left -= f64::from(u8::from(is_left));
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_and_no_more() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(10, begin);
        assert_eq!((0..100).filter(|_| allowance.takes(begin)).count(), 10);
        // Each six seconds, one.
        let later = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!((0..100).filter(|_| allowance.takes(later(13))).count(), 2);
        assert_eq!((0..100).filter(|_| allowance.takes(later(3_600))).count(), 10);
    }

    #[test]
    fn a_message_is_read_as_it_was() {
        assert_eq!(read_message(&message(7, "{}")), Some((7, "{}")));
        assert_eq!(read_message(b"short"), None);
        assert_eq!(read_message(b"01234567\xff"), None);
    }
}
