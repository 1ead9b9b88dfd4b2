//! Loads and attaches the programs; if that fails, explains why in one sentence.

use std::{
    error::Error,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd},
    panic,
    thread::{self, ScopedJoinHandle},
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader, VerifierLogLevel,
    maps::MapError,
    programs::{BtfTracePoint, Iter, Program, ProgramError},
};
use rustix::thread::CapabilitySet;
use tracer_common::Config;

use crate::source::{
    hooks::Hooks,
    offsets::{self, OffsetsError, Resolved},
    procfs,
    rings::{Rings, Share, Transport},
};

/// The compiled programs; empty if this binary was built without an eBPF toolchain.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer.bpf.o"));

/// The tracepoints that the live source attaches to; the program for each has the same name.
pub const HOOKS: [&str; 7] = [
    "task_newtask",
    "task_rename",
    "sched_process_exec",
    "sched_process_exit",
    "sched_process_free",
    "signal_generate",
    "signal_deliver",
];

/// What the iterators go through (`bpf_iter_task()`).
const TASKS: &str = "task";
/// The program that lists what exists.
pub const ITERATOR: &str = "snapshot";
/// The program that lists what no tracepoint shows.
pub const SURVEY: &str = "survey";

/// Why live tracing is not possible.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Built without an eBPF toolchain.
    #[error("this tracer was built without its kernel part ({0}); build it with `cargo xtask build`")]
    NotBuilt(&'static str),
    /// The process may not do it.
    #[error("live tracing needs root, or the capabilities {missing}; run it with sudo")]
    NoCapability {
        /// What is missing.
        missing: String,
    },
    /// In a container that does not share the host's pid namespace.
    #[error(
        "this is pid namespace {0}, not the host's, so most processes cannot be seen; run it on the host, or in a \
         container with `--pid host`"
    )]
    NotHostPidNs(u32),
    /// The kernel has no type information, or not the fields that are needed.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// bpf(2) said EPERM in spite of the capabilities.
    #[error("the kernel forbids bpf() though the capabilities are there ({what}): {why}")]
    Forbidden {
        /// What was tried.
        what: String,
        /// The likely reason and the next step.
        why: String,
    },
    /// The kernel does not know something that is needed.
    #[error("this kernel ({kernel}) cannot do {what}; 5.10 or later is needed")]
    TooOld {
        /// What it cannot do.
        what: String,
        /// `uname -r`.
        kernel: String,
    },
    /// The verifier refused a program.
    #[error("the kernel's verifier refuses {what} ({why}); please report this, with your kernel's version")]
    Refused {
        /// What was tried.
        what: String,
        /// The line of its log that says why.
        why: String,
    },
    /// A kernel function that an optional hook needs.
    #[error("this kernel ({kernel}) has no function {functions} that programs can be put on")]
    NoFunction {
        /// What was looked for.
        functions: String,
        /// `uname -r`.
        kernel: String,
    },
    /// The kernel was built without them.
    #[error("this kernel has no kprobes (CONFIG_KPROBE_EVENTS); use --hooks best or tracepoint")]
    NoKprobes,
    /// Not enough memory for records.
    #[error("no memory for a ring buffer of {0} bytes; ask for less with --ring-size, or raise `ulimit -l`")]
    NoMemory(u32),
    /// No descriptor is left, for this process or on the whole machine.
    #[error("too many open files, so {0} cannot be loaded; raise `ulimit -n`, or the machine's fs.file-max")]
    TooManyFiles(String),
    /// Anything else.
    #[error("cannot load {what}")]
    Other {
        /// What was tried.
        what: String,
        /// What the loader said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What to load, and how.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Bytes for records on their way: a power of two, a multiple of the page size.
    pub ring_size: u32,
    /// Which way signals take.
    pub transport: Transport,
    /// Every signal, not only those that findings depend on.
    pub all_signals: bool,
    /// Every delivery of a signal, not only those that the kernel is about to drop.
    pub all_deliveries: bool,
    /// Hooks besides the tracepoints.
    pub hooks: Hooks,
    /// The programs log what they do, for their developers.
    pub debug: bool,
    /// The stream will be about a command that is started later.
    pub has_command: bool,
    /// The pid of the process whose tree is asked for.
    pub tree: Option<u32>,
    /// Share of the records, 0 to 1, to drop and count as lost, for tests.
    pub simulate_loss: f64,
    /// How much the verifier writes about a program that it refuses.
    pub verifier_log: VerifierLogLevel,
    /// Fields to treat as if this kernel did not have them, by their path, for tests.
    pub without: &'static [&'static str],
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            ring_size: 16 << 20,
            transport: Transport::Best,
            all_signals: false,
            all_deliveries: false,
            hooks: Hooks::default(),
            debug: false,
            has_command: false,
            tree: None,
            simulate_loss: 0.0,
            verifier_log: VerifierLogLevel::default(),
            without: &[],
        }
    }
}

/// An object whose maps exist and whose programs are not loaded yet.
#[derive(Debug)]
pub struct Loaded {
    /// The maps and programs.
    pub ebpf: Ebpf,
    /// The kernel's types.
    pub btf: Btf,
    /// What is not possible on this kernel.
    pub degraded: Vec<String>,
    /// How the memory for records is shared out.
    pub share: Share,
    /// Where signals come; without them, they come where the rest does.
    pub rings: Option<Rings>,
}

/// Checks that live tracing can work here, and creates the maps.
///
/// # Errors
/// See [`LoadError`].
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NotBuilt(env!("TRACER_EBPF_MISSING")));
    }
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return Err(LoadError::NoCapability { missing: missing.join(" and ") });
    }
    if let Ok(ns) = procfs::pid_namespace("self")
        && ns.0 != procfs::INITIAL_PID_NS
    {
        return Err(LoadError::NotHostPidNs(ns.0));
    }
    // The kernel's types are read three times: by the loader for itself, for the programs, and for what no loader asks.
    let (loader, btf, resolved) = thread::scope(|scope| {
        let loader = thread::Builder::new().spawn_scoped(scope, EbpfLoader::new);
        let btf = thread::Builder::new().spawn_scoped(scope, Btf::from_sys_fs);
        let resolved = offsets::of_running_kernel(options.without);
        (result(loader, EbpfLoader::new), result(btf, Btf::from_sys_fs), resolved)
    });
    let Resolved { config, mut degraded } = resolved?;
    degraded.extend(procfs::shortcomings());
    let config = Config {
        all_signals: u32::from(options.all_signals),
        all_deliveries: u32::from(options.all_deliveries),
        has_typed_siginfo: 1,
        host_mount_ns: procfs::host_mount_ns(),
        ..config
    };
    let btf = btf.map_err(|error| other("the kernel's types", error))?;
    let (mut ebpf, mut share, mut rings) = create_best(loader, &config, options)?;
    // Only the verifier can say whether it knows the type of a siginfo. If it refuses the program for another reason,
    // it will do so again when the program is attached.
    if !is_accepted(&mut ebpf, "signal_deliver", &btf) {
        drop((ebpf, rings));
        let config = Config { has_typed_siginfo: 0, ..config };
        (ebpf, share, rings) = create_best(EbpfLoader::new(), &config, options)?;
    }
    Ok(Loaded { ebpf, btf, degraded, share, rings })
}

/// Creates the maps, and maps the rings of the processors if they can be used.
fn create_best(
    loader: EbpfLoader<'_>,
    config: &Config,
    options: &LoadOptions,
) -> Result<(Ebpf, Share, Option<Rings>), LoadError> {
    let processors = aya::util::nr_cpus().map_err(|(file, error)| other(file, error))? as u32;
    let share = options.transport.share(options.ring_size, processors);
    let ebpf = create(loader, config, options, share, processors)?;
    if share.slots == 0 {
        return Ok((ebpf, share, None));
    }
    if let Some(rings) = Rings::of(&ebpf, share, processors) {
        return Ok((ebpf, share, Some(rings)));
    }
    drop(ebpf);
    let share = Share::without_rings(options.ring_size);
    Ok((create(EbpfLoader::new(), config, options, share, processors)?, share, None))
}

/// Whether the verifier accepts a program; the program is not kept.
fn is_accepted(ebpf: &mut Ebpf, hook: &str, btf: &Btf) -> bool {
    let program: Result<&mut BtfTracePoint, _> = named(ebpf, hook);
    program.is_ok_and(|program| program.load(hook, btf).is_ok() && program.unload().is_ok())
}

/// Creates the maps, with the settings in their place.
fn create(
    loader: EbpfLoader<'_>,
    config: &Config,
    options: &LoadOptions,
    share: Share,
    processors: u32,
) -> Result<Ebpf, LoadError> {
    let config = &Config { ring_slots: share.slots, ..*config };
    // There is no map without elements.
    let slots = (share.slots * processors).max(1);
    // A constant for the verifier: with level 0 it drops the code.
    let log_level = if options.debug { log::Level::Debug as u8 } else { 0 };
    // What it borrows from here on lives for a shorter time than what it came with.
    let mut loader = loader;
    loader
        .verifier_log_level(options.verifier_log)
        .override_global("CONFIG", config, true)
        .override_global("AYA_LOG_LEVEL", &log_level, true)
        .map_max_entries("EVENTS", share.shared)
        .map_max_entries("POSITIONS", processors)
        .map_max_entries("SLOTS", slots)
        .load(OBJECT)
        .map_err(|error| explain_object(error, options.ring_size))
}

/// The capabilities that bpf(2) will require and that are missing.
pub fn missing_capabilities() -> Vec<&'static str> {
    let effective = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    [
        (CapabilitySet::BPF, "CAP_BPF"),
        (CapabilitySet::PERFMON, "CAP_PERFMON"),
        (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    ]
    .into_iter()
    .filter(|(capability, _)| !effective.contains(*capability))
    .map(|(_, name)| name)
    .collect()
}

/// What a thread has done, or what it would have done if there is no room for one.
fn result<T>(thread: io::Result<ScopedJoinHandle<'_, T>>, work: fn() -> T) -> T {
    match thread {
        Ok(thread) => thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause)),
        Err(_) => work(),
    }
}

impl Loaded {
    /// Loads the programs of these hooks and the task iterators, as far as the kernel accepts them and there is room for
    /// threads; what it refuses is told of when it is attached. At once, as the verifier needs a tenth of a second for
    /// some, and takes several at a time.
    pub fn load_ahead(&mut self, hooks: &[&str]) {
        let Self { ebpf, btf, .. } = self;
        let btf = &*btf;
        thread::scope(|scope| {
            for (name, program) in ebpf.programs_mut() {
                let thread = thread::Builder::new();
                let _ = match program {
                    Program::BtfTracePoint(program) if hooks.contains(&name) => {
                        thread.spawn_scoped(scope, move || program.load(name, btf))
                    }
                    Program::Iter(program) if [ITERATOR, SURVEY].contains(&name) => {
                        thread.spawn_scoped(scope, move || program.load(TASKS, btf))
                    }
                    _ => continue,
                };
            }
        });
    }

    /// Loads a program on a BTF tracepoint, unless it is, and attaches it; it stays attached until `self` is dropped.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn attach(&mut self, program: &str, tracepoint: &str) -> Result<(), LoadError> {
        let what = format!("the program on {tracepoint}");
        let Self { ebpf, btf, .. } = self;
        let program: &mut BtfTracePoint = named(ebpf, program)?;
        if program.fd().is_err() {
            program.load(tracepoint, btf).map_err(|error| explain_program(&what, error))?;
        }
        program.attach().map_err(|error| explain_program(&what, error))?;
        Ok(())
    }

    /// Loads the task iterators, unless they are.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_iterators(&mut self) -> Result<(), LoadError> {
        let Self { ebpf, btf, .. } = self;
        for iterator in [ITERATOR, SURVEY] {
            let program: &mut Iter = named(ebpf, iterator)?;
            if program.fd().is_err() {
                program.load(TASKS, btf).map_err(|error| explain_program("the task iterator", error))?;
            }
        }
        Ok(())
    }

    /// Starts a task iterator, which must be loaded; the records that it writes are read from the file.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn start(&mut self, iterator: &str) -> io::Result<File> {
        let program = self.ebpf.program_mut(iterator).ok_or(io::ErrorKind::NotFound)?;
        let program: &mut Iter = program.try_into().map_err(io::Error::other)?;
        let link = program.attach().map_err(io::Error::other)?;
        program.take_link(link).map_err(io::Error::other)?.into_file().map_err(io::Error::other)
    }

    /// Runs a task iterator, which must be loaded: the records that it wrote.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn iterate(&mut self, iterator: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.start(iterator)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// How often the kernel has skipped one of our programs because it was already running on that processor; 0 if the
    /// kernel does not count that (before 5.12).
    pub fn missed(&self) -> u64 {
        let fds = self.ebpf.programs().filter_map(|(_, program)| program.fd().ok());
        fds.map(|fd| {
            let info = procfs::text(&format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()));
            let count = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
            count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
        })
        .sum()
    }
}

pub(super) fn named<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| other(name, io::Error::other("the object that was built in has no such program")))?
        .try_into()
        .map_err(|error| other(name, error))
}

fn explain_object(error: EbpfError, ring_size: u32) -> LoadError {
    if is_for_want_of_descriptors(&error) {
        return LoadError::TooManyFiles("the kernel part".to_owned());
    }
    if let EbpfError::MapError(MapError::CreateError { name, io_error }) = &error {
        match io_error.raw_os_error() {
            Some(ENOMEM | E2BIG) => return LoadError::NoMemory(ring_size),
            Some(EPERM) => return forbidden(&format!("creating the map {name}")),
            Some(EINVAL) if name == "EVENTS" => {
                return LoadError::TooOld { what: "ring buffers (since 5.8)".to_owned(), kernel: kernel_release() };
            }
            _ => {}
        }
    }
    other("the kernel part", error)
}

pub(super) fn explain_program(what: &str, error: ProgramError) -> LoadError {
    if is_for_want_of_descriptors(&error) {
        return LoadError::TooManyFiles(what.to_owned());
    }
    let io_error = match &error {
        ProgramError::LoadError { io_error, .. } => Some(io_error),
        ProgramError::SyscallError(error) => Some(&error.io_error),
        _ => None,
    };
    match io_error.and_then(io::Error::raw_os_error) {
        Some(EPERM) => forbidden(&format!("loading {what}")),
        _ => match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                LoadError::Refused {
                    what: what.to_owned(),
                    why: reason_of(&log).unwrap_or_else(|| io_error.to_string()),
                }
            }
            ProgramError::Btf(_) => LoadError::TooOld { what: what.to_owned(), kernel: kernel_release() },
            error => other(what, error),
        },
    }
}

fn is_for_want_of_descriptors(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| {
        let error = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        matches!(error, Some(EMFILE | ENFILE))
    })
}

/// The line of the verifier's log that says what is wrong: the last one before the statistics.
fn reason_of(log: &str) -> Option<String> {
    let is_statistics = |line: &str| {
        ["processed ", "verification time", "stack depth", "subprog "].iter().any(|start| line.starts_with(start))
            || line.is_empty()
    };
    log.lines().map(str::trim).rfind(|line| !is_statistics(line)).map(str::to_owned)
}

/// Why bpf(2) can return EPERM despite the capabilities, and what to do.
fn forbidden(what: &str) -> LoadError {
    let lockdown = procfs::line(LOCKDOWN);
    let status = procfs::line("/proc/self/status");
    let why = if lockdown.contains("[confidentiality]") {
        "kernel lockdown is in confidentiality mode; boot with lockdown=integrity, or without Secure Boot".to_owned()
    } else if status.contains("Seccomp:\t2") {
        "a seccomp filter is in force, as in a container; run it on the host, or with `--security-opt seccomp=unconfined`"
            .to_owned()
    } else if procfs::line("/proc/self/uid_map").split_ascii_whitespace().ne(["0", "0", "4294967295"]) {
        "this is a user namespace, whose capabilities do not count for bpf(); run it as the host's root".to_owned()
    } else {
        "a security module may stand behind it; see `dmesg` and the audit log".to_owned()
    };
    LoadError::Forbidden { what: what.to_owned(), why }
}

/// Which parts of the kernel are locked down; missing where securityfs is not mounted.
pub const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// `uname -r`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor of a release: `6.18.44-rc1` is (6, 18).
pub fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();
const ENOMEM: i32 = rustix::io::Errno::NOMEM.raw_os_error();
const E2BIG: i32 = rustix::io::Errno::TOOBIG.raw_os_error();
const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

fn other(what: &str, error: impl Error + Send + Sync + 'static) -> LoadError {
    if is_for_want_of_descriptors(&error) {
        return LoadError::TooManyFiles(what.to_owned());
    }
    LoadError::Other { what: what.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;

    use super::*;

    #[test]
    fn nothing_is_carried_along_that_the_kernel_does_not_get() {
        let has = |section: &[u8]| OBJECT.windows(section.len()).any(|bytes| bytes == section);
        assert!(OBJECT.is_empty() || has(b".BTF.ext\0"));
        assert!(!has(b".debug_"));
    }

    #[test]
    fn want_of_descriptors_is_no_fault_of_the_verifier() {
        let none_left = || io::Error::from_raw_os_error(EMFILE);
        let refused = ProgramError::SyscallError(SyscallError { call: "bpf_prog_load", io_error: none_left() });
        let map = EbpfError::MapError(MapError::CreateError { name: "EVENTS".to_owned(), io_error: none_left() });
        for error in [explain_program("the task iterator", refused), explain_object(map, 4_096)] {
            assert!(error.to_string().contains("too many open files"), "{error}");
        }
    }

    #[test]
    fn versions_of_all_sorts() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("7.0-rc1"), Some((7, 0)));
        assert_eq!(version("five"), None);
        assert_eq!(version("6.x"), None);
    }
}
