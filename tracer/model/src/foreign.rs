//! Parsers of what others write: processes, container runtimes, engines, the kernel's log and its type information.
//! Each takes untrusted bytes, always terminates, and allocates no more than they justify. What is read, and how much
//! of it, is up to the code that opens the files.

pub mod btf;
pub mod bundle;
pub mod cgroup;
pub mod dockerd;
pub mod kmsg;
pub mod lxc;
pub mod runtime;
pub mod stat;
