//! What only the kernel's log says: whose memory had run out when the out-of-memory killer chose a process.
//!
//! It is read (`/dev/kmsg`) when such a process has exited, never otherwise.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use crate::{
    event::{Event, EventKind},
    foreign::kmsg::Kmsg,
    ident::ProcKey,
    time::{BootNs, Span},
};

/// How long to wait for the line about a process: it is written right after the SIGKILL.
const PATIENCE: Span = Span::SECOND;
/// How many processes are waited for.
const MOST_WAITING: usize = 1024;
/// The most that the kernel hands out at once (`PRINTK_MESSAGE_MAX`, and more in older kernels).
const LONGEST: usize = 8192;

/// Reads the log from where it was when tracing began.
#[derive(Debug, Default)]
pub struct KernelLog {
    /// `None` where it may not be read: then findings do not say.
    file: Option<File>,
    /// A process that the out-of-memory killer chose, and when it exited.
    waiting: Vec<(ProcKey, BootNs)>,
    records: Kmsg,
}

impl KernelLog {
    /// Opens it at its end.
    pub fn open() -> Self {
        let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open("/dev/kmsg").ok();
        let at_end = file.and_then(|mut file| file.seek(SeekFrom::End(0)).is_ok().then_some(file));
        Self { file: at_end, ..Self::default() }
    }

    /// Remembers a process to look for.
    pub fn see(&mut self, event: &Event) {
        if let EventKind::Exit(exit) = &event.kind
            && exit.oom
            && exit.group_dead
            && self.file.is_some()
            && self.waiting.len() < MOST_WAITING
        {
            self.waiting.push((exit.task.key, event.at));
        }
    }

    /// Whether there is one.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What the log says about them.
    pub fn news(&mut self, now: BootNs) -> Vec<EventKind> {
        let mut told = Vec::new();
        if self.waiting.is_empty() {
            return told;
        }
        let mut record = [0; LONGEST];
        while let Some(file) = &mut self.file {
            let length = match file.read(&mut record) {
                Ok(length @ 1..) => length,
                // Records were overwritten before they were read; the next read continues with the oldest left.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => continue,
                _ => break,
            };
            if let Some((pid, which)) = self.records.record(&record[..length]) {
                let at = self.waiting.iter().position(|(key, _)| key.tgid == pid);
                told.extend(at.map(|at| EventKind::OutOfMemory(self.waiting.swap_remove(at).0, which)));
            }
        }
        self.waiting.retain(|&(_, exited)| now - exited < PATIENCE);
        told
    }
}
