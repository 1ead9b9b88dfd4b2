//! What one reader gets: who answers, then each update, or how many were left out because reading took too long.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::{sync::watch, time::timeout};

/// After this long without an update comes a line without a meaning: a reader that is gone is noticed by it.
const BEAT: Duration = Duration::from_secs(10);

/// The page as it was last.
#[derive(Clone, Default)]
pub struct Update {
    /// Counts from 1; 0 before the first.
    pub number: u64,
    /// As it is sent. All readers share it.
    pub event: Bytes,
    /// It is the last.
    pub is_over: bool,
}

/// Somebody who reads.
pub struct Reader {
    updates: watch::Receiver<Update>,
    /// What comes before any update.
    greeting: Option<Bytes>,
    /// What comes after the count of those left out.
    held: Option<Bytes>,
    /// The last one that was taken.
    number: u64,
    is_over: bool,
}

impl Reader {
    pub fn new(mut updates: watch::Receiver<Update>, countersign: &str) -> Self {
        // The last one is news to who has just come.
        updates.mark_changed();
        let greeting = Some(format!("event: hello\ndata: {countersign}\n\n").into());
        Self { updates, greeting, held: None, number: 0, is_over: false }
    }

    /// Everything that it gets. The server asks for more when there is room, so that nothing piles up.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut reader| async move {
            let bytes = reader.next().await?;
            Some((Ok(bytes), reader))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.greeting.take().or_else(|| self.held.take()) {
            return Some(first);
        }
        while !self.is_over {
            match timeout(BEAT, self.updates.changed()).await {
                Ok(changed) => changed.ok()?,
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
            }
            let Update { number, event, is_over } = self.updates.borrow_and_update().clone();
            if number == 0 {
                continue;
            }
            let left_out = if self.number == 0 { 0 } else { number - self.number - 1 };
            (self.number, self.is_over) = (number, is_over);
            if left_out == 0 {
                return Some(event);
            }
            self.held = Some(event);
            return Some(format!("event: skipped\ndata: {left_out}\n\n").into());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(number: u64, is_over: bool) -> Update {
        Update { number, event: format!("{number}").into(), is_over }
    }

    #[test]
    fn who_is_slow_gets_the_last_update_and_learns_how_many_it_missed() {
        let runtime = crate::event_loop::event_loop().unwrap();
        runtime.block_on(async {
            let (send, updates) = watch::channel(Update::default());
            send.send_replace(update(7, false));
            let mut reader = Reader::new(updates.clone(), "sign");
            assert_eq!(reader.next().await.unwrap(), "event: hello\ndata: sign\n\n");
            // Who has just come has missed nothing.
            assert_eq!(reader.next().await.unwrap(), "7");
            send.send_replace(update(8, false));
            assert_eq!(reader.next().await.unwrap(), "8");
            for number in 9..=12 {
                send.send_replace(update(number, number == 12));
            }
            assert_eq!(reader.next().await.unwrap(), "event: skipped\ndata: 3\n\n");
            assert_eq!(reader.next().await.unwrap(), "12");
            assert_eq!(reader.next().await, None);
            let mut late = Reader::new(updates, "sign");
            let all = [late.next().await, late.next().await, late.next().await];
            assert_eq!(all.map(|bytes| bytes.is_some()), [true, true, false]);
        });
    }
}
