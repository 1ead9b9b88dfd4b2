//! `/proc/PID/stat` and `/proc/PID/status`, which hold a name that the process has chosen.

use crate::{
    event::{Looked, Masks},
    time::{BootNs, Span},
};

/// The unit of the start time in `/proc/PID/stat`: USER_HZ is 100 on every architecture that has Linux with eBPF.
const TICK: Span = Span::ms(10);

/// What `stat` says about the process that started at that time, or nothing if it is about another. The fields follow
/// the name, which can contain anything and ends with the last `)`.
pub fn stat(text: &[u8], start: BootNs) -> Option<Looked> {
    let mut fields = after_name(text)?;
    let state = *fields.next()?.as_bytes().first()?;
    let ppid = fields.next()?.parse().ok()?;
    // Field 7 of proc(5); the state is field 3, ppid field 4.
    let tty: u32 = fields.nth(7 - 5)?.parse().unwrap_or(0);
    // Field 22.
    let ticks: u64 = fields.nth(22 - 8)?.parse().ok()?;
    (ticks == (start - BootNs::ZERO) / TICK).then_some(Looked { state, ppid, pts: pts(tty) })
}

/// The state of a process or thread, whichever it is.
pub fn state(text: &[u8]) -> Option<char> {
    after_name(text)?.next()?.chars().next()
}

fn after_name(text: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let end = text.iter().rposition(|&b| b == b')')?;
    Some(std::str::from_utf8(text.get(end + 2..)?).ok()?.split_ascii_whitespace())
}

/// The number of a pseudo-terminal by its device number (`UNIX98_PTY_SLAVE_MAJOR`, of which there are 8).
fn pts(tty: u32) -> Option<u16> {
    let (major, minor) = (tty >> 8 & 0xfff, tty & 0xff | tty >> 12 & 0xf_ff00);
    let which = major.checked_sub(136).filter(|&which| which < 8)?;
    u16::try_from(which << 8 | minor).ok()
}

/// The signals that wait for a thread, those that it blocks, and those that its process handles, by its `status`.
pub fn masks(status: &str) -> Option<Masks> {
    let mask = |name: &str| u64::from_str_radix(field(status, name)?, 16).ok();
    Some(Masks {
        pending: mask("SigPnd")?,
        shared_pending: mask("ShdPnd")?,
        blocked: mask("SigBlk")?,
        caught: mask("SigCgt")?,
    })
}

/// What `status` says under a name.
pub fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"42 (a) S ) b) Z 7 42 42 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 1234 0 0 18446744073709551615 0\n";

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        assert_eq!(stat(STAT, BootNs::ZERO + 1234 * TICK + Span(5)), Some(Looked { state: b'Z', ppid: 7, pts: None }));
    }

    #[test]
    fn a_terminal_is_told_by_its_device() {
        let on = |tty: &str| String::from_utf8_lossy(STAT).replace("42 42 0 -1", &format!("42 42 {tty} -1"));
        for (tty, want) in [("34819", Some(3)), ("35072", Some(256)), ("1025", None), ("0", None)] {
            assert_eq!(stat(on(tty).as_bytes(), BootNs::ZERO + 1234 * TICK).unwrap().pts, want, "{tty}");
        }
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_meant() {
        assert_eq!(stat(STAT, BootNs::ZERO + 1235 * TICK), None);
    }

    #[test]
    fn the_state_stands_behind_the_name() {
        assert_eq!(state(b"7 (a) D b) S 1 7"), Some('S'));
        assert_eq!(state(b"7 (a"), None);
    }

    #[test]
    fn short_or_strange_files_are_nothing() {
        for text in [&b""[..], b"42 (a)", b"42 (a) Z", b"42 (a) Z x y z", b"garbage"] {
            assert_eq!(stat(text, BootNs::ZERO), None);
        }
    }
}
