//! Makes untrusted strings safe to print: one list of characters that are escaped, and one way to quote a name among
//! our own words.
//!
//! Terminals, editors and web pages interpret what is printed, and build servers look for commands in it. So a name may
//! contain only visible characters, and none that start a command. Escaping can be undone: a backslash is doubled, and
//! never stands for itself.

use std::path::Path;

use unicode_width::UnicodeWidthChar;

/// Makes untrusted bytes safe to print. Valid UTF-8 of visible characters stays; everything else becomes `\\`, `\n`,
/// `\x1b`, `\u{202e}`, and so do the characters that turn a line of a log into a command of GitHub, Azure or TeamCity
/// (`::error::`, `##[error]`).
pub fn escape(bytes: &[u8]) -> String {
    // The usual case.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'#' | b':');
    if bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if is_visible(c) => out.push(c),
                c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    disarm(out)
}

/// A name among our own words: unchanged if it has only ASCII letters, digits and `_./:+@-`, else escaped and in
/// quotation marks, so that no punctuation in it can be taken for ours.
pub fn quote(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:+@-".contains(byte);
    if !name.is_empty() && name.iter().all(is_plain) && !name.starts_with(b"::") {
        return String::from_utf8_lossy(name).into_owned();
    }
    format!("\"{}\"", escape(name).replace('"', "\\\""))
}

/// The path of a file, quoted like any [name](quote).
pub fn file_name(path: impl AsRef<Path>) -> String {
    quote(path.as_ref().as_os_str().as_encoded_bytes())
}

/// A text that was composed elsewhere (by a library, by the system): its lines and backslashes stay, but anything
/// invisible is escaped.
pub fn tame(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line: String =
            line.chars().map(|c| if is_visible(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect();
        disarm(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a character is visible, in columns of its own. Not: control characters, marks that change how their
/// neighbours are shown or ordered, blanks other than the space, combining characters, and what Unicode has not
/// assigned, leaves to private use, or calls a noncharacter.
pub fn is_visible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Letters and symbols that look blank: the Hangul filler, Braille without dots, the null notehead.
        '\u{115f}' | '\u{2800}' | '\u{1d159}' => false,
        // The standard library knows what is printable, from the general categories of Unicode; the column width
        // decides the rest.
        _ => c.escape_debug().len() == 1 && c.width().is_some_and(|columns| columns > 0),
    }
}

/// Where commands for build servers begin in a text. `##` counts before `[`, or a word and `[`, anywhere in a
/// line (GitHub, Azure, TeamCity); `::` before a word, where a line may begin (GitHub).
pub fn commands(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let word = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let is_command = move |&at: &usize| match &bytes[at..] {
        [b'#', b'#', ..] => bytes.get(at + 2 + word(at + 2)) == Some(&b'['),
        [b':', b':', ..] => word(at + 2) > 0 && (at == 0 || bytes[at - 1] == b' '),
        _ => false,
    };
    (0..bytes.len()).filter(is_command)
}

/// Disarms commands for build servers; the result can be read back like the rest.
fn disarm(text: String) -> String {
    let mut rest = 0;
    let mut out = String::new();
    for at in commands(&text) {
        // The sign is ASCII, so it stands between characters.
        out.push_str(&text[rest..at]);
        out.push_str(&format!("\\x{:02x}", text.as_bytes()[at]));
        rest = at + 1;
    }
    if rest == 0 { text } else { out + &text[rest..] }
}

/// The bytes that [`escape`] or [`quote`] was given; `None` if that is the result of neither.
pub fn read_back(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, code)) = rest.split_once('\\') {
        out.extend(before.bytes());
        let sign = code.chars().next()?;
        rest = &code[sign.len_utf8()..];
        match sign {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'r' => out.push(b'\r'),
            'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            'u' => {
                let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                rest = after;
            }
            '\\' | '"' => out.push(sign as u8),
            _ => return None,
        }
    }
    out.extend(rest.bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ident::lies::LIES;

    /// Blank, invisible, or shown elsewhere: from the blocks of Unicode, by name.
    const UNSEEN: [std::ops::RangeInclusive<char>; 24] = [
        '\0'..='\x1f',
        '\x7f'..='\u{a0}',
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{61c}'..='\u{61c}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{2000}'..='\u{200f}',
        '\u{2028}'..='\u{202f}',
        '\u{205f}'..='\u{206f}',
        '\u{2800}'..='\u{2800}',
        '\u{3000}'..='\u{3000}',
        '\u{3164}'..='\u{3164}',
        '\u{e000}'..='\u{f8ff}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{fff0}'..='\u{fffb}',
        '\u{fffe}'..='\u{ffff}',
        '\u{1bca0}'..='\u{1bca3}',
        '\u{1d173}'..='\u{1d17a}',
        '\u{e0000}'..='\u{e0fff}',
        '\u{f0000}'..='\u{10ffff}',
    ];

    #[test]
    fn what_cannot_be_seen_is_escaped_and_letters_of_all_peoples_are_not() {
        for c in UNSEEN.into_iter().flatten() {
            assert!(!is_visible(c), "{:x}", c as u32);
        }
        for c in "azAZ09 ~éßñЖшΩαאשبع你好日本語カ한글€→█…😀🦀".chars() {
            assert!(is_visible(c), "{c}");
        }
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        for (name, text) in [
            (&b"\x1b[31mred\n"[..], "\\x1b[31mred\\n"),
            (b"caf\xc3\xa9 \xff", "café \\xff"),
            ("a\u{202e}b\u{9b}c".as_bytes(), "a\\u{202e}b\\u{9b}c"),
            (b"::error::x", "\\x3a:error::x"),
            (b"a::b ::1 a ::b", "a::b ::1 a \\x3a:b"),
            (b"##[error] ##vso[x] ## #[x] ###", "\\x23#[error] \\x23#vso[x] ## #[x] ###"),
            (b"###[x]", "#\\x23#[x]"),
        ] {
            assert_eq!(escape(name), text);
        }
        assert_eq!(tame("a\\b\n\x1b[31m\n::error::x"), "a\\b\n\\u{1b}[31m\n\\x3a:error::x");
    }

    #[test]
    fn quoting_tells_a_name_from_what_surrounds_it() {
        for plain in ["sleep", "docker.io/a:1@sha256-x", "a_b+c", "kworker/0:1", "-bash"] {
            assert_eq!(quote(plain), plain);
        }
        for (name, quoted) in [
            ("sshd (pid 1) <", "\"sshd (pid 1) <\""),
            ("tmux: server", "\"tmux: server\""),
            ("runc:[2:INIT]", "\"runc:[2:INIT]\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("", "\"\""),
            ("?", "\"?\""),
            ("café", "\"café\""),
            ("::error::x", "\"\\x3a:error::x\""),
        ] {
            assert_eq!(quote(name), quoted);
        }
    }

    /// One line, nothing unseen, no command.
    fn is_harmless(text: &str) -> bool {
        text.chars().all(is_visible) && commands(text).next().is_none()
    }

    fn safe(name: &[u8]) {
        let (escaped, quoted) = (escape(name), quote(name));
        assert!(is_harmless(&escaped) && is_harmless(&quoted), "{escaped} {quoted}");
        assert_eq!(read_back(&escaped_only(&escaped)).as_deref(), Some(name));
        assert_eq!(read_back(&quoted).as_deref(), Some(name));
        // The closing quotation mark is the first without a backslash before it.
        let inner = quoted.strip_prefix('"').map_or("", |rest| rest.strip_suffix('"').unwrap());
        let mut is_escaped = false;
        for c in inner.chars() {
            assert!(is_escaped || c != '"', "{quoted}");
            is_escaped = !is_escaped && c == '\\';
        }
        assert!(!is_escaped, "{quoted}");
        assert!(is_harmless(&tame(&String::from_utf8_lossy(name)).replace('\n', "")));
    }

    /// `read_back` takes quotation marks around a text for ours.
    fn escaped_only(text: &str) -> String {
        text.replace('"', "\\\"")
    }

    #[test]
    fn what_nobody_has_escaped_is_not_read_back() {
        for text in ["a\\", "\\x", "\\x1", "\\xé1", "\\u{d800}", "\\u{12", "\\u12", "\\q", "\\é"] {
            assert_eq!(read_back(text), None, "{text}");
        }
    }

    #[test]
    fn every_lie_is_safe_and_can_be_read_back() {
        LIES.into_iter().for_each(safe);
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe_and_can_be_read_back(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            text in "\\PC*[ :#\\[a-z\"\\\\]{0,12}",
            any in any::<String>(),
        ) {
            safe(&bytes);
            safe(text.as_bytes());
            safe(any.as_bytes());
        }
    }
}
