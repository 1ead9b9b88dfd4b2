//! The master's side of a terminal.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use nix::{errno::Errno, libc};

/// Hung up when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    path: String,
}

impl Terminal {
    /// Opens one that is nobody's yet.
    pub fn open() -> Self {
        let mut path = [0; 64];
        // SAFETY: a buffer and its length; the descriptor is new.
        let master = unsafe {
            let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
            assert!(master >= 0, "posix_openpt: {}", io::Error::last_os_error());
            libc::grantpt(master);
            libc::unlockpt(master);
            assert_eq!(libc::ptsname_r(master, path.as_mut_ptr(), path.len()), 0, "ptsname");
            OwnedFd::from_raw_fd(master)
        };
        // SAFETY: ptsname_r(3) ends what it writes.
        let path = unsafe { CStr::from_ptr(path.as_ptr()) }.to_string_lossy().into_owned();
        Self { master, path }
    }

    /// Where the other side is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Types a line, for whoever reads there.
    pub fn type_line(&self, line: &str) {
        let line = format!("{line}\n");
        assert_eq!(nix::unistd::write(&self.master, line.as_bytes()), Ok(line.len()), "the terminal takes a line");
    }

    /// Presses a control key, and waits for its echo: `n_tty_receive_signal_char()` sends the
    /// signal first. Where the session's leader dies of it at once, the terminal is hung up instead.
    pub fn press(&self, key: u8) {
        nix::unistd::write(&self.master, &[key]).expect("the terminal takes a key");
        let mut echo = [0; 2];
        let mut heard = 0;
        while heard < echo.len() {
            match nix::unistd::read(&self.master, &mut echo[heard..]) {
                Ok(read) => heard += read,
                Err(Errno::EIO) => return,
                Err(error) => panic!("an echo: {error}"),
            }
        }
        assert_eq!(echo, [b'^', key + 0x40], "another echo");
    }

    /// Gives it another size.
    pub fn resize(&self) {
        let size = libc::winsize { ws_row: 5, ws_col: 7, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: a whole structure.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(result, 0, "TIOCSWINSZ: {}", io::Error::last_os_error());
    }
}
