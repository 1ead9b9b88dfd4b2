//! What servers do at the signals that people stop them with, where that differs from one to the next.

use crate::signal::Signal;

/// Servers that stop to accept at the first signal and end when their last client has gone, or their last task is done,
/// and that end without them at the second. Their workers learn of it without a signal, or go on with their work.
const DRAINING: [(&[u8], Signal, Signal, &str); 7] = [
    (b"postgres", Signal::TERM, Signal::INT, CLIENTS),
    (b"nginx", Signal::QUIT, Signal::TERM, CLIENTS),
    (b"apache2", Signal::WINCH, Signal::TERM, CLIENTS),
    (b"httpd", Signal::WINCH, Signal::TERM, CLIENTS),
    (b"php-fpm", Signal::QUIT, Signal::TERM, CLIENTS),
    (b"haproxy", Signal::USR1, Signal::TERM, CLIENTS),
    (b"celery", Signal::TERM, Signal::QUIT, "tasks"),
];

const CLIENTS: &str = "clients";

/// The signal at which a server does not wait for its clients or tasks, if it waits for them at this one, and which of
/// them it has.
pub(crate) fn ends_promptly_at(program: &[u8], signal: Signal) -> Option<(Signal, &'static str)> {
    let is_of = |name: &[u8]| {
        // Debian's PHP has its version in the name.
        let version = program.strip_prefix(name);
        version.is_some_and(|version| version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
    };
    let is_it = |&&(name, drains, ..): &&(&[u8], Signal, Signal, &str)| drains == signal && is_of(name);
    DRAINING.iter().find(is_it).map(|&(.., prompt, whom)| (prompt, whom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_name_and_what_it_does_by_the_signal() {
        assert_eq!(ends_promptly_at(b"postgres", Signal::TERM), Some((Signal::INT, CLIENTS)));
        assert_eq!(ends_promptly_at(b"celery", Signal::TERM), Some((Signal::QUIT, "tasks")));
        assert_eq!(ends_promptly_at(b"php-fpm8.2", Signal::QUIT), Some((Signal::TERM, CLIENTS)));
        assert_eq!(ends_promptly_at(b"postgres", Signal::INT), None);
        assert_eq!(ends_promptly_at(b"nginx", Signal::TERM), None);
        assert_eq!(ends_promptly_at(b"nginx-exporter", Signal::QUIT), None);
    }
}
