//! Parses the command lines of LXC.

use crate::{
    ident::Args,
    programs::{file_name, is_lxc},
};

/// Options that take a value, so that the next word is not the container (lxc-start(1), lxc-stop(1), lxc-attach(1)).
const WITH_VALUE: [&str; 22] = [
    "-P",
    "--lxcpath",
    "-o",
    "--logfile",
    "-l",
    "--logpriority",
    "-f",
    "--rcfile",
    "-s",
    "--define",
    "-c",
    "--console",
    "-L",
    "--console-log",
    "-p",
    "--pidfile",
    "-t",
    "--timeout",
    "-u",
    "--uid",
    "-g",
    "--gid",
];

/// The container into which a command line brings a process.
pub fn started(args: &Args) -> Option<&str> {
    args.iter().next().filter(|program| is_lxc(file_name(program)))?;
    name(args)
}

/// The container that a command line asks LXC to stop.
pub fn stopped(args: &Args) -> Option<&str> {
    args.iter().next().filter(|program| file_name(program) == b"lxc-stop")?;
    name(args)
}

/// The value of `-n`, else the first word that is no option.
fn name(args: &Args) -> Option<&str> {
    let mut words = args.iter().skip(1).map(|word| str::from_utf8(word).unwrap_or_default());
    let name = loop {
        match words.next()? {
            "-n" | "--name" => break words.next()?,
            "--" => return None,
            word if WITH_VALUE.contains(&word) => drop(words.next()),
            word => {
                let value = word.strip_prefix("--name=").or_else(|| word.strip_prefix("-n"));
                match value {
                    Some(name) => break name,
                    None if word.starts_with('-') => {}
                    None => break word,
                }
            }
        }
    };
    (is_name(name) && !args.cut).then_some(name)
}

/// The longest name.
const NAME_MAX: usize = 64;

/// Whether it is a name that people give to a container. LXC takes others, which are not believed: whoever may call a
/// program or make a control group can choose one.
pub fn is_name(name: &str) -> bool {
    let is_ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_ordinary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::args;

    #[test]
    fn its_commands_name_a_container() {
        for (line, want) in [
            ("lxc-start -n web", Some("web")),
            ("/usr/bin/lxc-start -F -P /srv/lxc --name=web -s lxc.init.cmd=/sbin/init", Some("web")),
            ("lxc-start -nweb", Some("web")),
            ("lxc-start -P /srv/lxc web", Some("web")),
            ("lxc-attach -n web -- kill -n 3", Some("web")),
            ("lxc-execute -d web -- app -n other", Some("web")),
            ("lxc-attach web sh -n", Some("web")),
            ("lxc-start we\u{1b}b", None),
            ("lxc-start", None),
            ("lxc-start -n", None),
            ("lxc-info -n web", None),
            ("lxc-stop -n web", None),
        ] {
            assert_eq!(started(&args(line)), want, "{line}");
        }
        for (line, want) in [
            ("lxc-stop -k -n web", Some("web")),
            ("lxc-stop -t 3 web", Some("web")),
            ("lxc-stop --timeout 3 web", Some("web")),
            ("lxc-start -n web", None),
        ] {
            assert_eq!(stopped(&args(line)), want, "{line}");
        }
    }
}
