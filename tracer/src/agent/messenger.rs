//! The messenger: this program again, as a process of its own and an ordinary user. For each finding it runs a program,
//! or asks a server, one at a time and each with a deadline.

use std::{
    env,
    fs::File,
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::Uri;
use nix::sys::signal::SigSet;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use sha2::Sha256;
use tokio::time::timeout;

use super::{confine::become_ordinary, http, reaction::read_message};
use crate::{
    cli::agent::{Messenger, Reactions},
    console::stderr::say,
    event_loop::event_loop,
    ident::file_name,
    source::reads,
    trace::file,
};

/// The command of this program that is the messenger; not for people.
pub const MESSENGER: &str = "agent-messenger";
/// The longest message.
const LONGEST: usize = 256 << 10;
/// The largest key.
const KEY_MAX: u64 = 64 << 10;
/// Where programs are found.
const PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts one with the rights that this process has; `None` if nothing is to be done about findings. What is returned
/// takes messages.
///
/// # Errors
/// If it cannot be started.
pub fn start(reactions: &Reactions) -> io::Result<Option<OwnedFd>> {
    let Reactions { on_finding, webhook, webhook_key, reaction_user, reaction_within, .. } = reactions;
    if on_finding.is_none() && webhook.is_none() {
        return Ok(None);
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(MESSENGER).arg("--user").arg(reaction_user).arg("--within-ms");
    command.arg(reaction_within.as_millis().to_string());
    command.args(on_finding.iter().flat_map(|program| ["--run".as_ref(), program.as_os_str()]));
    command.args(webhook.iter().flat_map(|url| ["--post".to_owned(), url.to_string()]));
    command.args(webhook_key.iter().flat_map(|key| ["--key".as_ref(), key.as_os_str()]));
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).env_clear().spawn()?;
    Ok(Some(ours))
}

/// Is the messenger, until the agent has ended.
///
/// # Errors
/// If no agent has started this, or there is no such user or key.
pub fn serve(options: &Messenger) -> io::Result<()> {
    let Messenger { user, run, post, key, within_ms } = options;
    // The agent's last findings are still to be told. Programs that are started do not inherit that.
    SigSet::all().thread_block()?;
    let key = key.as_deref().map(|path| reads::head(path, KEY_MAX as usize)).transpose()?.map(|head| head.bytes);
    become_ordinary(user)?;
    let messages = io::stdin().as_fd().try_clone_to_owned()?;
    let within = Duration::from_millis(*within_ms);
    let mut room = vec![0; LONGEST];
    loop {
        let (_, length) = recv(&messages, &mut room[..], RecvFlags::empty())?;
        let Some((skipped, line)) = room.get(..length).and_then(read_message) else { return Ok(()) };
        if let Some(program) = run
            && let Err(error) = run_for(program, skipped, line, within)
        {
            say(format_args!("{}: {error}", file_name(program)));
        }
        if let Some(server) = post
            && let Err(error) = tell(server, key.as_deref(), skipped, line, within)
        {
            say(format_args!("{server}: {error:#}"));
        }
    }
}

/// Runs a program with a finding on its standard input.
fn run_for(program: &Path, skipped: u64, line: &str, within: Duration) -> io::Result<()> {
    let mut input: File = file::in_memory()?;
    writeln!(input, "{line}")?;
    input.rewind()?;
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATHS).env("TRACER_SKIPPED", skipped.to_string()).current_dir("/");
    // A group of its own, so that what it starts ends with it.
    let mut child = command.stdin(input).stdout(Stdio::null()).process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    let has_ended = pidfd_open(group, PidfdFlags::empty()).and_then(|pidfd| {
        let time = Timespec::try_from(within).ok();
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], time.as_ref())
    });
    // All of the group may have ended.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    match has_ended {
        Ok(0) => Err(io::Error::other(format!("it has not ended within {within:?}, and was killed"))),
        _ if !status.success() => Err(io::Error::other(status.to_string())),
        _ => Ok(()),
    }
}

/// Tells a server of a finding.
fn tell(server: &Uri, key: Option<&[u8]>, skipped: u64, line: &str, within: Duration) -> anyhow::Result<()> {
    event_loop()?.block_on(async {
        let told = timeout(within, post(server, key, skipped, line)).await;
        told.map_err(|_| anyhow::anyhow!("no answer within {within:?}"))?
    })
}

async fn post(server: &Uri, key: Option<&[u8]>, skipped: u64, line: &str) -> anyhow::Result<()> {
    let path = server.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = vec![("X-Tracer-Skipped", skipped.to_string())];
    headers.extend(key.map(|key| ("X-Tracer-Signature", format!("sha256={}", signature(key, line.as_bytes())))));
    let answer =
        http::post(server, 80, path, "application/json", &headers, Bytes::copy_from_slice(line.as_bytes())).await?;
    anyhow::ensure!(answer.status.is_success(), "it answers {}", answer.status);
    Ok(())
}

/// That of HMAC-SHA256 (RFC 2104), in hexadecimal digits.
fn signature(key: &[u8], text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length is a key's"));
    mac.update(text);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a program can be meant.
///
/// # Errors
/// Why not.
pub fn check(reactions: &Reactions) -> Result<(), String> {
    let Some(program) = &reactions.on_finding else { return Ok(()) };
    let is_file = program.metadata().is_ok_and(|there| there.is_file());
    if program.is_absolute() && is_file {
        return Ok(());
    }
    let here = env::current_dir().map_or_else(|_| String::new(), |folder| format!(" (this is {})", file_name(folder)));
    Err(format!("{} is no program: give its whole path in on-finding{here}", file_name(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let is = signature(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(is, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn what_a_program_does_is_bounded_and_how_it_ended_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let [path, source] = ["", ".text"].map(|end| folder.path().join(format!("{name}{end}")));
            std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
            // By another process: what this one has open for writing cannot be executed while a test beside this one
            // forks, whose child has it open, too (ETXTBSY).
            assert!(Command::new("install").arg("--mode=755").arg(&source).arg(&path).status().unwrap().success());
            path
        };
        let told = folder.path().join("told");
        let tells = script("tells", &format!("read line; echo \"$TRACER_SKIPPED $line\" > {}", told.to_str().unwrap()));
        run_for(&tells, 3, "{\"a\":1}", Duration::from_secs(60)).unwrap();
        assert_eq!(std::fs::read_to_string(&told).unwrap(), "3 {\"a\":1}\n");
        let fails = script("fails", "exit 7");
        let error = run_for(&fails, 0, "", Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "exit status: 7");
        let hangs = script("hangs", "sleep 1000 & wait");
        let error = run_for(&hangs, 0, "", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "it has not ended within 50ms, and was killed");
        assert!(run_for(&folder.path().join("none"), 0, "", Duration::from_secs(60)).is_err());
    }
}
