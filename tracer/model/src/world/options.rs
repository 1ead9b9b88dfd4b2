//! The options of an engine's client: which words they are, and whether they detach it from what it asks for.

/// Letters that take no value: `-it`, `-dP`.
const LETTERS: &[u8] = b"itdPqT";
/// Options that take none. Of any other one, the next word may be the value.
const WORDS: [&[u8]; 13] = [
    b"--detach",
    b"--init",
    b"--interactive",
    b"--no-healthcheck",
    b"--oom-kill-disable",
    b"--privileged",
    b"--publish-all",
    b"--quiet",
    b"--read-only",
    b"--replace",
    b"--rm",
    b"--sig-proxy",
    b"--tty",
];

/// The words before the first operand. An unknown option may take one word too many with it, which is a command's.
pub(super) fn options<'a, 'b>(words: &'b [&'a [u8]]) -> &'b [&'a [u8]] {
    let mut end = 0;
    while words.get(end).is_some_and(|word| word.len() > 1 && word.starts_with(b"-") && *word != b"--") {
        end += if takes_next(words[end]) { 2 } else { 1 };
    }
    &words[..end.min(words.len())]
}

/// Whether the next word may be the value of an option.
fn takes_next(option: &[u8]) -> bool {
    if option.starts_with(b"--") {
        return !option.contains(&b'=') && !WORDS.contains(&option);
    }
    // What follows a letter that takes a value is the value: `-p80:80`.
    flags(&option[1..]).len() + 2 == option.len()
}

/// Of some letters the first ones, which take no value.
fn flags(letters: &[u8]) -> &[u8] {
    let end = letters.iter().position(|letter| !LETTERS.contains(letter)).unwrap_or(letters.len());
    &letters[..end]
}

/// Whether an option detaches: `-d`, `-td`, `-du root`, `--detach`.
pub(super) fn detaches(option: &[u8]) -> bool {
    let (is_named, value) = match option.strip_prefix(b"--detach") {
        Some(value) => (matches!(value, [] | [b'=', ..]), value),
        None => {
            let letters = option.strip_prefix(b"-").unwrap_or_default();
            let flags = flags(letters);
            (flags.contains(&b'd'), &letters[flags.len()..])
        }
    };
    // As Go reads it (strconv.ParseBool()).
    let is_refused = [&b"=0"[..], b"=f", b"=F", b"=false", b"=FALSE", b"=False"].contains(&value);
    is_named && !is_refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_detach() {
        let does = ["-d", "-itd", "-du", "-dP", "--detach", "--detach=true", "-d=true"];
        let does_not = ["-it", "-e", "-", "-ed", "-ud", "--detach-keys", "--detach=false", "-d=false", "--", "-w"];
        assert!(does.iter().all(|word| detaches(word.as_bytes())));
        assert!(!does_not.iter().any(|word| detaches(word.as_bytes())));
    }

    #[test]
    fn options_end_at_the_first_operand() {
        for (line, want) in [
            ("-it alpine sh -d", 1),
            ("--rm -p 80:80 -p81:81 -e A=b --name web --net=host nginx -d", 9),
            ("-du root web sh", 2),
            ("--rm -- nginx -d", 1),
            ("alpine -d", 0),
            ("--what nginx -d", 3),
            ("--name", 1),
        ] {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(options(&words).len(), want, "{line}");
        }
    }
}
