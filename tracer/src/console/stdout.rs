//! Standard output that notices a closed pipe even while there is nothing to write.

use std::io::{self, StdoutLock, Write};

use crate::console::outlet::is_read;

/// Like [`io::Stdout`], but a flush fails with [`io::ErrorKind::BrokenPipe`] once nobody reads.
///
/// Without that, `tracer watch | head -1` would stay until the next finding, for hours on a quiet machine.
#[derive(Debug)]
pub struct Stdout(StdoutLock<'static>);

impl Stdout {
    /// Takes over standard output for good.
    pub fn lock() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        is_read(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU32, Ordering},
        thread,
    };

    use nix::sys::{
        pthread::{pthread_kill, pthread_self},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    };

    use super::*;

    static CAME: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_: i32) {
        CAME.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_signal_does_not_make_a_flush_fail() {
        let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only counts, and nobody else in these tests uses the signal.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        let (me, is_over) = (pthread_self(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    pthread_kill(me, Signal::SIGUSR1).unwrap();
                }
            });
            let mut stdout = Stdout::lock();
            let mut failed = None;
            while CAME.load(Ordering::Relaxed) < 1_000 && failed.is_none() {
                failed = stdout.flush().err();
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }
}
