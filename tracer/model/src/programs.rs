//! Programs known by name: inits, shells, browsers, what only does the will of its parent, and the clients, runtimes and
//! watchers of containers.

use crate::ident::Args;

/// The name of a program's file, by its path.
pub fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Programs made to be pid 1: they pass signals on to their only child, reap, and end with that child. Engines rename
/// some when they put them into a container.
const FORWARDERS: [&str; 6] = ["tini", "tini-static", "docker-init", "podman-init", "dumb-init", "catatonit"];
/// Programs that start others from a list, and reap.
const SUPERVISORS: [&str; 4] = ["init", "systemd", "s6-svscan", "runit"];

/// Whether a program of that name was made to be the pid 1 of a single child.
pub fn is_forwarder(name: &str) -> bool {
    FORWARDERS.contains(&name)
}

/// Whether a program, by its path, was made to be pid 1.
pub fn is_init(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    is_forwarder(name) || SUPERVISORS.contains(&name)
}

/// Programs that run a script, put off its traps while a child runs in the foreground, and pass no signal on.
const SHELLS: [&[u8]; 9] = [b"sh", b"dash", b"bash", b"ash", b"busybox", b"ksh", b"mksh", b"zsh", b"yash"];

/// Whether a program of that name is a shell.
pub fn is_shell(name: &[u8]) -> bool {
    SHELLS.contains(&name)
}

/// Whether a program is a shell: by its name, or by the command line that a script has. Busybox is what its first word
/// names (`busybox sleep 9`).
pub fn is_script(name: &[u8], args: &Args) -> bool {
    let mut words = args.iter().map(file_name);
    match words.next() {
        Some(b"busybox") => words.next().is_none_or(is_shell),
        interpreter => is_shell(name) || interpreter.is_some_and(is_shell),
    }
}

/// What a shell runs, as far as its command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Commands, or a file of them.
    Plain,
    /// Commands that write to each other: `sh -c 'app | tee log'`.
    Pipeline,
}

/// What a program runs that is a shell.
pub fn script(name: &[u8], args: &Args) -> Option<Script> {
    let of = || if args.iter().skip(1).any(is_pipeline) { Script::Pipeline } else { Script::Plain };
    is_script(name, args).then(of)
}

/// Whether a shell's command has a `|` outside of quotes that is no `||`.
fn is_pipeline(command: &[u8]) -> bool {
    let mut quote = None;
    let bare: Vec<u8> = command
        .iter()
        .map(|&byte| {
            match quote {
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
                None => return byte,
            }
            b' '
        })
        .collect();
    bare.split(|&byte| byte != b'|').any(|pipe| pipe.len() == 1)
}

/// Shells that hardly anybody writes scripts in.
const PROMPTS: [&[u8]; 7] = [b"fish", b"csh", b"tcsh", b"nu", b"elvish", b"xonsh", b"pwsh"];

/// Whether a program is a shell that reads its commands from a person: its command line has options only.
pub fn is_prompt(name: &[u8], args: &Args) -> bool {
    if !is_script(name, args) && !PROMPTS.contains(&name) {
        return false;
    }
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        match word {
            b"--rcfile" | b"--init-file" | b"-o" | b"+o" | b"-O" | b"+O" => drop(words.next()),
            [b'-', b'-', ..] => {}
            // Of several letters together, too: `sh -ec 'app'`.
            [b'-' | b'+', letters @ ..] if !letters.contains(&b'c') => {}
            _ => return false,
        }
    }
    true
}

/// Programs that send the signal they are told to, or run another program on somebody's behalf.
const ERRANDS: [&[u8]; 11] =
    [b"kill", b"pkill", b"killall", b"killall5", b"skill", b"sudo", b"doas", b"env", b"nohup", b"xargs", b"nsenter"];

/// Whether a program of that name does nothing but what its parent wants.
pub fn is_errand(name: &[u8]) -> bool {
    ERRANDS.contains(&name)
}

/// Whether a program of that name keeps the terminals of others, in windows and sessions of its own.
pub fn is_multiplexer(name: &[u8]) -> bool {
    name.starts_with(b"tmux") || [&b"screen"[..], b"SCREEN", b"zellij"].contains(&name)
}

/// Programs that start helpers by the same name, and end them when these are not needed any more.
const BROWSERS: [&[u8]; 7] = [b"chrome", b"chromium", b"headless_shell", b"msedge", b"brave", b"electron", b"firefox"];

/// Whether a program of that name is a browser.
pub fn is_browser(name: &[u8]) -> bool {
    BROWSERS.contains(&name)
}

/// Whether a program of that name watches over containers: it is the parent of processes brought in, whether or not
/// their client lives. The kernel keeps 15 bytes of a name.
pub fn is_watcher(comm: &[u8]) -> bool {
    comm.starts_with(b"containerd-shim") || comm.starts_with(b"conmon")
}

/// Clients of engines.
const CLIENTS: [&[u8]; 7] = [b"docker", b"podman", b"nerdctl", b"crictl", b"ctr", b"kubectl", b"lxc-stop"];

/// Whether a program, by its path and command line, asks an engine to do something.
pub fn is_client(program: &[u8]) -> bool {
    CLIENTS.contains(&file_name(program))
}

/// Whether a program, by its path, is a client, a runtime or a watcher, so that it matters who started it.
pub fn is_of_engine(program: &[u8]) -> bool {
    let name = file_name(program);
    is_client(name) || is_runtime(name) || is_watcher(name) || is_lxc(name)
}

/// Whether a program of that name starts a container of LXC and then watches over it, or brings a process into one.
pub fn is_lxc(name: &[u8]) -> bool {
    [&b"lxc-start"[..], b"lxc-execute", b"lxc-attach"].contains(&name)
}

/// Whether a program of that name is an OCI runtime, which ends once a container or an exec has started.
pub fn is_runtime(name: &[u8]) -> bool {
    [&b"runc"[..], b"crun", b"youki", b"runsc"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_a_person_types_at_has_no_script() {
        let args = crate::story::args;
        for line in ["bash", "-bash", "sh -i", "bash --init-file /usr/share/code/shell.sh", "zsh -o vi -l", "fish", ""]
        {
            assert!(is_prompt(b"bash", &args(line)), "{line}");
        }
        for line in ["sh entry.sh", "bash -c app", "sh -ec app", "bash --norc run.sh -i"] {
            assert!(!is_prompt(b"bash", &args(line)), "{line}");
        }
        assert!(is_prompt(b"fish", &args("fish")) && !is_prompt(b"redis", &args("redis")));
    }

    #[test]
    fn a_pipeline_is_one_outside_of_quotes() {
        for (command, is) in [
            ("app | tee log", true),
            ("app|tee log", true),
            ("app 2>&1 |& tee log", true),
            ("app || exit 1", false),
            ("exec app '--only=a|b'", false),
            ("app \"a|b\" | tee 'x'", true),
            ("app", false),
        ] {
            assert_eq!(is_pipeline(command.as_bytes()), is, "{command}");
        }
        let args = crate::story::args;
        assert_eq!(script(b"sh", &args("sh -c app|tee")), Some(Script::Pipeline));
        assert_eq!(script(b"sh", &args("sh run.sh")), Some(Script::Plain));
        assert_eq!(script(b"app", &args("app -c a|b")), None);
    }

    #[test]
    fn busybox_is_a_shell_where_its_first_word_says_so() {
        let args = crate::story::args;
        for (line, is) in [
            ("/bin/busybox sleep 9", false),
            ("busybox httpd -f", false),
            ("/bin/busybox sh -c app", true),
            ("busybox", true),
            ("", true),
        ] {
            assert_eq!(is_script(b"busybox", &args(line)), is, "{line}");
        }
    }

    #[test]
    fn an_init_is_known_by_its_path() {
        for init in ["/sbin/docker-init", "/run/podman-init", "tini", "/sbin/init", "/usr/bin/s6-svscan"] {
            assert!(is_init(init), "{init}");
        }
        for other in ["", "sleep", "/init.sh", "/tini/app", "nginx"] {
            assert!(!is_init(other), "{other}");
        }
    }
}
