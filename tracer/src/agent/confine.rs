//! Gives up what the agent no longer needs once its programs are attached and its files are open: the user, the
//! capabilities, most of the file system (Landlock), and the system calls by which a process starts others, reaches
//! others or gets new rights (seccomp). Then tries whether that has worked.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible as _, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::{
    libc,
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

use crate::{
    ident::quote,
    users::{self, User},
};

/// What an agent may still read: other processes and control groups, and time zones.
const READABLE: [&str; 4] = ["/proc", "/sys", "/usr/share/zoneinfo", "/etc/localtime"];
/// The newest version of Landlock whose rights are known here.
const LANDLOCK: ABI = ABI::V6;
/// Commands of bpf(2) that make something new: `MAP_CREATE`, `PROG_LOAD`, `OBJ_PIN`, `OBJ_GET`, `PROG_ATTACH`,
/// `RAW_TRACEPOINT_OPEN`, `BTF_LOAD`. What is loaded already can be used.
const BPF_NEW: [u64; 7] = [0, 5, 6, 7, 8, 17, 18];

/// What has become of an agent.
#[derive(Debug)]
pub struct Confined {
    user: String,
    kept: CapabilitySet,
    landlock: RulesetStatus,
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, kept, landlock } = self;
        write!(f, "runs as {user} with ")?;
        match kept.is_empty() {
            true => f.write_str("no capability")?,
            false => write!(f, "{}", names(*kept))?,
        }
        f.write_str(", and cannot read /etc/shadow, start a program or connect to another machine (seccomp")?;
        match landlock {
            RulesetStatus::NotEnforced => f.write_str("; this kernel has no Landlock)"),
            RulesetStatus::PartiallyEnforced => f.write_str(", and Landlock as far as this kernel has it)"),
            RulesetStatus::FullyEnforced => f.write_str(", Landlock)"),
        }
    }
}

fn names(set: CapabilitySet) -> String {
    let names = set.iter_names().map(|(name, _)| format!("CAP_{name}"));
    names.collect::<Vec<_>>().join(" and ")
}

/// Confines this process. `writable` are folders to which it writes; `works` tries what it still has to be able to do.
/// There may be no thread that does anything but write to standard error.
///
/// # Errors
/// If the kernel refuses something, or it does not have the effect that it should.
pub fn agent(user: &User, writable: &[&Path], works: impl FnMut() -> io::Result<()>) -> io::Result<Confined> {
    let landlock = restrict_files(writable).map_err(told("Landlock"))?;
    set_keep_capabilities(true)?;
    become_user(Uid::from_raw(user.uid), Gid::from_raw(user.gid)).map_err(told("the change of user"))?;
    set_keep_capabilities(false)?;
    let kept = keep_least(works).map_err(told("the capabilities"))?;
    set_no_new_privs(true)?;
    restrict_calls().map_err(told("seccomp"))?;
    attempt()?;
    Ok(Confined { user: quote(user.name.as_encoded_bytes()), kept, landlock: landlock.ruleset })
}

/// Confines the helper of an agent, which has to be root: it can look at processes and read files.
///
/// # Errors
/// If the kernel refuses something.
pub fn helper() -> io::Result<()> {
    only(CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH)?;
    set_no_new_privs(true)?;
    restrict_calls()
}

fn told(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Landlock: what is not named can no longer be opened. An older kernel restricts less, or nothing.
fn restrict_files(writable: &[&Path]) -> io::Result<RestrictionStatus> {
    let read = AccessFs::from_read(LANDLOCK) & !AccessFs::Execute;
    let all = AccessFs::from_all(LANDLOCK) & !AccessFs::Execute;
    let restrict = || {
        let mut rules = Ruleset::default()
            .set_compatibility(landlock::CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::Signal)?
            .create()?;
        let readable = READABLE.iter().map(|path| (Path::new(path), read));
        for (path, access) in readable.chain(writable.iter().map(|&path| (path, all))) {
            // What is not there cannot be opened anyway.
            if let Ok(file) = PathFd::new(path) {
                rules = rules.add_rule(PathBeneath::new(file, access))?;
            }
        }
        rules.restrict_self()
    };
    restrict().map_err(io::Error::other)
}

/// Becomes a user who has no rights and gets none, for what speaks to others.
///
/// # Errors
/// If there is no such user, or this process is neither root nor that user.
pub(super) fn become_ordinary(name: &str) -> io::Result<()> {
    let user = users::meant(name).ok_or_else(|| io::Error::other(format!("there is no user {}", quote(name))))?;
    let uid = Uid::from_raw(user.uid);
    if Uid::effective() != uid {
        become_user(uid, Gid::from_raw(user.gid))?;
    }
    Ok(set_no_new_privs(true)?)
}

/// In all threads.
fn become_user(uid: Uid, gid: Gid) -> io::Result<()> {
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

/// Keeps what the work takes: before Linux 5.19, bpf(2) takes CAP_BPF for each use of a map (and CAP_PERFMON for an
/// iterator) where `kernel.unprivileged_bpf_disabled` is set; a /proc with hidepid takes CAP_SYS_PTRACE.
fn keep_least(mut works: impl FnMut() -> io::Result<()>) -> io::Result<CapabilitySet> {
    let ptrace = if File::open("/proc/1/stat").is_ok() { CapabilitySet::empty() } else { CapabilitySet::SYS_PTRACE };
    let mut last = Ok(());
    for bpf in [CapabilitySet::empty(), CapabilitySet::BPF, CapabilitySet::BPF | CapabilitySet::PERFMON] {
        let kept = bpf | ptrace;
        let all = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_PTRACE;
        set_capabilities(
            None,
            CapabilitySets { effective: kept, permitted: all, inheritable: CapabilitySet::empty() },
        )?;
        last = works();
        if last.is_ok() {
            only(kept)?;
            return Ok(kept);
        }
    }
    last.map(|()| CapabilitySet::empty())
}

/// Only these, and no others ever again.
fn only(kept: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// seccomp, for all threads.
fn restrict_calls() -> io::Result<()> {
    let rules = refused().map_err(io::Error::other)?;
    install(rules, libc::EPERM)?;
    // Its arguments are in memory, where a filter cannot see them. The C library then uses clone(2).
    install([(libc::SYS_clone3, Vec::new())].into(), libc::ENOSYS)
}

fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> io::Result<()> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// The system calls that are refused, some only with certain arguments.
fn refused() -> seccompiler::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let when = |arg, op, value| {
        Ok::<_, seccompiler::Error>(SeccompRule::new(vec![SeccompCondition::new(
            arg,
            SeccompCmpArgLen::Dword,
            op,
            value,
        )?])?)
    };
    let own = u64::from(std::process::id());
    let mut rules: BTreeMap<_, _> = REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let thread = libc::CLONE_THREAD as u64;
    // A thread, but no process.
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    // systemd and journald are asked by sockets of the machine.
    rules.insert(libc::SYS_socket, vec![when(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?]);
    // A signal to itself is how a program aborts.
    rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Ne, own)?]);
    let new = BPF_NEW.iter().map(|&command| when(0, SeccompCmpOp::Eq, command));
    rules.insert(libc::SYS_bpf, new.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// By which a process starts others, reaches into others, or changes the machine or its own rights.
const REFUSED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Tries what must be refused now.
fn attempt() -> io::Result<()> {
    let still = |what: &str| Err(io::Error::other(format!("it can still {what}")));
    if File::open("/etc/shadow").is_ok() {
        return still("read /etc/shadow");
    }
    let started = Command::new("/proc/self/exe").arg("--version").stdout(Stdio::null()).spawn();
    if let Ok(mut child) = started {
        // It must not stay a zombie.
        let _ = child.wait();
        return still("start a program");
    }
    match TcpStream::connect(("127.0.0.1", 1)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        _ => still("connect to another machine"),
    }
}
