//! The optional hooks: which kernel functions give exact moments, and how programs can be attached to them on this
//! kernel.

use std::{fmt, path::Path};

use aya::{
    Btf,
    programs::{FEntry, KProbe},
};
use aya_obj::btf::BtfKind;
use clap::ValueEnum;

use crate::source::load::{LoadError, Loaded, explain_program, kernel_release, named, version};

/// Which hooks to use besides the tracepoints and the task iterator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The exact ones, in the best way that works here; none if none does
    #[default]
    Best,
    /// None
    Tracepoint,
    /// The exact ones, by fentry; an error if that is not possible
    Fentry,
    /// The exact ones, by kprobe; an error if that is not possible
    Kprobe,
}

/// A moment that no tracepoint shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// An orphan gets its new parent.
    Adoption,
    /// A process is reaped.
    Reap,
    /// A process becomes a zombie.
    ZombieBegins,
}

/// A moment that a kernel function shows exactly.
#[derive(Debug)]
pub struct ExactHook {
    /// Which moment.
    pub moment: Moment,
    /// What the programs are called, after `fentry_` or `kprobe_`.
    pub name: &'static str,
    /// The functions to hook: the first of these that the kernel has.
    pub functions: &'static [&'static str],
    /// What is not exact without it.
    pub without: &'static str,
}

/// All of them.
pub static EXACT: [ExactHook; 3] = [
    ExactHook {
        moment: Moment::Adoption,
        name: "adopt",
        functions: &["kill_orphaned_pgrp"],
        without: "the new parent of an orphan is predicted, then verified by a look",
    },
    ExactHook {
        moment: Moment::Reap,
        name: "reap",
        // The last one misses a leader that ignored SIGCHLD makes its last thread release.
        functions: &["cgroup_task_release", "cgroup_release", "release_task"],
        without: "times of reaps are upper bounds, and who reaped is inferred",
    },
    ExactHook {
        moment: Moment::ZombieBegins,
        name: "notify",
        functions: &["do_notify_parent"],
        without: "a zombie counts from the beginning of its exit",
    },
];

/// A way to put a program on a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A BPF trampoline at the function's entry.
    Fentry,
    /// A breakpoint, or ftrace, at the function's entry.
    Kprobe,
}

impl Way {
    /// Its name, and the beginning of its programs' names.
    pub fn id(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
        }
    }
}

impl Hooks {
    /// Its word for `--hooks`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Tracepoint => "tracepoint",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
        }
    }

    /// The ways to try, the better one first.
    pub fn ways(self) -> &'static [Way] {
        match self {
            Self::Tracepoint => &[],
            Self::Fentry => &[Way::Fentry],
            Self::Kprobe => &[Way::Kprobe],
            Self::Best if fentry_can_hang() => &[Way::Kprobe, Way::Fentry],
            Self::Best => &[Way::Fentry, Way::Kprobe],
        }
    }
}

/// The optional hooks that are in use.
#[derive(Debug, Default)]
pub struct Attached {
    /// `fentry:cgroup_release` and the like.
    pub names: Vec<String>,
    /// What is not exact here, and why.
    pub degraded: Option<String>,
}

/// Attaches the optional hooks that were asked for.
///
/// # Errors
/// If a way was asked for by name and does not work here.
pub fn attach(loaded: &mut Loaded, hooks: Hooks) -> Result<Attached, LoadError> {
    let mut attached = Attached::default();
    let (mut without, mut reasons) = (Vec::new(), Vec::new());
    for hook in &EXACT {
        match attach_first(loaded, hook, hooks.ways()) {
            Ok(name) => attached.names.push(name),
            Err(NoWay(mut errors)) => match errors.pop() {
                Some((_, error)) if hooks != Hooks::Best => return Err(error),
                last => {
                    errors.extend(last);
                    without.push(hook.without);
                    reasons.push(NoWay(errors).to_string());
                }
            },
        }
    }
    reasons.dedup();
    if !without.is_empty() {
        let why = match hooks {
            Hooks::Tracepoint => "no exact hooks were asked for".to_owned(),
            _ => format!("no exact hooks here ({})", reasons.join("; ")),
        };
        attached.degraded = Some(format!("{why}: {}", without.join("; ")));
    }
    Ok(attached)
}

/// Why a hook cannot be attached in any of the ways that were tried.
#[derive(Debug)]
pub struct NoWay(Vec<(Way, LoadError)>);

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (way, error)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match error {
                LoadError::Forbidden { .. } => write!(f, "{comma}{} is forbidden", way.id())?,
                LoadError::NoKprobes => write!(f, "{comma}the kernel has no kprobes")?,
                error => write!(f, "{comma}{}: {error}", way.id())?,
            }
        }
        Ok(())
    }
}

/// Attaches one hook in the first way that works; says which, and to which function.
///
/// # Errors
/// If none of them works.
pub fn attach_first(loaded: &mut Loaded, hook: &ExactHook, ways: &[Way]) -> Result<String, NoWay> {
    let mut errors = Vec::new();
    for &way in ways {
        match attach_one(loaded, hook, way) {
            Ok(function) => return Ok(format!("{}:{function}", way.id())),
            Err(error) => errors.push((way, error)),
        }
    }
    Err(NoWay(errors))
}

/// Attaches one hook in one way; says to which function.
fn attach_one(loaded: &mut Loaded, hook: &ExactHook, way: Way) -> Result<&'static str, LoadError> {
    let function = hook
        .function(&loaded.btf)
        .ok_or_else(|| LoadError::NoFunction { functions: hook.functions.join(" or "), kernel: kernel_release() })?;
    let what = format!("the {} program on {function}", way.id());
    let program = format!("{}_{}", way.id(), hook.name);
    let Loaded { ebpf, btf, .. } = loaded;
    match way {
        Way::Fentry => {
            let program: &mut FEntry = named(ebpf, &program)?;
            program.load(function, btf).map_err(|error| explain_program(&what, error))?;
            program.attach().map_err(|error| explain_program(&what, error))?;
        }
        Way::Kprobe => {
            if !Path::new(KPROBE_PMU).exists() {
                return Err(LoadError::NoKprobes);
            }
            let program: &mut KProbe = named(ebpf, &program)?;
            program.load().map_err(|error| explain_program(&what, error))?;
            program.attach(function, 0).map_err(|error| explain_program(&what, error))?;
        }
    }
    Ok(function)
}

/// The way to create kprobes, since 4.17.
const KPROBE_PMU: &str = "/sys/bus/event_source/devices/kprobe/type";

impl ExactHook {
    /// The function that this kernel has, by its own list: names change, and compilers inline.
    pub fn function(&self, btf: &Btf) -> Option<&'static str> {
        let has = |function: &str| btf.id_by_type_name_kind(function, BtfKind::Func).is_ok();
        self.functions.iter().copied().find(|function| has(function))
    }
}

/// Kernels that hold `tasks_rcu_exit_srcu` from `exit_notify()` on, up to at least 6.6: attaching or detaching an
/// fentry program waits for every exiting task. That includes a namespace's init that waits for its last process, which
/// perhaps only we could reap.
fn fentry_can_hang() -> bool {
    version(&kernel_release()).is_none_or(|version| version < (6, 12))
}
