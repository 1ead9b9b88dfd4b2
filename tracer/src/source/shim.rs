//! What the shim of a container, which watches over it, says by its command line and its directory.

use crate::{
    foreign::runtime::{self, Invocation},
    ident::Trust,
    source::procfs,
};

/// The container of a shim, as far as whoever started the shim can be believed.
pub fn shim(pid: u32) -> Option<Invocation> {
    let line = procfs::command_lines(&[pid]).pop()?;
    let trust = procfs::trust(pid, &line, procfs::host_mount_ns());
    let owner = trust.uid().unwrap_or(0);
    let call = runtime::shim(&procfs::arguments(pid), procfs::directory(pid).as_deref(), owner)?;
    (trust != Trust::Nobody).then_some(call)
}
