//! Whose a process is, by facts that nobody can choose: its container, else its ancestry by birth.

use crate::{
    ident::{Identity, ProcKey},
    kill::Family,
    world::World,
};

impl World {
    /// Whose a process is. For one that is gone, by its former ancestors, the parent first.
    pub fn family_of(&self, process: &Identity, ancestors: &[Identity]) -> Family {
        if process.container.is_some() {
            return Family { container: process.container, ..Family::default() };
        }
        let known = [process].into_iter().chain(ancestors).filter_map(|one| self.get(one.key));
        match known.filter(|one| !one.is_init_of_host()).map(|one| (one.root, one.cgroup)).next() {
            Some((root, cgroup)) => Family { container: None, root, cgroup },
            // It cannot be confused with any other.
            None => Family { container: None, root: process.key, cgroup: 0 },
        }
    }

    /// A new process belongs to the family of its creator for good, even as an orphan.
    pub(super) fn inherit_root(&mut self, key: ProcKey, creator: Option<ProcKey>) {
        let creator = creator.and_then(|creator| self.get(creator)).filter(|creator| !creator.is_init_of_host());
        let root = creator.map_or(key, |creator| creator.root);
        if let Some(process) = self.processes.get_mut(key) {
            process.root = root;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        event::Adopter,
        story::{Story, born, end, key, task},
    };

    #[test]
    fn an_orphan_stays_of_its_family_and_nobody_comes_into_another() {
        let mut story = Story::new();
        story.fork(born(2, 1)).fork(born(3, 2)).fork(born(4, 3)).fork(born(5, 1));
        story.exit(end(3, 2, Adopter::NamespaceInit(task(1)))).free(3);
        let world = story.world();
        let family = |pid, ancestors: &[u32]| {
            let ancestors: Vec<_> = ancestors.iter().map(|&pid| world.identity(key(pid))).collect();
            world.family_of(&world.identity(key(pid)), &ancestors)
        };
        assert_eq!(family(4, &[]), family(2, &[]));
        assert_ne!(family(4, &[]), family(5, &[]));
        // 3 is gone.
        assert_eq!(family(3, &[2, 1]), family(2, &[]));
        assert!([1, 2, 4, 5].into_iter().all(|other| family(3, &[1]) != family(other, &[])));
    }
}
