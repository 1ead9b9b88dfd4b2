//! The command of a recording: started as the user who called sudo, and waited for.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, process::CommandExt, process::ExitStatusExt},
    },
    process,
};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tracer_common::record::ARGS_MAX;

use crate::{
    caller::{self, Caller, caller},
    event::ExitStatus,
    ident::Args,
    users::User,
};

/// A command that runs, or has ended and must be reaped.
pub struct Child {
    process: process::Child,
    /// Readable once it has ended.
    pidfd: AsyncFd<OwnedFd>,
}

/// What became of the attempt to start one.
pub enum Started {
    /// It runs.
    Running(Child),
    /// There is no such program, or it cannot be run; the exit code of a shell in that case.
    NotStarted(u8, io::Error),
}

impl Child {
    /// Starts a command with this process's standard streams, directory and environment, and no signal blocked; as the
    /// user who called sudo or the like, if there is one. Needs the event loop.
    ///
    /// # Errors
    /// If it is not known who called, or the kernel gives no process or descriptor.
    pub fn start(command: &[OsString]) -> Result<Started> {
        let Some((program, arguments)) = command.split_first() else {
            return Ok(Started::NotStarted(127, io::ErrorKind::NotFound.into()));
        };
        let mut child = process::Command::new(program);
        child.args(arguments);
        let caller = caller()?;
        if let Some(caller) = caller {
            theirs(&mut child, caller);
        }
        let become_caller = move || {
            caller.map_or(Ok(()), Caller::become_for_good)?;
            // The signals that this process blocks to read them from a descriptor.
            Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
        };
        // SAFETY: what is called between fork and exec makes system calls only.
        unsafe {
            child.pre_exec(become_caller);
        }
        let process = match child.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Started::NotStarted(127, error)),
            Err(error) => return Ok(Started::NotStarted(126, error)),
        };
        let pid = Pid::from_child(&process);
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).or_else(|_| pidfd_open(pid, PidfdFlags::empty()));
        let pidfd = pidfd.context("cannot wait for the command")?;
        // SAFETY: the descriptor is owned, so it stays the same until it is dropped with this.
        let pidfd = unsafe { AsyncFd::register(pidfd) }.context("cannot wait for the command")?;
        Ok(Started::Running(Self { process, pidfd }))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has ended; it is a zombie then.
    pub async fn ended(&self) {
        // Fails only if the event loop is gone.
        let _ = self.pidfd.readable().await;
    }

    /// Reaps it, once it has ended: its wait status.
    ///
    /// # Errors
    /// What waitid(2) says.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        Ok(ExitStatus(self.process.wait()?.into_raw()))
    }

    /// Passes a signal on. If it has just ended there is nobody to pass it to.
    pub fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
        }
    }
}

/// A command line as it is kept in a stream.
pub fn args(command: &[OsString]) -> Args {
    let mut bytes: Vec<u8> = command.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
    let cut = bytes.len() > ARGS_MAX;
    bytes.truncate(ARGS_MAX);
    Args { bytes: bytes.into(), cut, ..Args::default() }
}

/// The code with which a shell passes on how a program ended.
pub fn exit_code(status: ExitStatus) -> u8 {
    match status.signal() {
        Some(signal) => 128 + signal.0,
        None => status.code() as u8,
    }
}

/// Sets the variables of a program to the user whom it runs as; sudo did not call it.
fn theirs(command: &mut process::Command, caller: &Caller) {
    for name in caller::VARIABLES {
        command.env_remove(name);
    }
    if let Some(User { name, dir, shell, .. }) = caller.user() {
        command.env("USER", name).env("LOGNAME", name).env("HOME", dir).env("SHELL", shell);
    }
}
