//! What an ordinary user can do to whoever inspects their processes.

use std::{
    fs::{self, File},
    thread,
};

use nix::{
    libc,
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

use crate::talk::announce;

/// Becomes an ordinary user, without any capability.
fn become_nobody() {
    let id = 65534;
    setgroups(&[]).expect("root may");
    setresgid(Gid::from_raw(id), Gid::from_raw(id), Gid::from_raw(id)).expect("root may");
    setresuid(Uid::from_raw(id), Uid::from_raw(id), Uid::from_raw(id)).expect("root may");
}

fn idle() -> ! {
    loop {
        thread::park();
    }
}

/// Its arguments are 8 GiB, of which none takes any memory.
pub fn arguments() {
    become_nobody();
    // After the change of user, even its own user may not look at it, this process included.
    nix::sys::prctl::set_dumpable(true).expect("PR_SET_DUMPABLE");
    const LENGTH: usize = 8 << 30;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, which nothing else uses.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_READ, flags, -1, 0) } as u64;
    assert_ne!(at, u64::MAX, "mmap");
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    let stat: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let field = |number: usize| stat[number - 3].parse::<u64>().expect("a number");
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let heap = maps.lines().find(|line| line.ends_with("[heap]")).expect("there is a heap");
    let brk = u64::from_str_radix(&heap[heap.find('-').expect("a range") + 1..heap.find(' ').expect("a word")], 16);
    let mut auxv = fs::read("/proc/self/auxv").expect("/proc is mounted");
    // As struct prctl_mm_map: 13 addresses, the length of the last, and a descriptor that is none.
    let map = [
        field(26),
        field(27),
        field(45),
        field(46),
        field(47),
        brk.expect("an address"),
        field(28),
        at,
        at + LENGTH as u64,
        field(50),
        field(51),
        auxv.as_mut_ptr() as u64,
        auxv.len() as u64 | u64::from(u32::MAX) << 32,
    ];
    // SAFETY: the kernel reads the struct, of that size, and the auxiliary vector that it names.
    let set = unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, map.as_ptr(), size_of_val(&map), 0) };
    assert_eq!(set, 0, "PR_SET_MM_MAP: {}", std::io::Error::last_os_error());
    announce("arguments");
    idle();
}

/// It has many descriptors.
pub fn descriptors(count: usize) {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("the soft limit may be raised");
    become_nobody();
    let file = File::open("/dev/null").expect("/dev/null");
    let files: Vec<_> = (0..count).map_while(|_| file.try_clone().ok()).collect();
    assert_eq!(files.len(), count, "the limit of descriptors is {most}");
    announce("descriptors");
    idle();
}
