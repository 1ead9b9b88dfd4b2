//! A process that says which signals it gets.

use nix::sys::signal::{SigSet, Signal};

use crate::talk::{announce, exit, say};

/// Says the name of each signal that comes, until SIGTERM comes.
pub fn listen() {
    use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    let all: SigSet = [SIGINT, SIGHUP, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH].into_iter().collect();
    all.thread_block().expect("a mask");
    announce("listener");
    while let Ok(signal) = all.wait() {
        say(signal.as_str(), 0);
        if signal == SIGTERM {
            exit()
        }
    }
}
