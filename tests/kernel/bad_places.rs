//! Scenario 31: wrong usage, and places where tracing cannot work. One plain sentence each.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use nix::{
    libc,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, setgid, setgroups, setuid},
};
use tracer::source::hooks::Hooks;
use tracer_tests::{
    machine::{self, Control, Group, Need},
    run::{output, tracer},
};

use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    let words = |name, body| Test { name, body, needs: vec![Need::Tracer] };
    vec![
        words("unknown_rule", || is_usage(&["watch", "--rule", "no-such-rule"], "no-such-rule")),
        words("unknown_signal", || is_usage(&["watch", "-s", "SIGNOPE"], "SIGNOPE")),
        words("unknown_severity", || is_usage(&["watch", "--min-severity", "grave"], "grave")),
        words("unknown_event_kind", || is_usage(&["watch", "--events=birth"], "birth")),
        words("unknown_format", || is_usage(&["watch", "-o", "xml"], "xml")),
        words("ring_size_not_a_power_of_two", || is_usage(&["watch", "--ring-size", "5000"], "power of two")),
        words("ring_size_without_sense", || is_usage(&["watch", "--ring-size", "large"], "large")),
        words("bad_duration", || is_usage(&["watch", "--duration", "soon"], "soon")),
        words("explain_unknown_rule", || is_usage(&["explain", "no-such-rule"], "no-such-rule")),
        live("pid_that_does_not_exist", pid_that_does_not_exist),
        live("namespace_that_does_not_exist", namespace_that_does_not_exist),
        live("not_root", not_root),
        live("without_capabilities", without_capabilities),
        live("bpf_forbidden_by_seccomp", bpf_forbidden_by_seccomp),
        live("no_btf", no_btf),
        live("no_descriptors", no_descriptors),
        live("no_threads", no_threads).needs(Need::PidsLimit),
        live("no_fentry", || no_such_hooks("fentry")).needs(Need::No(Hooks::Fentry)),
        live("no_kprobes", || no_such_hooks("kprobe")).needs(Need::No(Hooks::Kprobe)),
    ]
}

/// Exit code 2, and the first line says what is wrong.
fn is_usage(args: &[&str], word: &str) {
    let output = output(tracer(args));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let first = stderr.lines().next().unwrap_or_default();
    assert!(first.contains(word), "{word:?} is not in the first line of: {stderr}");
}

/// Exit code 1 (2 if the command line is wrong), nothing on stdout, and one or two plain lines that contain one of the
/// words.
fn fails(command: Command, codes: &[i32], words: &[&str]) {
    let output = output(command);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{:?}: {stderr}", output.status);
    assert!(output.stdout.is_empty(), "it says on stdout: {}", String::from_utf8_lossy(&output.stdout));
    assert!(words.iter().any(|word| stderr.contains(word)), "none of {words:?} is in: {stderr}");
    assert!((1..=3).contains(&stderr.lines().count()), "that is no sentence: {stderr}");
    for noise in ["panicked", "backtrace", "0: ", "Error {"] {
        assert!(!stderr.contains(noise), "{noise:?} is in: {stderr}");
    }
}

fn pid_that_does_not_exist() {
    let mut gone = Command::new(machine::workload_path()).arg("nothing").spawn().expect("the workload starts");
    gone.wait().expect("a child can be waited for");
    let pid = gone.id().to_string();
    for option in ["-p", "--tree", "--from-pid", "--to-pid"] {
        fails(tracer(&["watch", option, &pid]), &[1, 2], &[&pid]);
    }
}

fn namespace_that_does_not_exist() {
    for command in ["watch", "tree"] {
        fails(tracer(&[command, "--ns", "4026599999"]), &[1, 2], &["4026599999"]);
    }
}

/// Each command that traces.
const LIVE: [&[&str]; 2] = [&["watch"], &["tree"]];

fn not_root() {
    // Where everybody can read it.
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
    let copy = dir.path().join("tracer");
    fs::copy(machine::tracer_path(), &copy).expect("a copy");
    for args in LIVE {
        let mut command = Command::new(&copy);
        command.args(args).current_dir("/").env_remove("RUST_BACKTRACE");
        before_exec(&mut command, || {
            setgroups(&[])?;
            setgid(Gid::from_raw(65534))?;
            Ok(setuid(Uid::from_raw(65534))?)
        });
        fails(command, &[1], &["root", "CAP_"]);
    }
}

/// Root, but not allowed to do what root does, as in a container.
fn without_capabilities() {
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    const CAP_BPF: u32 = 39;
    for args in LIVE {
        let mut command = tracer(args);
        before_exec(&mut command, || {
            for capability in [CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF] {
                // SAFETY: this prctl(2) takes no pointers.
                if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
        fails(command, &[1], &["CAP_"]);
    }
}

fn bpf_forbidden_by_seccomp() {
    for args in LIVE {
        let mut command = tracer(args);
        before_exec(&mut command, forbid_bpf);
        fails(command, &[1], &["bpf", "seccomp"]);
    }
}

/// A seccomp filter by which bpf(2) fails with EPERM.
fn forbid_bpf() -> io::Result<()> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The number of the system call comes first in seccomp_data.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_bpf as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives through the call, and its length is right.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if set { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn no_btf() {
    for args in LIVE {
        let mut command = tracer(args);
        before_exec(&mut command, || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            Ok(mount(Some("none"), "/sys/kernel/btf", Some("tmpfs"), MsFlags::empty(), none)?)
        });
        fails(command, &[1], &["BTF"]);
    }
}

/// Its control group has room for so many threads: it does without the others, or says that it cannot.
fn no_threads() {
    let group = Group::named(Control::Pids, &format!("tracer-narrow-{}", std::process::id())).expect("a group");
    let limit = group.file(Control::Pids).expect("it has a limit");
    let members = limit.with_file_name("cgroup.procs");
    let mut has_started = false;
    for most in [1, 2, 3, 4, 6, 8] {
        fs::write(&limit, most.to_string()).expect("a limit");
        let mut command = tracer(&["watch", "--duration", "300ms"]);
        let members = members.clone();
        // SAFETY: it writes to a file, as this process could.
        unsafe { command.pre_exec(move || fs::write(&members, "0")) };
        let output = output(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "with {most} threads: {stderr}");
        match output.status.code() {
            Some(0) => has_started = true,
            code => {
                assert!(code == Some(1) && !has_started, "{:?} with {most} threads: {stderr}", output.status);
                assert!((1..=3).contains(&stderr.lines().count()), "with {most} threads: {stderr}");
            }
        }
    }
    assert!(has_started, "8 threads are too few");
}

/// Wherever the descriptors run out, the message blames neither the kernel nor its verifier.
fn no_descriptors() {
    for limit in (8..40).step_by(4) {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n $0; exec \"$@\"", &limit.to_string()]).arg(machine::tracer_path());
        command.args(["watch", "--duration", "1ms", "--rule", "left-behind"]).env("RUST_BACKTRACE", "0");
        let output = output(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            assert!(limit > 8, "it needs more");
            break;
        }
        assert!(stderr.to_lowercase().contains("too many open files"), "{limit}: {stderr}");
        assert!(!["verifier", "5.10", "panicked"].iter().any(|word| stderr.contains(word)), "{limit}: {stderr}");
    }
}

/// If hooks are requested by name, `tracer` does not silently do without them.
fn no_such_hooks(hooks: &str) {
    fails(tracer(&["watch", "--hooks", hooks]), &[1], &[hooks]);
}

fn before_exec(command: &mut Command, prepare: fn() -> io::Result<()>) {
    // SAFETY: what is passed only makes system calls.
    unsafe {
        command.pre_exec(prepare);
    }
}
