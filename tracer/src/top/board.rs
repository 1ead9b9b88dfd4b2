//! What the two threads hand each other: the model's puts here what is to be seen, of which only the last counts; the
//! screen's asks. Neither waits for the other.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    ident::ProcKey,
    time::BootNs,
    top::{keep::Kept, scene::Scene, story::Story},
};

/// What the screen asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The moment to show.
    Seek(BootNs),
    /// Let time pass, or stop it.
    Play(bool),
    /// How many times as fast as it was.
    Speed(f64),
    /// The present.
    Present,
    /// What to show: see [`Query`](crate::top::query::Query).
    Query {
        /// What was typed.
        given: String,
        /// Only zombies, and whom a finding is about.
        only_troubled: bool,
    },
    /// The story of a process, in that many columns.
    Story(ProcKey, usize),
    /// To keep what is looked at in that file.
    Keep(Kept, PathBuf),
    /// To end.
    Leave,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Board {
    scene: Mutex<Option<Arc<Scene>>>,
    story: Mutex<Option<Arc<Story>>>,
    said: Mutex<Option<String>>,
    is_over: AtomicBool,
}

impl Board {
    /// Puts up a scene, in place of the last.
    pub fn show(&self, scene: Scene) {
        *held(&self.scene) = Some(Arc::new(scene));
    }

    /// Puts up a story.
    pub fn tell(&self, story: Story) {
        *held(&self.story) = Some(Arc::new(story));
    }

    /// Puts up what has become of something that was asked for.
    pub fn say(&self, what: impl Into<String>) {
        *held(&self.said) = Some(what.into());
    }

    /// There will be no more.
    pub fn close(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether there will be no more.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Takes the last scene, if it is new.
    pub fn scene(&self) -> Option<Arc<Scene>> {
        held(&self.scene).take()
    }

    /// Takes the last story, if it is new.
    pub fn story(&self) -> Option<Arc<Story>> {
        held(&self.story).take()
    }

    /// Takes what was said last, if it is new.
    pub fn said(&self) -> Option<String> {
        held(&self.said).take()
    }
}

/// What is held is whole at any time, whoever has panicked.
fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
