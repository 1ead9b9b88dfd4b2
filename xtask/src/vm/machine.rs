//! The emulator, and busybox for the inside: the machine's own, or unpacked from packages into
//! a folder.
//!
//! Installing them is not always possible without removing something else (QEMU's parts from
//! backports exclude the emulator of the release), and needs root.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    apt::{self, Apt},
    arch::Arch,
    process::{is_executable, on_path},
};

/// What boots a kernel.
#[derive(Debug)]
pub struct Machine {
    /// What it emulates.
    pub arch: Arch,
    qemu: PathBuf,
    /// Where packages were unpacked, if the emulator is from there.
    root: Option<PathBuf>,
    /// A busybox that is linked statically.
    pub busybox: PathBuf,
}

impl Machine {
    /// Looks on this machine, then in `folder`; downloads what is in neither.
    pub fn find(folder: &Path, arch: Arch) -> Result<Self> {
        let root = folder.join("tools");
        let name = format!("qemu-system-{}", arch.name());
        let qemu = on_path(&name);
        let unpacked = [root.join("bin/busybox"), root.join("usr/bin/busybox")];
        let busybox = || unpacked.iter().find(|file| is_executable(file)).cloned();
        let is_there = |qemu: &Path| is_executable(qemu) && busybox().is_some();
        let own_qemu = root.join("usr/bin").join(&name);
        if !is_there(qemu.as_deref().unwrap_or(&own_qemu)) {
            fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
            println!("vm: unpacking busybox and the emulator into {}", root.display());
            if qemu.is_none() {
                let apt = Apt::new(folder.join("apt-of-machine"), None, Arch::host()?)?;
                apt.update()?;
                apt.unpack_with_dependencies(&[package(arch)], &root)?;
            }
            // That of the machine that is emulated.
            let apt = Apt::new(folder.join("apt-of-busybox"), Some(apt::sources(&["bookworm"], arch)?), arch)?;
            apt.update()?;
            apt.unpack(&format!("busybox-static:{}", arch.debian()), &root)?;
        }
        let busybox = busybox().with_context(|| format!("no busybox in {}", root.display()))?;
        let machine = match qemu {
            Some(qemu) => Self { arch, qemu, root: None, busybox },
            None => Self { arch, qemu: own_qemu, root: Some(root), busybox },
        };
        ensure!(is_executable(&machine.qemu), "there is no {}", machine.qemu.display());
        Ok(machine)
    }

    /// The command that boots a kernel; its console is standard output.
    pub fn boot(&self, vmlinuz: &Path, initrd: &Path) -> Command {
        let Self { arch, qemu, root, busybox: _ } = self;
        // The emulator does not outlive us, however we end.
        let mut command = match on_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
                command
            }
            None => Command::new(qemu),
        };
        if let Some(root) = root {
            let folder = format!("{}-linux-gnu", env::consts::ARCH);
            let libraries = [root.join("usr/lib").join(&folder), root.join("lib").join(&folder)];
            let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
            command.env("QEMU_MODULE_DIR", root.join("usr/lib").join(&folder).join("qemu"));
            for data in ["qemu", "seabios"] {
                command.arg("-L").arg(root.join("usr/share").join(data));
            }
        }
        command
            // KVM does not boot stock kernels everywhere that it exists; this does. One thread emulates both
            // processors: with one each, code that a kernel patches while the other processor runs it (static keys,
            // `text_poke_bp()`) is seen torn now and then, an Oops that no hardware would have.
            .args(["-accel", "tcg,thread=single", "-smp", "2", "-m", "1536"])
            .args(hardware(*arch))
            .args(["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel"])
            .arg(vmlinuz)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", kernel_line(*arch)]);
        command
    }
}

/// Debian's package of the emulator.
fn package(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "qemu-system-x86",
        Arch::Arm => "qemu-system-arm",
    }
}

/// An arm64 machine of its own kind; its newest processor spends most time on signing pointers.
fn hardware(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86 => &["-cpu", "max"],
        Arch::Arm => &["-machine", "virt", "-cpu", "cortex-a72"],
    }
}

fn kernel_line(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable",
        Arch::Arm => "console=ttyAMA0 quiet panic=-1 mitigations=off",
    }
}
