//! The emulator, and busybox for the inside: the machine's own, or unpacked from packages into
//! a folder.
//!
//! Installing them is not always possible without removing something else (QEMU's parts from
//! backports exclude the emulator of the release), and needs root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::apt::Apt;
use crate::process::{is_executable, on_path};

const QEMU: &str = "qemu-system-x86_64";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// What boots a kernel.
#[derive(Debug)]
pub struct Machine {
    qemu: PathBuf,
    /// Where packages were unpacked, if the emulator is from there.
    root: Option<PathBuf>,
    /// A busybox that is linked statically.
    pub busybox: PathBuf,
}

impl Machine {
    /// Looks on the machine, then in `folder`; downloads what is in neither.
    pub fn find(folder: &Path) -> Result<Self> {
        let root = folder.join("tools");
        let qemu = on_path(QEMU);
        let unpacked = [root.join("bin/busybox"), root.join("usr/bin/busybox")];
        let busybox = || unpacked.iter().find(|file| is_executable(file)).cloned();
        let is_there = |qemu: &Path| is_executable(qemu) && busybox().is_some();
        let own_qemu = root.join("usr/bin").join(QEMU);
        if !is_there(qemu.as_deref().unwrap_or(&own_qemu)) {
            let mut packages = vec!["busybox-static"];
            if qemu.is_none() {
                packages.push("qemu-system-x86");
            }
            println!("vm: unpacking {} into {}", packages.join(" and "), root.display());
            fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
            let apt = Apt::new(folder.join("apt-of-machine"), None)?;
            apt.update()?;
            apt.unpack_with_dependencies(&packages, &root)?;
        }
        let busybox = busybox().with_context(|| format!("no busybox in {}", root.display()))?;
        let machine = match qemu {
            Some(qemu) => Self { qemu, root: None, busybox },
            None => Self { qemu: own_qemu, root: Some(root), busybox },
        };
        ensure!(is_executable(&machine.qemu), "there is no {}", machine.qemu.display());
        Ok(machine)
    }

    /// The command that boots a kernel; its console is standard output.
    pub fn boot(&self, vmlinuz: &Path, initrd: &Path) -> Command {
        let Self { qemu, root, busybox: _ } = self;
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
            let libraries = [root.join(LIBRARIES), root.join("lib/x86_64-linux-gnu")];
            let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
            command.env("QEMU_MODULE_DIR", root.join(LIBRARIES).join("qemu"));
            for data in ["qemu", "seabios"] {
                command.arg("-L").arg(root.join("usr/share").join(data));
            }
        }
        command
            // KVM does not boot stock kernels everywhere that it exists; this does. One thread emulates both
            // processors: with one each, code that a kernel patches while the other processor runs it (static keys,
            // `text_poke_bp()`) is seen torn now and then, an Oops that no hardware would have.
            .args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1536"])
            .args(["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel"])
            .arg(vmlinuz)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable"]);
        command
    }
}
