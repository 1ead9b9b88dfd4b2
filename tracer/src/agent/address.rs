//! Connections of those who speak to servers for the agent.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
};

use hyper::Uri;
use tokio::net::TcpStream;

use crate::{
    aside::in_thread,
    getent::{self, NoProgram},
};

/// Connects to the server of a URI, or to that port of it if the URI has none.
///
/// # Errors
/// If there is no such host, or it does not answer.
pub async fn connect(server: &Uri, port: u16) -> io::Result<TcpStream> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = server.port_u16().unwrap_or(port);
    let addresses = in_thread("names", move || addresses(&host, port)).await??;
    TcpStream::connect(&*addresses).await
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    match getent::ask("ahosts", host.as_ref()) {
        Ok(answer) => {
            let found: BTreeSet<_> = of_getent(&answer).map(|address| SocketAddr::from((address, port))).collect();
            if found.is_empty() {
                Err(io::Error::other("there is no such host"))
            } else {
                Ok(found.into_iter().collect())
            }
        }
        // An image with nothing in it has no modules for names either, so the C library asks DNS by itself.
        Err(NoProgram) => Ok((host, port).to_socket_addrs()?.collect()),
    }
}

/// The addresses that `getent ahosts` prints, each once for each kind of socket.
fn of_getent(answer: &[u8]) -> impl Iterator<Item = IpAddr> {
    let lines = answer.split(|&byte| byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        let local: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(addresses("127.0.0.1", 80).unwrap(), [local]);
        assert!(addresses("localhost", 80).unwrap().iter().all(|address| address.ip().is_loopback()));
        let error = addresses("no host at all", 80).unwrap_err();
        assert!(!error.to_string().is_empty());
        let answer = b"::1             STREAM localhost\n::1             DGRAM  \n127.0.0.1       RAW    \n";
        assert_eq!(
            of_getent(answer).map(|address| address.to_string()).collect::<Vec<_>>(),
            ["::1", "::1", "127.0.0.1"]
        );
    }
}
