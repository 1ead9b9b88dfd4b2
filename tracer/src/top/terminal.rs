//! The terminal: taken over, and given back whatever happens.

use std::{
    io::{self, Stdout, Write, stdout},
    panic,
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    cursor::Show,
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::Pid,
};
use ratatui::{Terminal, backend::CrosstermBackend};

/// Whether it is taken over now.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken over; dropping it gives it back.
pub struct Taken {
    /// What draws.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Taken {
    /// Takes it over.
    ///
    /// # Errors
    /// If it is none, or refuses.
    pub fn new(mouse: bool) -> io::Result<Self> {
        give_back_after_panic();
        take(mouse)?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))?, mouse })
    }

    /// Captures the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    /// From writing.
    pub fn mouse(&mut self, mouse: bool) -> io::Result<()> {
        self.mouse = mouse;
        if mouse { execute!(stdout(), EnableMouseCapture) } else { execute!(stdout(), DisableMouseCapture) }
    }

    /// Gives it back, stops this process until somebody continues it, and takes it over again.
    ///
    /// # Errors
    /// From writing.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        let stopped = stop();
        take(self.mouse)?;
        stopped?;
        self.terminal.clear()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn take(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::Relaxed);
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
    if mouse { execute!(stdout(), EnableMouseCapture) } else { Ok(()) }
}

/// Stops the whole process group, as the terminal would: whoever waits for this process there, such as a script, must
/// stop as well. Where no shell could continue the group, the kernel does not stop it.
fn stop() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default is no handler.
    let ours = unsafe { sigaction(Signal::SIGTSTP, &default) }?;
    // It is for the main thread, which is this one, and it is taken before the call returns.
    let sent = kill(Pid::from_raw(0), Signal::SIGTSTP);
    // SAFETY: it was there before.
    unsafe { sigaction(Signal::SIGTSTP, &ours) }?;
    Ok(sent?)
}

/// As it was before. Can be called at any time, also by a thread that panics.
pub fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    // A terminal that is gone needs nothing.
    let _ = execute!(stdout(), DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

/// A message about a panic would be lost on the other screen.
fn give_back_after_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        give_back();
        before(info);
    }));
}
