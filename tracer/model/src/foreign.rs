//! What others write, made into values: processes, container runtimes, engines, the kernel's log and its type
//! information. Each reader takes bytes that anybody may have chosen, ends whatever they are, and holds no more of them
//! than they have. What is read where, and how much of it, is the business of whoever has the files.

pub mod btf;
pub mod bundle;
pub mod cgroup;
pub mod dockerd;
pub mod kmsg;
pub mod runtime;
pub mod stat;
