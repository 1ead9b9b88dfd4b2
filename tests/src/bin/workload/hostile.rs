//! Malicious names: for a terminal, JSON, HTML, and anything that trusts UTF-8.

use std::{
    ffi::{CStr, OsStr},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::Command,
};

use nix::sys::prctl;

use crate::{children::serve_children, talk::announce};

const COMM: &CStr = c"\x1b[2J\n\"'\\<b>\xff\t";
const ARGS: [&[u8]; 5] =
    [b"\x1b]0;title\x07\x1b[31m", b"new\nline\r", b"\"quo'ted\\\"", b"\xff\xfe\xc3", b"<script>&\xe2\x80\xae"];

/// Runs this program again with a hostile command line.
pub fn change_names() {
    let program = std::env::current_exe().expect("/proc is mounted");
    let args = ARGS.iter().map(|arg| OsStr::from_bytes(arg));
    panic!("exec: {}", Command::new(program).arg("hostile-parent").args(args).exec());
}

/// A parent with a hostile name that never waits.
pub fn parent() {
    prctl::set_name(COMM).expect("PR_SET_NAME");
    announce("parent");
    serve_children();
}
