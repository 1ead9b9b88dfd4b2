//! The running kernel's verifier on each program: instructions that it processed (it gives up at a million), stack (512
//! bytes are the limit), and how long that took. For `cargo xtask verifier`.

use std::{
    io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use aya::{
    VerifierLogLevel,
    programs::{Program, ProgramError},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracer::source::{
    hooks::{EXACT, ExactHook, Way},
    load::{HOOKS, ITERATOR, LoadOptions, Loaded, SURVEY, kernel_release, load},
};

fn main() -> Result<ExitCode> {
    println!("verifier of Linux {}", kernel_release());
    println!("{:<22} {:>12} {:>14} {:>9}", "program", "instructions", "stack, bytes", "load, ms");
    let tracepoints = HOOKS.iter().map(|&name| (name.to_owned(), None));
    let iterators = [ITERATOR, SURVEY].map(|name| (name.to_owned(), None));
    let exact = [Way::Fentry, Way::Kprobe]
        .into_iter()
        .flat_map(|way| EXACT.iter().map(move |hook| (format!("{}_{}", way.id(), hook.name), Some(hook))));
    let mut is_well = true;
    for (name, hook) in tracepoints.chain(iterators).chain(exact) {
        match judge(&name, hook) {
            Ok(Verdict { instructions, stack, took }) => {
                println!("{name:<22} {instructions:>12} {stack:>14} {:>9.1}", took.as_secs_f64() * 1e3);
            }
            // Only the optional ones may fail to load.
            Err(why) => {
                is_well &= hook.is_some();
                println!("{name:<22} not possible here: {why:#}");
            }
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Verdict {
    instructions: u64,
    /// Of the program, and of each function that is verified by itself: `136+0+16`; since 7.0 the
    /// kernel says how much it is at the deepest.
    stack: String,
    took: Duration,
}

fn judge(name: &str, hook: Option<&ExactHook>) -> Result<Verdict> {
    let options = LoadOptions { ring_size: 4096, verifier_log: VerifierLogLevel::STATS, ..LoadOptions::default() };
    let mut loaded = load(&options)?;
    let began = Instant::now();
    load_program(&mut loaded, name, hook).map_err(|error| match error {
        ProgramError::LoadError { io_error, .. } => anyhow::Error::new(io_error),
        error => error.into(),
    })?;
    let took = began.elapsed();

    // The loader keeps only the logs of programs that fail. A program that passes the verifier and then finds no
    // descriptor left fails with the statistics in its log.
    let mut loaded = load(&options)?;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before })?;
    let failed = load_program(&mut loaded, name, hook);
    setrlimit(Resource::Nofile, before)?;
    let log = match failed {
        Err(ProgramError::LoadError { io_error, verifier_log }) if is_out_of_descriptors(&io_error) => {
            verifier_log.to_string()
        }
        other => bail!("it should have run out of descriptors, and did not: {other:?}"),
    };
    let value = |start: &str| log.lines().find_map(|line| line.trim().strip_prefix(start));
    let instructions = value("processed ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    Ok(Verdict {
        instructions: instructions.with_context(|| format!("no figures: {log}"))?,
        stack: value("stack depth ").unwrap_or("?").to_owned(),
        took,
    })
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

fn load_program(loaded: &mut Loaded, name: &str, hook: Option<&ExactHook>) -> Result<(), ProgramError> {
    let Loaded { ebpf, btf, .. } = loaded;
    let function = hook.and_then(|hook| hook.function(btf)).unwrap_or_default();
    match ebpf.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => program.load(name, btf),
        Some(Program::Iter(program)) => program.load("task", btf),
        Some(Program::FEntry(program)) => program.load(function, btf),
        Some(Program::KProbe(program)) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
