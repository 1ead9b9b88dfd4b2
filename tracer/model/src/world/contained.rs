//! Which container a process belongs to: reported for a few, derived for all.
//!
//! A process belongs where its parent did when it was born, even if it is adopted later. A process from before tracing
//! began belongs to the container of its nearest ancestor, or to that of its pid namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use rustc_hash::FxHashMap;

use crate::{
    event::EventKind,
    host::Container,
    ident::{ContainerNo, Identity, PidNs, ProcKey},
    world::World,
};

/// How many containers can have members: a bound on what a trace can make its reader hold. Processes of further ones
/// have none.
const MOST_CONTAINERS: usize = 1 << 16;
/// How many containers without members are remembered, because findings can be about processes that are gone. A user
/// who creates empty containers must not displace others.
const MOST_EMPTY: usize = 4096;

/// What is remembered of containers.
#[derive(Debug, Default)]
pub(super) struct Containers {
    all: BTreeMap<ContainerNo, Known>,
    by_id: FxHashMap<String, ContainerNo>,
    /// Those without members, by when they lost the last.
    empty: BTreeSet<(u64, ContainerNo)>,
    /// How many numbers were given out.
    given: u32,
    /// How often a container has lost its last member, or was new.
    turns: u64,
}

#[derive(Debug)]
struct Known {
    container: Container,
    /// More is known about it than its id.
    is_told: bool,
    /// How many of its processes are in the world, zombies included.
    members: usize,
    /// Its place among those without members.
    empty: u64,
}

impl Containers {
    /// The number of the container with that id, a new one if need be.
    fn number(&mut self, id: &str) -> Option<ContainerNo> {
        if let Some(&known) = self.by_id.get(id) {
            return Some(known);
        }
        if self.all.len() >= MOST_CONTAINERS + MOST_EMPTY {
            return None;
        }
        let number = ContainerNo(NonZeroU32::MIN.saturating_add(self.given));
        self.given = self.given.wrapping_add(1);
        let container = Container { id: id.to_owned(), ..Container::default() };
        self.all.insert(number, Known { container, is_told: false, members: 0, empty: 0 });
        self.by_id.insert(id.to_owned(), number);
        self.is_empty(number);
        Some(number)
    }

    /// A container has no members: it is forgotten after many others have lost theirs.
    fn is_empty(&mut self, number: ContainerNo) {
        let Some(known) = self.all.get_mut(&number) else { return };
        self.turns += 1;
        known.empty = self.turns;
        self.empty.insert((self.turns, number));
        if self.empty.len() > MOST_EMPTY
            && let Some((_, oldest)) = self.empty.pop_first()
            && let Some(Known { container, .. }) = self.all.remove(&oldest)
            && self.by_id.get(&container.id) == Some(&oldest)
        {
            self.by_id.remove(&container.id);
        }
    }

    fn join(&mut self, number: ContainerNo) {
        let Some(known) = self.all.get_mut(&number) else { return };
        known.members += 1;
        if known.members == 1 {
            self.empty.remove(&(known.empty, number));
        }
    }

    fn leave(&mut self, number: ContainerNo) {
        let Some(known) = self.all.get_mut(&number) else { return };
        known.members = known.members.saturating_sub(1);
        if known.members == 0 {
            self.is_empty(number);
        }
    }
}

impl World {
    /// The container that a process belongs to, or belonged to.
    pub fn container_of(&self, identity: &Identity) -> Option<&Container> {
        self.containers.all.get(&identity.container?).map(|known| &known.container)
    }

    /// Where a process lives, quoted: its container, else its pid namespace.
    pub fn place_of(&self, identity: &Identity) -> String {
        self.container_of(identity).map_or_else(|| format!("pid namespace {}", identity.pid_ns), Container::place)
    }

    /// All containers that are remembered, in the order in which they became known.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.all.values().map(|known| &known.container)
    }

    /// The container with that id, and how many processes belong to it, zombies included.
    pub fn container(&self, id: &str) -> Option<(&Container, usize)> {
        let known = self.containers.all.get(self.containers.by_id.get(id)?)?;
        Some((&known.container, known.members))
    }

    /// Takes in a description. Once root has described an id, no user can change that, neither before nor after.
    pub(super) fn learn_container(&mut self, container: &Container) {
        let Some(number) = self.containers.number(&container.id) else { return };
        let Some(known) = self.containers.all.get_mut(&number) else { return };
        let is_others = known.is_told && known.container.uid != container.uid;
        if is_others && container.uid.is_some() {
            return;
        }
        (known.container, known.is_told) = (container.clone(), true);
        if is_others {
            let members = self.processes.iter().filter(|process| process.container == Some(number));
            for key in members.map(|process| process.key).collect::<Vec<_>>() {
                self.put_in(key, None);
            }
        }
    }

    /// A process belongs to that container from now on.
    pub(super) fn put_in(&mut self, key: ProcKey, number: Option<ContainerNo>) {
        let Some(process) = self.processes.get_mut(key) else { return };
        let before = std::mem::replace(&mut process.container, number);
        if before != number {
            number.into_iter().for_each(|number| self.containers.join(number));
            before.into_iter().for_each(|before| self.containers.leave(before));
        }
    }

    /// A process has left the world.
    pub(super) fn leave_container(&mut self, number: Option<ContainerNo>) {
        number.into_iter().for_each(|number| self.containers.leave(number));
    }

    /// A process belongs to a container, with all that inherited their place from it until then.
    pub(super) fn contain(&mut self, key: ProcKey, id: &str) {
        let Some(process) = self.get(key) else { return };
        let (before, ns) = (process.container, process.pid_ns);
        let is_ns = process.is_init_of_namespace();
        let Some(number) = self.containers.number(id) else {
            // It stays unknown.
            self.snapshots.lacks(self.now);
            return;
        };
        if before == Some(number) {
            return;
        }
        let below = std::iter::once(key).chain(self.below(key));
        let inside = is_ns.then(|| self.members_of(ns).map(|process| process.key));
        for key in below.chain(inside.into_iter().flatten()).collect::<Vec<_>>() {
            // A process that was itself reported as another container's stays there.
            if self.get(key).is_some_and(|process| process.container == before) {
                self.put_in(key, Some(number));
            }
        }
    }

    /// Where a new process belongs that nothing was reported about: where its parent does, or the init of its pid
    /// namespace.
    pub(super) fn inherit_container(&mut self, key: ProcKey, creator: Option<ProcKey>, ns: PidNs) {
        if self.containers.all.is_empty() {
            return;
        }
        let creator = creator.and_then(|creator| self.get(creator)?.container);
        let container = creator.or_else(|| self.get(self.namespace(ns)?.init?)?.container);
        if container.is_some() && self.get(key).is_some_and(|process| process.container.is_none()) {
            self.put_in(key, container);
        }
    }

    /// The events that restore it, in an image of the world.
    pub(super) fn image_of_containers(&self) -> Vec<EventKind> {
        let mut members: Vec<_> =
            self.processes().filter_map(|process| Some((process.container?, process.key))).collect();
        members.sort_unstable();
        let mut used: Vec<_> = members.iter().map(|&(number, _)| number).collect();
        used.dedup();
        let containers = used.into_iter().filter_map(|number| self.containers.all.get(&number));
        let mut image: Vec<_> =
            containers.map(|known| EventKind::Container(Box::new(known.container.clone()))).collect();
        image.extend(members.into_iter().filter_map(|(number, key)| {
            Some(EventKind::Contained(key, self.containers.all.get(&number)?.container.id.clone()))
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
        time::Seq,
    };

    const NS: u32 = 77;

    fn contained(pid: u32, id: &str) -> EventKind {
        EventKind::Contained(key(pid), id.into())
    }

    fn label(story: &Story, pid: u32) -> Option<String> {
        Some(story.world().container_of(&story.world().identity(key(pid)))?.label().into_owned())
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
            again.apply(&event, Seq(seq), &mut Vec::new());
        }
        for pid in [10, 20, 21, 30] {
            let of = |world: &World| world.container_of(&world.identity(key(pid))).cloned();
            assert_eq!(of(&again), of(story.world()), "{pid}");
        }
    }

    fn introduced(id: &str, uid: Option<u32>) -> EventKind {
        EventKind::Container(Box::new(Container { id: id.into(), uid, ..Container::default() }))
    }

    #[test]
    fn those_without_members_are_forgotten_and_push_nobody_out() {
        let mut story = container();
        for i in 0..2 * MOST_EMPTY {
            story.event(introduced(&format!("fake-{i}"), Some(1000)));
        }
        assert_eq!(story.world().containers().count(), MOST_EMPTY + 1);
        assert!(story.world().container("fake-0").is_none());
        assert_eq!(label(&story, 20).as_deref(), Some("web"));
        story.fork(born(40, 10)).event(contained(40, "later"));
        assert_eq!(label(&story, 40).as_deref(), Some("later"));
        assert!(story.world().is_whole());
    }

    #[test]
    fn one_that_has_ended_is_known_for_a_while() {
        let mut story = Story::new();
        story.fork(born(40, 1)).event(introduced("web", None)).event(contained(40, "web"));
        let gone = story.world().identity(key(40));
        story.exit(end(40, 1, Adopter::None)).free(40);
        assert_eq!(story.world().container("web").map(|(_, members)| members), Some(0));
        assert_eq!(story.world().container_of(&gone).map(|of| of.id.as_str()), Some("web"));
        for i in 0..MOST_EMPTY {
            story.event(introduced(&format!("fake-{i}"), None));
        }
        assert_eq!(story.world().container_of(&gone), None);
    }

    #[test]
    fn what_a_user_says_of_roots_container_changes_nothing() {
        let mut story = container();
        let named = Container { name: Some("shop".into()), ..Container { id: "web".into(), ..Container::default() } };
        story.event(EventKind::Container(Box::new(named)));
        let fake = Container { name: Some("fake".into()), uid: Some(1000), id: "web".into(), ..Container::default() };
        story.event(EventKind::Container(Box::new(fake)));
        assert_eq!(label(&story, 20).as_deref(), Some("shop"));
    }

    #[test]
    fn a_user_who_was_there_first_is_in_no_container_of_root() {
        let mut story = Story::new();
        story.fork(born(40, 1)).event(introduced("web", Some(1000))).event(contained(40, "web"));
        assert_eq!(label(&story, 40).as_deref(), Some("web (uid 1000)"));
        story.fork(born(41, 1)).event(introduced("web", None)).event(contained(41, "web"));
        assert_eq!(label(&story, 40), None);
        assert_eq!(label(&story, 41).as_deref(), Some("web"));
    }
}
