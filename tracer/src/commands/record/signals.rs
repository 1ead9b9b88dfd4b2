//! Signals to this process while it records: what they mean depends on the sender.

use std::io;

use nix::{
    libc::signalfd_siginfo,
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use tokio::io::unix::AsyncFd;

use crate::{signal::SI_KERNEL, world::World};

/// Signals that end a recording without a command.
const LEAVE: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// Signals that are passed on to a command. Not SIGTSTP, SIGCONT and SIGWINCH: a terminal sends them to the command as
/// well, and this process must stop with it, or the shell would not notice.
const PASS_ON: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Signals, read from a descriptor.
pub struct Signals(AsyncFd<SignalFd>);

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// Its number.
    pub signal: i32,
    code: i32,
    sender: u32,
}

impl Signals {
    /// From here on these signals no longer have their default effect. Needs the event loop.
    ///
    /// # Errors
    /// If the kernel gives no descriptor.
    pub fn new(has_command: bool) -> io::Result<Self> {
        let mask: SigSet = if has_command { PASS_ON } else { LEAVE }.iter().copied().collect();
        mask.thread_block()?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        // SAFETY: the descriptor is owned, so it stays the same until it is dropped with this.
        Ok(Self(unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)?))
    }

    /// Waits for the next one.
    pub async fn next(&self) -> Came {
        while let Ok(mut ready) = self.0.readable().await {
            let came = ready.try_io(|fd| fd.get_ref().read_signal()?.ok_or(io::ErrorKind::WouldBlock.into()));
            if let Ok(Ok(signalfd_siginfo { ssi_signo, ssi_code, ssi_pid, .. })) = came {
                return Came { signal: ssi_signo as i32, code: ssi_code, sender: ssi_pid };
            }
        }
        // The event loop is gone.
        std::future::pending().await
    }
}

impl Came {
    /// Whether to pass the signal on to the command.
    ///
    /// Not if the kernel sent it: a key, or a hang-up of the terminal, reaches the whole foreground group, and so the
    /// command itself. Nor if the command or a descendant sent it: `kill 0` in a shell addresses its own process group,
    /// and would come back to it for ever.
    pub fn is_for_command(self, world: &World) -> bool {
        let Self { signal: _, code, sender } = self;
        if code == SI_KERNEL {
            return false;
        }
        let Some(command) = world.command() else { return true };
        match world.by_pid(sender) {
            Some(process) => !command.has_descendant(process.key),
            None => sender == 0 || !command.had_pid(sender),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Adopter, EventKind},
        ident::Args,
        story::{Story, born, end, key, task},
    };

    #[test]
    fn what_the_command_gets_anyway_or_sent_itself_is_not_for_it() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(30, 1)).fork(born(20, 10));
        let from = |sender, code| Came { signal: 15, code, sender };
        assert!(from(20, 0).is_for_command(story.world()), "it is not known yet who that is");
        story.event(EventKind::CommandStarted(key(20), Args::default()));
        story.fork(born(21, 20)).fork(born(22, 21)).exit(end(21, 20, Adopter::NamespaceInit(task(1)))).free(21);
        for (sender, code, want) in [
            (0, SI_KERNEL, false),
            (20, 0, false),
            (22, 0, false),
            // A kill(1) that has ended and was reaped.
            (21, 0, false),
            (30, 0, true),
            (10, 0, true),
            // The sender ended before it could be looked at, or lives in another pid namespace.
            (999, 0, true),
            (0, 0, true),
        ] {
            assert_eq!(from(sender, code).is_for_command(story.world()), want, "{sender} {code}");
        }
    }
}
