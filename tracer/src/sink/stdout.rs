//! Standard output that notices a closed pipe also while there is nothing to say.

use std::io::{self, StdoutLock, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Like [`io::Stdout`], but a flush fails with [`io::ErrorKind::BrokenPipe`] once nobody reads.
///
/// Without that `tracer watch | head -1` would stay until the next finding, on a quiet machine
/// for hours.
#[derive(Debug)]
pub struct Stdout(StdoutLock<'static>);

impl Stdout {
    /// Takes standard output for good.
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
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec::default()))?;
        // poll(2) reports an error on the writing end when the last reader has gone.
        if fds[0].revents().contains(PollFlags::ERR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}
