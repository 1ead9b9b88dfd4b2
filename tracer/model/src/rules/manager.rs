//! Who runs a container, a service or a worker, and what the settings are called there: fixes speak of what is really
//! used.

use crate::{
    host::Engine,
    ident::{Args, Identity},
    programs::{file_name, is_runtime},
    signal::{Sender, Signal},
    stop::ForcedStop,
    world::World,
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
    /// `timeout -k`.
    Timeout,
    /// `start-stop-daemon --retry`.
    StartStopDaemon,
    Pm2,
    S6,
    Runit,
    Gunicorn,
    Nodemon,
    /// A person or a script.
    Shell,
    /// Nobody knows which engine stopped a container.
    SomeEngine,
    /// A program that has its own ways.
    Other,
}

impl Manager {
    /// Who wanted a stop: by the container, else by who sent the signal. Of a process in a container that is not its
    /// pid 1, the engine knows nothing.
    pub fn of(world: &World, forced: &ForcedStop) -> Self {
        // With `--pid host`, an engine stops a process that is no pid 1.
        let is_of_engine = forced.is_of_container() || is_runtime(forced.asked.sender.comm.bytes());
        if !is_of_engine {
            let args = |of: &Identity| world.get(of.key).map(|process| process.args.clone()).unwrap_or_default();
            let hand = forced.asked.hand();
            let of_sender =
                hand.line().next().and_then(|acting| Self::by_name(acting).or_else(|| Self::by_args(&args(acting))));
            return of_sender.unwrap_or(if hand.is_shell() { Self::Shell } else { Self::Other });
        }
        let container = world.container_of(&forced.process);
        match container.map(|container| (container.engine, container.pod.is_some())) {
            Some((_, true) | (Engine::Containerd | Engine::CriO, _)) => Self::Kubernetes,
            Some((Engine::Docker, _)) => Self::Docker,
            Some((Engine::Podman, _)) => Self::Podman,
            Some((Engine::Systemd, _)) => Self::Systemd,
            Some((Engine::Lxc, _)) => Self::Lxc,
            Some((Engine::Oci, _)) | None => {
                let asked = &forced.asked;
                let senders = std::iter::once(&asked.sender).chain(&asked.ancestors);
                senders.filter_map(Self::by_name).find(|manager| manager.is_engine()).unwrap_or(Self::SomeEngine)
            }
        }
    }

    /// Who stops containers by other signals than SIGTERM, if that is the sender.
    pub fn of_sender(sender: &Sender) -> Option<Self> {
        let Sender::Process(sender) = sender else { return None };
        Self::by_name(sender).filter(|manager| matches!(manager, Self::Nspawn | Self::Lxc))
    }

    fn by_name(process: &Identity) -> Option<Self> {
        let name = process.comm.bytes();
        // The kernel keeps 15 bytes of a name.
        let managers: [(&[u8], Self); 13] = [
            (b"systemd-nspawn", Self::Nspawn),
            (b"lxc", Self::Lxc),
            (b"lxd", Self::Lxc),
            (b"incus", Self::Lxc),
            (b"supervisord", Self::Supervisord),
            (b"systemd", Self::Systemd),
            (b"timeout", Self::Timeout),
            (b"start-stop-daem", Self::StartStopDaemon),
            (b"PM2 ", Self::Pm2),
            (b"s6-supervise", Self::S6),
            (b"runsv", Self::Runit),
            (b"gunicorn", Self::Gunicorn),
            (b"nodemon", Self::Nodemon),
        ];
        managers.into_iter().find(|(begins, _)| name.starts_with(begins)).map(|(_, manager)| manager)
    }

    /// An interpreter has the name of none of them; its script has.
    fn by_args(args: &Args) -> Option<Self> {
        let script = file_name(args.iter().nth(1)?);
        let managers: [(&[u8], Self); 3] =
            [(b"supervisord", Self::Supervisord), (b"gunicorn", Self::Gunicorn), (b"nodemon", Self::Nodemon)];
        managers.into_iter().find(|(begins, _)| script.starts_with(begins)).map(|(_, manager)| manager)
    }

    /// Where its stop signal is set, if that can be set.
    pub fn stop_signal(self) -> Option<&'static str> {
        Some(match self {
            Self::Docker | Self::Podman => "STOPSIGNAL in the image, or --stop-signal",
            Self::Kubernetes => "STOPSIGNAL in the image",
            Self::Lxc => "lxc.signal.halt in the container's config",
            Self::Nspawn => "--kill-signal of systemd-nspawn",
            Self::Systemd => "KillSignal=",
            Self::Supervisord => "stopsignal=",
            Self::Timeout => "timeout -s",
            Self::StartStopDaemon => "--retry SIGNAL/SECONDS/KILL",
            Self::Pm2 => "PM2_KILL_SIGNAL",
            Self::S6 => "the file down-signal of the service",
            Self::Runit => "the script control/t of the service",
            Self::Nodemon => "nodemon --signal",
            Self::Shell => "kill -s",
            Self::SomeEngine => "STOPSIGNAL in the image, --kill-signal of systemd-nspawn, lxc.signal.halt",
            Self::Gunicorn | Self::Other => return None,
        })
    }

    /// Where it is told what pid 1 executes.
    pub fn entrypoint(self) -> &'static str {
        match self {
            Self::Lxc => "lxc.init.cmd",
            Self::Nspawn => "the command line of systemd-nspawn",
            _ => "the exec form of ENTRYPOINT",
        }
    }

    /// How it is given an init that ends at that signal, for a program that is not made to be pid 1.
    pub fn init(self, signal: Signal) -> &'static str {
        match self {
            Self::Lxc => "tini in lxc.init.cmd",
            // Its stub takes this one for a halt, and ignores SIGTERM.
            Self::Nspawn if signal == Signal::RTMIN_3 => "systemd-nspawn --as-pid2",
            Self::Nspawn => "tini",
            _ => "docker run --init, tini",
        }
    }

    /// How it is given more time, if it can be.
    pub fn grace(self) -> Option<&'static str> {
        Some(match self {
            Self::Docker => "docker stop -t",
            Self::Podman => "podman stop -t",
            Self::Kubernetes => "terminationGracePeriodSeconds",
            Self::Lxc => "lxc-stop -t",
            Self::Nspawn | Self::Systemd => "TimeoutStopSec=",
            Self::Supervisord => "stopwaitsecs=",
            Self::Timeout => "timeout -k",
            Self::StartStopDaemon => "--retry SIGNAL/SECONDS/KILL",
            Self::Pm2 => "kill_timeout",
            Self::S6 => "the file timeout-kill of the service",
            Self::Runit => "sv -w",
            Self::Gunicorn => "--graceful-timeout",
            Self::Shell => "a longer wait before kill -KILL",
            Self::SomeEngine => "docker stop -t, terminationGracePeriodSeconds",
            Self::Nodemon | Self::Other => return None,
        })
    }

    /// How it thaws what it has frozen.
    pub fn thaw(self) -> &'static str {
        match self {
            Self::Docker => "docker unpause",
            Self::Podman => "podman unpause",
            Self::Lxc => "lxc-unfreeze",
            Self::Nspawn | Self::Systemd => "systemctl thaw",
            _ => "docker unpause, or 0 in its cgroup.freeze",
        }
    }

    fn is_engine(self) -> bool {
        matches!(self, Self::Lxc | Self::Nspawn | Self::Systemd | Self::Supervisord)
    }
}
