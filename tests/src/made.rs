//! Processes that never were, of the host and with one thread each, for the traces and lakes that benchmarks make.

use tracer::{
    event::{Adopter, Exit, ExitStatus, Roles, SignalSent, TaskInfo},
    ident::{Comm, PidNs, ProcKey, TaskRef},
    signal::{Aim, Place, Signal},
};
use tracer_common::record::signal_flags;

/// The host's pid namespace.
const HOST: PidNs = PidNs(4_026_531_836);

/// The one thread of a process.
pub fn leader(key: ProcKey) -> TaskRef {
    TaskRef { key, tid: key.tgid }
}

/// A process as it is born; pid 1 is the host's init.
pub fn task(key: ProcKey, parent: Option<ProcKey>, comm: &str) -> TaskInfo {
    TaskInfo {
        key,
        parent: parent.map(leader),
        comm: Comm::from(comm),
        cgroup: 1,
        pid_ns: HOST,
        parent_ns: None,
        ns_level: 0,
        ns_pid: key.tgid,
        mid_pids: [0; 3],
        roles: Roles { init: key.tgid == 1, ..Roles::default() },
        exiting: false,
        exit_signal: Signal::CHLD.0.into(),
        threads: 1,
    }
}

/// A signal that another process has sent to it by kill(2), and for which it has a handler.
pub fn signal(from: ProcKey, to: ProcKey, signal: Signal) -> SignalSent {
    SignalSent {
        current: leader(from),
        target: leader(to),
        signal,
        code: 0,
        flags: signal_flags::GROUP | signal_flags::HANDLER,
        result: 0,
        aim: Aim::One,
        place: Place::default(),
    }
}

/// The end of a process whose status is 0.
pub fn exit(key: ProcKey, parent: ProcKey) -> Exit {
    Exit {
        task: leader(key),
        parent: Some(leader(parent)),
        tracer: None,
        adopter: Adopter::None,
        status: ExitStatus(0),
        live: 0,
        leader: true,
        group_dead: true,
        group_exit: true,
        autoreap: false,
        adopter_ignores: false,
        oom: false,
        seccomp: false,
    }
}
