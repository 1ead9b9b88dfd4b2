//! Who runs a container or a service, and what the settings are called there: fixes speak of what is really used.

use crate::{
    host::Engine,
    ident::Identity,
    stop::Request,
    world::{Process, World},
};

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Docker,
    Podman,
    Kubernetes,
    Lxc,
    Nspawn,
    Systemd,
    Supervisord,
    /// Nobody knows.
    Unknown,
}

impl Manager {
    /// By the container, else by who asked for the stop.
    pub fn of(world: &World, process: &Process, asked: &Request) -> Self {
        let container = world.container_of(&process.identity());
        match container.map(|container| (container.engine, container.pod.is_some())) {
            Some((_, true) | (Engine::Containerd | Engine::CriO, _)) => Self::Kubernetes,
            Some((Engine::Docker, _)) => Self::Docker,
            Some((Engine::Podman, _)) => Self::Podman,
            Some((Engine::Systemd, _)) => Self::Systemd,
            Some((Engine::Oci, _)) | None => {
                std::iter::once(&asked.sender).chain(&asked.ancestors).find_map(Self::by_name).unwrap_or(Self::Unknown)
            }
        }
    }

    fn by_name(process: &Identity) -> Option<Self> {
        let name = process.comm.bytes();
        // The kernel keeps 15 bytes of a name.
        let managers: [(&[u8], Self); 6] = [
            (b"systemd-nspawn", Self::Nspawn),
            (b"lxc", Self::Lxc),
            (b"lxd", Self::Lxc),
            (b"incus", Self::Lxc),
            (b"supervisord", Self::Supervisord),
            (b"systemd", Self::Systemd),
        ];
        managers.into_iter().find(|(begins, _)| name.starts_with(begins)).map(|(_, manager)| manager)
    }

    /// Where its stop signal is set.
    pub fn stop_signal(self) -> &'static str {
        match self {
            Self::Docker | Self::Podman => "STOPSIGNAL in the image, or --stop-signal",
            Self::Kubernetes => "STOPSIGNAL in the image",
            Self::Lxc => "lxc.signal.halt",
            Self::Nspawn => "--kill-signal of systemd-nspawn",
            Self::Systemd => "KillSignal=",
            Self::Supervisord => "stopsignal=",
            Self::Unknown => "STOPSIGNAL in the image, --kill-signal of systemd-nspawn, lxc.signal.halt",
        }
    }

    /// How it is given more time.
    pub fn grace(self) -> &'static str {
        match self {
            Self::Docker => "docker stop -t",
            Self::Podman => "podman stop -t",
            Self::Kubernetes => "terminationGracePeriodSeconds",
            Self::Lxc => "lxc-stop -t",
            Self::Nspawn | Self::Systemd => "TimeoutStopSec=",
            Self::Supervisord => "stopwaitsecs=",
            Self::Unknown => "docker stop -t, terminationGracePeriodSeconds",
        }
    }

    /// How it thaws what it has frozen.
    pub fn thaw(self) -> &'static str {
        match self {
            Self::Docker => "docker unpause",
            Self::Podman => "podman unpause",
            Self::Lxc => "lxc-unfreeze",
            Self::Nspawn | Self::Systemd => "systemctl thaw",
            Self::Kubernetes | Self::Supervisord | Self::Unknown => "docker unpause, or 0 in its cgroup.freeze",
        }
    }
}
