//! Who may come in: which addresses are served, which hosts a request may name, and the secrets that let somebody in.

use std::{
    fmt::Write as _,
    hint::black_box,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use rustix::rand::{GetRandomFlags, getrandom};

/// `PORT`, or a loopback address and a port.
///
/// # Errors
/// What is wrong with it. Other addresses are refused: there is no TLS, so the token and the page could be read on the way.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = port.or_else(|| text.parse().ok());
    let address = address.ok_or("give a port, or an address and a port: 7070, 127.0.0.1:7070, [::1]:7070")?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let port = address.port();
    Err(format!(
        "{} can be reached from other machines, and the page is not encrypted; serve it on {port}, and read it from \
         elsewhere through `ssh -L {port}:127.0.0.1:{port} HOST`",
        address.ip()
    ))
}

/// Whether the `Host` of a request names the served address, so that no page of another site can ask under a name of its
/// own that leads here (DNS rebinding). Behind a forwarded port the port is another one.
pub fn is_host(host: &str, served: IpAddr) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => (name, ""),
            Some((name, port)) => match port.strip_prefix(':') {
                Some(port) => (name, port),
                None => return false,
            },
            None => return false,
        },
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    is_port && (name.eq_ignore_ascii_case("localhost") || name.parse() == Ok(served))
}

/// 128 random bits, as text for an address.
pub struct Secret(String);

impl Secret {
    /// One that nobody knows.
    ///
    /// # Errors
    /// If the kernel gives no random bits.
    pub fn random() -> io::Result<Self> {
        let mut bits = [0; 16];
        let count = getrandom(&mut bits, GetRandomFlags::empty())?;
        if count < bits.len() {
            return Err(io::Error::other("the kernel gave too few random bits"));
        }
        let mut text = String::new();
        for byte in bits {
            // Writing to memory cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// For whoever is to know it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether somebody knows it. The time that this takes says nothing about how much of it was right.
    pub fn is(&self, claimed: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), claimed.as_bytes());
        let differ = ours.iter().zip(theirs).fold(0, |differ, (one, other)| black_box(differ | (one ^ other)));
        ours.len() == theirs.len() && differ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_served() {
        for (given, meant) in [
            ("7070", "127.0.0.1:7070"),
            ("0", "127.0.0.1:0"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.1.2.3:80", "127.1.2.3:80"),
            ("[::1]:7070", "[::1]:7070"),
        ] {
            assert_eq!(parse_address(given).map(|address| address.to_string()), Ok(meant.to_owned()));
        }
        for bad in ["0.0.0.0:7070", "[::]:7070", "192.0.2.1:7070", "[::ffff:127.0.0.1]:7070"] {
            let error = parse_address(bad).unwrap_err();
            assert!(error.contains("not encrypted") && error.contains("ssh -L 7070:127.0.0.1:7070"), "{bad}: {error}");
        }
        for bad in ["", "x", "65536", "-1", "localhost:7070", "127.0.0.1"] {
            assert!(parse_address(bad).unwrap_err().contains("127.0.0.1:7070"), "{bad}");
        }
    }

    #[test]
    fn a_request_names_the_address_that_is_served() {
        let (four, six) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        for host in ["127.0.0.1", "127.0.0.1:7070", "127.0.0.1:9", "localhost:7070", "LOCALHOST"] {
            assert!(is_host(host, four), "{host}");
        }
        assert!(is_host("[::1]:7070", six) && is_host("[::1]", six) && is_host("localhost", six));
        for host in [
            "",
            "evil.example",
            "evil.example:7070",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.2",
            "[::1]:7070",
            "127.0.0.1:7070@evil.example",
            "127.0.0.1:x",
            "[127.0.0.1]x",
            "[",
            " 127.0.0.1",
        ] {
            assert!(!is_host(host, four), "{host}");
        }
    }

    #[test]
    fn a_secret_is_known_whole_or_not_at_all() {
        let secret = Secret::random().unwrap();
        let text = secret.reveal().to_owned();
        assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(secret.is(&text) && text != Secret::random().unwrap().reveal());
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "g"), &text.to_uppercase()] {
            assert!(!secret.is(wrong) || wrong == text, "{wrong}");
        }
    }
}
