//! The helper: this program again, as a process of its own that stays root, and ends with the one that started it.

use std::{
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use nix::sys::signal::SigSet;

use super::{Question, answer, post};

/// The command of this program that is the helper; not for people.
pub const HELPER: &str = "agent-helper";
const DOCKER_HOST: &str = "DOCKER_HOST";

/// Starts one; its standard input is the other end of what is returned.
pub(super) fn start(configuration: Option<&Path>) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let program = Command::new("/proc/self/exe")
        .arg(HELPER)
        .args(configuration)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .env_clear()
        // Where dockerd listens.
        .envs(env::var_os(DOCKER_HOST).map(|host| (DOCKER_HOST, host)))
        .spawn()?;
    // It ends when this process does; whoever reaps it then is not this one.
    drop(program);
    Ok(ours)
}

/// Is the helper: answers until the other side has ended. `containers` looks containers up for whoever is at the other
/// end of a connection.
///
/// # Errors
/// If standard input is no connection to it.
pub fn serve(configuration: Option<PathBuf>, containers: fn(UnixStream) -> io::Result<()>) -> io::Result<()> {
    // systemd sends its request to end to all processes of the service. The last looks of the agent need this one.
    SigSet::all().thread_block()?;
    let configuration = configuration.map(Arc::<Path>::from);
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    while let Some((purpose, stream)) = post::accept(&control)? {
        let configuration = configuration.clone();
        let work = move || {
            // The other side has ended, or talks nonsense: in both cases that is the end of the connection.
            let _ = match purpose {
                post::QUESTIONS => answers(stream, configuration.as_deref()),
                _ => containers(stream),
            };
        };
        thread::Builder::new().name("answers".into()).spawn(work)?;
    }
    Ok(())
}

fn answers(mut stream: UnixStream, configuration: Option<&Path>) -> io::Result<()> {
    loop {
        let question: Question = serde_json::from_slice(&post::receive(&mut stream)?)?;
        post::send(&mut stream, &answer(&question, configuration)?)?;
    }
}
