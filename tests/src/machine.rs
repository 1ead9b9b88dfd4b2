//! What this machine is and has, read from `/proc`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use tracer::source::{
    hooks::Hooks,
    live::Live,
    load::{LoadError, LoadOptions, kernel_release},
};

/// The `tracer` program under test: `$TRACER_BIN`, or the release build beside this test.
pub fn tracer_path() -> PathBuf {
    if let Some(path) = env::var_os("TRACER_BIN") {
        return path.into();
    }
    target_dir().join("release/tracer")
}

/// The workload program.
pub fn workload_path() -> PathBuf {
    program_path("workload")
}

/// A program that was built together with this one.
pub fn program_path(name: &str) -> PathBuf {
    let this = env::current_exe().expect("a program has a path");
    // target/debug/deps/kernel-…, or target/debug/soak, and target/debug/workload
    let folder = this.parent().expect("it is a file");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(name)
}

/// Whether the processor is emulated: every second counts 10 to 50 times there. The first process
/// of a virtual machine of `cargo xtask vm` says so.
pub fn is_emulated() -> bool {
    env::var_os("TRACER_TESTS_EMULATED").is_some()
}

/// How long to wait for what must come within `limit` on a machine under load. An emulated kernel verifies programs for
/// seconds each.
pub fn patience(limit: Duration) -> Duration {
    if is_emulated() { limit * 8 } else { limit }
}

/// Whether the kernel keeps its pid 1 from everybody, root included; no tracing program runs in the
/// context of such a process.
pub fn hides_its_init() -> bool {
    fs::read_link("/proc/1/ns/pid").is_err()
}

/// Where the output of failing tests goes.
pub fn report_dir() -> PathBuf {
    target_dir().join("kernel-tests")
}

fn target_dir() -> PathBuf {
    let workload = workload_path();
    workload.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps").to_owned()
}

/// What a control group is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// To be killed.
    Kill,
    /// To have little memory.
    Memory,
    /// To have few pids.
    Pids,
    /// To be frozen.
    Freeze,
}

impl Control {
    fn controller(self) -> Option<&'static str> {
        match self {
            Self::Kill => None,
            Self::Memory => Some("memory"),
            Self::Pids => Some("pids"),
            Self::Freeze => Some("freezer"),
        }
    }
}

/// A control group of a test, which goes with it.
pub struct Group(PathBuf);

impl Group {
    /// A new one; `None` where no such hierarchy is mounted.
    pub fn new(control: Control) -> Option<Self> {
        Self::named(control, &format!("tracer-test-{}", std::process::id()))
    }

    /// The same, with that name.
    pub fn named(control: Control, name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = mounts.lines().find_map(|mount| {
            let [_, place, kind, options, ..] = mount.split(' ').collect::<Vec<_>>()[..] else { return None };
            let is_it = match (kind, control) {
                ("cgroup2", Control::Kill | Control::Freeze) => true,
                ("cgroup2", _) => fs::read_to_string(Path::new(place).join("cgroup.subtree_control"))
                    .is_ok_and(|all| all.split_whitespace().any(|controller| Some(controller) == control.controller())),
                ("cgroup", _) => options.split(',').any(|option| Some(option) == control.controller()),
                _ => false,
            };
            is_it.then(|| PathBuf::from(place))
        })?;
        let group = root.join(name);
        fs::create_dir(&group).ok()?;
        Some(Self(group))
    }

    /// The file that does what it is made for.
    pub fn file(&self, control: Control) -> Option<PathBuf> {
        let names: &[&str] = match control {
            Control::Kill => &["cgroup.kill"],
            Control::Memory => &["memory.max", "memory.limit_in_bytes"],
            Control::Pids => &["pids.max"],
            Control::Freeze => &["freezer.state", "cgroup.freeze"],
        };
        names.iter().map(|name| self.0.join(name)).find(|file| file.exists())
    }

    /// Its path, as the kernel tells it.
    pub fn path(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        format!("/{}", name.to_string_lossy())
    }

    /// Has a process in it.
    pub fn takes(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a group takes a process");
    }

    /// Freezes all that is in it, until what this returns is dropped.
    pub fn freeze(&self) -> Frozen<'_> {
        let frozen = Frozen(self);
        frozen.set(true);
        let is_frozen = || {
            let read = |name| fs::read_to_string(self.0.join(name)).unwrap_or_default();
            read("freezer.state").contains("FROZEN") || read("cgroup.events").contains("frozen 1")
        };
        // What is on its way is frozen a moment later.
        await_that(&format!("{} is frozen", self.0.display()), is_frozen);
        frozen
    }
}

/// Waits until that is so, for ten seconds; `what` says it as a sentence.
pub fn await_that(what: &str, is_so: impl Fn() -> bool) {
    await_within(Duration::from_secs(10), what, is_so);
}

/// The same, for as long as that at the most.
pub fn await_within(time: Duration, what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < until, "it did not come true in time that {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// See [`Group::freeze`].
pub struct Frozen<'a>(&'a Group);

impl Frozen<'_> {
    fn set(&self, is_frozen: bool) {
        let Some(file) = self.0.file(Control::Freeze) else { return };
        let is_first = file.ends_with("freezer.state");
        let word = match (is_first, is_frozen) {
            (true, true) => "FROZEN",
            (true, false) => "THAWED",
            (false, true) => "1",
            (false, false) => "0",
        };
        let _ = fs::write(file, word);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Something without which a test cannot run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A `tracer` program.
    Tracer,
    /// A `tracer` program that was built with its eBPF part.
    KernelPart,
    /// Rights to stage things, that is, root.
    Root,
    /// Type information of the running kernel.
    Btf,
    /// A program on PATH.
    Program(&'static str),
    /// A file, such as that of a device.
    File(&'static str),
    /// To live in the machine's first pid namespace.
    HostPidNamespace,
    /// A kernel of this series, or a later one.
    Kernel(u32, u32),
    /// To be one that is thrown away: what is changed of it is nobody's.
    VirtualMachine,
    /// Control groups that can be killed.
    CgroupKill,
    /// Control groups with a limit of memory.
    MemoryLimit,
    /// Control groups with a limit of pids.
    PidsLimit,
    /// Control groups that can be frozen.
    Freezer,
    /// These optional hooks, which is tried once; to be asked last.
    Hooks(Hooks),
    /// That these optional hooks do not work.
    No(Hooks),
}

impl Need {
    /// Why this machine does not have it.
    pub fn missing(self) -> Option<String> {
        let (has, why) = match self {
            Self::Hooks(hooks) => return missing_hooks(hooks),
            Self::No(hooks) => (missing_hooks(hooks).is_some(), format!("{hooks:?} works here")),
            Self::Tracer => (tracer_path().exists(), format!("there is no {}", tracer_path().display())),
            Self::KernelPart => (has_kernel_part(), "tracer was built without its eBPF part".to_owned()),
            Self::Root => (rustix::process::geteuid().is_root(), "not root".to_owned()),
            Self::Btf => (Path::new("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF".to_owned()),
            Self::Kernel(major, minor) => {
                (kernel() >= (major, minor), format!("this is no kernel of {major}.{minor} or later"))
            }
            Self::VirtualMachine => {
                (is_emulated(), "it changes the whole machine: `cargo xtask vm` runs it in one of its own".to_owned())
            }
            Self::CgroupKill => (has_in_a_group(Control::Kill), "no cgroup.kill here".to_owned()),
            Self::MemoryLimit => (has_in_a_group(Control::Memory), "no control groups with memory.max".to_owned()),
            Self::Freezer => (has_in_a_group(Control::Freeze), "no control groups that can be frozen".to_owned()),
            Self::PidsLimit => (has_in_a_group(Control::Pids), "no control groups with pids.max".to_owned()),
            Self::Program(name) => (is_on_path(name), format!("{name} is not installed")),
            Self::File(path) => (Path::new(path).exists(), format!("there is no {path}")),
            Self::HostPidNamespace => {
                (pid_ns(std::process::id() as i32) == Some(0xEFFF_FFFC), "in a pid namespace".to_owned())
            }
        };
        (!has).then_some(why)
    }
}

/// Whether a control group can be made that has this.
fn has_in_a_group(control: Control) -> bool {
    Group::new(control).is_some_and(|group| group.file(control).is_some())
}

fn has_kernel_part() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let tree = Command::new(tracer_path()).arg("tree").output();
        tree.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("built without its kernel part"))
    })
}

/// Why these hooks do not work here, by trying them once.
fn missing_hooks(hooks: Hooks) -> Option<String> {
    static MISSING: [OnceLock<Option<String>>; 2] = [const { OnceLock::new() }; 2];
    let known = match hooks {
        Hooks::Best | Hooks::Tracepoint => return None,
        Hooks::Fentry => &MISSING[0],
        Hooks::Kprobe => &MISSING[1],
    };
    let attach = || Live::attach(&LoadOptions { hooks, ..LoadOptions::default() });
    let why = |error| match error {
        LoadError::Forbidden { .. } => "forbidden by the kernel".to_owned(),
        LoadError::NoKprobes => "no kprobes in this kernel".to_owned(),
        error => error.to_string(),
    };
    known.get_or_init(|| attach().err().map(why)).clone()
}

/// The series of the kernel that runs here: `(6, 18)`.
pub fn kernel() -> (u32, u32) {
    let release = kernel_release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether there is a program of that name, or in that place.
pub fn is_on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).exists()))
}

/// What `/proc/PID/stat` and `/proc/PID/status` say of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its pid.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// The letter of its state.
    pub state: char,
    /// Its pid in its own namespace.
    pub ns_pid: i32,
    /// When it started, in ticks since boot.
    pub start_ticks: u64,
    /// Whether it is a kernel thread.
    pub is_kthread: bool,
}

/// Reads [`Stat`]; `None` if there is no such process any more.
pub fn stat(pid: i32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything, blanks and parentheses too.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let ns_pid = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?;
    const PF_KTHREAD: u32 = 0x0020_0000;
    Some(Stat {
        pid,
        state: fields[0].chars().next()?,
        ppid: fields[1].parse().ok()?,
        is_kthread: fields[6].parse::<u32>().ok()? & PF_KTHREAD != 0,
        start_ticks: fields[19].parse().ok()?,
        ns_pid: ns_pid.parse().ok()?,
    })
}

/// The inode number of a process's pid namespace.
pub fn pid_ns(pid: i32) -> Option<u32> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// The pids of all processes.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// All processes, as they are one after another.
pub fn processes() -> Vec<Stat> {
    pids().into_iter().filter_map(stat).collect()
}

/// The pid on the host of a process that is `ns_pid` in the namespace of `member`.
pub fn host_pid(member: i32, ns_pid: i32) -> i32 {
    let namespace = pid_ns(member).expect("the namespace exists");
    processes()
        .into_iter()
        .find(|process| process.ns_pid == ns_pid && pid_ns(process.pid) == Some(namespace))
        .unwrap_or_else(|| panic!("there is no pid {ns_pid} in the namespace of {member}"))
        .pid
}

/// How many tasks (threads too) were ever created on this machine.
pub fn forks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").expect("/proc is mounted");
    let forks = stat.lines().find_map(|line| line.strip_prefix("processes "));
    forks.and_then(|forks| forks.parse().ok()).expect("/proc/stat counts processes")
}

/// The parent of a process.
pub fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    std::str::from_utf8(&stat[end + 2..]).ok()?.split(' ').nth(1)?.parse().ok()
}
