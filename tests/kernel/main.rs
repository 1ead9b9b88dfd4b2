//! The scenarios of `tracer` on the running kernel: what it must report, and what it must not.
//!
//! Needs root, and a `tracer` with its eBPF part: `cargo xtask build`, or `TRACER_BIN`. Tests that cannot run on this
//! machine are listed as ignored, with the reason; `TRACER_TESTS_STRICT=1` makes them fail instead. One test runs at a
//! time, because some measure and some count what the machine does.

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{SigHandler, Signal};
use rustix::process::WaitOptions;
use tracer_tests::{machine::Need, run::name_test};

mod agent;
mod attacks;
mod audit;
mod bad_places;
mod containers;
mod doctor_and_demo;
mod endings;
mod events;
mod fidelity;
mod filters;
mod held;
mod hostile;
mod kills;
mod kubernetes;
mod late;
mod leaks;
mod load;
mod loss;
mod namespaces;
mod orders;
mod origins;
mod orphans;
mod overload;
mod prometheus;
mod queue;
mod real_inits;
mod record;
mod record_files;
mod serve;
mod signals;
mod soak;
mod start;
mod stops;
mod threads;
mod top;
mod tree;
mod verdicts;
mod whole_machine;
mod why;
mod zombies;

fn main() {
    // Orphans of a workload come to this process, wherever it runs, and it reaps them.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("PR_SET_CHILD_SUBREAPER");

    // A shell has its background jobs ignore these signals, and all that the tests start would inherit that.
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.expect("it can be set");
    }

    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let groups = [
        ("agent", agent::trials()),
        ("attacks", attacks::trials()),
        ("signals", signals::trials()),
        ("kills", kills::trials()),
        ("origins", origins::trials()),
        ("prometheus", prometheus::trials()),
        ("queue", queue::trials()),
        ("real_inits", real_inits::trials()),
        ("zombies", zombies::trials()),
        ("leaks", leaks::trials()),
        ("orphans", orphans::trials()),
        ("threads", threads::trials()),
        ("top", top::trials()),
        ("namespaces", namespaces::trials()),
        ("held", held::trials()),
        ("orders", orders::trials()),
        ("late", late::trials()),
        ("tree", tree::trials()),
        ("events", events::trials()),
        ("verdicts", verdicts::trials()),
        ("filters", filters::trials()),
        ("hostile", hostile::trials()),
        ("stops", stops::trials()),
        ("serve", serve::trials()),
        ("start", start::trials()),
        ("endings", endings::trials()),
        ("load", load::trials()),
        ("loss", loss::trials()),
        ("overload", overload::trials()),
        ("soak", soak::trials()),
        ("whole_machine", whole_machine::trials()),
        ("audit", audit::trials()),
        ("why", why::trials()),
        ("fidelity", fidelity::trials()),
        ("record", record::trials()),
        ("record_files", record_files::trials()),
        ("bad_places", bad_places::trials()),
        ("containers", containers::trials()),
        ("doctor_and_demo", doctor_and_demo::trials()),
    ];
    let is_strict = std::env::var_os("TRACER_TESTS_STRICT").is_some();
    let trials = groups.into_iter().flat_map(|(group, tests)| tests.into_iter().map(move |test| (group, test)));
    let trials = trials.map(|(group, test)| test.into_trial(group, is_strict)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Orphans that a test has left to this process, a subreaper. One test runs at a time, so no other waits for a child of
/// its own.
struct Orphans;

impl Drop for Orphans {
    fn drop(&mut self) {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }
}

/// A test, and what it needs of the machine.
struct Test {
    name: &'static str,
    body: fn(),
    needs: Vec<Need>,
}

/// The pid of this process.
fn me() -> i32 {
    std::process::id() as i32
}

/// A test that traces live.
fn live(name: &'static str, body: fn()) -> Test {
    Test { name, body, needs: vec![Need::Tracer, Need::Root, Need::HostPidNamespace, Need::Btf, Need::KernelPart] }
}

/// Tests that trace live, once per tier of the optional hooks; the body gets the tier.
macro_rules! in_each_tier {
    ($($body:ident),* $(,)?) => {
        vec![$(
            $crate::in_tier!($body, "tracepoint", Tracepoint),
            $crate::in_tier!($body, "fentry", Fentry),
            $crate::in_tier!($body, "kprobe", Kprobe),
        )*]
    };
}
use in_each_tier;

/// One of them.
macro_rules! in_tier {
    ($body:ident, $tier:literal, $hooks:ident) => {
        $crate::live(concat!(stringify!($body), "::", $tier), || $body(tracer::source::hooks::Hooks::$hooks))
            .needs(tracer_tests::machine::Need::Hooks(tracer::source::hooks::Hooks::$hooks))
    };
}
use in_tier;

impl Test {
    fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    fn into_trial(self, group: &str, is_strict: bool) -> Trial {
        let Self { name, body, needs } = self;
        let name = format!("{group}::{name}");
        let missing = needs.into_iter().find_map(Need::missing);
        let title = name.clone();
        match missing {
            None => Trial::test(title, move || {
                name_test(&name);
                let _orphans = Orphans;
                body();
                Ok(())
            }),
            Some(why) if is_strict => Trial::test(title, move || Err(Failed::from(why))),
            Some(why) => Trial::test(title, || Ok(())).with_kind(format!("cannot run: {why}")).with_ignored_flag(true),
        }
    }
}
