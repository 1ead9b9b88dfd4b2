//! Where the threads of a page meet: the collector puts a draft of the history here when one is wanted, the printer takes it,
//! and the server says whether anybody reads. Whoever holds the lock does nothing else meanwhile.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{history::History, host::StartInfo};

/// Readers at a time.
const READERS: usize = 16;

/// What a page is made of.
pub struct Draft {
    /// How it is traced.
    pub start: Arc<StartInfo>,
    /// What has happened.
    pub history: History,
    /// Nothing more will.
    pub is_over: bool,
    /// What is wrong with the recording, a sentence each.
    pub complaints: Vec<String>,
    /// How long the collector was busy with it.
    pub took: Duration,
}

/// See the module.
#[derive(Default)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
    is_wanted: AtomicBool,
}

#[derive(Default)]
struct State {
    draft: Option<Draft>,
    complaints: Vec<String>,
    readers: usize,
}

impl Desk {
    /// Whether a draft is wanted: asked at each step.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// From now on, this is wrong with the recording, a sentence each.
    pub fn complain(&self, sentences: Vec<String>) {
        self.held().complaints = sentences;
    }

    /// Puts a draft there.
    pub fn put(&self, mut draft: Draft) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let mut state = self.held();
        draft.complaints.clone_from(&state.complaints);
        state.draft = Some(draft);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until somebody reads, and for a draft; or for the last one.
    pub fn take(&self) -> Draft {
        let mut state = self.held();
        loop {
            if let Some(draft) = state.draft.take() {
                return draft;
            }
            if state.readers > 0 {
                self.is_wanted.store(true, Ordering::Relaxed);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits that long, or until everything is over.
    pub fn rest(&self, pause: Duration) {
        let goes_on = |state: &mut State| state.draft.as_ref().is_none_or(|draft| !draft.is_over);
        drop(self.changed.wait_timeout_while(self.held(), pause, goes_on));
    }

    /// Waits until nobody reads any more, but not longer than that.
    pub fn wait_for_leaving(&self, patience: Duration) {
        drop(self.changed.wait_timeout_while(self.held(), patience, |state| state.readers > 0));
    }

    /// Somebody begins to read; `None` if there are too many readers.
    pub fn sit(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.held();
        if state.readers >= READERS {
            return None;
        }
        state.readers += 1;
        drop(state);
        self.changed.notify_all();
        Some(Seat(self.clone()))
    }

    /// What is held is whole at any time, whoever has panicked.
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That of a reader, who leaves it when this is dropped.
pub struct Seat(Arc<Desk>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.held().readers -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_bounded_and_make_place_for_others() {
        let desk = Arc::new(Desk::default());
        let mut seats: Vec<_> = (0..READERS).map(|_| desk.sit().unwrap()).collect();
        assert!(desk.sit().is_none());
        seats.pop();
        assert!(desk.sit().is_some());
        drop(seats);
        desk.wait_for_leaving(Duration::MAX);
    }
}
