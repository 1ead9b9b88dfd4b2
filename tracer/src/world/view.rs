//! The process tree of one pid namespace: a view of the one forest.

use crate::{
    ident::{PidNs, ProcKey},
    world::{Process, World},
};

/// A line of a tree, in the order in which it is read.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its pid in the namespace of the view; 0 where the depth of nesting hides it.
    pub pid_here: u32,
    /// How deep it stands, 0 for a root.
    pub depth: usize,
    /// For each level down to its own: it, or its ancestor there, is the last child.
    pub last_at: Vec<bool>,
}

/// The tree of a namespace: its init first, then what has no parent in it, each with its
/// descendants. Processes of nested namespaces are visible in it, and so part of it.
pub fn tree(world: &World, ns: PidNs) -> Vec<Line<'_>> {
    let Some(namespace) = world.namespace(ns) else { return Vec::new() };
    let is_here = |process: &Process| world.is_in(process.pid_ns, ns);
    let mut roots: Vec<&Process> = world
        .processes()
        .filter(|process| is_here(process) && !world.parent(process.key).is_some_and(is_here))
        .collect();
    roots.sort_by_key(|process| (Some(process.key) != namespace.init, process.key));
    let mut lines = Vec::new();
    // A stack, not recursion: chains of processes can be as long as pid_max.
    let mut stack: Vec<(ProcKey, Vec<bool>)> = roots.iter().rev().map(|root| (root.key, vec![true])).collect();
    while let Some((key, last_at)) = stack.pop() {
        let Some(process) = world.get(key) else { continue };
        let children: Vec<_> = world.children(key).map(|child| child.key).collect();
        for (i, &child) in children.iter().enumerate().rev() {
            let mut last = last_at.clone();
            last.push(i + 1 == children.len());
            stack.push((child, last));
        }
        let pid_here = process.pid_at(namespace.level);
        lines.push(Line { process, pid_here, depth: last_at.len() - 1, last_at });
    }
    lines
}
