//! Which container a process belongs to: told of a few, known of all.
//!
//! A process belongs where its parent did when it was born, wherever it is adopted later; what
//! was there before anybody looked, to the nearest ancestor's container, or to that of its pid
//! namespace.

use rustc_hash::FxHashMap;

use crate::{
    event::EventKind,
    host::Container,
    ident::{Identity, PidNs, ProcKey},
    world::World,
};

/// A container, by its number in this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerNo(u32);

/// The most that are remembered: a bound for what a trace can make its reader hold. Processes of
/// later ones have none.
const MOST_CONTAINERS: usize = 1 << 16;

/// All containers that were heard of. They stay, as findings speak of those that are gone.
#[derive(Debug, Default)]
pub(super) struct Containers {
    all: Vec<Container>,
    by_id: FxHashMap<String, ContainerNo>,
}

impl Containers {
    /// The number of the container with that id, a new one if need be.
    fn number(&mut self, id: &str) -> Option<ContainerNo> {
        if let Some(&known) = self.by_id.get(id) {
            return Some(known);
        }
        if self.all.len() >= MOST_CONTAINERS {
            return None;
        }
        let number = ContainerNo(self.all.len() as u32);
        self.all.push(Container { id: id.to_owned(), ..Container::default() });
        self.by_id.insert(id.to_owned(), number);
        Some(number)
    }

    fn learn(&mut self, container: &Container) {
        if let Some(ContainerNo(number)) = self.number(&container.id) {
            self.all[number as usize] = container.clone();
        }
    }
}

impl World {
    /// The container that a process belongs to, or belonged to.
    pub fn container_of(&self, identity: &Identity) -> Option<&Container> {
        let ContainerNo(number) = identity.container?;
        self.containers.all.get(number as usize)
    }

    /// Where a process lives, quoted: its container, else its pid namespace.
    pub fn place_of(&self, identity: &Identity) -> String {
        self.container_of(identity).map_or_else(|| format!("pid namespace {}", identity.pid_ns), Container::place)
    }

    /// All containers that were heard of, in that order.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.all.iter()
    }

    pub(super) fn learn_container(&mut self, container: &Container) {
        self.containers.learn(container);
    }

    /// A process belongs to a container, and with it who came to where it is until then.
    pub(super) fn contain(&mut self, key: ProcKey, id: &str) {
        let Some(number) = self.containers.number(id) else { return };
        let Some(process) = self.get(key) else { return };
        if process.container == Some(number) {
            return;
        }
        let (before, ns) = (process.container, process.pid_ns);
        let is_ns = process.roles.init && process.ns_level > 0;
        let below = std::iter::once(key).chain(self.below(key));
        let inside = is_ns.then(|| self.members_of(ns).map(|process| process.key));
        for key in below.chain(inside.into_iter().flatten()).collect::<Vec<_>>() {
            // Who belongs to another one by now, because that was told of it, stays there.
            if let Some(process) = self.processes.get_mut(&key).filter(|process| process.container == before) {
                process.container = Some(number);
            }
        }
    }

    /// Where somebody belongs who is new, and of whom nothing is told: where the parent does, or the
    /// init of the pid namespace.
    pub(super) fn inherit_container(&mut self, key: ProcKey, creator: Option<ProcKey>, ns: PidNs) {
        if self.containers.all.is_empty() {
            return;
        }
        let creator = creator.and_then(|creator| self.get(creator)?.container);
        let container = creator.or_else(|| self.get(self.namespace(ns)?.init?)?.container);
        if let Some(process) = self.processes.get_mut(&key) {
            process.container = process.container.or(container);
        }
    }

    /// What makes it again, in an image of the world.
    pub(super) fn image_of_containers(&self) -> Vec<EventKind> {
        let mut members: Vec<_> =
            self.processes().filter_map(|process| Some((process.container?, process.key))).collect();
        members.sort_unstable();
        let mut used: Vec<_> = members.iter().map(|&(number, _)| number).collect();
        used.dedup();
        let containers = used.into_iter().filter_map(|ContainerNo(number)| self.containers.all.get(number as usize));
        let mut image: Vec<_> = containers.map(|container| EventKind::Container(Box::new(container.clone()))).collect();
        image.extend(members.into_iter().filter_map(|(ContainerNo(number), key)| {
            Some(EventKind::Contained(key, self.containers.all.get(number as usize)?.id.clone()))
        }));
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Adopter,
        story::{Story, born, born_in, end, key, task},
    };

    const NS: u32 = 77;

    fn contained(pid: u32, id: &str) -> EventKind {
        EventKind::Contained(key(pid), id.into())
    }

    fn label(story: &Story, pid: u32) -> Option<String> {
        Some(story.world().container_of(&story.world().identity(key(pid)))?.label().to_owned())
    }

    /// A shim with a container's init in a namespace of its own, a child of that, and one that was brought in.
    fn container() -> Story {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born_in(NS, 20, 1, 10)).fork(born_in(NS, 21, 2, 20));
        story.fork(born_in(NS, 30, 3, 10)).event(contained(20, "web"));
        story
    }

    #[test]
    fn whoever_lives_in_its_namespace_or_descends_from_it_belongs_to_it() {
        let mut story = container();
        story.fork(born_in(NS, 31, 4, 30));
        for pid in [20, 21, 30, 31] {
            assert_eq!(label(&story, pid).as_deref(), Some("web"), "{pid}");
        }
        assert_eq!(label(&story, 10), None);
    }

    #[test]
    fn a_container_in_the_namespace_of_another_is_another() {
        let mut story = container();
        story.event(contained(30, "joined")).fork(born_in(NS, 31, 4, 30));
        assert_eq!([20, 30, 31].map(|pid| label(&story, pid).unwrap()), ["web", "joined", "joined"]);
    }

    #[test]
    fn on_the_host_it_goes_by_descent_and_stays_so() {
        let mut story = Story::new();
        story.fork(born(10, 1)).fork(born(20, 10)).event(contained(20, "hosty"));
        story.fork(born(21, 20)).exit(end(20, 10, Adopter::Subreaper(task(10)))).free(20);
        assert_eq!(label(&story, 21).as_deref(), Some("hosty"));
        assert_eq!(label(&story, 10), None);
    }

    #[test]
    fn an_image_has_containers_and_members() {
        let mut story = container();
        let named = Container { id: "web".into(), name: Some("shop".into()), ..Container::default() };
        story.event(EventKind::Container(Box::new(named))).event(contained(30, "joined"));
        let mut again = World::default();
        for (seq, event) in (0..).zip(story.world().image()) {
            again.apply(&event, seq, &mut Vec::new());
        }
        for pid in [10, 20, 21, 30] {
            let of = |world: &World| world.container_of(&world.identity(key(pid))).cloned();
            assert_eq!(of(&again), of(story.world()), "{pid}");
        }
    }

    #[test]
    fn nobody_is_in_a_container_that_is_one_too_many() {
        let mut story = container();
        for i in 0..MOST_CONTAINERS {
            story.event(contained(99, &i.to_string()));
        }
        story.event(contained(10, "one too many"));
        assert_eq!(label(&story, 10), None);
    }
}
