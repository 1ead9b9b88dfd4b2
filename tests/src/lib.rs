//! The harness of the kernel tests: starts `tracer`, stages a situation beside it, and compares
//! what it says with what it must say.
//!
//! A test body reads like a sentence:
//!
//! ```no_run
//! let mut run = tracer_tests::Run::start();
//! let mut stage = run.stage(&["parent", "never-waits"]);
//! let parent = stage.pid("parent");
//! stage.step("child");
//! let child = stage.pid("child");
//! run.expect_finding("unreaped-child").about(child).parent(parent).once();
//! run.finish();
//! ```
//!
//! Nothing waits by sleeping. `finish` runs *end markers* after the workload: a process of its
//! own that must appear in tracer's output, and a zombie of its own that must be reported, so
//! that everything before has been judged too. It then fails on every finding about the
//! workload's processes and namespaces that the test did not expect: what stays quiet is part of
//! every test. The rest of the machine does not matter.

pub mod agent;
pub mod contract;
pub mod cri;
pub mod engine;
pub mod expect;
pub mod fidelity;
pub mod machine;
pub mod made;
pub mod recorded;
mod replayed;
pub mod run;
pub mod run_times;
pub mod sameness;
pub mod soak;
pub mod stage;
pub mod stream;
pub mod tally;
pub mod terminal;
pub mod verdicts;

pub use expect::Expect;
pub use run::{Options, Run, tracer};
pub use stage::Stage;
pub use stream::Stream;
