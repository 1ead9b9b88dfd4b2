//! Everything that is run by hand or by CI: `cargo xtask --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod apt;
mod arch;
mod bench;
mod cross;
mod debian;
mod dist;
mod ebpf;
mod fidelity;
mod fleet;
mod fuzz;
mod licences;
mod lint;
mod pictures;
mod process;
mod search;
mod setup;
mod soak;
mod test;
mod toolchain;
mod traces;
mod trial;
mod verdicts;
mod verifier;
mod vm;
mod workspace;

/// Sets up, builds, runs and tests tracer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Find the eBPF toolchain, or install it.
    Setup(setup::Options),
    /// Build target/release/tracer with its eBPF part.
    Build,
    /// Build target/debug/tracer, or with --release that of `build`, and run it as root with the arguments after `--`.
    Run(ebpf::RunOptions),
    /// Make what is handed out: static programs, Debian packages, container images, their contents and sums.
    Dist(dist::Options),
    /// Check formatting, lint, and run every test.
    Test(test::Options),
    /// Check formatting and licences, and run clippy over host and eBPF code.
    Lint,
    /// Run the kernel tests inside Debian's kernels, each booted in QEMU.
    Vm(vm::Options),
    /// Compare what is said of every signal with what its target saw.
    Verdicts(verdicts::Options),
    /// Say what the verifier makes of each program: instructions, stack, time.
    Verifier(verifier::Options),
    /// Compare tracer's world with the kernel while a random process tree lives and dies.
    Fidelity(fidelity::Options),
    /// Run tracer beside a storm for long, and see whether it holds.
    Soak(soak::Options),
    /// Record the traces that the tests read, in a booted machine.
    Traces {
        /// Which of them [default: all].
        which: Vec<traces::Which>,
    },
    /// Draw the pictures of the README anew.
    Pictures,
    /// Fuzz the reader of traces and all code behind it.
    Fuzz(fuzz::Options),
    /// Measure questions to a lake of many hosts and days, or check the program that asks them.
    Fleet(fleet::Options),
    /// Measure what tracing costs.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let Cli { task } = Cli::parse();
    let result = match task {
        Task::Setup(options) => setup::setup(&options),
        Task::Build => ebpf::build(),
        Task::Run(options) => ebpf::run(options),
        Task::Dist(options) => dist::dist(&options),
        Task::Test(options) => test::test(options),
        Task::Lint => lint::lint(),
        Task::Vm(options) => vm::vm(options),
        Task::Verdicts(options) => verdicts::verdicts(options),
        Task::Verifier(options) => verifier::verifier(options),
        Task::Fidelity(options) => fidelity::fidelity(options),
        Task::Soak(options) => soak::soak(options),
        Task::Traces { which } => traces::traces(&which),
        Task::Pictures => pictures::pictures(),
        Task::Fuzz(options) => fuzz::fuzz(options),
        Task::Fleet(options) => fleet::fleet(&options),
        Task::Bench(bench) => bench::bench(bench),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
