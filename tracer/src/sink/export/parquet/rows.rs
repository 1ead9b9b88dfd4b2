//! The rows of the tables; `docs/export.md` says what the columns mean. No column has the name of an SQL keyword that
//! would need quotes.

use std::fs::File;

use parquet::{errors::Result, file::writer::SerializedRowGroupWriter};

use crate::sink::export::table::{Column, Row, Time, Value, row};

row! {
    /// A process, with its whole life as far as it was seen.
    ProcessRow, ProcessColumns {
        pid: u32,
        start_boot_ns: i64,
        comm: String,
        command: Option<String>,
        pid_ns: u32,
        ns_pid: u32,
        ns_level: u32,
        container: Option<String>,
        container_id: Option<String>,
        parent_pid: Option<u32>,
        parent_start_boot_ns: Option<i64>,
        parent_comm: Option<String>,
        started_at: Time,
        ended_at: Option<Time>,
        status_code: Option<i32>,
        status_signal: Option<String>,
        zombie_ns: Option<i64>,
        reaped_at: Option<Time>,
    }
}

row! {
    /// A signal that was sent, or one that was taken from the queue.
    SignalRow, SignalColumns {
        time: Time,
        boot_ns: i64,
        seq: i64,
        cpu: u16,
        kind: &'static str,
        signal: String,
        sender_pid: Option<u32>,
        sender_start_boot_ns: Option<i64>,
        sender_comm: Option<String>,
        sender_pid_ns: Option<u32>,
        sender_container: Option<String>,
        sender_container_id: Option<String>,
        sender_kernel: Option<&'static str>,
        target_pid: u32,
        target_start_boot_ns: i64,
        target_comm: String,
        target_pid_ns: u32,
        target_ns_pid: u32,
        target_ns_level: u32,
        target_container: Option<String>,
        target_container_id: Option<String>,
        target_tid: u32,
        code: i32,
        result: Option<&'static str>,
        verdict: &'static str,
        is_lost: bool,
    }
}

row! {
    /// A fork, an exec, an exit or a reap; or a place where records are missing.
    EventRow, EventColumns {
        time: Time,
        boot_ns: i64,
        seq: i64,
        cpu: u16,
        kind: &'static str,
        pid: Option<u32>,
        start_boot_ns: Option<i64>,
        comm: Option<String>,
        pid_ns: Option<u32>,
        ns_pid: Option<u32>,
        ns_level: Option<u32>,
        container: Option<String>,
        container_id: Option<String>,
        parent_pid: Option<u32>,
        parent_start_boot_ns: Option<i64>,
        parent_comm: Option<String>,
        command: Option<String>,
        status_code: Option<i32>,
        status_signal: Option<String>,
        leader_only: Option<bool>,
        zombie_for_ns: Option<i64>,
        is_exact: Option<bool>,
        call: Option<&'static str>,
        lost: Option<i64>,
    }
}

row! {
    /// A finding.
    FindingRow, FindingColumns {
        time: Time,
        boot_ns: i64,
        since: Time,
        since_boot_ns: i64,
        rule: &'static str,
        severity: &'static str,
        stage: &'static str,
        is_certain: bool,
        pid: u32,
        start_boot_ns: i64,
        comm: String,
        pid_ns: u32,
        ns_pid: u32,
        ns_level: u32,
        container: Option<String>,
        container_id: Option<String>,
        other: Option<&'static str>,
        other_pid: Option<u32>,
        other_start_boot_ns: Option<i64>,
        other_comm: Option<String>,
        signal: Option<String>,
        reason: Option<&'static str>,
        duration_ns: Option<i64>,
        killed: Option<i64>,
        message: String,
        fix: String,
        status_code: Option<i32>,
        status_signal: Option<String>,
        headline: String,
    }
}
