//! Where a process lives, in the words of the lake: its container, the image of that, and the pod. Escaped.

use crate::{
    host::Container,
    ident::{Identity, escape},
    world::World,
};

/// See the module. Empty for a process outside containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) container: Option<String>,
    pub(super) container_id: Option<String>,
    pub(super) image: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) pod_namespace: Option<String>,
}

impl Place {
    /// That of a process, as far as it is known by now.
    pub(super) fn of(world: &World, process: &Identity) -> Self {
        world.container_of(process).map_or_else(Self::default, Self::from)
    }
}

impl From<&Container> for Place {
    fn from(container: &Container) -> Self {
        let escaped = |text: &String| escape(text.as_bytes());
        Self {
            container: Some(escape(container.label().as_bytes())),
            container_id: Some(escaped(&container.id)),
            image: container.image.as_ref().map(escaped),
            pod: container.pod.as_ref().map(escaped),
            pod_namespace: container.pod_namespace.as_ref().map(escaped),
        }
    }
}
