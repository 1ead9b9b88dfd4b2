//! A pid namespace and the processes in it, each a child of this process or below one. None of
//! them outlives the stage.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

use crate::{ident::PidNs, source::procfs};

/// See the module.
pub(super) struct Stage {
    /// The namespace, and ours.
    inside: File,
    own: File,
    /// Pid 1 first. The others entered from outside, as `docker exec` and `nsenter` do.
    children: Vec<Child>,
    /// Inode number of the namespace.
    pub ns: PidNs,
}

impl Stage {
    /// Makes a namespace with that command as its pid 1, which runs when this returns.
    pub(super) fn open(init: &[&str]) -> io::Result<Self> {
        let own = File::open("/proc/self/ns/pid")?;
        // SAFETY: the flag only changes where later children are created; it affects no descriptor and no memory of
        // ours.
        unsafe { unshare_unsafe(UnshareFlags::NEWPID) }?;
        let started = {
            let _home = Home(own.as_fd());
            start(init)
        };
        let init = started?;
        let pid = init.id();
        // From here on the stage owns the child, and ends it if something goes wrong.
        let mut stage = Self { inside: own.try_clone()?, own, children: vec![init], ns: PidNs::default() };
        stage.inside = File::open(format!("/proc/{pid}/ns/pid"))?;
        stage.ns = procfs::pid_namespace(&pid.to_string())?;
        Ok(stage)
    }

    /// The host pid of pid 1.
    pub(super) fn init(&self) -> u32 {
        self.children[0].id()
    }

    /// Starts a command in the namespace; gives its host pid.
    pub(super) fn run(&mut self, command: &[&str]) -> io::Result<u32> {
        move_into_link_name_space(self.inside.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
        let started = {
            let _home = Home(self.own.as_fd());
            start(command)
        };
        let child = started?;
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }

    /// Reaps every child that has ended: a namespace cannot end while it holds a zombie, and the zombies of processes
    /// that entered from outside are ours.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        self.children.iter_mut().try_for_each(|child| child.try_wait().map(drop))
    }

    /// How a child ended, `None` while it lives.
    pub(super) fn ended(&mut self, pid: u32) -> io::Result<Option<ExitStatus>> {
        let child = self.children.iter_mut().find(|child| child.id() == pid);
        child.ok_or(io::ErrorKind::NotFound)?.try_wait()
    }

    /// Sends SIGKILL to a child.
    pub(super) fn kill(&mut self, pid: u32) -> io::Result<()> {
        let child = self.children.iter_mut().find(|child| child.id() == pid);
        child.ok_or(io::ErrorKind::NotFound)?.kill()
    }
}

impl Drop for Stage {
    /// The end of pid 1 ends all others. They are reaped before it, because its own end waits for them.
    fn drop(&mut self) {
        for child in &mut self.children {
            // Failure means only that it has ended already, or ends now.
            let _ = child.kill();
        }
        for child in self.children.iter_mut().rev() {
            let _ = child.wait();
        }
    }
}

/// Puts this process back when dropped: its next children are created in its own namespace again.
struct Home<'a>(BorrowedFd<'a>);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        // A process may always go back to its own namespace.
        let _ = move_into_link_name_space(self.0, Some(LinkNameSpaceType::ProcessID));
    }
}

fn start(command: &[&str]) -> io::Result<Child> {
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    // A process group of its own: Ctrl-C is meant for us, and we end the others in order.
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    // SAFETY: prctl(2) is safe between fork and exec; the closure takes no lock and allocates nothing.
    unsafe {
        // If we are killed ourselves, nobody else would end it.
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn().map_err(|error| io::Error::new(error.kind(), format!("cannot start `{program}`: {error}")))
}
