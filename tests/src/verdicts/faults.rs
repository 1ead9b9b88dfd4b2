//! What a program must do for the processor to raise a signal.

use std::ptr;

use nix::libc;

/// The signals that can be brought about on this machine.
pub const FAULTS: &[i32] = if cfg!(target_arch = "x86_64") {
    &[libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP, libc::SIGFPE, libc::SIGSYS]
} else {
    &[libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS]
};

/// Commits it. Does not come back from most.
pub fn fault(signal: i32) -> i32 {
    match signal {
        // SAFETY: it is the purpose that this address is a bad one.
        libc::SIGSEGV => unsafe { ptr::without_provenance_mut::<u8>(8).write_volatile(1) },
        libc::SIGBUS => beyond_the_end(),
        libc::SIGSYS => forbidden_call(),
        // SAFETY: each of these instructions raises its signal and changes nothing else.
        #[cfg(target_arch = "x86_64")]
        _ => unsafe {
            match signal {
                libc::SIGTRAP => std::arch::asm!("int3"),
                libc::SIGFPE => std::arch::asm!(
                    "xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx",
                    out("eax") _, out("ecx") _, out("edx") _
                ),
                _ => std::arch::asm!("ud2"),
            }
        },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        _ => unsafe {
            match signal {
                libc::SIGTRAP => std::arch::asm!("brk #0"),
                _ => std::arch::asm!("udf #0"),
            }
        },
    }
    0
}

/// Reads from a page of a file that has no bytes there.
fn beyond_the_end() {
    // SAFETY: a mapping of our own of an empty file; the read is meant to fail.
    unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), 0);
        let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        page.cast::<u8>().read_volatile();
    }
}

/// Makes a call that a filter of our own answers with SIGSYS.
fn forbidden_call() {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, libc::SYS_getpriority as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_TRAP),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: a whole program that outlives the call.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        libc::syscall(libc::SYS_getpriority, 0, 0);
    }
}
