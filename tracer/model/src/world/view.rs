//! The process trees of pid namespaces: views of the one forest.

use rustc_hash::FxHashMap;

use crate::{
    ident::{PidNs, ProcKey},
    world::{Process, World},
};

/// A line of a tree, in reading order.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its depth, 0 for a root.
    pub depth: usize,
}

/// The trees of all namespaces.
#[derive(Debug)]
pub struct Forest<'a> {
    world: &'a World,
    /// Processes without a parent in a namespace in which they are visible, oldest first.
    roots: FxHashMap<PidNs, Vec<ProcKey>>,
}

impl<'a> Forest<'a> {
    /// Goes over all processes once.
    pub fn new(world: &'a World) -> Self {
        let mut roots: FxHashMap<PidNs, Vec<ProcKey>> = FxHashMap::default();
        for process in world.processes() {
            let parent = world.parent(process.key);
            for ns in world.outwards(process.pid_ns) {
                // A process is in each namespace around its own, too.
                if parent.is_some_and(|parent| world.is_in(parent.pid_ns, ns)) {
                    break;
                }
                roots.entry(ns).or_default().push(process.key);
            }
        }
        Self { world, roots }
    }

    /// The tree of a namespace: its init first, then processes without a parent in it, each with its descendants. Of a
    /// nested namespace, only its first processes are part of it.
    pub fn tree(&self, ns: PidNs) -> Vec<Line<'a>> {
        let init = self.world.namespace(ns).and_then(|ns| ns.init);
        let roots = self.roots.get(&ns).map_or(&[][..], Vec::as_slice);
        let (first, others): (Vec<_>, Vec<_>) = roots.iter().copied().partition(|&root| Some(root) == init);
        let mut lines = Vec::new();
        // A stack, not recursion: chains of processes can be as long as pid_max.
        let mut stack: Vec<_> = first.into_iter().chain(others).rev().map(|root| (root, 0)).collect();
        while let Some((key, depth)) = stack.pop() {
            let Some(process) = self.world.get(key) else { continue };
            lines.push(Line { process, depth });
            if process.pid_ns == ns {
                let from = stack.len();
                stack.extend(self.world.children.of(key).map(|child| (child, depth + 1)));
                stack[from..].reverse();
            }
        }
        lines
    }
}
