//! Real containers of whichever engine is installed: each lives for a moment, has a program executed in it, and is
//! killed.

use crate::{
    engine::{Docker, Engine, IMAGE, Podman},
    machine,
    stage::Own,
};

/// The engine.
pub enum Containers {
    /// A dockerd of its own.
    Docker(Box<Docker>, u32),
    /// A store of podman of its own.
    Podman(Box<Podman>, u32),
    /// None is wanted, or none is installed.
    None,
}

impl Containers {
    /// Starts one, if it is wanted.
    pub fn find(wanted: bool) -> Self {
        match wanted && machine::is_on_path("busybox") {
            true if machine::is_on_path("dockerd") => Self::Docker(Box::new(Docker::start()), 0),
            true if machine::is_on_path("podman") => Self::Podman(Box::default(), 0),
            _ => Self::None,
        }
    }

    /// Whose they are, for a person.
    pub fn who(&self) -> &'static str {
        match self {
            Self::Docker(..) => "with containers of docker",
            Self::Podman(..) => "with containers of podman",
            Self::None => "without containers",
        }
    }

    /// One container's life, and one that is over by itself; nothing where there is no engine.
    pub fn live_once(&mut self, own: &mut Own) {
        let (engine, count): (&dyn Engine, &mut u32) = match self {
            Self::Docker(docker, count) => (&**docker, count),
            Self::Podman(podman, count) => (&**podman, count),
            Self::None => return,
        };
        *count += 1;
        let name = format!("soak-{count}");
        own.add(engine.start_container(&name, &[IMAGE, "sleep", "1000"]));
        engine.run(&["exec", &name, "true"]);
        engine.run(&["kill", "--signal", "KILL", &name]);
        engine.run(&["rm", "-f", &name]);
        engine.run(&[&["run", "--rm", "--network", "none"], engine.limits(), &[IMAGE, "true"]].concat());
    }
}
