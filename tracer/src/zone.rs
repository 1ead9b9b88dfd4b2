//! The time zone for the output. `TZ` may name one of the system's or a rule (tzset(3)), and nothing else: as root
//! under sudo, `tracer` must not open a file that somebody else has named.

use std::{env, ffi::OsStr, fs, path::Path, sync::LazyLock};

use jiff::{Timestamp, tz::TimeZone};

use crate::{console::stderr, time::BootNs};

/// Where the system has its time zones.
const ZONES: &str = "/usr/share/zoneinfo/";
/// The system's own: a link to one of them, or a copy.
const LOCAL: &str = "/etc/localtime";

/// A boot time on the wall clock, which is so many nanoseconds ahead; the last moment there is for one beyond it.
pub fn timestamp(at: BootNs, wall_offset_ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(at.since_1970(wall_offset_ns)).unwrap_or(Timestamp::MAX)
}

/// The time zone that `TZ` names, or the system's. UTC, with a message, if `TZ` names none.
pub fn local() -> TimeZone {
    static ZONE: LazyLock<TimeZone> = LazyLock::new(|| match env::var_os("TZ") {
        Some(name) => named(&name).unwrap_or_else(|| {
            stderr::say(format_args!("TZ={name:?} is no time zone of {ZONES} and no rule, so times are UTC"));
            TimeZone::UTC
        }),
        None => of_the_system().unwrap_or(TimeZone::UTC),
    });
    ZONE.clone()
}

fn named(name: &OsStr) -> Option<TimeZone> {
    let name = name.to_str()?;
    let name = name.strip_prefix(':').unwrap_or(name);
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    let in_zones = name.strip_prefix(ZONES).unwrap_or(name);
    of_zones(in_zones).or_else(|| TimeZone::posix(name).ok())
}

/// A file of the system's time zones; nothing outside.
fn of_zones(name: &str) -> Option<TimeZone> {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if !name.split('/').all(is_name) {
        return None;
    }
    let data = fs::read(Path::new(ZONES).join(name)).ok()?;
    TimeZone::tzif(name, &data).ok()
}

fn of_the_system() -> Option<TimeZone> {
    let by_link = || {
        let target = fs::read_link(LOCAL).ok()?;
        of_zones(target.to_str()?.rsplit_once("zoneinfo/")?.1)
    };
    by_link().or_else(|| TimeZone::tzif("local", &fs::read(LOCAL).ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(name: &str) -> Option<i32> {
        let winter = Timestamp::from_second(1_700_000_000).unwrap();
        named(OsStr::new(name)).map(|zone| zone.to_offset(winter).seconds())
    }

    #[test]
    fn rules_and_names_and_no_files() {
        assert_eq!(offset(""), Some(0));
        assert_eq!(offset("XYZ-2"), Some(7_200));
        assert_eq!(offset("CET-1CEST,M3.5.0,M10.5.0/3"), Some(3_600));
        if Path::new(ZONES).join("Europe/Berlin").exists() {
            for name in ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin"] {
                assert_eq!(offset(name), Some(3_600), "{name}");
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zoneinfo/Here");
        fs::create_dir(dir.path().join("zoneinfo")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
        let up = "../".repeat(8);
        // Opening it would wait for ever.
        for prefix in ["", ":", &up, &format!(":{ZONES}{up}"), "Europe/../"] {
            assert_eq!(offset(&format!("{prefix}{}", file.to_string_lossy())), None, "{prefix}");
        }
        for name in ["/etc/shadow", ":/etc/shadow", "../../../etc/shadow", "Europe//Berlin", ".", "Europe", "a\nb"] {
            assert_eq!(offset(name), None, "{name}");
        }
    }
}
