//! The table that a run ends with.

use std::time::Duration;

use super::{Options, crew::Count, session::Session};

/// Prints it.
pub fn table(session: &Session, options: &Options, took: Duration) {
    let counts = &session.crew().counts;
    println!("{:<32} {:>10} {:>10} {:>10}", "operation", "done", "refused", "left out");
    let mut sum = Count::default();
    for (kind, count) in counts {
        let Count { done, refused, left_out } = *count;
        println!("{kind:<32} {done:>10} {refused:>10} {left_out:>10}");
        sum.done += done;
        sum.refused += refused;
        sum.left_out += left_out;
    }
    let Count { done, refused, left_out } = sum;
    println!("{:<32} {done:>10} {refused:>10} {left_out:>10}", "all");
    let totals = &session.totals;
    let seconds = took.as_secs_f64();
    let line = |what: &str, value: String| println!("{what:<32} {value:>10}");
    line("worlds kept by", session.ways().collect::<Vec<_>>().join(", "));
    line("points of rest", totals.rests.to_string());
    line("  after a loss", totals.after_loss.to_string());
    line("  of worlds begun meanwhile", totals.begun.to_string());
    line("looks at random moments", totals.looks.to_string());
    line("processes compared", totals.processes.to_string());
    line("  zombies among them", totals.zombies.to_string());
    line("  held by a dead thread", totals.held.to_string());
    line("pid namespaces compared", totals.namespaces.to_string());
    line("  deepest level", totals.deepest.to_string());
    line("true findings", totals.findings.to_string());
    line("longest convergence (ms)", totals.longest.as_millis().to_string());
    if options.losing.is_some() {
        line("  of worlds that lose records", totals.longest_losing.as_millis().to_string());
        line("times that all was counted", totals.counted.to_string());
    }
    line("events", totals.events.to_string());
    line("records lost", totals.lost.to_string());
    line("seconds", format!("{seconds:.1}"));
    line("  of these, at rest", format!("{:.1}", totals.resting.as_secs_f64()));
    line("operations a second", format!("{:.0}", done as f64 / seconds));
    line("pid reuse by ns_last_pid", if has_ns_last_pid() { "yes" } else { "no such file" }.to_owned());
    line("seed", options.seed.to_string());
}

/// The kernel has it with CONFIG_CHECKPOINT_RESTORE only.
fn has_ns_last_pid() -> bool {
    std::path::Path::new("/proc/sys/kernel/ns_last_pid").exists()
}
