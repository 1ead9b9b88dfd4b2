//! How the stage talks to a process of its own: one message, one answer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;
use serde::{Serialize, de::DeserializeOwned};

/// One end.
#[derive(Debug)]
pub struct Line(OwnedFd);

impl Line {
    /// Both ends.
    pub fn pair() -> (Self, Self) {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        let result =
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) };
        assert_eq!(result, 0, "socketpair: {}", std::io::Error::last_os_error());
        // SAFETY: the descriptors are new, and nobody else's.
        let [one, other] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        (Self(one), Self(other))
    }

    /// Sends a message; false if nobody is there.
    pub fn say<T: Serialize>(&self, message: &T) -> bool {
        let bytes = serde_json::to_vec(message).expect("messages are plain data");
        // SAFETY: a buffer and its length. No SIGPIPE: that could be the signal of the case.
        unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) > 0 }
    }

    /// Waits for a message; `None` if nobody is there.
    pub fn hear<T: DeserializeOwned>(&self) -> Option<T> {
        let mut bytes = [0; 1024];
        loop {
            // SAFETY: a buffer and its length.
            let read = unsafe { libc::recv(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            match read {
                // A handler ran, or the process was stopped and continued.
                -1 if nix::errno::Errno::last() == nix::errno::Errno::EINTR => {}
                1.. => return Some(serde_json::from_slice(&bytes[..read as usize]).expect("both ends speak the same")),
                _ => return None,
            }
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
