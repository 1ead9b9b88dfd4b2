//! How the two sides talk: messages with their length before them; and new connections over the first one.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recv, recvmsg, sendmsg,
    },
};

use super::LONGEST;

/// What a connection is for.
pub const QUESTIONS: u8 = b'q';
/// See [`QUESTIONS`].
pub const CONTAINERS: u8 = b'c';

/// Sends a message.
pub fn send(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|&length| length as usize <= LONGEST);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(message)
}

/// Receives one.
pub fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Makes a connection for that purpose, and sends the other side its end.
pub fn connect(control: &UnixStream, purpose: u8) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let fds = [theirs.as_fd()];
    rights.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(control, &[IoSlice::new(&[purpose])], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(ours)
}

/// Whether the other side, which sends nothing over this connection, has ended.
pub fn has_ended(control: &UnixStream) -> io::Result<bool> {
    match recv(control, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, read)) => Ok(read == 0),
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a connection of the other side; `None` once it has ended.
pub fn accept(control: &UnixStream) -> io::Result<Option<(u8, UnixStream)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut purpose = [0];
    let received = recvmsg(control, &mut [IoSliceMut::new(&mut purpose)], &mut rights, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let streams = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let stream: Option<OwnedFd> = streams.flatten().next();
    let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((purpose[0], stream.into())))
}
