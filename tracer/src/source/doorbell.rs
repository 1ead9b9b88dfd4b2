//! Wakes the loop for the first record after quiet.
//!
//! The kernel side asks for a wake-up with each record that finds the ring buffer empty. While records come, the loop
//! polls on a timer and must not be woken as well, so the bell rings once each time that it is set.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
};
use tokio::io::{Interest, unix::AsyncFd};

/// An epoll instance that watches the ring buffer with `EPOLLONESHOT`, which tokio's own does not offer.
pub(super) struct Doorbell(AsyncFd<OwnedFd>);

impl Doorbell {
    /// For that ring buffer. Needs the event loop.
    ///
    /// # Errors
    /// If the kernel gives no descriptor for it.
    pub(super) fn new(ring: BorrowedFd<'_>) -> io::Result<Self> {
        let bell = epoll::create(CreateFlags::CLOEXEC)?;
        // Without an event: it is not set.
        epoll::add(&bell, ring, EventData::new_u64(0), EventFlags::ONESHOT)?;
        // SAFETY: it owns the descriptor, which stays open for as long as it is registered.
        let bell = unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE) };
        Ok(Self(bell?))
    }

    /// Waits for a record; not at all if there is one, which `is_there` tells of those outside the ring buffer.
    ///
    /// # Errors
    /// From epoll_ctl(2) and epoll_wait(2).
    pub(super) async fn rings(&self, ring: BorrowedFd<'_>, is_there: impl FnOnce() -> bool) -> io::Result<()> {
        // This looks into the buffer, so that nothing is missed that came up before.
        let flags = EventFlags::IN | EventFlags::ONESHOT;
        epoll::modify(self.0.get_ref(), ring, EventData::new_u64(0), flags)?;
        if is_there() {
            return Ok(());
        }
        loop {
            let mut ready = self.0.readable().await?;
            let mut room = [MaybeUninit::uninit()];
            let (rung, _) = epoll::wait(self.0.get_ref(), &mut room, Some(&Timespec::default()))?;
            ready.clear_ready();
            if !rung.is_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write, pipe},
        os::fd::AsFd,
        pin::pin,
    };

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn it_rings_for_what_is_there_and_for_what_comes() {
        let (mut buffer, mut kernel) = pipe().unwrap();
        let bell = Doorbell::new(buffer.as_fd()).unwrap();
        for _ in 0..3 {
            {
                let mut comes = pin!(bell.rings(buffer.as_fd(), || false));
                assert!(poll!(&mut comes).is_pending());
                kernel.write_all(b"12").unwrap();
                comes.await.unwrap();
            }
            bell.rings(buffer.as_fd(), || false).await.unwrap();
            buffer.read_exact(&mut [0; 2]).unwrap();
        }
    }

    #[tokio::test]
    async fn it_need_not_ring_for_what_is_elsewhere() {
        let (buffer, _kernel) = pipe().unwrap();
        Doorbell::new(buffer.as_fd()).unwrap().rings(buffer.as_fd(), || true).await.unwrap();
    }

    #[tokio::test]
    async fn it_rings_only_when_it_is_set() {
        let (buffer, mut kernel) = pipe().unwrap();
        let bell = Doorbell::new(buffer.as_fd()).unwrap();
        kernel.write_all(b"1").unwrap();
        bell.rings(buffer.as_fd(), || false).await.unwrap();
        kernel.write_all(b"2").unwrap();
        // The event loop looks at its descriptors.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let mut ready = pin!(bell.0.readable());
        assert!(poll!(&mut ready).is_pending());
    }
}
