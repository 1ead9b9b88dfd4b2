//! What the benchmarks print.

use std::fs;

use crate::bench::{
    figures::Figures,
    live::{Sample, Series},
    storm::{Speed, Storm},
    tracing::{Account, RunTime, Variant},
};

/// Above this share of the machine used by others, times of day say little.
const DISTURBED: f64 = 0.10;
/// Below this number the fixed costs of a run are no costs of an event.
const FEW: u64 = 1000;

/// The machine.
pub fn machine() {
    let line = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let cpuinfo = line("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).unwrap_or_default().1;
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    println!("kernel {}, {processors} processors, {model}", line("/proc/sys/kernel/osrelease"));
}

/// The first line of a table of [`figure`]s.
pub fn heading() {
    println!("{:<50} {:>12} {:>17}  target", "", "median", "min–max");
}

/// A line of a table; with the most that the median may be.
pub fn figure(name: &str, values: impl IntoIterator<Item = f64>, most: Option<f64>) {
    row(name, values, most.map(|most| ("≤", most)));
}

/// The same, with the least that it should be.
pub fn speed(name: &str, values: impl IntoIterator<Item = f64>, least: f64) {
    row(name, values, Some(("≥", least)));
}

fn row(name: &str, values: impl IntoIterator<Item = f64>, target: Option<(&str, f64)>) {
    let Some(Figures { median, min, max }) = Figures::of(values) else { return };
    let target = target.map_or(String::new(), |(sign, target)| {
        let is_met = if sign == "≤" { median <= target } else { median >= target };
        format!("{sign} {target}: {}", if is_met { "met" } else { "MISSED" })
    });
    let line = format!("{name:<50} {median:>12.2} {:>17}  {target}", format!("{min:.2}–{max:.2}"));
    println!("{}", line.trim_end());
}

/// What was measured of one storm.
pub fn storm(storm: Storm, rounds: u32, seconds: u32, all: &[Series]) {
    let unit = storm.unit();
    println!();
    println!("{unit}: `stress-ng --{} 1`, {rounds} rounds of {seconds} s, medians", storm.stressor());
    println!(
        "ratios are taken within each round; in brackets by the processor time that stress-ng counts, not by the clock"
    );
    println!(
        "{:<20} {:>10} {:>17} {:>15} {:>15}  target",
        "",
        format!("{unit}/s"),
        "min–max",
        "of untraced",
        "of floor"
    );
    for series in all {
        speed_line(storm, series, all);
    }
    println!();
    println!(
        "{:<20} {:>12} {:>12} {:>8} {:>14} {:>16}",
        "tracer", "signals seen", "events", "lost", "CPU", "user ns an event"
    );
    for series in all {
        account_line(series);
    }
    println!();
    println!("{:<20} {:<20} {:>12} {:>12}", "kernel", "program", "runs", "ns a run");
    for series in all {
        kernel_lines(series);
    }
    warnings(all);
}

fn speed_line(storm: Storm, series: &Series, all: &[Series]) {
    let variant = series.variant;
    let Some(Figures { median, min, max }) = Figures::of(speeds(series, |speed| speed.per_second)) else { return };
    let against = |base: Variant, of: fn(&Speed) -> f64| {
        let base = all.iter().find(|series| series.variant == base)?;
        // Against what stands above it in the table.
        (base.variant < variant).then(|| Figures::of_ratios(speeds(series, of), speeds(base, of)))?
    };
    let ratios = |base| (against(base, |speed| speed.per_second), against(base, |speed| speed.per_cpu_second));
    let (of_untraced, of_floor) = (ratios(Variant::Untraced), ratios(Variant::Floor));
    let shown = |ratios| match ratios {
        (Some(Figures { median: real, .. }), Some(Figures { median: cpu, .. })) => format!("{real:.2} ({cpu:.2})"),
        _ => String::new(),
    };
    let target = match (storm, variant) {
        (_, Variant::Untraced | Variant::Floor | Variant::Ringbuf | Variant::Perf) => String::new(),
        (Storm::Signals, _) => against_target(of_floor.0, 0.95, "floor"),
        (Storm::Forks | Storm::Execs, _) => against_target(of_untraced.0, 0.90, "untraced"),
    };
    let line = format!(
        "{:<20} {median:>10.0} {:>17} {:>15} {:>15}  {target}",
        variant.name(),
        format!("{min:.0}–{max:.0}"),
        shown(of_untraced),
        shown(of_floor),
    );
    println!("{}", line.trim_end());
}

fn against_target(ratio: Option<Figures>, target: f64, of: &str) -> String {
    let met = if ratio.is_some_and(|ratio| ratio.median >= target) { "met" } else { "MISSED" };
    format!("≥ {target:.2} of {of}: {met}")
}

fn account_line(series: &Series) {
    let accounts = || series.samples.iter().filter_map(|sample| sample.account);
    let median = |of: fn(Account) -> f64| Figures::of(accounts().map(of)).map(|figures| figures.median);
    let (Some(seen), Some(events), Some(cpu)) = (
        median(|account| account.signals_seen as f64),
        median(|account| account.events as f64),
        median(|account| account.cpu_ns as f64),
    ) else {
        return;
    };
    let lost: u64 = accounts().map(|account| account.lost).sum();
    let per_event = Figures::of(
        accounts().filter(|account| account.events >= FEW).map(|account| account.cpu_ns as f64 / account.events as f64),
    );
    println!(
        "{:<20} {seen:>12.0} {events:>12.0} {lost:>8} {:>11.0} ms {:>16}",
        series.variant.name(),
        cpu / 1e6,
        per_event.map_or("–".to_owned(), |figures| format!("{:.0}", figures.median)),
    );
}

fn kernel_lines(series: &Series) {
    for RunTime { program, runs, ns } in series.run_times.iter().filter(|run_time| run_time.runs >= FEW) {
        // The kernel cuts the names of the empty programs.
        let program = if series.variant == Variant::Floor { "(empty)" } else { program };
        println!("{:<20} {program:<20} {runs:>12} {:>12.0}", series.variant.name(), *ns as f64 / *runs as f64);
    }
}

fn warnings(all: &[Series]) {
    for Series { variant, samples, .. } in all {
        let lost: u64 = samples.iter().filter_map(|sample| sample.account).map(|account| account.lost).sum();
        if lost > 0 {
            println!("!!! {}: {lost} RECORDS WERE LOST; the target is none !!!", variant.name());
        }
    }
    others(all.iter().flat_map(|series| speeds(series, |speed| speed.others)));
}

/// A warning, where other programs used much of the processors.
pub fn others(shares: impl Iterator<Item = f64>) {
    let others = Figures::of(shares);
    if let Some(Figures { median, max, .. }) = others.filter(|others| others.max > DISTURBED) {
        println!(
            "note: other programs used {:.0} % of the processors (at most {:.0} %): measure again on a quiet \
             machine, or as `sudo nice -n -20`; the figures by processor time are disturbed less",
            median * 100.0,
            max * 100.0
        );
    }
}

fn speeds(series: &Series, of: fn(&Speed) -> f64) -> Vec<f64> {
    series.samples.iter().map(|Sample { speed, .. }| of(speed)).collect()
}
