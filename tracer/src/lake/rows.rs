//! The rows of the lake's tables; `docs/lake.md` says what the columns mean. No column has the name of an SQL keyword
//! that would need quotes, and each time is there twice: as a timestamp, which has microseconds because some engines
//! refuse nanoseconds, and as a number of nanoseconds since 1970.

use std::fs::File;

use parquet::{errors::Result, file::writer::SerializedRowGroupWriter};

use crate::sink::export::table::{Column, Micros, Row, Value, row};

row! {
    /// A stretch of time in which a host was watched.
    HostRow, HostColumns {
        time: Micros,
        time_ns: i64,
        until_ns: i64,
        host: String,
        boot_id: String,
        kernel: String,
        tracer_version: String,
        events: i64,
        lost: i64,
        processes: i64,
        zombies: i64,
        pid_namespaces: i64,
        containers: i64,
        is_whole: bool,
        has_all_signals: bool,
    }
}

row! {
    /// A finding, each time that it was told.
    FindingRow, FindingColumns {
        time: Micros,
        time_ns: i64,
        since_ns: i64,
        host: String,
        boot_id: String,
        rule: &'static str,
        severity: &'static str,
        stage: &'static str,
        findings: i64,
        is_certain: bool,
        pid: i64,
        start_boot_ns: i64,
        comm: String,
        ns_pid: i64,
        ns_level: i64,
        container: Option<String>,
        container_id: Option<String>,
        image: Option<String>,
        pod: Option<String>,
        pod_namespace: Option<String>,
        other: Option<&'static str>,
        other_comm: Option<String>,
        signal: Option<String>,
        reason: Option<&'static str>,
        duration_ns: Option<i64>,
        killed: Option<i64>,
        status_code: Option<i32>,
        status_signal: Option<String>,
        headline: String,
        fix: String,
    }
}

row! {
    /// A container, or something that had to be killed, which was asked to stop and has ended.
    StopRow, StopColumns {
        time: Micros,
        time_ns: i64,
        asked_ns: i64,
        took_ns: i64,
        wasted_ns: i64,
        host: String,
        boot_id: String,
        is_killed: bool,
        signal: String,
        verdict: &'static str,
        pid: i64,
        start_boot_ns: i64,
        comm: String,
        container: Option<String>,
        container_id: Option<String>,
        image: Option<String>,
        pod: Option<String>,
        pod_namespace: Option<String>,
        sender_comm: String,
        client_comm: Option<String>,
    }
}

row! {
    /// Signals of a minute that are alike.
    SignalRow, SignalColumns {
        time: Micros,
        time_ns: i64,
        first_ns: i64,
        last_ns: i64,
        host: String,
        boot_id: String,
        signal: String,
        verdict: &'static str,
        is_lost: bool,
        sender_comm: Option<String>,
        sender_kernel: Option<&'static str>,
        sender_container: Option<String>,
        target_comm: String,
        target_is_init: bool,
        container: Option<String>,
        image: Option<String>,
        pod_namespace: Option<String>,
        signals: i64,
    }
}

row! {
    /// Processes that were reaped in a minute, and are alike.
    ProcessRow, ProcessColumns {
        time: Micros,
        time_ns: i64,
        host: String,
        boot_id: String,
        comm: String,
        container: Option<String>,
        image: Option<String>,
        pod_namespace: Option<String>,
        reaper_comm: Option<String>,
        status_code: Option<i32>,
        status_signal: Option<String>,
        processes: i64,
        zombie_ns: i64,
        longest_zombie_ns: i64,
    }
}

row! {
    /// A time of which something is missing.
    LossRow, LossColumns {
        time: Micros,
        time_ns: i64,
        until_ns: i64,
        host: String,
        boot_id: String,
        place: &'static str,
        kind: &'static str,
        records: Option<i64>,
    }
}
